import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl import types
from coderl.rl import algorithms, batching, losses
from coderl.training import rollouts as rollouts_lib

# Two prompts of two responses each, of 2, 1, 1 and 3 tokens.
REWARDS_BG = np.array([[1.0, 0.0], [0.5, 0.0]], 'f4')
VALID_BG = np.ones((2, 2), bool)
MASK_BR = np.arange(3) < np.array([2, 1, 1, 3])[:, None]
OLD_BR = np.full((4, 3), -1.0, 'f4')
# pi / pi_old of the tokens of each response: above 1, below 1 - 0.2, between
# 1.2 and 1.28, above 1.28.
RATIO_B1 = np.array([[1.1], [0.5], [1.25], [1.5]], 'f4')
VALUES_BR = np.array([[0.5, 0.5, 9], [0, 9, 9], [0, 9, 9], [0, 0, 0]], 'f4')


def _loss(name, logprobs_BR, **settings):
  algorithm = algorithms.make(name, **settings)

  @jax.jit
  def loss(logprobs_BR):
    advantages_BR, _ = algorithms.token_advantages(
      algorithm, REWARDS_BG, VALID_BG, VALUES_BR, MASK_BR
    )
    loss_BR = algorithm.policy_loss(logprobs_BR, OLD_BR, advantages_BR)
    return jnp.sum(algorithm.aggregation(MASK_BR) * loss_BR)

  return loss(logprobs_BR)


H = np.sqrt(0.5)  # (1, 0) and (0.5, 0) normalised: H, -H.
S = np.std([1, 0, 0.5, 0], ddof=1)  # The batch's mean is 0.375.
HAND = {
  # Seven tokens. Clipped to 0.8..1.2, but not above if the advantage is < 0.
  'grpo': -H * (2 * 1.1 - 0.8 + 1.2 - 3 * 1.5) / 7,
  'dapo': -H * (2 * 1.1 - 0.8 + 1.25 - 3 * 1.5) / 7,
  # Advantages 1/2, -1/2, 1/4, -1/4; over 3 tokens and 4 responses.
  'dr_grpo': -(1.1 - 0.8 / 2 + 1.2 / 4 - 3 * 1.5 / 4) / 12,
  # Advantages 1, -1, 1/2, -1/2; log-probabilities, not ratios.
  'rloo': -np.dot([2, -1, 0.5, -1.5], np.log(RATIO_B1[:, 0]) - 1) / 12,
  'reinforce_pp': -(
    0.625 * 2 * 1.1 - 0.375 * 0.8 + 0.125 * 1.2 - 0.375 * 3 * 1.5
  )
  / (7 * S),
}


@pytest.mark.parametrize('name', HAND)
def test_loss_is_worked_out_by_hand(name):
  logprobs_BR = OLD_BR + np.log(RATIO_B1)
  np.testing.assert_allclose(_loss(name, logprobs_BR), HAND[name], rtol=1e-4)


def test_ppo_is_worked_out_by_hand():
  # lam = 1: rewards to go minus values, so 1/2 1/2 | 0 | 1/2 | 0 0 0;
  # whitened over the seven tokens.
  raw = np.array([0.5, 0.5, 0, 0.5, 0, 0, 0])
  a = (raw - raw.mean()) / raw.std(ddof=1)
  ratios = np.array([1.1, 1.1, 0.8, 1.2, 1.5, 1.5, 1.5])
  got = _loss('ppo', OLD_BR + np.log(RATIO_B1), lam=1.0)
  np.testing.assert_allclose(got, -np.mean(a * ratios), rtol=1e-4)
  _, returns_BR = algorithms.token_advantages(
    algorithms.make('ppo', lam=1.0), REWARDS_BG, VALID_BG, VALUES_BR, MASK_BR
  )
  expected = [[1, 1, 0], [0, 0, 0], [0.5, 0, 0], [0, 0, 0]]
  np.testing.assert_allclose(returns_BR, expected, atol=1e-6)


@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_on_policy_every_gradient_is_the_policy_gradient(name):
  algorithm = algorithms.make(name)
  advantages_BR, _ = algorithms.token_advantages(
    algorithm, REWARDS_BG, VALID_BG, VALUES_BR, MASK_BR
  )
  got = jax.grad(functools.partial(_loss, name))(OLD_BR)
  expected = -algorithm.aggregation(MASK_BR) * advantages_BR
  np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_masked_responses_are_as_if_absent(name):
  # Each group has a third response, which is masked.
  algorithm = algorithms.make(name)
  rewards_BG = np.insert(REWARDS_BG, 1, [np.nan, 7.0], axis=1)
  valid_BG = np.insert(VALID_BG, 1, False, axis=1)
  rows = (1, 3)
  values_BR = np.insert(VALUES_BR, rows, 5.0, axis=0)
  mask_BR = np.insert(MASK_BR, rows, True, axis=0)
  got = algorithms.token_advantages(
    algorithm, rewards_BG, valid_BG, values_BR, mask_BR
  )
  expected = algorithms.token_advantages(
    algorithm, REWARDS_BG, VALID_BG, VALUES_BR, MASK_BR
  )
  for a, b in zip(got, expected, strict=True):
    np.testing.assert_array_equal(a[np.array([1, 4])], 0)
    np.testing.assert_allclose(np.delete(a, [1, 4], 0), b, atol=1e-6)


