"""Laws of the losses and of the augmentation of the small policy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wm_abench.policy import training


def test_loss_by_hand():
  """Two items with two options, and a row of padding, which is ignored."""
  logits = jnp.array([[2.0, 0.0], [1.0, 3.0], [9.0, -jnp.inf]])
  right, group = jnp.array([0, 1, 0]), jnp.array([5, 5, -1])
  # Options: 2 against 0, 3 against 1. Items: 2 against 1, 3 against 0.
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


def test_a_shift_moves_the_pictures_and_objects_of_a_row_alike():
  """An object is a white pixel; its position stays on the pixel."""
  side, at = 16, [(3, 5), (8, 8), (12, 4)]
  pictures = np.zeros((3, 2, side, side, 3), np.uint8)
  places = np.zeros((3, 2, 1, 2), np.float32)
  for row, (x, y) in enumerate(at):
    pictures[row, :, y, x] = 255
    places[row, :, 0] = (x + 0.5) / side, (y + 0.5) / side
  moved, where = training.shift(jax.random.key(2), pictures, places, 3)
  for row in range(3):
    for picture, position in zip(moved[row], where[row, :, 0], strict=True):
      (pixel,) = np.argwhere(picture[..., 0] == 255)
      np.testing.assert_allclose(
        (pixel[::-1] + 0.5) / side, position, atol=1e-6
      )
  by = np.round(np.asarray(where - places)[:, 0, 0] * side, 3)
  assert (
    len({tuple(row) for row in by.tolist()}) == 3
  )  # Each row has a different shift.
  still, same = training.shift(jax.random.key(2), pictures, places, 0)
  np.testing.assert_array_equal(still, pictures)
  np.testing.assert_array_equal(same, places)


def _labelled():
  """Returns labels: an object with names 0 and 2 in square x = 1, y = 2."""
  at = np.zeros((1, 2, 3, 2), np.float32)
  names = np.zeros((1, 2, 3, 4), np.float32)
  at[0, 0, 0] = 0.3, 0.6
  names[0, 0, 0, [0, 2]] = 1
  return at, names


def test_naming_by_hand():
  """At logits of 0 each name of each counted square costs ln 2."""
  at, names = _labelled()
  flat = jnp.zeros((1, 2, 4, 4, 4))
  # Sixteen squares minus the eight around; the other picture has no object.
  expected = (16 - 8) * 4 * np.log(2)
  assert training.naming_loss(flat, at, names) == pytest.approx(
    expected, rel=1e-6
  )


def test_the_gradient_of_naming_raises_only_the_square_of_the_object():
  at, names = _labelled()
  flat = jnp.zeros((1, 2, 4, 4, 4))
  pull = -np.asarray(jax.grad(training.naming_loss)(flat, at, names))
  np.testing.assert_allclose(pull[0, 0, 2, 1], [0.5, -0.5, 0.5, -0.5])
  around = pull[0, 0, 1:4, 0:3].copy()
  around[1, 1] = 0
  assert not around.any() and not pull[0, 1].any()
  assert (pull[0, 0, 0] < 0).all() and (pull[0, 0, :, 3] < 0).all()
