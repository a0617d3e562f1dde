"""Data set -> vision-language models -> scores -> report.

A workdir holds

  manifest.json   what is asked, of which data
  logs/           Inspect's logs, a folder a model: `inspect view --log-dir`
  cache/          every reply that came, so that none is paid for twice
  replies/        a model's replies as JSON lines
  results.json    scores with intervals, analyses
  report.html     figures/

Killed at any moment, the same command asks only what was not answered.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import sys
from typing import Any

import inspect_ai
from inspect_ai import model
import ml_collections

from commons import errors
from wm_abench.core import records, run_files
from wm_abench.data import picture_files
from wm_abench.evaluation import inspect_plugins, inspect_tasks, token_costs
from wm_abench.people import test_plan
from wm_abench.reports import report
from wm_abench.statistics import comparisons, scores

# Models that need no key, by the names that they go by here.
SHORT = {
  'random': 'baseline/random',
  'blind': 'jax/embedded',
  'nearest': 'baseline/nearest',
  'small': 'jax/embedded',
  'oracle': 'baseline/oracle',
}
# That of them which is never shown the pictures of the state.
_BLIND = 'blind'
# Inspect's best known; each says itself which key or package it lacks.
PROVIDERS = (
  'anthropic',
  'azureai',
  'bedrock',
  'google',
  'grok',
  'hf',
  'mistral',
  'ollama',
  'openai',
  'openai-api',
  'openrouter',
  'sglang',
  'together',
  'vllm',
)
# Of a sample whose reply did not come, beside the retries of a request.
_SAMPLE_RETRIES = 2
_WORST = 6  # Items of each model on the page.


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Asks each of the config's models, scores, analyses and reports.

  Raises:
    UserError: the config names what there is not, the data has no such items,
      or the workdir is of another run.
  """
  folder = pathlib.Path(workdir)
  setup = inspect_tasks.Setup(**config.setup)
  names = _names(config.models)
  if config.dry_run:
    print(
      token_costs.table(
        token_costs.estimate(inspect_tasks.questions(setup), setup)
      )
    )
    return
  people = _names(config.people)
  if not names and not people:
    raise errors.UserError('config.models names no model')
  models = {name: _model(name, config) for name in names}
  asked = inspect_tasks.questions(setup)
  manifest = _keep_settings(asked, setup, folder)
  replies, logged = {}, {}
  for name, one in models.items():
    by_log = _ask(config, name, one, asked, setup, folder)
    replies[name] = _in_order(by_log, asked)
    logged[name] = {r.sample: log for log, own in by_log.items() for r in own}
    _keep_replies(name, replies[name], folder)
  for path in people:
    replies[f'human/{pathlib.Path(path).stem}'] = _person(path, asked)
  results = {
    'manifest': manifest,
    'models': scores.summarise(replies, config.seed),
    'analyses': comparisons.analyse(replies, config.seed),
  }
  run_files.save(folder / 'results.json', results)
  page = report.write(folder, results, _shown(replies, asked, logged))
  print(report.table(results))
  print(f'{page}; the logs: inspect view --log-dir {folder / "logs"}')


def _names(listed: str) -> list[str]:
  return list(dict.fromkeys(filter(None, map(str.strip, listed.split(',')))))


def _model(name: str, config) -> model.Model:
  """The model, its provider loaded; nothing is asked yet.

  Raises:
    UserError: no such provider, or what it needs is not there.
  """
  full = SHORT.get(name, name)
  if '/' not in full:
    raise errors.unknown('model', name, (*SHORT, 'PROVIDER/MODEL'))
  try:
    return model.get_model(full, base_url=config.base_url or None)
  except errors.UserError:
    raise
  # Inspect's own class of such errors, for a key or a package that is not
  # there, derives from Exception alone and is not public.
  except Exception as e:
    if 'not recognized' in str(e):
      provider = full.partition('/')[0]
      raise errors.unknown('provider', provider, PROVIDERS) from e
    said = re.sub(r'\[/?[a-z]+\]|ERROR:', '', str(e))
    raise errors.UserError(f'model {name!r} cannot be asked: {said}') from e


