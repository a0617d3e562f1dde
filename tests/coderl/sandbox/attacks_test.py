"""Hostile programs fail, honest programs beside them pass, nothing is left."""

import contextlib
import dataclasses
import json
import platform
import time

import pytest

from coderl import types
from coderl.rewards import verdicts
from coderl.sandbox import sandbox
from tests.coderl.sandbox.attacks import denial, escape, honest, leak, spoof
from tests.coderl.sandbox.attacks import host as host_lib

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
_AMPLE_LIMITS = sandbox.Limits(output_kb=1100)
# Processor time of this process to verify one program, whatever it reports.
_MAX_VERIFY_S = 0.6


@pytest.fixture(scope='module')
def host():
  with host_lib.prepare() as host:
    yield host


@pytest.fixture(scope='module')
def runner(host):
  with sandbox.Sandbox(_LIMITS, workers=_WORKERS) as runner:
    runner.first_probe = _probe(runner)
    runner.first_resident_bytes = host_lib.resident_bytes()
    yield runner


@pytest.fixture(scope='module')
def ample():
  with sandbox.Sandbox(_AMPLE_LIMITS, workers=_WORKERS) as runner:
    yield runner


# Prints what a program can find of the previous one.
_PROBE = """
import os, time
state, room = os.stat('/tmp'), os.statvfs('/tmp')
print(os.listdir('/tmp'), oct(state.st_mode))
print(room.f_bfree, room.f_ffree, os.umask(0), os.getcwd())
open('/tmp/f', 'w').write('x')
if not os.fork(): os._exit(7)
print(os.wait()[1])
"""


def _probe(runner) -> list[str]:
  """Returns what a program finds on each worker; the workers alternate."""
  executions = [runner.run([Program(_PROBE)])[0] for _ in range(_WORKERS)]
  return [execution.error or execution.stdout for execution in executions]


@contextlib.contextmanager
def _assert_unharmed(runner, host):
  """Asserts that afterwards the same processes serve, and nothing is left."""
  _probe(runner)  # Restarts a worker that an earlier test has lost.
  before = host_lib.processes(), host_lib.descriptors()
  yield
  assert (host_lib.processes(), host_lib.descriptors()) == before
  assert _probe(runner) == runner.first_probe
  assert host.is_untouched()


# They run beside an attack. Their sources differ, so that no two share a
# process.
_NEIGHBOURS = [
  (
    'import os\nn = int(input())\nopen("f", "w").write("x" * n)\n'
    f'print(os.listdir("/tmp"), len(open("f").read()) + {index})\n'
  )
  for index in range(6)
]


def _run_among_neighbours(runner, *attacks: Program) -> list[sandbox.Execution]:
  """Runs attacks among honest programs, and asserts that these are right."""
  programs = [Program(source, '70') for source in _NEIGHBOURS]
  first, *others = programs
  executions = runner.run([first, *attacks, *others])
  neighbours = [executions[0], *executions[1 + len(attacks) :]]
  assert [(e.status, e.stdout) for e in neighbours] == [
    (Status.FINISHED, f"['f'] {70 + index}\n")
    for index in range(len(neighbours))
  ]
  return executions[1 : 1 + len(attacks)]


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


def _verify(items, runner) -> list[list[Status]]:
  """Verifies items together with right programs, which must pass."""
  start_s = time.process_time()
  verified = verdicts.verify([*_RIGHT, *items], runner)
  assert time.process_time() - start_s < _MAX_VERIFY_S
  statuses = [
    [execution.status for execution in executions] for executions in verified
  ]
  right = statuses[: len(_RIGHT)]
  assert right == [[Status.PASSED] * len(p.tests) for p, _ in _RIGHT]
  return statuses[len(_RIGHT) :]


def _assert_fails(problem, source, runner, host):
  """Asserts that a program passes at most the first test.

  The other tests run only if the first is passed.
  """
  with _assert_unharmed(runner, host):
    ((first, *others),) = _verify([(problem, source)], runner)
  assert first is not Status.SANDBOX_FAILURE
  assert bool(others) == (first is Status.PASSED)
  assert not {Status.PASSED, Status.SANDBOX_FAILURE} & {*others}


