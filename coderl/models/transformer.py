"""A decoder-only transformer of the Qwen2 / Llama shape.

Pre-norm blocks of grouped-query attention with rotary positions and a SwiGLU
MLP, layers scanned. One module serves three callers: training and prefill see
whole sequences, decoding sees one token and a two-part cache: the prompt's
keys and values, kept once per prompt and read by its whole group, and the
response's, one row per sample.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from coderl import sharding, types

Array = types.Array


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and numerics of a policy; families differ in these fields alone.

  remat: recompute each block in the backward pass instead of storing it.
  dtype: of activations and of the weights as used; param_dtype: as stored.
  """

  vocab_size: int
  num_layers: int
  d_model: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  mlp_dim: int
  rope_theta: float = 1e4
  norm_eps: float = 1e-6
  qkv_bias: bool = True
  tied_embeddings: bool = True
  remat: bool = False
  dtype: str = 'float32'
  param_dtype: str = 'float32'


PRESETS: Mapping[str, ModelConfig] = {
  'tiny': ModelConfig(
    vocab_size=1024,
    num_layers=4,
    d_model=128,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    mlp_dim=512,
  ),
  'small': ModelConfig(
    vocab_size=1024,
    num_layers=9,
    d_model=576,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    mlp_dim=1536,
  ),
  'qwen2.5-coder-1.5b': ModelConfig(
    vocab_size=151936,
    num_layers=28,
    d_model=1536,
    num_heads=12,
    num_kv_heads=2,
    head_dim=128,
    mlp_dim=8960,
    rope_theta=1e6,
    remat=True,
    dtype='bfloat16',
  ),
  'qwen2.5-coder-7b': ModelConfig(
    vocab_size=152064,
    num_layers=28,
    d_model=3584,
    num_heads=28,
    num_kv_heads=4,
    head_dim=128,
    mlp_dim=18944,
    rope_theta=1e6,
    tied_embeddings=False,
    remat=True,
    dtype='bfloat16',
  ),
}


class Cache(NamedTuple):
  """Keys and values seen so far, for decoding.

  prefix_k, prefix_v: [L, B/G, P, K, H], of the prompts, one per group.
  prefix_valid: [B/G, P], False on padding.
  k, v: [L, B, S, K, H], of the response tokens; slots below `length` are set.
  length: int32 scalar.
  """

  prefix_k: Array
  prefix_v: Array
  prefix_valid: Array
  k: Array
  v: Array
  length: Array


def positions(valid_BT: Array) -> Array:
  """Rotary positions of left-padded rows: the first real token is at 0."""
  return jnp.maximum(jnp.cumsum(valid_BT, axis=1) - 1, 0)


def rotate(x_BTNH: Array, positions_BT: Array, theta: float) -> Array:
  """Rotary position embedding (arXiv 2104.09864), halves convention of HF."""
  half = x_BTNH.shape[-1] // 2
  frequency_H = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angle_BT1H = positions_BT[:, :, None, None] * frequency_H
  cos, sin = jnp.cos(angle_BT1H), jnp.sin(angle_BT1H)
  a, b = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate(
    [a * cos - b * sin, b * cos + a * sin], axis=-1
  ).astype(x_BTNH.dtype)


