"""Estimates with their uncertainty: pass@k, intervals, Holm's procedure."""

from collections.abc import Hashable, Sequence
import math

import numpy as np
from scipy import stats

_BATCH = 100  # Resamples computed at a time, to bound the memory.


def pass_at_k(n: int, c: int, k: int) -> float:
  """Returns unbiased pass@k (arXiv 2107.03374 eq. 1): 1 - C(n-c, k) / C(n, k).

  It is the probability that at least one of k programs, drawn from the n
  without replacement, passes.

  Args:
    n: number of programs sampled for a problem.
    c: number of these that pass.
    k: number of programs drawn, at most n.

  Raises:
    ValueError: not 0 <= c <= n, or not 1 <= k <= n.
  """
  if not 0 <= c <= n or not 1 <= k <= n:
    raise ValueError(
      f'pass@k expects 0 <= c <= n and 1 <= k <= n: {n=} {c=} {k=}.'
    )
  return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def wilson_interval(
  successes: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
  """Returns Wilson's score interval (low, high) of a proportion.

  Wilson, J. Am. Stat. Assoc. 22 (1927).

  Args:
    successes: number of successes among the n observations.
    n: number of observations; 0 gives the interval (0, 1).
    confidence: coverage, in (0, 1).

  Raises:
    ValueError: not 0 <= successes <= n.
  """
  if not 0 <= successes <= n:
    raise ValueError(f'Expected 0 <= successes <= n: {successes=} {n=}.')
  if n == 0:
    return 0.0, 1.0
  test = stats.binomtest(int(successes), n)
  interval = test.proportion_ci(confidence, method='wilson')
  return float(interval.low), float(interval.high)


def bootstrap_interval(
  values: Sequence[float],
  groups: Sequence[Hashable] | None = None,
  *,
  seed: int,
  confidence: float = 0.95,
  resamples: int = 2000,
) -> tuple[float, float]:
  """Returns the percentile bootstrap interval (low, high) of a mean.

  Args:
    values: scores, of any real value.
    groups: the group of each value, such as its problem. Values of one group
      depend on each other, so whole groups are resampled. None means that all
      values are independent.
    seed: seed of the resampling.
    confidence: coverage, in (0, 1).
    resamples: number of bootstrap samples.

  Raises:
    ValueError: there are no values, or not one group per value.
  """
  values = np.asarray(values, np.float64)
  if groups is None:
    groups = range(len(values))
  if not len(values) or len(groups) != len(values):
    raise ValueError(
      f'Expected one group per value: {len(values)} values,'
      f' {len(groups)} groups.'
    )
  index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
  group_of_value = [index[group] for group in groups]
  totals = np.bincount(group_of_value, weights=values)
  counts = np.bincount(group_of_value)
  if len(totals) == 1:  # SciPy refuses to resample a single group.
    return float(values.mean()), float(values.mean())
  # Sums and sizes of groups, resampled together, give the mean of the values.
  interval = stats.bootstrap(
    (totals, counts),
    lambda totals, counts, axis: totals.sum(axis) / counts.sum(axis),
    paired=True,
    vectorized=True,
    method='percentile',
    n_resamples=resamples,
    batch=_BATCH,
    confidence_level=confidence,
    rng=np.random.default_rng(seed),
  ).confidence_interval
  return float(interval.low), float(interval.high)


def paired_difference(
  before: Sequence[float],
  after: Sequence[float],
  groups: Sequence[Hashable] | None = None,
  *,
  seed: int,
  confidence: float = 0.95,
  resamples: int = 2000,
) -> tuple[float, float, float]:
  """Returns the mean of after - before and its interval (low, high).

  Pairing removes the variance between problems: only problems whose score
  changed contribute to the width of the interval.

  Args:
    before: scores, one per problem.
    after: scores of the same problems in the same order.
    groups: the group of each problem; see `bootstrap_interval`.
    seed: seed of the resampling.
    confidence: coverage, in (0, 1).
    resamples: number of bootstrap samples.

  Raises:
    ValueError: `before` and `after` differ in length, or are empty.
  """
  if len(before) != len(after):
    raise ValueError(f'Not paired: {len(before)=}, {len(after)=}.')
  change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
  low, high = bootstrap_interval(
    change, groups, seed=seed, confidence=confidence, resamples=resamples
  )
  return float(change.mean()), low, high


def holm(p_values: Sequence[float], level: float) -> list[bool]:
  """Returns for each test whether Holm's procedure rejects its hypothesis.

  Holm, Scand. J. Statist. 6 (1979): the i-th smallest of m p-values, i from 0,
  is held against level / (m - i), until one exceeds its bound. The probability
  of any false rejection is then at most `level`. statsmodels has this too, but
  depends on pandas.

  Args:
    p_values: one per test, in any order.
    level: bound on the family-wise error rate.
  """
  rejected = [False] * len(p_values)
  order = sorted(range(len(p_values)), key=lambda i: p_values[i])
  for rank, i in enumerate(order):
    if not p_values[i] <= level / (len(p_values) - rank):
      break
    rejected[i] = True
  return rejected
