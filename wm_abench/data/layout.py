"""Where the shards of a data set are, and how many items it has.

A cell's shards lie in one folder,

    FOLDER/data/CELL/SPLIT-00000-of-00004.parquet

and those of the published release in FOLDER/.../CONFIG/, where CONFIG is the
cell's configuration (dimensions.Cell.release), or CONFIG_subset for its subset.
A split of a cell is complete if all the shards that the names count are there.
"""

import dataclasses
import os
import pathlib
import re

from commons import errors
from wm_abench.core import dimensions

# The version of the items; folders of other versions are refused.
NAME, VERSION = 'wm_abench', '2.0.0'
MINI, TEST = 'mini', 'test'
# Items of a cell in the split `mini`, the first ones of its test split. The
# last group is completed, so cells with three options have nine.
MINI_ITEMS = 8

_SHARD = re.compile(r'([a-z_]+)-(\d{5})-of-(\d{5})\.parquet')
_SUBSET_SUFFIX = '_subset'


@dataclasses.dataclass(frozen=True)
class Split:
  """The shards of one split of a cell.

  Attributes:
    name: such as 'mini' or 'test'.
    paths: the shards that are there, in order.
    missing: names of the shards that are not there.
  """

  name: str
  paths: tuple[pathlib.Path, ...]
  missing: tuple[str, ...]


def size_of(cell: dimensions.Cell, split: str) -> int:
  """Returns how many items a cell has in a split.

  Raises:
    UserError: the split does not exist.
  """
  options = cell.of.options
  sizes = {MINI: -(-MINI_ITEMS // options) * options, TEST: cell.cases}
  if split not in sizes:
    raise errors.unknown('split', split, sizes)
  return sizes[split]


def describe(cell: str, simulator: str = '') -> str:
  """Returns what a cell asks and where its scenes come from, in one line.

  Args:
    cell: the name of the cell.
    simulator: the simulator that rendered the scenes; '' if it was an
      environment of this package.
  """
  of = dimensions.CELLS[cell]
  stands_for = dimensions.STANDS_FOR[of.environment]
  where = (
    f'environment {of.environment!r}, an embedded stand-in for {stands_for},'
    ' never the simulator itself'
  )
  if simulator:
    where = f'made in the simulator {simulator!r} itself'
  return f'WM-ABench {of.dimension}: {of.of.asks}; {where}.'


def cell_folder(folder: str | os.PathLike[str], cell: str) -> pathlib.Path:
  """Returns the folder of a generated cell's shards."""
  return pathlib.Path(folder) / 'data' / cell


def shard_path(
  folder: str | os.PathLike[str], cell: str, split: str, index: int, count: int
) -> pathlib.Path:
  """Returns the path of the index-th of a generated cell's `count` shards."""
  name = _shard_name(split, index, count)
  return cell_folder(folder, cell) / name


def _shard_name(split: str, index: int, count: int) -> str:
  return f'{split}-{index:05d}-of-{count:05d}.parquet'


def splits_in(
  folder: str | os.PathLike[str], subset: bool = False
) -> dict[str, list[Split]]:
  """Returns the splits of each cell in a folder, in the order of the table.

  A cell that was generated takes precedence over the same cell of the release.

  Args:
    folder: the workdir of a generation, or any folder above the release's
      configurations.
    subset: whether the release's subsets are meant instead of the full sets.

  Raises:
    UserError: two folders contain the same cell.
  """
  by_folder: dict[str, set[pathlib.Path]] = {}
  for path in pathlib.Path(folder).rglob('*-of-*.parquet'):
    if _SHARD.fullmatch(path.name):
      by_folder.setdefault(path.parent.name, set()).add(path.parent)
  suffix = _SUBSET_SUFFIX if subset else ''
  splits = {}
  for cell in dimensions.CELLS.values():
    places = by_folder.get(cell.name, set()) if not subset else set()
    if not places and cell.release:
      places = by_folder.get(f'{cell.release}{suffix}', set())
    if len(places) > 1:
      listed = ' and '.join(sorted(repr(str(place)) for place in places))
      raise errors.UserError(
        f'{os.fspath(folder)!r} contains cell {cell.name!r} twice, in {listed}:'
        ' name a folder that contains one of them'
      )
    if places:
      splits[cell.name] = _splits(places.pop())
  return splits


def _splits(place: pathlib.Path) -> list[Split]:
  matches = [_SHARD.fullmatch(path.name) for path in sorted(place.iterdir())]
  shards = [match for match in matches if match]
  splits = []
  for name in dict.fromkeys(match[1] for match in shards):
    names = [match[0] for match in shards if match[1] == name]
    count = max(int(match[3]) for match in shards if match[1] == name)
    expected = [_shard_name(name, i, count) for i in range(count)]
    splits.append(
      Split(
        name,
        tuple(place / n for n in expected if n in names),
        tuple(n for n in expected if n not in names),
      )
    )
  return splits
