"""What was chosen in place of the right answer, and why it might have been.

The options of a group are the answers of its members. So what an option stands
for is known: the level of the varied factor whose answer it is, such as the
action that leads to the outcome it shows.
"""

import collections
from collections.abc import Sequence
import re
from typing import Any

import numpy as np
from scipy import stats

from wm_abench.core import factor_levels, records
from wm_abench.statistics import entanglement
from wm_abench.worlds.tabletop import props

_MOST_LEVELS = 12  # Of a varied factor, to be told one by one.
_LEAST_GROUPS = 5  # That offer a colour.

Replies = Sequence[records.Reply]


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

  Returns:
    By varied factor,

      chosen  of levels that are few: by right level, how often each was chosen
      shift   of numbers: how often the chosen level was so many places above
              the right one among its group's, below 0 under it
      parts   of groups that cross two parts, such as two moves of two kinds
              each: how often 'neither' was wrong, the 'first', the 'second' or
              'both'; who guesses has all four alike
  """
  meaning = levels_of(replies)
  # Right level, chosen level, all levels of the group.
  by_factor: dict[str, list[tuple[Any, Any, list[Any]]]] = {}
  for reply in replies:
    own = meaning.get(reply.group, {})
    if reply.chosen in own:
      choice = own[reply.answer], own[reply.chosen], [*own.values()]
      by_factor.setdefault(reply.varies, []).append(choice)
  return {factor: _tell(choices) for factor, choices in by_factor.items()}


def _tell(choices: Sequence[tuple[Any, Any, list[Any]]]) -> dict[str, Any]:
  found: dict[str, Any] = {}
  levels = {factor_levels.text(right) for right, _, _ in choices}
  if len(levels) <= _MOST_LEVELS:
    chosen: dict[str, collections.Counter] = {
      level: collections.Counter() for level in sorted(levels)
    }
    for right, said, _ in choices:
      chosen[factor_levels.text(right)][factor_levels.text(said)] += 1
    found['chosen'] = {k: dict(v) for k, v in chosen.items()}
  if all(isinstance(right, int | float) for right, _, _ in choices):
    shift: collections.Counter = collections.Counter()
    for right, said, own in choices:
      order = sorted(own)
      shift[order.index(said) - order.index(right)] += 1
    found['shift'] = {str(k): shift[k] for k in sorted(shift)}
  wrong = collections.Counter(
    tuple(a != b for a, b in zip(_parts(right), _parts(said), strict=True))
    for right, said, own in choices
    if _crossed(own)
  )
  if wrong:
    found['parts'] = {
      'neither': wrong[False, False],
      'first': wrong[True, False],
      'second': wrong[False, True],
      'both': wrong[True, True],
    }
  return found


def _crossed(levels: Sequence[Any]) -> bool:
  """Whether each is two parts, such as two moves, of two kinds each."""
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
  """Whether options are chosen for the colour that they name.

  As in "does it judge blue objects faster than green ones": of the groups whose
  options name a colour, how often it is chosen beyond how often it is right.

  Args:
    replies: of one cell.

  Returns:
    By colour 'chosen' and 'right', the shares of the items of groups that offer
    it, 'favour', their difference, its 'p' (t-test over groups), whether it is
    'found' (Holm over the colours) and 'groups'. Empty where options name no
    colours.
  """
  meaning = levels_of(replies)
  # Of each colour and group, what was chosen and right of it, an item a row.
  rows: dict[str, dict[str, list[tuple[bool, bool]]]] = {}
  for reply in replies:
    named = {
      index: _colour_in(level)
      for index, level in meaning.get(reply.group, {}).items()
    }
    for colour in set(filter(None, named.values())):
      own = rows.setdefault(colour, {}).setdefault(reply.group, [])
      said = named.get(reply.chosen) == colour
      own.append((said, named.get(reply.answer) == colour))
  found = {}
  for colour in props.COLORS:
    groups = rows.get(colour, {}).values()
    if len(groups) >= _LEAST_GROUPS:
      shares = np.array([np.mean(own, axis=0) for own in groups])
      favours = shares[:, 0] - shares[:, 1]
      # Without any spread the test has no answer, and needs none.
      p = (
        stats.ttest_1samp(favours, 0).pvalue
        if np.ptp(favours)
        else (float(not favours.any()))
      )
      found[colour] = {
        'chosen': float(shares[:, 0].mean()),
        'right': float(shares[:, 1].mean()),
        'favour': float(favours.mean()),
        'p': float(p),
        'groups': len(groups),
      }
  entanglement.mark(found.values())
  return found


def _colour_in(level: Any) -> str:
  if not isinstance(level, str):
    return ''
  named = [c for c in re.findall(r'[a-z]+', level) if c in props.COLORS]
  return named[0] if len(named) == 1 else ''
