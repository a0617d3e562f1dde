"""Losses as functions of arrays.

Policy losses, KL estimators and the value loss are per token (loss_BR). An
aggregation turns the mask of the WHOLE batch into weights_BR, and the loss is
sum(weights_BR * loss_BR), so a sum over microbatches is the loss of the batch,
however it was split. Value and gradient of every per-token loss are finite if
its inputs are, so that a weight of zero hides padding.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

Array = jax.Array

# exp(20) is practically infinite for a ratio, but its product with 0 is 0.
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
  """Returns REINFORCE's loss -A log pi, for tokens sampled from pi itself.

  Args:
    logprobs_BR: float, under the policy being trained.
    old_logprobs_BR: float, not read: on policy they equal logprobs_BR.
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
  """Returns PPO's clipped surrogate (arXiv 1707.06347 eq. 7), negated.

  loss = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), r = pi / pi_old.
  clip_high > clip_low is DAPO's clip-higher (arXiv 2503.14476 eq. 10).

  Args:
    logprobs_BR: float, under the policy being trained.
    old_logprobs_BR: float, under the policy that sampled.
    advantages_BR: float.
    clip_low: the ratio is clipped below 1 - clip_low.
    clip_high: the ratio is clipped above 1 + clip_high.
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


def importance_weights(
  logprobs_BR: Array, drawn_logprobs_BR: Array, cap: float
) -> Array:
  """Returns truncated importance weights: min(pi_old / mu, cap).

  They correct for tokens that another distribution mu drew than the policy
  pi_old at the start of the update: a server with its own numerics, weights of
  the step before, or top-p. Truncation bounds the variance (Ionides, 2008; for
  rollout engines, Yao et al., 2025).

  Args:
    logprobs_BR: float, under pi_old.
    drawn_logprobs_BR: float, under mu.
    cap: above 0.

  Returns:
    ratio_BR, by which the weights of the policy's terms are multiplied.
  """
  _check_BR(logprobs_BR, drawn_logprobs_BR)
  return jnp.minimum(_ratio(logprobs_BR - drawn_logprobs_BR), cap)


# Aggregations: types.Aggregation once their settings are bound.


def token_mean(mask: Array) -> Array:
  """Gives every token of the batch the same weight (DAPO, arXiv 2503.14476).

  The mask may have any shape, e.g. that of value tokens (BMC).
  """
  return mask / jnp.maximum(jnp.sum(mask), 1)


def sequence_mean_token_mean(mask_BR: Array) -> Array:
  """Gives every response the same weight (GRPO, arXiv 2402.03300 eq. 3).

  The tokens of a response share its weight. Responses without an unmasked token
  are not counted.
  """
  chex.assert_rank(mask_BR, 2)
  len_B = jnp.sum(mask_BR, axis=1)
  sequences = jnp.maximum(jnp.sum(len_B > 0), 1)
  return mask_BR / jnp.maximum(len_B, 1)[:, None] / sequences


def sequence_mean_token_sum_norm(
  mask_BR: Array, max_len_tokens: int | None = None
) -> Array:
  """Averages token sums, divided by a constant, over responses.

  Dr. GRPO (arXiv 2503.20783): unlike the division by the length, a constant
  does not favour long wrong responses.

  Args:
    mask_BR: bool.
    max_len_tokens: the constant, the length limit of a response. None is R.

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
  """Returns k1 = -log r: unbiased, of high variance, may be negative."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  return logprobs_BR - ref_logprobs_BR


def kl_k2(logprobs_BR: Array, ref_logprobs_BR: Array) -> Array:
  """Returns k2 = (log r)^2 / 2: biased, but its gradient is that of the KL."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  return 0.5 * jnp.square(logprobs_BR - ref_logprobs_BR)


def kl_k3(logprobs_BR: Array, ref_logprobs_BR: Array) -> Array:
  """Returns k3 = r - 1 - log r: unbiased, never negative ('low_var_kl')."""
  _check_BR(logprobs_BR, ref_logprobs_BR)
  log_ratio_BR = ref_logprobs_BR - logprobs_BR
  return _ratio(log_ratio_BR) - 1.0 - log_ratio_BR


KL_ESTIMATORS = {'k1': kl_k1, 'k2': kl_k2, 'k3': kl_k3}


