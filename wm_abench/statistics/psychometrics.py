"""Psychometric curves: accuracy against the difference between the stimuli.

    p(x) = g + (1 - g - lapse) (1 - exp(-(x / scale)^slope))

is a Weibull curve whose guess rate g is the chance of the cell. It is fitted by
maximum likelihood (Wichmann and Hill, Perception & Psychophysics 63, 2001) over
a grid of curves, which has no local maxima. The threshold is the difference at
which a curve is halfway between its guess rate and its upper end; its interval
is a bootstrap over whole groups. Items whose key says that the two things do
not differ are excluded from the fit and reported separately, because a model
that always gives this answer would raise the curve.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from commons import estimates
from wm_abench.core import records
from wm_abench.statistics import scores


@dataclasses.dataclass(frozen=True)
class Difference:
  """The difference between the things that a dimension compares.

  Attributes:
    factor: name of the factor that holds it, equal within a group.
    unit: unit of the curve's x, in words.
    ratio: whether the factor is a ratio, in either direction; x is then the
      absolute value of its natural logarithm.
  """

  factor: str
  unit: str
  ratio: bool = False

  def of(self, factors: Mapping[str, Any]) -> float:
    """Returns the curve's x for an item with these factors."""
    value = float(factors[self.factor])
    return abs(math.log(value)) if self.ratio else value


DIFFERENCES: dict[str, Difference] = {
  'SE-V': Difference('margin', 'ln(hole / object)', ratio=True),
  'SE-O': Difference('ratio', 'ln(larger / smaller)', ratio=True),
  'TP': Difference('difficulty', 'pictures earlier'),
  'TE': Difference('difficulty', 'pictures longer'),
  'MS': Difference('difficulty', 'ln(faster / slower)', ratio=True),
  'CQ': Difference('difficulty', 'ln(lighter / darker)', ratio=True),
  'RQ': Difference('difficulty', 'objects more'),
}
_RESAMPLES = 400
# Scales of the grid reach this factor beyond the smallest and largest x.
_SCALES, _BEYOND = 120, 3.0
_SLOPES = np.geomspace(0.3, 10, 24)
_LAPSES = np.linspace(0, 0.2, 6)
_MIN_DIFFERENCES = 2


def weibull(
  x: np.ndarray,
  guess: float,
  scale: np.ndarray,
  slope: np.ndarray,
  lapse: np.ndarray,
) -> np.ndarray:
  """Returns the accuracy p(x) of the module's equation; x >= 0."""
  return guess + (1 - guess - lapse) * -np.expm1(-((x / scale) ** slope))


def fit(
  x_L: np.ndarray, right_RL: np.ndarray, count_RL: np.ndarray, guess: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Fits a curve to each of R samples by maximum likelihood.

  Args:
    x_L: differences, positive and ascending.
    right_RL: right replies at each difference.
    count_RL: all replies at each difference.
    guess: accuracy of a random guess.

  Returns:
    (scale_R, slope_R, lapse_R).
  """
  scales = np.geomspace(x_L[0] / _BEYOND, x_L[-1] * _BEYOND, _SCALES)
  grid = np.meshgrid(scales, _SLOPES, _LAPSES, indexing='ij')
  scale, slope, lapse = (axis.reshape(-1, 1) for axis in grid)
  p_CL = np.clip(weibull(x_L, guess, scale, slope, lapse), 1e-6, 1 - 1e-6)
  likelihood_RC = right_RL @ np.log(p_CL).T
  likelihood_RC += (count_RL - right_RL) @ np.log1p(-p_CL).T
  best_R = likelihood_RC.argmax(axis=1)
  return scale[best_R, 0], slope[best_R, 0], lapse[best_R, 0]


def threshold(scale: np.ndarray, slope: np.ndarray) -> np.ndarray:
  """Returns the difference at which each curve is halfway up."""
  return scale * np.log(2) ** (1 / slope)


def curve(
  replies: Sequence[records.Reply], difference: Difference, seed: int
) -> dict[str, Any] | None:
  """Computes accuracy by difference, and the curve through it.

  Args:
    replies: replies of one cell.
    difference: the difference that the cell's dimension compares.
    seed: seed of the bootstrap.

  Returns:
    None if there are too few differences, else
    'unit' of x; 'points', a list of 'x', 'accuracy', 'low', 'high' (Wilson) and
    'items'; 'guess', 'scale', 'slope', 'lapse' of the curve; 'threshold' with
    'low' and 'high', clipped to the differences that were asked (the smallest
    one then means "at most", the largest "at least"); 'alike', the accuracy on
    items whose key says that nothing differs, None without such items.
  """
  alike = [reply.right for reply in replies if _is_alike(reply)]
  compared = [
    reply
    for reply in replies
    if difference.factor in reply.factors and not _is_alike(reply)
  ]
  x_N = np.array([difference.of(reply.factors) for reply in compared], float)
  # A difference of 0 has no position on the curve's logarithmic scale.
  compared = [r for r, x in zip(compared, x_N, strict=True) if x > 0]
  x_N = x_N[x_N > 0]
  x_L, level_N = np.unique(x_N.round(4), return_inverse=True)
  if len(x_L) < _MIN_DIFFERENCES:
    return None
  guess = compared[0].chance
  right_RL, count_RL = _resampled(compared, level_N, len(x_L), seed)
  scale, slope, lapse = fit(x_L, right_RL, count_RL, guess)
  threshold_R = np.clip(threshold(scale, slope), x_L[0], x_L[-1])
  low, high = np.quantile(threshold_R[1:], (0.025, 0.975))
  return {
    'unit': difference.unit,
    'points': _points(x_L, right_RL[0], count_RL[0]),
    'guess': guess,
    'scale': float(scale[0]),
    'slope': float(slope[0]),
    'lapse': float(lapse[0]),
    'threshold': float(threshold_R[0]),
    'low': float(low),
    'high': float(high),
    'alike': float(np.mean(alike)) if alike else None,
  }


def _resampled(
  replies: Sequence[records.Reply],
  level_N: np.ndarray,
  levels: int,
  seed: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (right_RL, count_RL) of bootstrap samples of whole groups.

  Line 0 is the sample itself.
  """
  group_N = scores.group_of(replies)
  count_GL, right_GL = np.zeros((2, group_N.max() + 1, levels))
  np.add.at(count_GL, (group_N, level_N), 1)
  np.add.at(right_GL, (group_N, level_N), [reply.right for reply in replies])
  rng = np.random.default_rng(seed)
  drawn_RG = scores.draw(len(count_GL), rng, _RESAMPLES)
  return drawn_RG @ right_GL, drawn_RG @ count_GL


def _points(
  x_L: np.ndarray, right_L: np.ndarray, count_L: np.ndarray
) -> list[dict[str, Any]]:
  points = []
  for x, right, count in zip(x_L, right_L, count_L, strict=True):
    low, high = estimates.wilson_interval(int(right), int(count))
    points.append(
      {
        'x': float(x),
        'accuracy': float(right / count),
        'low': low,
        'high': high,
        'items': int(count),
      }
    )
  return points


def _is_alike(reply: records.Reply) -> bool:
  """Whether the key says that the two things do not differ."""
  return 'both' in str(reply.factors.get(reply.varies, ''))
