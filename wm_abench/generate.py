"""Environments -> data set, audits, gallery.

A workdir contains

  manifest.json  the settings that everything was made with
  data/          the parquet shards, a folder per cell
  shards/        the record of each finished shard: its work and its digests
  results.json   the counts, digests and audits of each cell
  gallery.html   a few items of each cell

A pool of processes makes shards of whole groups. A finished shard is kept, so
the same command continues a run that was stopped. The settings of a workdir
cannot change.
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
from wm_abench.data import layout, parquet
from wm_abench.generation import beam, gallery, generator, shards, workers
from wm_abench.worlds import registry

# Estimates of a JPEG at quality 92, and of an item's text and state.
_BYTES_PER_PIXEL, _BYTES_PER_ITEM = 0.22, 20_000
_GO_ON = 'what is finished is kept, and the same command goes on from there'
# The fields of the config that all items of a workdir share.
_SETTINGS = ('split', 'cell_items', 'seed', 'size_px', 'renderer', 'simulator')


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Makes the items of the config's cells, audits them and shows them.

  Raises:
    UserError: the config has an unknown name or a bad number, the workdir was
      made with other settings or has too little space, or the host cannot
      render.
    ServiceError: a worker was killed.
  """
  folder = pathlib.Path(workdir)
  cells = _cells(config)
  sizes = _sizes(config, cells)
  _keep_settings(config, folder)
  started = time.monotonic()
  planned = shards.plan(cells, config.split, sizes, config.simulator)
  _make(config, planned, folder)
  results = {
    'seconds': time.monotonic() - started,
    **run_files.read_json(folder / run_files.MANIFEST),
    'cells': {},
  }
  entries = {}
  for cell in cells:
    records = [s.record(folder) for s in planned if s.cell == cell]
    items = parquet.read(folder, [cell.name], states=False)
    sample = list(itertools.islice(items, audits.MAX_ITEMS))
    results['cells'][cell.name] = _summarise(records) | {
      'audits': audits.audit(sample, cells=len(cells))
    }
    entries[cell.name] = gallery.choose(sample, config.gallery_items)
  run_files.write_json(folder / 'results.json', results)
  page = gallery.write(folder, entries, results)
  print(table(results))
  print(f'{page} shows {config.gallery_items} items of each cell')


def table(results: Mapping[str, Any]) -> str:
  """Returns the cells of results.json as plain text, one per line."""
  rows = [('cell', 'items', 'MB', 'frames', 'seconds', 'audits')]
  for name, cell in results['cells'].items():
    work = cell['work']
    seconds = sum(v for k, v in work.items() if k.endswith('_s'))
    size = f'{cell["bytes"] / 1e6:.1f}'
    cost = (work['rendered'], f'{seconds:.0f}')
    rows.append((name, cell['items'], size, *cost, cell['audits']['verdict']))
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
  """Returns an estimate of the size of a cell's items on disk."""
  options = cell.of.options if cell.of.form == dimensions.IMAGE else 0
  picture = _BYTES_PER_PIXEL * size_px**2
  return int(items * ((cell.images + options) * picture + _BYTES_PER_ITEM))


def _cells(config) -> tuple[dimensions.Cell, ...]:
  """Returns the cells to make.

  Raises:
    UserError: a name in the config is unknown.
  """
  cells = dimensions.select(config.cells)
  if config.renderer not in registry.RENDERERS:
    raise errors.unknown('renderer', config.renderer, registry.RENDERERS)
  made = generator.made_by(config.simulator, cells)
  if len(made) < len(cells):
    left_out = ', '.join(c.name for c in cells if c not in made)
    print(f'skipped, because {config.simulator} does not make: {left_out}')
  return made


def _sizes(config, cells) -> dict[str, int]:
  """Returns the number of items of each cell.

  Raises:
    UserError: a number in the config is too small, or the split is unknown.
  """
  minima = {'cell_items': 0, 'seed': 0, 'size_px': 32, 'workers': 0}
  for name, minimum in (minima | {'gallery_items': 1}).items():
    if config[name] < minimum:
      raise errors.UserError(f'config.{name}={config[name]} is below {minimum}')
  sizes = {c.name: layout.size_of(c, config.split) for c in cells}
  return dict.fromkeys(sizes, config.cell_items) if config.cell_items else sizes


def _keep_settings(config, folder: pathlib.Path) -> None:
  """Writes the settings, or checks that they are the workdir's.

  Raises:
    UserError: the workdir's items were made with other settings.
  """
  settings = {
    **{name: config[name] for name in _SETTINGS},
    'version': layout.VERSION,
    'mujoco': metadata.version('mujoco'),
  }
  if not (folder / shards.RECORDS).is_dir():  # No shard was made yet.
    (folder / run_files.MANIFEST).unlink(missing_ok=True)
  run_files.keep_manifest(folder, settings, 'items made')


def _make(config, planned: Sequence[shards.Shard], folder) -> None:
  """Makes the shards that are not finished."""
  shards.remove_unfinished(folder)
  missing = [s for s in planned if not s.is_finished(folder)]
  settings = generator.Settings(
    config.seed, config.size_px, config.renderer, config.simulator
  )
  if not missing:
    return
  if not config.simulator:  # A simulator has its own renderer.
    print(registry.describe_renderer(config.renderer))
  _check_disk(config, missing, folder)
  with _explain_how_to_continue(), _stop_on_sigterm():
    if config.beam:
      beam.make_shards(settings, missing, folder, config.beam)
    else:
      _make_here(settings, config.workers, missing, folder)


def _check_disk(config, missing: Sequence[shards.Shard], folder) -> None:
  """Prints how much space is needed; raises UserError if it is not free."""
  items = sum(s.items for s in missing)
  need = sum(estimate_bytes(s.cell, s.items, config.size_px) for s in missing)
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
  """Makes the missing shards by `count` processes of this machine."""
  shard_of = {task: shard for shard in missing for task in shard.tasks()}
  results = collections.defaultdict(list)
  items = sum(s.items for s in missing)
  with (
    workers.Pool(settings, count) as pool,
    tqdm.tqdm(total=items, unit='item', disable=None) as bar,
  ):
    for result in pool.make(shard_of):
      shard = shard_of[result.task]
      bar.set_postfix_str(shard.cell.name)
      bar.update(len(result.items))
      results[shard].append(result)
      if len(results[shard]) == len(shard.tasks()):
        shards.write(shard, results.pop(shard), folder)


def _summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Returns the sums of the records of a cell's shards."""
  work: collections.Counter[str] = collections.Counter()
  for record in records:
    work += collections.Counter(record['work'])
  return {
    'items': sum(r['items'] for r in records),
    'bytes': sum(r['bytes'] for r in records),
    'work': dict(sorted(work.items())),
    'digests': {
      kind: _join(d for r in records for d in r['digests'][kind])
      for kind in ('content', 'pictures')
    },
  }


def _join(digests: Iterator[str]) -> str:
  return hashlib.sha256(''.join(digests).encode()).hexdigest()


@contextlib.contextmanager
def _explain_how_to_continue() -> Iterator[None]:
  """Adds to an interruption or an error how to continue the run."""
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
      f'there is no space left for {e.filename}: {_GO_ON}, once there is'
    ) from e


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
  """Handles SIGTERM like Ctrl-C."""

  def stop(number, _):
    raise KeyboardInterrupt(number)

  if threading.current_thread() is not threading.main_thread():
    yield  # Signals can only be handled in the main thread.
    return
  before = signal.signal(signal.SIGTERM, stop)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
