"""Adapters change the model as LoRA says and are all that is trained."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from coderl import types
from coderl.models import lora, transformer
from coderl.rl import algorithms, train_step
from tests.coderl.rl import train_step_test

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)

BASE = transformer.ModelConfig(**train_step_test.SIZES)
ADAPTED = dataclasses.replace(
  BASE, lora=transformer.Lora(rank=2, alpha=6.0, targets=('q', 'o', 'down'))
)
TOKENS = np.random.default_rng(0).integers(0, 16, (2, 9))
SEGMENTS = np.ones_like(TOKENS)
forward = jax.jit(transformer.hidden_states, static_argnums=1)


@pytest.fixture(scope='module')
def policy():
  return nn.unbox(transformer.init(jax.random.key(0), BASE))


@pytest.fixture(scope='module')
def adapters():
  return nn.unbox(lora.init(jax.random.key(1), ADAPTED))


def moved(adapters):
  return jax.tree.map(
    lambda a: jax.random.normal(jax.random.key(2), a.shape), adapters
  )


def test_new_adapters_change_nothing(policy, adapters):
  attached = lora.attached(policy, adapters)
  np.testing.assert_array_equal(
    forward(attached, ADAPTED, TOKENS, SEGMENTS),
    forward(policy, BASE, TOKENS, SEGMENTS),
  )
  assert {name[:-2] for name in adapters['layers']} == {'q', 'o', 'down'}


def test_a_merged_model_equals_the_adapted_one(policy, adapters):
  adapters = moved(adapters)
  attached = lora.attached(policy, adapters)
  merged = lora.merged(policy, adapters, ADAPTED)
  adapted = forward(attached, ADAPTED, TOKENS, SEGMENTS)
  np.testing.assert_allclose(
    forward(merged, BASE, TOKENS, SEGMENTS), adapted, atol=1e-5
  )
  assert np.abs(adapted - forward(policy, BASE, TOKENS, SEGMENTS)).max() > 0.1
  # By hand: w + alpha / rank a b of the first layer's output matrix.
  a, b = (adapters['layers'][name][0] for name in ('o_a', 'o_b'))
  change = 3.0 * np.einsum('nhr,rd->nhd', a, b)
  np.testing.assert_allclose(
    merged['layers']['o'][0], policy['layers']['o'][0] + change, atol=1e-5
  )


def test_an_update_trains_the_adapters_and_nothing_else_of_the_policy():
  objective = train_step.Objective(
    ADAPTED,
    algorithms.ALGORITHMS['ppo'],
    trajectory_weight=0.3,
    max_value_tokens=train_step_test.C,
  )
  params = nn.unbox(train_step.init_params(jax.random.key(0), objective))
  params['lora'] = jax.tree.map(lambda a: a + 0.1, params['lora'])
  optimizer = optax.adam(1e-2)
  trained = train_step.trained(params)
  assert trained.keys() == {'lora', 'trajectory', 'value'}
  state = types.TrainState(jnp.int32(0), params, optimizer.init(trained))
  batch, _ = train_step_test.packed(train_step_test.BATCH, objective, 2)
  after, _ = jax.jit(
    lambda state: train_step.train_step(
      state, batch, objective=objective, optimizer=optimizer
    )
  )(state)
  train_step_test.same(after.params['policy'], params['policy'])
  for name, tree in trained.items():
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
      new = after.params[name]
      for key in path:
        new = new[key.key]
      assert np.any(new != leaf), (name, path)
