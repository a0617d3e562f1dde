"""The transformer one token at a time, against a cache.

In order: `prepare` lays the weights out for decoding, `prefill` runs prompts,
`fill` copies a prompt's keys and values into a slot, `step` runs one token of
every slot. A slot is a row of the batch that holds one sequence at a time: its
prompt in the first P places, left-padded, its response in those that follow.

Layers are unrolled and each has arrays of its own: a scan would copy a layer's
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
  """Parameters in the dtype of their use, a tree a layer."""

  embedding: Array
  unembedding_DV: Array
  final_norm: types.Params
  layers: tuple[types.Params, ...]


class Heads(NamedTuple):
  """Keys or values. values: [B, K, S, H]; scales: [B, K, S, 1] of int8."""

  values: Array
  scales: Array | None


class Cache(NamedTuple):
  """Keys and values of every slot, one array a layer."""

  k: tuple[Heads, ...]
  v: tuple[Heads, ...]


def prepare(params: types.Params, config: transformer.ModelConfig) -> Weights:
  """The weights as decoding reads them; norms stay as they are stored."""

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
  """logits_BV, summed and kept in float32 as in training."""
  return jnp.einsum(
    'bd,dv->bv',
    hidden_BD,
    weights.unembedding_DV,
    preferred_element_type=jnp.float32,
  )


def stored(x_BKSH: Array, dtype: str) -> Heads:
  """As the cache keeps them; int8 with a scale for each position and head."""
  if dtype != 'int8':
    return Heads(x_BKSH.astype(dtype), None)
  x32 = x_BKSH.astype(jnp.float32)
  scales = jnp.max(jnp.abs(x32), axis=-1, keepdims=True) / 127
  whole = jnp.round(x32 / jnp.maximum(scales, jnp.finfo(jnp.float32).tiny))
  return Heads(whole.astype(jnp.int8), scales)


def empty(
  slots: int, length: int, config: transformer.ModelConfig, dtype: str
) -> Cache:
  """A cache of zeros."""
  shape = (slots, config.num_kv_heads, length, config.head_dim)
  zeros = lambda _: stored(jnp.zeros(shape), dtype)
  layers = range(config.num_layers)
  return Cache(tuple(map(zeros, layers)), tuple(map(zeros, layers)))


def prefill(
  weights: Weights,
  config: transformer.ModelConfig,
  prompts_UP: Array,
  valid_UP: Array,
  dtype: str,
) -> tuple[Array, Cache]:
  """(hidden_UD of the prompts' last tokens, their cache with S = P)."""

  def attend(kind):
    # Left-padded, and short beside responses: the plain method does.
    of_kind = attention.make(
      attention.PLAIN,
      valid_UP,
      scale=config.query_scale or config.head_dim**-0.5,
      window=config.sliding_window if kind == transformer.LOCAL else 0,
    )

    def whole(q_BTNH, k_BTKH, v_BTKH):
      out = of_kind(q_BTNH, k_BTKH, v_BTKH)
      kept = (stored(a.swapaxes(1, 2), dtype) for a in (k_BTKH, v_BTKH))
      return out, tuple(kept)

    return whole

  hidden_UPD, kv = _run(
    weights,
    config,
    prompts_UP,
    transformer.positions(valid_UP),
    [attend(kind) for kind in config.layer_kinds()],
  )
  return hidden_UPD[:, -1], Cache(*map(tuple, zip(*kv, strict=True)))


def fill(cache: Cache, slot: Array, prompts: Cache, prompt: Array) -> Cache:
  """The cache with a prompt's keys and values at the start of a slot."""

  def copy(to, of):
    row = jax.lax.dynamic_index_in_dim(of, prompt, keepdims=True)
    return jax.lax.dynamic_update_slice(to, row, (slot, 0, 0, 0))

  return jax.tree.map(copy, cache, prompts)


def step(
  weights: Weights,
  config: transformer.ModelConfig,
  token_B: Array,
  start_B: Array,
  at_B: Array,
  cache: Cache,
  width: int,
) -> tuple[Array, Cache]:
  """Runs one token of every slot.

  Args:
    weights: of `prepare`.
    config: static.
    token_B: int32.
    start_B: the place of the first token of the slot's sequence.
    at_B: the place of this token, at least start_B.
    cache: what came before.
    width: static; places beyond are not read: at_B < width.

  Returns:
    hidden_BD after the final norm, and the cache with the new keys and values.
  """
  slots_B = jnp.arange(token_B.shape[0])
  places_S = jnp.arange(width)
  seen_BS = (places_S >= start_B[:, None]) & (places_S <= at_B[:, None])
  near_BS = at_B[:, None] - places_S < config.sliding_window
  seen = {transformer.GLOBAL: seen_BS, transformer.LOCAL: seen_BS & near_BS}

  def put(heads, x_B1KH):
    new = stored(x_B1KH.swapaxes(1, 2), str(heads.values.dtype))
    return jax.tree.map(
      lambda to, x: to.at[slots_B, :, at_B].set(x[:, :, 0]), heads, new
    )

  def attend(layer, kind):
    def to_cache(q_B1NH, k_B1KH, v_B1KH):
      k = put(cache.k[layer], k_B1KH)
      v = put(cache.v[layer], v_B1KH)
      out = _attention(q_B1NH, k, v, seen[kind], config, width)
      return out, (k, v)

    return to_cache

  hidden_B1D, kv = _run(
    weights,
    config,
    token_B[:, None],
    (at_B - start_B)[:, None],
    [attend(*pair) for pair in enumerate(config.layer_kinds())],
  )
  return hidden_B1D[:, 0], Cache(*map(tuple, zip(*kv, strict=True)))


def _attention(
  q_B1NH: Array,
  k: Heads,
  v: Heads,
  seen_BS: Array,
  config: transformer.ModelConfig,
  width: int,
) -> Array:
  """[B, 1, N, H]: attention of one token to the first `width` places."""
  batch, _, heads, size = q_B1NH.shape
  scale = config.query_scale or size**-0.5
  # The queries of one KV head are the rows of a matmul with its keys.
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
  scores = jnp.where(seen_BS[:, None, None], scores, jnp.finfo(f32).min)
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
  """(hidden_BTD, what each layer's `attend` handed back)."""
  x_BTD = transformer.embed(weights.embedding, config, tokens_BT)
  tables = transformer.rotaries(config, positions_BT)
  block = transformer.Block(config)
  handed = []
  for layer, kind, attend in zip(
    weights.layers, config.layer_kinds(), attends, strict=True
  ):
    x_BTD, of_layer = block.apply(
      {'params': layer}, x_BTD, tables[kind], attend
    )
    handed.append(of_layer)
  final_norm = transformer.RMSNorm(config)
  return final_norm.apply({'params': weights.final_norm}, x_BTD), handed