@pytest.mark.parametrize('name', spoof.INPUTS)
def test_an_output_cannot_be_spoofed(runner, host, name):
  _assert_fails(_SQUARE, spoof.INPUTS[name], runner, host)


@pytest.mark.parametrize('name', spoof.CALLS)
def test_a_value_cannot_be_spoofed(runner, host, name):
  _assert_fails(_DOUBLE, spoof.CALLS[name], runner, host)


@pytest.mark.parametrize('name', spoof.CHECKED)
def test_a_checker_cannot_be_deceived(runner, host, name):
  items = [(problem, spoof.CHECKED[name]) for problem in _INCREASE]
  with _assert_unharmed(runner, host):
    verified = _verify(items, runner)
  for statuses in verified:
    assert not {Status.PASSED, Status.SANDBOX_FAILURE} & {*statuses}


@pytest.mark.parametrize('refusal', spoof.REFUSALS)
def test_an_exit_does_not_count_as_an_exception(runner, host, refusal):
  test = types.Test(checker=refusal)
  problem = types.Problem('refuse', '', (test,), entry_point='inc')
  refuses = 'def inc(x): return x + 1'
  with _assert_unharmed(runner, host):
    right, exits = _verify(
      [(problem, refuses), (problem, spoof.LEAVES)], runner
    )
  assert right == [Status.PASSED]
  assert exits[0] not in (Status.PASSED, Status.SANDBOX_FAILURE)


# A program with a secret, which may run on the same worker just before.
_HOLDER = f'secret = "{host_lib.NEEDLES["program"]}"\nprint(secret, input())'


@pytest.mark.parametrize('name', leak.PROGRAMS)
def test_nothing_leaks(runner, host, name):
  secret = types.Test(json.dumps(host.facts()), host_lib.NEEDLES['expected'])
  other = types.Test(host_lib.NEEDLES['input'], _HOLDER)
  items = [
    (types.Problem(f'{index}', '', (other,)), f'#{index}\n{_HOLDER}')
    for index in range(2)
  ]
  items.append((types.Problem('leak', '', (secret,)), leak.PROGRAMS[name]))
  with _assert_unharmed(runner, host):
    *_, (execution,) = verdicts.verify(items, runner)
  assert execution.stdout == execution.error == execution.stderr == ''
  assert execution.status is Status.WRONG_ANSWER


@pytest.mark.parametrize('name', leak.FINDS_ITS_OWN)
def test_a_program_that_looks_for_secrets_finds_its_own(runner, host, name):
  facts = json.dumps({**host.facts(), 'own': host_lib.NEEDLES['input']})
  (execution,) = runner.run([Program(leak.PROGRAMS[name], facts)])
  assert host_lib.NEEDLES['input'] in execution.stdout


def _skip_unless_active(runner, *layers: str) -> None:
  refused = {name: runner.layers().get(name) for name in layers}
  if any(refused.values()):
    pytest.skip(f'refused by this host: {refused}')


@pytest.mark.parametrize('name', escape.CALLS)
def test_the_kernel_refuses_the_call(runner, host, name):
  _skip_unless_active(runner, 'seccomp')
  with _assert_unharmed(runner, host):
    (execution,) = _run_among_neighbours(runner, Program(escape.CALLS[name]))
  assert (execution.stdout, execution.error) == ('refused\n', '')


@pytest.mark.parametrize('name', escape.PROGRAMS)
def test_nothing_escapes(runner, host, name):
  source = escape.PROGRAMS[name] + '\ndef function(): pass'
  attack = Program(source, json.dumps(host.facts()))
  checked = dataclasses.replace(
    attack, checker='function()', entry_point='function'
  )
  with _assert_unharmed(runner, host):
    # The first executions share a process that has a link to the worker.
    *executions, relayed = _run_among_neighbours(
      runner, *[attack] * 2 * _WORKERS, checked
    )
  assert {(e.stdout, e.error) for e in executions} == {('refused\n', '')}
  # The run may end with its checker before the program has printed.
  assert relayed.stdout in ('refused\n', '')


