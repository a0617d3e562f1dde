"""Entanglement: does a factor that was not asked for change the answers?

The paper's relative effect of a nuisance factor (arXiv 2506.21876, section 5):
the mean over its levels of

    |accuracy of the level - mean accuracy| / mean accuracy.

Sampling alone makes it positive. So beside it stands its floor, the mean over
permutations in which levels are dealt anew, and the share of permutations that
give as much: its p-value. Members of a group share all nuisance factors, so
whole groups are dealt. Within a cell, p-values are held against 0.05 by Holm's
procedure (Scand. J. Statist. 6, 1979).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from commons import estimates
from wm_abench.core import dimensions, factor_levels, records
from wm_abench.statistics import scores

# Factors by what they are of; see wm_abench/questions for their names.
FAMILIES: dict[str, tuple[str, ...]] = {
  'colour': ('color', 'colors', 'object_color', 'other_colors'),
  'shape': ('shape', 'shapes', 'object_type'),
  'size': ('size_m', 'sizes_m', 'ring_m'),
  'position': ('lie', 'positions_m', 'places_m', 'starts_m', 'base_m'),
  'material': ('materials', 'block', 'first'),
  'scene': ('background', 'light', 'weather', 'traffic'),
  'camera': ('side', 'view', 'camera_pose', 'eye_m'),
}
PERMUTATIONS = 1000
LEVEL = 0.05
_LEAST_GROUPS = 5  # Of a level; rarer ones are left out.
_PARTS = ('', '[0]', '[1]')  # Of lists, the first two things.


def family_of(name: str) -> str:
  """The family of a factor, or of a list's part; '' where it has none."""
  own, bracket, part = name.partition('[')
  if f'{bracket}{part}'[:3] not in _PARTS:
    return ''
  return next((f for f, names in FAMILIES.items() if own in names), '')


def relative_effect(accuracies: np.ndarray, mean: np.ndarray) -> np.ndarray:
  """The paper's s-RE of accuracies [..., levels] about means [...]."""
  gaps = np.abs(accuracies - mean[..., None]).mean(-1)
  return gaps / np.where(mean > 0, mean, 1)


def measure(
  right: np.ndarray, group: np.ndarray, levels: Sequence[str], seed: int
) -> dict[str, Any] | None:
  """The effect of one factor on one cell's items.

  Args:
    right: of each item, [N].
    group: index of its group, int [N], from 0.
    levels: of the factor, one an item, the same for all of a group.
    seed: of the permutations.

  Returns:
    'effect', its 'floor', 'p', and by level 'accuracy' and 'groups'; None
    where fewer than two levels have enough groups.
  """
  totals = np.bincount(group, weights=right)
  counts = np.bincount(group)
  own = np.empty(len(totals), object)
  own[group] = levels
  names, index, sizes = np.unique(
    own.astype(str), return_inverse=True, return_counts=True
  )
  kept = sizes >= _LEAST_GROUPS
  if kept.sum() < 2:
    return None
  within = kept[index]
  totals, counts, index = totals[within], counts[within], index[within]
  at_GL = index[:, None] == np.flatnonzero(kept)
  rng = np.random.default_rng(seed)
  order_RG = np.tile(np.arange(len(totals)), (1 + PERMUTATIONS, 1))
  # The first stays as it is.
  order_RG[1:] = rng.permuted(order_RG[1:], axis=1)
  accuracy_RL = (totals[order_RG] @ at_GL) / (counts[order_RG] @ at_GL)
  mean = np.full(len(accuracy_RL), totals.sum() / counts.sum())
  effect, *dealt = relative_effect(accuracy_RL, mean)
  dealt = np.array(dealt)
  # The draw itself is one of those that could have been dealt.
  p = (1 + (dealt >= effect - 1e-12).sum()) / (1 + len(dealt))
  return {
    'effect': float(effect),
    'floor': float(dealt.mean()),
    'p': float(p),
    'accuracy': dict(
      zip(names[kept].tolist(), accuracy_RL[0].tolist(), strict=True)
    ),
    'groups': dict(
      zip(names[kept].tolist(), sizes[kept].tolist(), strict=True)
    ),
  }


def of_cell(replies: Sequence[records.Reply], seed: int) -> dict[str, Any]:
  """By factor of a family what `measure` gives, and whether it is 'found'.

  Args:
    replies: of one cell.
    seed: of the permutations.
  """
  right = np.array([reply.right for reply in replies], float)
  group = scores.group_of(replies)
  varied = {reply.varies for reply in replies}
  found = {}
  for name, levels in factor_levels.levels(
    [r.factors for r in replies], varied
  ):
    if family := family_of(name):
      measured = measure(right, group, levels, seed)
      if measured:
        found[name] = {'family': family, **measured}
  mark(found.values())
  return found


def mark(tests: Collection[dict[str, Any]]) -> None:
  """Says in each test, by its 'p', whether it is 'found' (Holm's procedure)."""
  found = estimates.holm([test['p'] for test in tests], LEVEL)
  for test, is_found in zip(tests, found, strict=True):
    test['found'] = is_found


def matrix(
  by_cell: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, dict[str, Any]]]:
  """Of each dimension and family the strongest factor over its floor.

  Args:
    by_cell: by cell what `of_cell` gave.

  Returns:
    By dimension, by family: 'cell', 'factor', 'effect', 'floor', 'p', 'found'.
  """
  strongest: dict[str, dict[str, dict[str, Any]]] = {}
  for cell, tests in by_cell.items():
    own = strongest.setdefault(dimensions.CELLS[cell].dimension, {})
    for name, test in tests.items():
      entry = {'cell': cell, 'factor': name} | {
        key: test[key] for key in ('effect', 'floor', 'p', 'found')
      }
      had = own.get(test['family'])
      if had is None or entry['p'] < had['p']:
        own[test['family']] = entry
  return strongest