def value_loss(
  values_BR: Array, old_values_BR: Array, returns_BR: Array, clip: float
) -> Array:
  """Returns PPO's clipped value loss: max((V - R)^2, (V_clip - R)^2) / 2.

  V_clip = V_old + clip(V - V_old, -clip, clip): a value that has moved further
  than that towards its return gets no gradient.

  Args:
    values_BR: float, from the value head being trained.
    old_values_BR: float, from the value head at the start of the update.
    returns_BR: float, the regression target.
    clip: in units of the reward.

  Returns:
    loss_BR.
  """
  _check_BR(values_BR, old_values_BR, returns_BR)
  moved_BR = jnp.clip(values_BR - old_values_BR, -clip, clip)
  error_BR = jnp.square(values_BR - returns_BR)
  clipped_error_BR = jnp.square(old_values_BR + moved_BR - returns_BR)
  return 0.5 * jnp.maximum(error_BR, clipped_error_BR)


def _split(x: Array, chunk: int) -> Array:
  """Reshapes [B, T, ...] to [chunks, B, chunk, ...], T padded with zeros."""
  b, t = x.shape[:2]
  chunks = -(-t // chunk)
  padding = [(0, 0), (0, chunks * chunk - t), *[(0, 0)] * (x.ndim - 2)]
  x = jnp.pad(x, padding).reshape(b, chunks, chunk, *x.shape[2:])
  return jnp.moveaxis(x, 1, 0)


def _join(x: Array, t: int) -> Array:
  """Inverts `_split`."""
  x = jnp.moveaxis(x, 0, 1)
  return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :t]


class _Scored(NamedTuple):
  """Scores of N tokens, all float32 but hit_NV.

  Attributes:
    logits_NV: over the vocabulary, divided by the temperature.
    hit_NV: bool, whether the vocabulary entry is the target.
    normaliser_N: log-sum-exp of the logits.
    logprobs_N: of the targets.
    entropy_N: in nats, without gradient.
  """

  logits_NV: Array
  hit_NV: Array
  normaliser_N: Array
  logprobs_N: Array
  entropy_N: Array


def _score(
  hidden_ND: Array, unembed_DV: Array, targets_N: Array, temperature: float
) -> _Scored:
  logits_NV = jnp.einsum(
    'nd,dv->nv',
    hidden_ND,
    unembed_DV.astype(hidden_ND.dtype),
    preferred_element_type=jnp.float32,
  )
  logits_NV = logits_NV / temperature
  # A masked sum instead of a gather: it stays local where V is sharded, and
  # its gradient needs no scatter.
  ids_NV = jax.lax.broadcasted_iota(targets_N.dtype, logits_NV.shape, 1)
  hit_NV = ids_NV == targets_N[:, None]
  picked_N = jnp.sum(jnp.where(hit_NV, logits_NV, 0.0), axis=-1)
  # One exponential serves the normaliser and the entropy.
  max_N1 = jax.lax.stop_gradient(jnp.max(logits_NV, axis=-1, keepdims=True))
  odds_NV = jnp.exp(logits_NV - max_N1)
  sum_N = jnp.sum(odds_NV, axis=-1)
  normaliser_N = max_N1[:, 0] + jnp.log(sum_N)
  entropy_N = normaliser_N - jnp.sum(odds_NV * logits_NV, axis=-1) / sum_N
  return _Scored(
    logits_NV,
    hit_NV,
    normaliser_N,
    picked_N - normaliser_N,
    jax.lax.stop_gradient(entropy_N),
  )


def _check_tokens(hidden_BTD, unembed_DV, targets_BT, temperature, chunk):
  if temperature <= 0 or chunk < 1:
    raise ValueError(f'{temperature=} must be positive, {chunk=} at least 1.')
  chex.assert_rank([hidden_BTD, unembed_DV, targets_BT], [3, 2, 2])
  chex.assert_type([hidden_BTD, unembed_DV, targets_BT], [float, float, int])
  chex.assert_equal_shape_prefix([hidden_BTD, targets_BT], 2)


