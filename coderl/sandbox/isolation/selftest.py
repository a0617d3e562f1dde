"""A short list of attacks, to see on a host what its sandbox stops."""

from collections.abc import Iterator, Mapping
import dataclasses

from coderl.sandbox import api


@dataclasses.dataclass(frozen=True)
class Attack:
  """A program that prints 'open' where it gets through.

  layers: each of which stops it; none where limits do.
  """

  name: str
  source: str
  layers: tuple[str, ...] = ()


def _try(statement: str, imports: str = 'os') -> str:
  """A program that says whether a statement was let through."""
  return (
    f'import {imports}\ntry:\n  {statement}\nexcept Exception as error:\n'
    '  print("refused:", error)\nelse:\n  print("open")\n'
  )


def _call(x86: int, arm: int, arguments: str) -> str:
  """A program that makes a system call."""
  number = f'({arm} if os.uname().machine == "aarch64" else {x86})'
  statement = f'assert ctypes.CDLL(None).syscall({number}, {arguments}) >= 0'
  return _try(statement, 'ctypes, os')


_FILES = ('mount', 'landlock')
ATTACKS = (
  Attack('read a file of the host', _try('open("/etc/passwd")'), _FILES),
  Attack('list the files of the host', _try('os.listdir("/etc")'), _FILES),
  Attack('write a file', _try('open("/var/tmp/x", "w")'), _FILES),
  Attack('see processes of the host', _try('assert os.getppid()'), ('pid',)),
  Attack(
    'see network devices',
    'import os, socket\ntry: names = socket.if_nameindex()\n'
    'except OSError: names = []\n'
    'print("open" if len(names) > 1 else "refused")\n',
    ('net', 'seccomp'),
  ),
  Attack('open a socket', _try('socket.socket()', 'socket'), ('seccomp',)),
  Attack(
    'run a command',
    _try('os.execv("/bin/true", ["true"]); ', 'os'),
    ('mount', 'landlock', 'seccomp'),
  ),
  Attack('trace a process', _call(101, 117, '0, 0, 0, 0'), ('seccomp',)),
  Attack('new namespaces', _call(272, 97, '0x10000000'), ('seccomp',)),
  Attack('io_uring', _call(425, 425, '1, bytes(256)'), ('seccomp',)),
  Attack('become root', _try('os.setuid(0)')),
  Attack('take memory', _try('bytearray(1 << 40)')),
  Attack(
    'take memory by many children',
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
  """Runs the attacks: each, what became of it, and whether that is right.

  layers: as Sandbox.layers gives them. An attack that gets through is right
  only where every layer that would have stopped it is refused or off.
  """
  programs = [api.Program(attack.source) for attack in ATTACKS]
  for attack, ran in zip(ATTACKS, runner.run(programs), strict=True):
    stopped = 'open' not in ran.stdout
    words = ran.stdout.strip() or ran.status.value
    guarded = not attack.layers or '' in [layers.get(n) for n in attack.layers]
    yield attack, words, stopped or not guarded
