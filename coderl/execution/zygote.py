"""A worker: a warm interpreter that forks one confined child per program.

The worker itself holds no program, test or answer, for a child sees all the
memory of what it was forked from: it takes open files over a socket, and the
children read their own jobs. In order: isolate, preload, freeze; then for each
message fork, wait within the wall time, kill what is left, tell how it ended.
Standard library only.
"""

import ast
import atexit
import builtins
import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import types

from coderl.execution import confine, tracing, trajectory

# What programs import; a child shares the pages.
PRELOADED = (
  '_strptime', 'abc', 'argparse', 'array', 'base64', 'binascii', 'bisect',
  'bz2', 'calendar', 'cmath', 'codecs', 'collections', 'collections.abc',
  'contextlib', 'copy', 'csv', 'dataclasses', 'datetime', 'decimal',
  'difflib', 'encodings.idna', 'enum', 'fractions', 'functools', 'getpass',
  'hashlib', 'heapq', 'html', 'inspect', 'io', 'itertools', 'json',
  'linecache', 'locale', 'lzma', 'math', 'numbers', 'operator', 'os',
  'pprint', 'queue', 'random', 're', 'secrets', 'shutil', 'statistics',
  'string', 'struct', 'sys', 'tempfile', 'textwrap', 'threading', 'time',
  'traceback', 'types', 'typing', 'unicodedata', 'uuid', 'warnings',
  'weakref', 'zlib', 'zoneinfo',
)  # fmt: skip
MESSAGE_BYTES = 1 << 16
SETUP_FAILED = 113
STARVED_TURNS = 2
# Shares of the wall time that a child has computed. Below the first it sleeps;
# from the second on it had a processor; between, others kept it from one.
_ASLEEP, _SERVED = 0.1, 0.75
# Descriptors of a child, out of the way of programs that close low ones.
_REPORT, _RELAY = 1000, 1001
_FIRST_UID = 0x60000000
_FRAME = struct.Struct('>I')
_MAX_FRAME = 8 << 20


def main(descriptor: int) -> None:
  """Serves the messages of the socket until its other end closes."""
  server = socket.socket(fileno=descriptor)
  layers = confine.isolate()
  namespace = os.open('/proc/self/ns/pid', os.O_RDONLY)
  uid = _FIRST_UID + 2 * os.getpid()  # Nobody else's.
  pid = os.fork()
  if pid:
    # The next process is number 1 of its namespace: all else dies with it.
    server.close()
    os.waitpid(pid, 0)
    os._exit(0)
  confine.die_with_parent()
  confine.adopt_orphans()
  os.close(namespace)
  namespace = os.open('/proc/self/ns/pid', os.O_RDONLY)
  _preload()  # Libraries of extension modules lie outside the new root.
  if not layers['mount']:
    layers['mount'] = confine.change_root()
  server.send(json.dumps(layers).encode())
  worker = _Worker(server, layers, namespace, uid)
  while worker.serve():
    pass
  os._exit(0)


def _preload() -> None:
  sys.set_int_max_str_digits(0)
  builtins.exit = builtins.quit = sys.exit
  signal.signal(signal.SIGINT, signal.default_int_handler)
  for name in PRELOADED:
    with contextlib.suppress(ImportError):  # Some builds lack some.
      __import__(name)
  for name in [name for name in sys.modules if name.startswith('coderl')]:
    del sys.modules[name]
  os.environ.clear()
  gc.collect()
  gc.freeze()


