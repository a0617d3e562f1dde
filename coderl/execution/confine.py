"""What a program is denied, by the kernel's own means.

A worker calls `isolate` once, before it serves: its own mount, network, IPC,
host-name and pid namespaces, then `change_root` into a tmpfs that holds the
standard library, read-only, and an empty scratch directory. Every child calls
`restrict`: limits, another user, no capabilities. What the kernel refuses is
returned with the reason, never skipped silently.
"""

import contextlib
import ctypes
import errno
import math
import os
import resource
import sys

_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_NEWNS, _NEWUTS, _NEWIPC = 0x20000, 0x4000000, 0x8000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_SET_CHILD_SUBREAPER = 36
_CAPABILITY_VERSION_3 = 0x20080522

SCRATCH = '/tmp'
_SCRATCH_OPTIONS = 'size=4m,nr_inodes=256,mode=1777'
_NOBODY = 65534
# Statistics of a mount and flags to mount share these bits' values.
_KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048
# The hard limit on files leaves room for the child's own report.
REPORT_BYTES = 4 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
  if result < 0:
    code = ctypes.get_errno()
    raise OSError(code, f'{what}: {os.strerror(code)}')


def _unshare(flags: int) -> None:
  _check(_libc.unshare(flags), 'unshare')


def _mount(source: str, target: str, kind: str, flags: int, data='') -> None:
  texts = [text.encode() or None for text in (source, target, kind, data)]
  result = _libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
  _check(result, f'mount {target}')


def _prctl(option: int, value: int) -> None:
  _check(_libc.prctl(option, value, 0, 0, 0), 'prctl')


def _write(path: str, text: str) -> None:
  with open(path, 'w') as file:
    file.write(text)


def _new_user() -> None:
  """Enters a user namespace, where an ordinary user may make the others."""
  uid, gid = os.geteuid(), os.getegid()
  _unshare(_NEWUSER)
  _write('/proc/self/setgroups', 'deny')
  _write('/proc/self/uid_map', f'{_NOBODY} {uid} 1')
  _write('/proc/self/gid_map', f'{_NOBODY} {gid} 1')


def _new_mounts() -> None:
  try:
    _unshare(_NEWNS)
  except OSError:
    _new_user()
    _unshare(_NEWNS)


def _new_ipc() -> None:
  """An IPC namespace, without room for what would outlive a program.

  An ordinary user may not take the room; it then ends with the worker.
  """
  _unshare(_NEWIPC)
  for name in ('shmmni', 'msgmni'):
    with contextlib.suppress(PermissionError):
      _write(f'/proc/sys/kernel/{name}', '0')


def isolate() -> dict[str, str]:
  """Gives this process its own namespaces.

  Returns: layer name -> '' where it holds, else the kernel's refusal. The pid
  namespace takes effect for the next child.
  """
  steps = {
    'mount': _new_mounts,
    'net': lambda: _unshare(_NEWNET),
    'uts': lambda: _unshare(_NEWUTS),
    'pid': lambda: _unshare(_NEWPID),
    'ipc': _new_ipc,
  }
  layers = {}
  for name, step in steps.items():
    layers[name] = _attempt(step)
  return layers


def _attempt(step, *args) -> str:
  try:
    step(*args)
  except OSError as error:
    return errno.errorcode.get(error.errno, str(error))
  return ''


def die_with_parent() -> None:
  _prctl(_PR_SET_PDEATHSIG, 9)


def adopt_orphans() -> None:
  """Makes daemons of a program children of this process, to be killed."""
  _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def change_root() -> str:
  """Replaces the file system; returns '' or the kernel's refusal."""
  return _attempt(_change_root)


def _change_root() -> None:
  # /proc exists everywhere and never holds the interpreter's files.
  root = '/proc'
  _mount('', '/', '', _MS_REC | _MS_PRIVATE)
  _mount('tmpfs', root, 'tmpfs', _MS_NOSUID | _MS_NODEV, 'size=1m,mode=755')
  library = os.path.dirname(os.__file__)
  for path in dict.fromkeys([library, *_dynamic_libraries(library)]):
    _bind(path, root)
  for packages in ('site-packages', 'dist-packages'):
    # Installed packages may carry data sets with their solutions.
    path = f'{root}{library}/{packages}'
    if os.path.isdir(path):
      _mount('tmpfs', path, 'tmpfs', _MS_RDONLY, 'size=4k')
  os.mkdir(f'{root}/dev')
  _write(f'{root}/dev/null', '')
  _mount('/dev/null', f'{root}/dev/null', '', _MS_BIND)
  os.mkdir(root + SCRATCH)
  os.chdir(root)
  _check(_libc.pivot_root(b'.', b'.'), 'pivot_root')
  _check(_libc.umount2(b'.', _MNT_DETACH), 'umount')
  mount_scratch()
  flags = _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
  _mount('tmpfs', '/', 'tmpfs', flags, 'size=1m,mode=755')


