"""Algorithms: compositions of advantages.py and losses.py.

ALGORITHMS holds each algorithm with the settings of its paper; `make` looks one
up by name and changes the settings that a config gives.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import inspect
from typing import Any

import chex
import jax
import jax.numpy as jnp

from coderl import types
from coderl.rl import advantages, losses
from commons import errors

Array = jax.Array

_clipped = functools.partial(
  losses.clipped_surrogate, clip_low=0.2, clip_high=0.2
)
_gae = functools.partial(advantages.gae, gamma=1.0, lam=0.95)
_value_loss = functools.partial(losses.value_loss, clip=0.2)


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """The parts of an algorithm; hashable, so it can be a static argument.

  Attributes:
    advantage: the advantage of a response, shared by its tokens. None computes
      one per token by `gae` from a value head.
    policy_loss: the loss per token.
    aggregation: weights of the tokens in the policy and KL terms.
    kl: estimator of the divergence from the reference policy.
    kl_weight: weight of the KL term; at 0 no reference policy is read.
    dynamic_sampling: more groups are sampled than trained on, and groups that
      advantages.informative_groups accepts are preferred.
    overlong_buffer_len_tokens: see advantages.overlong_penalty; 0 for none.
    importance_cap: see losses.importance_weights; 0 for no correction, where
      the policy at the start of the update drew all tokens.
    gae: (rewards_BR, values_BR, mask_BR) -> (advantages_BR, returns_BR).
    value_loss: (values_BR, old_values_BR, returns_BR) -> loss_BR.
    value_weight: weight of the value loss.
  """

  advantage: types.GroupAdvantage | None
  policy_loss: types.PolicyLoss = _clipped
  aggregation: types.Aggregation = losses.token_mean
  kl: Callable[[Array, Array], Array] = losses.kl_k3
  kl_weight: float = 0.0
  dynamic_sampling: bool = False
  overlong_buffer_len_tokens: int = 0
  importance_cap: float = 0.0
  gae: Callable[[Array, Array, Array], tuple[Array, Array]] = _gae
  value_loss: Callable[[Array, Array, Array], Array] = _value_loss
  value_weight: float = 0.5

  @property
  def uses_values(self) -> bool:
    """Whether the algorithm needs a value head."""
    return self.advantage is None


ALGORITHMS = {
  # arXiv 2402.03300, with the token-level mean of CodeRL+'s official code.
  'grpo': Algorithm(advantages.group_normalized),
  # arXiv 2503.20783: no division by the deviation, nor by the length.
  'dr_grpo': Algorithm(
    advantages.group_centered,
    aggregation=losses.sequence_mean_token_sum_norm,
  ),
  # arXiv 2503.14476.
  'dapo': Algorithm(
    advantages.group_normalized,
    policy_loss=functools.partial(_clipped, clip_high=0.28),
    dynamic_sampling=True,
    overlong_buffer_len_tokens=4096,
  ),
  # arXiv 2402.14740: REINFORCE with a response as one action, so the
  # log-probabilities of its tokens are summed.
  'rloo': Algorithm(
    advantages.leave_one_out,
    policy_loss=losses.policy_gradient,
    aggregation=losses.sequence_mean_token_sum_norm,
  ),
  # arXiv 2501.03262.
  'reinforce_pp': Algorithm(advantages.reinforce_plus_plus),
  # arXiv 1707.06347.
  'ppo': Algorithm(None),
}


# Setting -> (field of Algorithm, keyword argument of the function in it).
# Instead of the keyword, a dict holds the functions to choose from by name, and
# None means that the field itself is set.
_SETTINGS = {
  'clip_low': ('policy_loss', 'clip_low'),
  'clip_high': ('policy_loss', 'clip_high'),
  'dual_clip': ('policy_loss', 'dual_clip'),
  'aggregation': ('aggregation', losses.AGGREGATIONS),
  'max_len_tokens': ('aggregation', 'max_len_tokens'),
  'kl_estimator': ('kl', losses.KL_ESTIMATORS),
  'gamma': ('gae', 'gamma'),
  'lam': ('gae', 'lam'),
  'value_clip': ('value_loss', 'clip'),
  'kl_weight': ('kl_weight', None),
  'value_weight': ('value_weight', None),
  'dynamic_sampling': ('dynamic_sampling', None),
  'overlong_buffer_len_tokens': ('overlong_buffer_len_tokens', None),
  'importance_cap': ('importance_cap', None),
}


def make(name: str, **settings: Any) -> Algorithm:
  """Returns an algorithm by name, with some settings changed.

  A setting of a function that the algorithm does not use, such as a clip with
  RLOO or gamma without a value head, changes nothing.

  Args:
    name: one of ALGORITHMS.
    **settings: None keeps the algorithm's value. clip_low, clip_high and
      dual_clip: see losses.clipped_surrogate. aggregation, kl_estimator: names
      in losses.AGGREGATIONS and losses.KL_ESTIMATORS. max_len_tokens: see
      losses.sequence_mean_token_sum_norm. gamma, lam: see advantages.gae.
      value_clip: see losses.value_loss. kl_weight, value_weight,
      dynamic_sampling, overlong_buffer_len_tokens, importance_cap: see
      Algorithm.

  Raises:
    UserError: an unknown algorithm, setting, aggregation or estimator.
  """
  algorithm = _lookup('algorithm', ALGORITHMS, name)
  for setting in settings:
    _lookup('setting of an algorithm', _SETTINGS, setting)
  # In the order of the table, which chooses an aggregation before it sets the
  # aggregation's max_len_tokens.
  for setting, (field, how) in _SETTINGS.items():
    value = settings.get(setting)
    if value is None:
      continue
    if isinstance(how, dict):
      value = _lookup(setting, how, value)
    elif how is not None:
      value = _bind(getattr(algorithm, field), how, value)
    algorithm = dataclasses.replace(algorithm, **{field: value})
  return algorithm


def token_advantages(
  algorithm: Algorithm,
  rewards_BG: Array,
  valid_BG: Array,
  values_BR: Array,
  mask_BR: Array,
) -> tuple[Array, Array]:
  """Returns advantages and returns of every response token of a batch.

  All tokens of a response share its group advantage. With a value head, the
  reward is given at the last token, and the advantages of `gae` are whitened
  over the batch, as in PPO implementations.

  Args:
    algorithm: the algorithm.
    rewards_BG: float; row b * G + g of the batch is response g to prompt b.
    valid_BG: bool, False on responses that are left out.
    values_BR: float, from the value head at the start of the update; not read
      without one.
    mask_BR: bool, True on the tokens of the responses, which come first.

  Returns:
    advantages_BR and returns_BR, float32, zero where the mask or valid_BG is
    False; returns_BR is all zeros without a value head.
  """
  chex.assert_rank([rewards_BG, valid_BG, values_BR, mask_BR], 2)
  chex.assert_equal_size([rewards_BG, mask_BR[:, 0]])
  chex.assert_equal_shape([values_BR, mask_BR])
  mask_BR = mask_BR & jnp.reshape(valid_BG, (-1, 1))
  if algorithm.advantage is not None:
    advantages_B = jnp.ravel(algorithm.advantage(rewards_BG, valid_BG))
    advantages_BR = jnp.where(mask_BR, advantages_B[:, None], 0.0)
    return advantages_BR, jnp.zeros_like(advantages_BR)
  last_BR = mask_BR & ~jnp.pad(mask_BR[:, 1:], ((0, 0), (0, 1)))
  rewards_BR = jnp.where(last_BR, jnp.reshape(rewards_BG, (-1, 1)), 0.0)
  advantages_BR, returns_BR = algorithm.gae(rewards_BR, values_BR, mask_BR)
  return advantages.whiten(advantages_BR, mask_BR), returns_BR


def _bind(
  function: Callable[..., Any], keyword: str, value: Any
) -> Callable[..., Any]:
  """Sets a keyword argument of a function, if the function has it."""
  if keyword not in inspect.signature(function).parameters:
    return function
  return functools.partial(function, **{keyword: value})


def _lookup(what: str, choices: Mapping[str, Any], name: str) -> Any:
  if name not in choices:
    raise errors.unknown(what, name, choices)
  return choices[name]
