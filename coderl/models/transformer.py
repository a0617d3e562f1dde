"""A decoder-only transformer that covers Qwen 2 and 3, Llama 3 and Gemma 3.

A block has grouped-query attention with rotary positions and a gated MLP. The
layers are scanned. The caller passes a block its attention as a function of
queries, keys and values: training and prefill attend within whole sequences
(here), decoding attends to a cache (cache.py).
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
# Cosine and sine of the rotary angles, [B, T, 1, H/2] each.
Rotary = tuple[Array, Array]
# (q_BTNH, k_BTKH, v_BTKH) -> (attended_BTNH, any output of the layer).
Attend = Callable[[Array, Array, Array], tuple[Array, Any]]

GLOBAL, LOCAL = 'global', 'local'
ACTIVATIONS = {
  'silu': nn.silu,
  'gelu_tanh': lambda x: nn.gelu(x, approximate=True),
}


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """Scaling of rotary frequencies for contexts longer than pretraining's.

  Attributes:
    kind: 'linear' divides all frequencies by `factor`; 'llama3' (Llama 3.1)
      divides the low frequencies and interpolates in between.
    factor: the divisor.
    low_freq_factor: 'llama3' only; see `frequencies`.
    high_freq_factor: 'llama3' only; see `frequencies`.
    original_len_tokens: 'llama3' only; the context length before scaling.
  """

  kind: str
  factor: float
  low_freq_factor: float = 1.0
  high_freq_factor: float = 4.0
  original_len_tokens: int = 8192


# The weights of a block that may have adapters.
WEIGHTS = ('q', 'k', 'v', 'o', 'gate', 'up', 'down')


@dataclasses.dataclass(frozen=True)
class Lora:
  """Adapters (arXiv 2106.09685): w + alpha / rank a b, with w frozen.

  Attributes:
    rank: the inner dimension of a b.
    alpha: scale of the change.
    targets: names in WEIGHTS.
  """

  rank: int
  alpha: float
  targets: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and numerics of a model; families differ in these fields alone.

  Attributes:
    max_len_tokens: the longest context that the model supports.
    rope_scaling: scaling of the global layers.
    qk_norm: whether each head's queries and keys are normed (Qwen 3, Gemma 3).
    post_norms: whether norms follow attention and MLP too (Gemma).
    norm_offset: whether norms scale by 1 + w (Gemma).
    activation: activation of the MLP's gate, a name in ACTIVATIONS.
    scaled_embeddings: whether inputs are multiplied by sqrt(D) (Gemma).
    query_scale: factor of the scores; None means 1 / sqrt(H).
    layer_pattern: 'global' or 'local', repeated over the layers. It is the
      shortest such period, so that equal models have equal configs.
    sliding_window: how many tokens a local layer sees, itself included.
    local_rope_theta: rotary base of the local layers.
    remat: what a block stores for the backward pass, a name in REMAT.
    attention: attention within whole sequences, a name in attention.METHODS.
    lora: adapters beside the weights; see lora.py.
    dtype: dtype of activations, and of the weights in the computation.
    param_dtype: dtype in which the weights are stored.
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
    """Returns the kind of each layer, GLOBAL or LOCAL."""
    period = len(self.layer_pattern)
    return tuple(self.layer_pattern[i % period] for i in range(self.num_layers))


def positions(segments_BT: Array) -> Array:
  """Returns rotary positions; the first token of every segment is at 0."""
  segments_BT = segments_BT.astype(jnp.int32)
  previous_BT = jnp.pad(segments_BT[:, :-1], ((0, 0), (1, 0)))
  index_T = jnp.arange(segments_BT.shape[1])
  start_BT = jnp.where(segments_BT != previous_BT, index_T, 0)
  start_BT = jax.lax.cummax(start_BT, axis=1)
  return jnp.where(segments_BT > 0, index_T - start_BT, 0)


def frequencies(
  theta: float, head_dim: int, scaling: RopeScaling | None
) -> np.ndarray:
  """Returns the radians per position of RoPE (arXiv 2104.09864), float32 [H/2].

  'llama3' scaling follows "The Llama 3 Herd of Models" (arXiv 2407.21783): it
  stretches wavelengths above original_len / low_freq_factor by `factor` and
  keeps those below original_len / high_freq_factor.
  """
  half = head_dim // 2
  base_H = theta ** (-np.arange(half, dtype=np.float32) / half)
  if scaling is None:
    return base_H
  if scaling.kind == 'linear':
    return base_H / np.float32(scaling.factor)
  cycles_H = scaling.original_len_tokens * base_H / (2 * np.pi)
  low, high = scaling.low_freq_factor, scaling.high_freq_factor
  kept_H = np.clip((cycles_H - low) / (high - low), 0, 1)
  scaled_H = (1 - kept_H) * base_H / scaling.factor + kept_H * base_H
  return scaled_H.astype(np.float32)


def rotaries(config: ModelConfig, positions_BT: Array) -> dict[str, Rotary]:
  """Returns the rotary tables by kind of layer."""
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
  """Applies rotary positions, in the half-split layout of Hugging Face."""
  cos, sin = rotary
  a, b = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate(
    [a * cos - b * sin, b * cos + a * sin], axis=-1
  ).astype(x_BTNH.dtype)


def project(x: Array, w: Array, axes: int = 1) -> Array:
  """Contracts the last `axes` axes of x with the first of w, in one matmul.

  For two axes the gradient of an einsum is nearly twice as slow on a CPU.
  """
  flat = x.reshape(-1, math.prod(w.shape[:axes])) @ w.reshape(
    math.prod(w.shape[:axes]), -1
  )
  return flat.reshape(*x.shape[: x.ndim - axes], *w.shape[axes:])


def low_rank(a: Array, b: Array, lora: Lora) -> Array:
  """Returns the change of a weight by its adapters."""
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
    # Each family rounds at the same step as its reference implementation.
    if c.norm_offset:
      return (y32 * (1 + scale.astype(jnp.float32))).astype(x.dtype)
    return y32.astype(x.dtype) * scale.astype(x.dtype)


class Block(nn.Module):
  """One pre-norm layer."""

  config: ModelConfig

  def kernel(self, name, shape, axes, fan_in, inputs=1):
    """Returns a weight with its adapters; the first `inputs` axes contract."""
    c = self.config
    init = nn.initializers.normal(fan_in**-0.5)

    def param(name, init, shape, axes):
      init = nn.with_logical_partitioning(init, axes)
      return self.param(name, init, shape, c.param_dtype).astype(c.dtype)

    value = param(name, init, shape, axes)
    if c.lora is None or name not in c.lora.targets:
      return value
    rank, zeros = c.lora.rank, nn.initializers.zeros
    a_shape, a_axes = (*shape[:inputs], rank), (*axes[:inputs], None)
    b_shape, b_axes = (rank, *shape[inputs:]), (None, *axes[inputs:])
    a = param(f'{name}_a', init, a_shape, a_axes)
    b = param(f'{name}_b', zeros, b_shape, b_axes)
    return value + low_rank(a, b, c.lora)

  def bias(self, name, shape, axes):
    """Returns a bias, zero at the start."""
    init = nn.with_logical_partitioning(nn.initializers.zeros, axes)
    value = self.param(name, init, shape, self.config.param_dtype)
    return value.astype(self.config.dtype)

  def norm(self, name, x):
    """Returns x normed over its last axis."""
    return RMSNorm(self.config, name=name)(x)

  def heads(self, name, count, axis, y_BTD):
    """Projects y_BTD to `count` heads of queries, keys or values."""
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
    """Returns the layer's output and the second result of `attend`."""
    c = self.config
    d, n, h, f = c.d_model, c.num_heads, c.head_dim, c.mlp_dim
    y_BTD = self.norm('attention_norm', x_BTD)
    q_BTNH = self.heads('q', n, 'heads', y_BTD)
    k_BTKH = self.heads('k', c.num_kv_heads, 'kv', y_BTD)
    v_BTKH = self.heads('v', c.num_kv_heads, 'kv', y_BTD)
    if c.qk_norm:
      q_BTNH = self.norm('q_norm', q_BTNH)
      k_BTKH = self.norm('k_norm', k_BTKH)
    att_BTNH, output = attend(
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
    return x_BTD + out_BTD, output


def embed(table_VD: Array, config: ModelConfig, tokens_BT: Array) -> Array:
  """Returns the inputs of the first block; `embedding` gives the table."""
  x_BTD = sharding.shard_batch(table_VD[tokens_BT])
  if config.scaled_embeddings:
    x_BTD *= jnp.asarray(config.d_model**0.5, x_BTD.dtype)
  return x_BTD


# What a block stores for the backward pass, besides its input. The rest is
# computed again.
_POLICIES = jax.checkpoint_policies
REMAT = {
  'off': None,  # Stores everything.
  'full': _POLICIES.nothing_saveable,
  'dots': _POLICIES.dots_with_no_batch_dims_saveable,
  'attention': _POLICIES.save_only_these_names('attended'),
}


def rematerialised(body: Callable, name: str) -> Callable:
  """Returns the body of a layer scan that stores what REMAT names."""
  policy = REMAT[name]
  return nn.remat(body, prevent_cse=False, policy=policy) if policy else body


class Transformer(nn.Module):
  """Maps tokens to hidden states; `unembedding` is the output matrix."""

  config: ModelConfig

  @nn.compact
  def __call__(
    self,
    tokens_BT: Array,
    segments_BT: Array,
  ) -> Array:
    """Returns hidden_BTD after the final norm; see `hidden_states`."""
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
    stack = nn.scan(
      rematerialised(_layer(c, segments_BT), c.remat),
      variable_axes={'params': 0},
      split_rngs={'params': True},
      in_axes=(0, nn.broadcast),
      length=c.num_layers,
      metadata_params={nn.PARTITION_NAME: 'layers'},
    )
    x_BTD, _ = stack(
      Block(c, name='layers'),
      embed(embedding({'embedding': table_VD}, c), c, tokens_BT),
      jnp.array([kind == LOCAL for kind in c.layer_kinds()]),
      tables,
    )
    return RMSNorm(c, name='final_norm')(x_BTD)


def _layer(config: ModelConfig, segments_BT: Array) -> Callable:
  """Returns the body of the scan over layers.

  If there are layers of both kinds, the body selects the rotary table and the
  attention of its layer.
  """
  attends = {
    kind: attention.make(
      config.attention,
      segments_BT,
      scale=config.query_scale or config.head_dim**-0.5,
      window=config.sliding_window if kind == LOCAL else 0,
    )
    for kind in sorted(set(config.layer_kinds()))
  }

  def body(block, x_BTD, is_local, tables):
    if len(attends) == 1:
      (table,), (attend,) = tables.values(), attends.values()
    else:
      select = lambda a, b: jnp.where(is_local, a, b)
      table = jax.tree.map(select, tables[LOCAL], tables[GLOBAL])
      attend = lambda *qkv: jax.lax.cond(
        is_local, attends[LOCAL], attends[GLOBAL], *qkv
      )
    return block(x_BTD, table, lambda *qkv: (attend(*qkv), None))

  return body


def embedding(params: types.Params, config: ModelConfig) -> Array:
  """Returns the input table [V, D] in the compute dtype."""
  table_VD = params['embedding'].astype(config.dtype)
  return sharding.shard_vocabulary(table_VD, axis=0)


def unembedding(params: types.Params, config: ModelConfig) -> Array:
  """Returns the output matrix [D, V] in the compute dtype."""
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
  """Returns hidden_BTD; a position sees the earlier ones of its segment.

  Args:
    params: the policy's parameters.
    config: static.
    tokens_BT: int32.
    segments_BT: the number of each position's segment, from 1 up; 0 is padding.
      The segments of a sequence lie one after the other, padding anywhere. A
      bool array marks the only segment.
  """
  return Transformer(config).apply({'params': params}, tokens_BT, segments_BT)


def init(key: Array, config: ModelConfig) -> types.Params:
  """Returns boxed parameters with logical axis names; consumes the key."""
  # Attention has no parameters, and some methods restrict the shapes.
  config = dataclasses.replace(config, attention=attention.PLAIN)
  tokens = jnp.zeros((1, 2), jnp.int32)
  return Transformer(config).init(key, tokens, tokens + 1)['params']
