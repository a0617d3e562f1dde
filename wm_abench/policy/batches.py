"""Items as lessons: batches of whole groups, with all that is told beside.

Members of a group share all but one factor and stand side by side in a batch. A
group may be seen in a mirror, which makes another lawful one, or without the
pictures of the state.
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

# Shares of the groups in a batch: seen in a mirror, and asked without the
# pictures of the state, which is what the evaluation's `blind` is.
_MIRROR, _BLIND = 0.5, 0.1
_THINGS = 5  # At most, in a picture where they are known.
_MIRRORED = {
  'left': 'right',
  'right': 'left',
  'clockwise': 'anticlockwise',
  'anticlockwise': 'clockwise',
}
_SIDES = re.compile(rf'\b({"|".join(_MIRRORED)})\b')


class Targets(NamedTuple):
  """What a batch's rows are to give.

  right_B: int32 label of the right option, from 0.
  group_B: int32; equal for the members of a group, -1 for padding.
  thing_at_BPT2: float32, x and y of the things in each picture, as sightings
    have them.
  thing_is_BPTN: float32, 1 for each of vision.NAMES that a thing has; all 0
    where there is none.
  """

  right_B: np.ndarray
  group_B: np.ndarray
  thing_at_BPT2: np.ndarray
  thing_is_BPTN: np.ndarray


def conversation(
  item: records.Item, order: Sequence[int], blind: bool = False
) -> list[str | bytes]:
  """An item as evaluation puts it, its options in an order.

  Args:
    item: to ask.
    order: indices into its options; order[0] is labelled A.
    blind: whether the pictures of the state are left out.
  """
  parts = prompts.parts(item, order, prompts.STRICT, blind)
  return [p.source if isinstance(p, prompts.Picture) else p for p in parts]


def mirrored(text: str) -> str:
  """What is said of a scene, said of its mirror image.

  So with all pictures flipped an item is still true, and a new one.
  """
  return _SIDES.sub(lambda match: _MIRRORED[match[0]], text)


def split(
  items: Sequence[records.Item], hold_out: int
) -> tuple[list[list[records.Item]], list[records.Item]]:
  """Whole groups to train on, and the items of every n-th group of a cell.

  Raises:
    UserError: hold_out below 2, or nothing is left to train on.
  """
  if hold_out < 2:
    raise errors.UserError(f'{hold_out=}: every how many groups; at least 2')
  groups: dict[str, dict[str, list[records.Item]]] = {}
  for item in items:
    groups.setdefault(item.cell, {}).setdefault(item.group, []).append(item)
  train, held = [], []
  for of_cell in groups.values():
    for i, members in enumerate(of_cell.values()):
      if i % hold_out == hold_out - 1:
        held += members
      elif len(members) == len(members[0].options):
        train.append(members)
  if not train or not held:
    raise errors.UserError(
      f'{len(items)} items are too few for {hold_out=}: no group is left'
    )
  return train, held


def batches(
  groups: Sequence[Sequence[records.Item]],
  rows: int,
  vocab_size: int,
  seed: int,
  start: int = 0,
) -> Iterator[tuple[decoder.Batch, Targets]]:
  """Batches of whole groups of one padded shape, without end.

  Each depends on the seed and on its number alone. A group's options are put
  into a random order, which its members share; so they do a mirror and the
  lack of pictures.

  Args:
    groups: as `split` gives them.
    rows: of a batch.
    vocab_size: of the policy.
    seed: of the run.
    start: number of the first.
  """
  # Each picture is decoded once, for all the times that it is shown.
  look = functools.cache(policy.small)
  known = {
    item.name: picture_labels.of(item) for members in groups for item in members
  }
  flipped = lambda encoded: look(encoded)[:, ::-1]
  alike: dict[tuple[int, int], list[int]] = {}
  for i, members in enumerate(groups):
    order = range(len(members[0].options))
    reading = policy.read(conversation(members[0], order), vocab_size, look)
    alike.setdefault(policy.shape_of(reading), []).append(i)
  shapes = list(alike)
  weights = np.array([sum(len(groups[i]) for i in alike[s]) for s in shapes])
  while True:
    rng = np.random.default_rng([seed, start])
    shape = shapes[rng.choice(len(shapes), p=weights / weights.sum())]
    readings: list[policy.Reading] = []
    targets = _blank(rows, shape[0])
    for i in rng.permutation(alike[shape]):
      members = groups[i]
      if len(readings) + len(members) > rows:
        break
      order = rng.permutation(len(members[0].options)).tolist()
      mirror, blind = rng.random(2) < (_MIRROR, _BLIND)
      for item in members:
        row = len(readings)
        targets.right_B[row], targets.group_B[row] = order.index(item.answer), i
        if not blind:
          _tell(targets, row, known[item.name], mirror)
        shown = conversation(item, order, blind)
        if mirror:
          shown = [mirrored(p) if isinstance(p, str) else p for p in shown]
        seen = flipped if mirror else look
        readings.append(policy.read(shown, vocab_size, seen))
    yield policy.pack(readings, shape, rows), targets
    start += 1


def _blank(rows: int, pictures: int) -> Targets:
  """Of padding alone."""
  things = rows, pictures, _THINGS
  return Targets(
    np.zeros(rows, np.int32),
    np.full(rows, -1, np.int32),
    np.zeros((*things, 2), np.float32),
    np.zeros((*things, len(vision.NAMES)), np.float32),
  )


def _tell(
  targets: Targets,
  row: int,
  seen: Sequence[Sequence[picture_labels.Sighting]],
  mirror: bool,
) -> None:
  """Writes into a row what is in its pictures."""
  for p, things in enumerate(seen):
    for t, thing in enumerate(things):
      x, moved = thing.x, thing.moved
      if mirror:
        x, moved = 1 - x, mirrored(moved)
      targets.thing_at_BPT2[row, p, t] = x, thing.y
      for name in filter(None, (thing.color, thing.shape, moved)):
        targets.thing_is_BPTN[row, p, t, vision.NAMES.index(name)] = 1