def cached_attention(
  q_BTNH: Array, k_BTKH: Array, v_BTKH: Array, cache: Cache, layer: Array
) -> tuple[Array, Cache]:
  """Attention of one new token (T = 1) over prompt and response.

  The G samples of a prompt are folded into the query axis, so that the
  prompt's keys are read once per group.

  Returns:
    The attended values [B, 1, N, H] and the cache with the new key and value.
  """
  at = (layer, 0, cache.length, 0, 0)
  new_k = jax.lax.dynamic_update_slice(cache.k, k_BTKH[None], at)
  new_v = jax.lax.dynamic_update_slice(cache.v, v_BTKH[None], at)
  pick = lambda a: jax.lax.dynamic_index_in_dim(a, layer, keepdims=False)
  prefix_k, prefix_v = pick(cache.prefix_k), pick(cache.prefix_v)
  k_BSKH, v_BSKH = pick(new_k), pick(new_v)

  batch, _, heads, width = q_BTNH.shape
  groups, prefix_len, kv_heads, _ = prefix_k.shape
  q = q_BTNH.reshape(groups, batch // groups, kv_heads, -1, width) * width**-0.5
  # Axes of the two score blocks: group u, sample g, KV head k, query n.
  near = q.reshape(batch, kv_heads, -1, width)
  shape = (*q.shape[:-1], -1)
  f32 = jnp.float32
  far_scores = jnp.einsum(
    'ugknh,upkh->ugknp', q, prefix_k, preferred_element_type=f32
  )
  near_scores = jnp.einsum(
    'bknh,bskh->bkns', near, k_BSKH, preferred_element_type=f32
  ).reshape(shape)
  low = jnp.finfo(f32).min
  seen_S = jnp.arange(k_BSKH.shape[1]) <= cache.length
  far_scores = jnp.where(
    cache.prefix_valid[:, None, None, None], far_scores, low
  )
  near_scores = jnp.where(seen_S, near_scores, low)
  weights = jax.nn.softmax(
    jnp.concatenate([far_scores, near_scores], axis=-1), axis=-1
  ).astype(q.dtype)
  far, near = jnp.split(weights, [prefix_len], axis=-1)
  out = jnp.einsum('ugknp,upkh->ugknh', far, prefix_v)
  out += jnp.einsum(
    'bkns,bskh->bknh', near.reshape(batch, kv_heads, -1, near.shape[-1]), v_BSKH
  ).reshape(out.shape)
  return out.reshape(batch, 1, heads, width), cache._replace(k=new_k, v=new_v)


def project(x: Array, w: Array, axes: int = 1) -> Array:
  """Contracts the last axes of x with the first of w, as one flat matmul.

  Of two axes, the gradient of an einsum is nearly twice as slow on CPU.
  """
  flat = x.reshape(-1, math.prod(w.shape[:axes])) @ w.reshape(
    math.prod(w.shape[:axes]), -1
  )
  return flat.reshape(*x.shape[: x.ndim - axes], *w.shape[axes:])


class Block(nn.Module):
  """One pre-norm layer; the body of the scan over layers."""

  config: ModelConfig
  keep_kv: bool

  def kernel(self, name, shape, axes, fan_in):
    init = nn.initializers.normal(fan_in**-0.5)
    value = self.param(
      name,
      nn.with_logical_partitioning(init, axes),
      shape,
      self.config.param_dtype,
    )
    return value.astype(self.config.dtype)

  def bias(self, name, shape, axes):
    init = nn.with_logical_partitioning(nn.initializers.zeros, axes)
    value = self.param(name, init, shape, self.config.param_dtype)
    return value.astype(self.config.dtype)

  def norm(self, name, x_BTD):
    return RMSNorm(self.config, name=name)(x_BTD)

  @nn.compact
  def __call__(self, carry, layer, positions_BT, mask_BTT):
    c = self.config
    x_BTD, cache = carry
    d, n, k, h = c.d_model, c.num_heads, c.num_kv_heads, c.head_dim

    y_BTD = self.norm('attention_norm', x_BTD)
    qkv = []
    for name, heads, axis in (
      ('q', n, 'heads'),
      ('k', k, 'kv'),
      ('v', k, 'kv'),
    ):
      w = self.kernel(name, (d, heads, h), ('embed', axis, 'head_dim'), d)
      out = project(y_BTD, w)
      if c.qkv_bias:
        out += self.bias(f'{name}_bias', (heads, h), (axis, 'head_dim'))
      qkv.append(out)
    q, k_BTKH, v_BTKH = qkv
    q = rotate(q, positions_BT, c.rope_theta)
    k_BTKH = rotate(k_BTKH, positions_BT, c.rope_theta)
    if cache is None:
      att = jax.nn.dot_product_attention(
        q, k_BTKH, v_BTKH, mask=mask_BTT[:, None]
      )
    else:
      att, cache = cached_attention(q, k_BTKH, v_BTKH, cache, layer)
    o = self.kernel('o', (n, h, d), ('heads', 'head_dim', 'embed'), n * h)
    x_BTD += project(att, o, axes=2)

    y_BTD = self.norm('mlp_norm', x_BTD)
    gate = self.kernel('gate', (d, c.mlp_dim), ('embed', 'mlp'), d)
    up = self.kernel('up', (d, c.mlp_dim), ('embed', 'mlp'), d)
    down = self.kernel('down', (c.mlp_dim, d), ('mlp', 'embed'), c.mlp_dim)
    hidden_BTF = nn.silu(project(y_BTD, gate)) * project(y_BTD, up)
    x_BTD += project(hidden_BTF, down)
    return (x_BTD, cache), ((k_BTKH, v_BTKH) if self.keep_kv else None)


class RMSNorm(nn.Module):
  """Root-mean-square norm (arXiv 1910.07467), statistics in float32."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: Array) -> Array:
    scale_D = self.param(
      'scale',
      nn.with_logical_partitioning(nn.initializers.ones, ('norm',)),
      (x_BTD.shape[-1],),
      self.config.param_dtype,
    )
    x32 = x_BTD.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
    y = x32 * jax.lax.rsqrt(mean_square + self.config.norm_eps)
    return y.astype(x_BTD.dtype) * scale_D.astype(x_BTD.dtype)


class Transformer(nn.Module):
  """Tokens in, hidden states out; `unembedding` gives the output matrix."""

  config: ModelConfig

  @nn.compact
  def __call__(
    self,
    tokens_BT: Array,
    positions_BT: Array,
    mask_BTT: Array | None = None,
    *,
    cache: Cache | None = None,
    keep_kv: bool = False,
  ):
    """Runs the stack.

    Args:
      tokens_BT: int32; T = 1 with a cache.
      positions_BT: int32 rotary positions.
      mask_BTT: True where query (middle axis) may see key (last axis);
        without a cache only.
      cache: what was seen before; its `length` grows by one.
      keep_kv: also return the keys and values, for the prefill.

    Returns:
      (hidden_BTD after the final norm, cache or None, (k, v) of shape
      [L, B, T, K, H] or None).
    """
    c = self.config
    init = nn.initializers.normal(0.02)
    table_VD = self.param(
      'embedding',
      nn.with_logical_partitioning(init, ('vocab', 'embed_table')),
      (c.vocab_size, c.d_model),
      c.param_dtype,
    )
    if not c.tied_embeddings:
      self.param(
        'unembedding',
        nn.with_logical_partitioning(init, ('embed_table', 'vocab')),
        (c.d_model, c.vocab_size),
        c.param_dtype,
      )
    x_BTD = sharding.over_rows(table_VD.astype(c.dtype)[tokens_BT])
    block = nn.remat(Block, prevent_cse=False) if c.remat else Block
    stack = nn.scan(
      block,
      variable_axes={'params': 0},
      split_rngs={'params': True},
      in_axes=(0, nn.broadcast, nn.broadcast),
      length=c.num_layers,
      metadata_params={nn.PARTITION_NAME: 'layers'},
    )(c, keep_kv, name='layers')
    (x_BTD, cache), kv = stack(
      (x_BTD, cache), jnp.arange(c.num_layers), positions_BT, mask_BTT
    )
    if cache is not None:
      cache = cache._replace(length=cache.length + 1)
    return RMSNorm(c, name='final_norm')(x_BTD), cache, kv


def unembedding(params: types.Params, config: ModelConfig) -> Array:
  """The output matrix [D, V] in the compute dtype."""
  if config.tied_embeddings:
    return params['embedding'].T.astype(config.dtype)
  return params['unembedding'].astype(config.dtype)


def hidden_states(
  params: types.Params, config: ModelConfig, tokens_BT: Array, valid_BT: Array
) -> Array:
  """hidden_BTD of left-padded rows; a position sees itself and what precedes.

  Padding rows see themselves alone, so that no softmax is empty.
  """
  t = tokens_BT.shape[1]
  causal_TT = jnp.tril(jnp.ones((t, t), bool))
  mask_BTT = causal_TT & valid_BT[:, None, :] | jnp.eye(t, dtype=bool)
  return Transformer(config).apply(
    {'params': params}, tokens_BT, positions(valid_BT), mask_BTT
  )[0]


def init(key: Array, config: ModelConfig) -> types.Params:
  """Boxed parameters (logical axis names attached); the key is consumed."""
  tokens = jnp.zeros((1, 2), jnp.int32)
  mask = jnp.ones((1, 2, 2), bool)
  return Transformer(config).init(key, tokens, tokens, mask)['params']
