"""Answers on variables and outputs become a verdict and a reward."""

import json

import pytest

from coderl import types
from coderl.alignment import answers as alignment_answers
from coderl.rewards import answers

STDIN = types.Problem('add', 'Print a + b.', (types.Test('1 2\n', '3\n'),))
FUNCTION = types.Problem(
  'half',
  'Halve x.',
  (types.Test(expected='2', call='half(4)'),),
  entry_point='half',
)
TARGETS = (types.Target('a', '1'), types.Target('f.b', '(1, 2)'))


def rollout(text, kind, problem=STDIN, **fields):
  prompt = types.Prompt(kind, '', (), problem, **fields)
  return types.Rollout(prompt, (), (), (), text, True)


def inference(text, expected='3\n', **fields):
  return rollout(
    text, types.ALIGN, expected=expected, targets=TARGETS, **fields
  )


@pytest.mark.parametrize(
  ('output', 'a', 'paper', 'official'),
  [
    ('3', 1, 1.0, 1.0),
    ('4', 1, 1.0, 0.1 + 0.9 * 2 / 3),
    ('3', 0, 0.5, 0.1 + 0.9 * 2 / 3),
    ('4', 0, 0.5, 0.1 + 0.9 * 1 / 3),
  ],
)
def test_alignment_rewards_by_hand(output, a, paper, official):
  answer = {'final_output': output, 'variables': {'a': a, 'f.b': '(1, 2)'}}
  exact = paper == 1 and output == '3'
  for name, reward in (('paper', paper), ('official', official)):
    scored = answers.score_inference(
      inference(json.dumps(answer)), answers.REWARDS[name]
    )
    assert scored.reward == pytest.approx(reward)
    assert scored.scores['exact'] == float(exact)
    # The verdict gives no partial credit, whatever the reward does.
    assert scored.passed is exact


@pytest.mark.parametrize('reward', answers.REWARDS.values())
def test_an_empty_answer_earns_nothing(reward):
  empty = '{"final_output": "", "variables": {}}'
  scored = answers.score_inference(inference(empty), reward)
  assert scored.reward == scored.scores['form'] == 0
  assert not scored.passed


@pytest.mark.parametrize('reward', answers.REWARDS.values())
def test_the_right_answer_earns_everything(reward):
  line = alignment_answers.answer_json('3\n', TARGETS)
  scored = answers.score_inference(inference(line), reward)
  assert scored.reward == pytest.approx(1)
  assert scored.passed


def test_an_inference_that_completes_the_prompt_is_its_first_line():
  line = alignment_answers.answer_json('3\n6', TARGETS)
  for text, passed in ((f' {line}\n\n{{}}', True), (f'\n{line}', False)):
    scored = answers.score_inference(
      inference(text, '3\n6', completion=True), answers.paper
    )
    assert (scored.reward, scored.passed) == (float(passed), passed)


@pytest.mark.parametrize(
  ('text', 'kind', 'problem', 'expected', 'passed'),
  [
    ('\\boxed{3\n6}', types.REASON, STDIN, '3\n6\n', True),
    ('\\boxed{3}', types.REASON, STDIN, '3\n6\n', False),
    ('3', types.REASON, STDIN, '3\n', False),
    ('\\boxed{4}', types.TEST_OUTPUT, STDIN, '4\n', True),
    ("\\boxed{['a',1]}", types.TEST_OUTPUT, FUNCTION, "['a', 1]", True),
    ('\\boxed{a}', types.TEST_OUTPUT, FUNCTION, "'b'", False),
  ],
)
def test_boxed_answers(text, kind, problem, expected, passed):
  scored = answers.score_output(rollout(text, kind, problem, expected=expected))
  assert scored.reward == scored.scores['exact'] == float(passed)
  assert scored.passed is passed


def test_a_boxed_answer_that_completes_the_prompt_starts_in_its_box():
  fields = {'expected': '3\n6', 'completion': True, 'opening': '\\boxed{'}
  for text, passed in (('3\n6}\n', True), ('3}\n', False)):
    scored = answers.score_output(rollout(text, types.REASON, **fields))
    assert (scored.reward, scored.passed) == (float(passed), passed)
