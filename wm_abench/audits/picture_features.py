"""A cell's items as shortcuts see them, and answers dealt to them at random.

Within a group the answers are dealt to the members, each option once: that is
the draw that a shortcut's hits are held against. A shortcut that leaves the
varied factor unread gets exactly its share, and cannot be a finding.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import io
import math
import re

import numpy as np
from PIL import Image

from commons import estimates
from wm_abench.core import records
from wm_abench.statistics import group_permutations

SIZE_PX = 48  # Pictures are looked at this small.
LEVELS = 4  # Of each channel in a colour histogram.
REDEALS = 200
_RESAMPLES = 400


@dataclasses.dataclass(frozen=True)
class Picture:
  """An encoded picture as the rules see it.

  Attributes:
    pixels: [SIZE_PX, SIZE_PX, 3] float32 in [0, 1].
    colors: share of the pixels in each bin of a colour histogram, [bins].
    simple: brightness, contrast, saturation, edges and bytes, [5].
  """

  pixels: np.ndarray
  colors: np.ndarray
  simple: np.ndarray


class Sample:
  """Items of one cell, their pictures decoded once.

  Options are put into one order for all members of a group, whatever order the
  items have them in; 'which' is an index into that order.

  Args:
    items: of one cell, each with as many options.

  Attributes:
    items: as given.
    options: how many an item has.
    words: whether they are words.
    which: of each item, the answer, int [N].
    order: of each item, its options in that order, [N, options].
    lots: indices of items whose options are the same and whose answers are
      not: the members of a group, where it is a lawful one.
  """

  def __init__(self, items: Sequence[records.Item]):
    self.items = tuple(items)
    self.options = len(items[0].options)
    self.words = isinstance(items[0].options[0], str)
    self.order = [tuple(sorted(item.options, key=_content)) for item in items]
    self.which = np.array(
      [
        o.index(i.options[i.answer])
        for i, o in zip(items, self.order, strict=True)
      ]
    )
    keys = list(zip((item.group for item in items), self.order, strict=True))
    self.lots = group_permutations.blocks(keys, self.which)
    self.groups = [item.group for item in items]

  @functools.cached_property
  def pictures(self) -> Mapping[records.Picture, Picture]:
    seen = {p for item in self.items for p in item.images}
    if not self.words:
      seen |= {p for options in self.order for p in options}
    return {picture: look(picture.read()) for picture in seen}

  def shown(self, i: int) -> list[Picture]:
    """Pictures of item i's state, in order."""
    return [self.pictures[p] for p in self.items[i].images]

  def offered(self, i: int) -> list[Picture]:
    return [self.pictures[p] for p in self.order[i]]


def _content(option: str | records.Picture) -> str | bytes:
  """Returns an option's phrase or encoded picture, by which options sort."""
  return option if isinstance(option, str) else option.read()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How often a shortcut is right.

  Attributes:
    accuracy: share of the items, equal scores counted in part.
    low, high: its 95% interval, groups resampled.
    p: chance of so much under answers dealt at random; of a rule in either
      direction, for one that is always wrong can be turned round.
  """

  accuracy: float
  low: float
  high: float
  p: float


def look(encoded: bytes) -> Picture:
  """Decodes a picture, small."""
  with Image.open(io.BytesIO(encoded)) as image:
    image.draft('RGB', (SIZE_PX, SIZE_PX))
    image = image.convert('RGB')
    if image.size != (SIZE_PX, SIZE_PX):
      image = image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
  whole = np.asarray(image)
  bins = (whole // (256 // LEVELS)).reshape(-1, 3).astype(int)
  bins = bins @ (LEVELS**2, LEVELS, 1)
  colors = np.bincount(bins, minlength=LEVELS**3) / len(bins)
  pixels = whole.astype(np.float32) / 255
  gray = pixels.mean(-1)
  edges = np.abs(np.diff(gray, axis=0)).mean()
  edges += np.abs(np.diff(gray, axis=1)).mean()
  vivid = (pixels.max(-1) - pixels.min(-1)).mean()
  simple = (gray.mean(), gray.std(), vivid, edges, math.log(len(encoded)))
  return Picture(pixels, colors, np.array(simple))


def tokens(text: str) -> list[str]:
  return re.findall(r"[a-z']+|\d+", text.lower())


def credit(scores: np.ndarray) -> np.ndarray:
  """Of scores [..., options] the shares of the best."""
  best = scores >= scores.max(-1, keepdims=True) - 1e-9
  return best / best.sum(-1, keepdims=True)


def outcome(sample: Sample, right: np.ndarray, p: float) -> Outcome:
  low, high = estimates.bootstrap_interval(
    right, sample.groups, seed=0, resamples=_RESAMPLES
  )
  return Outcome(float(right.mean()), low, high, float(p))


def redeal(sample: Sample) -> np.ndarray:
  """The answers, and then as they are dealt anew in each lot, [1 + D, N]."""
  rng = np.random.default_rng(0)
  dealt = np.empty((1 + REDEALS, len(sample.items)), int)
  dealt[0] = sample.which
  for lot in sample.lots:
    every = group_permutations.assignments_of(sample.options, len(lot))
    dealt[1:, lot] = every[rng.integers(len(every), size=REDEALS)]
  return dealt
