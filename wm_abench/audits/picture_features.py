"""The items of a cell as shortcuts see them, and permutations of their keys.

Under the null hypothesis the keys of a group are permuted among its items, so
that each option is the key once. A shortcut's hits are compared with its hits
under such permutations. A shortcut that does not read the varied factor scores
exactly chance, and cannot be significant.
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

SIZE_PX = 48  # Shortcuts see pictures of this size.
LEVELS = 4  # Levels of each channel in a colour histogram.
PERMUTATIONS = 200
_RESAMPLES = 400


@dataclasses.dataclass(frozen=True)
class Picture:
  """The features of a picture.

  Attributes:
    pixels: [SIZE_PX, SIZE_PX, 3] float32 in [0, 1].
    colors: share of the pixels in each bin of a colour histogram, [LEVELS^3].
    simple: mean brightness, contrast, saturation, edges and log file size, [5].
  """

  pixels: np.ndarray
  colors: np.ndarray
  simple: np.ndarray


class Sample:
  """Items of one cell, with each picture decoded once.

  Options are sorted, so that all members of a group have them in one order.

  Args:
    items: items of one cell, with equally many options.

  Attributes:
    items: the items.
    options: the number of options of an item.
    words: whether options are words.
    order: each item's sorted options, [N, options].
    key: index of each item's key in its sorted options, int [N].
    blocks: indices of items with the same options and distinct keys; the
      members of a group, if the group is lawful.
    groups: each item's group.
  """

  def __init__(self, items: Sequence[records.Item]):
    self.items = tuple(items)
    self.options = len(items[0].options)
    self.words = isinstance(items[0].options[0], str)
    self.order = [tuple(sorted(item.options, key=_content)) for item in items]
    self.key = np.array(
      [
        o.index(i.options[i.answer])
        for i, o in zip(items, self.order, strict=True)
      ]
    )
    self.groups = [item.group for item in items]
    labels = list(zip(self.groups, self.order, strict=True))
    self.blocks = group_permutations.blocks(labels, self.key)

  @functools.cached_property
  def pictures(self) -> Mapping[records.Picture, Picture]:
    """The features of every picture of the items."""
    seen = {p for item in self.items for p in item.images}
    if not self.words:
      seen |= {p for options in self.order for p in options}
    return {picture: decode(picture.read()) for picture in seen}

  def shown(self, i: int) -> list[Picture]:
    """Returns the features of item i's images, in order."""
    return [self.pictures[p] for p in self.items[i].images]

  def offered(self, i: int) -> list[Picture]:
    """Returns the features of item i's pictured options, sorted."""
    return [self.pictures[p] for p in self.order[i]]


def _content(option: str | records.Picture) -> str | bytes:
  """Returns an option's phrase or encoded picture, by which options sort."""
  return option if isinstance(option, str) else option.read()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The accuracy of a shortcut.

  Attributes:
    accuracy: share of items that are right; tied options share the credit.
    low, high: 95% interval; whole groups are resampled.
    p: p-value under permutations of the keys. It is two-sided for a rule,
      because a rule that is always wrong can be inverted.
  """

  accuracy: float
  low: float
  high: float
  p: float


def decode(encoded: bytes) -> Picture:
  """Decodes a picture to SIZE_PX and computes its features."""
  with Image.open(io.BytesIO(encoded)) as image:
    image.draft('RGB', (SIZE_PX, SIZE_PX))
    image = image.convert('RGB')
    if image.size != (SIZE_PX, SIZE_PX):
      image = image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
  rgb_HW3 = np.asarray(image)
  bins = (rgb_HW3 // (256 // LEVELS)).reshape(-1, 3).astype(int)
  bins = bins @ (LEVELS**2, LEVELS, 1)
  colors = np.bincount(bins, minlength=LEVELS**3) / len(bins)
  pixels = rgb_HW3.astype(np.float32) / 255
  gray = pixels.mean(-1)
  edges = np.abs(np.diff(gray, axis=0)).mean()
  edges += np.abs(np.diff(gray, axis=1)).mean()
  saturation = (pixels.max(-1) - pixels.min(-1)).mean()
  simple = (gray.mean(), gray.std(), saturation, edges, math.log(len(encoded)))
  return Picture(pixels, colors, np.array(simple))


def tokens(text: str) -> list[str]:
  """Returns the lower-case words and numbers of a text."""
  return re.findall(r"[a-z']+|\d+", text.lower())


def credit(scores: np.ndarray) -> np.ndarray:
  """Returns 1 for the best of scores [..., options], shared among ties."""
  best = scores >= scores.max(-1, keepdims=True) - 1e-9
  return best / best.sum(-1, keepdims=True)


def outcome(sample: Sample, right: np.ndarray, p: float) -> Outcome:
  """Returns the outcome of credits [N], with the interval of their mean."""
  low, high = estimates.bootstrap_interval(
    right, sample.groups, seed=0, resamples=_RESAMPLES
  )
  return Outcome(float(right.mean()), low, high, float(p))


def permuted_keys(sample: Sample) -> np.ndarray:
  """Returns the keys, then random permutations in each block, [1 + R, N]."""
  rng = np.random.default_rng(0)
  keys_RN = np.empty((1 + PERMUTATIONS, len(sample.items)), int)
  keys_RN[0] = sample.key
  for block in sample.blocks:
    assignments = group_permutations.assignments_of(sample.options, len(block))
    drawn = rng.integers(len(assignments), size=PERMUTATIONS)
    keys_RN[1:, block] = assignments[drawn]
  return keys_RN
