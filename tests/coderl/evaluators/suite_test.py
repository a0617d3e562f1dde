"""Which prompts a suite holds, and how its rollouts become figures."""

import numpy as np
import pytest

from coderl import types
from coderl.evaluators import pass_at_1, suite, variable_inference
from coderl.rewards import scoring
from coderl.sandbox import sandbox
from coderl.text import tokenization
from coderl.training import async_rewards
from commons import errors
from configs import coderl_eval

TOKENIZER = tokenization.train_bpe(['print(1)\n'] * 3, 300)
PROBLEMS = [
  types.Problem(
    'sum',
    'Print the sum.',
    (types.Test('1 2', '3\n'),),
    reference='a, b = map(int, input().split())\nc = a + b\nprint(c)',
  ),
  types.Problem('one', 'Print 1.', (types.Test('', '1\n'),)),
  types.Problem(
    'f',
    'Give 1.\n\ndef f():',
    (types.Test(checker='assert f() == 1'),),
    entry_point='f',
    reference='def f():\n    return 1',
  ),
]


@pytest.fixture(scope='module')
def workers():
  with sandbox.Sandbox(workers=1) as workers:
    yield workers


def config(arg='', *questions):
  config = coderl_eval.get_config(arg)
  config.data.max_prompt_len_tokens = 2000
  if questions:
    config.eval.questions = questions
  return config


def prompts(workers, arg='', *questions):
  return suite.make_suite(PROBLEMS, TOKENIZER, workers, config(arg, *questions))


def test_each_evaluator_takes_the_problems_that_it_can_use(workers):
  ids = {
    name: [prompt.problem.id for prompt in asked]
    for name, asked in prompts(workers).items()
  }
  assert ids == {
    'pass@1': ['sum', 'one', 'f'],
    'code reasoning': ['sum'],
    'test output': ['sum', 'one'],
    'variable inference': ['sum'],
  }


class Unused(sandbox.Sandbox):
  """A sandbox in which nothing must run."""

  def run(self, programs):
    raise AssertionError(programs)


def test_evaluators_that_are_not_named_cost_nothing():
  with Unused(workers=1) as unused:
    prompts_by_name = prompts(unused, '', 'test output', 'pass@1')
    assert list(prompts_by_name) == ['pass@1', 'test output']
    # A base model is only asked for programs.
    (completions,) = prompts(unused, 'model=gemma3-270m').values()
  assert all(p.completion and p.stops for p in completions)
  assert completions[0].text.endswith('def main():\n')


class Counting(sandbox.Sandbox):
  """A sandbox that counts its batches."""

  batches = 0

  def run(self, programs):
    self.batches += 1
    return super().run(programs)


def test_references_run_once_for_all_evaluators():
  with Counting(workers=1) as counting:
    prompts(counting)
    assert counting.batches == 1


@pytest.mark.parametrize('name', suite.EVALUATORS)
def test_every_evaluator_can_ask_for_a_completion(workers, name):
  prompts_by_name = prompts(workers, 'style=completion', name)
  assert all(p.completion and p.stops for p in prompts_by_name[name])
  if name != 'pass@1':
    assert prompts_by_name[name][0].text.endswith(('a":', '\\boxed{'))


def test_prompts_that_are_too_long_are_left_out(workers):
  unlimited = prompts(workers)
  longest = max(len(p.tokens) for ps in unlimited.values() for p in ps)
  limited = config()
  limited.data.max_prompt_len_tokens = longest - 1
  prompts_by_name = suite.make_suite(PROBLEMS, TOKENIZER, workers, limited)
  for name in suite.EVALUATORS:
    assert prompts_by_name[name] == [
      p for p in unlimited[name] if len(p.tokens) < longest
    ]
  assert prompts_by_name != unlimited


def test_unknown_names_are_answered_with_the_table():
  suite.check_names(suite.EVALUATORS)
  with pytest.raises(errors.UserError, match=r'eval.questions=\(\): .*pass@1'):
    suite.check_names(())
  with pytest.raises(errors.UserError, match=r"'pass'.*variable inference"):
    suite.check_names(('pass@1', 'pass'))


class Echo:
  """A sampler whose responses are the answers that the prompts expect.

  Like the real sampler, it yields rollouts in another order than the prompts.
  """

  def __init__(self):
    self.batch_sizes = []

  def sample(self, policy, prompts, key, config):
    del policy, key
    assert config.temperature == 0
    self.batch_sizes.append(len(prompts))
    for i in reversed(range(len(prompts))):
      reply = f'\\boxed{{{prompts[i].expected.strip()}}}'
      yield [(i, types.Rollout(prompts[i], (1,), (0.0,), (0.0,), reply, True))]


