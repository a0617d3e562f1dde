"""The trajectory head and the value head read what they may read."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from coderl.models import heads, transformer

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)

CONFIG = transformer.ModelConfig(
  vocab_size=11,
  num_layers=1,
  d_model=8,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=12,
)
B, T, M, C = 2, 7, 3, 4


@functools.cache
def setup():
  rng = np.random.default_rng(0)
  params = nn.unbox(
    jax.jit(heads.init_trajectory, static_argnums=1)(
      jax.random.key(0), heads.HeadConfig(CONFIG.d_model, C)
    )
  )
  policy = nn.unbox(
    jax.jit(transformer.init, static_argnums=1)(jax.random.key(1), CONFIG)
  )
  hidden = jnp.asarray(rng.normal(size=(B, T, CONFIG.d_model)), jnp.float32)
  queries = np.array([[5, 0, 2], [3, 3, 6]])
  values = rng.integers(0, 11, (B, M, C))
  return params, policy, hidden, queries, values


def test_an_output_sees_only_the_earlier_tokens():
  params, policy, hidden, queries, values = setup()
  states = jax.jit(
    lambda v: heads.trajectory_states(
      params, policy, CONFIG, hidden, queries, v
    )
  )
  out = states(values)
  for c in range(C):
    changed = values.copy()
    changed[..., c] = (changed[..., c] + 1) % 11
    other = states(changed)
    moved_C = np.any(np.asarray(out) != np.asarray(other), axis=(0, 1, 3))
    np.testing.assert_array_equal(moved_C, np.arange(C) == c + 1)


def test_first_output_reads_no_token():
  params, policy, hidden, queries, values = setup()

  def first(table):
    return heads.trajectory_states(
      params, policy | {'embedding': table}, CONFIG, hidden, queries, values
    )[:, :, 0].sum()

  assert not np.any(jax.grad(first)(policy['embedding']))


def test_only_the_hidden_states_at_the_queries_are_read():
  params, policy, hidden, queries, values = setup()

  def read(hidden):
    states = heads.trajectory_states(
      params, policy, CONFIG, hidden, queries, values
    )
    return jnp.sum(states**3, axis=(2, 3))

  jacobian_BMBTD = jax.jit(jax.jacrev(read))(hidden)
  reads_BMBT = np.any(jacobian_BMBTD != 0, axis=-1)
  expected_BMBT = np.zeros((B, M, B, T), bool)
  b, m = np.indices((B, M))
  expected_BMBT[b, m, b, queries] = True
  np.testing.assert_array_equal(reads_BMBT, expected_BMBT)


def test_values_start_at_zero_and_can_be_trained():
  hidden = jax.random.normal(jax.random.key(0), (B, T, 8))
  params = nn.unbox(heads.init_value(jax.random.key(1), 8))

  def values(p):
    return heads.ValueHead().apply({'params': p}, hidden)

  assert values(params).shape == (B, T)
  assert not np.any(values(params))
  grads = jax.grad(lambda p: values(p)[0, 0])(params)
  np.testing.assert_allclose(grads['out']['kernel'][:, 0], hidden[0, 0])
