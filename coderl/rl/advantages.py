"""Advantages: how much better a response did than expected.

Group estimators take rewards_BG, the rewards of the G responses to each of B
prompts, and valid_BG. Where valid_BG is False, the response enters no statistic
and gets advantage 0, whatever its reward is. A group whose valid rewards are
all equal carries no information and gets exact zeros.
"""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array


def informative_groups(rewards_BG: Array, valid_BG: Array) -> Array:
  """Returns which groups have valid rewards that differ.

  DAPO's dynamic sampling keeps only these (arXiv 2503.14476 eq. 11), by the
  rewards before any length penalty. Extremes are compared, because a computed
  standard deviation of equal rewards may be a rounding error above zero.

  Args:
    rewards_BG: float.
    valid_BG: bool.

  Returns:
    informative_B, bool.
  """
  chex.assert_rank([rewards_BG, valid_BG], 2)
  chex.assert_equal_shape([rewards_BG, valid_BG])
  chex.assert_type([rewards_BG, valid_BG], [float, bool])
  high_B = jnp.max(jnp.where(valid_BG, rewards_BG, -jnp.inf), axis=1)
  low_B = jnp.min(jnp.where(valid_BG, rewards_BG, jnp.inf), axis=1)
  return high_B > low_B


def group_centered(rewards_BG: Array, valid_BG: Array) -> Array:
  """Returns Dr. GRPO's advantage (arXiv 2503.20783): A = R - mean(group).

  Args:
    rewards_BG: float.
    valid_BG: bool.

  Returns:
    advantages_BG, float32.
  """
  informative_B = informative_groups(rewards_BG, valid_BG)
  kept_BG = jnp.where(valid_BG, rewards_BG, 0.0).astype(jnp.float32)
  count_B = jnp.maximum(jnp.sum(valid_BG, axis=1), 1)
  mean_B = jnp.sum(kept_BG, axis=1) / count_B
  return jnp.where(
    valid_BG & informative_B[:, None], kept_BG - mean_B[:, None], 0.0
  )


def group_normalized(
  rewards_BG: Array, valid_BG: Array, *, ddof: int = 1, eps: float = 1e-6
) -> Array:
  """Returns GRPO's advantage (arXiv 2402.03300).

  A = (R - mean(group)) / (std(group) + eps).

  Args:
    rewards_BG: float.
    valid_BG: bool.
    ddof: 1 divides the squares by n - 1, as the common implementations do.
    eps: bounds the advantages of nearly equal rewards.

  Returns:
    advantages_BG, float32.
  """
  centered_BG = group_centered(rewards_BG, valid_BG)
  freedom_B = jnp.maximum(jnp.sum(valid_BG, axis=1) - ddof, 1)
  std_B = jnp.sqrt(jnp.sum(jnp.square(centered_BG), axis=1) / freedom_B)
  return centered_BG / (std_B[:, None] + eps)


def leave_one_out(rewards_BG: Array, valid_BG: Array) -> Array:
  """Returns RLOO's advantage (arXiv 2402.14740).

  A_i = R_i - mean of the other responses' rewards; for n valid responses this
  equals (R_i - mean(group)) n / (n - 1).

  Args:
    rewards_BG: float.
    valid_BG: bool.

  Returns:
    advantages_BG, float32.
  """
  count_B = jnp.sum(valid_BG, axis=1)
  scale_B = count_B / jnp.maximum(count_B - 1, 1)
  return group_centered(rewards_BG, valid_BG) * scale_B[:, None]


def whiten(x: Array, mask: Array) -> Array:
  """Returns (x - mean) / std over the True entries of mask, zero elsewhere.

  Args:
    x: float, any shape.
    mask: bool, of the same shape.

  Returns:
    float32 of the same shape.
  """
  flat = group_normalized(jnp.reshape(x, (1, -1)), jnp.reshape(mask, (1, -1)))
  return jnp.reshape(flat, x.shape)


def reinforce_plus_plus(rewards_BG: Array, valid_BG: Array) -> Array:
  """Returns REINFORCE++'s advantage (arXiv 2501.03262).

  A = (R - mean(batch)) / std(batch); groups do not matter.

  Args:
    rewards_BG: float.
    valid_BG: bool.

  Returns:
    advantages_BG, float32.
  """
  chex.assert_rank([rewards_BG, valid_BG], 2)
  return whiten(rewards_BG, valid_BG)


def gae(
  rewards_BR: Array,
  values_BR: Array,
  mask_BR: Array,
  gamma: float,
  lam: float,
) -> tuple[Array, Array]:
  """Returns generalised advantage estimates (arXiv 1506.02438 eq. 16).

  delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1}.
  The value past the last token of a response is zero.

  Args:
    rewards_BR: float, the reward upon each token.
    values_BR: float, the value before each token.
    mask_BR: bool, True on the tokens of the response, which come first.
    gamma: discount per token.
    lam: 0 relies on the values, 1 on the rewards.

  Returns:
    advantages_BR and returns_BR = advantages_BR + values_BR, float32, zero
    where mask_BR is False.
  """
  chex.assert_rank([rewards_BR, values_BR, mask_BR], 2)
  chex.assert_equal_shape([rewards_BR, values_BR, mask_BR])
  chex.assert_type([rewards_BR, values_BR, mask_BR], [float, float, bool])
  rewards_BR = jnp.where(mask_BR, rewards_BR, 0.0).astype(jnp.float32)
  values_BR = jnp.where(mask_BR, values_BR, 0.0).astype(jnp.float32)
  next_values_BR = jnp.pad(values_BR[:, 1:], ((0, 0), (0, 1)))
  deltas_BR = rewards_BR + gamma * next_values_BR - values_BR

  def step(advantage_B, delta_B):
    advantage_B = delta_B + gamma * lam * advantage_B
    return advantage_B, advantage_B

  # Past the response every delta is zero, and so is what the scan carries.
  _, advantages_RB = jax.lax.scan(
    step, jnp.zeros_like(deltas_BR[:, 0]), deltas_BR.T, reverse=True
  )
  return advantages_RB.T, advantages_RB.T + values_BR


def overlong_penalty(
  response_len_tokens: Array, max_len_tokens: int, buffer_len_tokens: int
) -> Array:
  """Returns DAPO's soft overlong penalty (arXiv 2503.14476 eq. 13).

  It is zero up to max - buffer tokens, falling linearly to -1 at max tokens.

  Args:
    response_len_tokens: lengths in tokens, any shape.
    max_len_tokens: the length limit of a response.
    buffer_len_tokens: the number of last tokens over which the penalty grows.

  Returns:
    Penalty in [-1, 0], float32, to be added to the reward.

  Raises:
    ValueError: buffer_len_tokens is not in 1..max_len_tokens.
  """
  if not 1 <= buffer_len_tokens <= max_len_tokens:
    raise ValueError(
      f'{buffer_len_tokens=} is not within 1..{max_len_tokens=}.'
    )
  excess = jnp.asarray(response_len_tokens) - max_len_tokens
  return jnp.clip(-1.0 - excess / buffer_len_tokens, -1.0, 0.0)
