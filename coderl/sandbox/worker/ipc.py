"""What passes between the sandbox and a child: open files and their content.

The sandbox writes and seals the files that a child reads. It reads the files
that a child wrote as bytes and text, and never loads an object from them.
"""

import contextlib
import fcntl
import json
import marshal
import os

from coderl.sandbox import api

# The largest parts of a report that are read: failure, value, trace.
MAX_FAILURE_BYTES, MAX_VALUE_BYTES, MAX_TRACE_BYTES = 1 << 14, 1 << 21, 1 << 22
_MAX_TRACE_LINES = 1 << 12  # Far more than a tracer writes.
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
_SEALS |= fcntl.F_SEAL_SEAL


class InputFiles:
  """The open files with which a child runs on one input.

  Args:
    stdin: text of the standard input.
    call: see api.Program.
    stack: closes the files.

  Attributes:
    descriptors: the files in the order that `child.run` expects.
  """

  def __init__(self, stdin: str, call: str | None, stack: contextlib.ExitStack):
    report, out, err = (_memory_file(stack) for _ in range(3))
    stdin_file = sealed_file(stdin.encode('utf-8', 'replace'), stack)
    self._report, self._outputs = report, (out, err)
    self.descriptors = [report, stdin_file, out, err]
    if call is not None:
      self.descriptors.append(sealed_file(marshal.dumps(call), stack))

  def output(self, max_bytes: int) -> tuple[str, str, bool]:
    """Returns stdout, stderr, and whether either is longer than the limit."""
    texts = [os.pread(file, max_bytes + 1, 0) for file in self._outputs]
    is_over = any(len(text) > max_bytes for text in texts)
    out, err = (text[:max_bytes].decode('utf-8', 'replace') for text in texts)
    return out, err, is_over

  def was_confined(self) -> bool:
    """Returns whether the child was confined before it ended.

    A confined child puts a seal on its report, which nothing can remove.
    """
    seals = fcntl.fcntl(self._report, fcntl.F_GET_SEALS)
    return bool(seals & fcntl.F_SEAL_SHRINK)

  def report(self, max_bytes: int) -> 'Report':
    """Returns the child's report; an empty one if it is longer than that."""
    data = os.pread(self._report, max_bytes + 1, 0)
    return Report(data if len(data) <= max_bytes else b'')


class Report:
  """What a child reports of its run (child.py), as plain data.

  The program may have forged all of it.

  Attributes:
    failure: 'error' and 'refused', see child.py.
    value: canonical text of the call's value, '' if there is none.
  """

  def __init__(self, data: bytes):
    head, *lines = data.decode('utf-8', 'replace').split('\n')
    self.failure = _parse_failure(head)
    self.value = lines[0] if lines else ''
    self._trace = [line.split('\t') for line in lines[1 : 1 + _MAX_TRACE_LINES]]

  def variables(self) -> tuple[api.Variable, ...]:
    return tuple(
      api.Variable(scope, name, value, int(line), complete == 'True')
      for scope, name, value, line, complete in self._records('variable', 5, 3)
    )

  def events(self) -> tuple[api.Event, ...]:
    return tuple(
      api.Event(int(line), name, value)
      for line, name, value in self._records('event', 3, 0)
    )

  def _records(self, kind: str, size: int, line_index: int) -> list[list[str]]:
    """Returns the fields of the well-formed records of one kind."""
    records = [fields[1:] for fields in self._trace if fields[0] == kind]
    return [
      fields
      for fields in records
      if len(fields) == size and _is_line_number(fields[line_index])
    ]


def _is_line_number(text: str) -> bool:
  return text.isascii() and text.isdigit() and len(text) < 10


def _parse_failure(line: str) -> dict[str, str]:
  if len(line) > MAX_FAILURE_BYTES:
    return {}
  try:
    failure = json.loads(line)
  except (ValueError, RecursionError):
    return {}
  if not isinstance(failure, dict):
    return {}
  return {name: _unicode_text(value) for name, value in failure.items()}


def _memory_file(stack: contextlib.ExitStack) -> int:
  file = os.memfd_create('program', os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
  stack.callback(os.close, file)
  return file


def sealed_file(data: bytes, stack: contextlib.ExitStack) -> int:
  """Returns a descriptor of a memory file that nobody can change.

  The stack closes it.
  """
  file = _memory_file(stack)
  with open(file, 'wb', buffering=0, closefd=False) as writer:
    writer.write(data)
  os.lseek(file, 0, os.SEEK_SET)
  fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
  return file


def _unicode_text(value) -> str:
  return str(value).encode('utf-8', 'backslashreplace').decode()
