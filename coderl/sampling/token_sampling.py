"""Draws tokens from logits: temperature, top-k, top-p, min-p.

The usual ways sort the vocabulary or draw noise for each of its tokens, which
on a CPU costs more than a small policy's forward pass. Here the thresholds of
the filters are found bit by bit, and a draw takes two uniform numbers.
"""

import jax
import jax.numpy as jnp

from coderl import types

Array = types.Array

# Sums over the vocabulary are computed in blocks of this size.
_BLOCK = 256


def kept_threshold(values_BV: Array, weights_BV: Array, amount: float) -> Array:
  """Returns the largest t_B1 such that tokens with value >= t weigh `amount`.

  The bits of t are found one after the other, without a sort. Where all tokens
  together weigh less than `amount`, t is the smallest value.
  """
  bits_BV = jax.lax.bitcast_convert_type(values_BV, jnp.int32)
  # Unsigned integers in the order of the floats.
  order_BV = bits_BV ^ ((bits_BV >> 31) & 0x7FFFFFFF)
  order_BV = order_BV.astype(jnp.uint32) ^ jnp.uint32(1 << 31)

  def try_bit(i, threshold_B1):
    higher_B1 = threshold_B1 | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
    kept_BV = jnp.where(order_BV >= higher_B1, weights_BV, 0)
    enough_B1 = jnp.sum(kept_BV, axis=-1, keepdims=True) >= amount
    return jnp.where(enough_B1, higher_B1, threshold_B1)

  zero_B1 = jnp.zeros((values_BV.shape[0], 1), jnp.uint32)
  threshold_B1 = jax.lax.fori_loop(0, 32, try_bit, zero_B1)
  kept_BV = jnp.where(order_BV >= threshold_B1, values_BV, jnp.inf)
  return jnp.min(kept_BV, axis=-1, keepdims=True)


def filter_logits(
  logits_BV: Array, top_k: int, top_p: float, min_p: float = 0.0
) -> Array:
  """Sets logits outside the top k, the nucleus of mass top_p or min_p to -inf.

  The filters run in this order, each on what the one before it kept. Tokens of
  equal logits are kept or dropped together.
  """
  drop = lambda logits, least: jnp.where(logits < least, -jnp.inf, logits)
  if 0 < top_k < logits_BV.shape[-1]:
    ones_BV = jnp.ones_like(logits_BV)
    logits_BV = drop(logits_BV, kept_threshold(logits_BV, ones_BV, top_k))
  if top_p < 1:
    probs_BV = jax.nn.softmax(logits_BV)
    logits_BV = drop(logits_BV, kept_threshold(logits_BV, probs_BV, top_p))
  if min_p > 0:
    max_B1 = jnp.max(logits_BV, axis=-1, keepdims=True)
    logits_BV = drop(logits_BV, max_B1 + jnp.log(min_p))
  return logits_BV


def _invert_cumulative(weights_BN: Array, uniform_B: Array) -> Array:
  """Returns index_B, drawn in proportion to the weights by inversion."""
  sums_BN = jnp.cumsum(weights_BN, axis=-1)
  level_B1 = uniform_B[:, None] * sums_BN[:, -1:]
  index_B = jnp.sum(sums_BN <= level_B1, axis=-1)
  # Rounding must not lead past the last index of positive weight.
  n = weights_BN.shape[-1]
  last_B = jnp.max(jnp.where(weights_BN > 0, jnp.arange(n), 0), axis=-1)
  return jnp.minimum(index_B, last_B)


def categorical(keys_B: Array, weights_BV: Array) -> Array:
  """Draws one token per sequence in proportion to weights_BV.

  Draws a block of the vocabulary first and then a token within it, with one
  uniform number each. The keys are consumed.
  """
  batch, size = weights_BV.shape
  blocks = -(-size // _BLOCK)
  padded = jnp.pad(weights_BV, ((0, 0), (0, blocks * _BLOCK - size)))
  in_blocks = padded.reshape(batch, blocks, _BLOCK)
  uniform_B2 = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys_B)
  block_B = _invert_cumulative(jnp.sum(in_blocks, axis=-1), uniform_B2[:, 0])
  block = jnp.take_along_axis(in_blocks, block_B[:, None, None], axis=1)[:, 0]
  return block_B * _BLOCK + _invert_cumulative(block, uniform_B2[:, 1])


def sample(
  keys_B: Array,
  logits_BV: Array,
  *,
  temperature: float,
  top_k: int,
  top_p: float,
  min_p: float,
) -> tuple[Array, Array, Array]:
  """Draws one token per sequence and returns its log-probabilities.

  Args:
    keys_B: one key per sequence; consumed.
    logits_BV: float32.
    temperature: divides the logits; 0 takes the most likely token.
    top_k, top_p, min_p: as in `filter_logits`.

  Returns:
    token_B, int32. logprob_B, float32, under the temperature-scaled
    distribution before the filters. drawn_B, float32, under the distribution
    after the filters, from which the token was drawn. At temperature 0 both
    log-probabilities are those before the filters at temperature 1.
  """
  scaled_BV = logits_BV / (temperature or 1.0)
  max_B1 = jnp.max(scaled_BV, axis=-1, keepdims=True)
  weights_BV = jnp.exp(scaled_BV - max_B1)
  kept_BV = weights_BV
  if temperature == 0:
    token_B = jnp.argmax(scaled_BV, axis=-1)
  else:
    kept_BV = filter_logits(scaled_BV, top_k, top_p, min_p)
    kept_BV = jnp.where(kept_BV == -jnp.inf, 0, weights_BV)
    token_B = categorical(keys_B, kept_BV)
  picked_B1 = jnp.take_along_axis(scaled_BV, token_B[:, None], axis=-1)
  logprob_B, drawn_B = (
    (picked_B1 - max_B1)[:, 0] - jnp.log(jnp.sum(odds_BV, axis=-1))
    for odds_BV in (weights_BV, kept_BV)
  )
  return token_B.astype(jnp.int32), logprob_B, drawn_B
