"""Each layer by itself: what it stops, and what becomes of its refusal."""

import errno
import os
import pathlib
import re
import struct
import subprocess
import sys

import pytest

from coderl.sandbox import sandbox
from coderl.sandbox.isolation import confine, seccomp
from commons import errors

Program, Status = sandbox.Program, sandbox.Status
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X86, _ARM = 0xC000003E, 0xC00000B7
_HEADERS = pathlib.Path('/usr/include')


def _verdict(program, number, arguments=(), arch=_X86):
  """What the kernel does about a call: its interpreter of classic BPF."""
  low = [a & 0xFFFFFFFF for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
  high = [a >> 32 for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
  words = [number, arch, 0, 0]
  words += [word for pair in zip(low, high, strict=True) for word in pair]
  steps, place, loaded = [*struct.iter_unpack('HBBI', program)], 0, None
  while True:
    code, skip_if, skip_else, value = steps[place]
    place += 1
    if code == 0x06:
      return value
    if code == 0x20:
      loaded = words[value // 4]
    elif code == 0x05:
      place += value
    else:
      test = {0x15: loaded == value, 0x35: loaded >= value}
      place += skip_if if test.get(code, loaded & value) else skip_else


def _refused(error):
  return _ERRNO | error


@pytest.mark.parametrize(
  ('machine', 'arch', 'column'),
  [('x86_64', _X86, 0), ('aarch64', _ARM, 1)],
)
def test_only_what_is_listed_is_allowed(machine, arch, column):
  program = seccomp.assemble(machine, signals=True, forks=True)
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  listed = {numbers[column] for numbers in calls.values()} - {None}
  allowed = {
    number
    for number in range(1000)
    # A flag of no call's first argument but clone's, and no command.
    if _verdict(program, number, (1, 1), arch) == _ALLOW
    or _verdict(program, number, (0, 0), arch) == _ALLOW
    or _verdict(program, number, (15, 0x5401), arch) == _ALLOW
    or _verdict(program, number, (0x20000000,), arch) == _ALLOW
  }
  assert allowed == listed
  refused = seccomp.REFUSED_AS.values()
  for numbers, error in refused:
    assert _verdict(program, numbers[column], (), arch) == _refused(error)
  others = set(range(1000)) - listed - {n[column] for n, _ in refused}
  assert {_verdict(program, n, (), arch) for n in others} == {
    _refused(errno.EPERM)
  }


def test_other_calling_conventions_kill():
  program = seccomp.assemble('x86_64', signals=True, forks=True)
  read = seccomp.CALLS['read'][0]
  assert _verdict(program, read) == _ALLOW
  assert _verdict(program, read, arch=0x40000003) == _KILL  # 32 bits
  assert _verdict(program, read, arch=_ARM) == _KILL
  assert _verdict(program, read | 0x40000000) == _KILL  # x32


@pytest.mark.parametrize(
  ('name', 'arguments', 'verdict'),
  [
    ('clone', (17,), _ALLOW),
    ('clone', (0x10000 | 17,), _ALLOW),
    ('clone', (0x10000000 | 17,), _refused(errno.EPERM)),
    ('clone', (0x20000 | 17,), _refused(errno.EPERM)),
    ('clone', (0x80 | 17,), _refused(errno.EPERM)),
    ('ioctl', (1, 0x5401), _ALLOW),
    ('ioctl', (1, 0x5401 | 1 << 32), _ALLOW),  # The kernel takes 32 bits.
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
def test_arguments_are_looked_at(name, arguments, verdict):
  program = seccomp.assemble('x86_64', signals=True, forks=True)
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  assert _verdict(program, calls[name][0], arguments) == verdict


def test_signals_and_forks_are_denied_where_they_are_not_safe():
  program = seccomp.assemble('x86_64', signals=False, forks=False)
  for name in ('kill', 'tgkill', 'fork'):
    number = seccomp.CALLS[name][0]
    assert _verdict(program, number) == _refused(errno.EPERM)
  clone = seccomp.CALLS['clone'][0]
  assert _verdict(program, clone, (17,)) == _refused(errno.EPERM)
  assert _verdict(program, clone, (0x10000 | 0x100,)) == _ALLOW


def test_the_numbers_are_the_kernels_own():
  x86 = _HEADERS / 'x86_64-linux-gnu/asm/unistd_64.h'
  arm = _HEADERS / 'asm-generic/unistd.h'
  if not (x86.exists() and arm.exists()):
    pytest.skip('no kernel headers')
  pattern = r'#define __NR(?:3264)?_(\w+)\s+(\d+)'
  own = dict(re.findall(pattern, x86.read_text()))
  generic = dict(re.findall(pattern, arm.read_text()))
  generic |= {'newfstatat': generic['fstatat']}
  calls = seccomp.CALLS | seccomp.WORKER_CALLS
  calls |= {name: numbers for name, (numbers, _) in seccomp.REFUSED_AS.items()}
  for name, (first, second) in calls.items():
    assert int(own.get(name, first)) == first, name
    if second is not None:
      assert int(generic.get(name, second)) == second, name


def _run(source, layers, **limits):
  limits = sandbox.Limits(**{'memory_mb': 256, 'wall_s': 3.0, **limits})
  with sandbox.Sandbox(limits, workers=1, layers=layers) as box:
    refused = [f'{name} ({why})' for name, why in box.layers().items() if why]
    if refused:
      pytest.skip(f'refused here: {", ".join(refused)}')
    return box.run([Program(source)])[0]


_HUNGRY = (
  'import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n'
  '    x = b"x" * (100 << 20); time.sleep(0.5); os._exit(0)\n'
  'print(any([os.wait()[1] for _ in range(8)]))'
)


@pytest.mark.parametrize(
  ('layer', 'source', 'without', 'held'),
  [
    ('landlock', 'import os\nprint(len(os.listdir("/etc")) > 0)', True, None),
    ('seccomp', 'import socket\nprint(bool(socket.socket()))', True, None),
    # Where it is the worker's own.
    ('seccomp pid user', 'import socket\nsocket.socket()', None, None),
    ('pid', 'import os\nprint(os.getppid() > 0)', True, False),
    ('net', 'import socket\nprint(len(socket.if_nameindex()))', None, 1),
    ('mount', 'import os\nprint(os.path.exists("/etc"))', True, False),
    ('cgroup', _HUNGRY, False, True),
  ],
)
def test_what_each_layer_stops_alone(layer, source, without, held):
  # Namespaces of an ordinary user take a user namespace.
  layers = (
    (layer, 'user') if layer in ('pid', 'net', 'mount') else layer.split()
  )
  ran = _run(source, layers, processes=16)
  assert ran.stdout == ('' if held is None else f'{held}\n')
  assert (ran.status is Status.FINISHED) == (held is not None)
  if without is not None:
    assert _run(source, (), processes=16).stdout == f'{without}\n'


def test_a_program_is_no_user_of_the_host():
  for layers in (tuple(confine.LAYERS), ('landlock',), ()):
    ran = _run(f'import os\nprint({os.getuid()} == os.getuid())', layers)
    if os.getuid() == 0:
      assert ran.stdout == 'False\n'
  source = 'import os\nos.setuid(0)\nprint(1)'
  assert _run(source, tuple(confine.LAYERS)).status is Status.RUNTIME_ERROR


def test_memory_of_all_processes_together_has_its_status():
  hungry = (
    'import os, time\nwhile True:\n  if os.fork() == 0:\n'
    '    x = b"x" * (60 << 20)\n    while True: time.sleep(1)\n'
    '  time.sleep(0.05)\n'
  )
  ran = _run(hungry, tuple(confine.LAYERS), processes=40, wall_s=2.0)
  assert ran.status is Status.MEMORY_LIMIT


def test_unknown_and_missing_layers_are_errors():
  with pytest.raises(errors.UserError, match="unknown sandbox layer 'seccmp'"):
    sandbox.Sandbox(workers=1, layers=['seccmp'])
  with pytest.raises(errors.UserError, match='required but refused: net'):
    sandbox.Sandbox(workers=1, layers=['seccomp'], require=['net'])


# As in a container whose own filter refuses new namespaces.
_CONTAINER = """
import struct
from coderl.execution import kernel, sandbox, seccomp
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x50001),
         (0x06, 0, 0, 0x7FFF0000)]
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
seccomp.enter(b''.join(struct.pack('HBBI', *step) for step in steps))
with sandbox.Sandbox(workers=1) as box:
  print({{name for name, why in box.layers().items() if why == 'EPERM'}})
  ran = box.run([sandbox.Program('print(7)')])[0]
  print(ran.status.value, ran.stdout)
try:
  sandbox.Sandbox(workers=1, require=['seccomp', 'pid'])
except ValueError as error:
  print(error)
"""


def test_what_a_container_refuses_is_told_in_one_line():
  number = {'x86_64': 272, 'aarch64': 97}[os.uname().machine]  # unshare
  done = subprocess.run(
    [sys.executable, '-c', _CONTAINER.format(number=number)],
    cwd=pathlib.Path(confine.__file__).parents[3],
    capture_output=True,
    text=True,
    check=True,
  )
  layers, ran, _, error = done.stdout.splitlines()
  namespaces = {'user', 'mount', 'net', 'uts', 'ipc', 'pid'}
  assert namespaces <= eval(layers) <= namespaces | {'cgroup'}
  assert ran == 'finished 7'
  assert error == 'sandbox layers required but refused: pid (EPERM)'
  (line,) = done.stderr.splitlines()
  assert line.startswith('WARNING:root:Sandbox without user (EPERM): workers')
  assert 'programs see the processes of the host' in line


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('cpu_s', -1.0),
    ('cpu_s', 0),
    ('wall_s', float('inf')),
    ('wall_s', float('nan')),
    ('wall_s', '2'),
    ('memory_mb', 16),
    ('memory_mb', 512.0),
    ('output_kb', 0),
    ('file_kb', -1),
    ('processes', -1),
    ('threads', True),
    ('trace_events', None),
  ],
)
def test_limits_that_make_no_sense_are_refused(field, value):
  with pytest.raises(ValueError, match=f'sandbox limit {field}='):
    sandbox.Limits(**{field: value})


def test_the_least_memory_runs_a_program():
  ran = _run('print(sum(range(10)))', tuple(confine.LAYERS), memory_mb=64)
  assert (ran.status, ran.stdout) == (Status.FINISHED, '45\n')
