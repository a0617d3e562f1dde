"""Hostile programs fail, honest ones beside them do not, nothing is left."""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import platform
import signal
import socket
import sys
import tempfile
import time

import pytest
from tests.coderl.execution.attacks import denial, escape, honest, leak, spoof

from coderl import types
from coderl.rewards import verdicts
from coderl.sandbox import sandbox

Program, Status = sandbox.Program, sandbox.Status
_WORKERS = 2
_LIMITS = sandbox.Limits(
  cpu_s=0.5,
  wall_s=1.0,
  memory_mb=256,
  output_kb=1100,
  file_kb=64,
  processes=4,
  threads=8,
)
_CALM = sandbox.Limits(output_kb=1100)
# Of this process, for all that a program says of itself.
_JUDGED_S = 0.6
_NEEDLES = {
  place: f'needle-{index:016x}'
  for index, place in enumerate(
    ('file', 'environment', 'shared', 'key', 'program', 'input', 'expected'),
    start=0xFEDCBA98765432,
  )
}


@dataclasses.dataclass
class Host:
  """What a program has no business with.

  servers: where nothing may arrive. signals: those that came.
  """

  folder: pathlib.Path
  shared: pathlib.Path
  servers: dict[str, socket.socket]
  signals: list[int]

  def facts(self) -> dict:
    servers = {k: s.getsockname() for k, s in self.servers.items()}
    secret, repository = str(self.folder / 'secret'), _repository()
    return {
      'pid': os.getpid(),
      'parent': os.getppid(),
      'workers': sorted(_processes() - {os.getpid()}),
      'host': platform.node(),
      'python': sys.executable,
      'secrets': [secret],
      'shared': [str(self.shared), secret],
      'sources': [sandbox.__file__, __file__, str(repository)],
      'packages': [p for p in sys.path if p.endswith('-packages')],
      'writable': [str(self.folder), str(repository)],
      'tcp': servers['tcp'][1],
      'udp': servers['udp'][1],
      'unix': [servers['unix'], _name(servers['abstract'])],
      'datagrams': [servers['datagram'], _name(servers['abstract datagram'])],
      'keyctl': _KEY_CALLS[1],
    }

  def is_untouched(self) -> bool:
    heard = [name for name, server in self.servers.items() if _heard(server)]
    return (
      not heard
      and not self.signals
      and {path.name for path in self.folder.iterdir()} <= _FILES
      and not (_repository() / 'escaped').exists()
    )


_FILES = {'secret', 'unix', 'datagram'}


# Numbers of add_key and keyctl.
_KEY_CALLS = {'x86_64': (248, 250), 'aarch64': (217, 219)}.get(
  platform.machine(), (-1, -1)
)
_SESSION, _REVOKE = -3, 3


def _hold_key(stack: contextlib.ExitStack) -> None:
  """Has this process's session hold a secret, where the kernel keeps keys."""
  call, text = ctypes.CDLL(None).syscall, _NEEDLES['key'].encode()
  add, control = _KEY_CALLS
  key = call(add, b'user', b'coderl-test', text, len(text), _SESSION)
  if key > 0:
    stack.callback(call, control, _REVOKE, key)


def _repository() -> pathlib.Path:
  return pathlib.Path(sandbox.__file__).parents[2]


def _name(address: bytes | str) -> str:
  return address.decode() if isinstance(address, bytes) else address


def _heard(server: socket.socket) -> bool:
  try:
    server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()
  except BlockingIOError:
    return False
  return True


def _serve(folder: pathlib.Path) -> dict[str, socket.socket]:
  """Sockets that any local process can reach, if nothing prevents it."""
  stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
  local, internet = socket.AF_UNIX, socket.AF_INET
  abstract = f'\0attacks-{os.getpid()}'
  rows = {
    'tcp': (internet, stream, ('127.0.0.1', 0)),
    'udp': (internet, datagram, ('127.0.0.1', 0)),
    'unix': (local, stream, str(folder / 'unix')),
    'abstract': (local, stream, abstract),
    'datagram': (local, datagram, str(folder / 'datagram')),
    'abstract datagram': (local, datagram, abstract + '-datagram'),
  }
  servers = {}
  for name, (family, kind, address) in rows.items():
    servers[name] = server = socket.socket(family, kind)
    server.bind(address)
    server.setblocking(False)
    if kind == stream:
      server.listen()
  for path in ('unix', 'datagram'):
    (folder / path).chmod(0o777)
  return servers


