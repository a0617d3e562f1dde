"""WM-ABench as Inspect tasks: `inspect eval wm_abench/sr --model NAME`.

There is one task per dimension, named by its code ('sr', 'se_v', ... 'c_man').
Its arguments are the fields of `Setup` except for the cells, for example
`-T data=runs/mini`. Providers, concurrency, retries, caching and logs are
Inspect's.

A sample's id is its item's name and, in circular evaluation, the rotation of
the options. Its metadata contains the item, so a log alone suffices for scoring
and analyses: `replies_in` reads it. Pictures are read from the data when a
sample starts.
"""

import base64
from collections.abc import Iterator, Sequence
import contextvars
import dataclasses
from typing import Any

import anyio
from inspect_ai import Task, log, model, scorer, solver, task
from inspect_ai import dataset as inspect_dataset

from wm_abench.core import dimensions, records
from wm_abench.data import layout, pictures, selection
from wm_abench.evaluation import item_metadata, prompts, reply_parser

# Seconds for one request, and for all retries of a request together.
_ATTEMPT_S, _ALL_ATTEMPTS_S = 120, 1800
_MAX_TOKENS = {prompts.STRICT: 1024, prompts.PAPER: 2048}
# Services occasionally return an empty reply; then the request is repeated.
_MAX_EMPTY_REPLIES = 3

# Inspect adds the package name to the names of tasks, except for an editable
# installation whose distribution has another name, as is the case here.
_INSTALLED = 'site-packages' in __file__
_NAMESPACE = '' if _INSTALLED else f'{layout.NAME}/'

# The item of the running sample, for the baselines; it is not sent to services.
current_item: contextvars.ContextVar[records.Item] = contextvars.ContextVar(
  'current_item'
)


@dataclasses.dataclass(frozen=True)
class Setup:
  """Which items are asked, and how.

  Attributes:
    data: the workdir of a generation, or a folder of the published release.
    subset: one of selection.SUBSETS.
    cells: as in dimensions.select.
    protocol: one of prompts.PROTOCOLS.
    seed: the seed of the order of options.
    circular: whether each item is asked in every rotation of its options.
    blind: whether the pictures of the state are left out.
  """

  data: str = 'runs/mini'
  subset: str = 'full'
  cells: str = 'all'
  protocol: str = prompts.STRICT
  seed: int = 0
  circular: bool = False
  blind: bool = False


def items_of(setup: Setup) -> dict[str, list[records.Item]]:
  """Returns the items of a setup by code of dimension.

  A dimension, environment or stage selects those of its cells that the data
  contains.

  Raises:
    UserError: the setup has an unknown name, or the data lacks a named cell.
  """
  cells = selection.select_cells(setup.data, setup.cells)
  by_code: dict[str, list[records.Item]] = {}
  for item in selection.read(setup.data, cells, setup.subset):
    code = dimensions.CELLS[item.cell].dimension
    by_code.setdefault(code, []).append(item)
  return by_code


def dimension_task(
  code: str, items: Sequence[records.Item], setup: Setup
) -> Task:
  """Returns the Inspect task of a dimension.

  Args:
    code: the code of the dimension.
    items: its items.
    setup: how they are asked.

  Raises:
    UserError: the protocol does not exist.
  """
  prompts.labels_of(items[0], setup.protocol)
  return Task(
    name=task_name(code),
    dataset=inspect_dataset.MemoryDataset(
      [s for item in items for s in samples(item, setup)], name=code
    ),
    setup=show_pictures(setup.protocol, setup.blind),
    solver=ask(),
    scorer=option(),
    config=model.GenerateConfig(
      temperature=0.0,
      max_tokens=_MAX_TOKENS[setup.protocol],
      attempt_timeout=_ATTEMPT_S,
      timeout=_ALL_ATTEMPTS_S,
    ),
    metadata=dataclasses.asdict(setup) | {'dimension': code},
    version=layout.VERSION,
  )


def task_name(code: str) -> str:
  """Returns the name of a dimension's Inspect task: 'se_v' for 'SE-V'."""
  return code.lower().replace('-', '_')


def samples(
  item: records.Item, setup: Setup
) -> Iterator[inspect_dataset.Sample]:
  """Yields one sample, or one for each rotation of the options.

  The digests of pictures stand in their place; `show_pictures` inserts them.
  """
  labels = prompts.labels_of(item, setup.protocol)
  for turn in range(len(labels) if setup.circular else 1):
    order = prompts.order_of(item, setup.seed, turn)
    parts = prompts.parts(item, order, setup.protocol, setup.blind)
    content = [
      model.ContentText(
        text=part if isinstance(part, str) else f'[picture {part.digest}]'
      )
      for part in parts
    ]
    yield inspect_dataset.Sample(
      id=records.sample_id(item.name, turn),
      input=[model.ChatMessageUser(content=content)],
      target=labels[order.index(item.answer)],
      metadata={
        'cell': item.cell,
        'group': item.group,
        'item': item_metadata.encode(item),
        'order': list(order),
        'turn': turn,
        'labels': list(labels),
      },
    )


