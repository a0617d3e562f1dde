"""The code of a confined child process: it runs one job and exits.

The steps of `run`:

1. Read the job and put the files of the first input in their places.
2. Confine the process (confine.restrict_child). From here on nothing is
   trusted.
3. As a program: run on one input, or on several in sequence
   (interpreter_reset.py), or answer the calls of a checker.
   As a checker: run the assertions, and send each call of the checked function
   to the program's process.
4. Write the report and exit.

Standard library only.
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

# The runner's descriptors; programs that close low descriptors do not reach
# them. The link is the socket between a program and its checker, or the one
# from which a program receives its further inputs.
_REPORT, _LINK = confine.MAX_DESCRIPTORS - 2, confine.MAX_DESCRIPTORS - 1
_INPUT_FILES = 5
_MAX_DESCRIPTORS = 1 << 20
_FRAME_HEADER = struct.Struct('>I')
_MAX_FRAME_BYTES = 8 << 20
# Error of the operating system -> the limit that caused it.
_REFUSED_BY_ERRNO = {
  errno.ENOMEM: 'memory',
  errno.EFBIG: 'file',
  errno.ENOSPC: 'file',
  errno.EDQUOT: 'file',
  errno.EAGAIN: 'process',
}
_NO_THREAD = "can't start new thread"  # CPython's message for EAGAIN.


def run(
  confinement: confine.Confinement,
  files: list[int],
  uid_offset: int,
  inputs: int,
) -> None:
  """Runs one job and exits.

  Args:
    confinement: the worker's.
    files: descriptors of the job, of the files of the first input, and of the
      link if there is one. The files of an input are the report, stdin, stdout,
      stderr, and the call if the job has calls.
    uid_offset, inputs: see confine.restrict_child.
  """
  os.setsid()
  job = _load(files[0])
  call = _install_input(files[1 : 5 + job['called']])
  links = files[5 + job['called'] :]
  for link in links:
    os.dup2(link, _LINK)
  confine.restrict_child(confinement, uid_offset, inputs)
  os.closerange(3, _REPORT)
  os.closerange(_LINK + len(links), _MAX_DESCRIPTORS)
  preload.register_fork_hooks()
  # The seal tells the sandbox that the child was confined, so that every later
  # failure is the program's. The program cannot remove the seal.
  fcntl.fcntl(_REPORT, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
  report = _Report()
  if job['role'] == 'program':
    code = _run_program(job, call, report, bool(links), inputs)
  else:
    code = _run_checker(job, report)
  report.write()
  os._exit(code)


def _load(file: int):
  """Reads what the sandbox wrote and sealed before any program ran."""
  return marshal.loads(os.pread(file, os.lseek(file, 0, os.SEEK_END), 0))


def _install_input(files: list[int]) -> str | None:
  """Puts the files of an input on their descriptors, and returns its call."""
  for target, file in zip((_REPORT, 0, 1, 2), files, strict=False):
    os.dup2(file, target)
  return _load(files[4]) if len(files) > 4 else None


class _Report:
  """What a child reports of its run. The program may forge it.

  Its lines are: the failure as JSON; the text of the call's value; then the
  records of the trace, with tabs between their fields. No canonical text
  contains a tab.
  """

  def __init__(self):
    self.clear()

  def clear(self) -> None:
    # 'error': the exception. 'refused': the limit that caused it, or
    # 'assertion'.
    self.failure: dict[str, str] = {}
    self.value: str | None = None
    self.variables: list[tuple] = []
    self.trajectory: list[tuple] = []

  def write(self) -> None:
    """Writes the report from the start of its file."""
    lines = [json.dumps(self.failure), self.value or '']
    lines += _records('variable', self.variables)
    lines += _records('event', self.trajectory)
    if lines == ['{}', '']:
      return
    text = '\n'.join((*lines, ''))
    data = text.encode('utf-8', 'backslashreplace')
    try:
      with confine.raised_file_limit(len(data)):
        os.pwrite(_REPORT, data, 0)
    except OSError:
      return  # The program closed the file, and so loses its own report.


def _records(kind: str, records: list[tuple]) -> list[str]:
  return ['\t'.join((kind, *map(str, fields))) for fields in records]


def _run_program(
  job: dict, call: str | None, report: _Report, linked: bool, inputs: int
) -> int:
  """Runs a program; returns the exit status for its last input.

  Args:
    job: see sandbox.py.
    call: the call of the first input, if any.
    report: the report to fill.
    linked: whether the process has a link.
    inputs: on how many inputs the process may run.
  """
  tracer = tracer_lib.Tracer(job['trace_events']) if job['trace'] else None
  try:
    code = compile(
      job['source'], tracer_lib.PROGRAM_FILE_NAME, 'exec', dont_inherit=True
    )
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
  """Runs on inputs until one fails or leaves changes that cannot be undone.

  The worker starts another process for the remaining inputs.
  """
  link = socket.socket(fileno=_LINK)
  state = interpreter_reset.InterpreterState(code, _REPORT)
  for inputs_left in reversed(range(inputs)):
    # Every run has its own context, which holds that of decimal numbers.
    context = contextvars.Context()
    status = context.run(_execute, code, job, call, report, False, None)
    if status or not inputs_left:
      return status
    report.write()
    if not _request_input(state, link):
      return status
    _, files, _, _ = socket.recv_fds(link, 1, _INPUT_FILES)
    call = _install_input(files)
    for file in files:
      os.close(file)
    report.clear()
    state.open_streams()


def _request_input(
  state: interpreter_reset.InterpreterState, link: socket.socket
) -> bool:
  """Requests the next input; returns False if this process cannot run it."""
  try:
    return state.restore() and bool(link.send(b'\0'))
  except BaseException:
    return False  # The program's objects raised an exception.


def _execute(code, job, call, report, relay, tracer) -> int:
  """Runs code to its end as the interpreter would; returns the exit status."""
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
      report.value = values.canonical(value, **values.CALL_LIMITS)[0]
    if relay:
      _serve_calls(namespace[job['entry_point']])
    status = 0
  except BaseException as error:
    status = _fail(error, report)
  try:
    if interpreter_reset.has_threads():
      threading._shutdown()
    atexit._run_exitfuncs()
    namespace.clear()  # Open files are flushed when they are collected.
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
      if stream is not None:
        stream.flush()
  except BaseException as error:
    return max(status, _fail(error, report))
  return status


def _fail(error: BaseException, report: _Report) -> int:
  """Reports and prints an uncaught exception; returns the exit status."""
  if type(error) is SystemExit and error.code is None:
    return 0
  if type(error) is SystemExit and type(error.code) is int:
    # CPython passes the number on as a C long, or -1 if it is too large.
    code = error.code if -(1 << 63) <= error.code < 1 << 63 else -1
    if code & 0xFF:
      report.failure['error'] = _describe(error)
    return code & 0xFF
  report.failure |= {'error': _describe(error), 'refused': _refused(error)}
  try:
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    traceback.print_exception(error, limit=-20)
  except BaseException:
    return 1  # The program closed or replaced stderr.
  return 1


def _refused(error: BaseException) -> str:
  """Returns the limit that caused an uncaught exception, or ''."""
  try:
    if isinstance(error, MemoryError):
      return 'memory'
    if isinstance(error, OSError):
      return _REFUSED_BY_ERRNO.get(error.errno, '')
    if type(error) is RuntimeError and error.args == (_NO_THREAD,):
      return 'thread'
  except BaseException:
    return ''  # The program's exception class raised another exception.
  return ''


def _describe(error: BaseException) -> str:
  try:
    return f'{type(error).__name__}: {error}'[: values.MAX_LEN]
  except BaseException:
    return type(error).__name__


def _send_frame(relay: socket.socket, text: str) -> None:
  data = text.encode('utf-8', 'backslashreplace')
  relay.sendall(_FRAME_HEADER.pack(len(data)) + data)


def _receive_frame(relay: socket.socket) -> str | None:
  """Returns the next text, or None if the other side has ended."""
  header = relay.recv(_FRAME_HEADER.size, socket.MSG_WAITALL)
  if len(header) < _FRAME_HEADER.size:
    return None
  (length,) = _FRAME_HEADER.unpack(header)
  if length > _MAX_FRAME_BYTES:
    return None
  return relay.recv(length, socket.MSG_WAITALL).decode('utf-8', 'replace')


def _complete_text(value) -> str:
  text, complete = values.canonical(value, **values.CALL_LIMITS)
  if not complete:
    raise TypeError(f'cannot be passed between processes: {text[:80]}')
  return text


def _serve_calls(function) -> None:
  """Answers the checker's calls with '=value' or '!type: message'."""
  relay = socket.socket(fileno=_LINK)
  while (text := _receive_frame(relay)) is not None:
    args, kwargs = values.parse(text)
    try:
      answer = '=' + _complete_text(function(*args, **kwargs))
    except Exception as error:
      answer = '!' + _describe(error)
    _send_frame(relay, answer)


