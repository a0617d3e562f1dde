"""Training batches: whole groups of items, with auxiliary targets.

Items of a group share all but one factor and are neighbours in a batch. A group
may be mirrored, which gives another valid group, or shown without the pictures
of the state.
"""

from collections.abc import Iterator, Sequence
import functools
import re
from typing import NamedTuple

import numpy as np

from commons import errors
from wm_abench.core import records
from wm_abench.evaluation import prompts
from wm_abench.policy import decoder, picture_labels, policy, vision

# Shares of the groups that are mirrored, and that are shown without the
# pictures of the state, as in the evaluation's `blind`.
_MIRROR, _BLIND = 0.5, 0.1
_MAX_OBJECTS = 5  # Labelled objects in a picture.
_MIRRORED = {
  'left': 'right',
  'right': 'left',
  'clockwise': 'anticlockwise',
  'anticlockwise': 'clockwise',
}
_SIDES = re.compile(rf'\b({"|".join(_MIRRORED)})\b')


class Targets(NamedTuple):
  """The targets of a batch.

  right_B: int32 index of the label of the key, from 0.
  group_B: int32, equal for the items of a group; -1 for padding.
  object_at_BPT2: float32, x and y of the objects in each picture, as in
    picture_labels.ObjectLabel.
  object_is_BPTN: float32, 1 for each of vision.NAMES that applies to an object;
    all 0 if there is no object.
  """

  right_B: np.ndarray
  group_B: np.ndarray
  object_at_BPT2: np.ndarray
  object_is_BPTN: np.ndarray


def conversation(
  item: records.Item, order: Sequence[int], blind: bool = False
) -> list[str | bytes]:
  """Returns an item's prompt as in the evaluation, its pictures encoded.

  Args:
    item: the item.
    order: indices into its options; order[0] is labelled A.
    blind: leaves out the pictures of the state.
  """
  parts = prompts.parts(item, order, prompts.STRICT, blind)
  return [p.read() if isinstance(p, records.Picture) else p for p in parts]


def mirrored(text: str) -> str:
  """Returns a text on a scene, changed to hold for its mirror image."""
  return _SIDES.sub(lambda match: _MIRRORED[match[0]], text)


def split(
  items: Sequence[records.Item], hold_out: int
) -> tuple[list[list[records.Item]], list[records.Item]]:
  """Returns training groups, and the items of every n-th group of a cell.

  Raises:
    UserError: hold_out is below 2, or there are too few items.
  """
  if hold_out < 2:
    raise errors.UserError(f'{hold_out=} must be at least 2')
  groups: dict[str, dict[str, list[records.Item]]] = {}
  for item in items:
    groups.setdefault(item.cell, {}).setdefault(item.group, []).append(item)
  train, held_out = [], []
  for groups_of_cell in groups.values():
    for i, members in enumerate(groups_of_cell.values()):
      if i % hold_out == hold_out - 1:
        held_out += members
      elif len(members) == len(members[0].options):
        train.append(members)
  if not train or not held_out:
    raise errors.UserError(
      f'{len(items)} items are too few for {hold_out=}: no group is left'
    )
  return train, held_out


def batches(
  groups: Sequence[Sequence[records.Item]],
  rows: int,
  vocab_size: int,
  seed: int,
  start: int = 0,
) -> Iterator[tuple[decoder.Batch, Targets]]:
  """Yields batches of whole groups of one padded shape, without end.

  A batch depends only on the seed and its number. The items of a group share a
  random order of options, the mirroring and the lack of pictures.

  Args:
    groups: the training groups, from `split`.
    rows: number of rows of a batch.
    vocab_size: the policy's number of word buckets.
    seed: the seed of the run.
    start: the number of the first batch.
  """
  # Each picture is decoded once, although it is shown many times.
  look = functools.cache(policy.small)
  labels = {
    item.name: picture_labels.labels_of(item)
    for members in groups
    for item in members
  }
  flipped = lambda encoded: look(encoded)[:, ::-1]
  by_shape: dict[tuple[int, int], list[int]] = {}
  for i, members in enumerate(groups):
    order = range(len(members[0].options))
    reading = policy.read(conversation(members[0], order), vocab_size, look)
    by_shape.setdefault(policy.shape_of(reading), []).append(i)
  shapes = list(by_shape)
  weights = np.array([sum(len(groups[i]) for i in by_shape[s]) for s in shapes])
  while True:
    rng = np.random.default_rng([seed, start])
    shape = shapes[rng.choice(len(shapes), p=weights / weights.sum())]
    readings: list[policy.Reading] = []
    targets = _padding(rows, shape[0])
    for i in rng.permutation(by_shape[shape]):
      members = groups[i]
      if len(readings) + len(members) > rows:
        break
      order = rng.permutation(len(members[0].options)).tolist()
      mirror, blind = rng.random(2) < (_MIRROR, _BLIND)
      for item in members:
        row = len(readings)
        targets.right_B[row], targets.group_B[row] = order.index(item.answer), i
        if not blind:
          _set_labels(targets, row, labels[item.name], mirror)
        parts = conversation(item, order, blind)
        if mirror:
          parts = [mirrored(p) if isinstance(p, str) else p for p in parts]
        decode = flipped if mirror else look
        readings.append(policy.read(parts, vocab_size, decode))
    yield policy.pack(readings, shape, rows), targets
    start += 1


def _padding(rows: int, pictures: int) -> Targets:
  """Returns targets of rows that are all padding."""
  objects = rows, pictures, _MAX_OBJECTS
  return Targets(
    np.zeros(rows, np.int32),
    np.full(rows, -1, np.int32),
    np.zeros((*objects, 2), np.float32),
    np.zeros((*objects, len(vision.NAMES)), np.float32),
  )


def _set_labels(
  targets: Targets,
  row: int,
  labels: Sequence[Sequence[picture_labels.ObjectLabel]],
  mirror: bool,
) -> None:
  """Writes the labels of the objects in a row's pictures."""
  for p, objects in enumerate(labels):
    for t, label in enumerate(objects):
      x, moved = label.x, label.moved
      if mirror:
        x, moved = 1 - x, mirrored(moved)
      targets.object_at_BPT2[row, p, t] = x, label.y
      for name in filter(None, (label.color, label.shape, moved)):
        targets.object_is_BPTN[row, p, t, vision.NAMES.index(name)] = 1
