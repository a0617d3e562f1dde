"""Algorithms: compositions of advantages.py and losses.py.

ALGORITHMS holds each with the settings of its paper; `make` looks one up and
binds what a config says otherwise.
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
  """What makes an algorithm; hashable, so it can be a static argument.

  advantage: of a response within its group or batch, alike for all of its
    tokens. None: of each token, by `gae` from a value head.
  policy_loss: of each token.
  aggregation: weights of the tokens in the loss, the KL term included.
  kl: estimator of the divergence from the reference policy.
  kl_weight: of the KL term; 0 does without a reference policy.
  dynamic_sampling: groups that are not advantages.informative_groups are
    dropped and sampled anew.
  overlong_buffer_len_tokens: of advantages.overlong_penalty; 0 for none.
  importance_cap: of losses.importance, for tokens that another distribution
    drew than the policy at the start of the update; 0 where none did.
  gae: (rewards_BR, values_BR, mask_BR) -> (advantages_BR, returns_BR).
  value_loss: (values_BR, old_values_BR, returns_BR) -> loss_BR.
  value_weight: of the value loss.
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
    """Whether it needs a value head."""
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
  # arXiv 2402.14740: REINFORCE on whole responses, so their tokens add up.
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


# Where a setting goes: name -> (field, keyword of the function there) or,
# with a dict in the keyword's place, the functions to choose from by name.
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
  """An algorithm by name; None leaves a setting as the algorithm has it.

  A setting of a function that the algorithm does not use, such as a clip with
  RLOO or gamma without a value head, changes nothing.

  Args:
    name: one of ALGORITHMS.
    **settings: clip_low, clip_high, dual_clip of losses.clipped_surrogate;
      aggregation and kl_estimator, names in losses.AGGREGATIONS and
      losses.KL_ESTIMATORS; max_len_tokens, the longest response sampled, of
      losses.sequence_mean_token_sum_norm; gamma and lam of advantages.gae;
      value_clip of losses.value_loss; and kl_weight, value_weight,
      dynamic_sampling, overlong_buffer_len_tokens, importance_cap as in
      Algorithm.

  Raises:
    UserError: an unknown algorithm, setting, aggregation or estimator.
  """
  algorithm = _lookup('algorithm', ALGORITHMS, name)
  for setting in settings:
    _lookup('setting of an algorithm', _SETTINGS, setting)
  # In the table's order: an aggregation is chosen before it is bound.
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
  """Advantages and returns of every response token of a batch of groups.

  A group advantage is laid on all tokens of its response. With a value head
  the reward falls on the last token, and GAE's advantages are whitened over
  the batch, as PPO implementations do.

  Args:
    algorithm: what `make` gave.
    rewards_BG: float; row b * G + g of the batch is response g to prompt b.
    valid_BG: bool, False on responses that count for nothing.
    values_BR: float, by the value head at sampling time; unread without one.
    mask_BR: bool, True on the tokens of the responses, which come first.

  Returns:
    advantages_BR and returns_BR, float32, zero where nothing is learned;
    returns_BR is all zeros without a value head.
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
  """The function with a keyword set, or as it is if it has no such keyword."""
  if keyword not in inspect.signature(function).parameters:
    return function
  return functools.partial(function, **{keyword: value})


def _lookup(what: str, choices: Mapping[str, Any], name: str) -> Any:
  if name not in choices:
    raise errors.unknown(what, name, choices)
  return choices[name]
