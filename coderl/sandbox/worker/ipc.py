"""What passes between the sandbox and a child: open files, and what is in them.

The sandbox writes and seals what a child is given, and reads what it left as
bytes and text; nothing that a child wrote is ever loaded as objects.
"""

import contextlib
import fcntl
import json
import marshal
import os

from coderl.sandbox import api

# Of a report: what went wrong; the widest value and trace beside it.
FAILURE_BYTES, VALUE_BYTES, TRACE_BYTES = 1 << 14, 1 << 21, 1 << 22
_ROWS = 1 << 12  # Far more than a tracer sends.
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
_SEALS |= fcntl.F_SEAL_SEAL


class Files:
  """The open files of one input of a child, as child.run takes them."""

  def __init__(self, stdin: str, call: str | None, stack: contextlib.ExitStack):
    report, out, err = (_memory_file(stack) for _ in range(3))
    given = sealed(stdin.encode('utf-8', 'replace'), stack)
    self._report, self._outputs = report, (out, err)
    self.descriptors = [report, given, out, err]
    if call is not None:
      self.descriptors.append(sealed(marshal.dumps(call), stack))

  def output(self, limit: int) -> tuple[str, str, bool]:
    """Standard output and error, and whether either is over the limit."""
    texts = [os.pread(file, limit + 1, 0) for file in self._outputs]
    over = any(len(text) > limit for text in texts)
    out, err = (text[:limit].decode('utf-8', 'replace') for text in texts)
    return out, err, over

  def started(self) -> bool:
    """Whether the child was confined; it has left what nobody can undo."""
    seals = fcntl.fcntl(self._report, fcntl.F_GET_SEALS)
    return bool(seals & fcntl.F_SEAL_SHRINK)

  def report(self, most: int) -> 'Report':
    """What the child says of its run; nothing, where that is too long."""
    data = os.pread(self._report, most + 1, 0)
    return Report(data if len(data) <= most else b'')


class Report:
  """What a child says (child.py), as plain data; it may be forged.

  failure: 'error' and 'refused'. value: '' for none.
  """

  def __init__(self, data: bytes):
    head, *lines = data.decode('utf-8', 'replace').split('\n')
    self.failure = _failure(head)
    self.value = lines[0] if lines else ''
    self._rows = [line.split('\t') for line in lines[1 : 1 + _ROWS]]

  def variables(self) -> tuple[api.Variable, ...]:
    return tuple(
      api.Variable(scope, name, value, int(line), complete == 'True')
      for scope, name, value, line, complete in self._of('variable', 5, 3)
    )

  def events(self) -> tuple[api.Event, ...]:
    return tuple(
      api.Event(int(line), name, value)
      for line, name, value in self._of('event', 3, 0)
    )

  def _of(self, kind: str, fields: int, number: int) -> list[list[str]]:
    rows = [row[1:] for row in self._rows if row[0] == kind]
    return [row for row in rows if len(row) == fields and _is_line(row[number])]


def _is_line(text: str) -> bool:
  return text.isascii() and text.isdigit() and len(text) < 10


def _failure(line: str) -> dict[str, str]:
  if len(line) > FAILURE_BYTES:
    return {}
  try:
    failure = json.loads(line)
  except (ValueError, RecursionError):
    return {}
  if not isinstance(failure, dict):
    return {}
  return {name: _text(value) for name, value in failure.items()}


def _memory_file(stack: contextlib.ExitStack) -> int:
  file = os.memfd_create('program', os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
  stack.callback(os.close, file)
  return file


def sealed(data: bytes, stack: contextlib.ExitStack) -> int:
  """A file that nobody can change; it is closed with the stack."""
  file = _memory_file(stack)
  with open(file, 'wb', buffering=0, closefd=False) as writer:
    writer.write(data)
  os.lseek(file, 0, os.SEEK_SET)
  fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
  return file


def _text(value) -> str:
  return str(value).encode('utf-8', 'backslashreplace').decode()