def test_settings_change_the_papers_values():
  logprobs_BR = OLD_BR + np.log(RATIO_B1)
  got = _loss('grpo', logprobs_BR, clip_high=0.28)
  np.testing.assert_allclose(got, HAND['dapo'], rtol=1e-4)
  got = _loss('dr_grpo', logprobs_BR, max_len_tokens=6)
  np.testing.assert_allclose(got, HAND['dr_grpo'] / 2, rtol=1e-4)
  weights_BR = algorithms.make(
    'grpo', aggregation='sequence_mean_token_mean'
  ).aggregation(MASK_BR)
  np.testing.assert_allclose(weights_BR.sum(1), 0.25, rtol=1e-6)
  bounded = _loss('grpo', logprobs_BR, dual_clip=1.1)
  expected = -H * (2 * 1.1 - 0.8 + 1.2 - 3 * 1.1) / 7
  np.testing.assert_allclose(bounded, expected, rtol=1e-4)


@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_only_ppo_reads_values(name):
  def learned(values_BR):
    return algorithms.token_advantages(
      algorithms.make(name), REWARDS_BG, VALID_BG, values_BR, MASK_BR
    )

  pairs = zip(learned(VALUES_BR), learned(0 * VALUES_BR), strict=True)
  changed = any(np.any(a != b) for a, b in pairs)
  assert changed == algorithms.make(name).uses_values == (name == 'ppo')


@pytest.mark.parametrize('name', algorithms.ALGORITHMS)
def test_only_dapo_penalises_length_and_prefers_informative_groups(name):
  algorithm = algorithms.make(name)
  prompt = types.Prompt(
    types.GENERATE, '', (), types.Problem(id='p', statement='', tests=())
  )
  # A group without a gradient, whose responses are at the length limit, and
  # one with a gradient.
  lens_and_rewards = [(8192, 1.0), (8192, 1.0), (1, 1.0), (1, 0.0)]
  rollouts = [
    types.Rollout(prompt, np.zeros(n, 'i4'), (), (), '', True, reward=reward)
    for n, reward in lens_and_rewards
  ]
  rewards_B = batching.shaped_rewards(rollouts, algorithm, 8192)
  assert rewards_B.tolist() == (
    [0, 0, 1, 0] if name == 'dapo' else [1, 1, 1, 0]
  )
  chosen = rollouts_lib.choose_groups(
    rollouts, 2, 1, algorithm.dynamic_sampling
  )
  assert chosen == (rollouts[2:] if name == 'dapo' else rollouts[:2])


def test_algorithms_can_be_static_arguments():
  every = [algorithms.make(name) for name in algorithms.ALGORITHMS]
  assert len({hash(algorithm) for algorithm in every}) == len(every)


def test_unknown_names_are_answered_with_the_choices():
  with pytest.raises(ValueError, match=r"'grpoo'.*dapo.*grpo.*rloo"):
    algorithms.make('grpoo')
  with pytest.raises(ValueError, match=r"'mean'.*token_mean"):
    algorithms.make('grpo', aggregation='mean')
  with pytest.raises(ValueError, match=r"'k4'.*k1, k2, k3"):
    algorithms.make('grpo', kl_estimator='k4')
  with pytest.raises(ValueError, match=r"'clip'.*clip_high, clip_low"):
    algorithms.make('grpo', clip=0.2)


def test_settings_that_do_not_apply_change_nothing():
  logprobs_BR = OLD_BR + np.log(RATIO_B1)
  got = _loss('rloo', logprobs_BR, clip_low=0.01, clip_high=0.01, lam=0.5)
  np.testing.assert_allclose(got, HAND['rloo'], rtol=1e-4)
  got = _loss('grpo', logprobs_BR, max_len_tokens=99, gamma=None)
  np.testing.assert_allclose(got, HAND['grpo'], rtol=1e-4)


def test_weights_and_estimators_are_set():
  algorithm = algorithms.make(
    'ppo',
    kl_weight=0.001,
    kl_estimator='k1',
    value_weight=0.1,
    value_clip=0.5,
    dynamic_sampling=True,
    overlong_buffer_len_tokens=32,
  )
  assert (algorithm.kl_weight, algorithm.value_weight) == (0.001, 0.1)
  assert algorithm.kl is losses.kl_k1
  assert algorithm.dynamic_sampling
  assert algorithm.overlong_buffer_len_tokens == 32
  ones_BR = jnp.ones((1, 1))
  got = algorithm.value_loss(ones_BR, 0 * ones_BR, 2 * ones_BR)
  np.testing.assert_allclose(got, [[1.5**2 / 2]])
