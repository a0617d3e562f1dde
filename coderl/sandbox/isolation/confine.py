"""What a program is denied, by the kernel's own means, layer upon layer.

A worker calls `make_cage` once: namespaces and a root of its own
(namespaces.py), a control group (cgroups.py), a Landlock ruleset
(landlock.py); then `settle`: limits and a seccomp filter (seccomp.py), which
programs inherit. Every child calls `restrict`: its own limits, another user,
no capabilities, the ruleset. What the kernel refuses is kept with the reason,
never skipped silently.
"""

from collections.abc import Callable, Collection
import contextlib
import dataclasses
import errno
import math
import os
import resource

from coderl.sandbox.isolation import (
  cgroups,
  host_files,
  landlock,
  namespaces,
  seccomp,
  syscalls,
)

# Layer -> what is so where the host's kernel refuses it.
LAYERS = {
  'user': 'workers are users of the host',
  'mount': 'programs reach the files of the host that Landlock lets through',
  'net': 'programs see the network of the host',
  'uts': 'programs see the name of the host',
  'ipc': 'programs share System V objects with the host',
  'pid': 'programs see the processes of the host',
  'landlock': 'files are guarded by the mount namespace alone',
  'seccomp': 'programs may make any system call',
  'cgroup': 'memory is limited by process, not for all of a program together',
}
# The hard limit on files leaves room for the child's own report.
REPORT_BYTES = 4 << 20
# Those of the runner itself, the last two, lie out of the way of programs.
DESCRIPTORS = 1002


@dataclasses.dataclass
class Cage:
  """What a worker holds to confine its programs.

  limits: the fields of api.Limits. refusals: layer -> '' where it
  holds, else the kernel's refusal. proc: a descriptor of the host's /proc,
  which no child keeps. first_uid: the first user of programs, for root.
  group: that the worker lives in, if any.
  readable: files and directories of the interpreter. scratch: how the scratch
  directory was made. calls: a filter that each program is to install.
  """

  limits: dict
  refusals: dict[str, str]
  proc: int
  first_uid: int
  group: cgroups.Group | None
  readable: list[str]
  scratch: tuple = ()
  ruleset: int | None = None
  calls: bytes | None = None

  def holds(self, layer: str) -> bool:
    return self.refusals.get(layer) == ''

  @property
  def counted(self) -> bool:
    """Whether the kernel counts a program's processes apart from others."""
    return os.geteuid() == 0 or self.holds('user') or self.group is not None


def make_cage(
  limits: dict,
  layers: Collection[str],
  proc: int,
  group: cgroups.Group | None,
  map_users: Callable[[], None],
) -> Cage:
  """Confines this process, as far as it can still serve programs.

  group: to live in; None where the host refused one.
  """
  uid = namespaces.first_uid()
  if group:
    group.enter()
  shared = host_files.shared()
  readable = [*host_files.standard(), *shared]
  refusals = namespaces.enter(layers, map_users, shared, _scratch_kb(limits))
  if refusals.get('user') == '':
    uid = 0
  cage = Cage(limits, refusals, proc, uid + 1, group, readable)
  if cage.holds('mount'):
    cage.scratch = namespaces.scratch_state()
  if cage.holds('ipc'):
    namespaces.deny_shared_memory(proc)
  if 'landlock' in layers:
    refusals['landlock'] = namespaces.attempt(_renew_ruleset, cage)
  return cage


def _scratch_kb(limits: dict) -> int:
  return max(4096, 2 * limits['file_kb'])


def _renew_ruleset(cage: Cage) -> None:
  if cage.ruleset is not None:
    os.close(cage.ruleset)
  rights = dict.fromkeys(cage.readable, landlock.READ)
  rights['/dev/null'] = landlock.READ | landlock.WRITE
  if cage.holds('mount'):
    rights[namespaces.SCRATCH] = landlock.SCRATCH
  cage.ruleset = landlock.make(rights)


def is_scratch_clean(cage: Cage) -> bool:
  """Whether programs have left the scratch directory alone, if there is one."""
  return not cage.holds('mount') or cage.scratch == namespaces.scratch_state()


def clean_scratch(cage: Cage) -> None:
  """A fresh scratch directory, where a program has touched it."""
  if not is_scratch_clean(cage):
    namespaces.unmount_scratch()
    namespaces.mount_scratch(_scratch_kb(cage.limits))
    cage.scratch = namespaces.scratch_state()
    if cage.ruleset is not None:
      _renew_ruleset(cage)  # The rule was on the directory that is gone.


