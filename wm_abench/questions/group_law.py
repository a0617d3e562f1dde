"""The law that every group of items keeps, and what makers of groups share.

A maker drafts one group: `maker(Request) -> records.Group`. It may give up on a
draw with `Rejected` (a thing hidden, an outcome too near another); the group is
then drawn again with another attempt's generator, the same one every time.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np

from wm_abench.core import dimensions, records
from wm_abench.worlds import protocol

# Two pictures are told apart when this share of their pixels differs by more
# than so many of 255 levels in some channel: 24 x 24 pixels of 384 x 384.
MIN_SHARE = 0.004
MIN_LEVELS = 24
# Two outcomes are told apart when some body is this far from where it was in
# the other.
MIN_STATE_M = 0.02


class Rejected(Exception):
  """This draw cannot become a group; another one may."""


@dataclasses.dataclass(frozen=True)
class Request:
  """What a maker is given.

  Attributes:
    cell: whose group is to be drafted.
    index: which one, from 0.
    seed: of the data set.
    attempt: how many draws of this group were rejected before.
    simulate: runs a scene and actions, without rendering.
  """

  cell: dimensions.Cell
  index: int
  seed: int
  attempt: int
  simulate: protocol.Simulate

  @functools.cached_property
  def rng(self) -> np.random.Generator:
    """A generator of this group's own."""
    place = list(dimensions.CELLS).index(self.cell.name)
    return np.random.default_rng([self.seed, place, self.index, self.attempt])

  def levels(self, **factors: Sequence[Any]) -> dict[str, Any]:
    """One level of each factor: the index-th of the whole crossing.

    The crossing of all levels is walked in an order shuffled by the seed, so
    that any long run of groups has every combination equally often.
    """
    sizes = [len(levels) for levels in factors.values()]
    order = _order(math.prod(sizes), self.seed, self.cell.name)
    place = int(order[self.index % len(order)])
    chosen = {}
    for (name, levels), size in zip(factors.items(), sizes, strict=True):
      place, which = divmod(place, size)
      chosen[name] = levels[which]
    return chosen


@functools.lru_cache(maxsize=256)
def _order(n: int, seed: int, name: str) -> np.ndarray:
  place = list(dimensions.CELLS).index(name)
  return np.random.default_rng([seed, place]).permutation(n)


Maker = Callable[[Request], records.Group]


def assemble(
  request: Request, varies: str, options: Sequence, members: Sequence[Mapping]
) -> records.Group:
  """A group whose i-th member's answer is options[i], all in a shuffled order.

  Args:
    request: what the maker was given.
    varies: the factor that tells the members apart.
    options: words or shots, one a member.
    members: of each the draft's prompt, images and factors.

  Returns:
    The group; its options are in one random order, the same for all members.
  """
  order = request.rng.permutation(len(options))
  shuffled = tuple(options[i] for i in order)
  drafts = tuple(
    records.Draft(
      options=shuffled, answer=int(np.flatnonzero(order == i)[0]), **m
    )
    for i, m in enumerate(members)
  )
  return records.Group(request.cell, request.index, varies, drafts)


def apart(a_HWC: np.ndarray, b_HWC: np.ndarray) -> bool:
  """Whether a person can tell two uint8 frames apart; see MIN_SHARE."""
  gap = np.abs(a_HWC.astype(np.int16) - b_HWC).max(axis=-1)
  return bool((gap > MIN_LEVELS).mean() >= MIN_SHARE)


def check(group: records.Group) -> None:
  """Raises AssertionError where a group breaks the law; a bug of its maker."""
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
    wanted = len(drafts) if name == group.varies else 1
    assert len(levels) == wanted, f'{where}: {name}'
  for draft in drafts:
    assert len(draft.images) == group.cell.images, where
    shots = [isinstance(o, protocol.Shot) for o in draft.options]
    assert set(shots) == {dimension.form == dimensions.IMAGE}, where


def check_frames(
  group: records.Group, frame_of: Callable[[protocol.Shot], np.ndarray]
) -> None:
  """Raises Rejected where something that must be seen cannot be.

  Image options have to be apart from each other; members that share their
  prompt have to be apart in some image.

  Args:
    group: one that `check` passes.
    frame_of: the frame of each of its shots.
  """
  options = group.drafts[0].options
  if group.cell.of.form == dimensions.IMAGE:
    for a, b in itertools.combinations(options, 2):
      if not apart(frame_of(a), frame_of(b)):
        raise Rejected('two options look alike')
  for a, b in itertools.combinations(group.drafts, 2):
    if a.prompt == b.prompt and not any(
      apart(frame_of(x), frame_of(y))
      for x, y in zip(a.images, b.images, strict=True)
    ):
      raise Rejected('two members look alike')
