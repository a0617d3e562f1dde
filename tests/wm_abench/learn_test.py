"""Laws of the training of the small policy, and that it learns."""

import collections
import dataclasses
import io
import json

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from commons import errors
from configs import wm_abench_policy
from tests.wm_abench import synthetic
from wm_abench import dataset, learn, sightings, types
from wm_abench.models import policy

COLORS = {
  'red': (200, 30, 30),
  'green': (30, 170, 40),
  'blue': (40, 60, 200),
  'yellow': (210, 200, 40),
}


def _picture(rng, color):
  """A square of a colour somewhere on a background of random grey."""
  pixels = np.full((64, 64, 3), rng.integers(80, 180), np.uint8)
  y, x = rng.integers(0, 40, 2)
  pixels[y : y + 24, x : x + 24] = color
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, 'png')
  return stream.getvalue()


def _colors(groups):
  """Items of V-C that eyes can answer."""
  rng = np.random.default_rng(0)
  for group in range(groups):
    names = tuple(rng.permutation([*COLORS]).tolist())
    for answer, name in enumerate(names):
      yield types.Item(
        name=f'v_c_tabletop/{group}/{answer}',
        cell='v_c_tabletop',
        group=f'v_c_tabletop/{group}',
        prompt='What colour is it?',
        images=tuple(_picture(rng, COLORS[name]) for _ in range(3)),
        options=names,
        answer=answer,
        varies='color',
      )


def _films(groups):
  """Items of MI with a red thing where the state says, on blue."""
  rng = np.random.default_rng(0)
  for group in range(groups):
    x, y = rng.uniform(-0.3, 0.3, 2).tolist()
    thing = {'red': {'position_m': [x, y, 0.1]}}
    item = types.Item(
      name='',
      cell='mi_tabletop',
      group=f'mi_tabletop/{group}',
      prompt='Which object is moving?',
      images=(b'',) * 4,
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
    ((seen, *_), *_) = sightings.of(item)
    pixels = np.full((64, 64, 3), (40, 60, 200), np.uint8)
    row, column = int(seen.y * 64), int(seen.x * 64)
    pixels[row - 3 : row + 4, column - 3 : column + 4] = COLORS['red']
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, 'png')
    for answer in range(4):
      yield dataclasses.replace(
        item,
        name=f'{item.group}/{answer}',
        images=(stream.getvalue(),) * 4,
        answer=answer,
      )


def _config(data='', steps=40, **train):
  config = wm_abench_policy.get_config(f'data={data},cells=V-C,steps={steps}')
  config.model = dict(
    vocab_size=64, width=16, vision_layers=1, layers=2, heads=2
  )
  config.optimizer.warmup_steps = 5
  config.train.update(rows=24, **train)
  return config


def _groups(items):
  groups = {}
  for item in items:
    groups.setdefault(item.group, []).append(item)
  return [*groups.values()]


def test_held_out_groups_are_whole_and_never_trained_on():
  items = [
    *synthetic.items('sr_tabletop', 7),
    *synthetic.items('cq_tabletop', 5),
  ]
  train, held = learn.split(items, 3)
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
    learn.split(synthetic.items('sr_tabletop', 7), hold_out)


def test_a_batch_depends_on_the_seed_and_its_number_alone():
  groups = _groups(_colors(6))
  stream = learn.batches(groups, 24, 64, seed=3)
  first = [next(stream) for _ in range(4)]
  later = learn.batches(groups, 24, 64, seed=3, start=2)
  other = learn.batches(groups, 24, 64, seed=4)
  for a, b in zip(first[2:], later, strict=False):
    jax.tree.map(np.testing.assert_array_equal, a, b)
  assert not np.array_equal(first[0][1].right_B, next(other)[1].right_B)


def test_a_batch_holds_whole_groups_and_each_answer_once():
  groups = _groups(_colors(6))
  # Ten rows have room for two groups of four.
  batch, answers = next(learn.batches(groups, 10, 64, seed=0))
  assert batch.words_BW.shape[0] == 10
  assert [*np.unique(answers.group_B, return_counts=True)[1]] == [2, 4, 4]
  assert (answers.group_B[8:] == -1).all()
  for group in (0, 4):
    rows = slice(group, group + 4)
    assert sorted(answers.right_B[rows]) == [0, 1, 2, 3]
    # One order of the options, one mirror and one lack of pictures for all.
    assert len(np.unique(batch.words_BW[rows], axis=0)) == 1
    assert len(np.unique(batch.picture_at_BP[rows], axis=0)) == 1