def settle(cage: Cage, layers: Collection[str]) -> None:
  """Takes from a worker what neither it nor its programs need; for good.

  It dies with its keeper, and what programs leave behind becomes its own.
  """
  die_with_parent()
  syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
  syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
  _limit(resource.RLIMIT_CORE, 0)
  # Programs raise their stack; what it may take counts as memory.
  _limit(resource.RLIMIT_STACK, 64 << 20, resource.RLIM_INFINITY)
  _limit(resource.RLIMIT_MSGQUEUE, 0)
  if 'seccomp' in layers:
    cage.refusals['seccomp'] = namespaces.attempt(_deny_calls, cage)


def _deny_calls(cage: Cage) -> None:
  machine = os.uname().machine
  signals, forks = cage.holds('pid'), cage.counted
  calls = seccomp.assemble(machine, signals=signals, forks=forks)
  if signals and forks:
    seccomp.enter(calls)
    return
  # The worker has to do what programs may not, so each is denied it anew.
  pid = os.fork()
  if not pid:
    os._exit(bool(namespaces.attempt(seccomp.enter, calls)))
  if os.waitpid(pid, 0)[1]:
    raise OSError(errno.ENOSYS, 'no seccomp')
  cage.calls = calls


def die_with_parent() -> None:
  syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 9)


def kill_orphans(cage: Cage) -> None:
  """Kills what programs left behind, where there is no pid namespace."""
  while pids := _children(cage):
    for pid in pids:
      os.kill(pid, 9)
      os.waitpid(pid, 0)


def wants_processor(cage: Cage) -> bool:
  """Whether a child of this process runs or waits for its turn to."""
  for pid in _children(cage):
    # After the name, which may hold anything, stands the state.
    if _read(cage, f'{pid}/stat').rpartition(')')[2].split()[0] == 'R':
      return True
  return False


def _children(cage: Cage) -> list[int]:
  """The host's numbers of this process's children, where the kernel tells."""
  try:
    text = _read(cage, 'thread-self/children')
  except FileNotFoundError:
    return []
  return [int(pid) for pid in text.split()]


def _read(cage: Cage, path: str) -> str:
  with open(os.open(path, os.O_RDONLY, dir_fd=cage.proc)) as file:
    return file.read()


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
  ceiling = resource.getrlimit(kind)[1]
  hard = soft if hard is None else hard
  if ceiling != resource.RLIM_INFINITY:
    soft = min(soft, ceiling)
    hard = ceiling if hard == resource.RLIM_INFINITY else min(hard, ceiling)
  resource.setrlimit(kind, (soft, hard))


def restrict(cage: Cage, place: int, inputs: int) -> None:
  """Takes from this process what a program does not need; for good.

  place: 0 of a program, 1 of its checker. inputs: on how many the program may
  run, each within the limits.
  """
  if cage.group:
    _die_first(cage.proc)
  _set_limits(cage.limits, inputs)
  if cage.counted:
    tasks = cage.limits['processes'] + cage.limits['threads'] + 1
    # Only root's worker and what it waits in are other users.
    _limit(resource.RLIMIT_NPROC, tasks + 2 * (os.geteuid() != 0))
  _become(cage.first_uid + place)
  syscalls.drop_capabilities()
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
  die_with_parent()  # A change of user has cleared it.
  if cage.ruleset is not None:
    landlock.enter(cage.ruleset)
  if cage.calls is not None:
    seccomp.enter(cage.calls)


def _set_limits(limits: dict, inputs: int) -> None:
  file_bytes = 1024 * max(limits['file_kb'], limits['output_kb']) + 1
  _limit(resource.RLIMIT_AS, limits['memory_mb'] << 20)
  # The worker watches the child to the millisecond, but not its children. The
  # kernel's limit is a second later: what both end at once has two stories.
  _limit(resource.RLIMIT_CPU, 1 + math.ceil(inputs * limits['cpu_s']))
  _limit(resource.RLIMIT_FSIZE, file_bytes, max(file_bytes, REPORT_BYTES))
  _limit(resource.RLIMIT_NOFILE, DESCRIPTORS)


def _die_first(proc: int) -> None:
  """Makes this process the one to be killed for want of memory."""
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # The file is its own only so.
  file = os.open('self/oom_score_adj', os.O_WRONLY, dir_fd=proc)
  os.write(file, b'1000')
  os.close(file)


def _become(uid: int) -> None:
  if os.geteuid() != 0:
    return
  os.setgroups([])
  for user in (uid, namespaces.NOBODY):
    # A container may map few users.
    if not namespaces.attempt(os.setresgid, user, user, user):
      os.setresuid(user, user, user)
      return


@contextlib.contextmanager
def large_files(size: int):
  """Lets the child's runner write more than a program may, within."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  if size <= soft:
    yield
    return
  resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
