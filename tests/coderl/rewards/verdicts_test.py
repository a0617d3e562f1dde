"""Programs are verified by their tests, each program once."""

import pytest

from coderl import types
from coderl.rewards import verdicts
from coderl.sandbox import sandbox

Status = sandbox.Status
ADD = types.Problem(
  'add',
  'Print a + b.',
  (
    types.Test('1 2\n', '3\n'),
    types.Test('2 2\n', '4\n'),
    types.Test('0 9\n', '9\n'),
  ),
)
HALF = types.Problem(
  'half',
  'Halve x.',
  (
    types.Test(expected='2', call='half(4)'),
    types.Test(expected="['a']", call='half(["a", "b"])'),
  ),
  entry_point='half',
  prefix='TWO = 2',
)
CHECKED = types.Problem(
  'inc',
  'Add one.',
  (types.Test(checker='assert inc(1) == 2\nassert inc(-1) == 0'),),
  entry_point='inc',
)
SUM = 'a, b = map(int, input().split())\nprint(a + b)'
PRODUCT = 'a, b = map(int, input().split())\nprint(a * b)'
THREE = 'print(3)'


class Recorder(sandbox.Sandbox):
  """A sandbox that records the batches it runs."""

  def __init__(self):
    super().__init__(workers=2)
    self.batches = []

  def run(self, programs):
    self.batches.append(list(programs))
    return super().run(programs)


@pytest.fixture(scope='module')
def runner():
  with Recorder() as recorder:
    yield recorder


def rollout(text, kind=types.GENERATE, problem=ADD, **fields):
  prompt = types.Prompt(kind, '', (), problem, **fields)
  return types.Rollout(prompt, (), (), (), text, True)


def statuses(executions):
  return [execution.status for execution in executions]


def test_equal_programs_run_once_and_a_failed_first_test_ends_it(runner):
  runner.batches.clear()
  submissions = [(ADD, s) for s in (SUM, PRODUCT, THREE, SUM)]
  verified = verdicts.verify(submissions, runner)
  passed, wrong = Status.PASSED, Status.WRONG_ANSWER
  assert [statuses(executions) for executions in verified] == [
    [passed] * 3,
    [wrong],
    [passed, wrong, wrong],
    [passed] * 3,
  ]
  assert [len(batch) for batch in runner.batches] == [3, 4]


def test_equal_programs_of_two_problems_have_verdicts_of_their_own(runner):
  other = types.Problem('other', 'Print 4.', (types.Test(expected='4'),))
  verified = verdicts.verify([(ADD, THREE), (other, THREE)], runner)
  assert [executions[0].status for executions in verified] == [
    Status.PASSED,
    Status.WRONG_ANSWER,
  ]


def test_calls_use_the_prefix_and_compare_values(runner):
  source = (
    'def half(x):\n'
    '  return x[:1] if isinstance(x, list) else x / TWO'  # 2.0 == 2
  )
  (executions,) = verdicts.verify([(HALF, source)], runner)
  assert statuses(executions) == [Status.PASSED] * 2


def test_an_object_that_equals_everything_is_wrong(runner):
  source = (
    'class Any(int):\n'
    '  def __eq__(self, other):\n    return True\n'
    '  def __repr__(self):\n    return "2"\n'
    'def half(x):\n  return Any()'
  )
  (executions,) = verdicts.verify([(HALF, source)], runner)
  assert executions[0].status is Status.WRONG_ANSWER


def test_a_checker_decides(runner):
  sources = ('def inc(x):\n  return x + 1', 'def inc(x):\n  return 2 * x')
  right, wrong = verdicts.verify([(CHECKED, s) for s in sources], runner)
  assert statuses(right) == [Status.PASSED]
  assert statuses(wrong) != [Status.PASSED]


@pytest.mark.parametrize(
  ('test', 'stdout', 'value', 'right'),
  [
    (types.Test('', '1\n2\n'), '1 \n2', None, True),
    (types.Test('', '1 2\n'), '1  2\n', None, False),
    (types.Test('', '12'), '1\n2', None, False),
    (types.Test('', ''), '\n', None, True),
    (types.Test(call='f()', expected='1'), '', '1.0', True),
    (types.Test(call='f()', expected='1'), '', 'True', True),
    (types.Test(call='f()', expected='1'), '', "'1'", False),
    (types.Test(call='f()', expected='[1, 2]'), '', '(1, 2)', False),
    (types.Test(call='f()', expected='{1, 2}'), '', '{2, 1}', True),
    (types.Test(call='f()', expected='1'), '', None, False),
    (types.Test(call='f()', expected='1'), '', '<object>', False),
    (types.Test(checker='assert f()'), '', 'True', True),
    (types.Test(checker='assert f()'), '', 'False', False),
    (types.Test(checker='assert f()'), '', None, False),
  ],
)
def test_verdicts(test, stdout, value, right):
  execution = sandbox.Execution(Status.FINISHED, stdout=stdout, value=value)
  expected = Status.PASSED if right else Status.WRONG_ANSWER
  assert verdicts.verdict(test, execution).status is expected


@pytest.mark.parametrize(
  'status', [Status.WALL_LIMIT, Status.RUNTIME_ERROR, Status.SANDBOX_FAILURE]
)
def test_an_execution_that_did_not_finish_keeps_its_status(status):
  execution = sandbox.Execution(status, stdout='3\n')
  assert verdicts.verdict(ADD.tests[0], execution) == execution


def test_a_program_passes_only_if_it_ran_on_all_tests():
  passed = sandbox.Execution(Status.PASSED)
  wrong = sandbox.Execution(Status.WRONG_ANSWER)
  assert verdicts.passed(ADD, [passed] * 3)
  assert not verdicts.passed(ADD, [passed, passed, wrong])
  assert not verdicts.passed(ADD, [passed] * 2)
  assert not verdicts.passed(ADD, [])


def test_only_a_reply_with_a_program_is_a_submission():
  reply = f'```python\n{SUM}\n```'
  assert verdicts.submission(rollout(reply)) == (ADD, SUM)
  assert verdicts.submission(rollout('no program')) is None
  assert verdicts.submission(rollout(reply, types.REASON)) is None


def test_a_completion_is_parsed_after_its_opening(runner):
  completion = {'opening': 'def half(x):\n', 'completion': True}
  right = '  return x[:1] if isinstance(x, list) else x / TWO\nhalf = None'
  replies = right, right.replace('/', '+')
  submissions = [
    verdicts.submission(rollout(reply, problem=HALF, **completion))
    for reply in replies
  ]
  verified = verdicts.verify(submissions, runner)
  assert [verdicts.passed(HALF, executions) for executions in verified] == [
    True,
    False,
  ]
  assert verdicts.submission(rollout('', problem=HALF, **completion)) is None