def test_a_mirror_of_a_mirror_says_the_same():
  said = 'to the left of the cup, on its right side: clockwise or anticlockwise'
  turned = (
    'to the right of the cup, on its left side: anticlockwise or clockwise'
  )
  assert learn.mirrored(said) == turned
  assert learn.mirrored(turned) == said
  assert learn.mirrored('nothing is leftover') == 'nothing is leftover'


def test_loss_by_hand():
  """Two members, two options, and a row of padding that counts nothing."""
  logits = jnp.array([[2.0, 0.0], [1.0, 3.0], [9.0, -jnp.inf]])
  right, group = jnp.array([0, 1, 0]), jnp.array([5, 5, -1])
  # Of options: 2 against 0, 3 against 1. Of members: 2 against 1, 3 against 0.
  rows = [np.log1p(np.exp(-g)) for g in (2.0, 2.0)]
  columns = [np.log1p(np.exp(-g)) for g in (1.0, 3.0)]
  expected = (sum(rows) + sum(columns)) / 2 / 2
  assert learn.choice_loss(logits, right, group) == pytest.approx(
    expected, rel=1e-6
  )


def test_gradient_of_the_loss_is_finite_with_padding_and_missing_options():
  logits = jnp.array([[0.0, 1.0, -jnp.inf], [0.0, 2.0, -jnp.inf], [0.0] * 3])
  right, group = jnp.array([0, 1, 0]), jnp.array([0, 0, -1])
  of = lambda x: learn.choice_loss(
    jnp.where(jnp.isinf(logits), logits, x), right, group
  )
  gradient = jax.grad(of)(jnp.where(jnp.isinf(logits), 0.0, logits))
  assert np.isfinite(gradient).all() and not gradient[2].any()


def test_a_shift_moves_pictures_and_things_of_a_row_alike():
  """A thing is a white pixel; its place stays on it."""
  side, at = 16, [(3, 5), (8, 8), (12, 4)]
  pictures = np.zeros((3, 2, side, side, 3), np.uint8)
  places = np.zeros((3, 2, 1, 2), np.float32)
  for row, (x, y) in enumerate(at):
    pictures[row, :, y, x] = 255
    places[row, :, 0] = (x + 0.5) / side, (y + 0.5) / side
  moved, where = learn.shift(jax.random.key(2), pictures, places, 3)
  for row in range(3):
    for picture, place in zip(moved[row], where[row, :, 0], strict=True):
      (found,) = np.argwhere(picture[..., 0] == 255)
      np.testing.assert_allclose((found[::-1] + 0.5) / side, place, atol=1e-6)
  by = np.round(np.asarray(where - places)[:, 0, 0] * side, 3)
  assert len({tuple(row) for row in by.tolist()}) == 3  # Each its own way.
  still, same = learn.shift(jax.random.key(2), pictures, places, 0)
  np.testing.assert_array_equal(still, pictures)
  np.testing.assert_array_equal(same, places)


def _sighted():
  """One picture of 4 x 4 squares: a thing of names 0 and 2 in x = 1, y = 2."""
  at = np.zeros((1, 2, 3, 2), np.float32)
  names = np.zeros((1, 2, 3, 4), np.float32)
  at[0, 0, 0] = 0.3, 0.6
  names[0, 0, 0, [0, 2]] = 1
  return at, names


def test_naming_by_hand():
  """At logits of 0 each name of each square asked costs ln 2."""
  at, names = _sighted()
  flat = jnp.zeros((1, 2, 4, 4, 4))
  # Sixteen squares but for the eight around; the other picture has no thing.
  expected = (16 - 8) * 4 * np.log(2)
  assert learn.naming_loss(flat, at, names) == pytest.approx(expected, rel=1e-6)


