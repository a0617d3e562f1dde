"""Rows of files, checked; what is wrong with one is told with its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import gzip
import json
from typing import Any
import zlib

import pyarrow
from pyarrow import parquet

from coderl import types
from commons import errors


def checked(
  place: str, make: Callable[..., types.Problem], *row: Any
) -> types.Problem:
  """The problem of a row; what is wrong with it is told with its place."""
  try:
    problem = make(*row)
  except KeyError as error:
    raise errors.UserError(f'{place}: expected {error} in it') from error
  except (ValueError, SyntaxError, TypeError) as error:
    raise errors.UserError(f'{place}: {error}') from error
  if not problem.tests:
    raise errors.UserError(f'{place}: {problem.id} is a row without tests')
  return problem


def json_rows(
  path: str, fields: Mapping[str, type]
) -> Iterator[tuple[int, str, dict[str, Any]]]:
  """(line number from 1, 'path:line', row) of a jsonl file, or a gzipped one.

  Args:
    path: the file.
    fields: the fields that every row must have, and their types.
  """
  for number, line in lines(path):
    if not line.strip():
      continue
    place = f'{path}:{number}'
    yield number, place, json_row(place, line, fields)


def json_row(
  place: str, text: bytes, fields: Mapping[str, type]
) -> dict[str, Any]:
  """The object of a text, with these fields at least."""
  try:
    row = json.loads(text)
  except ValueError as error:
    raise errors.UserError(f'{place}: not JSON: {text[:40]!r}') from error
  if not isinstance(row, dict):
    raise errors.UserError(f'{place}: expected a JSON object, not {row!r:.40}')
  for field, kind in fields.items():
    if not isinstance(row.get(field), kind):
      raise errors.UserError(
        f'{place}: expected {field!r} to be {kind.__name__}, '
        f'not {row.get(field)!r:.40}'
      )
  return row


def lines(path: str) -> Iterator[tuple[int, bytes]]:
  """The lines of a file, or of a gzipped one, numbered from 1."""
  number = 0
  try:
    with open(path, 'rb') as file:
      zipped = file.read(2) == b'\x1f\x8b'
    with (gzip.open if zipped else open)(path, 'rb') as lines:
      for number, line in enumerate(lines, 1):
        yield number, line
  except (OSError, EOFError, zlib.error) as error:
    raise errors.UserError(
      f'{path}:{number + 1}: cannot be read: {error}'
    ) from error


def parquet_rows(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
  """The rows of a parquet file, of these columns alone."""
  number = 0
  try:
    file = parquet.ParquetFile(path)
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
      raise errors.UserError(
        f'{path}: expected columns {columns}, no {missing}'
      )
    for batch in file.iter_batches(columns=columns):
      yield from batch.to_pylist()
      number += batch.num_rows
  except (pyarrow.ArrowException, OSError) as error:
    said = ' '.join(str(error).split())
    raise errors.UserError(
      f'{path}: cannot be read from row {number} on: {said}'
    ) from error