def token_logprobs(
  hidden_BTD: Array,
  unembed_DV: Array,
  targets_BT: Array,
  *,
  temperature: float,
  chunk: int,
) -> tuple[Array, Array]:
  """Returns log-probabilities and entropies without holding [B, T, V].

  Scans over chunks of T and recomputes a chunk's logits in the backward pass,
  so that either pass holds at most a few arrays [B, chunk, V].

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
  _check_tokens(hidden_BTD, unembed_DV, targets_BT, temperature, chunk)
  t = targets_BT.shape[1]
  chunk = min(chunk, t)

  @jax.checkpoint
  def score_chunk(inputs):
    hidden, targets = inputs
    scored = _score(
      hidden.reshape(-1, hidden.shape[-1]),
      unembed_DV,
      targets.reshape(-1),
      temperature,
    )
    shape = targets.shape
    return scored.logprobs_N.reshape(shape), scored.entropy_N.reshape(shape)

  chunks = jax.lax.map(
    score_chunk, (_split(hidden_BTD, chunk), _split(targets_BT, chunk))
  )
  return jax.tree.map(lambda x: _join(x, t), chunks)


def token_loss(
  loss: Callable[..., Array],
  hidden_BTD: Array,
  unembed_DV: Array,
  targets_BT: Array,
  *others_BT: Array,
  temperature: float,
  chunk: int,
) -> tuple[Array, Array, Array]:
  """Returns sum(loss(logprobs, *others)); the forward pass makes its gradient.

  Works in chunks like `token_logprobs`, but computes a chunk's logits once
  instead of a second time for the gradient. This is possible because the loss
  is a sum over tokens: the gradient with respect to a token's logits is known
  as soon as the logits are.

  Args:
    loss: (logprobs_BC, *others_BC) -> loss_BC, each token separately.
    hidden_BTD, unembed_DV, targets_BT, temperature, chunk: see token_logprobs.
    *others_BT: further inputs of the loss, per token; they get no gradient.

  Returns:
    The sum, and logprobs_BT and entropy_BT, float32, without gradient.

  Raises:
    ValueError: temperature is not positive, or chunk is below 1.
  """
  _check_tokens(hidden_BTD, unembed_DV, targets_BT, temperature, chunk)
  settings = (loss, temperature, min(chunk, targets_BT.shape[1]))
  return _token_loss(settings, hidden_BTD, unembed_DV, targets_BT, others_BT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _token_loss(settings, hidden_BTD, unembed_DV, targets_BT, others_BT):
  return _token_loss_forward(
    settings, hidden_BTD, unembed_DV, targets_BT, others_BT
  )[0]


def _token_loss_forward(
  settings, hidden_BTD, unembed_DV, targets_BT, others_BT
):
  loss, temperature, chunk = settings
  t, dtype = targets_BT.shape[1], hidden_BTD.dtype

  def add_chunk(grad_DV, inputs):
    hidden, real, targets, *others = inputs
    hidden_ND = hidden.reshape(-1, hidden.shape[-1])
    weights_DV = unembed_DV.astype(dtype)
    scored = _score(hidden_ND, weights_DV, targets.reshape(-1), temperature)
    logprobs = scored.logprobs_N.reshape(targets.shape)
    total = lambda logprobs: jnp.sum(
      jnp.where(real, loss(logprobs, *others), 0.0)
    )
    value, back = jax.value_and_grad(total)(logprobs)
    probs_NV = jnp.exp(scored.logits_NV - scored.normaliser_N[:, None])
    back_N1 = back.reshape(-1, 1) / temperature
    back_NV = (back_N1 * (scored.hit_NV - probs_NV)).astype(dtype)
    grad_DV += jnp.einsum(
      'nd,nv->dv', hidden_ND, back_NV, preferred_element_type=jnp.float32
    )
    back_ND = jnp.einsum('nv,dv->nd', back_NV, weights_DV)
    entropy = scored.entropy_N.reshape(targets.shape)
    return grad_DV, (value, logprobs, entropy, back_ND.reshape(hidden.shape))

  real_BT = jnp.ones(targets_BT.shape, bool)
  chunks = jax.tree.map(
    lambda x: _split(x, chunk), (hidden_BTD, real_BT, targets_BT, *others_BT)
  )
  zeros_DV = jnp.zeros(unembed_DV.shape, jnp.float32)
  grad_DV, (values, *outputs) = jax.lax.scan(add_chunk, zeros_DV, chunks)
  logprobs_BT, entropy_BT, back_BTD = (_join(x, t) for x in outputs)
  out = jnp.sum(values), logprobs_BT, entropy_BT
  return out, (back_BTD, grad_DV.astype(unembed_DV.dtype))


def _token_loss_backward(settings, residuals, cotangents):
  del settings
  scale, *_ = cotangents
  back_BTD, grad_DV = (r * scale.astype(r.dtype) for r in residuals)
  return back_BTD, grad_DV, None, None


_token_loss.defvjp(_token_loss_forward, _token_loss_backward)
