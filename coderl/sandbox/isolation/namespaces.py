"""Namespaces: give a worker its own view of files, network and processes.

`enter` moves this process into new namespaces, with a root file system that
holds only the standard library, read-only, and an empty scratch directory.
Every program then gets its own pid namespace (`fork_pid_namespace`).
"""

from collections.abc import Callable, Collection, Mapping
import contextlib
import os
import socket

from coderl.sandbox.isolation import host_files, syscalls

SCRATCH = '/tmp'
NOBODY = 65534
# Users that a worker of root needs: for itself, a program and a checker.
_USERS = 3
_FIRST_UID = 0x60000000
# Flags with the same value in statvfs and in mount; a remount must keep them.
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048
_FLAGS = {
  'mount': syscalls.NEWNS,
  'net': syscalls.NEWNET,
  'uts': syscalls.NEWUTS,
  'ipc': syscalls.NEWIPC,
  'pid': syscalls.NEWPID,
}


def attempt(step: Callable, *args) -> str:
  """Runs a step; returns '', or the name of the error that it raised."""
  try:
    step(*args)
  except OSError as error:
    return syscalls.error_name(error)
  return ''


def first_uid() -> int:
  """Returns the first of the user numbers that only this worker uses."""
  return _FIRST_UID + _USERS * os.getpid()


def enter(
  layers: Collection[str],
  map_users: Callable[[], None],
  shared_libraries: Mapping[str, str],
  scratch_kb: int,
) -> dict[str, str]:
  """Moves this process into its own namespaces and root file system.

  The pid namespace takes effect for the next child.

  Args:
    layers: the layers to use; those of other modules are ignored.
    map_users: makes a process outside call `write_user_maps` for this process.
    shared_libraries: see `host_files.shared_libraries`.
    scratch_kb: size of the scratch directory.

  Returns:
    Layer -> '' if it is active, else the kernel's error, for each requested
    layer of this module.
  """
  refusals = {}
  requested = [name for name in _FLAGS if name in layers]
  # After the change of user, root's own folders are closed to this process. If
  # the interpreter lies in one, only root can put it into the new root.
  has_root = (
    'mount' in requested
    and os.geteuid() == 0
    and not attempt(_enter_new_root, shared_libraries)
  )
  if 'user' in layers:
    refusals['user'] = attempt(_enter_user_namespace, map_users)
  for name in requested:
    # This repeats 'mount' after a new root: the new user may only mount in a
    # namespace that belongs to its user namespace.
    refusals[name] = attempt(syscalls.unshare, _FLAGS[name])
  if refusals.get('uts') == '':
    socket.sethostname('sandbox')
  if refusals.get('mount') == '' and not has_root:
    refusals['mount'] = attempt(_change_root, shared_libraries)
  if refusals.get('mount') == '':
    mount_scratch(scratch_kb)
  return refusals


def _enter_new_root(shared_libraries: Mapping[str, str]) -> None:
  syscalls.unshare(syscalls.NEWNS)
  _change_root(shared_libraries)


def _enter_user_namespace(map_users: Callable[[], None]) -> None:
  """Enters a user namespace, in which any user may make the others."""
  is_root = os.geteuid() == 0
  syscalls.unshare(syscalls.NEWUSER)
  map_users()
  if is_root:  # Changes from root of the host to root of the namespace.
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def write_user_maps(proc: int, pid: int) -> None:
  """Maps the users of a process's new namespace; called outside of it.

  The namespace of a root process gets user numbers of its own. Any other user
  becomes nobody inside.

  Args:
    proc: a descriptor of /proc.
    pid: the process.
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


def _change_root(shared_libraries: Mapping[str, str]) -> None:
  """Replaces the root file system of this mount namespace."""
  # The new root is mounted on /proc, which exists on every host and never holds
  # files of the interpreter.
  root = '/proc'
  syscalls.mount('', '/', '', syscalls.MS_REC | syscalls.MS_PRIVATE)
  flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
  syscalls.mount('tmpfs', root, 'tmpfs', flags, 'size=1m,mode=755')
  for path in host_files.library_folders():
    _bind(path, root)
    for packages in ('site-packages', 'dist-packages'):
      # Installed packages may contain data sets with their solutions.
      covered = f'{root}{path}/{packages}'
      if os.path.isdir(covered):
        syscalls.mount('tmpfs', covered, 'tmpfs', syscalls.MS_RDONLY, 'size=4k')
  for name, file in shared_libraries.items():
    _bind(file, root, name)
  os.mkdir(f'{root}/dev')
  _write(f'{root}/dev/null', '')
  syscalls.mount('/dev/null', f'{root}/dev/null', '', syscalls.MS_BIND)
  os.symlink(SCRATCH, f'{root}/dev/shm')  # Needed by multiprocessing locks.
  os.mkdir(root + SCRATCH)
  os.chdir(root)
  syscalls.pivot_root()
  flags |= syscalls.MS_REMOUNT | syscalls.MS_RDONLY
  syscalls.mount('tmpfs', '/', 'tmpfs', flags, 'size=1m,mode=755')


def _bind(path: str, root: str, name: str = '') -> None:
  """Mounts a file or folder of the host in the new root, read-only."""
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
  """Mounts an empty scratch directory and makes it the current directory."""
  flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
  options = f'size={size_kb}k,nr_inodes=256,mode=1777'
  syscalls.mount('tmpfs', SCRATCH, 'tmpfs', flags, options)
  os.chdir(SCRATCH)


def unmount_scratch() -> None:
  os.chdir('/')
  syscalls.unmount(SCRATCH)


def scratch_state() -> tuple:
  """Returns a value that differs once a program has changed the directory.

  The time of the last change alone is not enough, because the clock of some
  kernels is coarse.
  """
  status = os.stat(SCRATCH)
  return status.st_ctime_ns, status.st_mode, *os.listdir(SCRATCH)


def deny_shared_memory(proc: int) -> None:
  """Sets the limits of the IPC namespace to 0 objects.

  Such objects would outlive the program that made them. If the user may not set
  the limits, the objects end with the worker.
  """
  for name in ('shmmni', 'msgmni'):
    with contextlib.suppress(OSError):
      _write(f'sys/kernel/{name}', '0', proc)


def fork_pid_namespace(worker_namespace: int) -> int:
  """Forks a child that is process 1 of a new pid namespace.

  Args:
    worker_namespace: a descriptor of this process's pid namespace.

  Returns:
    The child's pid in this process, and 0 in the child, as os.fork does.
  """
  syscalls.unshare(syscalls.NEWPID)
  pid = os.fork()
  if pid:
    syscalls.setns(worker_namespace, syscalls.NEWPID)
  return pid
