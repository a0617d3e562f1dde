"""Decodes one token at a time with a key-value cache.

In order: `prepare` lays the weights out for decoding, `prefill` runs prompts,
`fill` copies a prompt's keys and values into a slot, `step` runs one token of
every slot. A slot holds one sequence at a time: its prompt in the first P cache
positions, left-padded, and its response in the following ones.

Layers are unrolled and have separate arrays. A scan would copy a layer's
weights and cache out of the stack at every token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from coderl import types
from coderl.models import attention, transformer

Array = types.Array

CACHE_DTYPES = ('float32', 'bfloat16', 'int8')


class Weights(NamedTuple):
  """Parameters in the compute dtype, one tree per layer."""

  embedding: Array
  unembedding_DV: Array
  final_norm: types.Params
  layers: tuple[types.Params, ...]


class Heads(NamedTuple):
  """Keys or values [B, K, S, H]; for int8, scales [B, K, S, 1]."""

  values: Array
  scales: Array | None


class Cache(NamedTuple):
  """Keys and values of every slot, one entry per layer."""

  k: tuple[Heads, ...]
  v: tuple[Heads, ...]


def prepare(params: types.Params, config: transformer.ModelConfig) -> Weights:
  """Returns the weights in the compute dtype; norms keep their dtype."""

  def cast(path, a):
    is_norm = path[-1] == jax.tree_util.DictKey('scale')
    return a if is_norm else a.astype(config.dtype)

  layers = jax.tree_util.tree_map_with_path(cast, params['layers'])
  return Weights(
    transformer.embedding(params, config),
    transformer.unembedding(params, config),
    params['final_norm'],
    tuple(
      jax.tree.map(lambda a, i=i: a[i], layers)
      for i in range(config.num_layers)
    ),
  )


def logits(weights: Weights, hidden_BD: Array) -> Array:
  """Returns logits_BV, accumulated in float32 as in training."""
  return jnp.einsum(
    'bd,dv->bv',
    hidden_BD,
    weights.unembedding_DV,
    preferred_element_type=jnp.float32,
  )


def quantise(x_BKSH: Array, dtype: str) -> Heads:
  """Returns keys or values as the cache stores them.

  int8 has one scale per position and head.
  """
  if dtype != 'int8':
    return Heads(x_BKSH.astype(dtype), None)
  x32 = x_BKSH.astype(jnp.float32)
  scales = jnp.max(jnp.abs(x32), axis=-1, keepdims=True) / 127
  x_int = jnp.round(x32 / jnp.maximum(scales, jnp.finfo(jnp.float32).tiny))
  return Heads(x_int.astype(jnp.int8), scales)


def empty(
  slots: int, length: int, config: transformer.ModelConfig, dtype: str
) -> Cache:
  """Returns a cache of zeros."""
  shape = (slots, config.num_kv_heads, length, config.head_dim)
  zeros = lambda: tuple(
    quantise(jnp.zeros(shape), dtype) for _ in range(config.num_layers)
  )
  return Cache(zeros(), zeros())


def prefill(
  weights: Weights,
  config: transformer.ModelConfig,
  prompts_UP: Array,
  valid_UP: Array,
  dtype: str,
) -> tuple[Array, Cache]:
  """Runs prompts, left-padded in prompts_UP where valid_UP is False.

  Returns:
    hidden_UD of the last tokens, and the prompts' cache with S = P.
  """

  def attend(kind):
    # The plain method is fast enough for prompts and allows left padding.
    attend_sequences = attention.make(
      attention.PLAIN,
      valid_UP,
      scale=config.query_scale or config.head_dim**-0.5,
      window=config.sliding_window if kind == transformer.LOCAL else 0,
    )

    def attend_and_store(q_BTNH, k_BTKH, v_BTKH):
      out = attend_sequences(q_BTNH, k_BTKH, v_BTKH)
      kv = (quantise(a.swapaxes(1, 2), dtype) for a in (k_BTKH, v_BTKH))
      return out, tuple(kv)

    return attend_and_store

  hidden_UPD, kv = _run(
    weights,
    config,
    prompts_UP,
    transformer.positions(valid_UP),
    [attend(kind) for kind in config.layer_kinds()],
  )
  return hidden_UPD[:, -1], Cache(*map(tuple, zip(*kv, strict=True)))


def fill(cache: Cache, slot: Array, prompts: Cache, prompt: Array) -> Cache:
  """Returns the cache with a prompt's keys and values copied into a slot."""

  def copy(target, source):
    entry = jax.lax.dynamic_index_in_dim(source, prompt, keepdims=True)
    return jax.lax.dynamic_update_slice(target, entry, (slot, 0, 0, 0))

  return jax.tree.map(copy, cache, prompts)


