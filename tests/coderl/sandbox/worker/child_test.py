"""A program answers the calls of its checker, and cannot deceive it."""

import pytest

from coderl.sandbox import sandbox

Program, Status = sandbox.Program, sandbox.Status
_LIMITS = sandbox.Limits(cpu_s=1.0, wall_s=1.5, memory_mb=256)


@pytest.fixture(scope='module')
def runner():
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    yield runner


_CHECKER = """
def f(x):
  '''A stub as prompts have it.'''

for i in range(5):
  assert f(i) == i + 1, i
assert f(x=(1, {2: {3}})) == [1.5, (None,), {2}, float('inf')]
try:
  f('no')
except ValueError as error:
  assert str(error) == 'no'
else:
  assert False
"""
_RIGHT = """
def f(x):
  if x == 'no': raise ValueError(x)
  return x + 1 if type(x) is int else [1.5, (None,), {2}, float('inf')]
"""


def _check(runner, source, checker=_CHECKER):
  program = Program(source, checker=checker, entry_point='f')
  return runner.run([program])[0]


def test_a_checker_calls_the_program(runner):
  execution = _check(runner, _RIGHT)
  assert (execution.status, execution.value) == (Status.FINISHED, 'True')
  wrong = _check(runner, _RIGHT.replace('x + 1', 'x + 2'))
  assert (wrong.status, wrong.value) == (Status.FINISHED, 'False')
  assert wrong.error == 'AssertionError: 0'


@pytest.mark.parametrize(
  ('source', 'status'),
  [
    ('exit()', Status.RUNTIME_ERROR),
    ('import os\nos._exit(0)', Status.RUNTIME_ERROR),
    ('def f(x): exit()', Status.RUNTIME_ERROR),
    ('def f(x): import os; os._exit(0)', Status.RUNTIME_ERROR),
    ('def f(x): return 1 / 0', Status.RUNTIME_ERROR),
    ('def g(x): return 1', Status.RUNTIME_ERROR),
    ('def f(x):\n  while True: pass', Status.CPU_LIMIT),
    ('def f(x): return bytearray(10**10)', Status.RUNTIME_ERROR),
    (
      'class A:\n  def __eq__(s, o): return True\ndef f(x): return A()',
      Status.RUNTIME_ERROR,
    ),
    (
      # No descriptor of the program leads to the checker's verdict.
      'import os\nfor d in range(1100):\n'
      '  try: os.write(d, b"{}\\nTrue\\n")\n'
      '  except OSError: pass\nos._exit(0)',
      Status.RUNTIME_ERROR,
    ),
    (
      'import builtins, gc\nbuiltins.AssertionError = None\n'
      'def f(x): return [o for o in gc.get_objects() if "assert" in str(o)]',
      Status.RUNTIME_ERROR,
    ),
  ],
)
def test_a_program_cannot_deceive_its_checker(runner, source, status):
  execution = _check(runner, source)
  assert execution.value == 'False'
  assert execution.status in (status, Status.FINISHED)
  if status is Status.CPU_LIMIT:
    assert execution.status is status


def test_a_programs_memory_does_not_contain_its_checker(runner):
  source = (
    'import gc\ndef f(x):\n'
    '  word = "".join(reversed("eldeen"))\n'
    '  return any(word in str(o)[:10**4] for o in gc.get_objects())'
  )
  assert _check(runner, source, 'needle = 1\nassert not f(1)').value == 'True'
