"""Losses as functions of arrays.

Policy losses, KL estimators and the value loss are per token (loss_BR); an
aggregation turns the mask of the WHOLE batch into weights_BR, and the loss is
sum(weights_BR * loss_BR). So a sum over microbatches is the loss of the batch,
however it was split. Every per-token loss is finite where its inputs are, in
value and in gradient, so that a weight of zero does hide padding.
"""

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

# exp(20) is as good as infinite for a ratio, but survives a product with zero.
_MAX_LOG_RATIO = 20.0


def _ratio(log_ratio_BR: Array) -> Array:
  return jnp.exp(jnp.clip(log_ratio_BR, -_MAX_LOG_RATIO, _MAX_LOG_RATIO))


def _check_BR(*arrays_BR: Array) -> None:
  chex.assert_rank(arrays_BR, 2)
  chex.assert_equal_shape(arrays_BR)
  chex.assert_type(arrays_BR, float)


# Policy losses: types.PolicyLoss once their settings are bound.


def policy_gradient(
  logprobs_BR: Array, old_logprobs_BR: Array, advantages_BR: Array
) -> Array:
  """REINFORCE: loss = -A log pi, for tokens sampled from pi itself.

  Args:
    logprobs_BR: float, under the policy being trained.
    old_logprobs_BR: float, not used: on policy they equal logprobs_BR.
    advantages_BR: float.

  Returns:
    loss_BR.
  """
  _check_BR(logprobs_BR, old_logprobs_BR, advantages_BR)
  return -jax.lax.stop_gradient(advantages_BR) * logprobs_BR


def clipped_surrogate(
  logprobs_BR: Array,
  old_logprobs_BR: Array,
  advantages_BR: Array,
  clip_low: float,
  clip_high: float,
  dual_clip: float | None = None,
) -> Array:
  """PPO's clipped surrogate (arXiv 1707.06347 eq. 7), negated to be a loss.

  loss = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), r = pi / pi_old.
  clip_high > clip_low is DAPO's clip-higher (arXiv 2503.14476 eq. 10).

  Args:
    logprobs_BR: float, under the policy being trained.
    old_logprobs_BR: float, under the policy that sampled.
    advantages_BR: float.
    clip_low: how far below 1 the ratio still counts.
    clip_high: how far above 1 the ratio still counts.
    dual_clip: bounds the loss by -dual_clip A where A < 0 (arXiv 1912.09729
      eq. 5); above 1, or None for no bound.

  Returns:
    loss_BR.
  """
  _check_BR(logprobs_BR, old_logprobs_BR, advantages_BR)
  advantages_BR = jax.lax.stop_gradient(advantages_BR)
  ratio_BR = _ratio(logprobs_BR - jax.lax.stop_gradient(old_logprobs_BR))
  clipped_BR = jnp.clip(ratio_BR, 1.0 - clip_low, 1.0 + clip_high)
  loss_BR = -jnp.minimum(ratio_BR * advantages_BR, clipped_BR * advantages_BR)
  if dual_clip is None:
    return loss_BR
  bounded_BR = jnp.minimum(loss_BR, -dual_clip * advantages_BR)
  return jnp.where(advantages_BR < 0, bounded_BR, loss_BR)


# Aggregations: types.Aggregation once their settings are bound.


def token_mean(mask: Array) -> Array:
  """Every token of the batch weighs the same (DAPO, arXiv 2503.14476).

  Any shape will do, that of value tokens (BMC) too.
  """
  return mask / jnp.maximum(jnp.sum(mask), 1)


def sequence_mean_token_mean(mask_BR: Array) -> Array:
  """Every response weighs the same (GRPO, arXiv 2402.03300 eq. 3).

  Its tokens share its weight; responses without a token count for nothing.
  """
  chex.assert_rank(mask_BR, 2)
  len_B = jnp.sum(mask_BR, axis=1)
  sequences = jnp.maximum(jnp.sum(len_B > 0), 1)
  return mask_BR / jnp.maximum(len_B, 1)[:, None] / sequences


def sequence_mean_token_sum_norm(
  mask_BR: Array, max_len_tokens: int | None = None
) -> Array:
  """Token sums over a constant, mean over responses (arXiv 2503.20783).

  Dr. GRPO: unlike a mean, a constant does not favour long wrong responses.

  Args:
    mask_BR: bool.
    max_len_tokens: the constant; the longest response sampled. None is R.

  Returns:
    weights_BR.
  """
  chex.assert_rank(mask_BR, 2)
  sequences = jnp.maximum(jnp.sum(jnp.any(mask_BR, axis=1)), 1)
  return mask_BR / (max_len_tokens or mask_BR.shape[1]) / sequences


AGGREGATIONS = {
  'token_mean': token_mean,
  'sequence_mean_token_mean': sequence_mean_token_mean,
  'sequence_mean_token_sum_norm': sequence_mean_token_sum_norm,
}


# Estimators of KL(pi || ref) on tokens sampled from pi, after Schulman,
# "Approximating KL divergence" (2020), with r = ref / pi.


