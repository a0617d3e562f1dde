"""Estimates against exhaustive counts, published values and simulations."""

import itertools

import numpy as np
import pytest

from commons import estimates


def test_pass_at_k_equals_the_count_over_all_draws():
  for n in range(1, 7):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
      draws = list(itertools.combinations(range(n), k))
      passing = sum(any(i < c for i in draw) for draw in draws)
      np.testing.assert_allclose(
        estimates.pass_at_k(n, c, k), passing / len(draws), atol=1e-12
      )


@pytest.mark.parametrize(
  ('n', 'c', 'k'), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)]
)
def test_pass_at_k_refuses_impossible_counts(n, c, k):
  with pytest.raises(ValueError, match=f'n={n} c={c} k={k}'):
    estimates.pass_at_k(n, c, k)


def test_wilson_interval_equals_published_values():
  # Newcombe (1998), table I, method 3.
  for successes, n, expected in [
    (81, 263, (0.2553, 0.3662)),
    (15, 148, (0.0624, 0.1605)),
    (0, 20, (0.0, 0.1611)),
    (1, 29, (0.0061, 0.1718)),
  ]:
    interval = estimates.wilson_interval(successes, n)
    np.testing.assert_allclose(interval, expected, atol=5e-5)


def test_wilson_interval_is_symmetric_and_is_all_of_0_1_without_data():
  low, high = estimates.wilson_interval(3, 20)
  mirrored = estimates.wilson_interval(17, 20)
  np.testing.assert_allclose(mirrored, (1 - high, 1 - low), atol=1e-12)
  assert estimates.wilson_interval(20, 20)[1] == 1.0
  assert estimates.wilson_interval(0, 0) == (0.0, 1.0)
  with pytest.raises(ValueError, match='successes=3 n=2'):
    estimates.wilson_interval(3, 2)


def test_bootstrap_interval_is_close_to_the_normal_one_and_seeded():
  values = np.random.default_rng(0).random(400)
  interval = estimates.bootstrap_interval(values, seed=1)
  half = 1.96 * values.std() / 20
  expected = values.mean() - half, values.mean() + half
  np.testing.assert_allclose(interval, expected, atol=0.1 * half)
  assert estimates.bootstrap_interval(values, seed=1) == interval
  assert estimates.bootstrap_interval(values, seed=2) != interval


def test_bootstrap_interval_covers_the_mean_at_about_its_confidence():
  rng = np.random.default_rng(0)
  hits = 0
  for seed in range(200):
    low, high = estimates.bootstrap_interval(
      rng.random(40), seed=seed, confidence=0.9, resamples=200
    )
    hits += low <= 0.5 <= high
  assert 0.82 <= hits / 200 <= 0.96


def test_bootstrap_interval_equals_resampling_of_whole_groups_by_hand():
  rng = np.random.default_rng(0)
  values, groups = rng.random(60), rng.integers(9, size=60)
  members = [values[groups == g] for g in dict.fromkeys(groups)]
  draws = np.random.default_rng(5).integers(9, size=(2000, 9))
  means = [np.concatenate([members[i] for i in draw]).mean() for draw in draws]
  low, high = estimates.bootstrap_interval(values, groups.tolist(), seed=5)
  np.testing.assert_allclose([low, high], np.quantile(means, [0.025, 0.975]))


def test_bootstrap_interval_of_a_single_group_is_its_mean():
  interval = estimates.bootstrap_interval([0.0, 1.0], ['a', 'a'], seed=0)
  assert interval == (0.5, 0.5)


def test_copies_within_a_group_do_not_narrow_the_interval():
  values = np.random.default_rng(0).random(50)
  single = estimates.bootstrap_interval(values, seed=0)
  groups = [f'p{i // 4}' for i in range(200)]
  copies = estimates.bootstrap_interval(np.repeat(values, 4), groups, seed=0)
  np.testing.assert_allclose(copies, single, atol=1e-12)
  naive = estimates.bootstrap_interval(np.repeat(values, 4), seed=0)
  assert naive[1] - naive[0] < 0.7 * (single[1] - single[0])


def test_bootstrap_interval_refuses_bad_input():
  with pytest.raises(ValueError, match='0 values'):
    estimates.bootstrap_interval([], seed=0)
  with pytest.raises(ValueError, match='2 values, 1 groups'):
    estimates.bootstrap_interval([0, 1], ['a'], seed=0)


def test_pairing_removes_the_variance_between_problems():
  rng = np.random.default_rng(0)
  before = (rng.random(200) < 0.5).astype(float)
  after = before.copy()
  after[np.flatnonzero(before == 0)[:10]] = 1.0
  difference, low, high = estimates.paired_difference(before, after, seed=0)
  np.testing.assert_allclose(difference, 0.05)
  assert 0 < low < 0.05 < high
  same = estimates.paired_difference(before, before, seed=0)
  assert same == (0.0, 0.0, 0.0)
  with pytest.raises(ValueError, match='len\\(after\\)=1'):
    estimates.paired_difference([0, 1], [1], seed=0)


def test_holm_stops_at_the_first_p_value_above_its_bound():
  # Bounds: 0.0125, 0.0167, 0.025, 0.05. The third is above, so the fourth is
  # not rejected although it is below its bound.
  p_values = [0.03, 0.005, 0.04, 0.015]
  assert estimates.holm(p_values, 0.05) == [False, True, False, True]
  assert estimates.holm([0.03, 0.04], 0.05) == [False, False]
  assert estimates.holm([0.025, 0.05], 0.05) == [True, True]
  assert estimates.holm([], 0.05) == []


def test_holm_rejects_falsely_no_more_often_than_its_level():
  p_values = np.random.default_rng(0).random((2000, 6))
  rejections = [any(estimates.holm(row, 0.1)) for row in p_values]
  assert 0.08 < np.mean(rejections) < 0.12
