"""Checks of a config's values, before anything slow begins."""

from collections.abc import Mapping
import functools
from typing import Any

import ml_collections

from coderl.evaluators import suite
from coderl.models import cache
from commons import errors

# Least values of fields.
_TRAINING_LEAST = {
  'seed': 0,
  'train.steps': 1,
  'train.prompts_per_step': 1,
  'train.minibatches': 1,
  'train.microbatches': 1,
  'train.staleness': 0,
  'sampling.group_size': 1,
  'lora.rank': 0,
  'algorithm.oversampling': 1,
  'trajectory.max_value_tokens': 1,
  'data.bucket_len_tokens': 1,
  'checkpoint.every_steps': 1,
  'log.samples_every_steps': 1,
}
_EVALUATION_LEAST = {
  'sampling.max_len_tokens': 1,
  'sampling.slots': 0,
  'eval.problems': 1,
  'eval.batch_size': 1,
}


def check_evaluation(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a value that no evaluation can have."""
  _check_least(config, _EVALUATION_LEAST)
  dtype = config.sampling.cache_dtype
  if dtype not in ('', *cache.CACHE_DTYPES):
    raise errors.unknown('sampling.cache_dtype', dtype, cache.CACHE_DTYPES)
  suite.check_names(config.eval.questions)


def check_training(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for a value that no training run can have."""
  check_evaluation(config)
  _check_least(config, _TRAINING_LEAST)
  for name in ('alignment.ratio', 'sampling.min_p'):
    if not 0 <= _field(config, name) < 1:
      raise errors.UserError(
        f'{name}={_field(config, name)}: must be in [0, 1)'
      )
  for name in ('sampling.temperature', 'algorithm.importance_cap'):
    if _field(config, name) <= 0:
      raise errors.UserError(f'{name}={_field(config, name)}: must be above 0')
  if config.train.staleness > 1:
    raise errors.UserError(
      f'train.staleness={config.train.staleness}: must be 0 or 1'
    )
  buffer = config.algorithm.overlong_buffer_len_tokens or 0
  if buffer > config.sampling.max_len_tokens:
    raise errors.UserError(
      f'algorithm.overlong_buffer_len_tokens={buffer} is more than'
      f' sampling.max_len_tokens={config.sampling.max_len_tokens}'
    )


def _check_least(
  config: ml_collections.ConfigDict, bounds: Mapping[str, int]
) -> None:
  for name, least in bounds.items():
    value = _field(config, name)
    if value < least:
      raise errors.UserError(f'{name}={value}: must be {least} or more')


def _field(config: ml_collections.ConfigDict, name: str) -> Any:
  """Returns the field of a dotted name."""
  return functools.reduce(lambda c, key: c[key], name.split('.'), config)
