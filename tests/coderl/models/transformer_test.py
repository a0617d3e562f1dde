"""The transformer is causal, invariant to padding, and has its options."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.models import presets, transformer

# These programs take longer to compile than to run.
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
# The other fields differ from their defaults; both kinds of layer.
GEMMA = dataclasses.replace(
  CONFIG,
  num_layers=3,
  rope_theta=500.0,
  rope_scaling=transformer.RopeScaling('linear', 2.0),
  qkv_bias=False,
  qk_norm=True,
  post_norms=True,
  norm_offset=True,
  activation='gelu_tanh',
  scaled_embeddings=True,
  query_scale=0.3,
  layer_pattern=('local', 'global'),
  sliding_window=4,
  local_rope_theta=50.0,
)
both_configs = pytest.mark.parametrize('config', [CONFIG, GEMMA])


def random_params(config, seed=0):
  """Draws unboxed parameters, none of them at a special value (zero, one)."""
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, config)), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.1, 0.3, s.shape).astype(np.float32), shapes
  )


PARAMS = random_params(CONFIG)
forward = jax.jit(transformer.hidden_states, static_argnums=1)


def random_tokens(length, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, CONFIG.vocab_size, (1, length))


def all_hidden(tokens, params=PARAMS, config=CONFIG):
  return forward(params, config, tokens, np.ones_like(tokens, bool))


def close(a, b):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def changed(**fields):
  """Returns CONFIG with other fields."""
  return dataclasses.replace(CONFIG, **fields)


def scaled(params, **factors):
  """Returns the parameters with those of the layers scaled by name."""
  layers = params['layers']
  new = {name: layers[name] * factor for name, factor in factors.items()}
  return params | {'layers': layers | new}


def dependence(params, config, length):
  """Returns whether the output (first axis) depends on the token (last)."""
  tokens = np.arange(length)[None]  # All different, one table row each.
  readout = np.random.default_rng(0).normal(size=config.d_model)

  @jax.jit
  @jax.jacrev
  def jacobian(table):
    hidden = all_hidden(tokens, params | {'embedding': table}, config)
    return hidden[0] @ readout

  jacobian_TVD = jacobian(params['embedding'])
  return np.any(jacobian_TVD[:, :length] != 0, axis=-1)


def test_a_position_depends_on_itself_and_the_past_alone():
  depends_TT = dependence(PARAMS, CONFIG, 6)
  np.testing.assert_array_equal(depends_TT, np.tri(6, dtype=bool))


# Windows of two layers add up, less the token that they share.
@pytest.mark.parametrize(
  'pattern, seen',
  [(['local'], 3), (['local'] * 2, 5), (['local', 'global'], 8)],
)
def test_a_local_layer_sees_its_window_alone(pattern, seen):
  config = changed(
    num_layers=len(pattern), layer_pattern=tuple(pattern), sliding_window=3
  )
  depends_TT = dependence(random_params(config), config, 8)
  in_reach_TT = np.tri(8, dtype=bool) & ~np.tri(8, k=-seen, dtype=bool)
  np.testing.assert_array_equal(depends_TT, in_reach_TT)


@both_configs
def test_left_padding_changes_nothing(config):
  params, tokens = random_params(config), random_tokens(6)
  padded = np.concatenate([random_tokens(3, seed=1), tokens], axis=1)
  valid = np.arange(9)[None] >= 3
  hidden = forward(params, config, padded, valid)
  close(hidden[:, 3:], all_hidden(tokens, params, config))
  padded[:, :3] = 7
  other = forward(params, config, padded, valid)
  np.testing.assert_array_equal(other[:, 3:], hidden[:, 3:])
  assert np.all(np.isfinite(hidden))


def test_padding_does_not_count_in_positions():
  valid = np.array([[False, False, True, True], [True, True, True, True]])
  np.testing.assert_array_equal(
    transformer.positions(valid), [[0, 0, 0, 1], [0, 1, 2, 3]]
  )


@both_configs
def test_rotation_is_relative(config):
  rng = np.random.default_rng(0)
  q, k = rng.normal(size=(2, 1, 6, 2, 8)).astype(np.float32)

  @jax.jit
  def scores(positions):
    kind = config.layer_kinds()[0]
    table = transformer.rotaries(config, positions[None])[kind]
    rotated = (transformer.rotate(x, table) for x in (q, k))
    return jnp.einsum('btnh,bsnh->bnts', *rotated)

  close(scores(np.arange(6)), scores(11 + np.arange(6)))
  scrambled = scores(np.array([0, 2, 1, 3, 4, 5]))
  assert np.abs(scrambled - scores(np.arange(6))).max() > 1e-3


@both_configs
def test_packed_segments_do_not_see_one_another(config):
  params, alone = (
    random_params(config),
    [random_tokens(5, seed=1), random_tokens(7, seed=2)],
  )
  packed = np.concatenate([*alone, np.zeros((1, 3), np.int32)], axis=1)
  segments = np.repeat([1, 2, 0], [5, 7, 3])[None]
  hidden = forward(params, config, packed, segments)
  close(hidden[:, :5], all_hidden(alone[0], params, config))
  close(hidden[:, 5:12], all_hidden(alone[1], params, config))


# Over 1000 tokens the frequencies make 159.2, 15.92, 1.592 and 0.1592 cycles.
# The third is (1.592 - 1) / (4 - 1) = 0.1972 of the way from scaled to kept.
@pytest.mark.parametrize(
  'scaling, expected',
  [
    (None, [1, 0.1, 0.01, 0.001]),
    (
      transformer.RopeScaling('linear', 8.0),
      [0.125, 1.25e-2, 1.25e-3, 1.25e-4],
    ),
    (
      transformer.RopeScaling('llama3', 8.0, original_len_tokens=1000),
      [1, 0.1, 2.97535e-3, 1.25e-4],
    ),
  ],
)
def test_rotary_frequencies(scaling, expected):
  radians = transformer.frequencies(1e4, 8, scaling)
  assert radians.dtype == np.float32
  np.testing.assert_allclose(radians, expected, rtol=1e-5)


def test_local_layers_have_another_base_and_no_scaling():
  rope = {
    'rope_theta': 50.0,
    'rope_scaling': transformer.RopeScaling('linear', 2.0),
  }
  tokens = random_tokens(6)
  local = changed(
    **rope,
    layer_pattern=('local',),
    sliding_window=6,
    local_rope_theta=CONFIG.rope_theta,
  )
  plain = all_hidden(tokens)
  close(all_hidden(tokens, PARAMS, local), plain)
  for name, value in rope.items():
    other = all_hidden(tokens, PARAMS, changed(**{name: value}))
    assert np.abs(other - plain).max() > 1e-3


@both_configs
def test_scanned_layers_equal_blocks_in_sequence(config):
  tokens, params = random_tokens(6), random_params(config)
  causal = np.tri(6, dtype=bool)
  near = causal & ~np.tri(6, k=-config.sliding_window, dtype=bool)

  def attend_to(visible):
    return lambda q, k, v: (
      jax.nn.dot_product_attention(
        q, k, v, mask=visible[None, None], scale=config.query_scale
      ),
      'output',
    )

  @jax.jit
  def in_sequence(params):
    tables = transformer.rotaries(config, jnp.arange(6)[None])
    x = transformer.embed(params['embedding'], config, tokens)
    for layer, kind in enumerate(config.layer_kinds()):
      block = jax.tree.map(lambda a, i=layer: a[i], params['layers'])
      attend = attend_to(causal if kind == 'global' else near)
      x, output = transformer.Block(config).apply(
        {'params': block}, x, tables[kind], attend
      )
      assert output == 'output'
    norm = transformer.RMSNorm(config)
    return norm.apply({'params': params['final_norm']}, x)

  close(all_hidden(tokens, params, config), in_sequence(params))


@pytest.mark.parametrize('name', [n for n in transformer.REMAT if n != 'off'])
def test_remat_changes_no_value_and_no_gradient(name):
  tokens, params = random_tokens(6), random_params(GEMMA)

  def loss(params, config):
    return jnp.sum(jnp.sin(all_hidden(tokens, params, config)))

  gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  plain = gradient(params, GEMMA)
  remat = gradient(params, dataclasses.replace(GEMMA, remat=name))
  jax.tree.map(close, plain, remat)


def test_an_offset_norm_scales_by_one_more():
  def one_less(path, a):
    return a - 1 if path[-1].key == 'scale' else a

  offset = jax.tree_util.tree_map_with_path(one_less, PARAMS)
  close(
    all_hidden(random_tokens(6), offset, changed(norm_offset=True)),
    all_hidden(random_tokens(6)),
  )


@pytest.mark.parametrize('norm_offset', [False, True])
def test_norms_start_with_a_scale_of_one(norm_offset):
  config = changed(norm_offset=norm_offset, qk_norm=True, post_norms=True)
  init = jax.jit(transformer.init, static_argnums=1)
  params = nn.unbox(init(jax.random.key(0), config))
  flat, _ = jax.tree_util.tree_flatten_with_path(params)
  scales = [a for path, a in flat if path[-1].key == 'scale']
  assert len(scales) == 7  # Six of the layers and the last.
  for scale in scales:
    np.testing.assert_array_equal(scale + norm_offset, np.ones_like(scale))


def test_inputs_are_scaled_by_the_square_root_of_the_width():
  louder = PARAMS | {'embedding': PARAMS['embedding'] * 4}  # D is 16.
  config = changed(scaled_embeddings=True)
  close(
    all_hidden(random_tokens(6), PARAMS, config),
    all_hidden(random_tokens(6), louder),
  )


def test_query_scale_multiplies_scores():
  config = changed(query_scale=0.7)
  factor = 0.7 * CONFIG.head_dim**0.5
  equal = scaled(PARAMS, q=factor, q_bias=factor)
  close(
    all_hidden(random_tokens(6), PARAMS, config),
    all_hidden(random_tokens(6), equal),
  )


def test_query_and_key_norms_remove_the_scale_of_each_head():
  config = changed(qk_norm=True, norm_eps=1e-12)
  params = random_params(config)
  heads_NH, heads_KH = np.array([[2], [3], [5], [7]]), np.array([[2], [9]])
  louder = scaled(
    params, q=heads_NH, q_bias=heads_NH, k=heads_KH, k_bias=heads_KH
  )
  close(
    all_hidden(random_tokens(6), louder, config),
    all_hidden(random_tokens(6), params, config),
  )


def test_post_norms_remove_the_scale_of_the_branches():
  config = changed(post_norms=True, norm_eps=1e-12)
  params = random_params(config)
  louder = scaled(params, o=3, down=5)
  close(
    all_hidden(random_tokens(6), louder, config),
    all_hidden(random_tokens(6), params, config),
  )


def test_activations():
  np.testing.assert_allclose(
    [f(np.float32(1)) for f in transformer.ACTIVATIONS.values()],
    # 1 / (1 + 1/e), and (1 + tanh(sqrt(2/pi) x 1.044715)) / 2.
    [0.7310586, 0.8411920],
    rtol=1e-6,
  )


def test_grouped_queries_equal_repeated_key_value_heads():
  tokens, repeats = random_tokens(6), CONFIG.num_heads // CONFIG.num_kv_heads
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


# As published, except for the two embedded presets.
@pytest.mark.parametrize(
  'name, count',
  {
    'tiny': 1_116_288,
    'small': 32_459_904,
    'qwen2.5-coder-0.5b': 494_032_768,
    'qwen2.5-coder-1.5b': 1_543_714_304,
    'qwen2.5-coder-3b': 3_085_938_688,
    'qwen2.5-coder-7b': 7_615_616_512,
    'qwen2.5-coder-14b': 14_770_033_664,
    'qwen2.5-coder-32b': 32_763_876_352,
    'qwen3-0.6b': 596_049_920,
    'qwen3-1.7b': 1_720_574_976,
    'qwen3-4b': 4_022_468_096,
    'qwen3-8b': 8_190_735_360,
    'llama3.1-8b': 8_030_261_248,
    'llama3.2-1b': 1_235_814_400,
    'llama3.2-3b': 3_212_749_824,
    'gemma3-270m': 268_098_176,
    'gemma3-1b': 999_885_952,
  }.items(),
)
def test_presets_have_their_number_of_parameters(name, count):
  shapes = jax.eval_shape(
    lambda key: transformer.init(key, presets.PRESETS[name]),
    jax.random.key(0),
  )
  leaves = jax.tree.leaves(nn.unbox(shapes))
  assert sum(math.prod(leaf.shape) for leaf in leaves) == count
