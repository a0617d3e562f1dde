"""A decoder-only transformer: Qwen 2 and 3, Llama 3, Gemma 3 by its config.

Blocks of grouped-query attention with rotary positions and a gated MLP, layers
scanned. A block does not know what it attends to: the caller hands it a
function of queries, keys and values. Training and prefill attend within whole
sequences (here), decoding to a cache (cache.py).
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp
import numpy as np

from coderl import types
from coderl.distributed import sharding
from coderl.models import attention

Array = types.Array
# cos and sin of a position's angles, [B, T, 1, H/2] each.
Rotary = tuple[Array, Array]
# (q_BTNH, k_BTKH, v_BTKH) -> (attended_BTNH, what the block hands back).
Attend = Callable[[Array, Array, Array], tuple[Array, Any]]

GLOBAL, LOCAL = 'global', 'local'
ACTIVATIONS = {
  'silu': nn.silu,
  'gelu_tanh': lambda x: nn.gelu(x, approximate=True),
}


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """How rotary frequencies are slowed for contexts longer than trained on.

  kind: 'linear' divides them all by `factor`; 'llama3' (Llama 3.1) those whose
    wavelength is long, and blends in between.
  low_freq_factor, high_freq_factor, original_len_tokens: of 'llama3' alone.
  """

  kind: str
  factor: float
  low_freq_factor: float = 1.0
  high_freq_factor: float = 4.0
  original_len_tokens: int = 8192


# Weights of a block that adapters may change.
WEIGHTS = ('q', 'k', 'v', 'o', 'gate', 'up', 'down')


@dataclasses.dataclass(frozen=True)
class Lora:
  """Adapters (arXiv 2106.09685): w + alpha / rank a b, with w frozen.

  targets: of WEIGHTS.
  """

  rank: int
  alpha: float
  targets: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and numerics of a policy; families differ in these fields alone.

  max_len_tokens: the longest context it was made for.
  rope_scaling: of the global layers.
  qk_norm: norms of queries and keys, a head at a time (Qwen 3, Gemma 3).
  post_norms: norms after attention and MLP too (Gemma).
  norm_offset: norms scale by 1 + w (Gemma).
  activation: of the MLP's gate, a name in ACTIVATIONS.
  scaled_embeddings: inputs are multiplied by sqrt(D) (Gemma).
  query_scale: what scores are multiplied by; None is 1 / sqrt(H).
  layer_pattern: 'global' or 'local', repeated over the layers; the shortest
    such period, so that equal models have equal configs.
  sliding_window: tokens that a local layer sees, its own included.
  local_rope_theta: rotary base of the local layers.
  remat: what of a block is stored for the backward pass, a name in REMAT.
  attention: how whole sequences attend, a name in attention.METHODS.
  lora: adapters beside the weights; see lora.py.
  dtype: of activations and of the weights as used; param_dtype: as stored.
  """

  vocab_size: int
  num_layers: int
  d_model: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  mlp_dim: int
  max_len_tokens: int = 32768
  rope_theta: float = 1e4
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-6
  qkv_bias: bool = True
  qk_norm: bool = False
  post_norms: bool = False
  norm_offset: bool = False
  activation: str = 'silu'
  scaled_embeddings: bool = False
  tied_embeddings: bool = True
  query_scale: float | None = None
  layer_pattern: tuple[str, ...] = (GLOBAL,)
  sliding_window: int = 0
  local_rope_theta: float = 1e4
  remat: str = 'off'
  attention: str = attention.PLAIN
  lora: Lora | None = None
  dtype: str = 'float32'
  param_dtype: str = 'float32'

  def layer_kinds(self) -> tuple[str, ...]:
    """GLOBAL or LOCAL of each layer."""
    period = len(self.layer_pattern)
    return tuple(self.layer_pattern[i % period] for i in range(self.num_layers))


