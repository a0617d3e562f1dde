"""System calls for confinement that Python does not offer.

Each function is a thin wrapper of one call of the C library, and raises OSError
if the call fails.
"""

import ctypes
import errno
import os
import struct

NEWNS, NEWUTS, NEWIPC = 0x20000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
# struct __user_cap_header_struct, version 3, for the calling process; and three
# empty sets of capabilities.
_CAPABILITY_HEADER = struct.pack('Ii', 0x20080522, 0)
_NO_CAPABILITIES = bytes(24)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + 4 * [ctypes.c_ulong]
_libc.prctl.restype = _libc.capset.restype = ctypes.c_int


def check(result: int, call: str) -> int:
  """Returns the result of a call; raises OSError if the call failed."""
  if result < 0:
    code = ctypes.get_errno()
    raise OSError(code, f'{call}: {os.strerror(code)}')
  return result


def error_name(error: OSError) -> str:
  """Returns the symbolic name of an error, such as 'EPERM'."""
  return errno.errorcode.get(error.errno, str(error))


def syscall(number: int, *args, call: str) -> int:
  """Makes a system call for which the C library has no function."""
  return check(_libc.syscall(ctypes.c_long(number), *args), call)


def unshare(flags: int) -> None:
  check(_libc.unshare(flags), 'unshare')


def setns(descriptor: int, kind: int) -> None:
  check(_libc.setns(descriptor, kind), 'setns')


def mount(source: str, target: str, kind: str, flags: int, data='') -> None:
  texts = [text.encode() or None for text in (source, target, kind, data)]
  result = _libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3])
  check(result, f'mount {target}')


def unmount(target: str) -> None:
  """Detaches a mount, even if it is in use."""
  check(_libc.umount2(target.encode(), _MNT_DETACH), f'umount {target}')


def pivot_root() -> None:
  """Makes the current directory the root, and detaches the old root."""
  check(_libc.pivot_root(b'.', b'.'), 'pivot_root')
  unmount('.')


def prctl(option: int, value: int, second: int = 0) -> None:
  check(_libc.prctl(option, value, second, 0, 0), 'prctl')


def drop_capabilities() -> None:
  check(_libc.capset(_CAPABILITY_HEADER, _NO_CAPABILITIES), 'capset')