@pytest.mark.parametrize('name', escape.WITHOUT_NAMESPACES)
def test_nothing_escapes_without_namespaces(host, name):
  layers = ('landlock', 'seccomp')
  with sandbox.Sandbox(_LIMITS, workers=1, layers=layers) as runner:
    _skip_unless_active(runner, *layers)
    facts = json.dumps(host.facts())
    (execution,) = runner.run([Program(escape.PROGRAMS[name], facts)])
  assert host.is_untouched()
  assert (execution.stdout, execution.error) == ('refused\n', '')


def test_wall_time_is_limited_without_namespaces():
  layers = ('landlock', 'seccomp')
  sources = ('print(1)', denial.PROGRAMS['sleep'][1], 'print(2)')
  with sandbox.Sandbox(_LIMITS, workers=1, layers=layers) as runner:
    _skip_unless_active(runner, *layers)
    before = host_lib.processes()
    executions = runner.run([*map(Program, sources)])
    assert host_lib.processes() == before
  finished = Status.FINISHED
  assert [(e.status, e.stdout) for e in executions] == [
    (finished, '1\n'), (Status.WALL_LIMIT, ''), (finished, '2\n')
  ]  # fmt: skip


def test_the_next_program_finds_an_unchanged_scratch_directory(host):
  # It has its own sandbox, because a failure would affect all later programs.
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    first, _ = _probe(runner), runner.run([Program(escape.SCRATCH)])
    assert _probe(runner) == first


@pytest.mark.skipif(
  platform.machine() != 'x86_64', reason='calls as other x86 machines do'
)
@pytest.mark.parametrize('name', escape.FOREIGN)
def test_a_foreign_calling_convention_kills_the_program(runner, host, name):
  _skip_unless_active(runner, 'seccomp')
  source = escape.FOREIGN_PROGRAM.format(code=escape.FOREIGN[name])
  with _assert_unharmed(runner, host):
    (execution,) = _run_among_neighbours(runner, Program(source))
  assert execution.stdout == 'begun\n'
  assert execution.error == 'killed by SIGSYS'


@pytest.mark.parametrize('name', denial.PROGRAMS)
def test_a_program_that_uses_too_much_harms_no_other(runner, host, name):
  statuses, source = denial.PROGRAMS[name]
  with _assert_unharmed(runner, host):
    (execution,) = _run_among_neighbours(runner, Program(source))
  assert execution.status in statuses
  assert execution.wall_s < 2 * _LIMITS.wall_s + 0.5


def test_memory_does_not_grow(runner):
  assert host_lib.resident_bytes() - runner.first_resident_bytes < 64 << 20


@pytest.mark.parametrize('name', honest.PROGRAMS)
def test_honest_programs_are_right(ample, name):
  source, stdin, stdout = honest.PROGRAMS[name]
  alone, *shared = ample.run(
    [Program(source + f'\n#{n > 0}', stdin) for n in range(3)]
  )
  for execution in (alone, *shared):
    assert (execution.error, execution.stdout) == ('', stdout)
    assert execution.status is Status.FINISHED


def test_a_checked_program_may_take_most_of_its_time(ample):
  test = types.Test(checker='assert slow(1) == 2')
  problem = types.Problem('slow', '', (test,), entry_point='slow')
  items = [(problem, f'{honest.SLOW}\n#{n}') for n in range(4)]
  statuses = [
    execution.status for (execution,) in verdicts.verify(items, ample)
  ]
  assert statuses == [Status.PASSED] * 4


@pytest.mark.parametrize('name', honest.SQUARES)
def test_every_way_to_read_and_write_passes(ample, name):
  ((*executions,),) = verdicts.verify([(_SQUARE, honest.SQUARES[name])], ample)
  assert [e.status for e in executions] == [Status.PASSED] * 7
