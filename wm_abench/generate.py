"""Environments -> data set, audits, gallery.

A workdir holds

  manifest.json  the settings that all of it was made with
  wm_abench/     a tfds data set a cell
  shards/        of each finished shard its work and its items' digests
  results.json   of each cell the numbers, the digests and the audits
  gallery.html   a few items of each cell

A shard is made of whole groups by a pool of processes, written at once and then
kept: the same command goes on from there. The settings of a workdir stay.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import errno
import hashlib
from importlib import metadata
import itertools
import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from typing import Any

import ml_collections
import tqdm

from commons import errors
from wm_abench import (
  audits,
  dataset,
  dataset_builder,
  dimensions,
  gallery,
  generation,
  types,
  workers,
)
from wm_abench.render import names

GROUPS_A_SHARD, GROUPS_A_TASK = 64, 4
# Of a picture at quality 92, and of an item's text and state: for the estimate
# that is printed; what is there already is counted.
_BYTES_PER_PIXEL, _BYTES_PER_ITEM = 0.22, 20_000
_GO_ON = 'what is finished is kept, and the same command goes on from there'


@dataclasses.dataclass(frozen=True)
class Shard:
  """Items of a cell that are written together, from start on, up to stop."""

  cell: dimensions.Cell
  split: str
  index: int
  of: int
  start: int
  stop: int

  def path(self, folder: pathlib.Path) -> pathlib.Path:
    return dataset.shard_path(
      folder, self.cell.name, self.split, self.index, self.of
    )

  def record(self, folder: pathlib.Path) -> pathlib.Path:
    """Of its work and digests, written when it is finished."""
    name = f'{self.cell.name}-{self.split}-{self.index:05d}-of-{self.of:05d}'
    return folder / 'shards' / f'{name}.json'

  def tasks(self) -> list[workers.Task]:
    step = GROUPS_A_TASK * self.cell.of.options
    return [
      workers.Task(self.cell.name, i, min(i + step, self.stop))
      for i in range(self.start, self.stop, step)
    ]

  def is_finished(self, folder: pathlib.Path) -> bool:
    path, record = self.path(folder), self.record(folder)
    if not path.is_file() or not record.is_file():
      return False
    return _load(record)['bytes'] == path.stat().st_size


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Makes the items of the config's cells, then audits and shows them."""
  folder = pathlib.Path(workdir)
  cells = dimensions.select(config.cells)
  sizes = _sizes(config, cells)
  names.check(config.renderer)
  _keep_settings(config, folder)
  started = time.monotonic()
  if config.beam:
    _make_with_beam(config, cells, sizes, folder)
  else:
    _make(config, cells, sizes, folder)
  results = {
    'seconds': time.monotonic() - started,
    **_load(folder / 'manifest.json'),
    'cells': {},
  }
  shown = {}
  for cell in cells:
    found, shown[cell.name] = _look_at(config, cell, sizes, len(cells), folder)
    results['cells'][cell.name] = found
  _save(folder / 'results.json', results)
  page = gallery.write(folder, shown, results)
  print(table(results))
  print(f'{page} shows {config.gallery_items} items of each cell')


def table(results: Mapping[str, Any]) -> str:
  """The cells of results.json as plain text, one a line."""
  rows = [('cell', 'items', 'MB', 'frames', 'seconds', 'audits')]
  for name, cell in results['cells'].items():
    work = cell['work']
    seconds = sum(v for k, v in work.items() if k.endswith('_s'))
    row = (name, cell['items'], f'{cell["bytes"] / 1e6:.1f}')
    made = (work['rendered'], f'{seconds:.0f}') if work else ('', '')
    rows.append((*row, *made, cell['audits']['verdict']))
  widths = [max(len(str(v)) for v in column) for column in zip(*rows)]
  lines = []
  for name, *numbers, verdict in rows:
    middle = [
      str(v).rjust(w) for v, w in zip(numbers, widths[1:-1], strict=True)
    ]
    lines.append('  '.join([name.ljust(widths[0]), *middle, verdict]))
  return '\n'.join(lines)


def plan(
  cells: Sequence[dimensions.Cell], split: str, sizes: Mapping[str, int]
) -> list[Shard]:
  """The shards of the cells; a world's follow one another."""
  shards = []
  for cell in sorted(cells, key=lambda c: c.environment):
    step = GROUPS_A_SHARD * cell.of.options
    starts = range(0, sizes[cell.name], step)
    shards += [
      Shard(cell, split, i, len(starts), s, min(s + step, sizes[cell.name]))
      for i, s in enumerate(starts)
    ]
  return shards


def estimate_bytes(cell: dimensions.Cell, items: int, size_px: int) -> int:
  """About what the items of a cell take on disk."""
  options = cell.of.options if cell.of.form == dimensions.IMAGE else 0
  picture = _BYTES_PER_PIXEL * size_px**2
  return int(items * ((cell.images + options) * picture + _BYTES_PER_ITEM))


def _sizes(config, cells) -> dict[str, int]:
  sizes = {c.name: dataset.size_of(c, config.split) for c in cells}
  for name, least in (('items', 0), ('seed', 0), ('size_px', 32)):
    if config[name] < least:
      raise errors.UserError(f'config.{name}={config[name]} is below {least}')
  return dict.fromkeys(sizes, config['items']) if config['items'] else sizes


def _keep_settings(config, folder: pathlib.Path) -> None:
  """Writes the settings, or checks that they are those of before.

  Raises:
    UserError: the workdir was made with others.
  """
  wanted = {
    **{k: config[k] for k in ('split', 'items', 'seed', 'size_px', 'renderer')},
    'version': dataset.VERSION,
    'mujoco': metadata.version('mujoco'),
  }
  path = folder / 'manifest.json'
  if not path.is_file():
    return _save(path, wanted)
  had = _load(path)
  for name, value in wanted.items():
    if had.get(name) != value:
      raise errors.UserError(
        f'{str(folder)!r} holds items made with {name}={had.get(name)}, not'
        f' {value}: give another workdir, or the same {name}'
      )