def positions(segments_BT: Array) -> Array:
  """Rotary positions: the first token of every segment is at 0."""
  segments_BT = segments_BT.astype(jnp.int32)
  before_BT = jnp.pad(segments_BT[:, :-1], ((0, 0), (1, 0)))
  at_T = jnp.arange(segments_BT.shape[1])
  first_BT = jnp.where(segments_BT != before_BT, at_T, 0)
  return jnp.where(segments_BT > 0, at_T - jax.lax.cummax(first_BT, axis=1), 0)


def frequencies(
  theta: float, head_dim: int, scaling: RopeScaling | None
) -> np.ndarray:
  """Radians a position, [H/2] float32, of RoPE (arXiv 2104.09864).

  With 'llama3' scaling, after "The Llama 3 Herd of Models" (arXiv 2407.21783):
  wavelengths beyond original_len / low_freq_factor are stretched by `factor`,
  those below original_len / high_freq_factor are kept.
  """
  half = head_dim // 2
  base_H = theta ** (-np.arange(half, dtype=np.float32) / half)
  if scaling is None:
    return base_H
  if scaling.kind == 'linear':
    return base_H / np.float32(scaling.factor)
  turns_H = scaling.original_len_tokens * base_H / (2 * np.pi)
  low, high = scaling.low_freq_factor, scaling.high_freq_factor
  kept_H = np.clip((turns_H - low) / (high - low), 0, 1)
  scaled_H = (1 - kept_H) * base_H / scaling.factor + kept_H * base_H
  return scaled_H.astype(np.float32)


def rotaries(config: ModelConfig, positions_BT: Array) -> dict[str, Rotary]:
  """The rotary tables of each kind of layer there is."""
  base = {
    GLOBAL: (config.rope_theta, config.rope_scaling),
    LOCAL: (config.local_rope_theta, None),
  }
  tables = {}
  for kind in sorted(set(config.layer_kinds())):
    theta, scaling = base[kind]
    frequency_H = frequencies(theta, config.head_dim, scaling)
    angle_BT1H = positions_BT[:, :, None, None] * frequency_H
    tables[kind] = jnp.cos(angle_BT1H), jnp.sin(angle_BT1H)
  return tables


def rotate(x_BTNH: Array, rotary: Rotary) -> Array:
  """Rotary position embedding, halves convention of Hugging Face."""
  cos, sin = rotary
  a, b = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate(
    [a * cos - b * sin, b * cos + a * sin], axis=-1
  ).astype(x_BTNH.dtype)


def project(x: Array, w: Array, axes: int = 1) -> Array:
  """Contracts the last axes of x with the first of w, as one flat matmul.

  Of two axes, the gradient of an einsum is nearly twice as slow on CPU.
  """
  flat = x.reshape(-1, math.prod(w.shape[:axes])) @ w.reshape(
    math.prod(w.shape[:axes]), -1
  )
  return flat.reshape(*x.shape[: x.ndim - axes], *w.shape[axes:])


def low_rank(a: Array, b: Array, lora: Lora) -> Array:
  """The change of a weight that its adapters make."""
  return jnp.tensordot(a, b, 1) * (lora.alpha / lora.rank)


