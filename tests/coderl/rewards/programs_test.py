"""Programs are judged by their tests, inferences by what the run gave."""

import json

import pytest

from coderl import types
from coderl.alignment import answers
from coderl.rewards import programs as programs_lib
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
RIGHT = 'a, b = map(int, input().split())\nprint(a + b)'
PRODUCT = 'a, b = map(int, input().split())\nprint(a * b)'
TWICE = 'a, b = map(int, input().split())\nprint(2 * b)'
THREE = 'print(3)'


class Recorder(sandbox.Sandbox):
  """A sandbox that keeps the batches it was given."""

  def __init__(self):
    super().__init__(workers=2)
    self.batches = []

  def run(self, programs):
    self.batches.append(list(programs))
    return super().run(programs)


@pytest.fixture(scope='module')
def box():
  with Recorder() as recorder:
    yield recorder


def rollout(text, kind=types.GENERATE, problem=ADD, **fields):
  prompt = types.Prompt(kind, '', (), problem, **fields)
  return types.Rollout(prompt, (), (), (), text, True)


def fenced(source):
  return f'```python\n{source}\n```'


def statuses(executions):
  return [execution.status for execution in executions]


def test_judge_runs_equal_programs_once_and_stops_at_a_failed_first_test(box):
  box.batches.clear()
  items = [(ADD, s) for s in (RIGHT, PRODUCT, THREE, RIGHT)]
  judged = programs_lib.judge(items, box)
  passed, wrong = Status.PASSED, Status.WRONG_ANSWER
  assert [statuses(ran) for ran in judged] == [
    [passed] * 3,
    [wrong],
    [passed, wrong, wrong],
    [passed] * 3,
  ]
  assert [len(batch) for batch in box.batches] == [3, 4]


def test_judge_tells_problems_with_equal_programs_apart(box):
  other = types.Problem('other', 'Print 4.', (types.Test(expected='4'),))
  judged = programs_lib.judge([(ADD, THREE), (other, THREE)], box)
  assert [ran[0].status for ran in judged] == [
    Status.PASSED,
    Status.WRONG_ANSWER,
  ]


def test_calls_use_the_prefix_and_compare_values(box):
  source = (
    'def half(x):\n'
    '  return x[:1] if isinstance(x, list) else x / TWO'  # 2.0 == 2
  )
  (ran,) = programs_lib.judge([(HALF, source)], box)
  assert statuses(ran) == [Status.PASSED] * 2


def test_an_object_that_equals_everything_is_wrong(box):
  source = (
    'class Any(int):\n'
    '  def __eq__(self, other):\n    return True\n'
    '  def __repr__(self):\n    return "2"\n'
    'def half(x):\n  return Any()'
  )
  (ran,) = programs_lib.judge([(HALF, source)], box)
  assert ran[0].status is Status.WRONG_ANSWER


def test_a_checker_decides(box):
  right, wrong = programs_lib.judge(
    [
      (CHECKED, 'def inc(x):\n  return x + 1'),
      (CHECKED, 'def inc(x):\n  return 2 * x'),
    ],
    box,
  )
  assert statuses(right) == [Status.PASSED]
  assert statuses(wrong) != [Status.PASSED]


def test_programs_score_one_iff_all_tests_pass(box):
  rollouts = [
    rollout(fenced(RIGHT)),
    rollout('no program'),
    rollout(fenced(THREE)),
    rollout(fenced('raise ValueError')),
  ]
  scored = programs_lib.score(rollouts, box)
  assert [r.reward for r in scored] == [1, 0, 0, 0]
  assert [r.scores['has_program'] for r in scored] == [1, 0, 1, 1]
  assert [len(r.executions) for r in scored] == [3, 0, 3, 1]
  assert not any(r.masked for r in scored)
  assert scored[3].executions[0].status is Status.RUNTIME_ERROR


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
  ran = sandbox.Execution(Status.FINISHED, stdout=stdout, value=value)
  expected = Status.PASSED if right else Status.WRONG_ANSWER
  assert programs_lib.verdict(test, ran).status is expected


@pytest.mark.parametrize(
  'status', [Status.WALL_LIMIT, Status.RUNTIME_ERROR, Status.SANDBOX_FAILURE]
)
def test_a_run_that_did_not_finish_keeps_its_status(status):
  ran = sandbox.Execution(status, stdout='3\n')
  assert programs_lib.verdict(ADD.tests[0], ran) == ran


class Broken(sandbox.Sandbox):
  """A sandbox whose workers all died."""

  def run(self, programs):
    return [sandbox.Execution(Status.SANDBOX_FAILURE) for _ in programs]


def test_a_failure_of_the_sandbox_masks_the_row():
  with Broken(workers=1) as broken:
    (scored,) = programs_lib.score([rollout(fenced(RIGHT))], broken)
  assert scored.masked and scored.reward == 0


