"""Analyses of replies beyond their scores; numbers only.

stages        perception against prediction
given         prediction of objects whose colour and shape are perceived
entanglement  see entanglement.py
curves        see psychometrics.py
errors        which distractors are chosen, and
colours       whether options are chosen for the colour they name: confusions.py
comparisons   models two by two, paired by item
"""

import collections
from collections.abc import Mapping, Sequence
import itertools
from typing import Any

import numpy as np
from scipy import stats

from wm_abench.core import dimensions, records
from wm_abench.statistics import confusions, entanglement, psychometrics, scores

# A two-sided test at 5% has 80% power for an effect of 2.8 standard errors.
_DETECTABLE_SE = 2.8

Replies = Sequence[records.Reply]


def analyse(replies_of: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  """Makes all analyses; the result consists of JSON types.

  Args:
    replies_of: model -> replies.
    seed: seed of bootstraps and permutations.

  Returns:
    'models': model -> 'stages', 'entanglement' ('cells' and their 'matrix')
    and, each by cell, 'given', 'curves', 'errors' and 'colours'.
    'comparisons': one entry per pair of models, 'models' with what `compare`
    returns.
  """
  return {
    'models': {
      name: _analyse_model(replies, seed)
      for name, replies in replies_of.items()
    },
    'comparisons': [
      {'models': [a, b], **compare(replies_of[a], replies_of[b], seed)}
      for a, b in itertools.combinations(replies_of, 2)
    ],
  }


def _analyse_model(replies: Replies, seed: int) -> dict[str, Any]:
  by_cell = scores.by_cell(replies)
  effects = {
    cell: entanglement.of_cell(cell_replies, seed)
    for cell, cell_replies in by_cell.items()
  }
  return {
    'stages': stages(replies, seed),
    'given': given(by_cell, seed),
    'entanglement': {
      'cells': effects,
      'matrix': entanglement.matrix(effects),
    },
    'curves': _curves(by_cell, seed),
    'errors': {
      cell: confusions.errors(cell_replies)
      for cell, cell_replies in by_cell.items()
      if dimensions.CELLS[cell].of.stage == dimensions.PREDICTION
    },
    'colours': {
      cell: tests
      for cell, cell_replies in by_cell.items()
      if (tests := confusions.colours(cell_replies))
    },
  }


def _curves(by_cell: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  curves = {}
  for cell, replies in by_cell.items():
    dimension = dimensions.CELLS[cell].dimension
    difference = psychometrics.DIFFERENCES.get(dimension)
    if difference:
      curve = psychometrics.curve(replies, difference, seed)
      if curve:
        curves[cell] = curve
  return curves


def stages(replies: Replies, seed: int) -> dict[str, Any]:
  """Compares chance-corrected perception and prediction, by environment.

  Scores are means over cells; intervals are a bootstrap of whole groups in each
  cell.

  Returns:
    Environment or 'all' -> stage -> 'score', 'low', 'high'; and, if there are
    replies of both stages, 'gap', perception minus prediction.
  """
  draws: dict[tuple[str, str], list[np.ndarray]] = collections.defaultdict(list)
  for name, (table, accuracies) in scores.resample_cells(replies, seed).items():
    corrected = (accuracies - table.chance) / (1 - table.chance)
    cell = dimensions.CELLS[name]
    for environment in ('all', cell.environment):
      draws[environment, cell.of.stage].append(corrected)
  results: dict[str, Any] = {}
  for (environment, stage), cells in draws.items():
    results.setdefault(environment, {})[stage] = _interval(np.mean(cells, 0))
  for environment, entry in results.items():
    both = [
      draws.get((environment, stage))
      for stage in (dimensions.PERCEPTION, dimensions.PREDICTION)
    ]
    if all(both):
      entry['gap'] = _interval(np.mean(both[0], 0) - np.mean(both[1], 0))
  return results


# (Perception dimension, the factor with its key, factors of prediction items
# that hold the same property of the objects in question).
_PROPERTIES = (
  ('V-C', 'color', ('colors', 'object_color')),
  ('V-S', 'shape', ('shapes', 'shape')),
)


def given(by_cell: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  """Estimates the accuracy of prediction where the objects are perceived.

  The paper keeps the items whose objects a model names correctly, by colour and
  shape (section 5). Here no two cells share a scene, so an item is weighted by
  how likely its objects are named correctly: the product over them of the
  model's accuracy on that colour (V-C) and on that shape (V-S), in any scene.
  The weighted mean equals P(prediction right | perception right) only if, for a
  given colour and shape, the two are independent; shared scene difficulty is
  ignored. Positions, speeds and objects that perception items do not contain,
  such as mugs, are not considered.

  Returns:
    Prediction cell -> 'accuracy' of the items with such objects; 'given', the
    weighted accuracy; 'change', given minus accuracy, with 'low' and 'high'
    (bootstrap of whole groups); 'weight', the mean weight; 'items'.
  """
  named = {
    code: _accuracies(by_cell, code, factor) for code, factor, _ in _PROPERTIES
  }
  results = {}
  for index, (name, replies) in enumerate(by_cell.items()):
    if dimensions.CELLS[name].of.stage == dimensions.PREDICTION:
      weights = [_weight(reply.factors, named) for reply in replies]
      weighted = [
        (reply, weight)
        for reply, weight in zip(replies, weights, strict=True)
        if weight is not None
      ]
      if any(weight for _, weight in weighted):
        rng = np.random.default_rng([seed, index])
        results[name] = _weighted(*zip(*weighted, strict=True), rng)
  return results


def _accuracies(
  by_cell: Mapping[str, Replies], code: str, factor: str
) -> dict[str, float]:
  """Returns a dimension's accuracy at each level of a factor."""
  rights: dict[str, list[bool]] = {}
  for name, replies in by_cell.items():
    if dimensions.CELLS[name].dimension == code:
      for reply in replies:
        rights.setdefault(reply.factors.get(factor, ''), []).append(reply.right)
  return {level: float(np.mean(flags)) for level, flags in rights.items()}


def _weight(
  factors: Mapping[str, Any], named: Mapping[str, Mapping[str, float]]
) -> float | None:
  """Returns the probability that all of an item's objects are named correctly.

  None means that the item has no property that perception items ask for.
  """
  accuracies = []
  for code, _, names in _PROPERTIES:
    for name in names:
      levels = factors.get(name, ())
      for level in [levels] if isinstance(levels, str) else levels:
        if level in named[code]:
          accuracies.append(named[code][level])
  return float(np.prod(accuracies)) if accuracies else None


def _weighted(
  replies: Replies, weights: Sequence[float], rng: np.random.Generator
) -> dict[str, Any]:
  right_N, weight_N = np.array([r.right for r in replies]), np.array(weights)
  group_N = scores.group_of(replies)
  summands = (right_N, np.ones(len(replies)), right_N * weight_N, weight_N)
  # Sums over each group: right, all, right by weight, weight.
  sums_GS = np.stack(
    [np.bincount(group_N, weights=values) for values in summands], axis=1
  )
  drawn = scores.draw(len(sums_GS), rng, scores.RESAMPLES)
  right, count, right_weight, weight = (drawn @ sums_GS).T
  # A sample whose weights are all 0 has no weighted accuracy.
  given_accuracy = right_weight / np.where(weight > 0, weight, np.nan)
  change = given_accuracy - right / count
  change = _interval(change[~np.isnan(change)])
  return {
    'items': len(replies),
    'weight': float(weight_N.mean()),
    'accuracy': float(right[0] / count[0]),
    'given': float(right_weight[0] / weight[0]),
    'change': change.pop('score'),
    **change,
  }


def _interval(draws: np.ndarray) -> dict[str, float]:
  """Returns the value, draws[0], with the 95% interval of the other draws."""
  low, high = np.quantile(draws[1:], scores.TAILS)
  return {'score': float(draws[0]), 'low': float(low), 'high': float(high)}


def compare(first: Replies, second: Replies, seed: int) -> dict[str, Any]:
  """Compares two models on the items and rotations that both were asked.

  Returns:
    'items'; 'difference' of the mean accuracies over cells, second minus first,
    with 'low' and 'high' of a bootstrap of whole groups; 'least', the smallest
    difference that this many items would detect (5% level, 80% power);
    'only_first' and 'only_second', the number of items that only one model got
    right, with the exact 'p' of McNemar's test on them.
  """
  first_by_item = {(reply.item, reply.order): reply for reply in first}
  pairs = [
    (first_by_item[reply.item, reply.order], reply)
    for reply in second
    if (reply.item, reply.order) in first_by_item
  ]
  if not pairs:
    return {'items': 0}
  discordant = collections.Counter(
    (a.right, b.right) for a, b in pairs if a.right != b.right
  )
  draws = []
  by_cell: dict[str, list[tuple[records.Reply, records.Reply]]] = {}
  for a, b in pairs:
    by_cell.setdefault(a.cell, []).append((a, b))
  for index, cell_pairs in enumerate(by_cell.values()):
    tables = [scores.tabulate(side) for side in zip(*cell_pairs, strict=True)]
    # One seed for both models, so that the same groups are drawn.
    draws.append(
      [scores.resample(t, np.random.default_rng([seed, index])) for t in tables]
    )
  first_draws, second_draws = np.mean(draws, axis=0)
  gap = second_draws - first_draws
  low, high = np.quantile(gap[1:], scores.TAILS)
  only_first, only_second = discordant[True, False], discordant[False, True]
  p = (
    stats.binomtest(only_first, only_first + only_second).pvalue
    if discordant
    else 1.0
  )
  return {
    'items': len(pairs),
    'difference': float(gap[0]),
    'low': float(low),
    'high': float(high),
    'least': float(_DETECTABLE_SE * gap[1:].std()),
    'only_first': only_first,
    'only_second': only_second,
    'p': float(p),
  }
