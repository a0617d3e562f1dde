"""Estimates from counts: pass@k and two-sided intervals; numpy only."""

from collections.abc import Hashable, Sequence
import math
import statistics

import numpy as np


def pass_at_k(n: int, c: int, k: int) -> float:
  """Unbiased pass@k (arXiv 2107.03374 eq. 1): 1 - C(n - c, k) / C(n, k).

  Args:
    n: programs sampled for a problem.
    c: how many of them pass.
    k: at most n.

  Returns:
    The chance that one of k programs, drawn from the n without replacement,
    passes.

  Raises:
    ValueError: not 0 <= c <= n, or not 1 <= k <= n.
  """
  if not 0 <= c <= n or not 1 <= k <= n:
    raise ValueError(f'pass@k wants 0 <= c <= n, 1 <= k <= n: {n=} {c=} {k=}.')
  return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def wilson_interval(
  successes: int, n: int, confidence: float = 0.95
) -> tuple[float, float]:
  """Wilson's score interval for a proportion (JASA 22, 1927).

  Args:
    successes: out of n.
    n: trials; none leave the whole of (0, 1).
    confidence: in (0, 1).

  Returns:
    (low, high).

  Raises:
    ValueError: not 0 <= successes <= n.
  """
  if not 0 <= successes <= n:
    raise ValueError(f'Wanted 0 <= successes <= n: {successes=} {n=}.')
  if n == 0:
    return 0.0, 1.0
  z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
  p, shrink = successes / n, 1 + z**2 / n
  center = (p + z**2 / (2 * n)) / shrink
  half = z / shrink * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
  # Rounding must not leave (0, 1), nor exclude p itself at its ends.
  return max(0.0, center - half), min(1.0, center + half)


def bootstrap_interval(
  values: Sequence[float],
  groups: Sequence[Hashable] | None = None,
  *,
  seed: int,
  confidence: float = 0.95,
  resamples: int = 2000,
) -> tuple[float, float]:
  """Percentile bootstrap interval of a mean, resampling whole groups.

  Args:
    values: scores, fractional or not.
    groups: what each value belongs to, such as its problem; values of a group
      depend on one another and are drawn together. None: all independent.
    seed: same seed, same interval.
    confidence: in (0, 1).
    resamples: bootstrap samples.

  Returns:
    (low, high).

  Raises:
    ValueError: no values, or not one group a value.
  """
  values = np.asarray(values, np.float64)
  if groups is None:
    groups = range(len(values))
  if not len(values) or len(groups) != len(values):
    raise ValueError(
      f'Wanted a group a value: {len(values)} values, {len(groups)} groups.'
    )
  index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
  of_value = [index[group] for group in groups]
  totals = np.bincount(of_value, weights=values)
  counts = np.bincount(of_value)
  rng = np.random.default_rng(seed)
  means = np.empty(resamples)
  for i in range(resamples):
    drawn = rng.integers(len(totals), size=len(totals))
    means[i] = totals[drawn].sum() / counts[drawn].sum()
  tail = (1 - confidence) / 2
  low, high = np.quantile(means, [tail, 1 - tail])
  return float(low), float(high)


def paired_difference(
  before: Sequence[float],
  after: Sequence[float],
  groups: Sequence[Hashable] | None = None,
  *,
  seed: int,
  confidence: float = 0.95,
  resamples: int = 2000,
) -> tuple[float, float, float]:
  """Mean of after - before on the same problems, with its interval.

  Pairing takes the problems' own spread out: only those that changed count.

  Args:
    before: scores, one a problem.
    after: scores of the same problems in the same order.
    groups, seed, confidence, resamples: as in bootstrap_interval.

  Returns:
    (difference, low, high).

  Raises:
    ValueError: the two differ in length, or are empty.
  """
  if len(before) != len(after):
    raise ValueError(f'Not paired: {len(before)=}, {len(after)=}.')
  change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
  low, high = bootstrap_interval(
    change, groups, seed=seed, confidence=confidence, resamples=resamples
  )
  return float(change.mean()), low, high
