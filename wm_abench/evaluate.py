"""Data set -> vision-language models -> scores -> report.

A workdir contains

  manifest.json   what is asked, and a digest of the data
  logs/           Inspect's logs, a folder per model: `inspect view --log-dir`
  cache/          every reply, so that none is paid for twice
  replies/        each model's replies as JSON lines
  results.json    scores with intervals, and analyses
  report.html     the report; figures/ has its figures

If a run is killed, the same command asks only what was not answered.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
import pathlib
import sys
from typing import Any

import ml_collections

from commons import errors
from wm_abench.core import records, reply_files, run_files
from wm_abench.evaluation import inspect_tasks, models, token_costs
from wm_abench.reports import report
from wm_abench.statistics import comparisons, scores

# Items by code of dimension.
Items = Mapping[str, Sequence[records.Item]]
_MAX_EXAMPLES = 6  # Wrong items of each model on the page.


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Asks each of the config's models, scores, analyses and reports.

  Raises:
    UserError: the config has an unknown name, the data has no such items, or
      the workdir belongs to another run.
  """
  folder = pathlib.Path(workdir)
  setup = inspect_tasks.Setup(**config.setup)
  names = _names(config.models)
  if config.dry_run:
    estimate = token_costs.estimate(inspect_tasks.items_of(setup), setup)
    print(token_costs.table(estimate))
    return
  people = _names(config.people)
  if not names and not people:
    raise errors.UserError('config.models names no model')
  loaded = {name: models.load(name, config.base_url) for name in names}
  items = inspect_tasks.items_of(setup)
  manifest = _keep_manifest(items, setup, folder)
  replies, logs = {}, {}
  for name, model in loaded.items():
    by_log = models.ask(config, name, model, items, setup, folder)
    replies[name] = _in_order(by_log, items)
    logs[name] = {
      r.sample: log
      for log, replies_in_log in by_log.items()
      for r in replies_in_log
    }
    _keep_replies(name, replies[name], folder)
  for path in people:
    replies[f'human/{pathlib.Path(path).stem}'] = _person(path, items)
  results = {
    'manifest': manifest,
    'models': scores.summarise(replies, config.seed),
    'analyses': comparisons.analyse(replies, config.seed),
  }
  run_files.write_json(folder / 'results.json', results)
  page = report.write(folder, results, _examples(replies, items, logs))
  print(report.table(results))
  print(f'{page}; the logs: inspect view --log-dir {folder / "logs"}')


def _names(listed: str) -> list[str]:
  """Returns the different names in a comma-separated list."""
  return list(dict.fromkeys(filter(None, map(str.strip, listed.split(',')))))


def _all(items: Items) -> list[records.Item]:
  """Returns the items of all dimensions, in order."""
  return [item for items_of_code in items.values() for item in items_of_code]


def _keep_manifest(
  items: Items, setup: inspect_tasks.Setup, folder: pathlib.Path
) -> dict[str, Any]:
  """Writes the manifest, or checks that the same items were asked before.

  Raises:
    UserError: the workdir contains replies to other items.
  """
  digest = hashlib.sha256()
  for item in _all(items):
    digest.update(json.dumps(item.content).encode())
  settings = dataclasses.asdict(setup)
  settings |= {'items': len(_all(items)), 'digest': digest.hexdigest()}
  return run_files.keep_manifest(folder, settings, 'answers', {'data'})


def _in_order(
  by_log: Mapping[str, Sequence[records.Reply]], items: Items
) -> list[records.Reply]:
  """Returns all replies in the order of the items."""
  position = {item.name: i for i, item in enumerate(_all(items))}
  replies = [reply for replies in by_log.values() for reply in replies]
  return sorted(replies, key=lambda reply: (position[reply.item], reply.turn))


def _keep_replies(
  name: str, replies: Sequence[records.Reply], folder: pathlib.Path
) -> None:
  """Writes a model's replies, and prints to stderr which did not arrive."""
  path = folder / 'replies' / f'{models.file_name(name)}.jsonl'
  path.parent.mkdir(exist_ok=True)
  reply_files.write(path, replies)
  failed = [reply for reply in replies if reply.status == records.FAILED]
  for reply in failed[:_MAX_EXAMPLES]:
    print(f'{name}: {reply.item}: {reply.text}', file=sys.stderr)
  if failed:
    print(
      f'{name}: {len(failed)} of {len(replies)} items have no reply and count'
      ' as wrong; the same command asks them again',
      file=sys.stderr,
    )


def _person(path: str, items: Items) -> list[records.Reply]:
  """Returns the replies in a file that people/server.py wrote.

  Raises:
    UserError: it contains no reply, or replies to other items.
  """
  keys = {item.name: item.answer for item in _all(items)}
  replies = reply_files.read(path)
  for reply in replies:
    if keys.get(reply.item) != reply.answer:
      raise errors.UserError(
        f'{path!r} answers {reply.item!r}, which is not asked here'
      )
  return replies


def _examples(
  replies: Mapping[str, Sequence[records.Reply]],
  items: Items,
  logs: Mapping[str, Mapping[str, str]],
) -> dict[str, list[report.Shown]]:
  """Returns items that each model got wrong and most others got right.

  Args:
    replies: by model.
    items: the items.
    logs: by model and id of sample, the path of the log.
  """
  by_name = {item.name: item for item in _all(items)}
  times_right = collections.Counter(
    r.item
    for replies_of_model in replies.values()
    for r in replies_of_model
    if r.right
  )
  examples = {}
  for name, replies_of_model in replies.items():
    wrong = [r for r in replies_of_model if not r.right]
    wrong.sort(key=lambda r: (-times_right[r.item], r.item, r.turn))
    # From different cells, as far as possible.
    first = {r.cell: r for r in reversed(wrong)}
    chosen = sorted(first.values(), key=wrong.index)[:_MAX_EXAMPLES]
    logs_of_model = logs.get(name, {})  # People have no logs.
    examples[name] = [
      report.Shown(by_name[r.item], r, logs_of_model.get(r.sample, ''))
      for r in chosen
    ]
  return examples
