"""Audits of generated items: can a cell be answered by what it does not ask?

Of a cell's items, as they are encoded and worded,

  laws          no item is there twice, and every group is one of minimal pairs
  independence  positions and words of answers from each other factor
  shortcuts     rules and learners of wm_abench/audits/shortcuts.py, beside chance

The p-values of a cell are held against one level by Holm's procedure (Scand. J.
Statist. 6, 1979), and of 0.05 each of the cells that are tested together gets
an equal part (Bonferroni): over all of them, the chance of any false finding is
at most 0.05.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np
from scipy import stats

from commons import estimates
from wm_abench.audits import shortcuts
from wm_abench.core import dimensions, factor_levels, records

MAX_ITEMS = 384  # Of a cell; whole groups, whether of two, three or four.
LEVEL = 0.05
_LEAST_EXPECTED = 5  # In a cell of a table; rarer levels are put together.
_MOST_WORDS = 12  # Of answers; more are no vocabulary that a factor could tell.

_COVERS = 'what is larger, or nearer the camera, covers more of the picture'
_OPTIONS_SHARE = (
  'options differ in the colours and sizes of things, which the pictures that'
  ' are shown have in common with the right one'
)
_NAMED_ACTION = (
  'where a group varies the action, the question names it, and the options side'
  ' by side show what each of the four does; groups that vary the state instead'
  ' leave this at chance'
)
# (cell or dimension, shortcut) -> why it cannot but be above or below chance.
KNOWN: dict[tuple[str, str], str] = {
  **dict.fromkeys(
    [
      ('V-C', 'learned from colours'),
      ('V-C', 'learned from simple statistics'),
      ('V-C', 'most of its colour'),
      ('V-C', 'least of its colour'),
    ],
    'the colour is what is asked for',
  ),
  **dict.fromkeys(
    [
      ('SE-O', 'most of its colour'),
      ('SE-O', 'least of its colour'),
      ('SE-O', 'learned from colours'),
      ('RQ', 'most of its colour'),
      ('RQ', 'least of its colour'),
      ('DQ', 'learned from colours'),
      ('SR', 'learned from colours'),
      ('SR', 'learned from simple statistics'),
      ('V-S', 'learned from colours'),
      ('SE-V', 'learned from colours'),
      ('SE-V', 'learned from simple statistics'),
    ],
    _COVERS,
  ),
  ('SE-V', 'a ring wide for the object'): (
    'a thing that is smaller in its ring is likelier to fit into the hole'
  ),
  **dict.fromkeys(
    [
      ('SP', 'pixels nearest the last picture'),
      ('SP', 'pixels farthest from the last picture'),
      ('SP', 'colours nearest the last picture'),
      ('SP', 'colours farthest from the last picture'),
    ],
    _OPTIONS_SHARE,
  ),
  **{
    (dimension, shortcuts.BLIND): _NAMED_ACTION
    for dimension in ('M-Nav', 'T-Nav', 'M-Man', 'T-Man', 'C-Man')
  },
}


def audit(sample: Sequence[records.Item], cells: int = 1) -> dict[str, Any]:
  """Audits items of one cell.

  Args:
    sample: its first items, in order; whole groups but for the last.
    cells: how many cells are audited together.

  Returns:
    As JSON's types: 'verdict' in a line; 'items', 'groups', 'chance' and the
    'level' that each of 'cells' is held against; 'laws', of each the items or
    groups that break it; of 'independence' and 'shortcuts' each test's numbers,
    its p-value, whether it is 'found' and, where that is 'known', why.
  """
  if not sample:
    raise ValueError('No items to audit.')
  cell = dimensions.CELLS[sample[0].cell]
  level = LEVEL / cells
  sample = _whole_groups(sample, cell.of.options)
  laws = {
    'no item twice': _twice(sample),
    'groups of minimal pairs': _broken(sample, cell.of.options),
  }
  tests: dict[str, dict[str, dict[str, Any]]] = {
    'independence': dict(_independence(sample, cell.of.options)),
    'shortcuts': {
      name: dataclasses.asdict(outcome)
      for name, outcome in shortcuts.run(sample).items()
    },
  }
  every = [(name, t) for kind in tests.values() for name, t in kind.items()]
  _mark(every, cell, level)
  groups = len({item.group for item in sample})
  power = math.factorial(cell.of.options) ** -groups * 2
  too_few = power > level / len(every)
  return {
    'verdict': _verdict(laws, every, groups if too_few else 0),
    'items': len(sample),
    'groups': groups,
    'chance': cell.of.chance,
    'cells': cells,
    'level': level,
    'laws': laws,
    **tests,
  }


def why_known(cell: dimensions.Cell, shortcut: str) -> str:
  """The reason in KNOWN; '' where there is none."""
  own = KNOWN.get((cell.dimension, shortcut), '')
  return KNOWN.get((cell.name, shortcut), own)


def _whole_groups(
  sample: Sequence[records.Item], options: int
) -> Sequence[records.Item]:
  """Without the last group, where the sample's end cuts it and others are."""
  last = [item for item in sample if item.group == sample[-1].group]
  if len(last) < options and len(last) < len(sample):
    return [item for item in sample if item.group != last[0].group]
  return sample


