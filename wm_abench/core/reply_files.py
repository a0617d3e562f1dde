"""Replies on disk: one records.Reply per line, as JSON."""

from collections.abc import Iterable
import dataclasses
import json
import os
import pathlib

from commons import errors, files
from wm_abench.core import dimensions, records


def to_line(reply: records.Reply) -> str:
  """Returns the line of a reply, with its line feed."""
  return json.dumps(dataclasses.asdict(reply)) + '\n'


def from_line(line: str) -> records.Reply:
  """Returns the reply of a line.

  Raises:
    ValueError: the line is not a reply, or its fields contradict each other.
  """
  try:
    fields = json.loads(line)
    reply = records.Reply(**fields | {'order': tuple(fields['order'])})
    options = range(len(reply.order))
    consistent = (
      isinstance(reply.item, str)
      and isinstance(reply.turn, int)
      and reply.cell in dimensions.CELLS
      and sorted(reply.order) == [*options]
      and reply.answer in options
      and reply.status in records.STATUSES
      and (reply.chosen in options)
      == (reply.status == records.ANSWERED)
      == (reply.chosen is not None)
    )
  except (TypeError, KeyError) as e:
    raise ValueError(f'{e}') from e
  if not consistent:
    raise ValueError('its fields contradict each other')
  return reply


def from_lines(data: bytes) -> list[records.Reply]:
  """Returns the replies in a file's bytes.

  An incomplete last line, which a killed process may leave, is ignored.

  Raises:
    ValueError: a line is not a reply, or an item has two replies.
  """
  replies, seen = [], set()
  for number, line in enumerate(data.split(b'\n')[:-1], 1):
    try:
      reply = from_line(line.decode())
      if reply.sample in seen:
        raise ValueError(f'{reply.item!r} has another reply')
    except ValueError as e:
      raise ValueError(f'line {number} is not a valid reply: {e}') from e
    seen.add(reply.sample)
    replies.append(reply)
  return replies


def read(path: str | os.PathLike[str]) -> list[records.Reply]:
  """Returns the replies of a file, in its order.

  Raises:
    UserError: the file cannot be read, a line of it is not a reply, an item
      has two replies, or there is no reply.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as e:
    raise errors.UserError(
      f'{os.fspath(path)!r} cannot be read: {e.strerror}'
    ) from e
  try:
    replies = from_lines(data)
  except ValueError as e:
    raise errors.UserError(f'{os.fspath(path)!r}, {e}') from e
  if not replies:
    raise errors.UserError(f'{os.fspath(path)!r} contains no reply')
  return replies


def write(
  path: str | os.PathLike[str], replies: Iterable[records.Reply]
) -> None:
  """Writes replies; the file is replaced completely or not at all.

  Raises:
    OSError: the file cannot be written.
  """
  files.write_text(path, ''.join(map(to_line, replies)))