class RMSNorm(nn.Module):
  """Root-mean-square norm (arXiv 1910.07467), statistics in float32."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x: Array) -> Array:
    c = self.config
    init = nn.initializers.zeros if c.norm_offset else nn.initializers.ones
    scale = self.param(
      'scale',
      nn.with_logical_partitioning(init, ('norm',)),
      (x.shape[-1],),
      c.param_dtype,
    )
    x32 = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
    y32 = x32 * jax.lax.rsqrt(mean_square + c.norm_eps)
    # Each family rounds where its reference does.
    if c.norm_offset:
      return (y32 * (1 + scale.astype(jnp.float32))).astype(x.dtype)
    return y32.astype(x.dtype) * scale.astype(x.dtype)


class Block(nn.Module):
  """One pre-norm layer."""

  config: ModelConfig

  def kernel(self, name, shape, axes, fan_in, inputs=1):
    """A weight, of which the first `inputs` axes are contracted."""
    c = self.config
    init = nn.initializers.normal(fan_in**-0.5)

    def param(name, init, shape, axes):
      init = nn.with_logical_partitioning(init, axes)
      return self.param(name, init, shape, c.param_dtype).astype(c.dtype)

    value = param(name, init, shape, axes)
    if c.lora is None or name not in c.lora.targets:
      return value
    rank, zeros = c.lora.rank, nn.initializers.zeros
    into, out = (shape[:inputs], axes[:inputs]), (shape[inputs:], axes[inputs:])
    a = param(f'{name}_a', init, (*into[0], rank), (*into[1], None))
    b = param(f'{name}_b', zeros, (rank, *out[0]), (None, *out[1]))
    return value + low_rank(a, b, c.lora)

  def bias(self, name, shape, axes):
    init = nn.with_logical_partitioning(nn.initializers.zeros, axes)
    value = self.param(name, init, shape, self.config.param_dtype)
    return value.astype(self.config.dtype)

  def norm(self, name, x):
    return RMSNorm(self.config, name=name)(x)

  def heads(self, name, count, axis, y_BTD):
    """The projection of y to `count` heads: y's queries, keys or values."""
    c = self.config
    shape, axes = (count, c.head_dim), (axis, 'head_dim')
    w = self.kernel(name, (c.d_model, *shape), ('embed', *axes), c.d_model)
    out = project(y_BTD, w)
    if c.qkv_bias:
      out += self.bias(f'{name}_bias', shape, axes)
    return out

  @nn.compact
  def __call__(
    self, x_BTD: Array, rotary: Rotary, attend: Attend
  ) -> tuple[Array, Any]:
    """The layer's output, and what `attend` hands back of this layer."""
    c = self.config
    d, n, h, f = c.d_model, c.num_heads, c.head_dim, c.mlp_dim
    y_BTD = self.norm('attention_norm', x_BTD)
    q_BTNH = self.heads('q', n, 'heads', y_BTD)
    k_BTKH = self.heads('k', c.num_kv_heads, 'kv', y_BTD)
    v_BTKH = self.heads('v', c.num_kv_heads, 'kv', y_BTD)
    if c.qk_norm:
      q_BTNH = self.norm('q_norm', q_BTNH)
      k_BTKH = self.norm('k_norm', k_BTKH)
    att_BTNH, handed = attend(
      rotate(q_BTNH, rotary), rotate(k_BTKH, rotary), v_BTKH
    )
    att_BTNH = checkpoint_name(att_BTNH, 'attended')
    o = self.kernel(
      'o', (n, h, d), ('heads', 'head_dim', 'embed'), n * h, inputs=2
    )
    out_BTD = project(att_BTNH, o, axes=2)
    if c.post_norms:
      out_BTD = self.norm('attention_post_norm', out_BTD)
    x_BTD += out_BTD

    y_BTD = self.norm('mlp_norm', x_BTD)
    gate = self.kernel('gate', (d, f), ('embed', 'mlp'), d)
    up = self.kernel('up', (d, f), ('embed', 'mlp'), d)
    down = self.kernel('down', (f, d), ('mlp', 'embed'), f)
    gated_BTF = ACTIVATIONS[c.activation](project(y_BTD, gate))
    out_BTD = project(gated_BTF * project(y_BTD, up), down)
    if c.post_norms:
      out_BTD = self.norm('mlp_post_norm', out_BTD)
    return x_BTD + out_BTD, handed


def embed(table_VD: Array, config: ModelConfig, tokens_BT: Array) -> Array:
  """x_BTD, what the first block reads; the table as `embedding` gives it."""
  x_BTD = sharding.shard_batch(table_VD[tokens_BT])
  if config.scaled_embeddings:
    x_BTD *= jnp.asarray(config.d_model**0.5, x_BTD.dtype)
  return x_BTD


# What of a block's insides is stored for the backward pass; the rest is made
# again. The block's input always is stored.
_POLICIES = jax.checkpoint_policies
REMAT = {
  'off': None,  # All of it.
  'full': _POLICIES.nothing_saveable,
  'dots': _POLICIES.dots_with_no_batch_dims_saveable,
  'attention': _POLICIES.save_only_these_names('attended'),
}