def _keep_settings(
  asked: Mapping[str, Sequence[picture_files.Question]],
  setup: inspect_tasks.Setup,
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Writes what is asked, or checks that it is what was asked before.

  Raises:
    UserError: the workdir holds answers to other questions.
  """
  digest, items = hashlib.sha256(), 0
  for question in (q for own in asked.values() for q in own):
    digest.update(json.dumps(question.content).encode())
    items += 1
  wanted = dataclasses.asdict(setup)
  wanted |= {'items': items, 'digest': digest.hexdigest()}
  return run_files.keep(folder, wanted, 'answers', free={'data'})


def _ask(
  config,
  name: str,
  one: model.Model,
  asked: Mapping[str, Sequence[picture_files.Question]],
  setup: inspect_tasks.Setup,
  folder: pathlib.Path,
) -> dict[str, list[records.Reply]]:
  """A model's replies by log, its path in logs/."""
  # Where Inspect looks for replies that came before.
  os.environ['INSPECT_CACHE_DIR'] = os.fspath(folder / 'cache')
  if name == _BLIND:
    setup = dataclasses.replace(setup, blind=True)
  place = folder / 'logs' / _plain(name)
  _, logs = inspect_ai.eval_set(
    [inspect_tasks.dimension_task(c, own, setup) for c, own in asked.items()],
    model=one,
    log_dir=os.fspath(place),
    display=config.display,
    log_images=False,
    # A sample that fails is counted, and the log is marked as not finished, so
    # that the same command asks again.
    fail_on_error=True,
    continue_on_fail=True,
    score_on_error=True,
    retry_on_error=_SAMPLE_RETRIES,
    retry_attempts=1,
    max_connections=config.connections or None,
    max_samples=config.connections or None,
    attempt_timeout=config.try_s,
    timeout=config.all_tries_s,
  )
  return {
    f'{place.name}/{pathlib.Path(log.location).name}': [
      *inspect_tasks.replies_in(log.location)
    ]
    for log in logs
  }


def _in_order(
  by_log: Mapping[str, Sequence[records.Reply]],
  asked: Mapping[str, Sequence[picture_files.Question]],
) -> list[records.Reply]:
  """All replies, in the order of the questions."""
  questions = (q for own in asked.values() for q in own)
  place = {q.name: i for i, q in enumerate(questions)}
  found = [reply for own in by_log.values() for reply in own]
  return sorted(found, key=lambda reply: (place[reply.item], reply.turn))


def _keep_replies(
  name: str, found: Sequence[records.Reply], folder: pathlib.Path
) -> None:
  """Writes a model's replies, and says on stderr which did not come."""
  path = folder / 'replies' / f'{_plain(name)}.jsonl'
  path.parent.mkdir(exist_ok=True)
  lines = [json.dumps(dataclasses.asdict(reply)) + '\n' for reply in found]
  path.write_text(''.join(lines), encoding='utf-8')
  failed = [reply for reply in found if reply.status == records.FAILED]
  for reply in failed[:_WORST]:
    print(f'{name}: {reply.item}: {reply.text}', file=sys.stderr)
  if failed:
    print(
      f'{name}: {len(failed)} of {len(found)} items have no reply and count as'
      ' wrong; the same command asks them again',
      file=sys.stderr,
    )


def _plain(name: str) -> str:
  """A model's name as that of a file."""
  return re.sub(r'[^\w.-]', '_', name)


def _person(
  path: str, asked: Mapping[str, Sequence[picture_files.Question]]
) -> list[records.Reply]:
  """The replies of a file of the people's page.

  Raises:
    UserError: it holds none, or replies to other questions.
  """
  answers = {q.name: q.answer for own in asked.values() for q in own}
  replies = test_plan.read(path)
  for reply in replies:
    if answers.get(reply.item) != reply.answer:
      raise errors.UserError(
        f'{path!r} answers {reply.item!r}, which is not asked here'
      )
  return replies


def _shown(
  replies: Mapping[str, Sequence[records.Reply]],
  asked: Mapping[str, Sequence[picture_files.Question]],
  logged: Mapping[str, Mapping[str, str]],
) -> dict[str, list[report.Shown]]:
  """Of each model some items that it got wrong and others got right."""
  questions = {q.name: q for own in asked.values() for q in own}
  right = collections.Counter(
    r.item for own in replies.values() for r in own if r.right
  )
  shown = {}
  for name, own in replies.items():
    wrong = [r for r in own if not r.right]
    wrong.sort(key=lambda r: (-right[r.item], r.item, r.turn))
    # Of different cells, as far as there are.
    first = {r.cell: r for r in reversed(wrong)}
    chosen = sorted(first.values(), key=wrong.index)[:_WORST]
    logs = logged.get(name, {})  # Of people there are none.
    shown[name] = [
      report.Shown(questions[r.item], r, logs.get(r.sample, '')) for r in chosen
    ]
  return shown
