"""Laws of the transformer."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.models import transformer

# These programs take long to compile and no time to run.
jax.config.update('jax_disable_most_optimizations', True)

CONFIG = transformer.ModelConfig(
  vocab_size=29,
  num_layers=2,
  d_model=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=8,
  mlp_dim=24,
)


def random_params(config, seed=0):
  """Unboxed parameters, none of them at a special value (zero, one)."""
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, config)), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.1, 0.3, s.shape).astype(np.float32), shapes
  )


PARAMS = random_params(CONFIG)
forward = jax.jit(transformer.hidden_states, static_argnums=1)


def row(length, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, CONFIG.vocab_size, (1, length))


def all_hidden(tokens, params=PARAMS, config=CONFIG):
  return forward(params, config, tokens, np.ones_like(tokens, bool))


def close(a, b):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_position_depends_on_itself_and_the_past_alone():
  tokens = np.arange(6)[None]  # All different, so the table's rows tell them.
  readout = np.random.default_rng(0).normal(size=CONFIG.d_model)

  def read(table):
    return all_hidden(tokens, PARAMS | {'embedding': table})[0] @ readout

  jacobian_TVD = jax.jacrev(read)(PARAMS['embedding'])
  depends_TT = np.any(jacobian_TVD[:, :6] != 0, axis=-1)
  np.testing.assert_array_equal(depends_TT, np.tri(6, dtype=bool))


def test_left_padding_changes_nothing():
  tokens = row(5)
  padded = np.concatenate([row(3, seed=1), tokens], axis=1)
  valid = np.arange(8)[None] >= 3
  hidden = forward(PARAMS, CONFIG, padded, valid)
  close(hidden[:, 3:], all_hidden(tokens))
  padded[:, :3] = 7
  other = forward(PARAMS, CONFIG, padded, valid)
  np.testing.assert_array_equal(other[:, 3:], hidden[:, 3:])
  assert np.all(np.isfinite(hidden))


def test_positions_of_padding_do_not_count():
  valid = np.array([[False, False, True, True], [True, True, True, True]])
  np.testing.assert_array_equal(
    transformer.positions(valid), [[0, 0, 0, 1], [0, 1, 2, 3]]
  )


def test_rotation_is_relative():
  tokens = row(6)
  mask = np.tri(6, dtype=bool)[None]

  @jax.jit
  def at(positions):
    return transformer.Transformer(CONFIG).apply(
      {'params': PARAMS}, tokens, positions[None], mask
    )[0]

  close(at(np.arange(6)), at(11 + np.arange(6)))
  scrambled = at(np.array([0, 2, 1, 3, 4, 5]))
  assert np.abs(scrambled - at(np.arange(6))).max() > 1e-3


def test_decoding_with_a_cache_equals_the_whole_forward():
  groups, samples, p, r = 2, 3, 5, 4
  rng = np.random.default_rng(0)
  prompts = rng.integers(0, 29, (groups, p))
  responses = rng.integers(0, 29, (groups * samples, r))
  valid = np.arange(p)[None] >= np.array([[2], [0]])
  apply = jax.jit(
    transformer.Transformer(CONFIG).apply, static_argnames='keep_kv'
  )
  mask = np.tri(p, dtype=bool) & valid[:, None] | np.eye(p, dtype=bool)
  _, _, (k, v) = apply(
    {'params': PARAMS},
    prompts,
    transformer.positions(valid),
    mask,
    keep_kv=True,
  )
  slots = jnp.zeros((CONFIG.num_layers, groups * samples, r, *k.shape[-2:]))
  cache = transformer.Cache(k, v, valid, slots, slots, jnp.int32(0))
  decoded = []
  for i in range(r):
    at = np.repeat(valid.sum(1), samples)[:, None] + i
    hidden, cache, _ = apply(
      {'params': PARAMS}, responses[:, i : i + 1], at, cache=cache
    )
    decoded.append(hidden[:, 0])
  whole = forward(
    PARAMS,
    CONFIG,
    np.concatenate([np.repeat(prompts, samples, 0), responses], axis=1),
    np.concatenate(
      [np.repeat(valid, samples, 0), np.ones_like(responses, bool)], axis=1
    ),
  )
  close(np.stack(decoded, axis=1), whole[:, p:])


def test_scanned_layers_equal_blocks_in_turn():
  tokens = row(6)
  at, mask = np.arange(6)[None], np.tri(6, dtype=bool)[None]
  carry = PARAMS['embedding'][tokens], None
  for layer in range(CONFIG.num_layers):
    block = jax.tree.map(lambda a, i=layer: a[i], PARAMS['layers'])
    carry, _ = transformer.Block(CONFIG, keep_kv=False).apply(
      {'params': block}, carry, layer, at, mask
    )
  x = transformer.RMSNorm(CONFIG).apply(
    {'params': PARAMS['final_norm']}, carry[0]
  )
  close(all_hidden(tokens), x)


def test_remat_changes_no_value_and_no_gradient():
  tokens = row(6)

  def loss(params, config):
    return jnp.sum(jnp.sin(all_hidden(tokens, params, config)))

  gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  plain = gradient(PARAMS, CONFIG)
  remat = gradient(PARAMS, dataclasses.replace(CONFIG, remat=True))
  jax.tree.map(close, plain, remat)


def test_grouped_queries_equal_repeated_key_value_heads():
  tokens, repeats = row(6), CONFIG.num_heads // CONFIG.num_kv_heads
  layers = dict(PARAMS['layers'])
  for name in ('k', 'v', 'k_bias', 'v_bias'):
    layers[name] = np.repeat(layers[name], repeats, axis=-2)
  config = dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads)
  repeated = all_hidden(tokens, PARAMS | {'layers': layers}, config)
  close(repeated, all_hidden(tokens))


def test_unembedding_is_the_table_only_when_tied():
  np.testing.assert_array_equal(
    transformer.unembedding(PARAMS, CONFIG), PARAMS['embedding'].T
  )
  untied = dataclasses.replace(CONFIG, tied_embeddings=False)
  params = random_params(untied)
  np.testing.assert_array_equal(
    transformer.unembedding(params, untied), params['unembedding']
  )


# The last two are counted from the published configs of Qwen2.5-Coder.
@pytest.mark.parametrize(
  'name, count',
  [
    ('small', 32_459_904),
    ('qwen2.5-coder-1.5b', 1_543_714_304),
    ('qwen2.5-coder-7b', 7_615_616_512),
  ],
)
def test_presets_have_their_number_of_parameters(name, count):
  shapes = jax.eval_shape(
    lambda key: transformer.init(key, transformer.PRESETS[name]),
    jax.random.key(0),
  )
  leaves = jax.tree.leaves(nn.unbox(shapes))
  assert sum(math.prod(leaf.shape) for leaf in leaves) == count
