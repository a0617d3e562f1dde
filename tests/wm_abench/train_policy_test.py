"""Laws of the training of the small policy, and that it learns."""

import json

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from commons import errors
from configs import wm_abench_policy
from tests.wm_abench import synthetic
from wm_abench import train_policy
from wm_abench.policy import batches, policy, training


def _config(data='', steps=40, **train):
  config = wm_abench_policy.get_config(f'data={data},cells=V-C,steps={steps}')
  config.model = dict(
    vocab_size=64, width=16, vision_layers=1, layers=2, heads=2
  )
  config.optimizer.warmup_steps = 5
  config.train.update(rows=24, **train)
  return config


def test_loss_by_hand():
  """Two members, two options, and a row of padding that counts nothing."""
  logits = jnp.array([[2.0, 0.0], [1.0, 3.0], [9.0, -jnp.inf]])
  right, group = jnp.array([0, 1, 0]), jnp.array([5, 5, -1])
  # Of options: 2 against 0, 3 against 1. Of members: 2 against 1, 3 against 0.
  rows = [np.log1p(np.exp(-g)) for g in (2.0, 2.0)]
  columns = [np.log1p(np.exp(-g)) for g in (1.0, 3.0)]
  expected = (sum(rows) + sum(columns)) / 2 / 2
  assert training.choice_loss(logits, right, group) == pytest.approx(
    expected, rel=1e-6
  )


def test_gradient_of_the_loss_is_finite_with_padding_and_missing_options():
  logits = jnp.array([[0.0, 1.0, -jnp.inf], [0.0, 2.0, -jnp.inf], [0.0] * 3])
  right, group = jnp.array([0, 1, 0]), jnp.array([0, 0, -1])
  of = lambda x: training.choice_loss(
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
  moved, where = training.shift(jax.random.key(2), pictures, places, 3)
  for row in range(3):
    for picture, place in zip(moved[row], where[row, :, 0], strict=True):
      (found,) = np.argwhere(picture[..., 0] == 255)
      np.testing.assert_allclose((found[::-1] + 0.5) / side, place, atol=1e-6)
  by = np.round(np.asarray(where - places)[:, 0, 0] * side, 3)
  assert len({tuple(row) for row in by.tolist()}) == 3  # Each its own way.
  still, same = training.shift(jax.random.key(2), pictures, places, 0)
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
  assert training.naming_loss(flat, at, names) == pytest.approx(
    expected, rel=1e-6
  )


def test_naming_pulls_at_the_square_of_the_thing_alone():
  at, names = _sighted()
  flat = jnp.zeros((1, 2, 4, 4, 4))
  pull = -np.asarray(jax.grad(training.naming_loss)(flat, at, names))
  np.testing.assert_allclose(pull[0, 0, 2, 1], [0.5, -0.5, 0.5, -0.5])
  around = pull[0, 0, 1:4, 0:3].copy()
  around[1, 1] = 0
  assert not around.any() and not pull[0, 1].any()
  assert (pull[0, 0, 0] < 0).all() and (pull[0, 0, :, 3] < 0).all()


class _Interrupted(list):
  """Groups during whose reading the user presses Ctrl-C."""

  reads = 0

  def __getitem__(self, i):
    self.reads += 1
    if self.reads == 40:
      raise KeyboardInterrupt
    return super().__getitem__(i)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path):
  groups = synthetic.grouped(synthetic.colored(6))
  config = _config(steps=10, save_every_steps=4)
  whole = training.fit(config, groups, tmp_path / 'whole')
  kept = tmp_path / 'kept'
  with pytest.raises(KeyboardInterrupt):
    training.fit(config, _Interrupted(groups), kept)
  state = flax.serialization.msgpack_restore(kept.read_bytes())
  assert int(state['step']) in (4, 8)
  again = training.fit(config, groups, kept)
  jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)


@pytest.mark.slow
def test_it_learns_what_eyes_can_tell_and_says_how_well(tmp_path, capsys):
  data = tmp_path / 'data'
  items = [*synthetic.colored(40)]
  synthetic.write_cell(data, items)
  run = tmp_path / 'run'
  train_policy.run(_config(data, steps=150), str(run))
  results = json.loads((run / 'results.json').read_text())
  score = results['models']['policy']['dimensions']['V-C']
  assert score['items'] == 8 * 4 and results['groups'] == 32
  assert score['accuracy'] > 0.6 and score['p'] < 1e-3
  assert f'{score["accuracy"]:.3f}' in capsys.readouterr().out
  # What is measured is what is written.
  learned = policy.load(run / 'policy')
  held = batches.split(items, 5)[1]
  replies = train_policy.answer(learned, held, seed=0)
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
    train_policy.run(config, str(tmp_path / 'run'))


def test_a_workdir_of_another_run_is_refused(tmp_path):
  data = tmp_path / 'data'
  synthetic.write(data, ['v_c_tabletop'], groups=6)
  train_policy.run(_config(data, steps=6), str(tmp_path / 'run'))
  with pytest.raises(errors.UserError, match='holds a policy with config='):
    train_policy.run(_config(data, steps=7), str(tmp_path / 'run'))
