"""Trains a small policy on generated items and evaluates it on held-out groups.

It reads the items, holds every n-th group of a cell out, trains on the other
groups, saves the policy and answers the held-out items with it.
"""

from collections.abc import Sequence
import pathlib
import time

import ml_collections

from commons import errors
from wm_abench.core import dimensions, records, run_files
from wm_abench.data import parquet
from wm_abench.evaluation import prompts
from wm_abench.policy import batches, policy, training
from wm_abench.statistics import scores as scores_lib


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains a policy, writes `workdir`/policy and `workdir`/results.json.

  Raises:
    UserError: the data or a cell does not exist, a number is out of range, or
      the workdir belongs to another run.
  """
  folder = pathlib.Path(workdir)
  if config.train.steps <= config.optimizer.warmup_steps:
    raise errors.UserError(
      f'train.steps={config.train.steps} must be more than'
      f' optimizer.warmup_steps={config.optimizer.warmup_steps}'
    )
  if not config.data:
    raise errors.UserError('data: the folder of items is missing')
  run_files.keep_manifest(folder, {'config': config.to_dict()}, 'a policy')
  train, held_out = batches.split(_read(config), config.hold_out)
  start = time.monotonic()
  trained = training.fit(config, train, folder / 'state.msgpack')
  policy.save(folder / 'policy', trained)
  # The saved policy is evaluated, with the precision in which it is stored.
  trained = policy.load(folder / 'policy')
  scores = scores_lib.summarise(
    {'policy': answer(trained, held_out, config.seed)}, config.seed
  )
  results = {
    'seconds': time.monotonic() - start,
    'groups': len(train),
    'models': scores,
  }
  run_files.write_json(folder / 'results.json', results)
  print('held out  items chance  accuracy and its 95% interval, by dimension')
  for code, score in scores['policy']['dimensions'].items():
    print(
      f'{code:8} {score["items"]:6} {score["chance"]:6.2f} '
      f' {score["accuracy"]:.3f} [{score["low"]:.3f}, {score["high"]:.3f}] '
      f' p = {score["p"]:.2g}'
    )


def _read(config: ml_collections.ConfigDict) -> list[records.Item]:
  selected = {cell.name for cell in dimensions.select(config.cells)}
  cells = [c for c in parquet.cells_in(config.data) if c in selected]
  if not cells:
    raise errors.UserError(
      f'{config.data!r} contains no finished cell of {config.cells!r}'
    )
  return list(parquet.read(config.data, cells))


def answer(
  trained: policy.Policy, items: Sequence[records.Item], seed: int
) -> list[records.Reply]:
  """Returns the policy's replies to items.

  Args:
    trained: the policy.
    items: the items.
    seed: the seed of the order of options.
  """
  orders = [prompts.order_of(item, seed) for item in items]
  completions = trained.reply(
    [
      trained.read(batches.conversation(item, order))
      for item, order in zip(items, orders, strict=True)
    ]
  )
  return [
    records.reply_to(item, order, order[records.LABELS.index(completion.text)])
    for item, order, completion in zip(items, orders, completions, strict=True)
  ]
