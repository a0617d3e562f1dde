"""Tokens drawn from logits: temperature, top-k, top-p, min-p.

Neither a sort of the vocabulary nor noise for each of its tokens: thresholds
are found bit by bit, and a draw takes two uniform numbers.
"""

import jax
import jax.numpy as jnp

from coderl import types

Array = types.Array

# Sums over the vocabulary go by blocks of this size.
_BLOCK = 256


def least_kept(values_BV: Array, weights_BV: Array, amount: float) -> Array:
  """The largest t_B1 whose values >= t weigh `amount` or more together.

  Found bit by bit, without a sort. Minus infinity where all weigh less.
  """
  bits_BV = jax.lax.bitcast_convert_type(values_BV, jnp.int32)
  # Integers in the order of the floats.
  order_BV = bits_BV ^ ((bits_BV >> 31) & 0x7FFFFFFF)
  order_BV = order_BV.astype(jnp.uint32) ^ jnp.uint32(1 << 31)

  def try_bit(i, found_B1):
    higher_B1 = found_B1 | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
    kept_BV = jnp.where(order_BV >= higher_B1, weights_BV, 0)
    enough_B1 = jnp.sum(kept_BV, axis=-1, keepdims=True) >= amount
    return jnp.where(enough_B1, higher_B1, found_B1)

  zero_B1 = jnp.zeros((values_BV.shape[0], 1), jnp.uint32)
  found_B1 = jax.lax.fori_loop(0, 32, try_bit, zero_B1)
  kept_BV = jnp.where(order_BV >= found_B1, values_BV, jnp.inf)
  return jnp.min(kept_BV, axis=-1, keepdims=True)


def filter_logits(
  logits_BV: Array, top_k: int, top_p: float, min_p: float = 0.0
) -> Array:
  """Minus infinity outside the top k, the nucleus of mass top_p, and min_p.

  One after the other, each of what the one before it left. Ties stay together.
  """
  drop = lambda logits, least: jnp.where(logits < least, -jnp.inf, logits)
  if 0 < top_k < logits_BV.shape[-1]:
    ones_BV = jnp.ones_like(logits_BV)
    logits_BV = drop(logits_BV, least_kept(logits_BV, ones_BV, top_k))
  if top_p < 1:
    probs_BV = jax.nn.softmax(logits_BV)
    logits_BV = drop(logits_BV, least_kept(logits_BV, probs_BV, top_p))
  if min_p > 0:
    most_B1 = jnp.max(logits_BV, axis=-1, keepdims=True)
    logits_BV = drop(logits_BV, most_B1 + jnp.log(min_p))
  return logits_BV


def _draw(weights_BN: Array, uniform_B: Array) -> Array:
  """An index in proportion to weights, by inversion of their running sum."""
  sums_BN = jnp.cumsum(weights_BN, axis=-1)
  level_B1 = uniform_B[:, None] * sums_BN[:, -1:]
  index_B = jnp.sum(sums_BN <= level_B1, axis=-1)
  # Rounding must not lead past the last index that has a weight.
  n = weights_BN.shape[-1]
  last_B = jnp.max(jnp.where(weights_BN > 0, jnp.arange(n), 0), axis=-1)
  return jnp.minimum(index_B, last_B)


def categorical(keys_B: Array, weights_BV: Array) -> Array:
  """A draw a row in proportion to weights_BV; two uniform numbers each.

  First a block of the vocabulary, then a token in it: a draw of noise for
  every token would cost more than the model of a small policy. Keys consumed.
  """
  rows, size = weights_BV.shape
  blocks = -(-size // _BLOCK)
  padded = jnp.pad(weights_BV, ((0, 0), (0, blocks * _BLOCK - size)))
  parts = padded.reshape(rows, blocks, _BLOCK)
  uniform_B2 = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys_B)
  block_B = _draw(jnp.sum(parts, axis=-1), uniform_B2[:, 0])
  inside = jnp.take_along_axis(parts, block_B[:, None, None], axis=1)[:, 0]
  return block_B * _BLOCK + _draw(inside, uniform_B2[:, 1])


def token(
  keys_B: Array,
  logits_BV: Array,
  *,
  temperature: float,
  top_k: int,
  top_p: float,
  min_p: float,
) -> tuple[Array, Array, Array]:
  """One token a row and its log-probabilities; the keys are consumed.

  Args:
    keys_B: one a row.
    logits_BV: float32.
    temperature: divides the logits; 0 takes the most likely token.
    top_k, top_p, min_p: of `filter_logits`.

  Returns:
    token_B, int32; logprob_B, float32, of the temperature-scaled distribution
    before the filters; and drawn_B, float32, of that after them, which the
    token was drawn from. Of the most likely token both are logprob_B.
  """
  scaled_BV = logits_BV / (temperature or 1.0)
  most_B1 = jnp.max(scaled_BV, axis=-1, keepdims=True)
  weights_BV = jnp.exp(scaled_BV - most_B1)
  kept_BV = weights_BV
  if temperature == 0:
    token_B = jnp.argmax(scaled_BV, axis=-1)
  else:
    kept_BV = filter_logits(scaled_BV, top_k, top_p, min_p)
    kept_BV = jnp.where(kept_BV == -jnp.inf, 0, weights_BV)
    token_B = categorical(keys_B, kept_BV)
  picked_B1 = jnp.take_along_axis(scaled_BV, token_B[:, None], axis=-1)
  logprob_B, drawn_B = (
    (picked_B1 - most_B1)[:, 0] - jnp.log(jnp.sum(odds_BV, axis=-1))
    for odds_BV in (weights_BV, kept_BV)
  )
  return token_B.astype(jnp.int32), logprob_B, drawn_B