@pytest.fixture(scope='module')
def host():
  with contextlib.ExitStack() as stack:
    path = stack.enter_context(tempfile.TemporaryDirectory())
    folder = pathlib.Path(path)
    folder.chmod(0o777)  # Whoever a program runs as.
    (folder / 'secret').write_text(_NEEDLES['file'])
    memory = pathlib.Path('/dev/shm')
    shared = (memory if memory.is_dir() else folder) / f'secret-{os.getpid()}'
    shared.write_text(_NEEDLES['shared'])
    stack.callback(shared.unlink)
    servers = _serve(folder)
    for server in servers.values():
      stack.enter_context(server)
    os.environ['ATTACKS_NEEDLE'] = _NEEDLES['environment']
    stack.callback(os.environ.pop, 'ATTACKS_NEEDLE')
    _hold_key(stack)
    signals = []
    before = signal.signal(signal.SIGUSR1, lambda *args: signals.append(args))
    stack.callback(signal.signal, signal.SIGUSR1, before)
    yield Host(folder, shared, servers, signals)


@pytest.fixture(scope='module')
def box(host):
  with sandbox.Sandbox(_LIMITS, workers=_WORKERS) as box:
    box.at_first = _probe(box)
    box.resident_at_first = _resident()
    yield box


@pytest.fixture(scope='module')
def calm():
  with sandbox.Sandbox(_CALM, workers=_WORKERS) as box:
    yield box


# What the next program finds of the one before.
_PROBE = """
import os, time
state, room = os.stat('/tmp'), os.statvfs('/tmp')
print(os.listdir('/tmp'), oct(state.st_mode))
print(room.f_bfree, room.f_ffree, os.umask(0), os.getcwd())
open('/tmp/f', 'w').write('x')
if not os.fork(): os._exit(7)
print(os.wait()[1])
"""


def _probe(box) -> list[str]:
  """What a program finds on each worker; they take turns."""
  ran = [box.run([Program(_PROBE)])[0] for _ in range(_WORKERS)]
  return [execution.error or execution.stdout for execution in ran]


def _processes() -> set[int]:
  """This process and its descendants."""
  parents = {}
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      fields = path.read_text().rpartition(')')[2].split()
      parents[int(path.parent.name)] = int(fields[1])
  found = {os.getpid()}
  for _ in range(8):
    found |= {pid for pid, parent in parents.items() if parent in found}
  return found


def _resident() -> int:
  """Bytes of this process and its descendants, and of shared memory."""
  pages = 0
  for pid in _processes():
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      pages += int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE')


def _descriptors() -> int:
  return len(os.listdir('/proc/self/fd'))


@contextlib.contextmanager
def _unharmed(box, host):
  """That the same processes serve on, and the next finds all as at first."""
  _probe(box)  # So that a worker that an earlier test lost is there again.
  before = _processes(), _descriptors()
  yield
  assert (_processes(), _descriptors()) == before
  assert _probe(box) == box.at_first
  assert host.is_untouched()


# Beside an attack; of different sources, so that no two share a process.
_BESIDE = [
  (
    'import os\nn = int(input())\nopen("f", "w").write("x" * n)\n'
    f'print(os.listdir("/tmp"), len(open("f").read()) + {index})\n'
  )
  for index in range(6)
]


def _beside(box, *attacks: Program) -> list[sandbox.Execution]:
  """Runs attacks among honest programs, which it does not harm."""
  programs = [Program(source, '70') for source in _BESIDE]
  first, *others = programs
  ran = box.run([first, *attacks, *others])
  around = [ran[0], *ran[1 + len(attacks) :]]
  assert [(e.status, e.stdout) for e in around] == [
    (Status.FINISHED, f"['f'] {70 + index}\n") for index in range(len(around))
  ]
  return ran[1 : 1 + len(attacks)]


_SQUARE = types.Problem(
  'square',
  'Print the square.',
  tuple(types.Test(f'{n}\n', f'{n * n}\n') for n in (0, 2, 3, 4, 5, 6, 7)),
)
_DOUBLE = types.Problem(
  'double',
  'Double x.',
  tuple(
    types.Test(call=f'double({n})', expected=f'{2 * n}') for n in range(2, 9)
  ),
  entry_point='double',
)
_INCREASE = [
  types.Problem(
    f'inc {index}', 'Add 1.', (types.Test(checker=text),), entry_point='inc'
  )
  for index, text in enumerate(spoof.CHECKERS)
]
_RIGHT = [
  (_SQUARE, 'n = int(input())\nprint(n * n)'),
  (_DOUBLE, 'def double(x): return 2 * x'),
  *((problem, 'def inc(x): return x + 1') for problem in _INCREASE),
]