class _ProgramError(BaseException):
  """The program failed. This is no failed assertion of the checker."""


class _RemoteFunction:
  """The checked function: it sends its calls to the program's process.

  Attributes:
    failed: whether a call ever failed to be answered. The checker's code may
      have caught that as if the function had raised an exception.
  """

  def __init__(self):
    self._relay = socket.socket(fileno=_LINK)
    self.failed = False

  def __call__(self, *args, **kwargs):
    try:
      _send_frame(self._relay, _complete_text((args, kwargs)))
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
      self._fail(answer[1:])  # It would end a loop of the checker.
    raise kind(message)

  def _fail(self, message: str):
    self.failed = True
    raise _ProgramError(message)


def _run_checker(job: dict, report: _Report) -> int:
  """Runs the assertions, without a stub of `entry_point` that may precede them.

  The report's value is the job's token if every assertion held.
  """
  name = job['entry_point']
  sys.modules['checker'] = module = types.ModuleType('checker')
  module.__dict__['__builtins__'] = builtins
  module.__dict__[name] = function = _RemoteFunction()
  try:
    tree = ast.parse(job['source'])
    tree.body = [node for node in tree.body if not _defines(node, name)]
    exec(compile(tree, '<checker>', 'exec'), module.__dict__)
  except BaseException as error:
    report.failure['error'] = _describe(error)
    if isinstance(error, AssertionError):
      report.failure['refused'] = 'assertion'
    return 1
  if not function.failed:
    report.value = job['token']
  return 0


def _defines(node: ast.stmt, name: str) -> bool:
  return isinstance(node, ast.FunctionDef) and node.name == name
