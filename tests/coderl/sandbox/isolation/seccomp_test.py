"""The filter allows the listed system calls, and no others."""

import errno
import pathlib
import re
import struct

import pytest

from coderl.sandbox.isolation import seccomp

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X86, _ARM = 0xC000003E, 0xC00000B7
_HEADERS = pathlib.Path('/usr/include')


def _action(program, number, arguments=(), arch=_X86):
  """Returns what the kernel does about a call; interprets classic BPF."""
  low = [a & 0xFFFFFFFF for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
  high = [a >> 32 for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
  words = [number, arch, 0, 0]
  words += [word for pair in zip(low, high, strict=True) for word in pair]
  steps, position, loaded = [*struct.iter_unpack('HBBI', program)], 0, None
  while True:
    code, skip_if, skip_else, value = steps[position]
    position += 1
    if code == 0x06:
      return value
    if code == 0x20:
      loaded = words[value // 4]
    elif code == 0x05:
      position += value
    else:
      test = {0x15: loaded == value, 0x35: loaded >= value}
      position += skip_if if test.get(code, loaded & value) else skip_else


def _refused(error):
  return _ERRNO | error


@pytest.mark.parametrize(
  ('machine', 'arch', 'column'),
  [('x86_64', _X86, 0), ('aarch64', _ARM, 1)],
)
def test_only_listed_calls_are_allowed(machine, arch, column):
  program = seccomp.assemble(machine, signals=True, forks=True)
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  listed = {numbers[column] for numbers in calls.values()} - {None}
  allowed = {
    number
    for number in range(1000)
    # Every call whose arguments are checked allows one of these.
    if _action(program, number, (1, 1), arch) == _ALLOW
    or _action(program, number, (0, 0), arch) == _ALLOW
    or _action(program, number, (15, 0x5401), arch) == _ALLOW
    or _action(program, number, (0x20000000,), arch) == _ALLOW
  }
  assert allowed == listed
  refused = seccomp.REFUSED_AS.values()
  for numbers, error in refused:
    assert _action(program, numbers[column], (), arch) == _refused(error)
  others = set(range(1000)) - listed - {n[column] for n, _ in refused}
  assert {_action(program, n, (), arch) for n in others} == {
    _refused(errno.EPERM)
  }


def test_other_calling_conventions_kill_the_program():
  program = seccomp.assemble('x86_64', signals=True, forks=True)
  read = seccomp.CALLS['read'][0]
  assert _action(program, read) == _ALLOW
  assert _action(program, read, arch=0x40000003) == _KILL  # 32 bits
  assert _action(program, read, arch=_ARM) == _KILL
  assert _action(program, read | 0x40000000) == _KILL  # x32


@pytest.mark.parametrize(
  ('name', 'arguments', 'action'),
  [
    ('clone', (17,), _ALLOW),
    ('clone', (0x10000 | 17,), _ALLOW),
    ('clone', (0x10000000 | 17,), _refused(errno.EPERM)),
    ('clone', (0x20000 | 17,), _refused(errno.EPERM)),
    ('clone', (0x80 | 17,), _refused(errno.EPERM)),
    ('ioctl', (1, 0x5401), _ALLOW),
    ('ioctl', (1, 0x5401 | 1 << 32), _ALLOW),  # The kernel reads 32 bits.
    ('ioctl', (0, 0x5412), _refused(errno.ENOTTY)),  # TIOCSTI
    ('fcntl', (1, 4), _ALLOW),
    ('fcntl', (1, 8), _refused(errno.EPERM)),  # F_SETOWN
    ('prlimit64', (0, 3), _ALLOW),
    ('prlimit64', (1, 3), _refused(errno.EPERM)),
    ('socketpair', (1, 1), _ALLOW),
    ('socketpair', (1, 5 | 0x80000), _ALLOW),
    ('socketpair', (1, 2), _refused(errno.EPERM)),  # SOCK_DGRAM
    ('socketpair', (16, 1), _refused(errno.EPERM)),
    ('prctl', (15,), _ALLOW),
    ('prctl', (22, 2), _refused(errno.EPERM)),  # PR_SET_SECCOMP
    ('unshare', (0x20000000,), _ALLOW),
    ('unshare', (0x30000000,), _refused(errno.EPERM)),
  ],
)
def test_arguments_are_checked(name, arguments, action):
  program = seccomp.assemble('x86_64', signals=True, forks=True)
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  assert _action(program, calls[name][0], arguments) == action


def test_signals_and_forks_can_be_denied():
  program = seccomp.assemble('x86_64', signals=False, forks=False)
  for name in ('kill', 'tgkill', 'fork'):
    number = seccomp.CALLS[name][0]
    assert _action(program, number) == _refused(errno.EPERM)
  clone = seccomp.CALLS['clone'][0]
  assert _action(program, clone, (17,)) == _refused(errno.EPERM)
  assert _action(program, clone, (0x10000 | 0x100,)) == _ALLOW


def test_call_numbers_are_those_of_the_kernel_headers():
  x86 = _HEADERS / 'x86_64-linux-gnu/asm/unistd_64.h'
  arm = _HEADERS / 'asm-generic/unistd.h'
  if not (x86.exists() and arm.exists()):
    pytest.skip('no kernel headers')
  pattern = r'#define __NR(?:3264)?_(\w+)\s+(\d+)'
  x86_numbers = dict(re.findall(pattern, x86.read_text()))
  generic = dict(re.findall(pattern, arm.read_text()))
  generic |= {'newfstatat': generic['fstatat']}
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  calls |= {name: numbers for name, (numbers, _) in seccomp.REFUSED_AS.items()}
  for name, (first, second) in calls.items():
    assert int(x86_numbers.get(name, first)) == first, name
    if second is not None:
      assert int(generic.get(name, second)) == second, name