def _dynamic_libraries(library: str) -> list[str]:
  """Directories of extension modules that lie outside the library."""
  return [
    path
    for path in sys.path
    if os.path.isdir(path) and path.endswith('lib-dynload')
    if not path.startswith(library + '/')
  ]


def _bind(path: str, root: str) -> None:
  target = root + path
  os.makedirs(target, mode=0o755)
  _mount(path, target, '', _MS_BIND)
  kept = os.statvfs(target).f_flag & _KEPT_FLAGS
  flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
  _mount('', target, '', flags | kept)


def mount_scratch() -> None:
  """Makes an empty scratch directory the current one."""
  flags = _MS_NOSUID | _MS_NODEV
  _mount('tmpfs', SCRATCH, 'tmpfs', flags, _SCRATCH_OPTIONS)
  os.chdir(SCRATCH)


def is_scratch_clean() -> bool:
  return not os.listdir(SCRATCH)


def clean_scratch() -> None:
  """A fresh scratch directory, where a program left something behind."""
  if not is_scratch_clean():
    os.chdir('/')
    _check(_libc.umount2(SCRATCH.encode(), _MNT_DETACH), 'umount')
    mount_scratch()


def fork_pid_namespace(own_namespace: int) -> int:
  """Forks a child that is process 1 of a pid namespace; returns as fork."""
  _unshare(_NEWPID)
  pid = os.fork()
  if pid:
    _check(_libc.setns(own_namespace, _NEWPID), 'setns')
  return pid


def kill_orphans() -> None:
  """Kills what programs left behind, where there is no pid namespace."""
  path = f'/proc/self/task/{os.getpid()}/children'
  while os.path.exists(path):
    with open(path) as file:
      pids = [int(pid) for pid in file.read().split()]
    if not pids:
      return
    for pid in pids:
      os.kill(pid, 9)
      os.waitpid(pid, 0)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
  ceiling = resource.getrlimit(kind)[1]
  hard = soft if hard is None else hard
  if ceiling != resource.RLIM_INFINITY:
    soft, hard = min(soft, ceiling), min(hard, ceiling)
  resource.setrlimit(kind, (soft, hard))


def restrict(limits: dict, uid: int, inputs: int) -> None:
  """Takes from this process what a program does not need; for good.

  limits: the fields of sandbox.Limits. uid: the user to become when root.
  inputs: on how many the program may run, each within the limits.
  """
  file_bytes = 1024 * max(limits['file_kb'], limits['output_kb']) + 1
  _limit(resource.RLIMIT_AS, limits['memory_mb'] << 20)
  # The worker watches the child to the millisecond, but not its children.
  _limit(resource.RLIMIT_CPU, math.ceil(inputs * limits['cpu_s']))
  _limit(resource.RLIMIT_FSIZE, file_bytes, max(file_bytes, REPORT_BYTES))
  _limit(resource.RLIMIT_NOFILE, 64)
  _limit(resource.RLIMIT_CORE, 0)
  _limit(resource.RLIMIT_STACK, 64 << 20)
  _limit(resource.RLIMIT_MSGQUEUE, 0)
  _limit(resource.RLIMIT_NPROC, limits['processes'] + limits['threads'] + 1)
  _become(uid)
  _drop_capabilities()
  _prctl(_PR_SET_NO_NEW_PRIVS, 1)
  _prctl(_PR_SET_DUMPABLE, 0)
  die_with_parent()  # A change of user has cleared it.


def _become(uid: int) -> None:
  if os.geteuid() != 0:
    return
  os.setgroups([])
  for user in (uid, _NOBODY):
    # A container may map few users.
    if not _attempt(os.setresgid, user, user, user):
      os.setresuid(user, user, user)
      return


def _drop_capabilities() -> None:
  header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
  nothing = (ctypes.c_uint32 * 6)()
  _check(_libc.capset(header, nothing), 'capset')


def lift_file_limit() -> None:
  """Lets the child's runner write a report larger than a program's files."""
  hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
  resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
