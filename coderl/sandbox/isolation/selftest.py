"""A short list of attacks, to check on a host what its sandbox stops."""

from collections.abc import Iterator, Mapping
import dataclasses

from coderl.sandbox import api


@dataclasses.dataclass(frozen=True)
class Attack:
  """A program that prints 'open' if it succeeds.

  Attributes:
    name: what the program tries to do.
    source: Python source.
    layers: the layers that stop it, each of them alone. Empty if the resource
      limits or the change of user stop it.
  """

  name: str
  source: str
  layers: tuple[str, ...] = ()


def _attempt(statement: str, imports: str = 'os') -> str:
  """Returns a program that prints whether a statement succeeds."""
  return (
    f'import {imports}\ntry:\n  {statement}\nexcept Exception as error:\n'
    '  print("refused:", error)\nelse:\n  print("open")\n'
  )


def _system_call(x86: int, arm: int, arguments: str) -> str:
  """Returns a program that makes the system call of these numbers."""
  number = f'({arm} if os.uname().machine == "aarch64" else {x86})'
  statement = f'assert ctypes.CDLL(None).syscall({number}, {arguments}) >= 0'
  return _attempt(statement, 'ctypes, os')


_FILES = ('mount', 'landlock')
ATTACKS = (
  Attack('read a file of the host', _attempt('open("/etc/passwd")'), _FILES),
  Attack('list the files of the host', _attempt('os.listdir("/etc")'), _FILES),
  Attack('write a file', _attempt('open("/var/tmp/x", "w")'), _FILES),
  Attack(
    'see processes of the host', _attempt('assert os.getppid()'), ('pid',)
  ),
  Attack(
    'see network devices',
    'import os, socket\ntry: names = socket.if_nameindex()\n'
    'except OSError: names = []\n'
    'print("open" if len(names) > 1 else "refused")\n',
    ('net', 'seccomp'),
  ),
  Attack('open a socket', _attempt('socket.socket()', 'socket'), ('seccomp',)),
  Attack(
    'run a command',
    _attempt('os.execv("/bin/true", ["true"]); ', 'os'),
    ('mount', 'landlock', 'seccomp'),
  ),
  Attack('trace a process', _system_call(101, 117, '0, 0, 0, 0'), ('seccomp',)),
  Attack('new namespaces', _system_call(272, 97, '0x10000000'), ('seccomp',)),
  Attack('io_uring', _system_call(425, 425, '1, bytes(256)'), ('seccomp',)),
  Attack('become root', _attempt('os.setuid(0)')),
  Attack('allocate memory', _attempt('bytearray(1 << 40)')),
  Attack(
    'allocate memory in many processes',
    'import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n'
    '    x = b"x" * (100 << 20); time.sleep(1); os._exit(0)\n'
    'ends = [os.wait()[1] for _ in range(8)]\n'
    'print("refused" if any(ends) else "open")\n',
    ('cgroup',),
  ),
)


def run(
  runner: api.Runner, layers: Mapping[str, str]
) -> Iterator[tuple[Attack, str, bool]]:
  """Runs the attacks.

  Args:
    runner: the sandbox.
    layers: see `Sandbox.layers`.

  Yields:
    Each attack, its outcome in words, and whether the outcome is as expected.
    An attack may succeed only if none of the layers that stop it is active.
  """
  programs = [api.Program(attack.source) for attack in ATTACKS]
  executions = runner.run(programs)
  for attack, execution in zip(ATTACKS, executions, strict=True):
    stopped = 'open' not in execution.stdout
    outcome = execution.stdout.strip() or execution.status.value
    is_guarded = not attack.layers or '' in [
      layers.get(name) for name in attack.layers
    ]
    yield attack, outcome, stopped or not is_guarded
