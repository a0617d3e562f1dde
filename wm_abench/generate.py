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
import errno
import hashlib
from importlib import metadata
import itertools
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
from wm_abench.audits import audits
from wm_abench.core import dimensions, run_files
from wm_abench.data import dataset
from wm_abench.generation import beam, gallery, generator, shards, workers
from wm_abench.worlds import registry

# Of a picture at quality 92, and of an item's text and state: for the estimate
# that is printed; what is there already is counted.
_BYTES_PER_PIXEL, _BYTES_PER_ITEM = 0.22, 20_000
_GO_ON = 'what is finished is kept, and the same command goes on from there'


# What all the items of a workdir have in common.
_SETTINGS = ('split', 'cell_items', 'seed', 'size_px', 'renderer', 'simulator')


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Makes the items of the config's cells, then audits and shows them.

  Raises:
    UserError: the config names what there is not, the workdir was made with
      other settings or has no room, or the host cannot render.
    ServiceError: a worker was killed.
  """
  folder = pathlib.Path(workdir)
  cells = _cells(config)
  sizes = _sizes(config, cells)
  _keep_settings(config, folder)
  started = time.monotonic()
  planned = shards.plan(cells, config.split, sizes)
  _make(config, planned, folder)
  results = {
    'seconds': time.monotonic() - started,
    **run_files.load(folder / run_files.NAME),
    'cells': {},
  }
  shown = {}
  for cell in cells:
    own = [s.record(folder) for s in planned if s.cell == cell]
    sample = list(
      itertools.islice(dataset.read(folder, [cell.name]), audits.MAX_ITEMS)
    )
    results['cells'][cell.name] = _told(own) | {
      'audits': audits.audit(sample, cells=len(cells))
    }
    shown[cell.name] = gallery.choose(sample, config.gallery_items)
  run_files.save(folder / 'results.json', results)
  page = gallery.write(folder, shown, results)
  print(table(results))
  print(f'{page} shows {config.gallery_items} items of each cell')


def table(results: Mapping[str, Any]) -> str:
  """The cells of results.json as plain text, one a line."""
  rows = [('cell', 'items', 'MB', 'frames', 'seconds', 'audits')]
  for name, cell in results['cells'].items():
    work = cell['work']
    seconds = sum(v for k, v in work.items() if k.endswith('_s'))
    size = f'{cell["bytes"] / 1e6:.1f}'
    made = (work['rendered'], f'{seconds:.0f}')
    rows.append((name, cell['items'], size, *made, cell['audits']['verdict']))
  widths = [
    max(len(str(v)) for v in column) for column in zip(*rows, strict=True)
  ]
  lines = []
  for name, *numbers, verdict in rows:
    middle = [
      str(v).rjust(w) for v, w in zip(numbers, widths[1:-1], strict=True)
    ]
    lines.append('  '.join([name.ljust(widths[0]), *middle, verdict]))
  return '\n'.join(lines)


def estimate_bytes(cell: dimensions.Cell, items: int, size_px: int) -> int:
  """About what the items of a cell take on disk."""
  options = cell.of.options if cell.of.form == dimensions.IMAGE else 0
  picture = _BYTES_PER_PIXEL * size_px**2
  return int(items * ((cell.images + options) * picture + _BYTES_PER_ITEM))


def _cells(config) -> tuple[dimensions.Cell, ...]:
  """The cells that are to be made; what names there are is checked here."""
  cells = dimensions.select(config.cells)
  if config.renderer not in registry.RENDERERS:
    raise errors.unknown('renderer', config.renderer, registry.RENDERERS)
  made = generator.made_by(config.simulator, cells)
  if len(made) < len(cells):
    left_out = ', '.join(c.name for c in cells if c not in made)
    print(f'left out, for {config.simulator} does not make them: {left_out}')
  return made


def _sizes(config, cells) -> dict[str, int]:
  least = {'cell_items': 0, 'seed': 0, 'size_px': 32, 'workers': 0}
  for name, number in (least | {'gallery_items': 1}).items():
    if config[name] < number:
      raise errors.UserError(f'config.{name}={config[name]} is below {number}')
  sizes = {c.name: dataset.size_of(c, config.split) for c in cells}
  return dict.fromkeys(sizes, config.cell_items) if config.cell_items else sizes


def _keep_settings(config, folder: pathlib.Path) -> None:
  """Writes the settings, or checks that they are those of before.

  Raises:
    UserError: items were made with others.
  """
  wanted = {
    **{name: config[name] for name in _SETTINGS},
    'version': dataset.VERSION,
    'mujoco': metadata.version('mujoco'),
  }
  if not (folder / 'shards').is_dir():  # Nothing was made with them yet.
    (folder / run_files.NAME).unlink(missing_ok=True)
  run_files.keep(folder, wanted, 'items made')


def _make(config, planned: Sequence[shards.Shard], folder) -> None:
  """Makes the shards that are not there yet, and the cells' tfds metadata."""
  missing = [s for s in planned if not s.is_finished(folder)]
  settings = generator.Settings(
    config.seed, config.size_px, config.renderer, config.simulator
  )
  if missing:
    if not config.simulator:  # Those bring renderers of their own.
      print(registry.describe_renderer(config.renderer))
    _check_disk(config, missing, folder)
    with _told_how_to_go_on(), _terminable():
      if config.beam:
        beam.make_shards(settings, missing, folder, config.beam)
      else:
        _make_here(settings, config.workers, missing, folder)
  for name, own in itertools.groupby(planned, key=lambda s: s.cell.name):
    lengths = [s.stop - s.start for s in own]
    dataset.finish(folder, name, config.split, lengths, config.simulator)


