"""The law that every group of items keeps, and the request that makers get.

A maker drafts one group: `maker(Request) -> Group`. It raises
`Rejected` if a draw is unusable, for example if an object is hidden or if two
outcomes are too similar. The group is then drawn again with the generator of
the next attempt, so that the data set is reproducible.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np

from wm_abench.core import dimensions
from wm_abench.worlds import protocol

# Two frames are distinguishable if this share of their pixels (24 x 24 of
# 384 x 384) differs by more than MIN_LEVELS of 255 levels in some channel.
MIN_SHARE = 0.004
MIN_LEVELS = 24
# Two outcomes are different if some body is this far from its position in the
# other outcome.
MIN_STATE_M = 0.02


class Rejected(Exception):
  """This draw cannot become a group; another attempt may succeed."""


@dataclasses.dataclass(frozen=True)
class Request:
  """The input of a maker.

  Attributes:
    cell: the cell of the group.
    index: the index of the group in its cell, from 0.
    seed: the seed of the data set.
    attempt: how many draws of this group have been rejected.
    simulate: runs a scene and actions without rendering.
  """

  cell: dimensions.Cell
  index: int
  seed: int
  attempt: int
  simulate: protocol.Simulate

  @functools.cached_property
  def rng(self) -> np.random.Generator:
    """The generator of this group and attempt."""
    number = _cell_number(self.cell.name)
    return np.random.default_rng([self.seed, number, self.index, self.attempt])

  def levels(self, **factors: Sequence[Any]) -> dict[str, Any]:
    """Returns one level of each factor: the index-th combination.

    The combinations of all levels are visited in an order that is shuffled by
    the seed, so that every combination is equally frequent in a long run of
    groups.
    """
    sizes = [len(levels) for levels in factors.values()]
    order = _order(math.prod(sizes), self.seed, self.cell.name)
    remainder = int(order[self.index % len(order)])
    chosen = {}
    for (name, levels), size in zip(factors.items(), sizes, strict=True):
      remainder, level = divmod(remainder, size)
      chosen[name] = levels[level]
    return chosen


@functools.lru_cache(maxsize=256)
def _order(n: int, seed: int, name: str) -> np.ndarray:
  return np.random.default_rng([seed, _cell_number(name)]).permutation(n)


def _cell_number(name: str) -> int:
  return list(dimensions.CELLS).index(name)


@dataclasses.dataclass(frozen=True)
class Draft:
  """One item before its frames are rendered.

  Attributes:
    prompt: the question, without instructions on the form of the answer.
    images: shots of the state that the question is about, in order.
    options: one phrase or one shot per option.
    answer: index of the key in `options`, from 0.
    factors: every randomised parameter by name, as JSON types. Nuisance
      parameters are included, so that their effects can be measured.
  """

  prompt: str
  images: tuple[protocol.Shot, ...]
  options: tuple[str, ...] | tuple[protocol.Shot, ...]
  answer: int
  factors: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Group:
  """Drafts that differ in one factor and therefore in their key.

  Attributes:
    cell: the cell of all drafts.
    index: the index of the group in its cell, from 0.
    varies: the factor that differs, a key of every draft's factors.
    drafts: as many as the cell has options.
  """

  cell: dimensions.Cell
  index: int
  varies: str
  drafts: tuple[Draft, ...]


Maker = Callable[[Request], Group]


def assemble(
  request: Request, varies: str, options: Sequence, members: Sequence[Mapping]
) -> Group:
  """Returns the group whose i-th member has options[i] as its key.

  Args:
    request: the request that the maker got.
    varies: the factor that differs between the members.
    options: one phrase or shot per member.
    members: prompt, images and factors of each member's draft.

  Returns:
    The group. All its members have the options in the same random order.
  """
  order = request.rng.permutation(len(options))
  shuffled = tuple(options[i] for i in order)
  drafts = tuple(
    Draft(options=shuffled, answer=int(np.flatnonzero(order == i)[0]), **m)
    for i, m in enumerate(members)
  )
  return Group(request.cell, request.index, varies, drafts)


def distinguishable(a_HWC: np.ndarray, b_HWC: np.ndarray) -> bool:
  """Returns whether two uint8 frames look different; see MIN_SHARE."""
  difference_HW = np.abs(a_HWC.astype(np.int16) - b_HWC).max(axis=-1)
  return bool((difference_HW > MIN_LEVELS).mean() >= MIN_SHARE)


def check(group: Group) -> None:
  """Raises AssertionError if a group breaks the law: its maker has a bug.

  The members have the same options and each another key. They differ in the
  factor `varies`, in all its levels, and in no other factor.
  """
  dimension, drafts = group.cell.of, group.drafts
  where = f'{group.cell.name}/{group.index}'
  assert len(drafts) == dimension.options, where
  assert sorted(d.answer for d in drafts) == [*range(len(drafts))], where
  assert len({d.options for d in drafts}) == 1, where
  assert len(set(drafts[0].options)) == len(drafts), where
  assert len({(d.prompt, d.images) for d in drafts}) == len(drafts), where
  names = {frozenset(d.factors) for d in drafts}
  assert len(names) == 1 and group.varies in drafts[0].factors, where
  for name in drafts[0].factors:
    levels = {str(d.factors[name]) for d in drafts}
    expected = len(drafts) if name == group.varies else 1
    assert len(levels) == expected, f'{where}: {name}'
  for draft in drafts:
    assert len(draft.images) == group.cell.images, where
    are_shots = {isinstance(o, protocol.Shot) for o in draft.options}
    assert are_shots == {dimension.form == dimensions.IMAGE}, where


def check_frames(
  group: Group, frame_of: Callable[[protocol.Shot], np.ndarray]
) -> None:
  """Raises Rejected if a difference that has to be visible is not.

  Image options must be distinguishable from each other. Members with the same
  prompt must be distinguishable in at least one image.

  Args:
    group: a group that passes `check`.
    frame_of: returns the frame of a shot of the group.
  """
  options = group.drafts[0].options
  if group.cell.of.form == dimensions.IMAGE:
    for a, b in itertools.combinations(options, 2):
      if not distinguishable(frame_of(a), frame_of(b)):
        raise Rejected('two options look alike')
  for a, b in itertools.combinations(group.drafts, 2):
    if a.prompt == b.prompt and not any(
      distinguishable(frame_of(x), frame_of(y))
      for x, y in zip(a.images, b.images, strict=True)
    ):
      raise Rejected('two members look alike')
