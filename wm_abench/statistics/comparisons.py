"""What the replies say beyond their scores; numbers only.

stages        perception against prediction
given         prediction of things whose looks are perceived
entanglement  see entanglement.py
curves        see psychometrics.py
errors        which counterfactual was chosen in place of the right outcome, and
colours       whether options are chosen for the colour they name: confusions.py
comparisons   of every two models, paired
"""

import collections
from collections.abc import Mapping, Sequence
import itertools
from typing import Any

import numpy as np
from scipy import stats

from wm_abench.core import dimensions, records
from wm_abench.statistics import confusions, entanglement, psychometrics, scores

_TAILS = (0.025, 0.975)
_POWER = 2.8  # Standard errors that a test at 5% finds 80% of the time.

Replies = Sequence[records.Reply]


def analyse(replies_of: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  """All analyses, as JSON's types.

  Args:
    replies_of: by model.
    seed: of bootstraps and permutations.

  Returns:
    Under 'models', by model, 'stages', 'entanglement' ('cells' and their
    'matrix') and, by cell, 'given', 'curves', 'errors' and 'colours'; and a
    list of 'comparisons' of every two, 'models' with what `compare` gives.
  """
  models = {}
  for name, replies in replies_of.items():
    by_cell = _by_cell(replies)
    tangled = {
      cell: entanglement.of_cell(own, seed) for cell, own in by_cell.items()
    }
    models[name] = {
      'stages': stages(replies, seed),
      'given': given(by_cell, seed),
      'entanglement': {
        'cells': tangled,
        'matrix': entanglement.matrix(tangled),
      },
      'curves': _curves(by_cell, seed),
      'errors': {
        cell: confusions.errors(own)
        for cell, own in by_cell.items()
        if dimensions.CELLS[cell].of.stage == dimensions.PREDICTION
      },
      'colours': {
        cell: found
        for cell, own in by_cell.items()
        if (found := confusions.colours(own))
      },
    }
  pairs = itertools.combinations(replies_of, 2)
  return {
    'models': models,
    'comparisons': [
      {'models': [a, b], **compare(replies_of[a], replies_of[b], seed)}
      for a, b in pairs
    ],
  }


def _by_cell(replies: Replies) -> dict[str, list[records.Reply]]:
  found: dict[str, list[records.Reply]] = {}
  for reply in replies:
    found.setdefault(reply.cell, []).append(reply)
  return {name: found[name] for name in dimensions.CELLS if name in found}


def _curves(by_cell: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  found = {}
  for cell, replies in by_cell.items():
    own = psychometrics.DIFFERENCES.get(dimensions.CELLS[cell].dimension)
    drawn = psychometrics.curve(replies, own, seed) if own else None
    if drawn:
      found[cell] = drawn
  return found


def stages(replies: Replies, seed: int) -> dict[str, Any]:
  """Chance-corrected perception, prediction and their gap, by environment.

  Means over cells; intervals by a bootstrap of whole groups in each cell.

  Returns:
    By environment, and under 'all', of each stage that there are replies of
    'score', 'low', 'high'; and of both 'gap', perception minus prediction.
  """
  drawn: dict[tuple[str, str], list[np.ndarray]] = collections.defaultdict(list)
  for index, (name, own) in enumerate(_by_cell(replies).items()):
    table = scores.tabulate(own)
    rng = np.random.default_rng([seed, index])
    accuracies = scores.resample(table, rng)
    corrected = (accuracies - table.chance) / (1 - table.chance)
    cell = dimensions.CELLS[name]
    for where in ('all', cell.environment):
      drawn[where, cell.of.stage].append(corrected)
  found: dict[str, Any] = {}
  for (where, stage), own in drawn.items():
    found.setdefault(where, {})[stage] = _interval(np.mean(own, 0))
  for where in found:
    both = [
      drawn.get((where, stage))
      for stage in (dimensions.PERCEPTION, dimensions.PREDICTION)
    ]
    if all(both):
      gap = np.mean(both[0], 0) - np.mean(both[1], 0)
      found[where]['gap'] = _interval(gap)
  return found


# Of a thing's looks: the perception that names it, the factor it is asked by,
# and the factors of prediction items that say it of the things in question.
_LOOKS = (
  ('V-C', 'color', ('colors', 'object_color')),
  ('V-S', 'shape', ('shapes', 'shape')),
)


def given(by_cell: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  """Prediction given that the looks of its things are perceived, by cell.

  The paper keeps the items whose things a model names right: their colour,
  their shape (section 5). Here no two cells share a scene, so an item counts by
  how likely its things are named right: the product over them of the model's
  accuracy on that colour (V-C) and that shape (V-S), in any scene. The mean so
  weighted is the accuracy where perception is right if among things of one look
  both are independent; where one scene is hard for both, it leaves that out. It
  says nothing of positions or speeds, nor of things that perception does not
  ask of, such as a mug.

  Returns:
    By prediction cell 'accuracy' of the items with such things, 'given', the
    weighted one, 'change', the latter minus the former, with 'low' and 'high'
    (bootstrap of whole groups), 'weight', the mean one, and 'items'.
  """
  named = {code: _accuracies(by_cell, code, asks) for code, asks, _ in _LOOKS}
  found = {}
  for index, (name, replies) in enumerate(by_cell.items()):
    if dimensions.CELLS[name].of.stage == dimensions.PREDICTION:
      weights = [_weight(reply.factors, named) for reply in replies]
      kept = [
        (r, w) for r, w in zip(replies, weights, strict=True) if w is not None
      ]
      if any(weight for _, weight in kept):
        rng = np.random.default_rng([seed, index])
        found[name] = _weighted(*zip(*kept, strict=True), rng)
  return found


def _accuracies(
  by_cell: Mapping[str, Replies], code: str, factor: str
) -> dict[str, float]:
  """Of a dimension's items, by level of a factor."""
  rights: dict[str, list[bool]] = {}
  for name, replies in by_cell.items():
    if dimensions.CELLS[name].dimension == code:
      for reply in replies:
        rights.setdefault(reply.factors.get(factor, ''), []).append(reply.right)
  return {level: float(np.mean(own)) for level, own in rights.items()}


def _weight(
  own: Mapping[str, Any], named: Mapping[str, Mapping[str, float]]
) -> float | None:
  """How likely all of an item's things are named right; None: none is asked."""
  shares = []
  for code, _, names in _LOOKS:
    for name in names:
      levels = own.get(name, ())
      for level in [levels] if isinstance(levels, str) else levels:
        if level in named[code]:
          shares.append(named[code][level])
  return float(np.prod(shares)) if shares else None


def _weighted(
  replies: Replies, weights: Sequence[float], rng: np.random.Generator
) -> dict[str, Any]:
  right_N, weight_N = np.array([r.right for r in replies]), np.array(weights)
  group_N = scores.group_of(replies)
  # Of each group: right ones, all, and both by weight.
  sums_GS = np.stack(
    [
      np.bincount(group_N, weights=values)
      for values in (
        right_N,
        np.ones(len(replies)),
        right_N * weight_N,
        weight_N,
      )
    ],
    axis=1,
  )
  drawn = scores.draw(len(sums_GS), rng, scores.RESAMPLES)
  right, count, heard, weight = (drawn @ sums_GS).T
  # A draw in which nothing is perceived says nothing.
  change = (heard / np.where(weight > 0, weight, np.nan)) - right / count
  change = _interval(change[~np.isnan(change)])
  return {
    'items': len(replies),
    'weight': float(weight_N.mean()),
    'accuracy': float(right[0] / count[0]),
    'given': float(heard[0] / weight[0]),
    'change': change.pop('score'),
    **change,
  }


def _interval(draws: np.ndarray) -> dict[str, float]:
  """Of a value and then its bootstrap draws."""
  low, high = np.quantile(draws[1:], _TAILS)
  return {'score': float(draws[0]), 'low': float(low), 'high': float(high)}


def compare(first: Replies, second: Replies, seed: int) -> dict[str, Any]:
  """Two models on the items and orders that both were asked.

  Returns:
    'items'; 'difference' of the mean accuracies over cells, second minus first,
    with 'low' and 'high' of a bootstrap of whole groups; 'least', the smallest
    difference that so many items would show (5% level, 80% power); 'only_first'
    and 'only_second', items that one alone got right, and the exact p-value of
    McNemar's test on them.
  """
  own = {(r.item, r.order): r for r in first}
  pairs = [
    (own[r.item, r.order], r) for r in second if (r.item, r.order) in own
  ]
  if not pairs:
    return {'items': 0}
  only = collections.Counter(
    (a.right, b.right) for a, b in pairs if a.right != b.right
  )
  draws = []
  by_cell: dict[str, list[tuple[records.Reply, records.Reply]]] = {}
  for a, b in pairs:
    by_cell.setdefault(a.cell, []).append((a, b))
  for index, own_pairs in enumerate(by_cell.values()):
    tables = [scores.tabulate(side) for side in zip(*own_pairs, strict=True)]
    # The same seed draws the same groups of both.
    draws.append(
      [scores.resample(t, np.random.default_rng([seed, index])) for t in tables]
    )
  before, after = np.mean(draws, axis=0)
  gap = after - before
  low, high = np.quantile(gap[1:], _TAILS)
  ones = only[True, False], only[False, True]
  p = stats.binomtest(ones[0], sum(ones)).pvalue if sum(ones) else 1.0
  return {
    'items': len(pairs),
    'difference': float(gap[0]),
    'low': float(low),
    'high': float(high),
    'least': float(_POWER * gap[1:].std()),
    'only_first': ones[0],
    'only_second': ones[1],
    'p': float(p),
  }