def _judge(items, box) -> list[list[Status]]:
  """Verdicts on items, after those on right programs that run with them."""
  begun_s = time.process_time()
  judged = verdicts.verify([*_RIGHT, *items], box)
  assert time.process_time() - begun_s < _JUDGED_S
  statuses = [[execution.status for execution in ran] for ran in judged]
  right = statuses[: len(_RIGHT)]
  assert right == [[Status.PASSED] * len(p.tests) for p, _ in _RIGHT]
  return statuses[len(_RIGHT) :]


def _assert_fails(problem, source, box, host):
  """That at most the first test is passed; only then the others are run."""
  with _unharmed(box, host):
    ((first, *others),) = _judge([(problem, source)], box)
  assert first is not Status.SANDBOX_FAILURE
  assert bool(others) == (first is Status.PASSED)
  assert not {Status.PASSED, Status.SANDBOX_FAILURE} & {*others}


@pytest.mark.parametrize('name', spoof.INPUTS)
def test_no_output_is_spoofed(box, host, name):
  _assert_fails(_SQUARE, spoof.INPUTS[name], box, host)


@pytest.mark.parametrize('name', spoof.CALLS)
def test_no_value_is_spoofed(box, host, name):
  _assert_fails(_DOUBLE, spoof.CALLS[name], box, host)


@pytest.mark.parametrize('name', spoof.CHECKED)
def test_no_checker_is_deceived(box, host, name):
  items = [(problem, spoof.CHECKED[name]) for problem in _INCREASE]
  with _unharmed(box, host):
    judged = _judge(items, box)
  for statuses in judged:
    assert not {Status.PASSED, Status.SANDBOX_FAILURE} & {*statuses}


@pytest.mark.parametrize('refusal', spoof.REFUSALS)
def test_leaving_is_no_exception(box, host, refusal):
  test = types.Test(checker=refusal)
  problem = types.Problem('refuse', '', (test,), entry_point='inc')
  refuses = 'def inc(x): return x + 1'
  with _unharmed(box, host):
    right, left = _judge([(problem, refuses), (problem, spoof.LEAVES)], box)
  assert right == [Status.PASSED]
  assert left[0] not in (Status.PASSED, Status.SANDBOX_FAILURE)


# Another program, which may run on the same worker just before.
_HOLDER = f'secret = "{_NEEDLES["program"]}"\nprint(secret, input())'


@pytest.mark.parametrize('name', leak.PROGRAMS)
def test_nothing_leaks(box, host, name):
  secret = types.Test(json.dumps(host.facts()), _NEEDLES['expected'])
  other = types.Test(_NEEDLES['input'], _HOLDER)
  items = [
    (types.Problem(f'{index}', '', (other,)), f'#{index}\n{_HOLDER}')
    for index in range(2)
  ]
  items.append((types.Problem('leak', '', (secret,)), leak.PROGRAMS[name]))
  with _unharmed(box, host):
    *_, (execution,) = verdicts.verify(items, box)
  assert execution.stdout == execution.error == execution.stderr == ''
  assert execution.status is Status.WRONG_ANSWER


@pytest.mark.parametrize('name', leak.FINDS_ITS_OWN)
def test_what_looks_for_secrets_finds_its_own(box, host, name):
  facts = json.dumps({**host.facts(), 'own': _NEEDLES['input']})
  (execution,) = box.run([Program(leak.PROGRAMS[name], facts)])
  assert _NEEDLES['input'] in execution.stdout


def _skip_without(box, *layers: str) -> None:
  refused = {name: box.layers().get(name) for name in layers}
  if any(refused.values()):
    pytest.skip(f'refused by this host: {refused}')


@pytest.mark.parametrize('name', escape.CALLS)
def test_the_kernel_refuses(box, host, name):
  _skip_without(box, 'seccomp')
  with _unharmed(box, host):
    (execution,) = _beside(box, Program(escape.CALLS[name]))
  assert (execution.stdout, execution.error) == ('refused\n', '')


