"""Laws of the training step."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from coderl import types
from coderl.distributed import sharding
from coderl.models import transformer
from coderl.rl import algorithms, batching, losses, packing, train_step

# These programs take long to compile but not to run.
jax.config.update('jax_disable_most_optimizations', True)

SIZES = dict(
  vocab_size=16,
  num_layers=2,
  d_model=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=24,
)
P, R, M, C = 4, 5, 2, 3
MODEL = transformer.ModelConfig(**SIZES)
FULL = train_step.Objective(
  MODEL,
  dataclasses.replace(algorithms.ALGORITHMS['ppo'], kl_weight=0.1),
  temperature=0.8,
  trajectory_weight=0.3,
  max_value_tokens=C,
  chunk_len_tokens=2,
)
GRPO = train_step.Objective(MODEL, algorithms.ALGORITHMS['grpo'])
SGD = optax.sgd(1.0)  # Parameters before minus after are the gradient.


def random_batch(rows=12, seed=0):
  """Returns a batch of responses of all lengths, some masked."""
  rng = np.random.default_rng(seed)
  prompt_len = rng.integers(1, P + 1, (rows, 1))
  response_len = rng.integers(1, R + 1, (rows, 1))
  response_BR = np.arange(R) < response_len

  def floats(scale):
    return rng.normal(0, scale, (rows, R)).astype(np.float32)

  logprobs_BR = floats(0.1) - 2.8
  return types.RolloutBatch(
    tokens_BT=rng.integers(0, 16, (rows, P + R)).astype(np.int32),
    valid_BT=np.concatenate(
      [np.arange(P) >= P - prompt_len, response_BR], axis=1
    ),
    mask_BR=response_BR & (np.arange(rows) % 4 != 3)[:, None],
    logprobs_BR=logprobs_BR,
    advantages_BR=floats(1.0),
    returns_BR=floats(1.0),
    values_BR=floats(0.1),
    ref_logprobs_BR=logprobs_BR + floats(0.1),
    drawn_logprobs_BR=logprobs_BR,
    queries_BM=rng.integers(0, P, (rows, M)).astype(np.int32),
    values_BMC=rng.integers(0, 16, (rows, M, C)).astype(np.int32),
    values_mask_BMC=rng.random((rows, M, C)) < 0.5,
  )


def packed(batch, objective, num_microbatches):
  """Returns the packed batch and its placement."""
  layout = batching.Layout(1, M, C)
  return batching.pack(batch, layout, objective.algorithm, num_microbatches)


BATCH = random_batch()


@functools.cache
def initial(objective):
  return jax.jit(lambda key: nn.unbox(train_step.init_params(key, objective)))(
    jax.random.key(0)
  )


@functools.cache
def compiled(objective, optimizer=SGD):
  return jax.jit(
    functools.partial(
      train_step.train_step, objective=objective, optimizer=optimizer
    )
  )


def step(objective, batch=BATCH, num_microbatches=1, params=None, opt=SGD):
  """Returns the parameters after one step, and the metrics."""
  params = initial(objective) if params is None else params
  state = types.TrainState(jnp.int32(0), params, opt.init(params))
  arrays, _ = packed(batch, objective, num_microbatches)
  state, metrics = compiled(objective, opt)(state, arrays)
  assert state.step == 1
  return state.params, metrics


def same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def differ(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return any(np.any(x != y) for x, y in pairs)


def test_updates_do_not_depend_on_the_mesh():
  root = pathlib.Path(__file__).parents[3]
  out = subprocess.run(
    [sys.executable, '-m', 'tests.coderl.rl.train_step_mesh_script'],
    cwd=root,
    env=os.environ
    | {
      'JAX_PLATFORMS': 'cpu',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
      'PYTHONPATH': str(root),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert out.returncode == 0, out.stderr
  by_mesh = json.loads(out.stdout)
  np.testing.assert_allclose(by_mesh[1:], by_mesh[:1] * 4, atol=1e-5)
  assert len(set(by_mesh[0])) == 3
  assert 'rematerialization' not in out.stderr


@pytest.mark.parametrize('num_microbatches', [2, 4])
def test_microbatches_change_neither_loss_nor_gradient(num_microbatches):
  close = functools.partial(np.testing.assert_allclose, atol=1e-5)
  jax.tree.map(close, step(FULL, BATCH, num_microbatches), step(FULL))


def test_at_weight_zero_the_trajectory_head_changes_nothing():
  adam = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(1e-2))
  with_head = initial(dataclasses.replace(GRPO, trajectory_weight=0.5))
  params, metrics = step(GRPO, params=with_head, opt=adam)
  alone, alone_metrics = step(GRPO, opt=adam)
  same(params['policy'], alone['policy'])
  same(params['trajectory'], with_head['trajectory'])
  same(metrics, alone_metrics)
  assert 'trajectory' not in alone and differ(alone, initial(GRPO))


def test_trajectory_loss_moves_head_and_policy_and_reads_unmasked_tokens():
  moved, metrics = step(FULL)
  assert differ(moved['trajectory'], initial(FULL)['trajectory'])
  hidden = ~BATCH.values_mask_BMC
  # A masked token that no unmasked one follows is not read at all.
  last = hidden & np.all(hidden | (np.arange(C) <= C - 2), axis=-1)[..., None]
  last &= np.arange(C) == C - 1
  assert last.any()
  changed = BATCH._replace(
    values_BMC=np.where(last, (BATCH.values_BMC + 1) % 16, BATCH.values_BMC)
  )
  other, other_metrics = step(FULL, changed)
  same(moved, other)
  assert metrics['trajectory_loss'] == other_metrics['trajectory_loss']
  emptied = BATCH._replace(values_mask_BMC=np.zeros_like(hidden))
  unmoved, _ = step(FULL, emptied)
  same(unmoved['trajectory'], initial(FULL)['trajectory'])
  assert differ(unmoved['policy'], moved['policy'])


def test_gradient_is_that_of_the_mean_of_advantage_times_logprob():
  algorithm = algorithms.Algorithm(
    algorithms.ALGORITHMS['rloo'].advantage,
    policy_loss=losses.policy_gradient,
  )
  objective = train_step.Objective(MODEL, algorithm, temperature=0.8)

  @jax.jit
  @jax.grad
  def gradient(policy):
    hidden = transformer.hidden_states(
      policy, MODEL, jnp.asarray(BATCH.tokens_BT), jnp.asarray(BATCH.valid_BT)
    )
    logits = hidden @ policy['embedding'].T / 0.8
    every = jax.nn.log_softmax(logits[:, P - 1 : -1])
    taken = np.eye(16)[BATCH.tokens_BT[:, P:]]
    products = BATCH.advantages_BR * jnp.sum(every * taken, axis=-1)
    return -jnp.sum(products * BATCH.mask_BR) / BATCH.mask_BR.sum()

  # The expected gradient is computed without packing.
  arrays, _ = packed(BATCH, objective, 1)
  assert arrays.segments_BT.max() > 1
  before = initial(objective)['policy']
  after = step(objective)[0]['policy']
  jax.tree.map(
    lambda a, b, g: np.testing.assert_allclose(a - b, g, atol=1e-5),
    before,
    after,
    gradient(before),
  )


def test_the_reference_is_not_read_at_weight_zero():
  blank = BATCH._replace(ref_logprobs_BR=BATCH.ref_logprobs_BR * np.nan)
  same(step(GRPO, blank), step(GRPO))
  assert np.isnan(step(FULL, blank)[1]['loss'])


def test_masked_rows_do_not_change_the_update():
  masked_B = ~BATCH.mask_BR.any(1)
  assert masked_B.any() and not masked_B.all()

  def change(a):
    return np.where(masked_B[:, None], a + 1, a)

  other = BATCH._replace(
    tokens_BT=np.where(
      masked_B[:, None], (BATCH.tokens_BT + 3) % 16, BATCH.tokens_BT
    ).astype(np.int32),
    logprobs_BR=change(BATCH.logprobs_BR),
    advantages_BR=change(BATCH.advantages_BR),
    returns_BR=change(BATCH.returns_BR),
    ref_logprobs_BR=change(BATCH.ref_logprobs_BR),
  )
  # Target values are learned even if the response is masked.
  no_values = np.zeros_like(BATCH.values_mask_BMC)
  same(
    step(FULL, BATCH._replace(values_mask_BMC=no_values)),
    step(FULL, other._replace(values_mask_BMC=no_values)),
  )


def test_value_loss_does_not_move_the_policy():
  other = BATCH._replace(returns_BR=BATCH.returns_BR + 1)
  a, _ = step(FULL)
  b, _ = step(FULL, other)
  same(a['policy'], b['policy'])
  assert differ(a['value'], b['value'])


def test_the_logits_of_a_batch_are_never_held_at_once():
  model = dataclasses.replace(MODEL, vocab_size=50_000)
  objective = dataclasses.replace(GRPO, model=model, chunk_len_tokens=8)
  rows, sizes = 12, {'T': 96, 'R': 64, 'M': M, 'C': C}
  arrays, _ = packed(BATCH, objective, 1)
  batch = types.PackedBatch(
    **{
      name: jax.ShapeDtypeStruct(
        (1, rows, *(sizes[axis] for axis in name.rpartition('_B')[2])), a.dtype
      )
      for name, a in arrays._asdict().items()
    }
  )
  state = jax.eval_shape(
    lambda key: types.TrainState(
      jnp.int32(0),
      nn.unbox(train_step.init_params(key, objective)),
      SGD.init(()),
    ),
    jax.random.key(0),
  )
  temporary = (
    compiled(objective).lower(state, batch).compile().memory_analysis()
  ).temp_size_in_bytes
  assert temporary < rows * sizes['R'] * model.vocab_size * 4


def test_the_state_is_donated_and_keeps_its_shardings():
  mesh = sharding.make_mesh((-1, 1, 1))
  with jax.set_mesh(mesh):
    state, layout = train_step.init_state(jax.random.key(0), GRPO, SGD, mesh)
    run = train_step.compile_step(GRPO, SGD, layout, mesh)
    arrays, _ = packed(BATCH, GRPO, 1)
    after, _ = run(state, sharding.put(arrays, mesh, sharding.MICROBATCHES))
  assert all(a.is_deleted() for a in jax.tree.leaves(state))
  as_before = jax.tree.map(
    lambda a, s: a.sharding.is_equivalent_to(s, a.ndim), after, layout
  )
  assert jax.tree.all(as_before)
  same(after.params, step(GRPO)[0])


def test_scores_of_the_policy_itself_give_a_ratio_of_one():
  arrays, placement = packed(BATCH, FULL, 2)
  scored, values = jax.jit(
    lambda batch: train_step.score(initial(FULL), batch, objective=FULL)
  )(arrays)
  assert not np.any(values)  # The value head is zero at the start.
  logprobs_BR = packing.unpack(scored, placement, BATCH.mask_BR.shape)
  _, metrics = step(FULL, BATCH._replace(logprobs_BR=logprobs_BR))
  assert metrics['ratio_deviation'] < 1e-6
  assert step(FULL)[1]['ratio_deviation'] > 1e-3