def test_naming_pulls_at_the_square_of_the_thing_alone():
  at, names = _sighted()
  flat = jnp.zeros((1, 2, 4, 4, 4))
  pull = -np.asarray(jax.grad(learn.naming_loss)(flat, at, names))
  np.testing.assert_allclose(pull[0, 0, 2, 1], [0.5, -0.5, 0.5, -0.5])
  around = pull[0, 0, 1:4, 0:3].copy()
  around[1, 1] = 0
  assert not around.any() and not pull[0, 1].any()
  assert (pull[0, 0, 0] < 0).all() and (pull[0, 0, :, 3] < 0).all()


def test_a_batch_tells_where_things_are_mirrored_or_not():
  films = [*_films(40)]
  stream = learn.batches(_groups(films), 24, 64, seed=0)
  seen = collections.Counter()
  for _, (batch, targets) in zip(range(4), stream, strict=False):
    for row in range(24):
      for p in range(batch.picture_at_BP.shape[1]):
        if not targets.thing_is_BPTN[row, p].any():
          seen['blind'] += 1
          continue
        x, y = targets.thing_at_BPT2[row, p, 0]
        pixel = batch.pictures_BPYXC[row, p, int(y * 64), int(x * 64)]
        assert pixel[0] > 150 > pixel[2], 'the red thing is not there'
        seen['left' if x < 0.5 else 'right'] += 1
  assert seen['blind'] and seen['left'] and seen['right']


class _Interrupted(list):
  """Groups during whose reading the user presses Ctrl-C."""

  reads = 0

  def __getitem__(self, i):
    self.reads += 1
    if self.reads == 60:
      raise KeyboardInterrupt
    return super().__getitem__(i)


def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path):
  groups = _groups(_colors(6))
  config = _config(steps=16, save_every_steps=6)
  whole = learn.fit(config, groups, tmp_path / 'whole')
  kept = tmp_path / 'kept'
  with pytest.raises(KeyboardInterrupt):
    learn.fit(config, _Interrupted(groups), kept)
  state = flax.serialization.msgpack_restore(kept.read_bytes())
  assert int(state['step']) in (6, 12)
  again = learn.fit(config, groups, kept)
  jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)


def test_it_learns_what_eyes_can_tell_and_says_how_well(tmp_path, capsys):
  data = tmp_path / 'data'
  items = [*_colors(40)]
  path = dataset.shard_path(data, 'v_c_tabletop', 'mini', 0, 1)
  dataset.write_shard(path, items)
  dataset.finish(data, 'v_c_tabletop', 'mini', [len(items)])
  run = tmp_path / 'run'
  learn.run(_config(data, steps=150), str(run))
  results = json.loads((run / 'results.json').read_text())
  score = results['models']['policy']['dimensions']['V-C']
  assert score['items'] == 8 * 4 and results['groups'] == 32
  assert score['accuracy'] > 0.6 and score['p'] < 1e-3
  assert f'{score["accuracy"]:.3f}' in capsys.readouterr().out
  # What is measured is what is written.
  learned = policy.load(run / 'policy')
  held = learn.split(items, 5)[1]
  replies = learn.answer(learned, held, seed=0)
  right = sum(r.right for r in replies) / len(replies)
  assert right == pytest.approx(score['accuracy'])


@pytest.mark.parametrize(
  'arguments, said',
  [
    ('steps=50', 'the folder of items is missing'),
    ('data=nowhere', 'nowhere'),
    ('steps=100,data=x', 'must be more than optimizer.warmup_steps=100'),
  ],
)
def test_bad_settings_are_told(arguments, said, tmp_path):
  config = wm_abench_policy.get_config(arguments)
  if 'steps=50' in arguments:
    config.optimizer.warmup_steps = 5
  with pytest.raises(errors.UserError, match=said):
    learn.run(config, str(tmp_path / 'run'))


def test_a_workdir_of_another_run_is_refused(tmp_path):
  data = tmp_path / 'data'
  synthetic.write(data, ['v_c_tabletop'], groups=6)
  learn.run(_config(data, steps=6), str(tmp_path / 'run'))
  with pytest.raises(errors.UserError, match='holds a policy with config='):
    learn.run(_config(data, steps=7), str(tmp_path / 'run'))
