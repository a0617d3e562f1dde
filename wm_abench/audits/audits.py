"""Audits of generated items: can a cell be answered without its question?

An audit reads the items of one cell, as they are encoded and worded, and checks

  laws          no item occurs twice, and every group consists of minimal pairs
  independence  positions and words of keys are independent of each other factor
  shortcuts     no rule or learner of shortcuts.py beats chance

The p-values of a cell are corrected by Holm's procedure, at a level of 0.05
divided by the number of cells that are tested together (Bonferroni). Over all
of them, the probability of any false finding is at most 0.05.
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

# Items of a cell that an audit reads: whole groups of two, three or four.
MAX_ITEMS = 384
LEVEL = 0.05
# Expected count in each cell of a contingency table; rarer levels are merged.
_MIN_EXPECTED = 5
# Keys with more distinct words are not tested for independence by word.
_MAX_WORDS = 12

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
# (Cell or dimension, shortcut) -> why it is bound to differ from chance.
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
  """Audits the items of one cell; the result consists of JSON types.

  Args:
    sample: the cell's first items, in order; only the last group may be cut.
    cells: the number of cells that are audited together.

  Returns:
    'verdict', one line; 'items', 'groups', 'chance', 'cells' and the 'level' of
    each cell; 'laws': law -> the items or groups that break it;
    'independence' and 'shortcuts': test -> its figures, its 'p', whether it is
    'found' significant and, if that is expected, the reason in 'known'.

  Raises:
    ValueError: `sample` is empty.
  """
  if not sample:
    raise ValueError('No items to audit.')
  cell = dimensions.CELLS[sample[0].cell]
  level = LEVEL / cells
  sample = _whole_groups(sample, cell.of.options)
  laws = {
    'no item twice': _repeated_items(sample),
    'groups of minimal pairs': _broken_groups(sample, cell.of.options),
  }
  tests: dict[str, dict[str, dict[str, Any]]] = {
    'independence': dict(_independence(sample, cell.of.options)),
    'shortcuts': {
      name: dataclasses.asdict(outcome)
      for name, outcome in shortcuts.run(sample).items()
    },
  }
  named_tests = [
    (name, test) for kind in tests.values() for name, test in kind.items()
  ]
  _mark_found(named_tests, cell, level)
  groups = len({item.group for item in sample})
  # The smallest two-sided p-value that so many groups can give.
  least_p = math.factorial(cell.of.options) ** -groups * 2
  too_few = least_p > level / len(named_tests)
  return {
    'verdict': _verdict(laws, named_tests, groups if too_few else 0),
    'items': len(sample),
    'groups': groups,
    'chance': cell.of.chance,
    'cells': cells,
    'level': level,
    'laws': laws,
    **tests,
  }


def why_known(cell: dimensions.Cell, shortcut: str) -> str:
  """Returns the reason in KNOWN; '' without one."""
  of_dimension = KNOWN.get((cell.dimension, shortcut), '')
  return KNOWN.get((cell.name, shortcut), of_dimension)


def _whole_groups(
  sample: Sequence[records.Item], options: int
) -> Sequence[records.Item]:
  """Returns the sample without its last group if that group is incomplete.

  A sample of a single group is returned as it is.
  """
  last = [item for item in sample if item.group == sample[-1].group]
  if len(last) < options and len(last) < len(sample):
    return [item for item in sample if item.group != last[0].group]
  return sample


def _mark_found(named_tests, cell: dimensions.Cell, level: float) -> None:
  """Adds 'found' (by Holm's procedure) and 'known' to each test."""
  rejected = estimates.holm([test['p'] for _, test in named_tests], level)
  for (name, test), is_rejected in zip(named_tests, rejected, strict=True):
    test['found'] = is_rejected
    test['known'] = why_known(cell, name) if is_rejected else ''


def _verdict(laws, named_tests, too_few_groups: int) -> str:
  """Returns the audit's line; `too_few_groups` is 0 if there are enough."""
  broken = [
    f'{law}: {len(violations)} not'
    for law, violations in laws.items()
    if violations
  ]
  found = [(name, test) for name, test in named_tests if test['found']]
  new = broken + [_summary(name, t) for name, t in found if not t['known']]
  known = [_summary(name, t) for name, t in found if t['known']]
  clauses = [f'found: {"; ".join(new)}'] if new else []
  clauses += [f'known: {"; ".join(known)}'] if known else []
  if clauses:
    return '; '.join(clauses)
  return f'too few groups to tell: {too_few_groups}' if too_few_groups else 'ok'


def _summary(name: str, test: Mapping[str, Any]) -> str:
  return f'{name} {test["accuracy"]:.2f}' if 'accuracy' in test else name


# Laws.


def _repeated_items(sample: Sequence[records.Item]) -> list[str]:
  """Returns the names of items with the content of an earlier item."""
  seen, repeated = set(), []
  for item in sample:
    key = (item.prompt, item.images, frozenset(item.options))
    if key in seen:
      repeated.append(item.name)
    seen.add(key)
  return repeated


def _broken_groups(sample: Sequence[records.Item], options: int) -> list[str]:
  """Returns groups that are incomplete or no minimal pairs, with the reason."""
  groups = collections.defaultdict(list)
  for item in sample:
    groups[item.group].append(item)
  broken = []
  for name, members in groups.items():
    reason = _why_broken(members, options)
    if reason:
      broken.append(f'{name}: {reason}')
  return broken


def _why_broken(members: Sequence[records.Item], options: int) -> str:
  if len({item.name for item in members}) < options:
    return 'a member is missing'
  if len({frozenset(item.options) for item in members}) > 1:
    return 'members have other options'
  if len({item.varies for item in members}) > 1:
    return 'members vary different factors'
  keys_of_level = collections.defaultdict(set)
  for item in members:
    level = (
      factor_levels.text(item.factors[item.varies])
      if item.varies
      else item.name
    )
    keys_of_level[level].add(item.options[item.answer])
  if len(keys_of_level) < options:
    return f'{members[0].varies} has only {len(keys_of_level)} levels'
  if len(set.union(*keys_of_level.values())) < options:
    return 'an option is never the key'
  if any(len(keys) > 1 for keys in keys_of_level.values()):
    return f'one level of {members[0].varies} has two keys'
  return ''


# Independence.


def _independence(
  sample: Sequence[records.Item], options: int
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields chi-square tests of the position and the word of the keys."""
  position = np.array([item.answer for item in sample])
  position_counts = np.bincount(position, minlength=options)
  yield (
    'position',
    _chi_square(position_counts[None], np.full((1, options), 1.0)),
  )
  words = _vocabulary(sample)
  is_key = offered = np.empty((len(sample), 0))
  if words:
    is_key = np.array(
      [[i.options[i.answer] == w for w in words] for i in sample]
    )
    offered = np.array([[w in i.options for w in words] for i in sample])
    yield 'word', _chi_square(is_key.sum(0)[None], offered.sum(0)[None])
  is_at = np.eye(options)[position]
  varied = {item.varies for item in sample}
  for name, levels in factor_levels.levels([i.factors for i in sample], varied):
    groups = _merged(levels, _MIN_EXPECTED * options)
    if len(groups) < 2:
      continue
    counts = np.array([is_at[g].sum(0) for g in groups])
    # Expected from the position's frequency over all levels.
    expected = np.array([len(g) * is_at.mean(0) for g in groups])
    yield f'{name} by position', _chi_square(counts, expected)
    if words:
      counts = np.array([is_key[g].sum(0) for g in groups])
      expected = np.array([offered[g].sum(0) for g in groups]) * (
        is_key.sum(0) / np.maximum(1, offered.sum(0))
      )
      yield f'{name} by word', _chi_square(counts, expected)


def _chi_square(counts: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
  """Returns a chi-square test of counts [levels, kinds].

  Each level's expected counts are scaled to the level's total.
  """
  kinds = counts.sum(0) + expected.sum(0) > 0
  counts = counts[:, kinds].astype(float)
  expected = expected[:, kinds].astype(float)
  scale = counts.sum(1, keepdims=True) / expected.sum(1, keepdims=True)
  expected = expected * scale
  possible = expected > 0
  value = np.square(counts - expected)[possible] / expected[possible]
  freedom = max(1, len(counts) - 1) * (counts.shape[1] - 1)
  p = stats.chi2.sf(value.sum(), freedom) if freedom else 1.0
  return {
    'chi_square': float(value.sum()),
    'freedom': freedom,
    'p': float(p),
  }


def _vocabulary(sample: Sequence[records.Item]) -> list[str]:
  """Returns the words that are options, if they are few; else an empty list."""
  if not isinstance(sample[0].options[0], str):
    return []
  words = sorted({o for item in sample for o in item.options})
  return words if len(words) <= _MAX_WORDS else []


def _merged(levels: Sequence[str], least: int) -> list[np.ndarray]:
  """Returns the items of each level; levels below `least` items are merged."""
  items = collections.defaultdict(list)
  for i, level in enumerate(levels):
    items[level].append(i)
  groups = [g for g in items.values() if len(g) >= least]
  rare = [i for g in items.values() if len(g) < least for i in g]
  if len(rare) >= least:
    groups.append(rare)
  return [np.array(g) for g in groups]
