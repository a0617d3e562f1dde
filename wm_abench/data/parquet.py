"""Reads the published WM-ABench, in the layout that it was released in.

    FOLDER/.../CONFIG/test-*.parquet

has a row an item, of a cell's configuration (dimensions.Cell.release) or, in
CONFIG_subset, of its subset. Columns are

    source                pictures, each {bytes, path} or bytes
    prompt                the question, with its choices where they are words
    answer                from 1 on; a letter; or the word itself
    image_choices         the options as pictures
    choices_str_letter    the options as words: 'A. left B. right ...'
    randomization_params  the factors

Nothing says which items are minimal pairs: each is a group of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
import json
import os
import pathlib
import re
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from commons import errors
from wm_abench.core import dimensions, records

_BATCH_ROWS = 8  # A row takes some megabytes.
_NEEDED = ('source', 'prompt', 'answer')
_OTHERS = ('image_choices', 'choices_str_letter', 'randomization_params')
# Beside the parameters, what tells the rows of prediction cells apart.
_MORE_FACTORS = ('action', 'answer_types')
_LETTERS = 'ABCDEF'
_MARK = re.compile(rf'(?:^|\s)\(?([{_LETTERS}])[.):]\s')
_YES_NO = ('yes', 'no')
_END = '_subset'


def cells_in(
  folder: str | os.PathLike[str], subset: bool = False
) -> dict[str, list[pathlib.Path]]:
  """The files of each cell that is there, in the order of the table.

  Args:
    folder: anywhere above the configurations' own.
    subset: whether those of the subsets are meant.
  """
  paths = sorted(pathlib.Path(folder).rglob('test-*.parquet'))
  found = {}
  for cell in dimensions.CELLS.values():
    name = f'{cell.release}{_END if subset else ""}'
    own = [p for p in paths if cell.release and p.parent.name == name]
    found |= {cell.name: own} if own else {}
  return found


def read(
  folder: str | os.PathLike[str],
  cells: Sequence[str] = (),
  subset: bool = False,
) -> Iterator[records.Item]:
  """Items in the order of the files, cell after cell; few are held at a time.

  Args:
    folder: anywhere above the configurations' own.
    cells: names; all that are there by default.
    subset: whether the subsets are read instead.

  Raises:
    UserError: no cell is there, or not that one; a file cannot be read, has no
      such column, or a row of it is not an item.
  """
  there = cells_in(folder, subset)
  if not there:
    raise errors.UserError(
      f'{os.fspath(folder)!r} holds no cell of the release: no'
      f' CONFIG{_END if subset else ""}/test-*.parquet whose CONFIG is known'
    )
  for name in cells:
    if name not in there:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', name, there)
  for name in cells or there:
    number = 0
    for path in there[name]:
      for row in _rows(path):
        yield _item(dimensions.CELLS[name], number, row)
        number += 1


class _Row:
  """A row of a file, with the errors that name it."""

  def __init__(self, path: pathlib.Path, index: int, values: dict[str, Any]):
    self._where = f'{os.fspath(path)!r}, row {index}'
    self.values = values

  def error(self, column: str, said: str) -> errors.UserError:
    return errors.UserError(f'{self._where}, column {column!r}: {said}')

  def pictures(self, column: str) -> tuple[bytes, ...]:
    values = self.values.get(column)
    values = values if isinstance(values, list) else [values]
    pictures = [v.get('bytes') if isinstance(v, dict) else v for v in values]
    for i, picture in enumerate(pictures):
      if not isinstance(picture, bytes) or not picture:
        raise self.error(column, f'picture {i} has no bytes')
    return tuple(pictures)


def _rows(path: pathlib.Path) -> Iterator[_Row]:
  index = 0
  try:
    # Read ahead, all row groups would be held at once.
    with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
      names = file.schema_arrow.names
      for column in _NEEDED:
        if column not in names:
          raise errors.UserError(
            f'{os.fspath(path)!r} has no column {column!r}; it has'
            f' {", ".join(names)}'
          )
      wanted = (*_NEEDED, *_OTHERS, *_MORE_FACTORS)
      columns = [c for c in wanted if c in names]
      for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
        for values in batch.to_pylist():
          yield _Row(path, index, values)
          index += 1
  except (pa.ArrowException, OSError) as e:
    raise errors.UserError(
      f'{os.fspath(path)!r} cannot be read, from row {index} on: {e}'
    ) from e


def _item(cell: dimensions.Cell, number: int, row: _Row) -> records.Item:
  prompt = row.values['prompt']
  if not isinstance(prompt, str) or not prompt:
    raise row.error('prompt', f'{prompt!r} is no question')
  options = _options(cell, row)
  name = f'{cell.name}/{number}'
  return records.Item(
    name=name,
    cell=cell.name,
    group=name,
    prompt=prompt,
    images=row.pictures('source'),
    options=options,
    answer=_answer(row, options),
    factors=_factors(row),
  )


def _options(
  cell: dimensions.Cell, row: _Row
) -> tuple[str, ...] | tuple[bytes, ...]:
  if cell.of.form == dimensions.IMAGE:
    return row.pictures('image_choices')
  text = row.values.get('choices_str_letter')
  if not text and cell.of.options == len(_YES_NO):
    return _YES_NO
  before, *parts = _MARK.split(text) if isinstance(text, str) else ['']
  letters, words = parts[::2], [word.strip() for word in parts[1::2]]
  known = ''.join(letters) == _LETTERS[: len(letters)] and len(letters) > 1
  if before.strip() or not known or not all(words):
    raise row.error('choices_str_letter', f"{text!r} is not like 'A. x B. y'")
  return tuple(words)


def _answer(row: _Row, options: tuple[str, ...] | tuple[bytes, ...]) -> int:
  value = row.values['answer']
  text = str(value).strip()
  letters = _LETTERS[: len(options)]
  if text.isdecimal():
    answer = int(text) - 1
  elif len(text) == 1 and text.upper() in letters:
    answer = letters.index(text.upper())
  else:
    words = [w.lower() for w in options if isinstance(w, str)]
    answer = words.index(text.lower()) if text.lower() in words else -1
  if answer not in range(len(options)):
    raise row.error(
      'answer',
      f'{value!r} is none of 1 to {len(options)}, a letter or an option',
    )
  return answer


def _factors(row: _Row) -> dict[str, Any]:
  found = row.values.get('randomization_params') or {}
  if isinstance(found, str):
    try:
      found = json.loads(found)
    except json.JSONDecodeError as e:
      raise row.error('randomization_params', f'no JSON: {e}') from e
  if not isinstance(found, Mapping):
    raise row.error('randomization_params', f'{found!r} is no table')
  more = {name: row.values.get(name) for name in _MORE_FACTORS}
  return {k: v for k, v in (more | found).items() if v is not None}