class _Worker:
  """One program at a time; `layers`, `namespace`: see `main`."""

  def __init__(self, server, layers: dict, namespace: int, uid: int):
    self._server = server
    self._own_pids = not layers['pid']
    self._own_files = not layers['mount']
    self._namespace = namespace
    self._uid = uid

  def serve(self) -> bool:
    """Runs what one message asks for; False when there is none to come."""
    message, files, _, _ = socket.recv_fds(self._server, MESSAGE_BYTES, 16)
    if not message:
      return False
    request = json.loads(message)
    start = time.monotonic()
    pids = []
    for index, count in enumerate(request['files']):
      own, files = files[:count], files[count:]
      pids.append(self._fork(request['limits'], own, index))
      for file in own:
        os.close(file)
    late = not self._wait(pids, request['limits'])
    ends = [self._reap(pid) for pid in pids]
    if not self._own_pids:
      confine.kill_orphans()
    if self._own_files:
      confine.clean_scratch()
    reply = {'ends': ends, 'late': late, 'wall_s': time.monotonic() - start}
    self._server.send(json.dumps(reply).encode())
    return True

  def _fork(self, limits: dict, files: list[int], index: int) -> int:
    if self._own_pids:
      pid = confine.fork_pid_namespace(self._namespace)
    else:
      pid = os.fork()
    if pid:
      return pid
    try:
      self._server.detach()
      if index or not self._own_files:
        os.chdir('/')  # Where nothing can be written.
      child(limits, files, self._uid + index)
    except BaseException:
      # What fails here is ours, before any program has run.
      os._exit(SETUP_FAILED)

  def _wait(self, pids: list[int], limits: dict) -> bool:
    """Waits for the last child; False when one was out of time.

    Processor time is watched here as well, for the kernel's own limit goes by
    whole seconds. The wall time doubles for one kept from a processor.
    """
    poll = select.poll()
    descriptor = os.pidfd_open(pids[-1])
    poll.register(descriptor, select.POLLIN)
    poll.register(self._server, select.POLLRDHUP)
    start, events = time.monotonic(), []
    while not events:
      left_s = _left(pids, limits, time.monotonic() - start)
      if left_s <= 0:
        break
      events = poll.poll(1000 * left_s)
    os.close(descriptor)
    if any(found == self._server.fileno() for found, _ in events):
      os._exit(0)  # The other end is gone; children die with this process.
    return bool(events)

  def _reap(self, pid: int) -> dict:
    found, status, usage = os.wait4(pid, os.WNOHANG)
    stopped = not found
    if stopped:
      os.kill(pid, signal.SIGKILL)
      _, status, usage = os.wait4(pid, 0)
    return {
      'code': os.waitstatus_to_exitcode(status),
      'stopped': stopped,
      'cpu_s': usage.ru_utime + usage.ru_stime,
    }


def _left(pids: list[int], limits: dict, elapsed_s: float) -> float:
  """Seconds before one of the processes can be out of its time."""
  busy_s = [time.clock_gettime(_processor_clock(pid)) for pid in pids]
  left_s = limits['wall_s'] - elapsed_s
  if left_s <= 0 and _ASLEEP <= sum(busy_s) / elapsed_s < _SERVED:
    left_s += (STARVED_TURNS - 1) * limits['wall_s']
  return min(left_s, limits['cpu_s'] - max(busy_s))


def _processor_clock(pid: int) -> int:
  """The clock of a process's processor time, as clock_getcpuclockid."""
  return ~pid << 3 | 2


def child(limits: dict, files: list[int], uid: int) -> None:
  """Runs one job and exits.

  files: the job, standard input, output and error, the report, and for a
  program with a checker the relay.
  """
  os.setsid()
  with io.FileIO(files[0], closefd=False) as file:
    job = json.loads(file.readall())
  for target, file in zip((0, 1, 2, _REPORT, _RELAY), files[1:], strict=False):
    os.dup2(file, target)
  relay = len(files) == 6
  os.closerange(3, _REPORT)
  os.closerange(_RELAY + relay, os.sysconf('SC_OPEN_MAX'))
  confine.restrict(limits, uid)
  report = _Report()
  report.send()  # Whatever fails from here on is the program's doing.
  try:
    if job['role'] == 'program':
      code = _run_program(job, report, relay)
    else:
      code = _run_checker(job, report)
  finally:
    confine.lift_file_limit()
  report.send()
  os._exit(code)


class _Report:
  """What a child says of its run; it may be forged by the program."""

  def __init__(self):
    self.fields: dict = {}

  def send(self) -> None:
    text = json.dumps(self.fields, ensure_ascii=False)
    data = text.encode('utf-8', 'backslashreplace')
    try:
      os.pwrite(_REPORT, data, 0)
    except OSError:
      return  # The program closed it: its own loss.


