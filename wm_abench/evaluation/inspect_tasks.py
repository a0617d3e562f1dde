"""WM-ABench as Inspect tasks: `inspect eval wm_abench/sr --model NAME`.

One task a dimension, named by its code ('sr', 'se_v', ... 'c_man'), with the
arguments of `Setup` but for its cells, as in `-T data=runs/mini`. Providers,
concurrency, retries, caching and logs are Inspect's.

A sample's id is its item's name, and which rotation of its options where there
are several. Its metadata hold all that scoring and the analyses go by, so that
a log alone is enough: `replies_in` reads it.
"""

import base64
from collections.abc import Iterator, Sequence
import contextvars
import dataclasses
from typing import Any

from inspect_ai import Task, log, model, scorer, solver, task
from inspect_ai import dataset as inspect_dataset

from wm_abench.core import dimensions, records
from wm_abench.data import dataset, picture_files
from wm_abench.evaluation import prompts, reply_parser

# Seconds of a try, and of all tries together.
_TRY_S, _ALL_TRIES_S = 120, 1800
_MAX_TOKENS = {prompts.STRICT: 1024, prompts.PAPER: 2048}
# Services give back nothing now and then; it is asked for again so often.
_TRIES_OF_EMPTY = 3

# Inspect adds the package's name by itself to what is installed, unless that is
# an editable installation of a distribution of another name, as ours is.
_INSTALLED = 'site-packages' in __file__
_NAMESPACE = '' if _INSTALLED else f'{__package__}/'

# What baselines may look at beside the prompt; no provider sends it.
asked: contextvars.ContextVar[picture_files.Question] = contextvars.ContextVar(
  'asked'
)


@dataclasses.dataclass(frozen=True)
class Setup:
  """What is asked, and how.

  Attributes:
    data: folder of a generation or of the published release.
    subset: one of picture_files.SUBSETS.
    cells: as in dimensions.select.
    protocol: one of prompts.PROTOCOLS.
    seed: of the options' order.
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


def questions(setup: Setup) -> dict[str, list[picture_files.Question]]:
  """The questions of a setup by dimension.

  Of a dimension, environment or stage, the cells that are in the data.

  Raises:
    UserError: the setup names what there is not, or cells that are not there.
  """
  cells = picture_files.select(setup.data, setup.cells)
  found: dict[str, list[picture_files.Question]] = {}
  for question in picture_files.read(setup.data, cells, setup.subset):
    code = dimensions.CELLS[question.cell].dimension
    found.setdefault(code, []).append(question)
  return found


def dimension_task(
  code: str, asked_of: list[picture_files.Question], setup: Setup
) -> Task:
  """The Inspect task of a dimension.

  Args:
    code: the dimension's.
    asked_of: its questions.
    setup: how they are asked.
  """
  prompts.labels_of(asked_of[0], setup.protocol)  # The door for its name.
  return Task(
    name=task_name(code),
    dataset=inspect_dataset.MemoryDataset(
      [s for q in asked_of for s in samples(q, setup)], name=code
    ),
    solver=ask(),
    scorer=option(),
    config=model.GenerateConfig(
      temperature=0.0,
      max_tokens=_MAX_TOKENS[setup.protocol],
      attempt_timeout=_TRY_S,
      timeout=_ALL_TRIES_S,
    ),
    metadata=dataclasses.asdict(setup) | {'dimension': code},
    version=dataset.VERSION,
  )


def task_name(code: str) -> str:
  """'SE-V' as Inspect's tasks are called, 'se_v'."""
  return code.lower().replace('-', '_')


def samples(
  question: picture_files.Question, setup: Setup
) -> Iterator[inspect_dataset.Sample]:
  """One sample, or one for each rotation of its options."""
  labels = prompts.labels_of(question, setup.protocol)
  turns = len(labels) if setup.circular else 1
  for turn in range(turns):
    order = prompts.order_of(question, setup.seed, turn)
    content = [
      model.ContentText(text=part)
      if isinstance(part, str)
      else model.ContentImage(image=part.source)
      for part in prompts.parts(question, order, setup.protocol, setup.blind)
    ]
    yield inspect_dataset.Sample(
      id=records.sample_id(question.name, turn),
      input=[model.ChatMessageUser(content=content)],
      target=labels[order.index(question.answer)],
      metadata={
        'cell': question.cell,
        'group': question.group,
        'question': dataclasses.asdict(question),
        'order': list(order),
        'turn': turn,
        'labels': list(labels),
      },
    )