def rematerialised(body: Callable, name: str) -> Callable:
  """The body of a scan over layers, storing what REMAT says."""
  policy = REMAT[name]
  return nn.remat(body, prevent_cse=False, policy=policy) if policy else body


class Transformer(nn.Module):
  """Tokens in, hidden states out; `unembedding` gives the output matrix."""

  config: ModelConfig

  @nn.compact
  def __call__(
    self,
    tokens_BT: Array,
    segments_BT: Array,
  ) -> Array:
    """hidden_BTD after the final norm; see hidden_states."""
    c = self.config
    init = nn.initializers.normal(0.02)
    table_VD = self.param(
      'embedding',
      nn.with_logical_partitioning(init, ('vocab', 'embed')),
      (c.vocab_size, c.d_model),
      c.param_dtype,
    )
    if not c.tied_embeddings:
      self.param(
        'unembedding',
        nn.with_logical_partitioning(init, ('embed', 'vocab')),
        (c.d_model, c.vocab_size),
        c.param_dtype,
      )
    tables = rotaries(c, positions(segments_BT))
    attends = {
      kind: attention.make(
        c.attention,
        segments_BT,
        scale=c.query_scale or c.head_dim**-0.5,
        window=c.sliding_window if kind == LOCAL else 0,
      )
      for kind in tables
    }
    kinds = c.layer_kinds()

    def body(block, x_BTD, is_local, tables):
      if len(set(kinds)) == 1:
        (table,), (whole,) = tables.values(), attends.values()
      else:
        pick = lambda a, b: jnp.where(is_local, a, b)
        table = jax.tree.map(pick, tables[LOCAL], tables[GLOBAL])
        whole = lambda *qkv: jax.lax.cond(
          is_local, attends[LOCAL], attends[GLOBAL], *qkv
        )
      return block(x_BTD, table, lambda *qkv: (whole(*qkv), None))

    stack = nn.scan(
      rematerialised(body, c.remat),
      variable_axes={'params': 0},
      split_rngs={'params': True},
      in_axes=(0, nn.broadcast),
      length=c.num_layers,
      metadata_params={nn.PARTITION_NAME: 'layers'},
    )
    x_BTD, _ = stack(
      Block(c, name='layers'),
      embed(embedding({'embedding': table_VD}, c), c, tokens_BT),
      jnp.array([kind == LOCAL for kind in kinds]),
      tables,
    )
    return RMSNorm(c, name='final_norm')(x_BTD)


def embedding(params: types.Params, config: ModelConfig) -> Array:
  """The input table [V, D] in the compute dtype."""
  table_VD = params['embedding'].astype(config.dtype)
  return sharding.shard_vocabulary(table_VD, axis=0)


def unembedding(params: types.Params, config: ModelConfig) -> Array:
  """The output matrix [D, V] in the compute dtype."""
  if config.tied_embeddings:
    return embedding(params, config).T
  table_DV = params['unembedding'].astype(config.dtype)
  return sharding.shard_vocabulary(table_DV, axis=1)


def hidden_states(
  params: types.Params,
  config: ModelConfig,
  tokens_BT: Array,
  segments_BT: Array,
) -> Array:
  """hidden_BTD; a position sees itself and what precedes it in its segment.

  Args:
    params: the policy's.
    config: static.
    tokens_BT: int32.
    segments_BT: the number of the sequence that a position is of, from 1 up; 0
      is padding. Sequences of a row lie one after the other, padding anywhere.
      A bool says where the one sequence of a row is.
  """
  return Transformer(config).apply({'params': params}, tokens_BT, segments_BT)


def init(key: Array, config: ModelConfig) -> types.Params:
  """Boxed parameters (logical axis names attached); the key is consumed."""
  # Attention has no parameters: what shapes it wants does not matter here.
  config = dataclasses.replace(config, attention=attention.PLAIN)
  tokens = jnp.zeros((1, 2), jnp.int32)
  return Transformer(config).init(key, tokens, tokens + 1)['params']