def _mark(every, cell: dimensions.Cell, level: float) -> None:
  """Adds to each test whether it is found (Holm), and why that is known."""
  found = estimates.holm([test['p'] for _, test in every], level)
  for (name, test), is_found in zip(every, found, strict=True):
    test['found'] = is_found
    test['known'] = why_known(cell, name) if is_found else ''


def _verdict(laws, every, few: int) -> str:
  broken = [f'{law}: {len(found)} not' for law, found in laws.items() if found]
  found = [(name, t) for name, t in every if t['found']]
  new = broken + [_said(name, t) for name, t in found if not t['known']]
  known = [_said(name, t) for name, t in found if t['known']]
  parts = [f'found: {"; ".join(new)}'] if new else []
  parts += [f'known: {"; ".join(known)}'] if known else []
  if not parts:
    return f'too few groups to tell: {few}' if few else 'ok'
  return '; '.join(parts)


def _said(name: str, test: Mapping[str, Any]) -> str:
  return f'{name} {test["accuracy"]:.2f}' if 'accuracy' in test else name


# Laws.


def _twice(sample: Sequence[records.Item]) -> list[str]:
  """Items that ask what another one asked before them."""
  seen, again = set(), []
  for item in sample:
    key = (item.prompt, item.images, frozenset(item.options))
    if key in seen:
      again.append(item.name)
    seen.add(key)
  return again


def _broken(sample: Sequence[records.Item], options: int) -> list[str]:
  """Groups that are not complete, or not minimal pairs, with the reason."""
  groups = collections.defaultdict(list)
  for item in sample:
    groups[item.group].append(item)
  found = []
  for name, members in groups.items():
    reason = _why_broken(members, options)
    if reason:
      found.append(f'{name}: {reason}')
  return found


def _why_broken(members: Sequence[records.Item], options: int) -> str:
  if len({item.name for item in members}) < options:
    return 'a member is missing'
  if len({frozenset(item.options) for item in members}) > 1:
    return 'members have other options'
  if len({item.varies for item in members}) > 1:
    return 'members vary different factors'
  answers = collections.defaultdict(set)
  for item in members:
    level = (
      factor_levels.text(item.factors[item.varies])
      if item.varies
      else item.name
    )
    answers[level].add(item.options[item.answer])
  if len(answers) < options:
    return f'{members[0].varies} has but {len(answers)} levels'
  if len({a for own in answers.values() for a in own}) < options:
    return 'an option is never the answer'
  if any(len(own) > 1 for own in answers.values()):
    return f'one level of {members[0].varies} has two answers'
  return ''


# Independence.


def _independence(
  sample: Sequence[records.Item], options: int
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Chi-square tests of where answers are and what they say."""
  position = np.array([item.answer for item in sample])
  counts = np.bincount(position, minlength=options)
  yield 'position', _chi_square(counts[None], np.full((1, options), 1.0))
  words = _vocabulary(sample)
  said = offered = np.empty((len(sample), 0))
  if words:
    said = np.array([[i.options[i.answer] == w for w in words] for i in sample])
    offered = np.array([[w in i.options for w in words] for i in sample])
    yield 'word', _chi_square(said.sum(0)[None], offered.sum(0)[None])
  at = np.eye(options)[position]
  varied = {item.varies for item in sample}
  for name, levels in factor_levels.levels([i.factors for i in sample], varied):
    groups = _merged(levels, _LEAST_EXPECTED * options)
    if len(groups) < 2:
      continue
    seen = np.array([at[g].sum(0) for g in groups])
    # Beside how often each position holds the answer over all levels.
    share = np.array([len(g) * at.mean(0) for g in groups])
    yield f'{name} by position', _chi_square(seen, share)
    if words:
      seen = np.array([said[g].sum(0) for g in groups])
      share = np.array([offered[g].sum(0) for g in groups]) * (
        said.sum(0) / np.maximum(1, offered.sum(0))
      )
      yield f'{name} by word', _chi_square(seen, share)


def _chi_square(seen: np.ndarray, share: np.ndarray) -> dict[str, Any]:
  """Of counts [levels, kinds] beside what is expected, up to a factor a row."""
  kinds = seen.sum(0) + share.sum(0) > 0
  seen, share = seen[:, kinds].astype(float), share[:, kinds].astype(float)
  wanted = share * (seen.sum(1, keepdims=True) / share.sum(1, keepdims=True))
  there = wanted > 0
  value = np.square(seen - wanted)[there] / wanted[there]
  freedom = max(1, len(seen) - 1) * (seen.shape[1] - 1)
  chance = stats.chi2.sf(value.sum(), freedom) if freedom else 1.0
  return {
    'chi_square': float(value.sum()),
    'freedom': freedom,
    'p': float(chance),
  }


def _vocabulary(sample: Sequence[records.Item]) -> list[str]:
  """Words that answers are of, where they are few; else none."""
  if not isinstance(sample[0].options[0], str):
    return []
  words = sorted({o for item in sample for o in item.options})
  return words if len(words) <= _MOST_WORDS else []


def _merged(levels: Sequence[str], least: int) -> list[np.ndarray]:
  """Of each level its items; levels of fewer than so many are one together."""
  items = collections.defaultdict(list)
  for i, level in enumerate(levels):
    items[level].append(i)
  groups = [g for g in items.values() if len(g) >= least]
  rare = [i for g in items.values() if len(g) < least for i in g]
  if len(rare) >= least:
    groups.append(rare)
  return [np.array(g) for g in groups]