def kl_k1(logprobs_BR: Array, ref_logprobs_BR: Array) -> Array:
  """k1 = -log r: unbiased, noisy, may be negative."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  return logprobs_BR - ref_logprobs_BR


def kl_k2(logprobs_BR: Array, ref_logprobs_BR: Array) -> Array:
  """k2 = (log r)^2 / 2: biased, steady; its gradient is that of the KL."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  return 0.5 * jnp.square(logprobs_BR - ref_logprobs_BR)


def kl_k3(logprobs_BR: Array, ref_logprobs_BR: Array) -> Array:
  """k3 = r - 1 - log r: unbiased, never negative ('low_var_kl')."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  log_ratio_BR = ref_logprobs_BR - logprobs_BR
  return _ratio(log_ratio_BR) - 1.0 - log_ratio_BR


KL_ESTIMATORS = {'k1': kl_k1, 'k2': kl_k2, 'k3': kl_k3}


def value_loss(
  values_BR: Array, old_values_BR: Array, returns_BR: Array, clip: float
) -> Array:
  """PPO's clipped value loss: max((V - R)^2, (V_clip - R)^2) / 2.

  V_clip = V_old + clip(V - V_old, -clip, clip): a value that moved further
  than that towards its return gets no gradient.

  Args:
    values_BR: float, by the value head being trained.
    old_values_BR: float, by the value head at sampling time.
    returns_BR: float, what is to be predicted.
    clip: in units of the reward.

  Returns:
    loss_BR.
  """
  _check_BR(values_BR, old_values_BR, returns_BR)
  moved_BR = jnp.clip(values_BR - old_values_BR, -clip, clip)
  error_BR = jnp.square(values_BR - returns_BR)
  clipped_error_BR = jnp.square(old_values_BR + moved_BR - returns_BR)
  return 0.5 * jnp.maximum(error_BR, clipped_error_BR)


def _pick(logits: Array, targets: Array) -> tuple[Array, Array]:
  """Log-probability of targets [...], and the log-normaliser [...]."""
  # A masked sum and no gather: it stays local where V is sharded, and its
  # gradient needs no scatter.
  ids = jax.lax.broadcasted_iota(targets.dtype, logits.shape, logits.ndim - 1)
  hit = ids == targets[..., None]
  normaliser = jax.nn.logsumexp(logits, axis=-1)
  return jnp.sum(jnp.where(hit, logits, 0.0), axis=-1) - normaliser, normaliser


def token_logprobs(
  hidden_BTD: Array,
  unembed_DV: Array,
  targets_BT: Array,
  *,
  temperature: float,
  chunk: int,
) -> tuple[Array, Array]:
  """Log-probabilities and entropies without logits for all of T at once.

  Scans over chunks of T and recomputes a chunk's logits in the backward pass,
  so that neither pass holds [B, T, V]: at most a few of [B, chunk, V].

  Args:
    hidden_BTD: float; position t predicts targets_BT[:, t].
    unembed_DV: float; cast to hidden's type chunk by chunk, so that the
      gradient of float32 weights is summed over the chunks in float32.
    targets_BT: int32.
    temperature: divides the logits, as in sampling.
    chunk: positions of T at a time; T need not be a multiple.

  Returns:
    logprobs_BT, float32, and entropy_BT in nats, float32, without gradient.

  Raises:
    ValueError: temperature is not positive, or chunk is below 1.
  """
  if temperature <= 0 or chunk < 1:
    raise ValueError(f'{temperature=} must be positive, {chunk=} at least 1.')
  chex.assert_rank([hidden_BTD, unembed_DV, targets_BT], [3, 2, 2])
  chex.assert_type([hidden_BTD, unembed_DV, targets_BT], [float, float, int])
  chex.assert_equal_shape_prefix([hidden_BTD, targets_BT], 2)
  B, T = targets_BT.shape
  chunk = min(chunk, T)
  chunks = -(-T // chunk)

  def split(x):  # [B, T, ...] -> [chunks, B, chunk, ...]
    tail = [(0, 0)] * (x.ndim - 2)
    x = jnp.pad(x, [(0, 0), (0, chunks * chunk - T), *tail])
    return jnp.moveaxis(x.reshape(B, chunks, chunk, *x.shape[2:]), 1, 0)

  def join(x):
    return jnp.moveaxis(x, 0, 1).reshape(B, chunks * chunk)[:, :T]

  @jax.checkpoint
  def of_chunk(inputs):
    hidden, targets = inputs
    logits = jnp.einsum(
      'btd,dv->btv',
      hidden,
      unembed_DV.astype(hidden.dtype),
      preferred_element_type=jnp.float32,
    )
    logits = logits / temperature
    logprobs, normaliser = _pick(logits, targets)
    probs = jnp.exp(logits - normaliser[..., None])
    entropy = normaliser - jnp.sum(probs * logits, axis=-1)
    return logprobs, jax.lax.stop_gradient(entropy)

  parts = jax.lax.map(of_chunk, (split(hidden_BTD), split(targets_BT)))
  logprobs_BT, entropy_BT = jax.tree.map(join, parts)
  return logprobs_BT, entropy_BT
