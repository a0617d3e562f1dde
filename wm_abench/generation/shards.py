"""Shards: items of a cell that are made together, written at once and kept.

Beside a shard lies its record, of the work that it took and the digests of its
items. The record is written last, so that what has one is finished.
"""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

from wm_abench.core import dimensions, run_files
from wm_abench.data import dataset
from wm_abench.generation import generator, workers

GROUPS_A_SHARD, GROUPS_A_TASK = 64, 4


@dataclasses.dataclass(frozen=True)
class Shard:
  """Items of a cell, from number start on, up to stop.

  Attributes:
    cell: whose they are.
    split: its split.
    index, of: which of the cell's shards, and how many it has.
    start, stop: whole groups, but for the cell's last.
  """

  cell: dimensions.Cell
  split: str
  index: int
  of: int
  start: int
  stop: int

  def path(self, folder: pathlib.Path) -> pathlib.Path:
    """Of its data in a workdir."""
    return dataset.shard_path(
      folder, self.cell.name, self.split, self.index, self.of
    )

  def record_path(self, folder: pathlib.Path) -> pathlib.Path:
    """Of its record in a workdir."""
    name = f'{self.cell.name}-{self.split}-{self.index:05d}-of-{self.of:05d}'
    return folder / 'shards' / f'{name}.json'

  def record(self, folder: pathlib.Path) -> dict[str, Any]:
    """As `write` left it: 'items', 'bytes', 'work' and 'digests'."""
    return run_files.load(self.record_path(folder))

  def tasks(self) -> list[workers.Task]:
    """Its items in parts that processes share out among each other."""
    step = GROUPS_A_TASK * self.cell.of.options
    return [
      workers.Task(self.cell.name, i, min(i + step, self.stop))
      for i in range(self.start, self.stop, step)
    ]

  def is_finished(self, folder: pathlib.Path) -> bool:
    """Whether its data are there, as long as its record says."""
    path = self.path(folder)
    if not path.is_file() or not self.record_path(folder).is_file():
      return False
    return self.record(folder)['bytes'] == path.stat().st_size


def plan(
  cells: Sequence[dimensions.Cell], split: str, sizes: Mapping[str, int]
) -> list[Shard]:
  """The shards of the cells; a world's follow one another.

  Args:
    cells: that are to be made.
    split: their only one.
    sizes: items by the cell's name.
  """
  planned = []
  for cell in sorted(cells, key=lambda c: c.environment):
    step = GROUPS_A_SHARD * cell.of.options
    starts = range(0, sizes[cell.name], step)
    planned += [
      Shard(cell, split, i, len(starts), s, min(s + step, sizes[cell.name]))
      for i, s in enumerate(starts)
    ]
  return planned


def write(
  shard: Shard, parts: Sequence[workers.Made], folder: pathlib.Path
) -> None:
  """Writes a shard and then its record.

  Args:
    shard: whose tasks were done.
    parts: what became of them, in any order.
    folder: the workdir.

  Raises:
    OSError: it cannot be written; ENOSPC where there is no room for it.
  """
  parts = sorted(parts, key=lambda p: p.task.start)
  items = [item for part in parts for item in part.items]
  size = dataset.write_shard(shard.path(folder), items)
  said, seen = zip(*map(generator.digests, items), strict=True)
  work = sum((p.work for p in parts), collections.Counter())
  record = {
    'items': len(items),
    'bytes': size,
    'work': dict(sorted(work.items())),
    'digests': {'content': said, 'pictures': seen},
  }
  run_files.save(shard.record_path(folder), record)
