"""Entanglement: the effect of a nuisance factor on accuracy.

The paper's relative effect of a factor that the question does not ask for
(arXiv 2506.21876, section 5) is the mean over its levels of

    |accuracy of the level - mean accuracy| / mean accuracy.

Sampling noise alone makes it positive. Therefore two figures are given with it:
its floor, the mean effect over random permutations of the levels, and its
p-value, the share of permutations with at least the observed effect. Items of a
group share all nuisance factors, so whole groups are permuted. Within a cell,
p-values are corrected by Holm's procedure at 0.05.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from commons import estimates
from wm_abench.core import dimensions, factor_levels, records
from wm_abench.statistics import scores

# Family -> names of factors, which wm_abench/questions sets.
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
_MIN_GROUPS = 5  # A level with fewer groups is left out.
_ELEMENTS = ('', '[0]', '[1]')  # Only a list's first two elements are tested.


def family_of(name: str) -> str:
  """Returns the family of a factor or of a list's element; '' without one."""
  factor, bracket, rest = name.partition('[')
  if f'{bracket}{rest}'[:3] not in _ELEMENTS:
    return ''
  return next((f for f, names in FAMILIES.items() if factor in names), '')


def relative_effect(accuracies: np.ndarray, mean: np.ndarray) -> np.ndarray:
  """Returns the paper's s-RE of accuracies [..., levels] about means [...]."""
  gaps = np.abs(accuracies - mean[..., None]).mean(-1)
  return gaps / np.where(mean > 0, mean, 1)


def measure(
  right: np.ndarray, group: np.ndarray, levels: Sequence[str], seed: int
) -> dict[str, Any] | None:
  """Measures the effect of one factor in one cell.

  Args:
    right: whether each item is right, [N].
    group: index of each item's group, int [N], from 0.
    levels: the factor's level for each item, equal within a group.
    seed: seed of the permutations.

  Returns:
    'effect', its 'floor', its 'p', and 'accuracy' and 'groups' by level; None
    if fewer than two levels have enough groups.
  """
  totals_G = np.bincount(group, weights=right)
  counts_G = np.bincount(group)
  level_G = np.empty(len(totals_G), object)
  level_G[group] = levels
  names_L, index_G, sizes_L = np.unique(
    level_G.astype(str), return_inverse=True, return_counts=True
  )
  kept_L = sizes_L >= _MIN_GROUPS
  if kept_L.sum() < 2:
    return None
  is_kept_G = kept_L[index_G]
  totals_G, counts_G = totals_G[is_kept_G], counts_G[is_kept_G]
  has_level_GL = index_G[is_kept_G][:, None] == np.flatnonzero(kept_L)
  rng = np.random.default_rng(seed)
  order_RG = np.tile(np.arange(len(totals_G)), (1 + PERMUTATIONS, 1))
  # Line 0 is the observed order.
  order_RG[1:] = rng.permuted(order_RG[1:], axis=1)
  accuracy_RL = totals_G[order_RG] @ has_level_GL
  accuracy_RL = accuracy_RL / (counts_G[order_RG] @ has_level_GL)
  mean_R = np.full(len(accuracy_RL), totals_G.sum() / counts_G.sum())
  effect, *permuted = relative_effect(accuracy_RL, mean_R)
  permuted = np.array(permuted)
  # The observed order is one of the possible permutations.
  p = (1 + (permuted >= effect - 1e-12).sum()) / (1 + len(permuted))
  names = names_L[kept_L].tolist()
  return {
    'effect': float(effect),
    'floor': float(permuted.mean()),
    'p': float(p),
    'accuracy': dict(zip(names, accuracy_RL[0].tolist(), strict=True)),
    'groups': dict(zip(names, sizes_L[kept_L].tolist(), strict=True)),
  }


def of_cell(replies: Sequence[records.Reply], seed: int) -> dict[str, Any]:
  """Measures every factor of a family in one cell.

  Args:
    replies: replies of one cell.
    seed: seed of the permutations.

  Returns:
    Factor -> its 'family', what `measure` returns, and 'found', whether the
    effect is significant after Holm's correction over the cell's factors.
  """
  right = np.array([reply.right for reply in replies], float)
  group = scores.group_of(replies)
  varied = {reply.varies for reply in replies}
  tests = {}
  for name, levels in factor_levels.levels(
    [reply.factors for reply in replies], varied
  ):
    if family := family_of(name):
      measured = measure(right, group, levels, seed)
      if measured:
        tests[name] = {'family': family, **measured}
  mark_found(tests.values())
  return tests


def mark_found(tests: Collection[dict[str, Any]]) -> None:
  """Sets 'found' in each test by Holm's procedure on their 'p' at LEVEL."""
  rejected = estimates.holm([test['p'] for test in tests], LEVEL)
  for test, is_rejected in zip(tests, rejected, strict=True):
    test['found'] = is_rejected


def matrix(
  by_cell: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, dict[str, Any]]]:
  """Selects the factor with the smallest p-value, by dimension and family.

  Args:
    by_cell: cell -> what `of_cell` returns.

  Returns:
    Dimension -> family -> 'cell', 'factor', 'effect', 'floor', 'p', 'found'.
  """
  strongest: dict[str, dict[str, dict[str, Any]]] = {}
  for cell, tests in by_cell.items():
    families = strongest.setdefault(dimensions.CELLS[cell].dimension, {})
    for name, test in tests.items():
      entry = {'cell': cell, 'factor': name} | {
        key: test[key] for key in ('effect', 'floor', 'p', 'found')
      }
      best = families.get(test['family'])
      if best is None or entry['p'] < best['p']:
        families[test['family']] = entry
  return strongest