def _check_disk(config, missing: Sequence[shards.Shard], folder) -> None:
  items = sum(s.stop - s.start for s in missing)
  need = sum(
    estimate_bytes(s.cell, s.stop - s.start, config.size_px) for s in missing
  )
  free = shutil.disk_usage(folder).free
  cells = len({s.cell.name for s in missing})
  print(
    f'{items:,} items of {cells} cells are to be made, about'
    f' {need / 1e6:,.1f} MB; {free / 1e6:,.0f} MB are free',
    flush=True,
  )
  if need > free:
    raise errors.UserError(
      f'{str(folder)!r} has {free / 1e6:,.0f} MB free, and about'
      f' {need / 1e6:,.0f} MB are needed'
    )


def _make_here(
  settings: generator.Settings,
  count: int,
  missing: Sequence[shards.Shard],
  folder: pathlib.Path,
) -> None:
  of = {task: shard for shard in missing for task in shard.tasks()}
  made = collections.defaultdict(list)
  items = sum(s.stop - s.start for s in missing)
  with (
    workers.Pool(settings, count) as pool,
    tqdm.tqdm(total=items, unit='item', disable=None) as bar,
  ):
    for part in pool.make(of):
      shard = of[part.task]
      bar.set_postfix_str(shard.cell.name)
      bar.update(len(part.items))
      made[shard].append(part)
      if len(made[shard]) == len(shard.tasks()):
        shards.write(shard, made.pop(shard), folder)


def _told(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """What the records of a cell's shards say together."""
  work = sum((collections.Counter(r['work']) for r in records), _NOTHING)
  return {
    'items': sum(r['items'] for r in records),
    'bytes': sum(r['bytes'] for r in records),
    'work': dict(sorted(work.items())),
    'digests': {
      kind: _joined(d for r in records for d in r['digests'][kind])
      for kind in ('content', 'pictures')
    },
  }


_NOTHING: collections.Counter[str] = collections.Counter()


def _joined(digests: Iterator[str]) -> str:
  return hashlib.sha256(''.join(digests).encode()).hexdigest()


@contextlib.contextmanager
def _told_how_to_go_on() -> Iterator[None]:
  try:
    yield
  except KeyboardInterrupt as e:
    print(f'stopped: {_GO_ON}', file=sys.stderr)
    raise SystemExit(128 + (e.args[0] if e.args else signal.SIGINT)) from None
  except errors.ServiceError as e:
    raise errors.ServiceError(f'{e}: {_GO_ON}') from e
  except OSError as e:
    if e.errno != errno.ENOSPC:
      raise
    raise errors.UserError(
      f'there is no room for {e.filename}: {_GO_ON}, once there is'
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
