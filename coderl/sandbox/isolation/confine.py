"""Confines workers and programs by layers of the kernel.

1. A worker calls `confine_worker` once: namespaces and a root file system
   (namespaces.py), a control group (cgroups.py), a Landlock ruleset
   (landlock.py).
2. It calls `lock_worker`: resource limits and a seccomp filter (seccomp.py),
   which its programs inherit.
3. Every child calls `restrict_child`: resource limits of the program, another
   user, no capabilities, the Landlock ruleset.

If the kernel refuses a layer, the reason is kept in `Confinement.refusals`; no
layer is skipped silently.
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

# Layer -> the consequence if the host's kernel refuses it.
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
# The hard limit on the size of files leaves room for the child's own report.
MAX_REPORT_BYTES = 4 << 20
# The last two descriptors are those of the child's runner. Programs that close
# or use low descriptors do not touch them.
MAX_DESCRIPTORS = 1002


@dataclasses.dataclass
class Confinement:
  """What a worker needs to confine its programs.

  Attributes:
    limits: the fields of api.Limits.
    refusals: layer -> '' if it is active, else the kernel's error.
    proc: a descriptor of the host's /proc, which no child keeps.
    first_uid: user of a program if the worker is root; its checker is the next.
    group: the control group that the worker lives in, if any.
    readable: files and folders of the interpreter.
    scratch_state: see namespaces.scratch_state; of the fresh directory.
    ruleset: descriptor of the Landlock ruleset, if any.
    child_filter: a seccomp filter that each program must install, if any.
  """

  limits: dict
  refusals: dict[str, str]
  proc: int
  first_uid: int
  group: cgroups.Group | None
  readable: list[str]
  scratch_state: tuple = ()
  ruleset: int | None = None
  child_filter: bytes | None = None

  def has(self, layer: str) -> bool:
    """Returns whether a layer is active."""
    return self.refusals.get(layer) == ''

  @property
  def limits_processes(self) -> bool:
    """Whether the kernel can count a program's processes separately."""
    return os.geteuid() == 0 or self.has('user') or self.group is not None


def confine_worker(
  limits: dict,
  layers: Collection[str],
  proc: int,
  group: cgroups.Group | None,
  map_users: Callable[[], None],
) -> Confinement:
  """Confines this process as far as it can still serve programs.

  Args:
    limits: the fields of api.Limits.
    layers: keys of LAYERS.
    proc: a descriptor of the host's /proc.
    group: the control group to enter; None if the host refused one.
    map_users: see namespaces.enter.
  """
  uid = namespaces.first_uid()
  if group:
    group.enter()
  shared_libraries = host_files.shared_libraries()
  readable = [*host_files.library_folders(), *shared_libraries]
  refusals = namespaces.enter(
    layers, map_users, shared_libraries, _scratch_kb(limits)
  )
  if refusals.get('user') == '':
    uid = 0
  confinement = Confinement(limits, refusals, proc, uid + 1, group, readable)
  if confinement.has('mount'):
    confinement.scratch_state = namespaces.scratch_state()
  if confinement.has('ipc'):
    namespaces.deny_shared_memory(proc)
  if 'landlock' in layers:
    refusals['landlock'] = namespaces.attempt(_renew_ruleset, confinement)
  return confinement


def _scratch_kb(limits: dict) -> int:
  return max(4096, 2 * limits['file_kb'])


def _renew_ruleset(confinement: Confinement) -> None:
  if confinement.ruleset is not None:
    os.close(confinement.ruleset)
  rights = dict.fromkeys(confinement.readable, landlock.READ)
  rights['/dev/null'] = landlock.READ | landlock.WRITE
  if confinement.has('mount'):
    rights[namespaces.SCRATCH] = landlock.SCRATCH
  confinement.ruleset = landlock.make_ruleset(rights)


def is_scratch_clean(confinement: Confinement) -> bool:
  """Returns whether programs have not changed the scratch directory."""
  if not confinement.has('mount'):
    return True  # There is no scratch directory.
  return confinement.scratch_state == namespaces.scratch_state()


def clean_scratch(confinement: Confinement) -> None:
  """Replaces the scratch directory if a program has changed it."""
  if not is_scratch_clean(confinement):
    namespaces.unmount_scratch()
    namespaces.mount_scratch(_scratch_kb(confinement.limits))
    confinement.scratch_state = namespaces.scratch_state()
    if confinement.ruleset is not None:
      _renew_ruleset(confinement)  # The old rule is on the old directory.


def lock_worker(confinement: Confinement, layers: Collection[str]) -> None:
  """Permanently removes rights that neither worker nor programs need.

  The worker ends with its parent, and adopts the processes that programs leave.
  """
  die_with_parent()
  syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
  syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
  _limit(resource.RLIMIT_CORE, 0)
  # Programs may raise the limit of their stack, whose pages count as memory.
  _limit(resource.RLIMIT_STACK, 64 << 20, resource.RLIM_INFINITY)
  _limit(resource.RLIMIT_MSGQUEUE, 0)
  if 'seccomp' in layers:
    refusal = namespaces.attempt(_deny_calls, confinement)
    confinement.refusals['seccomp'] = refusal


