"""Answers dealt at random: how far above chance replies are.

Members of a group share their options and differ in the answer, so they are no
independent trials. Under the null that replies have nothing to do with answers,
those of a lot, members whose answers are all different, are dealt to them
without replacement. Who replies alike to all members has exactly its share.
"""

import collections
from collections.abc import Hashable, Sequence
import functools
import itertools
import math

import numpy as np

_SHARE = 60  # Credits are whole sixtieths, as up to six options may be equal.


def lots(keys: Sequence[Hashable], which: Sequence[int]) -> list[np.ndarray]:
  """Indices of items, by lot.

  Args:
    keys: equal for items that have the same options, such as a group's.
    which: of each item its answer, as an index into those options.
  """
  found, again = collections.defaultdict(list), collections.Counter()
  for i, (key, answer) in enumerate(zip(keys, which, strict=True)):
    turn = key, int(answer)
    found[key, again[turn]].append(i)
    again[turn] += 1
  return [np.array(lot) for lot in found.values()]


def right(credit_NK: np.ndarray, which: np.ndarray) -> np.ndarray:
  """Of each item the credit of its answer, [N]."""
  return np.take_along_axis(credit_NK, which[:, None], 1)[:, 0]


def p_value(
  credit_NK: np.ndarray, which: np.ndarray, lots: Sequence[np.ndarray]
) -> float:
  """Exact two-sided p-value, of `tails`."""
  return min(1.0, 2 * min(tails(credit_NK, which, lots)))


def tails(
  credit_NK: np.ndarray, which: np.ndarray, lots: Sequence[np.ndarray]
) -> tuple[float, float]:
  """Chance of at most, and of at least, the credit that the answers got.

  Lots are dealt independently: the distribution of the sum is a convolution.

  Args:
    credit_NK: of each item the share that each of its K options was chosen
      with, in whole sixtieths; nan where it has fewer options.
    which: of each item its answer, int [N].
    lots: as `lots` gives them.
  """
  options = (~np.isnan(credit_NK)).sum(1)
  whole = np.rint(np.nan_to_num(credit_NK) * _SHARE).astype(int)
  whole //= max(1, math.gcd(*whole.ravel().tolist()))
  hits = int(right(whole, which).sum())
  alike: collections.Counter[tuple[int, ...]] = collections.Counter()
  for lot in lots:
    deals = every(int(options[lot[0]]), len(lot))
    sums = whole[lot][np.arange(len(lot)), deals].sum(-1)
    alike[tuple(np.bincount(sums).tolist())] += 1
  chances = np.ones(1)
  for counts, times in alike.items():
    one = np.array(counts) / sum(counts)
    chances = np.convolve(chances, _power(one, times))
  return float(chances[: hits + 1].sum()), float(chances[hits:].sum())


@functools.lru_cache
def every(options: int, members: int) -> np.ndarray:
  """All deals of a lot, [deals, members]."""
  return np.array([*itertools.permutations(range(options), members)])


def _power(chances: np.ndarray, times: int) -> np.ndarray:
  """Distribution of a sum of so many independent draws."""
  total = np.ones(1)
  while times:
    if times % 2:
      total = np.convolve(total, chances)
    times //= 2
    if times:
      chances = np.convolve(chances, chances)
  return total
