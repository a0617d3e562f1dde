"""The cells and the first items of a data set that an evaluation asks."""

from collections.abc import Iterator, Sequence
import os

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import layout, parquet

# Items per cell: as many as the split `mini` has; a hundred, as the paper asked
# the most expensive models; or all.
SUBSETS: dict[str, int | None] = {
  'mini': layout.MINI_ITEMS,
  '100': 100,
  'full': None,
}


def select_cells(folder: str | os.PathLike[str], names: str) -> list[str]:
  """Returns the complete cells that a list names, in the order of the table.

  Args:
    folder: the workdir of a generation, or a folder of the release.
    names: as in dimensions.select.

  Raises:
    UserError: the folder contains no items, a name is unknown, or a named cell
      is not in the folder.
  """
  present = parquet.cells_in(folder)
  if not present:
    # Raises the error that says why: no shards at all, or an incomplete cell.
    next(parquet.read(folder))
  for name in map(str.strip, names.split(',')):
    if name in dimensions.CELLS and name not in present:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', name, present)
  cells = [c.name for c in dimensions.select(names) if c.name in present]
  if not cells:
    raise errors.unknown(f'cell in {os.fspath(folder)!r}', names, present)
  return cells


def read(
  folder: str | os.PathLike[str], cells: Sequence[str], subset: str
) -> Iterator[records.Item]:
  """Yields the first items of each cell, without states.

  Groups stay whole, so a cell may have one or two items more than the subset
  says. It has fewer if the data set has fewer.

  Args:
    folder: the workdir of a generation, or a folder of the release.
    cells: names of cells.
    subset: one of SUBSETS.

  Raises:
    UserError: a cell or the subset does not exist, or a file cannot be read.
  """
  if subset not in SUBSETS:
    raise errors.unknown('subset', subset, SUBSETS)
  limit = SUBSETS[subset]
  for cell in cells:
    last_group = ''
    for i, item in enumerate(parquet.read(folder, [cell], states=False)):
      if limit is not None and i >= limit and item.group != last_group:
        break
      last_group = item.group
      yield item
