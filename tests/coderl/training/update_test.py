"""The glue of the update, by numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from coderl import types
from coderl.models import transformer
from coderl.rl import algorithms, batching
from coderl.text import tokenization
from coderl.training import update as update_lib
from commons import errors
from configs import coderl_plan, coderl_train

TOKENIZER = tokenization.train_bpe(['x'], 300)
PROMPT = types.Prompt(
  types.GENERATE, '', (1, 2), types.Problem(id='p', statement='', tests=())
)
MODEL = transformer.ModelConfig(
  vocab_size=16,
  num_layers=1,
  d_model=8,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
  mlp_dim=8,
)


def make_rollout(reward, length=2):
  return types.Rollout(
    PROMPT,
    np.arange(3, 3 + length, dtype=np.int32),
    np.full(length, -1.0, np.float32),
    np.full(length, -1.5, np.float32),
    '',
    True,
    reward=reward,
  )


# One prompt with two responses; the first is right.
ROLLOUTS = [make_rollout(1.0), make_rollout(0.0)]
# What the fake score function returns, by its parameters.
SCORES = {
  'policy': (np.full((2, 2), -0.25, 'f4'), np.full((2, 2), 0.5, 'f4')),
  'reference': (np.full((2, 2), -0.75, 'f4'), np.zeros((2, 2), 'f4')),
}


def make_batch(algorithm, rollouts=ROLLOUTS, max_len_tokens=10):
  """Returns the batch, and the parameters for which scores were computed."""
  scored = []

  def score(params, batch):
    assert batch.mask_BR.shape == (2, 2)
    scored.append(params)
    return SCORES[params]

  layout = batching.Layout(bucket_len=1, max_variables=0, max_value_len=1)
  batch = update_lib.make_batch(
    batching.padded(rollouts, layout, TOKENIZER),
    rollouts,
    algorithm,
    group_size=2,
    max_len_tokens=max_len_tokens,
    score=score,
    params='policy',
    reference='reference',
  )
  return batch, scored


def test_an_algorithm_that_needs_no_scores_computes_none():
  batch, scored = make_batch(algorithms.make('grpo'))
  assert scored == []
  h = np.sqrt(0.5)
  np.testing.assert_allclose(batch.advantages_BR, [[h, h], [-h, -h]], rtol=1e-5)
  np.testing.assert_array_equal(batch.logprobs_BR, -1.0)
  np.testing.assert_array_equal(batch.drawn_logprobs_BR, -1.5)


def test_kl_reads_the_reference_policy():
  batch, scored = make_batch(algorithms.make('grpo', kl_weight=0.1))
  assert scored == ['reference']
  np.testing.assert_array_equal(batch.ref_logprobs_BR, -0.75)
  np.testing.assert_array_equal(batch.logprobs_BR, -1.0)


def test_the_importance_correction_reads_the_policy_before_the_update():
  batch, scored = make_batch(algorithms.make('grpo', importance_cap=2.0))
  assert scored == ['policy']
  np.testing.assert_array_equal(batch.logprobs_BR, -0.25)
  np.testing.assert_array_equal(batch.drawn_logprobs_BR, -1.5)


def test_ppo_computes_advantages_from_the_critics_values():
  algorithm = algorithms.make('ppo', lam=1.0, gamma=1.0)
  batch, scored = make_batch(algorithm)
  assert scored == ['policy']
  np.testing.assert_array_equal(batch.values_BR, 0.5)
  # Reward to go minus value: 1/2, 1/2 and -1/2, -1/2; whitened: sum of squares
  # 1, divided by 3.
  a = np.sqrt(3) / 2
  np.testing.assert_allclose(batch.advantages_BR, [[a, a], [-a, -a]], rtol=1e-5)
  np.testing.assert_allclose(batch.returns_BR, [[1, 1], [0, 0]], atol=1e-6)
  # With lam = 0 the value of the next token replaces the reward.
  batch, _ = make_batch(algorithms.make('ppo', lam=0.0, gamma=1.0))
  np.testing.assert_allclose(batch.returns_BR, [[0.5, 1], [0.5, 0]], atol=1e-6)
  assert abs(batch.advantages_BR[0, 0]) < 1e-6 < batch.advantages_BR[0, 1]


def test_dapo_penalises_long_responses():
  # With at most 2 tokens and a buffer of 2, the penalty of 2 tokens is -1 and
  # that of 1 token is -1/2: both rewards become 0.
  dapo = algorithms.make('dapo', overlong_buffer_len_tokens=2)
  rollouts = [make_rollout(1.0), make_rollout(0.5, length=1)]
  batch, _ = make_batch(dapo, rollouts, max_len_tokens=2)
  np.testing.assert_array_equal(batch.advantages_BR, 0)
  batch, _ = make_batch(algorithms.make('grpo'), rollouts, max_len_tokens=2)
  assert batch.advantages_BR[0, 0] > 0.5


# The optimizer, on one weight of 2 with a gradient.


def updates(gradients, weight=2.0, **settings):
  """Returns the weight after each update."""
  defaults = dict(
    learning_rate=0.1,
    warmup_steps=0,
    max_grad_norm=1e9,
    weight_decay=0.0,
    b1=0.9,
    b2=0.99,
  )
  optimizer = update_lib.make_optimizer(**defaults | settings)
  params = jnp.array([weight, 0.0])
  state, weights = optimizer.init(params), []
  for gradient in gradients:
    step, state = optimizer.update(jnp.array(gradient), state, params)
    params = optax.apply_updates(params, step)
    weights.append(float(params[0]))
  return weights


def test_adam_moves_by_the_learning_rate_along_a_constant_gradient():
  gradients = [(3.0, 0.0)] * 3
  np.testing.assert_allclose(updates(gradients), [1.9, 1.8, 1.7], rtol=1e-5)


def test_the_learning_rate_warms_up_linearly():
  gradients = [(3.0, 0.0)] * 5
  # Rates 1/4, 2/4, 3/4 of 0.1, and then 0.1.
  np.testing.assert_allclose(
    updates(gradients, warmup_steps=3),
    [1.975, 1.925, 1.85, 1.75, 1.65],
    rtol=1e-5,
  )


def test_weight_decay_is_decoupled():
  # 0.1 x 0.5 x weight beside Adam's 0.1: 2 - 0.1 - 0.1 = 1.8, and
  # 1.8 - 0.1 - 0.09 = 1.61.
  np.testing.assert_allclose(
    updates([(3.0, 0.0)] * 2, weight_decay=0.5), [1.8, 1.61], rtol=1e-5
  )


def test_gradients_are_clipped_by_their_global_norm():
  # Adam's first update does not see the scale of a gradient; the second does.
  # Clipped to norm 1, (30, 40) is (0.6, 0.8), as large as the first.
  clipped = updates([(0.6, 0.8), (30.0, 40.0)], max_grad_norm=1.0)
  np.testing.assert_allclose(clipped, [1.9, 1.8], rtol=1e-5)
  # Unclipped: m / sqrt(v), each with its bias corrected.
  m = (0.9 * 0.1 * 0.6 + 0.1 * 30) / (1 - 0.9**2)
  v = (0.99 * 0.01 * 0.36 + 0.01 * 900) / (1 - 0.99**2)
  unclipped = updates([(0.6, 0.8), (30.0, 40.0)])
  np.testing.assert_allclose(unclipped[1], 1.9 - 0.1 * m / v**0.5, rtol=1e-5)


def test_the_whole_section_of_the_config_is_the_optimizers():
  for get_config in (coderl_train.get_config, coderl_plan.get_config):
    update_lib.make_optimizer(**get_config().optimizer)


# The objective.


@pytest.mark.parametrize(
  'change',
  [
    {'sampling.top_k': 5},
    {'sampling.top_p': 0.9},
    {'sampling.min_p': 0.1},
    {'engine.url': 'http://127.0.0.1:1'},
    {'train.staleness': 1},
  ],
)
def test_what_draws_off_policy_is_corrected(change):
  config = coderl_train.get_config()
  on_policy = update_lib.make_objective(config, MODEL)
  assert on_policy.algorithm.importance_cap == 0
  config.update_from_flattened_dict(change)
  off_policy = update_lib.make_objective(config, MODEL)
  assert off_policy.algorithm.importance_cap == 2.0


def test_an_unknown_target_of_adapters_is_named():
  config = coderl_train.get_config()
  config.lora.rank, config.lora.targets = 2, ('q', 'keys')
  with pytest.raises(errors.UserError, match=r"lora\.targets 'keys'.*gate"):
    update_lib.make_objective(config, MODEL)