def _run_program(job: dict, report: _Report, relay: bool) -> int:
  name = '__main__' if job['main'] else 'program'
  module = types.ModuleType(name)
  module.__dict__['__builtins__'] = builtins
  sys.modules[name] = module
  sys.argv = ['program.py']
  tracer = trajectory.Tracer(job['trace_events']) if job['trace'] else None
  try:
    code = compile(job['source'], trajectory.PROGRAM, 'exec', dont_inherit=True)
  except BaseException as error:
    report.fields['error'] = _describe(error)
    return 1
  status = _execute(code, module.__dict__, job, report, relay, tracer)
  if tracer:
    report.fields['variables'] = tracer.variables
    report.fields['trajectory'] = tracer.trajectory
  return status


def _execute(code, namespace, job, report, relay, tracer) -> int:
  """Runs code as the interpreter would, to its very end; the exit status."""
  try:
    if tracer:
      with tracer:
        exec(code, namespace)
    else:
      exec(code, namespace)
    if job['call'] is not None:
      value = eval(job['call'], namespace)
      report.fields['value'] = tracing.canonical(value, **tracing.WHOLE)[0]
    if relay:
      _serve_calls(namespace[job['entry_point']])
    status = 0
  except BaseException as error:
    status = _fail(error, report)
  try:
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
    if error.code & 0xFF:
      report.fields['error'] = f'SystemExit: {error.code}'
    return error.code & 0xFF
  report.fields['error'] = _describe(error)
  report.fields['memory'] = isinstance(error, MemoryError)
  try:
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    traceback.print_exception(error, limit=-20)
  except BaseException:
    return 1  # The program took stderr away.
  return 1


def _describe(error: BaseException) -> str:
  try:
    return f'{type(error).__name__}: {error}'[: tracing.MAX_LEN]
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
  text, complete = tracing.canonical(value, **tracing.WHOLE)
  if not complete:
    raise TypeError(f'cannot be passed between processes: {text[:80]}')
  return text


def _serve_calls(function) -> None:
  """Answers the checker's calls: '=value', or '!type: message'."""
  relay = socket.socket(fileno=_RELAY)
  while (text := _receive_frame(relay)) is not None:
    args, kwargs = tracing.parse(text)
    try:
      answer = '=' + _whole(function(*args, **kwargs))
    except Exception as error:
      answer = '!' + _describe(error)
    _send_frame(relay, answer)


class _ProgramError(Exception):
  """The program failed, not the checker's assertions."""


def _proxy():
  """The function that asks the program's process over the relay."""
  relay = socket.socket(fileno=_RELAY)

  def call(*args, **kwargs):
    try:
      _send_frame(relay, _whole((args, kwargs)))
      answer = _receive_frame(relay)
    except OSError:
      answer = None
    if answer is None:
      raise _ProgramError('the program ended before it was checked')
    if answer.startswith('='):
      return tracing.parse(answer[1:])
    name, _, message = answer[1:].partition(': ')
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
      raise kind(message)
    raise _ProgramError(answer[1:])

  return call


def _run_checker(job: dict, report: _Report) -> int:
  """Runs the assertions; a stub of `entry_point` among them is left out."""
  name = job['entry_point']
  sys.modules['checker'] = module = types.ModuleType('checker')
  module.__dict__['__builtins__'] = builtins
  module.__dict__[name] = _proxy()
  try:
    tree = ast.parse(job['source'])
    tree.body = [node for node in tree.body if not _defines(node, name)]
    exec(compile(tree, '<checker>', 'exec'), module.__dict__)
  except BaseException as error:
    report.fields['error'] = _describe(error)
    report.fields['assertion'] = isinstance(error, AssertionError)
    return 1
  report.fields['held'] = True
  return 0


def _defines(node: ast.stmt, name: str) -> bool:
  return isinstance(node, ast.FunctionDef) and node.name == name
