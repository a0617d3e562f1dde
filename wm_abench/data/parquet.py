"""Items as parquet shards: written once, read by row.

Pictures are structs {bytes, path}, which `datasets` decodes (see columns.py):

    datasets.load_dataset('parquet', data_files='runs/mini/data/*/*.parquet')

`read` reads both these shards and the files of the release, which lack the
columns of this project.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import errno
import itertools
import json
import os
import pathlib
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from commons import errors, files
from wm_abench.core import dimensions, records
from wm_abench.data import columns, layout, release, stored_pictures

# Rows of a row group: few, since a picture is read with its row group.
_ROW_GROUP_ROWS = 8
# Encoded pictures neither compress nor repeat.
_BYTES = [f'{column}.list.element.bytes' for column in columns.PICTURES]


# Writing.


def write_shard(
  path: pathlib.Path, items: Iterable[records.Item], simulator: str = ''
) -> int:
  """Writes a shard of one cell, completely or not at all.

  Args:
    path: the path of the shard; its folder is created.
    items: the items; few are in memory at a time.
    simulator: as in layout.describe.

  Returns:
    The size of the file in bytes.

  Raises:
    OSError: the file cannot be written; ENOSPC if there is no space left.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  items = iter(items)
  first = next(items)
  schema = columns.schema(first.cell, simulator)
  try:
    with (
      files.replacing(path) as unfinished,
      unfinished.open('wb') as file,
      _writer(file, schema) as writer,
    ):
      rows = map(columns.to_row, itertools.chain([first], items))
      while batch := list(itertools.islice(rows, _ROW_GROUP_ROWS)):
        writer.write_table(pa.Table.from_pylist(batch, schema))
  except OSError as e:
    # A quota or a limit of the size of a file is a lack of space as well.
    if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
      no_space = os.strerror(errno.ENOSPC)
      raise OSError(errno.ENOSPC, no_space, str(path)) from e
    raise
  return path.stat().st_size


def _writer(file, schema: pa.Schema) -> parquet.ParquetWriter:
  others = [name for name in columns.TYPES if name not in columns.PICTURES]
  compression = dict.fromkeys(others, 'zstd') | dict.fromkeys(_BYTES, 'none')
  return parquet.ParquetWriter(
    file,
    schema,
    compression=compression,
    use_dictionary=['cell', 'dimension', 'environment', 'group', 'varies'],
    write_statistics=['name', 'cell', 'group'],
    write_page_checksum=True,
  )


# Reading.


def cells_in(
  folder: str | os.PathLike[str], subset: bool = False
) -> tuple[str, ...]:
  """Returns the cells with a complete split, in the order of the table.

  Args:
    folder: the workdir of a generation, or any folder above the release's
      configurations.
    subset: whether the release's subsets are meant instead of the full sets.
  """
  return tuple(
    cell
    for cell, splits in layout.splits_in(folder, subset).items()
    if any(not split.missing for split in splits)
  )


def read(
  folder: str | os.PathLike[str],
  cells: Sequence[str] = (),
  split: str = '',
  subset: bool = False,
  states: bool = True,
) -> Iterator[records.Item]:
  """Yields items cell after cell, in the order of the files.

  Their pictures are read from the files when they are needed.

  Args:
    folder: as in `cells_in`.
    cells: names of cells; all by default.
    split: the split of each cell; by default the only one.
    subset: as in `cells_in`.
    states: whether to read the simulator's states, which are large.

  Raises:
    UserError: a cell or split does not exist or lacks a shard; a file cannot
      be read, lacks a column, or has a row that is not an item.
  """
  splits = layout.splits_in(folder, subset)
  if not splits:
    raise errors.UserError(_nothing_in(folder, subset))
  for cell in cells:
    if cell not in splits:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', cell, splits)
  for cell in cells or splits:
    number = 0
    for path in _choose_split(folder, cell, splits[cell], split).paths:
      for item in _read_file(path, dimensions.CELLS[cell], number, states):
        yield item
        number += 1


def _nothing_in(folder: str | os.PathLike[str], subset: bool) -> str:
  suffix = '_subset' if subset else ''
  return (
    f'{os.fspath(folder)!r} contains no items: neither generated shards'
    ' (data/CELL/SPLIT-00000-of-00001.parquet) nor files of the published'
    f' release (CONFIG{suffix}/test-00000-of-00001.parquet)'
  )


