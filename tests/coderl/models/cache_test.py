"""Decoding with a cache equals the forward pass over whole sequences."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.models import cache as cache_lib
from coderl.models import transformer

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)

QWEN = transformer.ModelConfig(
  vocab_size=29,
  num_layers=2,
  d_model=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=8,
  mlp_dim=24,
)
GEMMA = dataclasses.replace(
  QWEN,
  num_layers=3,
  qkv_bias=False,
  qk_norm=True,
  post_norms=True,
  norm_offset=True,
  activation='gelu_tanh',
  scaled_embeddings=True,
  query_scale=0.3,
  layer_pattern=('local', 'global'),
  sliding_window=3,
  local_rope_theta=100.0,
)
LLAMA = dataclasses.replace(
  QWEN,
  qkv_bias=False,
  tied_embeddings=False,
  rope_scaling=transformer.RopeScaling('llama3', 8.0, original_len_tokens=16),
)
P, R = 5, 4
VALID = np.arange(P) >= np.array([[2], [0], [1]])


def random_params(config, seed=0):
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, config)), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.1, 0.3, s.shape).astype(np.float32), shapes
  )


def decoded(config, prompts, responses, dtype, width=P + R):
  """Returns hidden_BRD of responses decoded in slots in shuffled order."""
  weights = cache_lib.prepare(random_params(config), config)
  rows = len(prompts)
  order = np.arange(rows)[::-1]
  _, prompt_cache = cache_lib.prefill(weights, config, prompts, VALID, dtype)
  cache = cache_lib.empty(rows, P + R, config, dtype)
  # The slots hold old keys and values, which must not be seen.
  cache = jax.tree.map(lambda a: jnp.full_like(a, 7), cache)
  for slot, prompt in enumerate(order):
    cache = cache_lib.fill(cache, slot, prompt_cache, prompt)
  step = jax.jit(
    partial(cache_lib.step, config=config), static_argnames='width'
  )
  start = P - VALID.sum(1)[order]
  out = []
  for r in range(R):
    hidden, cache = step(
      weights,
      token_B=responses[order, r],
      start_B=start,
      position_B=jnp.full(rows, P + r),
      cache=cache,
      width=width,
    )
    out.append(hidden[np.argsort(order)])
  return np.stack(out, axis=1)


def texts(config):
  rng = np.random.default_rng(0)
  draw = lambda n: rng.integers(0, config.vocab_size, (3, n)).astype(np.int32)
  return draw(P), draw(R)


def forward(config, prompts, responses):
  return transformer.hidden_states(
    random_params(config),
    config,
    np.concatenate([prompts, responses], axis=1),
    np.concatenate([VALID, np.ones((3, R), bool)], axis=1),
  )


@pytest.mark.parametrize('config', [QWEN, GEMMA, LLAMA])
def test_decoding_equals_the_forward_pass(config):
  expected = np.asarray(forward(config, *texts(config)))
  hidden = decoded(config, *texts(config), 'float32')
  np.testing.assert_allclose(hidden, expected[:, P:], atol=2e-5)


@pytest.mark.parametrize('config', [QWEN, GEMMA, LLAMA])
def test_prefill_equals_the_forward_pass_of_the_prompt(config):
  prompts, responses = texts(config)
  weights = cache_lib.prepare(random_params(config), config)
  hidden, _ = cache_lib.prefill(weights, config, prompts, VALID, 'float32')
  expected = forward(config, prompts, responses)[:, P - 1]
  np.testing.assert_allclose(hidden, expected, atol=2e-5)


@pytest.mark.parametrize('dtype, most', [('bfloat16', 0.02), ('int8', 0.03)])
def test_small_caches_are_close(dtype, most):
  exact = decoded(QWEN, *texts(QWEN), 'float32')
  error = np.abs(decoded(QWEN, *texts(QWEN), dtype) - exact).max()
  assert 0 < error < most * np.abs(exact).max()


def test_int8_rounds_to_the_nearest_step():
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype(np.float32)
  x[0, 0, 0] = 0
  heads = cache_lib.quantise(jnp.asarray(x), 'int8')
  assert heads.values.dtype == jnp.int8
  step = np.abs(x).max(-1, keepdims=True) / 127
  error = np.abs(np.asarray(heads.values * heads.scales) - x)
  assert np.all(error <= step * 0.501)
  assert error.max() > 0.1 * step.max()


def test_weights_are_cast_once_and_norms_are_not():
  config = dataclasses.replace(QWEN, dtype='bfloat16')
  weights = cache_lib.prepare(random_params(config), config)
  assert len(weights.layers) == config.num_layers
  flat, _ = jax.tree_util.tree_flatten_with_path(weights)
  for path, leaf in flat:
    is_norm = 'scale' in jax.tree_util.keystr(path)
    assert leaf.dtype == (np.float32 if is_norm else jnp.bfloat16), path
