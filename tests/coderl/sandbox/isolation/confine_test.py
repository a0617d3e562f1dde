"""Each layer alone stops what it should, and a refused layer is reported."""

import os
import pathlib
import subprocess
import sys

import pytest

from coderl.sandbox import sandbox
from coderl.sandbox.isolation import confine
from commons import errors

Program, Status = sandbox.Program, sandbox.Status


def _run(source, layers, **limits):
  limits = sandbox.Limits(**{'memory_mb': 256, 'wall_s': 3.0, **limits})
  with sandbox.Sandbox(limits, workers=1, layers=layers) as runner:
    layers = runner.layers().items()
    refused = [f'{name} ({error})' for name, error in layers if error]
    if refused:
      pytest.skip(f'refused here: {", ".join(refused)}')
    return runner.run([Program(source)])[0]


_MANY_PROCESSES = (
  'import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n'
  '    x = b"x" * (100 << 20); time.sleep(0.5); os._exit(0)\n'
  'print(any([os.wait()[1] for _ in range(8)]))'
)


@pytest.mark.parametrize(
  ('layer', 'source', 'output_without', 'output_with'),
  [
    ('landlock', 'import os\nprint(len(os.listdir("/etc")) > 0)', True, None),
    ('seccomp', 'import socket\nprint(bool(socket.socket()))', True, None),
    # With these layers the worker installs the filter, not each program.
    ('seccomp pid user', 'import socket\nsocket.socket()', None, None),
    ('pid', 'import os\nprint(os.getppid() > 0)', True, False),
    ('net', 'import socket\nprint(len(socket.if_nameindex()))', None, 1),
    ('mount', 'import os\nprint(os.path.exists("/etc"))', True, False),
    ('cgroup', _MANY_PROCESSES, False, True),
  ],
)
def test_each_layer_alone_stops_an_attack(
  layer, source, output_without, output_with
):
  # An ordinary user needs a user namespace to make the others.
  layers = (
    (layer, 'user') if layer in ('pid', 'net', 'mount') else layer.split()
  )
  execution = _run(source, layers, processes=16)
  expected = '' if output_with is None else f'{output_with}\n'
  assert execution.stdout == expected
  assert (execution.status is Status.FINISHED) == (output_with is not None)
  if output_without is not None:
    assert _run(source, (), processes=16).stdout == f'{output_without}\n'


def test_a_program_of_root_is_another_user():
  for layers in (tuple(confine.LAYERS), ('landlock',), ()):
    source = f'import os\nprint({os.getuid()} == os.getuid())'
    execution = _run(source, layers)
    if os.getuid() == 0:
      assert execution.stdout == 'False\n'
  source = 'import os\nos.setuid(0)\nprint(1)'
  assert _run(source, tuple(confine.LAYERS)).status is Status.RUNTIME_ERROR


def test_the_memory_of_all_processes_together_is_limited():
  source = (
    'import os, time\nwhile True:\n  if os.fork() == 0:\n'
    '    x = b"x" * (60 << 20)\n    while True: time.sleep(1)\n'
    '  time.sleep(0.05)\n'
  )
  execution = _run(source, tuple(confine.LAYERS), processes=40, wall_s=2.0)
  assert execution.status is Status.MEMORY_LIMIT


def test_unknown_and_missing_layers_are_errors():
  with pytest.raises(errors.UserError, match="unknown sandbox layer 'seccmp'"):
    sandbox.Sandbox(workers=1, layers=['seccmp'])
  with pytest.raises(errors.UserError, match='required but refused: net'):
    sandbox.Sandbox(workers=1, layers=['seccomp'], require=['net'])


# A container whose own filter refuses new namespaces.
_CONTAINER = """
import struct
from coderl.sandbox import sandbox
from coderl.sandbox.isolation import seccomp, syscalls
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x50001),
         (0x06, 0, 0, 0x7FFF0000)]
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
seccomp.enter(b''.join(struct.pack('HBBI', *step) for step in steps))
with sandbox.Sandbox(workers=1) as runner:
  print({{name for name, error in runner.layers().items() if error == 'EPERM'}})
  execution = runner.run([sandbox.Program('print(7)')])[0]
  print(execution.status.value, execution.stdout)
try:
  sandbox.Sandbox(workers=1, require=['seccomp', 'pid'])
except ValueError as error:
  print(error)
"""


def test_layers_that_a_container_refuses_are_logged_in_one_line():
  number = {'x86_64': 272, 'aarch64': 97}[os.uname().machine]  # unshare
  done = subprocess.run(
    [sys.executable, '-c', _CONTAINER.format(number=number)],
    cwd=pathlib.Path(confine.__file__).parents[3],
    capture_output=True,
    text=True,
    check=True,
  )
  layers, outcome, _, error = done.stdout.splitlines()
  namespaces = {'user', 'mount', 'net', 'uts', 'ipc', 'pid'}
  assert namespaces <= eval(layers) <= namespaces | {'cgroup'}
  assert outcome == 'finished 7'
  assert error == 'sandbox layers required but refused: pid (EPERM)'
  (line,) = done.stderr.splitlines()
  assert line.startswith('WARNING:root:Sandbox without user (EPERM): workers')
  assert 'programs see the processes of the host' in line


def test_a_program_runs_in_the_smallest_memory():
  source = 'print(sum(range(10)))'
  execution = _run(source, tuple(confine.LAYERS), memory_mb=64)
  assert (execution.status, execution.stdout) == (Status.FINISHED, '45\n')
