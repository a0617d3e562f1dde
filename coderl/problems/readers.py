"""Reads files of rows and checks them; errors name the file and the row."""

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
  location: str, to_problem: Callable[..., types.Problem], *row: Any
) -> types.Problem:
  """Returns `to_problem(*row)`.

  Args:
    location: the file and the row, for errors.
    to_problem: makes a problem of a row.
    *row: its arguments.

  Raises:
    UserError: the row is malformed, or has no tests; the text starts with
      `location`.
  """
  try:
    problem = to_problem(*row)
  except KeyError as error:
    raise errors.UserError(f'{location}: expected {error} in it') from error
  except (ValueError, SyntaxError, TypeError) as error:
    raise errors.UserError(f'{location}: {error}') from error
  if not problem.tests:
    raise errors.UserError(f'{location}: {problem.id} is a row without tests')
  return problem


def json_rows(
  path: str, fields: Mapping[str, type]
) -> Iterator[tuple[int, str, dict[str, Any]]]:
  """Yields (line number from 1 up, 'path:line', row) of a jsonl file.

  Args:
    path: the file, which may be gzipped.
    fields: the fields that every row must have, and their types.
  """
  for number, line in lines(path):
    if not line.strip():
      continue
    location = f'{path}:{number}'
    yield number, location, json_row(location, line, fields)


def json_row(
  location: str, text: bytes, fields: Mapping[str, type]
) -> dict[str, Any]:
  """Parses a JSON object that has at least the `fields`, with these types.

  Raises:
    UserError: it is not such an object; the text starts with `location`.
  """
  try:
    row = json.loads(text)
  except ValueError as error:
    raise errors.UserError(f'{location}: not JSON: {text[:40]!r}') from error
  if not isinstance(row, dict):
    raise errors.UserError(
      f'{location}: expected a JSON object, not {row!r:.40}'
    )
  for field, kind in fields.items():
    if not isinstance(row.get(field), kind):
      raise errors.UserError(
        f'{location}: expected {field!r} to be {kind.__name__}, '
        f'not {row.get(field)!r:.40}'
      )
  return row


def lines(path: str) -> Iterator[tuple[int, bytes]]:
  """Yields (number from 1 up, line) of a file, which may be gzipped."""
  number = 0
  try:
    with open(path, 'rb') as file:
      is_gzipped = file.read(2) == b'\x1f\x8b'
    with (gzip.open if is_gzipped else open)(path, 'rb') as file:
      for number, line in enumerate(file, 1):
        yield number, line
  except (OSError, EOFError, zlib.error) as error:
    raise errors.UserError(
      f'{path}:{number + 1}: cannot be read: {error}'
    ) from error


def parquet_rows(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
  """Yields the rows of a parquet file, with only these columns."""
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
    message = ' '.join(str(error).split())
    raise errors.UserError(
      f'{path}: cannot be read from row {number} on: {message}'
    ) from error
