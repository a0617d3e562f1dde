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