TARGETS = (types.Target('a', '1'), types.Target('f.b', '(1, 2)'))


@pytest.mark.parametrize(
  ('output', 'a', 'paper', 'official'),
  [
    ('3', 1, 1.0, 1.0),
    ('4', 1, 1.0, 0.1 + 0.9 * 2 / 3),
    ('3', 0, 0.5, 0.1 + 0.9 * 2 / 3),
    ('4', 0, 0.5, 0.1 + 0.9 * 1 / 3),
  ],
)
def test_alignment_rewards_by_hand(box, output, a, paper, official):
  answer = {'final_output': output, 'variables': {'a': a, 'f.b': '(1, 2)'}}
  item = rollout(
    json.dumps(answer), types.ALIGN, expected='3\n', targets=TARGETS
  )
  for name, value in (('paper', paper), ('official', official)):
    (scored,) = programs_lib.score([item], box, alignment_reward=name)
    assert scored.reward == pytest.approx(value)
    assert scored.scores['exact'] == float(paper == 1 and output == '3')


@pytest.mark.parametrize('name', sorted(programs_lib.REWARDS))
def test_an_empty_answer_earns_nothing(box, name):
  empty = '{"final_output": "", "variables": {}}'
  item = rollout(empty, types.ALIGN, expected='3\n', targets=TARGETS)
  (scored,) = programs_lib.score([item], box, alignment_reward=name)
  assert scored.reward == scored.scores['form'] == 0


@pytest.mark.parametrize('name', sorted(programs_lib.REWARDS))
def test_the_right_answer_earns_all(box, name):
  line = answers.answer_json('3\n', TARGETS)
  item = rollout(line, types.ALIGN, expected='3\n', targets=TARGETS)
  (scored,) = programs_lib.score([item], box, alignment_reward=name)
  assert scored.reward == pytest.approx(1)


@pytest.mark.parametrize(
  ('text', 'kind', 'problem', 'expected', 'reward'),
  [
    ('\\boxed{3\n6}', types.REASON, ADD, '3\n6\n', 1),
    ('\\boxed{3}', types.REASON, ADD, '3\n6\n', 0),
    ('3', types.REASON, ADD, '3\n', 0),
    ('\\boxed{4}', types.TEST_OUTPUT, ADD, '4\n', 1),
    ("\\boxed{['a',1]}", types.TEST_OUTPUT, HALF, "['a', 1]", 1),
    ('\\boxed{a}', types.TEST_OUTPUT, HALF, "'b'", 0),
  ],
)
def test_boxed_answers(box, text, kind, problem, expected, reward):
  item = rollout(text, kind, problem, expected=expected)
  (scored,) = programs_lib.score([item], box)
  assert scored.reward == scored.scores['exact'] == reward


def test_mixed_kinds_keep_their_order(box):
  align = {'expected': '3', 'targets': TARGETS}
  rollouts = [
    rollout(answers.answer_json('3', TARGETS), types.ALIGN, **align),
    rollout(fenced(PRODUCT)),
    rollout('\\boxed{3}', types.REASON, expected='3'),
    rollout('nothing'),
    rollout(fenced(TWICE)),
    rollout(fenced(RIGHT)),
  ]
  scored = programs_lib.score(rollouts, box)
  assert [r.reward for r in scored] == [1, 0, 1, 0, 0, 1]
  assert [r.text for r in scored] == [r.text for r in rollouts]


def test_completions_are_read_after_their_opening(box):
  program = {'opening': 'def half(x):\n', 'completion': True}
  answer = {'expected': '3\n6', 'completion': True}
  boxed = {**answer, 'opening': '\\boxed{'}
  line = answers.answer_json('3\n6', TARGETS)
  text = '  return x[:1] if isinstance(x, list) else x / TWO\nhalf = None'
  cases = [
    (rollout(text, problem=HALF, **program), 1),
    (rollout(text.replace('/', '+'), problem=HALF, **program), 0),
    (rollout('', problem=HALF, **program), 0),
    (rollout('3\n6}\n', types.REASON, **boxed), 1),
    (rollout('3}\n', types.REASON, **boxed), 0),
    (rollout(f' {line}\n\n{{}}', types.ALIGN, targets=TARGETS, **answer), 1),
    (rollout(f'\n{line}', types.ALIGN, targets=TARGETS, **answer), 0),
  ]
  scored = programs_lib.score([r for r, _ in cases], box)
  assert [r.reward for r in scored] == [reward for _, reward in cases]
  assert [r.scores['has_program'] for r in scored[:3]] == [1, 1, 0]


def test_an_unknown_reward_is_named_with_the_choices(box):
  with pytest.raises(ValueError, match=r"'dense'.*official.*paper"):
    programs_lib.score([], box, alignment_reward='dense')
