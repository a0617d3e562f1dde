"""Rollouts of every kind are scored, in their order."""

import pytest

from coderl import types
from coderl.alignment import answers
from coderl.rewards import scoring
from coderl.sandbox import sandbox
from commons import errors

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
SUM = 'a, b = map(int, input().split())\nprint(a + b)'
PRODUCT = 'a, b = map(int, input().split())\nprint(a * b)'
TWICE = 'a, b = map(int, input().split())\nprint(2 * b)'
TARGETS = (types.Target('a', '1'), types.Target('f.b', '(1, 2)'))


@pytest.fixture(scope='module')
def runner():
  with sandbox.Sandbox(workers=2) as runner:
    yield runner


def rollout(text, kind=types.GENERATE, **fields):
  prompt = types.Prompt(kind, '', (), ADD, **fields)
  return types.Rollout(prompt, (), (), (), text, True)


def fenced(source):
  return f'```python\n{source}\n```'


def test_a_program_passes_iff_all_its_tests_do(runner):
  rollouts = [
    rollout(fenced(SUM)),
    rollout('no program'),
    rollout(fenced('print(3)')),
    rollout(fenced('raise ValueError')),
  ]
  scored = scoring.score(rollouts, runner)
  assert [r.passed for r in scored] == [True, False, False, False]
  assert [r.reward for r in scored] == [1, 0, 0, 0]
  assert [r.scores['has_program'] for r in scored] == [1, 0, 1, 1]
  assert [len(r.executions) for r in scored] == [3, 0, 3, 1]
  assert not any(r.masked for r in scored)
  assert scored[3].executions[0].status is Status.RUNTIME_ERROR


class Broken(sandbox.Sandbox):
  """A sandbox whose workers all died."""

  def run(self, programs):
    return [sandbox.Execution(Status.SANDBOX_FAILURE) for _ in programs]


def test_a_failure_of_the_sandbox_masks_the_rollout():
  with Broken(workers=1) as broken:
    (scored,) = scoring.score([rollout(fenced(SUM))], broken)
  assert scored.masked and not scored.passed and scored.reward == 0


def test_mixed_kinds_keep_their_order(runner):
  inference = {'expected': '3', 'targets': TARGETS}
  rollouts = [
    rollout(answers.answer_json('3', TARGETS), types.ALIGN, **inference),
    rollout(fenced(PRODUCT)),
    rollout('\\boxed{3}', types.REASON, expected='3'),
    rollout('nothing'),
    rollout(fenced(TWICE)),
    rollout(fenced(SUM)),
  ]
  scored = scoring.score(rollouts, runner)
  assert [r.reward for r in scored] == [1, 0, 1, 0, 0, 1]
  assert [r.passed for r in scored] == [r.reward == 1 for r in scored]
  assert [r.text for r in scored] == [r.text for r in rollouts]


def test_the_alignment_reward_is_chosen_by_name(runner):
  answer = answers.answer_json('4', TARGETS)  # The output is wrong.
  item = rollout(answer, types.ALIGN, expected='3', targets=TARGETS)
  rewards = [
    scoring.score([item], runner, alignment_reward=name)[0].reward
    for name in ('paper', 'official')
  ]
  assert rewards == pytest.approx([1, 0.1 + 0.9 * 2 / 3])


def test_an_unknown_reward_is_answered_with_the_choices(runner):
  with pytest.raises(errors.UserError, match=r"'dense'.*official.*paper"):
    scoring.score([], runner, alignment_reward='dense')
