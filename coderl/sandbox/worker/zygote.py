"""A worker: a warm interpreter that forks one confined child per program.

The worker itself holds no program, test or answer, for a child sees all the
memory of what it was forked from: it takes open files over a socket, and the
children read their own jobs. In order: preload (preload.py), confine, settle
(confine.py); then for each message fork, wait within the wall time, kill what
is left, tell how it ended.
A child runs its program on several inputs (child.py), which are handed to it
one at a time; where it ends before the last, another takes the others.
Standard library only.
"""

from collections.abc import Collection, Sequence
import contextlib
import enum
import errno
import fcntl
import itertools
import json
import marshal
import os
import random
import select
import signal
import socket
import time

from coderl.sandbox.isolation import cgroups, confine, namespaces, syscalls
from coderl.sandbox.worker import child, preload

_MESSAGE_BYTES = 1 << 16
SETUP_FAILED = 113
STARVED_TURNS = 2
# Shares of the wall time that a child has computed. From the second on it had
# a processor; from the first on others kept it from one; below, they did where
# it stands waiting for one.
_ASLEEP, _SERVED = 0.1, 0.75
_REQUEST_FILES = 128
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


def main(descriptor: int, limits: dict, layers: Collection[str]) -> None:
  """Serves the messages of the socket until its other end closes.

  This process stays outside as the keeper of the one that serves.
  """
  server = socket.socket(fileno=descriptor)
  preload.preload()
  random.seed(0)  # The same random numbers in every run.
  proc = os.open('/proc', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  group, refusal = _make_group(limits, layers)
  ours, theirs = socket.socketpair()
  keeper, pid = os.getpid(), os.fork()
  if not pid:
    ours.close()
    cage = confine.make_cage(limits, layers, proc, group, lambda: _ask(theirs))
    cage.refusals |= refusal
    theirs.close()
    confine.die_with_parent()
    if os.getppid() != keeper:
      os._exit(0)  # It was killed before that would have been noticed.
    _serve(server, cage, layers)
  server.close()
  theirs.close()
  if ours.recv(1):
    answer = namespaces.attempt(namespaces.write_user_maps, proc, pid)
    ours.send(answer.encode() or b'\0')
  os.waitpid(pid, 0)
  if group:
    group.remove()
  os._exit(0)


def _make_group(
  limits: dict, layers: Collection[str]
) -> tuple[cgroups.Group | None, dict[str, str]]:
  """A group, where one is asked for, and the layer's refusal."""
  if 'cgroup' not in layers:
    return None, {}
  tasks = limits['processes'] + limits['threads'] + 2  # A checker beside.
  try:
    return cgroups.Group(limits['memory_mb'] << 20, tasks), {'cgroup': ''}
  except OSError as error:
    return None, {'cgroup': syscalls.refusal(error)}


def _ask(keeper: socket.socket) -> None:
  """Has the keeper map this process's users."""
  keeper.send(b'\0')
  answer = keeper.recv(100)
  if answer != b'\0':
    raise OSError(errno.EPERM, answer.decode())


def _serve(
  server: socket.socket, cage: confine.Cage, layers: Collection[str]
) -> None:
  pid = os.fork()
  if pid:
    # The next process is number 1 of its namespace: all else dies with it.
    server.close()
    os.waitpid(pid, 0)
    os._exit(0)
  namespace = os.open('self/ns/pid', os.O_RDONLY, dir_fd=cage.proc)
  confine.settle(cage, layers)
  server.send(json.dumps(cage.refusals).encode())
  worker = _Worker(server, cage, namespace)
  while worker.serve():
    pass
  os._exit(0)


class _Worker:
  """Runs one program at a time; namespace: a descriptor of its pids'."""

  def __init__(self, server: socket.socket, cage: confine.Cage, namespace: int):
    self._server = server
    self._cage = cage
    self._namespace = namespace

  def serve(self) -> bool:
    """Runs what one message asks for; False when there is none to come.

    Its files are the jobs (child.run), or one job and its further inputs.
    """
    message, files, _, _ = socket.recv_fds(
      self._server, _MESSAGE_BYTES, _REQUEST_FILES
    )
    if not message:
      return False
    request = marshal.loads(message)
    sizes = itertools.accumulate(request['files'], initial=0)
    parts = [files[a:b] for a, b in itertools.pairwise(sizes)]
    if request['inputs'] > 1:
      (job, *first), *others = parts
      runs = self._sequence([job], [first, *others])
    else:
      runs = self._run(parts)
    for file in itertools.chain(*parts):
      os.close(file)
    self._server.send(json.dumps({'runs': runs}).encode())
    return True

  def _sequence(self, job: list, inputs: list) -> list[dict]:
    """Runs a program on inputs, by as many children as it takes."""
    runs = []
    while len(runs) < len(inputs):
      first, *later = inputs[len(runs) :]
      runs += self._run([job + first], later)
    return runs

  def _run(self, jobs: list, later: Sequence[list] = ()) -> list[dict]:
    """Runs a child for each job; the only one on `later` inputs as well.

    Returns how the runs ended, up to where another child has to go on. Only
    of its first input is a child's failure believed.
    """
    with contextlib.ExitStack() as stack:
      children, link = self._start(jobs, later, stack)
      runs, files = [], jobs[0][1:]
      while (end := self._wait(children, link)) is _End.ASKED:
        runs.append(children.next_turn())
        if len(runs) > len(later) or not self._is_settled(files):
          break
        files = later[len(runs) - 1]
        with contextlib.suppress(OSError):  # It may be gone.
          socket.send_fds(link, [b'\0'], files)
      last = children.reap(late=end is _End.LATE)
    if not self._cage.holds('pid'):
      confine.kill_orphans(self._cage)
    if self._cage.group:
      last['refused'] = self._cage.group.refused()
    confine.clean_scratch(self._cage)
    if end is _End.ASKED:
      return runs
    failed = last['ends'][0]['code'] and not last['late']
    if runs and failed and not namespaces.attempt(_rewind, files):
      return runs
    return [*runs, last]

  def _start(
    self, jobs: list, later: Sequence[list], stack: contextlib.ExitStack
  ) -> tuple['_Children', socket.socket | None]:
    """Forks the children; where one has later inputs, a socket to it."""
    children, link, ends = _Children(), None, []
    if later:
      pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
      link, theirs = map(stack.enter_context, pair)
      ends = [theirs.fileno()]
    for index, files in enumerate(jobs):
      children.add(self._fork(files + ends, index, 1 + len(later)))
    if later:
      theirs.close()
    if len(jobs) > 1:
      for files in jobs:
        os.close(files.pop())  # So that either child sees the other's end.
    return children, link

  def _is_settled(self, files: list[int]) -> bool:
    """Makes an output final; False where that fails, or files were left."""
    try:
      for file in _written(files):
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
      return False  # The program keeps it mapped.
    return confine.is_scratch_clean(self._cage)

  def _fork(self, files: list[int], place: int, inputs: int) -> int:
    if self._cage.holds('pid'):
      pid = namespaces.fork_pid_namespace(self._namespace)
    else:
      pid = os.fork()
    if pid:
      return pid
    try:
      self._server.detach()
      if place or not self._cage.holds('mount'):
        os.chdir('/')  # Where nothing can be written.
      child.run(self._cage, files, place, inputs)
    except BaseException:
      # What fails here is ours, before any program has run.
      os._exit(SETUP_FAILED)

  def _wait(self, children: '_Children', link: socket.socket | None) -> '_End':
    """Waits for the last child to end, to ask, or to be out of time."""
    poll = select.poll()
    descriptor = os.pidfd_open(children.pids[-1])
    poll.register(descriptor, select.POLLIN)
    poll.register(self._server, select.POLLRDHUP)
    if link:
      poll.register(link, select.POLLIN)
    end, found = _End.LATE, []
    while not found and (left_s := children.left_s(self._cage)) > 0:
      found = [file for file, _ in poll.poll(1000 * left_s)]
      end = _End.ENDED if found else _End.LATE
      if link and found == [link.fileno()]:
        end = _End.ASKED
        if not _asks(link):
          poll.unregister(link)  # Only its end of the socket is gone.
          end, found = _End.LATE, []
    os.close(descriptor)
    if self._server.fileno() in found:
      os._exit(0)  # The other end is gone; children die with this process.
    return end


class _End(enum.Enum):
  """Why the wait for a child was over."""

  ENDED = enum.auto()
  LATE = enum.auto()
  ASKED = enum.auto()  # For the next input.


def _asks(link: socket.socket) -> bool:
  try:
    return bool(link.recv(1))
  except ConnectionError:
    return False


def _written(files: list[int]) -> list[int]:
  """Of an input's files (child.run), those that its program writes."""
  return [files[0], *files[2:4]]


def _rewind(files: list[int]) -> None:
  """Makes an input's files as they were; a report is written over."""
  for file in files[1:4]:
    os.lseek(file, 0, os.SEEK_SET)
  for file in files[2:4]:
    os.ftruncate(file, 0)


class _Children:
  """Processes, and what they have used of the time of their present input."""

  def __init__(self):
    self.pids: list[int] = []
    self._before_s: list[float] = []
    self._start = time.monotonic()

  def add(self, pid: int) -> None:
    self.pids.append(pid)
    self._before_s.append(0.0)

  def _busy_s(self) -> list[float]:
    return [
      time.clock_gettime(_processor_clock(pid)) - before_s
      for pid, before_s in zip(self.pids, self._before_s, strict=True)
    ]

  def left_s(self, cage: confine.Cage) -> float:
    """Seconds before one of the processes can be out of its time.

    Processor time is watched as well, for the kernel's own limit goes by
    whole seconds. The wall time doubles for one kept from a processor.
    """
    limits = cage.limits
    busy_s, elapsed_s = self._busy_s(), time.monotonic() - self._start
    left_s = limits['wall_s'] - elapsed_s
    if left_s <= 0:
      share = sum(busy_s) / elapsed_s
      awake = share >= _ASLEEP or confine.wants_processor(cage)
      if awake and share < _SERVED:
        left_s += (STARVED_TURNS - 1) * limits['wall_s']
    return min(left_s, limits['cpu_s'] - max(busy_s))

  def next_turn(self) -> dict:
    """How a run ended whose process goes on to the next input."""
    (busy_s,), wall_s = self._busy_s(), time.monotonic() - self._start
    self._before_s[0] += busy_s
    self._start += wall_s
    end = {'code': 0, 'stopped': False, 'cpu_s': busy_s}
    return {'ends': [end], 'late': False, 'refused': '', 'wall_s': wall_s}

  def reap(self, late: bool) -> dict:
    """How the run ended, and each process, once what still runs is killed."""
    ends = [*map(_reap, self.pids, self._before_s)]
    wall_s = time.monotonic() - self._start
    return {'ends': ends, 'late': late, 'refused': '', 'wall_s': wall_s}


def _reap(pid: int, before_s: float) -> dict:
  found, status, usage = os.wait4(pid, os.WNOHANG)
  stopped = not found
  if stopped:
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
  return {
    'code': os.waitstatus_to_exitcode(status),
    'stopped': stopped,
    'cpu_s': max(usage.ru_utime + usage.ru_stime - before_s, 0.0),
  }


def _processor_clock(pid: int) -> int:
  """The clock of a process's processor time, as clock_getcpuclockid."""
  return ~pid << 3 | 2
