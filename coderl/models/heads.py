"""Heads on the policy's hidden states: trajectory prediction and values."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from coderl import types
from coderl.distributed import sharding
from coderl.models import transformer

Array = types.Array


@dataclasses.dataclass(frozen=True)
class HeadConfig:
  """Sizes of the trajectory head.

  Attributes:
    d_model: width of the hidden states.
    max_value_tokens: number of tokens predicted of each value, at most.
  """

  d_model: int
  max_value_tokens: int


class TrajectoryHead(nn.Module):
  """Predicts a variable's value from the hidden state at its query position.

  The final state of a run is read off the hidden state h of the prompt, so the
  gradient shapes what the policy computes *before* it answers. Token c of the
  value is predicted from h, c, and token c - 1 of the value:

    z_c = rmsnorm(h W_h + E[v_{c-1}] W_e + b_c),  out_c = z_c + mlp(z_c)

  The policy's unembedding turns out_c into a distribution. The gradient of the
  head reaches the policy through h alone. If it reached the embeddings, every
  embedding would move at every step.
  """

  config: HeadConfig

  @nn.compact
  def __call__(
    self, hidden_BTD: Array, queries_BM: Array, previous_BMCD: Array
  ) -> Array:
    """Returns out_BMCD, which the unembedding reads.

    Args:
      hidden_BTD: the policy's final hidden states.
      queries_BM: int32 positions in T.
      previous_BMCD: embeddings of each value's tokens shifted right by one;
        zeros at c = 0.
    """
    d = self.config.d_model
    dense = lambda name, width, axes: nn.Dense(
      width,
      use_bias=False,
      name=name,
      dtype=hidden_BTD.dtype,
      kernel_init=nn.with_logical_partitioning(
        nn.initializers.lecun_normal(), axes
      ),
    )
    query_BMD = jnp.take_along_axis(
      hidden_BTD, queries_BM[:, :, None].astype(jnp.int32), axis=1
    )
    offset_CD = self.param(
      'offset',
      nn.with_logical_partitioning(nn.initializers.normal(0.02), (None, None)),
      (self.config.max_value_tokens, d),
    ).astype(hidden_BTD.dtype)
    z = dense('from_hidden', d, ('embed', None))(query_BMD)[:, :, None]
    z = z + dense('from_previous', d, ('embed', None))(previous_BMCD)
    z = nn.RMSNorm(dtype=hidden_BTD.dtype)(z + offset_CD)
    y = nn.silu(dense('up', 4 * d, ('embed', 'mlp'))(z))
    return z + dense('down', d, ('mlp', 'embed'))(y)


class ValueHead(nn.Module):
  """Predicts the scalar value of each position for PPO; zero at the start."""

  @nn.compact
  def __call__(self, hidden_BTD: Array) -> Array:
    init = nn.with_logical_partitioning(
      nn.initializers.zeros, ('embed', 'value')
    )
    out_BT1 = nn.Dense(1, name='out', kernel_init=init)(
      hidden_BTD.astype(jnp.float32)
    )
    return out_BT1[..., 0]


def init_trajectory(key: Array, config: HeadConfig) -> types.Params:
  """Returns boxed parameters of the trajectory head; consumes the key."""
  d = config.d_model
  return TrajectoryHead(config).init(
    key,
    jnp.zeros((1, 2, d)),
    jnp.zeros((1, 1), jnp.int32),
    jnp.zeros((1, 1, config.max_value_tokens, d)),
  )['params']


def init_value(key: Array, d_model: int) -> types.Params:
  """Returns boxed parameters of the value head; consumes the key."""
  return ValueHead().init(key, jnp.zeros((1, 2, d_model)))['params']


def trajectory_states(
  params: types.Params,
  policy: types.Params,
  config: transformer.ModelConfig,
  hidden_BTD: Array,
  queries_BM: Array,
  values_BMC: Array,
) -> Array:
  """Returns out_BMCD of the trajectory head, teacher-forced on true values."""
  shifted_BMC = jnp.pad(values_BMC, ((0, 0), (0, 0), (1, 0)))[..., :-1]
  table_VD = jax.lax.stop_gradient(transformer.embedding(policy, config))
  is_first_C = jnp.arange(values_BMC.shape[-1]) == 0
  embedded_BMCD = sharding.shard_batch(table_VD[shifted_BMC])
  previous_BMCD = jnp.where(is_first_C[:, None], 0, embedded_BMCD)
  head = HeadConfig(config.d_model, values_BMC.shape[-1])
  return jax.named_call(TrajectoryHead(head).apply, name='trajectory_head')(
    {'params': params}, hidden_BTD, queries_BM, previous_BMCD
  )