def parts_of(messages: Sequence[model.ChatMessage]) -> list[str | bytes]:
  """The texts and encoded pictures of messages, in order.

  What `samples` made and Inspect hands to a provider.
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
def ask() -> solver.Solver:
  """Asks once, and again where nothing came back."""

  async def solve(
    state: solver.TaskState, generate: solver.Generate
  ) -> solver.TaskState:
    question = _question(state.metadata)
    if question.broken:
      return state
    asked.set(question)
    messages = list(state.messages)
    for attempt in range(_TRIES_OF_EMPTY):
      state.messages = list(messages)
      # What came is kept at once: a run that is killed does not pay twice.
      policy = model.CachePolicy(expiry=None, scopes={'try': str(attempt)})
      state = await generate(state, cache=policy)
      if state.output.completion or state.output.stop_reason != 'stop':
        break
    return state

  return solve


@scorer.scorer(metrics=[scorer.accuracy(), scorer.stderr(cluster='group')])
def option() -> scorer.Scorer:
  """Right or not; whatever names no option is not."""

  async def score(
    state: solver.TaskState, target: scorer.Target
  ) -> scorer.Score:
    question = _question(state.metadata)
    labels, order = state.metadata['labels'], state.metadata['order']
    status, chosen = records.FAILED, None
    if state.output.choices and not state.output.error:
      words = [] if question.pictured else [question.options[i] for i in order]
      status, chosen = reply_parser.status_of(
        state.output.completion,
        state.output.stop_reason,
        _refused(state.output.message.content),
        labels,
        words,
      )
    label = None if chosen is None else labels[chosen]
    return scorer.Score(
      value=scorer.CORRECT if label == target.text else scorer.INCORRECT,
      answer=label,
      explanation=question.broken or state.output.completion,
      metadata={
        'status': status,
        'chosen': None if chosen is None else order[chosen],
      },
    )

  return score


def replies_in(path: str) -> Iterator[records.Reply]:
  """The replies of a log of Inspect's, one a sample; none is left out.

  Args:
    path: of the log.
  """
  for sample in log.read_eval_log_samples(path, all_samples_required=False):
    yield _reply(sample)


def _reply(sample: log.EvalSample) -> records.Reply:
  question = _question(sample.metadata)
  found = (sample.scores or {}).get('option')
  said: dict[str, Any] = (found.metadata if found else None) or {}
  usage = sample.output.usage
  text = sample.output.completion if sample.output.choices else ''
  if sample.error:
    text = sample.error.message
  return records.Reply(
    item=question.name,
    cell=question.cell,
    group=question.group,
    order=tuple(sample.metadata['order']),
    turn=sample.metadata['turn'],
    answer=question.answer,
    chosen=said.get('chosen'),
    status=said.get('status', records.FAILED),
    text=question.broken or text,
    input_tokens=usage.input_tokens if usage else 0,
    output_tokens=usage.output_tokens if usage else 0,
    seconds=sample.output.time or 0.0,
    varies=question.varies,
    factors=question.factors,
  )


def _question(metadata: dict[str, Any]) -> picture_files.Question:
  fields = dict(metadata['question'])
  for name in ('images', 'options'):
    fields[name] = tuple(fields[name])
  return picture_files.Question(**fields)


def _refused(content) -> bool:
  if isinstance(content, str):
    return False
  return any(getattr(part, 'refusal', None) for part in content)


def _register(code: str):
  """A task of Inspect's registry, for its command line."""

  @task(name=_NAMESPACE + task_name(code))
  def registered(
    data: str = Setup.data,
    subset: str = Setup.subset,
    protocol: str = Setup.protocol,
    seed: int = Setup.seed,
    circular: bool = Setup.circular,
    blind: bool = Setup.blind,
  ) -> Task:
    # On a command line, 100 is a number.
    setup = Setup(data, str(subset), code, protocol, seed, circular, blind)
    return dimension_task(code, questions(setup)[code], setup)

  return registered


TASKS = {code: _register(code) for code in dimensions.DIMENSIONS}