def _deny_calls(confinement: Confinement) -> None:
  machine = os.uname().machine
  signals = confinement.has('pid')
  forks = confinement.limits_processes
  program = seccomp.assemble(machine, signals=signals, forks=forks)
  if signals and forks:
    seccomp.enter(program)
    return
  # The worker itself must send signals and fork, so that each program installs
  # the filter. A child tries here whether the kernel accepts it.
  pid = os.fork()
  if not pid:
    os._exit(bool(namespaces.attempt(seccomp.enter, program)))
  if os.waitpid(pid, 0)[1]:
    raise OSError(errno.ENOSYS, 'no seccomp')
  confinement.child_filter = program


def die_with_parent() -> None:
  syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 9)


def kill_orphans(confinement: Confinement) -> None:
  """Kills the processes that programs left; needed without pid namespaces."""
  while pids := _children(confinement):
    for pid in pids:
      os.kill(pid, 9)
      os.waitpid(pid, 0)


def has_runnable_child(confinement: Confinement) -> bool:
  """Returns whether a child of this process runs or waits for a processor."""
  for pid in _children(confinement):
    # The state follows the process's name, which may contain anything.
    status = _read(confinement, f'{pid}/stat')
    if status.rpartition(')')[2].split()[0] == 'R':
      return True
  return False


def _children(confinement: Confinement) -> list[int]:
  """Returns this process's children, by their pids on the host.

  Returns an empty list if the kernel does not list them.
  """
  try:
    text = _read(confinement, 'thread-self/children')
  except FileNotFoundError:
    return []
  return [int(pid) for pid in text.split()]


def _read(confinement: Confinement, path: str) -> str:
  descriptor = os.open(path, os.O_RDONLY, dir_fd=confinement.proc)
  with open(descriptor) as file:
    return file.read()


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
  ceiling = resource.getrlimit(kind)[1]
  hard = soft if hard is None else hard
  if ceiling != resource.RLIM_INFINITY:
    soft = min(soft, ceiling)
    hard = ceiling if hard == resource.RLIM_INFINITY else min(hard, ceiling)
  resource.setrlimit(kind, (soft, hard))


def restrict_child(
  confinement: Confinement, uid_offset: int, inputs: int
) -> None:
  """Permanently removes rights of this process that a program does not need.

  Args:
    confinement: the worker's.
    uid_offset: 0 for a program, 1 for its checker, which is another user.
    inputs: on how many inputs the program may run, each within the limits.
  """
  if confinement.group:
    _prefer_for_oom_kill(confinement.proc)
  limits = confinement.limits
  _set_limits(limits, inputs)
  if confinement.limits_processes:
    tasks = limits['processes'] + limits['threads'] + 1
    # The worker and its parent have the same user as the program, unless they
    # are root.
    _limit(resource.RLIMIT_NPROC, tasks + 2 * (os.geteuid() != 0))
  _change_user(confinement.first_uid + uid_offset)
  syscalls.drop_capabilities()
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
  die_with_parent()  # The change of user has reset it.
  if confinement.ruleset is not None:
    landlock.enter(confinement.ruleset)
  if confinement.child_filter is not None:
    seccomp.enter(confinement.child_filter)


def _set_limits(limits: dict, inputs: int) -> None:
  file_bytes = 1024 * max(limits['file_kb'], limits['output_kb']) + 1
  _limit(resource.RLIMIT_AS, limits['memory_mb'] << 20)
  # The worker watches the child's time to the millisecond, but not that of its
  # children. The kernel's limit comes a second later, so that the two never end
  # a process at the same moment with different statuses.
  _limit(resource.RLIMIT_CPU, 1 + math.ceil(inputs * limits['cpu_s']))
  _limit(resource.RLIMIT_FSIZE, file_bytes, max(file_bytes, MAX_REPORT_BYTES))
  _limit(resource.RLIMIT_NOFILE, MAX_DESCRIPTORS)


def _prefer_for_oom_kill(proc: int) -> None:
  """Makes the kernel kill this process first when memory runs out."""
  # A process that is not dumpable may not write the file.
  syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
  file = os.open('self/oom_score_adj', os.O_WRONLY, dir_fd=proc)
  os.write(file, b'1000')
  os.close(file)


def _change_user(uid: int) -> None:
  if os.geteuid() != 0:
    return
  os.setgroups([])
  for user in (uid, namespaces.NOBODY):
    # In a container, few user numbers may be mapped.
    if not namespaces.attempt(os.setresgid, user, user, user):
      os.setresuid(user, user, user)
      return


@contextlib.contextmanager
def raised_file_limit(size: int):
  """Lets the child's runner write a file larger than a program may write."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  if size <= soft:
    yield
    return
  resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
