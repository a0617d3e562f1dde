"""What a confined child does: one job, then its end.

A program runs on one input, or on several in sequence (interpreter_reset.py), or
answers the calls of a checker, which runs in a child of its own. Standard
library only.
"""

import ast
import atexit
import builtins
import contextlib
import contextvars
import errno
import fcntl
import json
import marshal
import os
import socket
import struct
import sys
import threading
import traceback
import types

from coderl.sandbox.isolation import confine
from coderl.sandbox.tracing import tracer as tracer_lib
from coderl.sandbox.tracing import values
from coderl.sandbox.worker import interpreter_reset, preload

# Descriptors of a child, out of the way of programs that close low ones. The
# link is the relay between a program and its checker, or where the worker
# hands out the inputs of a sequence.
_REPORT, _LINK = confine.DESCRIPTORS - 2, confine.DESCRIPTORS - 1
_INPUT_FILES = 5
_MAX_DESCRIPTORS = 1 << 20
_FRAME = struct.Struct('>I')
_MAX_FRAME = 8 << 20
_REFUSALS = {
  errno.ENOMEM: 'memory',
  errno.EFBIG: 'file',
  errno.ENOSPC: 'file',
  errno.EDQUOT: 'file',
  errno.EAGAIN: 'process',
}
_NO_THREAD = "can't start new thread"  # CPython's words for EAGAIN.


