"""Namespaces: a worker's own view of files, network and processes.

`enter` gives this process its own namespaces and a root that holds the standard
library, read-only, and an empty scratch directory; every program then gets a
pid namespace of its own.
"""

from collections.abc import Callable, Collection, Mapping
import contextlib
import os
import socket

from coderl.sandbox.isolation import host_files, syscalls

SCRATCH = '/tmp'
NOBODY = 65534
# Users of a worker that root starts: itself, a program, a checker.
_USERS = 3
_FIRST_UID = 0x60000000
# Statistics of a mount and flags to mount share these bits' values.
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048
_FLAGS = {
  'mount': syscalls.NEWNS,
  'net': syscalls.NEWNET,
  'uts': syscalls.NEWUTS,
  'ipc': syscalls.NEWIPC,
  'pid': syscalls.NEWPID,
}


def attempt(step: Callable, *args) -> str:
  """Runs a step; '' or the kernel's refusal."""
  try:
    step(*args)
  except OSError as error:
    return syscalls.refusal(error)
  return ''


def first_uid() -> int:
  """The first of the host's users that are this worker's alone."""
  return _FIRST_UID + _USERS * os.getpid()


def enter(
  layers: Collection[str],
  map_users: Callable[[], None],
  shared: Mapping[str, str],
  scratch_kb: int,
) -> dict[str, str]:
  """Gives this process its own namespaces and root.

  map_users: has `write_user_maps` called for this process from outside.
  shared: as host_files.shared gives it.

  Returns: layer -> '' where it holds, else the kernel's refusal, for the
  layers of this file that were asked for. The pid namespace takes effect for
  the next child.
  """
  refusals = {}
  wanted = [name for name in _FLAGS if name in layers]
  # Only the host's root reaches an interpreter in a folder of root's.
  early = (
    'mount' in wanted and os.geteuid() == 0 and not attempt(_new_root, shared)
  )
  if 'user' in layers:
    refusals['user'] = attempt(_new_user, map_users)
  for name in wanted:
    # After a new root once more: what the new user mounts on belongs to it.
    refusals[name] = attempt(syscalls.unshare, _FLAGS[name])
  if refusals.get('uts') == '':
    socket.sethostname('sandbox')
  if refusals.get('mount') == '':
    refusals['mount'] = '' if early else attempt(_change_root, shared)
  if refusals.get('mount') == '':
    mount_scratch(scratch_kb)
  return refusals


def _new_root(shared: Mapping[str, str]) -> None:
  syscalls.unshare(syscalls.NEWNS)
  _change_root(shared)


def _new_user(map_users: Callable[[], None]) -> None:
  """Enters a user namespace, where an ordinary user may make the others."""
  root = os.geteuid() == 0
  syscalls.unshare(syscalls.NEWUSER)
  map_users()
  if root:  # From the host's to the namespace's.
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def write_user_maps(proc: int, pid: int) -> None:
  """Maps users of a process's new namespace; called outside of it.

  Root gives it users of its own, another user is nobody in there. proc: a
  descriptor of /proc.
  """
  uid, gid = os.geteuid(), os.getegid()
  if uid == 0:
    first = _FIRST_UID + _USERS * pid
    users = groups = f'0 {first} {_USERS}'
  else:
    users, groups = f'{NOBODY} {uid} 1', f'{NOBODY} {gid} 1'
    _write(f'{pid}/setgroups', 'deny', proc)
  _write(f'{pid}/uid_map', users, proc)
  _write(f'{pid}/gid_map', groups, proc)


def _write(path: str, text: str, folder: int | None = None) -> None:
  descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder)
  try:
    os.write(descriptor, text.encode())
  finally:
    os.close(descriptor)


def _change_root(shared: Mapping[str, str]) -> None:
  """Replaces the file system of this mount namespace."""
  # /proc exists everywhere and never holds the interpreter's files.
  root = '/proc'
  syscalls.mount('', '/', '', syscalls.MS_REC | syscalls.MS_PRIVATE)
  flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
  syscalls.mount('tmpfs', root, 'tmpfs', flags, 'size=1m,mode=755')
  for path in host_files.standard():
    _bind(path, root)
    for packages in ('site-packages', 'dist-packages'):
      # Installed packages may carry data sets with their solutions.
      covered = f'{root}{path}/{packages}'
      if os.path.isdir(covered):
        syscalls.mount('tmpfs', covered, 'tmpfs', syscalls.MS_RDONLY, 'size=4k')
  for name, file in shared.items():
    _bind(file, root, name)
  os.mkdir(f'{root}/dev')
  _write(f'{root}/dev/null', '')
  syscalls.mount('/dev/null', f'{root}/dev/null', '', syscalls.MS_BIND)
  os.symlink(SCRATCH, f'{root}/dev/shm')  # For locks between processes.
  os.mkdir(root + SCRATCH)
  os.chdir(root)
  syscalls.pivot_root()
  flags |= syscalls.MS_REMOUNT | syscalls.MS_RDONLY
  syscalls.mount('tmpfs', '/', 'tmpfs', flags, 'size=1m,mode=755')


def _bind(path: str, root: str, name: str = '') -> None:
  """Shows a file or a directory of the host, read-only."""
  target = root + (name or path)
  if os.path.isdir(path):
    os.makedirs(target, mode=0o755)
  else:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    _write(target, '')
  syscalls.mount(path, target, '', syscalls.MS_BIND)
  kept = os.statvfs(target).f_flag & _KEPT_FLAGS
  flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
  flags |= syscalls.MS_NOSUID | syscalls.MS_NODEV
  syscalls.mount('', target, '', flags | kept)


def mount_scratch(size_kb: int) -> None:
  """Makes an empty scratch directory the current one."""
  flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
  options = f'size={size_kb}k,nr_inodes=256,mode=1777'
  syscalls.mount('tmpfs', SCRATCH, 'tmpfs', flags, options)
  os.chdir(SCRATCH)


def unmount_scratch() -> None:
  os.chdir('/')
  syscalls.unmount(SCRATCH)


def scratch_state() -> tuple:
  """What differs once a program has changed anything in the directory.

  The time of the last change would do, but for kernels whose clock is slow.
  """
  found = os.stat(SCRATCH)
  return found.st_ctime_ns, found.st_mode, *os.listdir(SCRATCH)


def deny_shared_memory(proc: int) -> None:
  """Leaves the IPC namespace no room for what would outlive a program.

  A user who may not take the room has it end with the worker.
  """
  for name in ('shmmni', 'msgmni'):
    with contextlib.suppress(OSError):
      _write(f'sys/kernel/{name}', '0', proc)


def fork_pid_namespace(own_namespace: int) -> int:
  """Forks a child that is process 1 of a pid namespace; returns as fork."""
  syscalls.unshare(syscalls.NEWPID)
  pid = os.fork()
  if pid:
    syscalls.setns(own_namespace, syscalls.NEWPID)
  return pid
