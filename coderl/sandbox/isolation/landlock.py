"""Landlock: restricts which files a program may open.

A worker makes one ruleset, and each program enters it, which takes one or two
microseconds. The rules apply whatever root file system the program sees. If the
kernel supports it (versions 4 and 6 of the interface), they also deny TCP,
abstract Unix sockets, and signals to processes outside.
"""

import ctypes
import os
import struct

from coderl.sandbox.isolation import syscalls

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_RULE_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR = 1 << 4, 1 << 5, 1 << 7
_MAKE_REG, _MAKE_SYM, _REFER, _TRUNCATE = 1 << 8, 1 << 12, 1 << 13, 1 << 14
# Version of the interface -> number of access rights to files that it knows.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP, _SCOPES = 0b11, 0b11

READ = _READ_FILE | _READ_DIR
WRITE = _WRITE_FILE | _TRUNCATE
SCRATCH = (
  READ | WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
) | (_MAKE_SYM | _REFER)
# The rights that a rule on a file may have; the others apply to directories.
_FILE_ONLY = _READ_FILE | WRITE


def version() -> int:
  """Returns the version of the kernel's interface.

  Raises:
    OSError: the kernel has no Landlock.
  """
  args = (None, ctypes.c_size_t(0), _GET_VERSION)
  return syscalls.syscall(_CREATE_RULESET, *args, call='landlock')


def make_ruleset(rights: dict[str, int]) -> int:
  """Makes a ruleset and returns its descriptor.

  Args:
    rights: path -> what is allowed on it and beneath it. All else is denied.
  """
  known = version()
  bits = max(n for since, n in _FILE_RIGHTS.items() if since <= known)
  handled = (1 << bits) - 1
  attributes = struct.pack(
    'QQQ', handled, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0
  )
  # An older kernel accepts only the fields that it knows.
  size = ctypes.c_size_t(8 * (1 + (known >= 4) + (known >= 6)))
  ruleset = syscalls.syscall(
    _CREATE_RULESET, attributes, size, 0, call='landlock'
  )
  for path, allowed in rights.items():
    _allow(ruleset, path, allowed & handled)
  return ruleset


def _allow(ruleset: int, path: str, allowed: int) -> None:
  descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
  if not os.path.isdir(path):
    allowed &= _FILE_ONLY
  rule = struct.pack('=Qi', allowed, descriptor)
  try:
    args = (ruleset, _RULE_PATH_BENEATH, rule, 0)
    syscalls.syscall(_ADD_RULE, *args, call=f'landlock {path}')
  finally:
    os.close(descriptor)


def enter(ruleset: int) -> None:
  """Applies a ruleset permanently; no_new_privs must be set."""
  syscalls.syscall(_RESTRICT_SELF, ruleset, 0, call='landlock')
