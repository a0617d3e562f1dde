"""Shards: items of a cell that are made together, written once and kept.

Each shard has a record of the work that it took and of its items' digests. The
record is written last, so a shard with a record is finished.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

from wm_abench.core import dimensions, run_files
from wm_abench.data import layout, parquet
from wm_abench.generation import generator, workers

GROUPS_PER_SHARD, GROUPS_PER_TASK = 64, 4
RECORDS = 'shards'
# Files that commons.files was writing when a process was killed.
_UNFINISHED = '.*.unfinished'


@dataclasses.dataclass(frozen=True)
class Shard:
  """The items of a cell from index `start` to `stop`, exclusive.

  Attributes:
    cell: the cell of the items.
    split: the split of the items.
    index: the index of the shard in the split, from 0.
    count: how many shards the split has.
    start, stop: the range of items: whole groups, except for the cell's last.
    simulator: as in generator.Settings.
  """

  cell: dimensions.Cell
  split: str
  index: int
  count: int
  start: int
  stop: int
  simulator: str = ''

  @property
  def items(self) -> int:
    """The number of items."""
    return self.stop - self.start

  def path(self, folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of its data in a workdir."""
    return layout.shard_path(
      folder, self.cell.name, self.split, self.index, self.count
    )

  def record_path(self, folder: pathlib.Path) -> pathlib.Path:
    """Returns the path of its record in a workdir."""
    return folder / RECORDS / f'{self.cell.name}-{self.path(folder).stem}.json'

  def record(self, folder: pathlib.Path) -> dict[str, Any]:
    """Returns its record: 'items', 'bytes', 'work' and 'digests'."""
    return run_files.read_json(self.record_path(folder))

  def tasks(self) -> list[workers.Task]:
    """Returns the tasks that make it, for several processes."""
    step = GROUPS_PER_TASK * self.cell.of.options
    return [
      workers.Task(self.cell.name, i, min(i + step, self.stop))
      for i in range(self.start, self.stop, step)
    ]

  def is_finished(self, folder: pathlib.Path) -> bool:
    """Returns whether its data exists with the size that its record names."""
    path = self.path(folder)
    if not path.is_file() or not self.record_path(folder).is_file():
      return False
    return self.record(folder)['bytes'] == path.stat().st_size


def plan(
  cells: Sequence[dimensions.Cell],
  split: str,
  sizes: Mapping[str, int],
  simulator: str = '',
) -> list[Shard]:
  """Returns the shards of the cells, ordered by environment.

  Args:
    cells: the cells to make.
    split: the split to make.
    sizes: number of items by name of cell.
    simulator: as in generator.Settings.
  """
  shards = []
  for cell in sorted(cells, key=lambda c: c.environment):
    size = sizes[cell.name]
    step = GROUPS_PER_SHARD * cell.of.options
    starts = range(0, size, step)
    shards += [
      Shard(cell, split, i, len(starts), s, min(s + step, size), simulator)
      for i, s in enumerate(starts)
    ]
  return shards


def write(
  shard: Shard, results: Sequence[workers.Result], folder: pathlib.Path
) -> None:
  """Writes a shard and then its record.

  Args:
    shard: a shard.
    results: the results of its tasks, in any order.
    folder: the workdir.

  Raises:
    OSError: a file cannot be written; ENOSPC if there is no space left.
  """
  results = sorted(results, key=lambda result: result.task.start)
  items = [item for result in results for item in result.items]
  size = parquet.write_shard(shard.path(folder), items, shard.simulator)
  contents, pictures = zip(*map(generator.digests, items), strict=True)
  work = sum((result.work for result in results), collections.Counter())
  record = {
    'items': len(items),
    'bytes': size,
    'work': dict(sorted(work.items())),
    'digests': {'content': contents, 'pictures': pictures},
  }
  run_files.write_json(shard.record_path(folder), record)


def remove_unfinished(folder: pathlib.Path) -> None:
  """Removes the unfinished files that killed processes left in a workdir."""
  for path in folder.rglob(_UNFINISHED):
    path.unlink()
