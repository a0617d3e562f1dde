import numpy as np
import pytest

from wm_abench.worlds.homes import catalog, fixtures, furnishings, layout


def test_without_doorways_only_one_room_can_be_reached():
  open_ = catalog.home('flat')
  closed = layout.Home(
    open_.name, open_.seed, open_.rooms, (), open_.windows, open_.furniture
  )
  reached, step_m = closed.reachable(radius_m=0.22)
  entered = {
    closed.room_at(i * step_m, j * step_m) for i, j in np.argwhere(reached)
  }
  assert len(entered) == 1


def _bare():
  """Returns a room of 4 m x 3 m without doors, with a wardrobe in the south."""
  rng = np.random.default_rng(0)
  wardrobe = furnishings.KINDS['wardrobe'](rng)
  room = layout.Room('study', (0.0, 0.0, 4.0, 3.0))
  placed = layout.Placed(wardrobe, 0, 2.0, layout.WALL_M / 2, 0)
  return layout.Home('bare', 0, (room,), (), (), (placed,))


def test_clearance_is_the_distance_to_the_nearest_block():
  bare, half = _bare(), layout.WALL_M / 2
  assert bare.clearance_m([(0.5, 2.0)])[0] == pytest.approx(0.5 - half)
  front = half + bare.furniture[0].piece.depth_m
  assert bare.clearance_m([(2.0, 1.2)])[0] == pytest.approx(1.2 - front)
  assert bare.clearance_m([(2.0, 0.3)])[0] == 0.0
  # At a corner the distance is diagonal.
  x1 = 2.0 + bare.furniture[0].piece.width_m / 2
  gap = bare.clearance_m([(x1 + 0.3, front + 0.4)])[0]
  assert gap == pytest.approx(0.5)


def test_a_wide_disc_is_blocked_where_a_narrow_one_passes():
  bare = _bare()
  front = layout.WALL_M / 2 + bare.furniture[0].piece.depth_m
  ends = (0.6, front + 0.15), (3.4, front + 0.15)
  assert bare.is_free(*ends, radius_m=0.1) and not bare.is_free(
    *ends, radius_m=0.2
  )


def test_the_view_ends_at_walls_and_at_tall_furniture():
  bare, half = _bare(), layout.WALL_M / 2
  angles = np.radians([0, 90, 180, 270, 45])
  distances = bare.view_distance_m(2.0, 2.0, angles)
  front = half + bare.furniture[0].piece.depth_m
  expected = [2 - half, 1 - half, 2 - half, 2 - front, (1 - half) * np.sqrt(2)]
  np.testing.assert_allclose(distances, expected)


def test_the_ground_of_a_piece_rotates_with_it():
  piece = fixtures.KINDS['washer'](np.random.default_rng(0))
  w, d = piece.width_m / 2, piece.depth_m
  grounds = {
    yaw: layout.Placed(piece, 0, 1.0, 2.0, yaw).ground()
    for yaw in (0, 90, 180, 270)
  }
  assert grounds[0] == pytest.approx((1 - w, 2, 1 + w, 2 + d))
  assert grounds[90] == pytest.approx((1 - d, 2 - w, 1, 2 + w))
  assert grounds[180] == pytest.approx((1 - w, 2 - d, 1 + w, 2))
  assert grounds[270] == pytest.approx((1, 2 - w, 1 + d, 2 + w))