def parts_of(messages: Sequence[model.ChatMessage]) -> list[str | bytes]:
  """Returns the texts and encoded pictures of messages, in order.

  Pictures are data URIs, as in every message that a provider gets.
  """
  parts: list[str | bytes] = []
  for message in messages:
    if isinstance(message.content, str):
      parts.append(message.content)
      continue
    for part in message.content:
      if isinstance(part, model.ContentText):
        parts.append(part.text)
      elif isinstance(part, model.ContentImage):
        parts.append(base64.b64decode(part.image.partition(',')[2]))
  return parts


@solver.solver
def show_pictures(protocol: str, blind: bool) -> solver.Solver:
  """Inserts the pictures into the prompt; runs before any solver.

  If a picture cannot be decoded, metadata['broken'] says why, and `ask` does
  not send the sample.
  """

  async def solve(
    state: solver.TaskState, generate: solver.Generate
  ) -> solver.TaskState:
    del generate
    item = item_metadata.decode(state.metadata['item'])
    order = state.metadata['order']
    parts = prompts.parts(item, order, protocol, blind)
    shown = [part for part in parts if isinstance(part, records.Picture)]
    problem = await anyio.to_thread.run_sync(pictures.decode_errors, shown)
    if problem:
      state.metadata['broken'] = problem
      return state
    content = await anyio.to_thread.run_sync(_content, parts)
    state.messages = [model.ChatMessageUser(content=content)]
    return state

  return solve


def _content(parts: Sequence[prompts.Part]) -> list[model.Content]:
  content: list[model.Content] = []
  for part in parts:
    if isinstance(part, str):
      content.append(model.ContentText(text=part))
      continue
    encoded = part.read()
    data = base64.b64encode(encoded).decode()
    uri = f'data:{records.media_type(encoded)};base64,{data}'
    content.append(model.ContentImage(image=uri))
  return content


@solver.solver
def ask() -> solver.Solver:
  """Sends the prompt, and sends it again if the reply is empty."""

  async def solve(
    state: solver.TaskState, generate: solver.Generate
  ) -> solver.TaskState:
    if 'broken' in state.metadata:
      return state
    current_item.set(item_metadata.decode(state.metadata['item']))
    messages = list(state.messages)
    for attempt in range(_MAX_EMPTY_REPLIES):
      state.messages = list(messages)
      # Replies are cached at once, so a run that is killed pays for none twice.
      policy = model.CachePolicy(expiry=None, scopes={'try': str(attempt)})
      state = await generate(state, cache=policy)
      if state.output.completion or state.output.stop_reason != 'stop':
        break
    return state

  return solve


@scorer.scorer(metrics=[scorer.accuracy(), scorer.stderr(cluster='group')])
def option() -> scorer.Scorer:
  """Scores a reply as correct if it chooses the key, and else as incorrect."""

  async def score(
    state: solver.TaskState, target: scorer.Target
  ) -> scorer.Score:
    item = item_metadata.decode(state.metadata['item'])
    labels, order = state.metadata['labels'], state.metadata['order']
    status, chosen = records.FAILED, None
    if state.output.choices and not state.output.error:
      phrases = [] if item.pictured else [item.options[i] for i in order]
      status, chosen = reply_parser.status_of(
        state.output.completion,
        state.output.stop_reason,
        _refused(state.output.message.content),
        labels,
        phrases,
      )
    label = None if chosen is None else labels[chosen]
    return scorer.Score(
      value=scorer.CORRECT if label == target.text else scorer.INCORRECT,
      answer=label,
      explanation=state.metadata.get('broken') or state.output.completion,
      metadata={
        'status': status,
        'chosen': None if chosen is None else order[chosen],
      },
    )

  return score


def replies_in(path: str) -> Iterator[records.Reply]:
  """Yields the reply of each sample in an Inspect log, also of failed ones.

  Args:
    path: the path of the log.
  """
  for sample in log.read_eval_log_samples(path, all_samples_required=False):
    yield _reply(sample)


def _reply(sample: log.EvalSample) -> records.Reply:
  item = item_metadata.decode(sample.metadata['item'])
  score = (sample.scores or {}).get('option')
  outcome: dict[str, Any] = (score.metadata if score else None) or {}
  usage = sample.output.usage
  text = sample.output.completion if sample.output.choices else ''
  if sample.error:
    text = sample.error.message
  return records.reply_to(
    item,
    sample.metadata['order'],
    outcome.get('chosen'),
    outcome.get('status', records.FAILED),
    turn=sample.metadata['turn'],
    text=sample.metadata.get('broken') or text,
    input_tokens=usage.input_tokens if usage else 0,
    output_tokens=usage.output_tokens if usage else 0,
    seconds=sample.output.time or 0.0,
  )


def _refused(content) -> bool:
  """Returns whether the service marked the reply as a refusal."""
  if isinstance(content, str):
    return False
  return any(getattr(part, 'refusal', None) for part in content)


def _register(code: str):
  """Returns a task in Inspect's registry, for its command line."""

  @task(name=_NAMESPACE + task_name(code))
  def registered(
    data: str = Setup.data,
    subset: str = Setup.subset,
    protocol: str = Setup.protocol,
    seed: int = Setup.seed,
    circular: bool = Setup.circular,
    blind: bool = Setup.blind,
  ) -> Task:
    # Inspect's command line parses 100 as a number.
    setup = Setup(data, str(subset), code, protocol, seed, circular, blind)
    return dimension_task(code, items_of(setup)[code], setup)

  return registered


TASKS = {code: _register(code) for code in dimensions.DIMENSIONS}
