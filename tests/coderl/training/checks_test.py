"""Config values that are out of range are named before a run begins."""

import pytest

from coderl.training import checks
from commons import errors
from configs import coderl_eval, coderl_train


@pytest.mark.parametrize(
  ('name', 'value', 'message'),
  [
    ('train.steps', 0, r'train\.steps=0: must be 1 or more'),
    ('train.staleness', 2, r'train\.staleness=2: must be 0 or 1'),
    ('sampling.temperature', 0.0, r'temperature=0\.0: must be above 0'),
    ('algorithm.importance_cap', 0.0, r'importance_cap=0\.0: must be above 0'),
    ('alignment.ratio', 1.0, r'ratio=1\.0: must be in \[0, 1\)'),
    ('sampling.min_p', -0.1, r'min_p=-0\.1: must be in \[0, 1\)'),
    (
      'algorithm.overlong_buffer_len_tokens',
      121,
      r'overlong_buffer_len_tokens=121 is more than .*max_len_tokens=120',
    ),
    ('eval.problems', 0, r'eval\.problems=0: must be 1 or more'),
    ('eval.questions', ('pass@2',), r"'pass@2'.*pass@1"),
  ],
)
def test_values_out_of_range_are_named(name, value, message):
  config = coderl_train.get_config()
  checks.check_training(config)
  config.update_from_flattened_dict({name: value})
  with pytest.raises(errors.UserError, match=message):
    checks.check_training(config)


def test_an_evaluation_needs_no_training_section():
  config = coderl_eval.get_config()
  assert 'train' not in config
  checks.check_evaluation(config)
