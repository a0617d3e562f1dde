"""Measures what making items costs, and compares with the bare renderer.

  python benchmarks/generation.py --json generation.json
  python benchmarks/generation.py --environments street --sizes_px 256

For each environment, renderer and size, one process per core makes a few groups
of each dimension twice. The first time compiles rooms and uploads meshes; the
second time is measured. An assertion checks that both give the same items.

  items/s, frames/s  sums over all processes
  ms/frame           rendering time; median over processes of their means
  shares             shares of drafting, physics, rendering and encoding in time
  of bare            frames/s divided by the rate if only the calls of the
                     library took time: mjv_updateScene, mjr_render and
                     mjr_readPixels of MuJoCo, render of Mitsuba

`--memory N` then makes N items in one process, environment after environment,
and prints the resident memory in between.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import importlib
import itertools
import json
import multiprocessing
import os
import pathlib
import statistics
import sys
import time
from typing import Any, NamedTuple

from wm_abench.core import dimensions
from wm_abench.generation import generator as generator_lib
from wm_abench.worlds import registry

_KINDS = ('drafting_s', 'physics_s', 'rendering_s', 'encoding_s')
_SEED = 0
# The calls of each renderer's library that a frame needs.
_CALLS = {
  'mujoco': ('mjv_updateScene', 'mjr_render', 'mjr_readPixels'),
  'mitsuba': ('render',),
}
_MEMORY_PX = 96
_MEMORY_POINTS = 8  # Measurements per environment.


class Case(NamedTuple):
  """The work of one process: groups first, first + 1, ... per dimension."""

  environment: str
  renderer: str
  size_px: int
  first: int
  count: int

  def groups(self) -> Iterator[tuple[dimensions.Cell, int]]:
    cells = dimensions.select(self.environment)
    one_each = {cell.dimension: cell for cell in cells}.values()
    indices = range(self.first, self.first + self.count)
    yield from itertools.product(one_each, indices)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--json', type=pathlib.Path, help='file for the results')
  worlds = [*dimensions.STANDS_FOR]
  parser.add_argument(
    '--environments', nargs='+', default=worlds, choices=worlds
  )
  parser.add_argument(
    '--renderers', nargs='+', default=['mujoco'], choices=registry.RENDERERS
  )
  parser.add_argument(
    '--sizes_px', type=int, nargs='+', default=[256, 384, 512]
  )
  parser.add_argument(
    '--groups', type=int, default=2, help='groups per dimension and process'
  )
  parser.add_argument(
    '--workers', type=int, default=len(os.sched_getaffinity(0))
  )
  parser.add_argument(
    '--memory', type=int, default=0, help='number of items, such as 2000'
  )
  args = parser.parse_args(argv)
  if min(args.workers, args.groups, *args.sizes_px) < 1:
    parser.error('--workers, --groups and --sizes_px: must be 1 or more')
  return args


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  # One core per process, as in wm_abench/generation/workers.py.
  os.environ.setdefault('LP_NUM_THREADS', '1')
  results: dict[str, Any] = {'workers': args.workers, 'cases': []}
  for case in itertools.product(
    args.environments, args.renderers, args.sizes_px
  ):
    measured = _run_together(args, *case)
    results['cases'].append(measured)
    shares = ' '.join(f'{k} {v:.0%}' for k, v in measured['shares'].items())
    print(
      f'{measured["environment"]:>17} {measured["renderer"]}'
      f' {measured["size_px"]} px:'
      f' {measured["items_per_s"]:.2f} items/s, {measured["frames_per_s"]:.1f}'
      f' frames/s, {measured["ms_per_frame"]:.0f} ms/frame,'
      f' {measured["of_bare"]:.0%} of bare; {measured["rendered"]} frames for'
      f' {measured["asked"]} asked; {shares}',
      flush=True,
    )
  if args.memory:
    with _pool(1) as pool:
      results['memory_mib'] = pool.submit(
        _memory, args.environments, args.memory
      ).result()
    for row in results['memory_mib']:
      print(f'{row["items"]:>6} items, {row["environment"]}: {row["mib"]} MiB')
  if args.json:
    args.json.write_text(json.dumps(results, indent=1) + '\n')


def _pool(workers: int) -> futures.ProcessPoolExecutor:
  context = multiprocessing.get_context('spawn')
  return futures.ProcessPoolExecutor(workers, context)


def _run_together(args, environment: str, renderer: str, size_px: int) -> dict:
  """Measures a case in all processes at once, each with different groups."""
  with _pool(args.workers) as pool:
    processes = list(
      pool.map(
        _measure,
        [
          Case(environment, renderer, size_px, i * args.groups, args.groups)
          for i in range(args.workers)
        ],
      )
    )
  total = {k: sum(p[k] for p in processes) for k in processes[0]}
  rate = sum(p['rendered'] / p['seconds'] for p in processes)
  bare_rate = sum(p['rendered'] / p['bare_s'] for p in processes)
  spent = sum(total[k] for k in _KINDS)
  return {
    'environment': environment,
    'renderer': renderer,
    'size_px': size_px,
    'items_per_s': sum(p['items'] / p['seconds'] for p in processes),
    'frames_per_s': rate,
    'bare_frames_per_s': bare_rate,
    'of_bare': rate / bare_rate,
    'ms_per_frame': statistics.median(
      1000 * p['rendering_s'] / p['rendered'] for p in processes
    ),
    'asked': total['asked'],
    'rendered': total['rendered'],
    'rejected': total['rejected'],
    'shares': {k.removesuffix('_s'): total[k] / spent for k in _KINDS},
  }


def _measure(case: Case) -> dict[str, float]:
  settings = generator_lib.Settings(_SEED, case.size_px, case.renderer)
  generator = generator_lib.Generator(settings)
  before = [generator.group(cell, index) for cell, index in case.groups()]
  generator.take_work()
  library = _Library(case.renderer)
  start = time.perf_counter()
  after = [generator.group(cell, index) for cell, index in case.groups()]
  seconds = time.perf_counter() - start
  work = generator.take_work()
  generator.close()
  assert after == before
  return {
    'items': sum(map(len, after)),
    'seconds': seconds,
    'bare_s': library.seconds,
    'asked': work['asked'],
    'rendered': work['rendered'],
    'rejected': work['rejected'],
    **{kind: work[kind] for kind in _KINDS},
  }


class _Library:
  """Counts the seconds inside the renderer's library from now on."""

  def __init__(self, renderer: str):
    self.seconds = 0.0
    module = importlib.import_module(renderer)
    for name in _CALLS[renderer]:
      setattr(module, name, self._timed(getattr(module, name)))

  def _timed(self, call: Callable) -> Callable:
    def timed(*args, **keywords):
      start = time.perf_counter()
      result = call(*args, **keywords)
      self.seconds += time.perf_counter() - start
      return result

    return timed


def _memory(environments: Sequence[str], items: int) -> list[dict[str, Any]]:
  """Returns the resident memory while items of the environments are made."""
  settings = generator_lib.Settings(_SEED, _MEMORY_PX, 'mujoco')
  generator = generator_lib.Generator(settings)
  rows, total = [], 0
  each = -(-items // len(environments))
  for environment in environments:
    cells = itertools.cycle(dimensions.select(environment))
    count, index, next_row_at = 0, 0, 0
    while count < each:
      if count >= next_row_at:
        rows.append(
          {'items': total, 'environment': environment, 'mib': _resident_mib()}
        )
        next_row_at += each // _MEMORY_POINTS
      new = len(generator.group(next(cells), index))
      count, total, index = count + new, total + new, index + 1
  rows.append({'items': total, 'environment': '', 'mib': _resident_mib()})
  generator.close()
  return rows


def _resident_mib() -> int:
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') // 2**20


if __name__ == '__main__':
  main(sys.argv[1:])
