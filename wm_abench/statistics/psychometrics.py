"""Psychometric curves: accuracy against how different the stimuli are.

    p(x) = g + (1 - g - lapse) (1 - exp(-(x / scale)^slope))

a Weibull curve whose guess rate g is the cell's chance, fitted by maximum
likelihood (Wichmann and Hill, Perception & Psychophysics 63, 2001) over a grid
of curves, which has no local maxima to end in. The threshold is where a curve
is halfway between its guess rate and its upper end; its interval is a bootstrap
of whole groups. Members of a group in which the two things do not differ belong
to no curve: who always says that they are alike would gain by them. They stand
apart.
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

  def of(self, factors: Mapping[str, Any]) -> float:
    """The curve's x."""
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
_SCALES, _BEYOND = 120, 3.0  # As far under and above the differences.
_SLOPES = np.geomspace(0.3, 10, 24)
_LAPSES = np.linspace(0, 0.2, 6)
_LEAST_LEVELS = 2


def weibull(
  x: np.ndarray,
  guess: float,
  scale: np.ndarray,
  slope: np.ndarray,
  lapse: np.ndarray,
) -> np.ndarray:
  """The curve of the module; x >= 0."""
  return guess + (1 - guess - lapse) * -np.expm1(-((x / scale) ** slope))


def fit(
  x_L: np.ndarray, right_RL: np.ndarray, count_RL: np.ndarray, guess: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Maximum likelihood (scale, slope, lapse), each [R], of R sets of answers.

  Args:
    x_L: differences, > 0, ascending, [L].
    right_RL: answers that are right at each, [R, L].
    count_RL: of all, [R, L].
    guess: accuracy of a guess.
  """
  scales = np.geomspace(x_L[0] / _BEYOND, x_L[-1] * _BEYOND, _SCALES)
  grid = np.meshgrid(scales, _SLOPES, _LAPSES, indexing='ij')
  scale, slope, lapse = (axis.reshape(-1, 1) for axis in grid)
  p_CL = np.clip(weibull(x_L, guess, scale, slope, lapse), 1e-6, 1 - 1e-6)
  likelihood_RC = right_RL @ np.log(p_CL).T
  likelihood_RC += (count_RL - right_RL) @ np.log1p(-p_CL).T
  best = likelihood_RC.argmax(axis=1)
  return scale[best, 0], slope[best, 0], lapse[best, 0]


def threshold(scale: np.ndarray, slope: np.ndarray) -> np.ndarray:
  """Where curves are halfway up."""
  return scale * np.log(2) ** (1 / slope)


def curve(
  replies: Sequence[records.Reply], difference: Difference, seed: int
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
  x_N = np.array([difference.of(r.factors) for r in own], float)
  # What differs by nothing lies on no curve, whatever its question.
  own = [r for r, x in zip(own, x_N, strict=True) if x > 0]
  x_N = x_N[x_N > 0]
  x_L, at_N = np.unique(x_N.round(4), return_inverse=True)
  if len(x_L) < _LEAST_LEVELS:
    return None
  group_N = scores.group_of(own)
  guess = own[0].chance
  # Of each group, its items and right ones at each difference.
  count_GL, right_GL = np.zeros((2, group_N.max() + 1, len(x_L)))
  np.add.at(count_GL, (group_N, at_N), 1)
  np.add.at(right_GL, (group_N, at_N), [r.right for r in own])
  rng = np.random.default_rng(seed)
  drawn_RG = scores.draw(len(count_GL), rng, _RESAMPLES)
  right_RL, count_RL = drawn_RG @ right_GL, drawn_RG @ count_GL
  scale, slope, lapse = fit(x_L, right_RL, count_RL, guess)
  # Nowhere is asked beyond the ends, so nothing is said of it.
  half = np.clip(threshold(scale, slope), x_L[0], x_L[-1])
  low, high = np.quantile(half[1:], (0.025, 0.975))
  points = []
  for x, r, n in zip(x_L, right_RL[0], count_RL[0], strict=True):
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
    'unit': difference.unit,
    'points': points,
    'guess': guess,
    'scale': float(scale[0]),
    'slope': float(slope[0]),
    'lapse': float(lapse[0]),
    'threshold': float(half[0]),
    'low': float(low),
    'high': float(high),
    'alike': float(np.mean(alike)) if alike else None,
  }


def _is_alike(reply: records.Reply) -> bool:
  """Whether the right answer is that the two things do not differ."""
  return 'both' in str(reply.factors.get(reply.varies, ''))