def run(cage: confine.Cage, files: list[int], place: int, inputs: int) -> None:
  """Runs one job and exits.

  files: the job, those of the first input, and the link where there is one.
  An input's are the report, standard input, output and error, and the call
  where there is one. place, inputs: see confine.restrict.
  """
  os.setsid()
  job = _load(files[0])
  call = _take(files[1 : 5 + job['called']])
  links = files[5 + job['called'] :]
  for link in links:
    os.dup2(link, _LINK)
  confine.restrict(cage, place, inputs)
  os.closerange(3, _REPORT)
  os.closerange(_LINK + len(links), _MAX_DESCRIPTORS)
  preload.register_fork_hooks()
  # Whatever fails from here on is the program's doing, and it cannot undo this.
  fcntl.fcntl(_REPORT, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
  report = _Report()
  if job['role'] == 'program':
    code = _run_program(job, call, report, bool(links), inputs)
  else:
    code = _run_checker(job, report)
  report.send()
  os._exit(code)


def _load(file: int):
  """What the sandbox's own process wrote; no program's hand was on it."""
  return marshal.loads(os.pread(file, os.lseek(file, 0, os.SEEK_END), 0))


def _take(files: list[int]) -> str | None:
  """Puts an input's files where they belong; its call."""
  for target, file in zip((_REPORT, 0, 1, 2), files, strict=False):
    os.dup2(file, target)
  return _load(files[4]) if len(files) > 4 else None


class _Report:
  """What a child says of its run; it may be forged by the program.

  In lines: what went wrong, as JSON; the value's text; and rows of the trace,
  their fields between tabs, which no canonical text holds.
  """

  def __init__(self):
    self.clear()

  def clear(self) -> None:
    self.failure: dict[str, str] = {}
    self.value: str | None = None
    self.variables: list[tuple] = []
    self.trajectory: list[tuple] = []

  def send(self) -> None:
    """Writes it over one that may be there."""
    lines = [json.dumps(self.failure), self.value or '']
    lines += _rows('variable', self.variables)
    lines += _rows('event', self.trajectory)
    if lines == ['{}', '']:
      return
    text = '\n'.join((*lines, ''))
    data = text.encode('utf-8', 'backslashreplace')
    try:
      with confine.large_files(len(data)):
        os.pwrite(_REPORT, data, 0)
    except OSError:
      return  # The program closed it: its own loss.


def _rows(kind: str, rows: list[tuple]) -> list[str]:
  return ['\t'.join((kind, *map(str, row))) for row in rows]


def _run_program(
  job: dict, call: str | None, report: _Report, linked: bool, inputs: int
) -> int:
  """The exit status of the last input that this process runs on."""
  tracer = tracer_lib.Tracer(job['trace_events']) if job['trace'] else None
  try:
    code = compile(job['source'], tracer_lib.PROGRAM, 'exec', dont_inherit=True)
  except BaseException as error:
    report.failure['error'] = _describe(error)
    return 1
  if inputs > 1:
    return _run_sequence(code, job, call, report, inputs)
  status = _execute(code, job, call, report, linked, tracer)
  if tracer:
    report.variables = tracer.variables
    report.trajectory = tracer.trajectory
  return status


def _run_sequence(code, job, call, report: _Report, inputs: int) -> int:
  """Runs on inputs until one fails or leaves what cannot be taken back.

  The worker then starts another process for the others.
  """
  link = socket.socket(fileno=_LINK)
  state = interpreter_reset.Pristine(code, _REPORT)
  for left in reversed(range(inputs)):
    # The context of decimal numbers is one of the run's own.
    context = contextvars.Context()
    status = context.run(_execute, code, job, call, report, False, None)
    if status or not left:
      return status
    report.send()
    if not _is_ready(state, link):
      return status
    _, files, _, _ = socket.recv_fds(link, 1, _INPUT_FILES)
    call = _take(files)
    for file in files:
      os.close(file)
    report.clear()
    state.open_streams()


def _is_ready(state: interpreter_reset.Pristine, link: socket.socket) -> bool:
  """Asks for the next input; False where this process cannot serve it."""
  try:
    return state.restore() and bool(link.send(b'\0'))
  except BaseException:
    return False  # Objects of the program are in the way.


def _execute(code, job, call, report, relay, tracer) -> int:
  """Runs code as the interpreter would, to its very end; the exit status."""
  name = '__main__' if job['main'] else 'program'
  sys.modules[name] = module = types.ModuleType(name)
  namespace = module.__dict__
  namespace['__builtins__'] = builtins
  sys.argv = ['program.py']
  try:
    with tracer or contextlib.nullcontext():
      exec(code, namespace)
      value = None if call is None else eval(call, namespace)
    if call is not None:
      report.value = values.canonical(value, **values.WHOLE)[0]
    if relay:
      _serve_calls(namespace[job['entry_point']])
    status = 0
  except BaseException as error:
    status = _fail(error, report)
  try:
    if interpreter_reset.has_threads():
      threading._shutdown()
    atexit._run_exitfuncs()
    namespace.clear()  # Files left open are flushed as they are collected.
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
      if stream is not None:
        stream.flush()
  except BaseException as error:
    return max(status, _fail(error, report))
  return status


def _fail(error: BaseException, report: _Report) -> int:
  """The exit status of an uncaught exception, described as usual."""
  if type(error) is SystemExit and error.code is None:
    return 0
  if type(error) is SystemExit and type(error.code) is int:
    # As C takes it, which knows no larger number than a long.
    code = error.code if -(1 << 63) <= error.code < 1 << 63 else -1
    if code & 0xFF:
      report.failure['error'] = _describe(error)
    return code & 0xFF
  report.failure |= {'error': _describe(error), 'refused': _refused(error)}
  try:
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    traceback.print_exception(error, limit=-20)
  except BaseException:
    return 1  # The program took stderr away.
  return 1


def _refused(error: BaseException) -> str:
  """The limit that an uncaught exception tells of, or ''."""
  try:
    if isinstance(error, MemoryError):
      return 'memory'
    if isinstance(error, OSError):
      return _REFUSALS.get(error.errno, '')
    if type(error) is RuntimeError and error.args == (_NO_THREAD,):
      return 'thread'
  except BaseException:
    return ''  # The program's own exception, with code in it.
  return ''


def _describe(error: BaseException) -> str:
  try:
    return f'{type(error).__name__}: {error}'[: values.MAX_LEN]
  except BaseException:
    return type(error).__name__


def _send_frame(relay: socket.socket, text: str) -> None:
  data = text.encode('utf-8', 'backslashreplace')
  relay.sendall(_FRAME.pack(len(data)) + data)


def _receive_frame(relay: socket.socket) -> str | None:
  """The next text; None where the other side has ended."""
  header = relay.recv(_FRAME.size, socket.MSG_WAITALL)
  if len(header) < _FRAME.size:
    return None
  (length,) = _FRAME.unpack(header)
  if length > _MAX_FRAME:
    return None
  return relay.recv(length, socket.MSG_WAITALL).decode('utf-8', 'replace')


def _whole(value) -> str:
  text, complete = values.canonical(value, **values.WHOLE)
  if not complete:
    raise TypeError(f'cannot be passed between processes: {text[:80]}')
  return text


def _serve_calls(function) -> None:
  """Answers the checker's calls: '=value', or '!type: message'."""
  relay = socket.socket(fileno=_LINK)
  while (text := _receive_frame(relay)) is not None:
    args, kwargs = values.parse(text)
    try:
      answer = '=' + _whole(function(*args, **kwargs))
    except Exception as error:
      answer = '!' + _describe(error)
    _send_frame(relay, answer)


class _ProgramError(BaseException):
  """The program failed, not the checker's assertions."""


class _Program:
  """The function that asks the program's process over the relay.

  failed: whether it was ever left without an answer; the checker may have
  taken that for an exception of the function's.
  """

  def __init__(self):
    self._relay = socket.socket(fileno=_LINK)
    self.failed = False

  def __call__(self, *args, **kwargs):
    try:
      _send_frame(self._relay, _whole((args, kwargs)))
      answer = _receive_frame(self._relay)
    except OSError:
      answer = None
    if answer is None:
      self._fail('the program ended before it was checked')
    if answer.startswith('='):
      return values.parse(answer[1:])
    name, _, message = answer[1:].partition(': ')
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
      self._fail(answer[1:])
    if issubclass(kind, StopIteration | StopAsyncIteration):
      self._fail(answer[1:])  # It would end a loop of the checker's.
    raise kind(message)

  def _fail(self, message: str):
    self.failed = True
    raise _ProgramError(message)


def _run_checker(job: dict, report: _Report) -> int:
  """Runs the assertions; a stub of `entry_point` among them is left out."""
  name = job['entry_point']
  sys.modules['checker'] = module = types.ModuleType('checker')
  module.__dict__['__builtins__'] = builtins
  module.__dict__[name] = program = _Program()
  try:
    tree = ast.parse(job['source'])
    tree.body = [node for node in tree.body if not _defines(node, name)]
    exec(compile(tree, '<checker>', 'exec'), module.__dict__)
  except BaseException as error:
    report.failure['error'] = _describe(error)
    if isinstance(error, AssertionError):
      report.failure['refused'] = 'assertion'
    return 1
  if not program.failed:
    report.value = job['token']
  return 0


def _defines(node: ast.stmt, name: str) -> bool:
  return isinstance(node, ast.FunctionDef) and node.name == name