@pytest.mark.parametrize('name', escape.PROGRAMS)
def test_nothing_escapes(box, host, name):
  source = escape.PROGRAMS[name] + '\ndef function(): pass'
  attack = Program(source, json.dumps(host.facts()))
  checked = dataclasses.replace(
    attack, checker='function()', entry_point='function'
  )
  with _unharmed(box, host):
    # The first are inputs of one process, with a link to the worker.
    *executions, relayed = _beside(box, *[attack] * 2 * _WORKERS, checked)
  assert {(e.stdout, e.error) for e in executions} == {('refused\n', '')}
  # Its checker may be at its end before the program can tell.
  assert relayed.stdout in ('refused\n', '')


@pytest.mark.parametrize('name', escape.WITHOUT_NAMESPACES)
def test_nothing_escapes_where_the_host_has_no_namespaces(host, name):
  layers = ('landlock', 'seccomp')
  with sandbox.Sandbox(_LIMITS, workers=1, layers=layers) as box:
    _skip_without(box, *layers)
    facts = json.dumps(host.facts())
    (execution,) = box.run([Program(escape.PROGRAMS[name], facts)])
  assert host.is_untouched()
  assert (execution.stdout, execution.error) == ('refused\n', '')


def test_time_is_over_where_the_host_has_no_namespaces():
  layers = ('landlock', 'seccomp')
  sources = ('print(1)', denial.PROGRAMS['sleep'][1], 'print(2)')
  with sandbox.Sandbox(_LIMITS, workers=1, layers=layers) as box:
    _skip_without(box, *layers)
    before = _processes()
    executions = box.run([*map(Program, sources)])
    assert _processes() == before
  finished = Status.FINISHED
  assert [(e.status, e.stdout) for e in executions] == [
    (finished, '1\n'), (Status.WALL_LIMIT, ''), (finished, '2\n')
  ]  # fmt: skip


def test_the_scratch_of_the_next_is_as_at_first(host):
  # In a sandbox of its own, for it may be spoilt for all that come after.
  with sandbox.Sandbox(_LIMITS, workers=1) as box:
    first, _ = _probe(box), box.run([Program(escape.SCRATCH)])
    assert _probe(box) == first


@pytest.mark.skipif(
  platform.machine() != 'x86_64', reason='calls as other x86 machines do'
)
@pytest.mark.parametrize('name', escape.FOREIGN)
def test_calls_of_another_kind_are_the_end(box, host, name):
  _skip_without(box, 'seccomp')
  source = escape.FOREIGN_PROGRAM.format(code=escape.FOREIGN[name])
  with _unharmed(box, host):
    (execution,) = _beside(box, Program(source))
  assert execution.stdout == 'begun\n'
  assert execution.error == 'killed by SIGSYS'


@pytest.mark.parametrize('name', denial.PROGRAMS)
def test_nothing_is_denied_to_others(box, host, name):
  statuses, source = denial.PROGRAMS[name]
  with _unharmed(box, host):
    (execution,) = _beside(box, Program(source))
  assert execution.status in statuses
  assert execution.wall_s < 2 * _LIMITS.wall_s + 0.5


def test_memory_is_as_at_first(box):
  assert _resident() - box.resident_at_first < 64 << 20


@pytest.mark.parametrize('name', honest.PROGRAMS)
def test_honest_programs_are_right(calm, name):
  source, stdin, stdout = honest.PROGRAMS[name]
  alone, *shared = calm.run(
    [Program(source + f'\n#{n > 0}', stdin) for n in range(3)]
  )
  for execution in (alone, *shared):
    assert (execution.error, execution.stdout) == ('', stdout)
    assert execution.status is Status.FINISHED


def test_a_checked_program_may_take_most_of_its_time(calm):
  test = types.Test(checker='assert slow(1) == 2')
  problem = types.Problem('slow', '', (test,), entry_point='slow')
  items = [(problem, f'{honest.SLOW}\n#{n}') for n in range(4)]
  statuses = [ran.status for (ran,) in verdicts.verify(items, calm)]
  assert statuses == [Status.PASSED] * 4


@pytest.mark.parametrize('name', honest.SQUARES)
def test_every_way_to_read_and_write_passes(calm, name):
  ((*executions,),) = verdicts.verify(
    [(_SQUARE, honest.SQUARES[name])], calm
  )
  assert [e.status for e in executions] == [Status.PASSED] * 7
