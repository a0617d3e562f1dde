"""Psychometric curves: accuracy against how different the stimuli are.

    p(x) = g + (1 - g - lapse) (1 - exp(-(x / scale)^slope))

a Weibull curve whose guess rate g is the cell's chance, fitted by maximum
likelihood (Wichmann and Hill, Perception & Psychophysics 63, 2001). The
threshold is where it is halfway between the guess rate and its upper end; its
interval is a bootstrap of whole groups. Members of a group in which the two
things do not differ belong to no curve: who always says that they are alike
would gain by them. They stand apart.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
from scipy import optimize

from commons import estimates
from wm_abench import types


@dataclasses.dataclass(frozen=True)
class Difference:
  """How different the things are that a dimension compares.

  Attributes:
    factor: that says it, the same for all of a group.
    unit: of the curve's x, in words.
    ratio: whether the factor is one, whichever way round: x is then the
      absolute value of its natural logarithm.
  """

  factor: str
  unit: str
  ratio: bool = False


DIFFERENCES: dict[str, Difference] = {
  'SE-V': Difference('margin', 'ln(hole / object)', ratio=True),
  'SE-O': Difference('ratio', 'ln(larger / smaller)', ratio=True),
  'TP': Difference('difficulty', 'pictures earlier'),
  'TE': Difference('difficulty', 'pictures longer'),
  'MS': Difference('difficulty', 'ln(faster / slower)', ratio=True),
  'CQ': Difference('difficulty', 'ln(lighter / darker)', ratio=True),
  'RQ': Difference('difficulty', 'objects more'),
}
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
  replies: Sequence[types.Reply], difference: Difference, seed: int
) -> dict[str, Any] | None:
  """Accuracy by difference, and the curve through it.

  Args:
    replies: of one cell.
    difference: its own, of DIFFERENCES.
    seed: of the bootstrap.

  Returns:
    'unit' of x; 'points', of each difference 'x', 'accuracy', 'low', 'high'
    (Wilson) and 'items'; 'guess', 'scale', 'slope', 'lapse'; 'threshold', with
    'low' and 'high', none beyond the differences that were asked: at the least
    it means "at most", at the largest "at least"; 'alike', the accuracy where
    nothing differs, None where there are no such items. None where there are
    too few differences.
  """
  alike = [r.right for r in replies if _is_alike(r)]
  own = [
    r for r in replies if difference.factor in r.factors and not _is_alike(r)
  ]
  x_N = np.array([r.factors[difference.factor] for r in own], float)
  if difference.ratio:
    x_N = np.abs(np.log(x_N))
  x_L, at_N = np.unique(x_N.round(4), return_inverse=True)
  if len(x_L) < _LEAST_LEVELS:
    return None
  names = {
    name: i for i, name in enumerate(dict.fromkeys(r.group for r in own))
  }
  group_N = np.array([names[r.group] for r in own])
  guess = own[0].chance
  # Of each group, its items and right ones at each difference.
  count_GL, right_GL = np.zeros((2, len(names), len(x_L)))
  np.add.at(count_GL, (group_N, at_N), 1)
  np.add.at(right_GL, (group_N, at_N), [r.right for r in own])
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
  half, low, high = np.clip(
    (threshold(scale, slope), low, high), x_L[0], x_L[-1]
  ).tolist()
  return {
    'unit': difference.unit,
    'points': points,
    'guess': guess,
    'scale': scale,
    'slope': slope,
    'lapse': lapse,
    'threshold': half,
    'low': low,
    'high': high,
    'alike': float(np.mean(alike)) if alike else None,
  }


def _is_alike(reply: types.Reply) -> bool:
  """Whether the right answer is that the two things do not differ."""
  return 'both' in str(reply.factors.get(reply.varies, ''))