def _make(config, cells, sizes, folder: pathlib.Path) -> None:
  """Makes the shards that are not there yet, and the cells' tfds metadata."""
  shards = plan(cells, config.split, sizes)
  missing = [s for s in shards if not s.is_finished(folder)]
  if missing:
    _check_disk(config, missing, folder)
    with _told_how_to_go_on(), _terminable():
      _make_shards(config, missing, folder)
  for name, own in itertools.groupby(shards, key=lambda s: s.cell.name):
    lengths = [s.stop - s.start for s in own]
    dataset.finish(folder, name, config.split, lengths)


def _check_disk(config, shards, folder: pathlib.Path) -> None:
  items = sum(s.stop - s.start for s in shards)
  need = sum(
    estimate_bytes(s.cell, s.stop - s.start, config.size_px) for s in shards
  )
  free = shutil.disk_usage(folder).free
  cells = len({s.cell.name for s in shards})
  print(
    f'{items:,} items of {cells} cells are to be made, about'
    f' {need / 1e6:,.0f} MB; {free / 1e6:,.0f} MB are free'
  )
  if need > free:
    raise errors.UserError(
      f'{str(folder)!r} has {free / 1e6:,.0f} MB free, and about'
      f' {need / 1e6:,.0f} MB are needed'
    )


def _make_shards(config, shards, folder: pathlib.Path) -> None:
  settings = generation.Settings(config.seed, config.size_px, config.renderer)
  of = {task: shard for shard in shards for task in shard.tasks()}
  made = collections.defaultdict(list)
  items = sum(s.stop - s.start for s in shards)
  with (
    workers.Pool(settings, config.workers) as pool,
    tqdm.tqdm(total=items, unit='item', disable=None) as bar,
  ):
    for part in pool.make(of):
      shard = of[part.task]
      bar.set_postfix_str(shard.cell.name)
      bar.update(len(part.items))
      made[shard].append(part)
      if len(made[shard]) == len(shard.tasks()):
        _write(shard, made.pop(shard), folder)


def _write(shard: Shard, parts: Sequence[workers.Made], folder) -> None:
  parts = sorted(parts, key=lambda p: p.task.start)
  items = [item for part in parts for item in part.items]
  size = dataset.write_shard(shard.path(folder), items)
  work = sum((p.work for p in parts), collections.Counter())
  _save(shard.record(folder), _record(items, size, work))


def _record(items: Sequence[types.Item], size, work) -> dict[str, Any]:
  said, seen = zip(*map(generation.digests, items), strict=True)
  return {
    'items': len(items),
    'bytes': size,
    'work': dict(work),
    'digests': {'content': said, 'pictures': seen},
  }


def _make_with_beam(config, cells, sizes, folder: pathlib.Path) -> None:
  """Each cell by a pipeline; those that are there are not made again."""
  for cell in cells:
    builder = dataset_builder.prepare(
      dataset_builder.config(
        cell.name,
        seed=config.seed,
        size_px=config.size_px,
        renderer=config.renderer,
        splits={config.split: sizes[cell.name]},
        beam=True,
      ),
      folder,
      config.beam,
    )
    items = list(dataset.read(folder, [cell.name]))
    (record,) = [
      s.record(folder)
      for s in (Shard(cell, config.split, 0, 1, 0, len(items)),)
    ]
    _save(record, _record(items, builder.info.dataset_size, {}))


def _look_at(config, cell, sizes, cells: int, folder: pathlib.Path):
  """What results.json says of a cell, and the items that the gallery shows."""
  pattern = f'{cell.name}-{config.split}-*.json'
  records = [_load(p) for p in sorted((folder / 'shards').glob(pattern))]
  work = sum((collections.Counter(r['work']) for r in records), _EMPTY)
  sample = list(
    itertools.islice(dataset.read(folder, [cell.name]), audits.MAX_ITEMS)
  )
  found = {
    'items': sum(r['items'] for r in records),
    'bytes': sum(r['bytes'] for r in records),
    'work': dict(work),
    'digests': {
      kind: _joined(d for r in records for d in r['digests'][kind])
      for kind in ('content', 'pictures')
    },
    'audits': audits.audit(sample, cells=cells),
  }
  return found, gallery.choose(sample, config.gallery_items)


_EMPTY: collections.Counter[str] = collections.Counter()


def _joined(digests: Iterator[str]) -> str:
  return hashlib.sha256(''.join(digests).encode()).hexdigest()


@contextlib.contextmanager
def _told_how_to_go_on() -> Iterator[None]:
  try:
    yield
  except KeyboardInterrupt as e:
    print(f'stopped: {_GO_ON}', file=sys.stderr)
    raise SystemExit(128 + (e.args[0] if e.args else signal.SIGINT)) from None
  except OSError as e:
    if e.errno != errno.ENOSPC:
      raise
    raise errors.UserError(
      f'the disk is full: {_GO_ON}, once there is room'
    ) from e


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
  """SIGTERM stops the run as Ctrl-C does."""

  def stop(number, _):
    raise KeyboardInterrupt(number)

  if threading.current_thread() is not threading.main_thread():
    yield  # Only there can signals be handled.
    return
  before = signal.signal(signal.SIGTERM, stop)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _load(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text())


def _save(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes JSON, which is there wholly or not at all."""
  path.parent.mkdir(exist_ok=True)
  unfinished = path.with_name(f'unfinished.{path.name}')
  unfinished.write_text(json.dumps(value, indent=1) + '\n')
  os.replace(unfinished, path)
