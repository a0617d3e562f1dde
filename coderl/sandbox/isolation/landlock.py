"""Landlock: the files that a program may open, whatever root it sees.

A ruleset is made once and taken on by each program in a microsecond or two.
TCP, abstract Unix sockets and signals to others are denied where the kernel
knows how (versions 4 and 6 of the interface).
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
# Access rights to files that versions 1, 2, 3 and 5 know; 4 adds TCP.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_TCP, _SCOPES = 0b11, 0b11

READ = _READ_FILE | _READ_DIR
WRITE = _WRITE_FILE | _TRUNCATE
SCRATCH = (
  READ | WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
) | (_MAKE_SYM | _REFER)
_OF_FILES = _READ_FILE | WRITE  # What a rule on a file, no directory, can say.


def version() -> int:
  """Of the kernel's interface; OSError where there is none."""
  args = (None, ctypes.c_size_t(0), _GET_VERSION)
  return syscalls.syscall(_CREATE_RULESET, *args, what='landlock')


def make(rights: dict[str, int]) -> int:
  """A descriptor of a ruleset: path -> what is allowed beneath it."""
  known = version()
  bits = max(n for since, n in _FILE_RIGHTS.items() if since <= known)
  handled = (1 << bits) - 1
  attributes = struct.pack(
    'QQQ', handled, _TCP if known >= 4 else 0, _SCOPES if known >= 6 else 0
  )
  # An older kernel takes the fields that it knows.
  size = ctypes.c_size_t(8 * (1 + (known >= 4) + (known >= 6)))
  ruleset = syscalls.syscall(
    _CREATE_RULESET, attributes, size, 0, what='landlock'
  )
  for path, allowed in rights.items():
    _allow(ruleset, path, allowed & handled)
  return ruleset


def _allow(ruleset: int, path: str, allowed: int) -> None:
  descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
  if not os.path.isdir(path):
    allowed &= _OF_FILES
  rule = struct.pack('=Qi', allowed, descriptor)
  try:
    args = (ruleset, _RULE_PATH_BENEATH, rule, 0)
    syscalls.syscall(_ADD_RULE, *args, what=f'landlock {path}')
  finally:
    os.close(descriptor)


def enter(ruleset: int) -> None:
  """Takes a ruleset on, for good; no_new_privs must be set."""
  syscalls.syscall(_RESTRICT_SELF, ruleset, 0, what='landlock')