def _choose_split(
  folder: str | os.PathLike[str],
  cell: str,
  splits: Sequence[layout.Split],
  name: str,
) -> layout.Split:
  where = f'cell {cell!r} in {os.fspath(folder)!r}'
  names = [split.name for split in splits]
  if name and name not in names:
    raise errors.unknown(f'split of {where}', name, names)
  if not name and len(splits) > 1:
    raise errors.UserError(
      f'{where} has the splits {", ".join(names)}: choose one'
    )
  chosen = splits[names.index(name)] if name else splits[0]
  if chosen.missing:
    raise errors.UserError(f'{where} lacks {", ".join(chosen.missing)}')
  return chosen


def _read_file(
  path: pathlib.Path, cell: dimensions.Cell, number: int, states: bool
) -> Iterator[records.Item]:
  """Yields a file's items.

  Args:
    path: the file.
    cell: its cell.
    number: the number of the first row in the cell.
    states: as in `read`.
  """
  index = 0
  try:
    with stored_pictures.open_parquet(path) as file:
      chosen = _columns_of(file, path, states)
      for group in range(file.num_row_groups):
        batches = file.iter_batches(
          _ROW_GROUP_ROWS, row_groups=[group], columns=chosen
        )
        rows = (row for batch in batches for row in batch.to_pylist())
        for row_in_group, values in enumerate(rows):
          place = os.path.abspath(path), group, row_in_group
          if 'key' in values:
            yield _from_row(values, place)
          else:
            row = release.Row(path, index, values)
            yield _from_release(cell, number + index, row, place)
          index += 1
  except (pa.ArrowException, OSError) as e:
    raise errors.UserError(
      f'{os.fspath(path)!r} cannot be read from row {index} on: {e}'
    ) from e


def _columns_of(
  file: parquet.ParquetFile, path: pathlib.Path, states: bool
) -> list[str]:
  """Returns the columns to read.

  Raises:
    UserError: the file has another version, or lacks a column.
  """
  metadata = file.schema_arrow.metadata or {}
  names = file.schema_arrow.names
  if layout.NAME.encode() in metadata:
    version = json.loads(metadata[layout.NAME.encode()])['version']
    if version != layout.VERSION:
      raise errors.UserError(
        f'{os.fspath(path)!r} has items of version {version}, not'
        f' {layout.VERSION}: make them anew by configs/wm_abench_generate.py'
      )
    required: tuple[str, ...] = columns.ITEM_COLUMNS
    # The pictures themselves are read later.
    chosen = [name for name in required if name not in columns.PICTURES]
    chosen += ['state'] if states else []
  else:
    required = release.REQUIRED
    optional = [name for name in release.OPTIONAL if name in names]
    chosen = [*required, *optional]
  for column in required:
    if column not in names:
      raise errors.UserError(
        f'{os.fspath(path)!r} has no column {column!r}; its columns are'
        f' {", ".join(names)}'
      )
  return chosen


def _from_row(
  values: Mapping[str, Any], place: tuple[str, int, int]
) -> records.Item:
  options = _stored(values['choice_digests'], place, 'image_choices')
  return records.Item(
    **{name: values[name] for name in ('name', 'cell', 'group', 'prompt')},
    images=_stored(values['source_digests'], place, 'source'),
    options=options or tuple(values['choices']),
    answer=values['key'],
    varies=values['varies'],
    factors=json.loads(values['randomization_params']),
    state=json.loads(values.get('state') or '{}'),
  )


def _from_release(
  cell: dimensions.Cell, number: int, row: release.Row, place
) -> records.Item:
  pictures = {}
  pictured = cell.of.form == dimensions.IMAGE
  for column in columns.PICTURES if pictured else ('source',):
    encoded = row.pictures(column)
    digests = [records.Picture.encoded(data).digest for data in encoded]
    pictures[column] = _stored(digests, place, column)
  return release.item(cell, number, row, pictures)


def _stored(
  digests: Sequence[str], place: tuple[str, int, int], column: str
) -> tuple[records.Picture, ...]:
  return tuple(
    records.Picture(digest, stored_pictures.StoredPicture(*place, column, i))
    for i, digest in enumerate(digests)
  )
