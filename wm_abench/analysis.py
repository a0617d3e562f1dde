"""What the replies say beyond their scores; numbers only.

stages        perception against prediction
given         prediction where perception of the same scene was right
entanglement  see entanglement.py
curves        see psychometrics.py
errors        which counterfactual was chosen in place of the right outcome
colours       whether options are favoured for the colour that they name
comparisons   of every two models, paired
"""

import collections
from collections.abc import Mapping, Sequence
import itertools
import re
from typing import Any

import numpy as np
from scipy import stats

from wm_abench import (
  dimensions,
  entanglement,
  factors,
  psychometrics,
  scoring,
  types,
)
from wm_abench.worlds import props

_TAILS = (0.025, 0.975)
_MOST_LEVELS = 12  # Of a varied factor, to be told one by one.
_LEAST_GROUPS = 5  # That offer a colour.
_POWER = 2.8  # Standard errors that a test at 5% finds 80% of the time.

Replies = Sequence[types.Reply]


def analyse(replies_of: Mapping[str, Replies], seed: int) -> dict[str, Any]:
  """All analyses, as JSON's types.

  Args:
    replies_of: by model.
    seed: of bootstraps and permutations.

  Returns:
    By model 'stages', 'entanglement' ('cells' and their 'matrix'), 'curves' by
    cell, 'errors' by cell and 'colours' by cell under 'models'; and a list of
    'comparisons'.
  """
  models = {}
  for name, replies in replies_of.items():
    by_cell = _by_cell(replies)
    tangled = {
      cell: entanglement.of_cell(own, seed) for cell, own in by_cell.items()
    }
    models[name] = {
      'stages': stages(replies, seed),
      'entanglement': {
        'cells': tangled,
        'matrix': entanglement.matrix(tangled),
      },
      'curves': _curves(by_cell, seed),
      'errors': {
        cell: errors(own)
        for cell, own in by_cell.items()
        if dimensions.CELLS[cell].of.stage == dimensions.PREDICTION
      },
      'colours': {
        cell: found for cell, own in by_cell.items() if (found := colours(own))
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


def _by_cell(replies: Replies) -> dict[str, list[types.Reply]]:
  found: dict[str, list[types.Reply]] = {}
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
    table = scoring.tabulate(own)
    rng = np.random.default_rng([seed, index])
    accuracies = np.array([table.right.mean(), *scoring.resample(table, rng)])
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


def _interval(draws: np.ndarray) -> dict[str, float]:
  """Of a value and then its bootstrap draws."""
  low, high = np.quantile(draws[1:], _TAILS)
  return {'score': float(draws[0]), 'low': float(low), 'high': float(high)}


def levels_of(replies: Replies) -> dict[str, dict[int, Any]]:
  """What each option of a group stands for: the varied level it answers.

  Returns:
    By group, by index of the option.
  """
  found: dict[str, dict[int, Any]] = {}
  for reply in replies:
    if reply.varies:
      own = found.setdefault(reply.group, {})
      own[reply.answer] = reply.factors[reply.varies]
  return found


def errors(replies: Replies) -> dict[str, Any]:
  """Which outcomes were chosen, of one prediction cell.

  Every wrong option is what really follows from another member's action or
  state.

  Returns:
    By varied factor, of levels that are few 'chosen': by right level, how often
    each level was chosen; of numbers 'shift': how often the chosen level was so
    many places above the right one of its group, below 0 under it.
  """
  meaning = levels_of(replies)
  by_factor: dict[str, list[tuple[Any, Any, list[Any]]]] = {}
  for reply in replies:
    own = meaning.get(reply.group, {})
    if reply.chosen in own:
      pair = own[reply.answer], own[reply.chosen], list(own.values())
      by_factor.setdefault(reply.varies, []).append(pair)
  found: dict[str, Any] = {}
  for factor, pairs in by_factor.items():
    found[factor] = {}
    levels = {factors.text(right) for right, _, _ in pairs}
    if len(levels) <= _MOST_LEVELS:
      chosen: dict[str, collections.Counter] = {
        level: collections.Counter() for level in sorted(levels)
      }
      for right, said, _ in pairs:
        chosen[factors.text(right)][factors.text(said)] += 1
      found[factor]['chosen'] = {k: dict(v) for k, v in chosen.items()}
    if all(isinstance(right, int | float) for right, _, _ in pairs):
      shift: collections.Counter = collections.Counter()
      for right, said, own in pairs:
        order = sorted(own)
        shift[order.index(said) - order.index(right)] += 1
      found[factor]['shift'] = {str(k): shift[k] for k in sorted(shift)}
  return found


def colours(replies: Replies) -> dict[str, dict[str, Any]]:
  """Whether options are chosen for the colour that they name.

  As in "does it judge blue objects faster than green ones": of the groups whose
  options name a colour, how often it is chosen beyond how often it is right.

  Args:
    replies: of one cell.

  Returns:
    By colour 'favour', the mean over groups of chosen minus right as shares of
    their items, its 'p' (t-test over groups), and 'groups'. Empty where options
    name no colours.
  """
  meaning = levels_of(replies)
  excess: dict[str, dict[str, list[int]]] = collections.defaultdict(
    lambda: collections.defaultdict(list)
  )
  for reply in replies:
    named = {
      index: _colour_in(level)
      for index, level in meaning.get(reply.group, {}).items()
    }
    for colour in set(filter(None, named.values())):
      said = named.get(reply.chosen) == colour
      right = named.get(reply.answer) == colour
      excess[colour][reply.group].append(int(said) - int(right))
  found = {}
  for colour in props.COLORS:
    means = [np.mean(own) for own in excess[colour].values()]
    if len(means) >= _LEAST_GROUPS:
      spread = np.std(means, ddof=1)
      p = (
        stats.ttest_1samp(means, 0).pvalue if spread else float(not any(means))
      )
      found[colour] = {
        'favour': float(np.mean(means)),
        'p': float(p),
        'groups': len(means),
      }
  return found


def _colour_in(level: Any) -> str:
  if not isinstance(level, str):
    return ''
  named = [c for c in re.findall(r'[a-z]+', level) if c in props.COLORS]
  return named[0] if len(named) == 1 else ''


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
  by_cell: dict[str, list[tuple[types.Reply, types.Reply]]] = {}
  for a, b in pairs:
    by_cell.setdefault(a.cell, []).append((a, b))
  for index, own_pairs in enumerate(by_cell.values()):
    tables = [scoring.tabulate(side) for side in zip(*own_pairs, strict=True)]
    # The same seed draws the same groups of both.
    draws.append(
      [
        np.array(
          [
            t.right.mean(),
            *scoring.resample(t, np.random.default_rng([seed, index])),
          ]
        )
        for t in tables
      ]
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
