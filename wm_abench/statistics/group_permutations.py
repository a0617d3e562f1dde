"""Exact permutation tests for replies to groups of items.

Items of one group share their options, so they are not independent trials. The
null hypothesis is that replies are unrelated to the keys. Under it, the keys of
a block (items with the same options and distinct keys) may be permuted among
the block's items. A model that gives the same reply to every item of a group
scores exactly 1/K under every permutation.

Blocks are independent, so the distribution of the score is the convolution of
the blocks' distributions, each of which is enumerated.
"""

import collections
from collections.abc import Hashable, Sequence
import functools
import itertools
import math

import numpy as np

# Credits are whole sixtieths: up to six options may tie for being chosen.
_CREDIT_UNITS = 60


def blocks(groups: Sequence[Hashable], keys: Sequence[int]) -> list[np.ndarray]:
  """Returns the indices of the items of each block.

  A key that occurs twice in a group starts a second block.

  Args:
    groups: one label per item; items with one label have the same options.
    keys: each item's key, as an index into its options.
  """
  members = collections.defaultdict(list)
  occurrences = collections.Counter()
  for i, (group, key) in enumerate(zip(groups, keys, strict=True)):
    pair = group, int(key)
    members[group, occurrences[pair]].append(i)
    occurrences[pair] += 1
  return [np.array(block) for block in members.values()]


def credit_of_keys(credit_NK: np.ndarray, key_N: np.ndarray) -> np.ndarray:
  """Returns the credit that each item's key received, [N]."""
  return np.take_along_axis(credit_NK, key_N[:, None], 1)[:, 0]


def p_value(
  credit_NK: np.ndarray, key_N: np.ndarray, blocks: Sequence[np.ndarray]
) -> float:
  """Returns the exact two-sided p-value; see `tail_probabilities`."""
  return min(1.0, 2 * min(tail_probabilities(credit_NK, key_N, blocks)))


def tail_probabilities(
  credit_NK: np.ndarray, key_N: np.ndarray, blocks: Sequence[np.ndarray]
) -> tuple[float, float]:
  """Returns P(score <= observed) and P(score >= observed) under the null.

  Args:
    credit_NK: how much each of an item's K options was chosen, in whole
      sixtieths; nan where the item has fewer options.
    key_N: each item's key, int.
    blocks: the items within which keys are permuted; see `blocks`.
  """
  options_N = (~np.isnan(credit_NK)).sum(1)
  units_NK = np.rint(np.nan_to_num(credit_NK) * _CREDIT_UNITS).astype(int)
  units_NK //= max(1, math.gcd(*units_NK.ravel().tolist()))
  observed = int(credit_of_keys(units_NK, key_N).sum())
  # Blocks with the same distribution are counted, then convolved at once.
  block_counts: collections.Counter[tuple[int, ...]] = collections.Counter()
  for block in blocks:
    assignments = assignments_of(int(options_N[block[0]]), len(block))
    sums = units_NK[block][np.arange(len(block)), assignments].sum(-1)
    block_counts[tuple(np.bincount(sums).tolist())] += 1
  distribution = np.ones(1)
  for counts, times in block_counts.items():
    one_block = np.array(counts) / sum(counts)
    distribution = np.convolve(distribution, _power(one_block, times))
  return (
    float(distribution[: observed + 1].sum()),
    float(distribution[observed:].sum()),
  )


@functools.lru_cache
def assignments_of(options: int, members: int) -> np.ndarray:
  """Returns every assignment of distinct keys, [assignments, members]."""
  return np.array([*itertools.permutations(range(options), members)])


def _power(distribution: np.ndarray, times: int) -> np.ndarray:
  """Returns the distribution of the sum of `times` independent draws."""
  total = np.ones(1)
  while times:
    if times % 2:
      total = np.convolve(total, distribution)
    times //= 2
    if times:
      distribution = np.convolve(distribution, distribution)
  return total
