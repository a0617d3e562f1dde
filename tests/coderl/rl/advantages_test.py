import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.rl import advantages

REWARDS_BG = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5]], 'f4')
ALL_BG = np.ones((3, 4), bool)
ESTIMATORS = [
  advantages.group_normalized,
  advantages.group_centered,
  advantages.leave_one_out,
  advantages.reinforce_plus_plus,
]


def test_group_normalized_is_worked_out_by_hand():
  # Means 1/4, 1/2; sums of squares 3/4, 1; divided by 3: stds 1/2, 1/sqrt 3.
  a = np.sqrt(3) / 2
  got = jax.jit(advantages.group_normalized)(REWARDS_BG, ALL_BG)
  expected = [[1.5, -0.5, -0.5, -0.5], [a, a, -a, -a], [0, 0, 0, 0]]
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_population_deviation_is_a_choice():
  got = advantages.group_normalized(REWARDS_BG[1:2], ALL_BG[:1], ddof=0)
  np.testing.assert_allclose(got, [[1, 1, -1, -1]], atol=1e-5)


def test_group_centered_is_worked_out_by_hand():
  got = jax.jit(advantages.group_centered)(REWARDS_BG, ALL_BG)
  expected = [[0.75, -0.25, -0.25, -0.25], [0.5, 0.5, -0.5, -0.5], [0] * 4]
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_leave_one_out_is_reward_minus_the_mean_of_the_others():
  rewards_BG = np.random.default_rng(0).random((3, 4), np.float32)
  got = jax.jit(advantages.leave_one_out)(rewards_BG, ALL_BG)
  for b, g in np.ndindex(3, 4):
    others = np.delete(rewards_BG[b], g).mean()
    np.testing.assert_allclose(got[b, g], rewards_BG[b, g] - others, atol=1e-6)


def test_reinforce_plus_plus_normalises_over_the_batch():
  # Rewards 1 0 1 0: mean 1/2, squares 4/4, divided by 3: std 1/sqrt 3.
  rewards_BG = np.array([[1.0, 0.0], [1.0, 0.0]], 'f4')
  got = jax.jit(advantages.reinforce_plus_plus)(rewards_BG, ALL_BG[:2, :2])
  a = np.sqrt(3) / 2
  np.testing.assert_allclose(got, [[a, -a], [a, -a]], atol=1e-5)


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_invalid_responses_are_as_if_absent(estimator):
  kept_BG = np.array([[1.0, 0.0, 0.25], [0.0, 0.0, 1.0]], 'f4')
  padded_BG = np.insert(kept_BG, 1, [np.nan, 1e9], axis=1)
  valid_BG = np.insert(np.ones((2, 3), bool), 1, False, axis=1)
  got = jax.jit(estimator)(padded_BG, valid_BG)
  np.testing.assert_array_equal(got[:, 1], 0)
  expected = estimator(kept_BG, np.ones((2, 3), bool))
  np.testing.assert_allclose(np.delete(got, 1, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_nothing_to_compare_gives_exact_zeros(estimator):
  # 0.1 has no exact mean in float32; yet not a rounding error may remain.
  rewards_BG = np.full((2, 7), 0.1, 'f4')
  valid_BG = np.ones((2, 7), bool)
  np.testing.assert_array_equal(estimator(rewards_BG, valid_BG), 0)
  lone_BG = np.zeros((1, 7), bool)
  lone_BG[0, 2] = True
  np.testing.assert_array_equal(estimator(rewards_BG[:1], lone_BG), 0)
  np.testing.assert_array_equal(estimator(rewards_BG[:1], ~valid_BG[:1]), 0)


def test_informative_groups_are_those_that_differ_among_the_valid():
  rewards_BG = np.array(
    [[1, 1, 0], [1, 1, 0], [0.1, 0.1, 0.1], [1, 0, 0]], 'f4'
  )
  valid_BG = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
  got = jax.jit(advantages.informative_groups)(rewards_BG, valid_BG)
  np.testing.assert_array_equal(got, [True, False, False, False])


def _slow_gae(rewards, values, gamma, lam):
  """Eq. 16 as a double sum over one response."""
  n = len(rewards)
  nexts = [*values[1:], 0.0]
  deltas = [rewards[t] + gamma * nexts[t] - values[t] for t in range(n)]
  return [
    sum((gamma * lam) ** (u - t) * deltas[u] for u in range(t, n))
    for t in range(n)
  ]


def test_gae_is_the_double_sum():
  rng = np.random.default_rng(0)
  rewards_BR = rng.normal(size=(4, 6)).astype('f4')
  values_BR = rng.normal(size=(4, 6)).astype('f4')
  lengths = [6, 4, 1, 0]
  mask_BR = np.arange(6) < np.array(lengths)[:, None]
  got, returns_BR = jax.jit(advantages.gae)(
    rewards_BR, values_BR, mask_BR, 0.9, 0.8
  )
  expected_BR = np.zeros((4, 6))
  for b, n in enumerate(lengths):
    expected_BR[b, :n] = _slow_gae(
      rewards_BR[b, :n], values_BR[b, :n], 0.9, 0.8
    )
  np.testing.assert_allclose(got, expected_BR, atol=1e-5)
  expected_BR += np.where(mask_BR, values_BR, 0)
  np.testing.assert_allclose(returns_BR, expected_BR, atol=1e-5)


def test_gae_at_its_ends_is_monte_carlo_and_temporal_difference():
  rewards_BR = jnp.array([[0.0, 0.0, 1.0]])
  values_BR = jnp.array([[0.2, 0.5, 0.4]])
  mask_BR = jnp.ones((1, 3), bool)
  full, returns_BR = advantages.gae(rewards_BR, values_BR, mask_BR, 1.0, 1.0)
  np.testing.assert_allclose(full, [[0.8, 0.5, 0.6]], atol=1e-6)
  np.testing.assert_allclose(returns_BR, [[1, 1, 1]], atol=1e-6)
  one_step, _ = advantages.gae(rewards_BR, values_BR, mask_BR, 1.0, 0.0)
  np.testing.assert_allclose(one_step, [[0.3, -0.1, 0.6]], atol=1e-6)


def test_whiten_gives_mean_zero_and_deviation_one_under_the_mask():
  rng = np.random.default_rng(0)
  x_BR = rng.normal(3, 5, (4, 6)).astype('f4')
  mask_BR = rng.random((4, 6)) < 0.6
  got = np.asarray(jax.jit(advantages.whiten)(x_BR, mask_BR))
  np.testing.assert_allclose(got[mask_BR].mean(), 0, atol=1e-5)
  np.testing.assert_allclose(got[mask_BR].std(ddof=1), 1, atol=1e-5)
  np.testing.assert_array_equal(got[~mask_BR], 0)


def test_overlong_penalty_falls_over_the_last_tokens():
  len_tokens = np.array([0, 80, 85, 90, 100, 130])
  got = advantages.overlong_penalty(len_tokens, 100, 20)
  np.testing.assert_allclose(got, [0, 0, -0.25, -0.5, -1, -1], atol=1e-6)
  with pytest.raises(ValueError, match='buffer_len_tokens=0'):
    advantages.overlong_penalty(len_tokens, 100, 0)


def test_wrong_shapes_and_types_are_refused():
  with pytest.raises(AssertionError):
    advantages.group_normalized(REWARDS_BG, ALL_BG[:, :2])
  with pytest.raises(AssertionError):
    advantages.group_normalized(REWARDS_BG, ALL_BG.astype('f4'))
  with pytest.raises(AssertionError):
    advantages.reinforce_plus_plus(REWARDS_BG[0], ALL_BG[0])
