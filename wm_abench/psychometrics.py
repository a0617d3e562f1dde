"""Psychometric curves: accuracy against how different the stimuli are.

    p(x) = g + (1 - g - lapse) (1 - exp(-(x / scale)^slope))

a Weibull curve whose guess rate g is the cell's chance, fitted by maximum
likelihood (Wichmann and Hill, Perception & Psychophysics 63, 2001). The
threshold is where it is halfway between the guess rate and its upper end; its
interval is a bootstrap of whole groups.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize

from commons import estimates
from wm_abench import types

# Of each dimension the factor that says how different the compared things are.
DIFFERENCES: dict[str, str] = {
  'SE-V': 'margin',
  'SE-O': 'ratio',
  'TP': 'difficulty',
  'TE': 'difficulty',
  'MS': 'difficulty',
  'CQ': 'difficulty',
  'RQ': 'difficulty',
}
# Ratios start from 1, where nothing differs.
_FROM = {'margin': 1.0, 'ratio': 1.0}
_RESAMPLES = 100
_MOST_LAPSES = 0.2
_LEAST_LEVELS = 2


def weibull(
  x: np.ndarray, guess: float, scale: float, slope: float, lapse: float
) -> np.ndarray:
  """The curve of the module; x >= 0."""
  return guess + (1 - guess - lapse) * -np.expm1(-((x / scale) ** slope))


def fit(
  x: np.ndarray, right: np.ndarray, count: np.ndarray, guess: float
) -> tuple[float, float, float]:
  """Maximum likelihood (scale, slope, lapse).

  Args:
    x: differences, > 0, [L].
    right: answers that are right at each, [L].
    count: of all, [L].
    guess: accuracy of a guess.
  """

  def loss(parameters: np.ndarray) -> float:
    scale, slope = np.exp(parameters[:2])
    p = weibull(x, guess, scale, slope, parameters[2])
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -float(right @ np.log(p) + (count - right) @ np.log1p(-p))

  middle = np.log(np.median(x))
  spread = np.log(x.max() / x.min()) + 2
  best = optimize.minimize(
    loss,
    (middle, 0.5, 0.02),
    method='L-BFGS-B',
    bounds=[
      (middle - spread, middle + spread),
      (np.log(0.3), np.log(10)),
      (0.0, _MOST_LAPSES),
    ],
  )
  scale, slope = np.exp(best.x[:2])
  return float(scale), float(slope), float(best.x[2])


def threshold(scale: float, slope: float) -> float:
  """Where a curve is halfway up."""
  return float(scale * np.log(2) ** (1 / slope))


def curve(
  replies: Sequence[types.Reply], factor: str, seed: int
) -> dict[str, Any] | None:
  """Accuracy by difference, and the curve through it.

  Args:
    replies: of one cell; the factor is the same for all of a group.
    factor: of DIFFERENCES.
    seed: of the bootstrap.

  Returns:
    'points', of each difference 'x', 'accuracy', 'low', 'high' (Wilson) and
    'items'; 'guess', 'scale', 'slope', 'lapse'; 'threshold', with 'low' and
    'high'. None where there are too few differences.
  """
  x_N = np.array([float(r.factors.get(factor, 'nan')) for r in replies])
  x_N -= _FROM.get(factor, 0.0)
  known = np.isfinite(x_N) & (x_N > 0)
  x_N = x_N[known].round(6)
  x_L, at_N = np.unique(x_N, return_inverse=True)
  if len(x_L) < _LEAST_LEVELS:
    return None
  own = [r for r, k in zip(replies, known, strict=True) if k]
  right_N = np.array([r.right for r in own], float)
  names = list(dict.fromkeys(r.group for r in own))
  place = {name: i for i, name in enumerate(names)}
  group_N = np.array([place[r.group] for r in own])
  guess = own[0].chance
  # Of each group, its items and right ones at each difference.
  count_GL, right_GL = np.zeros((2, len(names), len(x_L)))
  np.add.at(count_GL, (group_N, at_N), 1)
  np.add.at(right_GL, (group_N, at_N), right_N)
  right_L, count_L = right_GL.sum(0), count_GL.sum(0)
  scale, slope, lapse = fit(x_L, right_L, count_L, guess)
  rng = np.random.default_rng(seed)
  thresholds = []
  for _ in range(_RESAMPLES):
    drawn = rng.integers(len(names), size=len(names))
    again = fit(x_L, right_GL[drawn].sum(0), count_GL[drawn].sum(0), guess)
    thresholds.append(threshold(*again[:2]))
  low, high = np.quantile(thresholds, (0.025, 0.975))
  points = []
  for x, r, n in zip(x_L, right_L, count_L, strict=True):
    ends = estimates.wilson_interval(int(r), int(n))
    points.append(
      {
        'x': float(x),
        'accuracy': float(r / n),
        'low': ends[0],
        'high': ends[1],
        'items': int(n),
      }
    )
  return {
    'factor': factor,
    'points': points,
    'guess': guess,
    'scale': scale,
    'slope': slope,
    'lapse': lapse,
    'threshold': threshold(scale, slope),
    'low': float(low),
    'high': float(high),
  }
