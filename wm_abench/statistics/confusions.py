"""Which distractors are chosen instead of the key, and for which reason.

The options of a group are the keys of its members. Therefore the meaning of an
option is known: it is the level of the varied factor for which the option is
the key, such as the action that leads to the outcome that it shows.
"""

import collections
from collections.abc import Sequence
import re
from typing import Any

import numpy as np
from scipy import stats

from wm_abench.core import factor_levels, records
from wm_abench.statistics import entanglement

_MAX_LEVELS = 12  # A varied factor with more levels gets no confusion table.
_MIN_GROUPS = 5  # A colour that fewer groups offer is left out.

Replies = Sequence[records.Reply]


def levels_of(replies: Replies) -> dict[str, dict[int, Any]]:
  """Returns the varied level that each option is the key of.

  Returns:
    Group -> index of the option -> level.
  """
  levels: dict[str, dict[int, Any]] = {}
  for reply in replies:
    if reply.varies:
      of_group = levels.setdefault(reply.group, {})
      of_group[reply.answer] = reply.factors[reply.varies]
  return levels


def errors(replies: Replies) -> dict[str, Any]:
  """Counts which outcomes are chosen in one prediction cell.

  Returns:
    For each varied factor,

      chosen  if the factor has few levels: the right level -> the chosen level
              -> count
      shift   if the levels are numbers: by how many ranks the chosen level is
              above the right one among the levels of its group -> count
      parts   if groups cross two parts, such as two moves of two kinds each:
              counts of replies in which 'neither' part is wrong, the 'first',
              the 'second', or 'both'; guesses make all four equal
  """
  meaning = levels_of(replies)
  # Factor -> (right level, chosen level, all levels of the group).
  by_factor: dict[str, list[tuple[Any, Any, list[Any]]]] = {}
  for reply in replies:
    levels = meaning.get(reply.group, {})
    if reply.chosen in levels:
      choice = levels[reply.answer], levels[reply.chosen], [*levels.values()]
      by_factor.setdefault(reply.varies, []).append(choice)
  return {factor: _count(choices) for factor, choices in by_factor.items()}


def _count(choices: Sequence[tuple[Any, Any, list[Any]]]) -> dict[str, Any]:
  counts: dict[str, Any] = {}
  right_levels = {factor_levels.text(right) for right, _, _ in choices}
  if len(right_levels) <= _MAX_LEVELS:
    confusion: dict[str, collections.Counter] = {
      level: collections.Counter() for level in sorted(right_levels)
    }
    for right, chosen, _ in choices:
      confusion[factor_levels.text(right)][factor_levels.text(chosen)] += 1
    counts['chosen'] = {k: dict(v) for k, v in confusion.items()}
  if all(isinstance(right, int | float) for right, _, _ in choices):
    shift: collections.Counter = collections.Counter()
    for right, chosen, levels in choices:
      order = sorted(levels)
      shift[order.index(chosen) - order.index(right)] += 1
    counts['shift'] = {str(k): shift[k] for k in sorted(shift)}
  wrong = collections.Counter(
    tuple(a != b for a, b in zip(_parts(right), _parts(chosen), strict=True))
    for right, chosen, levels in choices
    if _is_crossing(levels)
  )
  if wrong:
    counts['parts'] = {
      'neither': wrong[False, False],
      'first': wrong[True, False],
      'second': wrong[False, True],
      'both': wrong[True, True],
    }
  return counts


def _is_crossing(levels: Sequence[Any]) -> bool:
  """Whether the four levels cross two parts of two kinds each."""
  parts = [_parts(level) for level in levels]
  return (
    len(parts) == 4
    and all(len(part) == 2 for part in parts)
    and [len(set(kinds)) for kinds in zip(*parts, strict=True)] == [2, 2]
  )


def _parts(level: Any) -> Sequence[Any]:
  if isinstance(level, str):
    return level.split(', ')
  return level if isinstance(level, list | tuple) else ()


def colours(replies: Replies) -> dict[str, dict[str, Any]]:
  """Tests whether options are chosen for the colour that they name.

  An example is a model that judges blue objects to be faster than green ones.
  For the groups whose options name a colour, the share of replies that choose
  the colour is compared with the share in which it is right.

  Args:
    replies: replies of one cell.

  Returns:
    Colour -> 'chosen' and 'right', the two shares over the items of the groups
    that offer the colour; 'favour', their difference; 'p' (t-test over
    groups); 'found', whether it is significant (Holm over the colours);
    'groups'. Empty if the options name no colours.
  """
  meaning = levels_of(replies)
  # Colour -> group -> one pair (chosen, right) per item.
  pairs: dict[str, dict[str, list[tuple[bool, bool]]]] = {}
  for reply in replies:
    named = {
      index: _colour_in(level)
      for index, level in meaning.get(reply.group, {}).items()
    }
    for colour in set(filter(None, named.values())):
      of_group = pairs.setdefault(colour, {}).setdefault(reply.group, [])
      is_chosen = named.get(reply.chosen) == colour
      of_group.append((is_chosen, named.get(reply.answer) == colour))
  tests = {}
  for colour in factor_levels.COLOR_NAMES:
    groups = pairs.get(colour, {}).values()
    if len(groups) >= _MIN_GROUPS:
      tests[colour] = _favour(
        np.array([np.mean(group, axis=0) for group in groups])
      )
  entanglement.mark_found(tests.values())
  return tests


def _favour(shares_G2: np.ndarray) -> dict[str, Any]:
  """Tests chosen against right shares, one pair per group."""
  favours_G = shares_G2[:, 0] - shares_G2[:, 1]
  # The t-test is undefined for differences without any spread.
  p = (
    stats.ttest_1samp(favours_G, 0).pvalue
    if np.ptp(favours_G)
    else float(not favours_G.any())
  )
  return {
    'chosen': float(shares_G2[:, 0].mean()),
    'right': float(shares_G2[:, 1].mean()),
    'favour': float(favours_G.mean()),
    'p': float(p),
    'groups': len(favours_G),
  }


def _colour_in(level: Any) -> str:
  if not isinstance(level, str):
    return ''
  words = re.findall(r'[a-z]+', level)
  named = [word for word in words if word in factor_levels.COLOR_NAMES]
  return named[0] if len(named) == 1 else ''