def step(
  weights: Weights,
  config: transformer.ModelConfig,
  token_B: Array,
  start_B: Array,
  position_B: Array,
  cache: Cache,
  width: int,
) -> tuple[Array, Cache]:
  """Runs one token of every slot.

  Args:
    weights: the result of `prepare`.
    config: static.
    token_B: int32.
    start_B: the cache position of the first token of the slot's sequence.
    position_B: the cache position of this token, at least start_B.
    cache: the keys and values of the earlier tokens.
    width: static; later cache positions are not read, so position_B < width.

  Returns:
    hidden_BD after the final norm, and the cache with the new keys and values.
  """
  position_B1 = position_B[:, None]
  at_S = jnp.arange(width)
  visible_BS = (at_S >= start_B[:, None]) & (at_S <= position_B1)
  visible = {
    transformer.GLOBAL: visible_BS,
    transformer.LOCAL: visible_BS
    & (position_B1 - at_S < config.sliding_window),
  }

  def attend(layer, kind):
    def to_cache(q_B1NH, k_B1KH, v_B1KH):
      k = _put(cache.k[layer], k_B1KH, position_B)
      v = _put(cache.v[layer], v_B1KH, position_B)
      return _attention(q_B1NH, k, v, visible[kind], config), (k, v)

    return to_cache

  hidden_B1D, kv = _run(
    weights,
    config,
    token_B[:, None],
    position_B1 - start_B[:, None],
    [attend(*pair) for pair in enumerate(config.layer_kinds())],
  )
  return hidden_B1D[:, 0], Cache(*map(tuple, zip(*kv, strict=True)))


def _put(heads: Heads, x_B1KH: Array, position_B: Array) -> Heads:
  """Writes the keys or values of one token per slot to the cache."""
  slots_B = jnp.arange(x_B1KH.shape[0])
  new = quantise(x_B1KH.swapaxes(1, 2), str(heads.values.dtype))
  return jax.tree.map(
    lambda a, x: a.at[slots_B, :, position_B].set(x[:, :, 0]), heads, new
  )


def _attention(
  q_B1NH: Array,
  k: Heads,
  v: Heads,
  visible_BS: Array,
  config: transformer.ModelConfig,
) -> Array:
  """Returns attended_B1NH of one token to the first S cache positions."""
  width = visible_BS.shape[1]
  batch, _, heads, size = q_B1NH.shape
  scale = config.query_scale or size**-0.5
  # Grouped by KV head: one matmul with its keys serves all its queries.
  q_BKGH = q_B1NH.reshape(batch, k.values.shape[1], -1, size)
  f32 = jnp.float32

  def read(heads):
    values = heads.values[:, :, :width].astype(q_BKGH.dtype)
    scales = heads.scales
    return values, None if scales is None else scales[:, :, None, :width, 0]

  k_BKSH, k_scales = read(k)
  v_BKSH, v_scales = read(v)
  scores = jnp.einsum(
    'bkgh,bksh->bkgs', q_BKGH, k_BKSH, preferred_element_type=f32
  )
  scores *= scale if k_scales is None else scale * k_scales
  scores = jnp.where(visible_BS[:, None, None], scores, jnp.finfo(f32).min)
  weights = jax.nn.softmax(scores, axis=-1)
  if v_scales is not None:
    weights *= v_scales
  out = jnp.einsum('bkgs,bksh->bkgh', weights.astype(q_BKGH.dtype), v_BKSH)
  return out.reshape(batch, 1, heads, size)


def _run(
  weights: Weights,
  config: transformer.ModelConfig,
  tokens_BT: Array,
  positions_BT: Array,
  attends: list[transformer.Attend],
) -> tuple[Array, list]:
  """Returns hidden_BTD and the second result of each layer's `attend`."""
  x_BTD = transformer.embed(weights.embedding, config, tokens_BT)
  tables = transformer.rotaries(config, positions_BT)
  block = transformer.Block(config)
  outputs = []
  for layer, kind, attend in zip(
    weights.layers, config.layer_kinds(), attends, strict=True
  ):
    x_BTD, output = block.apply({'params': layer}, x_BTD, tables[kind], attend)
    outputs.append(output)
  final_norm = transformer.RMSNorm(config)
  return final_norm.apply({'params': weights.final_norm}, x_BTD), outputs
