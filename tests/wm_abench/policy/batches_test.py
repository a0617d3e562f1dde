"""Laws of the batches: what they contain, and their auxiliary targets."""

import collections
import dataclasses
import io

import jax
import numpy as np
from PIL import Image
import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.core import records
from wm_abench.policy import batches, picture_labels


def _films(groups):
  """Yields items of MI with a red object at the position in the state."""
  rng = np.random.default_rng(0)
  for group in range(groups):
    x, y = rng.uniform(-0.3, 0.3, 2).tolist()
    thing = {'red': {'position_m': [x, y, 0.1]}}
    item = records.Item(
      name='',
      cell='mi_tabletop',
      group=f'mi_tabletop/{group}',
      prompt='Which object is moving?',
      images=(synthetic.picture(rng),) * 4,
      options=('w', 'x', 'y', 'z'),
      answer=0,
      varies='mover',
      factors={
        'view': 'top',
        'side': 'front',
        'background': 'study',
        'colors': ['red'],
        'shapes': ['cube'],
      },
      state={'images': [{'bodies': thing}] * 4},
    )
    ((seen, *_), *_) = picture_labels.labels_of(item)
    pixels = np.full((64, 64, 3), (40, 60, 200), np.uint8)
    row, column = int(seen.y * 64), int(seen.x * 64)
    pixels[row - 3 : row + 4, column - 3 : column + 4] = synthetic.COLORS['red']
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, 'png')
    for answer in range(4):
      yield dataclasses.replace(
        item,
        name=f'{item.group}/{answer}',
        images=(records.Picture.encoded(stream.getvalue()),) * 4,
        answer=answer,
      )


def test_held_out_groups_are_whole_and_never_trained_on():
  items = [
    *synthetic.items('sr_tabletop', 7),
    *synthetic.items('cq_tabletop', 5),
  ]
  train, held = batches.split(items, 3)
  assert {i.group for i in held} == {
    f'{cell}/{g}'
    for cell, every in (('sr_tabletop', (2, 5)), ('cq_tabletop', (2,)))
    for g in every
  }
  assert len(held) == 4 + 4 + 2
  trained = {i.group for members in train for i in members}
  assert not trained & {i.group for i in held} and len(train) == 5 + 4
  assert all(len(m) == len(m[0].options) for m in train)


@pytest.mark.parametrize('hold_out', [1, 8])
def test_a_split_that_leaves_nothing_is_refused(hold_out):
  with pytest.raises(errors.UserError, match=f'hold_out={hold_out}'):
    batches.split(synthetic.items('sr_tabletop', 7), hold_out)


def test_a_batch_depends_on_the_seed_and_its_number_alone():
  groups = synthetic.grouped(synthetic.colored(6))
  stream = batches.batches(groups, 24, 64, seed=3)
  first = [next(stream) for _ in range(4)]
  later = batches.batches(groups, 24, 64, seed=3, start=2)
  other = batches.batches(groups, 24, 64, seed=4)
  for a, b in zip(first[2:], later, strict=False):
    jax.tree.map(np.testing.assert_array_equal, a, b)
  assert not np.array_equal(first[0][1].right_B, next(other)[1].right_B)


def test_a_batch_holds_whole_groups_and_each_answer_once():
  groups = synthetic.grouped(synthetic.colored(6))
  # Ten rows have room for two groups of four.
  batch, answers = next(batches.batches(groups, 10, 64, seed=0))
  assert batch.words_BW.shape[0] == 10
  assert [*np.unique(answers.group_B, return_counts=True)[1]] == [2, 4, 4]
  assert (answers.group_B[8:] == -1).all()
  for group in (0, 4):
    rows = slice(group, group + 4)
    assert sorted(answers.right_B[rows]) == [0, 1, 2, 3]
    # One order of the options, one mirror and one lack of pictures for all.
    assert len(np.unique(batch.words_BW[rows], axis=0)) == 1
    assert len(np.unique(batch.picture_at_BP[rows], axis=0)) == 1


def test_a_mirror_of_a_mirror_is_the_same():
  text = 'to the left of the cup, on its right side: clockwise or anticlockwise'
  turned = (
    'to the right of the cup, on its left side: anticlockwise or clockwise'
  )
  assert batches.mirrored(text) == turned
  assert batches.mirrored(turned) == text
  assert batches.mirrored('nothing is leftover') == 'nothing is leftover'


def test_labels_are_where_the_objects_are_mirrored_or_not():
  films = [*_films(40)]
  stream = batches.batches(synthetic.grouped(films), 24, 64, seed=0)
  seen = collections.Counter()
  for _, (batch, targets) in zip(range(4), stream, strict=False):
    for row in range(24):
      for p in range(batch.picture_at_BP.shape[1]):
        if not targets.object_is_BPTN[row, p].any():
          seen['blind'] += 1
          continue
        x, y = targets.object_at_BPT2[row, p, 0]
        pixel = batch.pictures_BPYXC[row, p, int(y * 64), int(x * 64)]
        assert pixel[0] > 150 > pixel[2], 'the red object is not there'
        seen['left' if x < 0.5 else 'right'] += 1
  assert seen['blind'] and seen['left'] and seen['right']
