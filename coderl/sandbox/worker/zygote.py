"""A worker: a warm interpreter that forks one confined child per program.

A child can see all the memory of the process from which it was forked. The
worker itself therefore never holds a program, a test or an answer: it receives
open files over a socket, and the children read their own jobs. The steps:

1. Preload modules (preload.py), then confine and lock the worker (confine.py).
2. For each request: fork a child, wait until it ends or its time is over, kill
   what is left, and answer how it ended.

A child runs its program on several inputs (child.py), which it receives one at
a time. If it ends before the last input, another child takes the rest.

Three processes belong to a worker. The supervisor stays outside of all
namespaces and maps users. Its child makes the namespaces and waits. The
grandchild is process 1 of the worker's pid namespace and serves the requests,
so that everything else in the namespace ends with it.

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

_MAX_MESSAGE_BYTES = 1 << 16
_MAX_REQUEST_FILES = 128
# Exit status of a child that failed before it was confined.
SETUP_FAILED = 113
# The factor on the wall time of a child that did not get a processor.
STARVED_FACTOR = 2
# Shares of the wall time in which a child used a processor. From the second
# share on, it had a processor. Between the two, other processes occupied the
# processors. Below the first, they did only if the child waits for one now.
_ASLEEP, _SERVED = 0.1, 0.75
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


def main(descriptor: int, limits: dict, layers: Collection[str]) -> None:
  """Serves the requests of a socket until its other end closes.

  This process becomes the supervisor.

  Args:
    descriptor: the socket.
    limits: the fields of api.Limits.
    layers: keys of confine.LAYERS.
  """
  server = socket.socket(fileno=descriptor)
  preload.preload()
  random.seed(0)  # Every program starts with the same random numbers.
  proc = os.open('/proc', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  group, refusal = _make_group(limits, layers)
  supervisor_end, worker_end = socket.socketpair()
  supervisor, pid = os.getpid(), os.fork()
  if not pid:
    supervisor_end.close()
    confinement = confine.confine_worker(
      limits, layers, proc, group, lambda: _request_user_maps(worker_end)
    )
    confinement.refusals |= refusal
    worker_end.close()
    confine.die_with_parent()
    if os.getppid() != supervisor:
      os._exit(0)  # The supervisor was killed just before the line above.
    _serve(server, confinement, layers)
  server.close()
  worker_end.close()
  if supervisor_end.recv(1):
    answer = namespaces.attempt(namespaces.write_user_maps, proc, pid)
    supervisor_end.send(answer.encode() or b'\0')
  os.waitpid(pid, 0)
  if group:
    group.remove()
  os._exit(0)


def _make_group(
  limits: dict, layers: Collection[str]
) -> tuple[cgroups.Group | None, dict[str, str]]:
  """Makes the control group, if requested; returns it and the refusal."""
  if 'cgroup' not in layers:
    return None, {}
  tasks = limits['processes'] + limits['threads'] + 2  # And two main processes.
  try:
    return cgroups.Group(limits['memory_mb'] << 20, tasks), {'cgroup': ''}
  except OSError as error:
    return None, {'cgroup': syscalls.error_name(error)}


def _request_user_maps(supervisor: socket.socket) -> None:
  """Makes the supervisor map users; raises OSError if that is refused."""
  supervisor.send(b'\0')
  answer = supervisor.recv(100)
  if answer != b'\0':
    raise OSError(errno.EPERM, answer.decode())


def _serve(
  server: socket.socket,
  confinement: confine.Confinement,
  layers: Collection[str],
) -> None:
  pid = os.fork()
  if pid:
    # The child is process 1 of its pid namespace, and this process waits.
    server.close()
    os.waitpid(pid, 0)
    os._exit(0)
  namespace = os.open('self/ns/pid', os.O_RDONLY, dir_fd=confinement.proc)
  confine.lock_worker(confinement, layers)
  server.send(json.dumps(confinement.refusals).encode())
  worker = _Worker(server, confinement, namespace)
  while worker.serve():
    pass
  os._exit(0)


class _Worker:
  """Runs one program at a time.

  Args:
    server: the socket of the requests.
    confinement: of this process.
    namespace: a descriptor of this process's pid namespace.
  """

  def __init__(
    self,
    server: socket.socket,
    confinement: confine.Confinement,
    namespace: int,
  ):
    self._server = server
    self._confinement = confinement
    self._namespace = namespace

  def serve(self) -> bool:
    """Serves one request; returns False if there will be no more.

    The files of a request are those of its jobs (child.run), or those of one
    job and of its further inputs.
    """
    message, files, _, _ = socket.recv_fds(
      self._server, _MAX_MESSAGE_BYTES, _MAX_REQUEST_FILES
    )
    if not message:
      return False
    request = marshal.loads(message)
    bounds = itertools.accumulate(request['files'], initial=0)
    file_lists = [files[a:b] for a, b in itertools.pairwise(bounds)]
    if request['inputs'] > 1:
      (job, *first), *others = file_lists
      runs = self._run_inputs([job], [first, *others])
    else:
      runs = self._run(file_lists)
    for file in itertools.chain(*file_lists):
      os.close(file)
    self._server.send(json.dumps({'runs': runs}).encode())
    return True

  def _run_inputs(self, job: list, inputs: list) -> list[dict]:
    """Runs a program on its inputs, in as many children as needed."""
    runs = []
    while len(runs) < len(inputs):
      first, *later = inputs[len(runs) :]
      runs += self._run([job + first], later)
    return runs

  def _run(self, jobs: list, later: Sequence[list] = ()) -> list[dict]:
    """Runs one child for each job; a single job also on its `later` inputs.

    A later input on which the child fails, other than by a timeout, is run
    again in a new child: what the earlier runs left may be the cause.

    Returns:
      How each run ended, up to the input with which a new child must continue.
    """
    with contextlib.ExitStack() as stack:
      children, link = self._start(jobs, later, stack)
      runs, files = [], jobs[0][1:]
      while (event := self._wait(children, link)) is _Event.INPUT_REQUESTED:
        runs.append(children.finish_input())
        if len(runs) > len(later) or not self._seal_output(files):
          break
        files = later[len(runs) - 1]
        with contextlib.suppress(OSError):  # The child may have ended.
          socket.send_fds(link, [b'\0'], files)
      last = children.reap(timed_out=event is _Event.TIMED_OUT)
    if not self._confinement.has('pid'):
      confine.kill_orphans(self._confinement)
    if self._confinement.group:
      last['refused'] = self._confinement.group.refused()
    confine.clean_scratch(self._confinement)
    if event is _Event.INPUT_REQUESTED:
      return runs
    failed = last['exits'][0]['code'] and not last['timed_out']
    if runs and failed and not namespaces.attempt(_rewind, files):
      return runs
    return [*runs, last]

  def _start(
    self, jobs: list, later: Sequence[list], stack: contextlib.ExitStack
  ) -> tuple['_Children', socket.socket | None]:
    """Forks the children; returns a link to the child that has later inputs."""
    children, link, link_files = _Children(), None, []
    if later:
      pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
      link, child_end = map(stack.enter_context, pair)
      link_files = [child_end.fileno()]
    for index, files in enumerate(jobs):
      children.add(self._fork(files + link_files, index, 1 + len(later)))
    if later:
      child_end.close()
    if len(jobs) > 1:
      for files in jobs:
        # The relay's ends must not stay open here: each child has to notice
        # when the other ends.
        os.close(files.pop())
    return children, link

  def _seal_output(self, files: list[int]) -> bool:
    """Makes the output for an input final.

    Returns False if that fails, or if the program left files in scratch.
    """
    try:
      for file in _written_files(files):
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
      return False  # The program has mapped the file to memory.
    return confine.is_scratch_clean(self._confinement)

  def _fork(self, files: list[int], index: int, inputs: int) -> int:
    if self._confinement.has('pid'):
      pid = namespaces.fork_pid_namespace(self._namespace)
    else:
      pid = os.fork()
    if pid:
      return pid
    try:
      self._server.detach()
      if index or not self._confinement.has('mount'):
        os.chdir('/')  # Programs cannot write there.
      child.run(self._confinement, files, index, inputs)
    except BaseException:
      # No program has run yet, so that this is a failure of the sandbox.
      os._exit(SETUP_FAILED)

  def _wait(
    self, children: '_Children', link: socket.socket | None
  ) -> '_Event':
    """Waits until the last child ends, requests an input or is out of time."""
    poll = select.poll()
    descriptor = os.pidfd_open(children.pids[-1])
    poll.register(descriptor, select.POLLIN)
    poll.register(self._server, select.POLLRDHUP)
    if link:
      poll.register(link, select.POLLIN)
    event, ready = _Event.TIMED_OUT, []
    while not ready and (left_s := children.left_s(self._confinement)) > 0:
      ready = [file for file, _ in poll.poll(1000 * left_s)]
      event = _Event.ENDED if ready else _Event.TIMED_OUT
      if link and ready == [link.fileno()]:
        event = _Event.INPUT_REQUESTED
        if not _has_request(link):
          # The program closed its end of the link, but still runs.
          poll.unregister(link)
          event, ready = _Event.TIMED_OUT, []
    os.close(descriptor)
    if self._server.fileno() in ready:
      os._exit(0)  # The sandbox has ended; the children die with this process.
    return event


class _Event(enum.Enum):
  """Why the wait for a child was over."""

  ENDED = enum.auto()
  TIMED_OUT = enum.auto()
  INPUT_REQUESTED = enum.auto()


def _has_request(link: socket.socket) -> bool:
  try:
    return bool(link.recv(1))
  except ConnectionError:
    return False


def _written_files(files: list[int]) -> list[int]:
  """Returns those files of an input (child.run) that its program writes."""
  return [files[0], *files[2:4]]


def _rewind(files: list[int]) -> None:
  """Restores the files of an input; the next child overwrites the report."""
  for file in files[1:4]:
    os.lseek(file, 0, os.SEEK_SET)
  for file in files[2:4]:
    os.ftruncate(file, 0)


class _Children:
  """The processes of a run, and the time that they used for this input."""

  def __init__(self):
    self.pids: list[int] = []
    self._earlier_s: list[float] = []  # Processor time for earlier inputs.
    self._start = time.monotonic()

  def add(self, pid: int) -> None:
    self.pids.append(pid)
    self._earlier_s.append(0.0)

  def _busy_s(self) -> list[float]:
    return [
      time.clock_gettime(_processor_clock(pid)) - earlier_s
      for pid, earlier_s in zip(self.pids, self._earlier_s, strict=True)
    ]

  def left_s(self, confinement: confine.Confinement) -> float:
    """Returns the seconds until a process can first be out of time.

    Processor time is watched here because the kernel's own limit counts whole
    seconds. The wall time grows for a child that did not get a processor.
    """
    limits = confinement.limits
    busy_s, elapsed_s = self._busy_s(), time.monotonic() - self._start
    left_s = limits['wall_s'] - elapsed_s
    if left_s <= 0:
      share = sum(busy_s) / elapsed_s
      is_awake = share >= _ASLEEP or confine.has_runnable_child(confinement)
      if is_awake and share < _SERVED:
        left_s += (STARVED_FACTOR - 1) * limits['wall_s']
    return min(left_s, limits['cpu_s'] - max(busy_s))

  def finish_input(self) -> dict:
    """Returns the result of a run whose process goes on to the next input."""
    (busy_s,), wall_s = self._busy_s(), time.monotonic() - self._start
    self._earlier_s[0] += busy_s
    self._start += wall_s
    exits = [{'code': 0, 'killed': False, 'cpu_s': busy_s}]
    return {
      'exits': exits,
      'timed_out': False,
      'refused': '',
      'wall_s': wall_s,
    }

  def reap(self, timed_out: bool) -> dict:
    """Kills the processes that still run, and returns the result of the run."""
    exits = [*map(_reap, self.pids, self._earlier_s)]
    wall_s = time.monotonic() - self._start
    return {
      'exits': exits,
      'timed_out': timed_out,
      'refused': '',
      'wall_s': wall_s,
    }


def _reap(pid: int, earlier_s: float) -> dict:
  ended_pid, status, usage = os.wait4(pid, os.WNOHANG)
  killed = not ended_pid
  if killed:
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
  return {
    'code': os.waitstatus_to_exitcode(status),
    'killed': killed,
    'cpu_s': max(usage.ru_utime + usage.ru_stime - earlier_s, 0.0),
  }


def _processor_clock(pid: int) -> int:
  """Returns a process's clock of processor time, as clock_getcpuclockid."""
  return ~pid << 3 | 2