def test_rollouts_are_in_the_order_of_the_prompts(workers):
  problems = [
    types.Problem(str(n), 'Print. ' * (n % 3 + 1), (types.Test('', f'{n}\n'),))
    for n in range(7)
  ]
  settings = config('', 'test output')
  settings.eval.batch_size = 3
  prompts_by_name = suite.make_suite(problems, TOKENIZER, workers, settings)
  echo = Echo()
  rollouts = suite.evaluate(
    echo, None, prompts_by_name, async_rewards.RewardFunction(workers), settings
  )
  ids = [r.prompt.problem.id for r in rollouts['test output']]
  assert ids == [problem.id for problem in problems]
  assert suite.scores(rollouts) == {'test output': [1.0] * 7}
  # All batches have one shape.
  assert echo.batch_sizes == [3, 3, 3]


def test_an_evaluator_without_prompts_has_no_figure(workers):
  settings = config('', 'code reasoning', 'variable inference')
  prompts_by_name = suite.make_suite(
    PROBLEMS[1:2], TOKENIZER, workers, settings
  )
  rollouts = suite.evaluate(
    Echo(),
    None,
    prompts_by_name,
    async_rewards.RewardFunction(workers),
    settings,
  )
  assert rollouts == {}
  assert suite.scores(rollouts) == {}


def test_variable_inference_has_two_more_figures(workers):
  (prompt,) = prompts(workers)['variable inference']
  replies = (
    '{"variables": {"a": 1, "b": 2, "c": 3}, "final_output": "3\\n"}',
    "{'variables': {'a': 1, 'b': 2, 'c': 3}, 'final_output': '3\\n'}",
    '{"variables": {"a": 1, "b": 0, "c": 3}, "final_output": "3\\n"}',
    'no answer',
  )
  rollouts = [
    types.Rollout(prompt, (), (), (), reply, True) for reply in replies
  ]
  scored = scoring.score(rollouts, workers)
  figures = suite.scores({'variable inference': scored})
  assert list(figures) == [
    variable_inference.NAME,
    variable_inference.ANSWER_FORM,
    variable_inference.ANY_NOTATION,
  ]
  np.testing.assert_allclose(
    list(figures.values()),
    [[1, 0, 2 / 3, 0], [1, 0, 1, 0], [1, 1, 2 / 3, 0]],
  )


def test_any_notation_is_read_after_the_opening_of_a_completion():
  prompt = types.Prompt(
    types.ALIGN,
    '',
    (),
    PROBLEMS[0],
    expected='3\n',
    targets=(types.Target('x', '[1]'),),
    completion=True,
  )
  text = " {'variables': {'x': [1]}, 'final_output': '3\\n'}\nmore"
  rollout = types.Rollout(prompt, (), (), (), text, True)
  assert variable_inference.score_in_any_notation(rollout) == 1


def test_solved_problems_are_counted_and_named():
  # Partial credit in the reward is no pass.
  rollouts = [
    types.Rollout(
      types.Prompt(types.GENERATE, '', (), problem),
      (),
      (),
      (),
      '',
      True,
      reward=0.5,
      passed=passed,
    )
    for problem, passed in zip(PROBLEMS, (True, False, True), strict=True)
  ]
  assert pass_at_1.counts(rollouts) == {
    'passed': 2,
    'n': 3,
    'solved': ['sum', 'f'],
  }
  assert pass_at_1.scores(rollouts) == {'pass@1': [1.0, 0.0, 1.0]}


def test_a_summary_is_a_mean_with_the_interval_of_its_kind():
  wilson = suite.summary([1.0] * 81 + [0.0] * 182)  # Newcombe (1998).
  np.testing.assert_allclose(
    list(wilson.values()), [81 / 263, 0.2553, 0.3662, 263], atol=5e-5
  )
  bootstrap = suite.summary([0.5, 1.0, 0.0, 0.25] * 50)
  half = 1.96 * np.std([0.5, 1.0, 0.0, 0.25]) / np.sqrt(200)
  np.testing.assert_allclose(
    list(bootstrap.values()),
    [0.4375, 0.4375 - half, 0.4375 + half, 200],
    atol=0.1 * half,
  )
  assert list(suite.summary([]).values()) == [0.0, 0.0, 1.0, 0]
