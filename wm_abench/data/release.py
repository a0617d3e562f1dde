"""Items from rows of the published WM-ABench.

The release has one folder of parquet files per configuration, which is one cell
(dimensions.Cell.release). Its columns are

    source                pictures, each {bytes, path} or bytes
    prompt                the question, with its choices if they are phrases
    answer                a number from 1, a letter, or the phrase itself
    image_choices         the options as pictures
    choices_str_letter    the options as phrases: 'A. left B. right ...'
    randomization_params  the factors, as a table or as JSON

The release does not say which items are minimal pairs, so each item is a group
of its own.
"""

from collections.abc import Mapping
import json
import os
import pathlib
import re
from typing import Any

from commons import errors
from wm_abench.core import dimensions, records

REQUIRED = ('source', 'prompt', 'answer')
# In prediction cells these columns distinguish the rows, beside the factors.
_MORE_FACTORS = ('action', 'answer_types')
OPTIONAL = (
  'image_choices',
  'choices_str_letter',
  'randomization_params',
  *_MORE_FACTORS,
)
_LABEL = re.compile(rf'(?:^|\s)\(?([{records.LABELS}])[.):]\s')
_YES_NO = ('yes', 'no')


class Row:
  """One row of a file of the release.

  Args:
    path: the file.
    index: the row's index in the file.
    values: the row's values by column.
  """

  def __init__(self, path: pathlib.Path, index: int, values: dict[str, Any]):
    self._place = f'{os.fspath(path)!r}, row {index}'
    self.values = values

  def error(self, column: str, problem: str) -> errors.UserError:
    """Returns an error that names the file, the row and the column."""
    return errors.UserError(f'{self._place}, column {column!r}: {problem}')

  def pictures(self, column: str) -> tuple[bytes, ...]:
    """Returns the encoded pictures of a column.

    Raises:
      UserError: a picture has no bytes.
    """
    pictures = encoded_pictures(self.values.get(column))
    for i, picture in enumerate(pictures):
      if not isinstance(picture, bytes) or not picture:
        raise self.error(column, f'picture {i} has no bytes')
    return pictures


def encoded_pictures(value: Any) -> tuple[Any, ...]:
  """Returns the bytes of each picture in a value of a picture column."""
  values = value if isinstance(value, list) else [value]
  return tuple(v.get('bytes') if isinstance(v, dict) else v for v in values)


def item(
  cell: dimensions.Cell,
  number: int,
  row: Row,
  pictures: Mapping[str, tuple[records.Picture, ...]],
) -> records.Item:
  """Returns the item of a row.

  Args:
    cell: the cell of the file's configuration.
    number: the row's index in the cell.
    row: the row.
    pictures: the row's pictures by column.

  Raises:
    UserError: a value of the row is missing or has another form.
  """
  prompt = row.values['prompt']
  if not isinstance(prompt, str) or not prompt:
    raise row.error('prompt', f'{prompt!r} is no question')
  options = pictures.get('image_choices') or _phrases(cell, row)
  name = f'{cell.name}/{number}'
  return records.Item(
    name=name,
    cell=cell.name,
    group=name,
    prompt=prompt,
    images=pictures['source'],
    options=options,
    answer=_answer(row, options),
    factors=_factors(row),
  )


def _phrases(cell: dimensions.Cell, row: Row) -> tuple[str, ...]:
  text = row.values.get('choices_str_letter')
  if not text and cell.of.options == len(_YES_NO):
    return _YES_NO
  before, *parts = _LABEL.split(text) if isinstance(text, str) else ['']
  letters, phrases = parts[::2], [phrase.strip() for phrase in parts[1::2]]
  in_order = ''.join(letters) == records.LABELS[: len(letters)]
  if before.strip() or not in_order or len(letters) < 2 or not all(phrases):
    raise row.error('choices_str_letter', f"{text!r} is not like 'A. x B. y'")
  return tuple(phrases)


def _answer(row: Row, options: tuple) -> int:
  """Returns the index of the key."""
  value = row.values['answer']
  text = str(value).strip()
  letters = records.LABELS[: len(options)]
  if text.isdecimal():
    answer = int(text) - 1
  elif len(text) == 1 and text.upper() in letters:
    answer = letters.index(text.upper())
  else:
    phrases = [o.lower() for o in options if isinstance(o, str)]
    answer = phrases.index(text.lower()) if text.lower() in phrases else -1
  if answer not in range(len(options)):
    raise row.error(
      'answer',
      f'{value!r} is none of 1 to {len(options)}, a letter or an option',
    )
  return answer


def _factors(row: Row) -> dict[str, Any]:
  factors = row.values.get('randomization_params') or {}
  if isinstance(factors, str):
    try:
      factors = json.loads(factors)
    except json.JSONDecodeError as e:
      raise row.error('randomization_params', f'it is not JSON: {e}') from e
  if not isinstance(factors, Mapping):
    raise row.error('randomization_params', f'{factors!r} is no table')
  more = {name: row.values.get(name) for name in _MORE_FACTORS}
  return {k: v for k, v in (more | factors).items() if v is not None}
