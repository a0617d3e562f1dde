import numpy as np
import pytest

from commons import errors
from wm_abench.worlds.homes import catalog, fixtures, furnishings, layout


@pytest.fixture(params=catalog.NAMES)
def home(request):
  return catalog.home(request.param)


def _overlap(a, b, least_m=1e-6):
  """Returns whether two rectangles overlap."""
  return (
    min(a[2], b[2]) - max(a[0], b[0]) > least_m
    and min(a[3], b[3]) - max(a[1], b[1]) > least_m
  )


def test_rooms_fill_the_home_without_overlap(home):
  areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in _grounds(home)]
  x, y = np.max([g[2:] for g in _grounds(home)], axis=0)
  assert sum(areas) == pytest.approx(x * y)
  assert not any(
    _overlap(a, b)
    for i, a in enumerate(_grounds(home))
    for b in _grounds(home)[:i]
  )
  kinds = [room.kind for room in home.rooms]
  assert len(set(kinds)) == len(kinds) >= 4 and 'living' in kinds


def _grounds(home):
  return [room.ground for room in home.rooms]


def test_furniture_stands_in_its_room_without_overlap(home):
  half = layout.WALL_M / 2 - 0.021
  for i, placed in enumerate(home.furniture):
    x0, y0, x1, y1 = home.rooms[placed.room].ground
    for a, b, c, d in placed.solids():
      assert x0 + half < a < c < x1 - half and y0 + half < b < d < y1 - half
    for other in home.furniture[:i]:
      assert not any(
        _overlap(s, t) for s in placed.solids() for t in other.solids()
      ), (placed.piece.kind, other.piece.kind)


def test_each_room_has_the_main_piece_of_its_kind(home):
  first = {
    'living': 'lounge',
    'kitchen': 'kitchen',
    'bedroom': 'bed',
    'study': 'desk',
    'bath': 'bathtub',
  }
  for i, room in enumerate(home.rooms):
    kinds = [p.piece.kind for p in home.furniture if p.room == i]
    assert first[room.kind] in kinds and len(kinds) >= 4


def test_every_room_can_be_reached_from_every_other(home):
  reached, step_m = home.reachable(radius_m=0.22)
  for x0, y0, x1, y1 in _grounds(home):
    i0, j0, i1, j1 = (round(v / step_m) for v in (x0, y0, x1, y1))
    assert reached[i0:i1, j0:j1].sum() * step_m**2 > 1.5  # Square metres.


def test_doorways_are_free(home):
  for door in home.doors:
    middle = (door.start_m + door.end_m) / 2
    ends = [(middle, door.wall_m - 0.4), (middle, door.wall_m + 0.4)]
    if door.axis == 1:
      ends = [end[::-1] for end in ends]
    assert home.is_free(*ends, radius_m=0.22)
    rooms = {home.room_at(*end) for end in ends}
    assert len(rooms) == 2 and -1 not in rooms


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


def test_no_tall_piece_stands_in_front_of_a_window(home):
  for window in home.windows:
    a, b, at = window.start_m, window.end_m, window.wall_m
    before = (a, at - 0.3, b, at + 0.3)
    if window.axis == 1:
      before = (at - 0.3, a, at + 0.3, b)
    for placed in home.furniture:
      if placed.piece.height_m > layout.SILL_M:
        assert not _overlap(placed.ground(), before), placed.piece.kind
  assert len(home.windows) >= len(home.rooms) - 1


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


def test_parts_of_furniture_stay_on_its_ground_and_face_outwards():
  for kind, make in (furnishings.KINDS | fixtures.KINDS).items():
    piece = make(np.random.default_rng(1))
    points = np.concatenate([p.mesh.vertices_V3 for p in piece.parts])
    assert points[:, 2].min() > -0.01, kind
    assert points[:, 1].min() > -0.2, kind  # Leaves of a plant reach out.
    for part in piece.parts:
      if part.material in ('plant', 'office_chair', 'marble'):
        continue
      mesh = part.mesh
      a, b, c = mesh.vertices_V3[mesh.triangles_T3].transpose(1, 0, 2)
      facing = np.cross(b - a, c - a)
      normal = mesh.normals_V3[mesh.triangles_T3].mean(axis=1)
      assert ((facing * normal).sum(axis=-1) > -1e-9).all(), kind


def test_a_home_is_drawn_the_same_every_time():
  again = catalog.home.__wrapped__('cottage')
  cached = catalog.home('cottage')
  assert again.rooms == cached.rooms and again.doors == cached.doors
  np.testing.assert_array_equal(again.blocks_N4, cached.blocks_N4)
  assert len({h.doors for h in map(catalog.home, catalog.NAMES)}) == 8


def test_an_unknown_home_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match='bungalow'):
    catalog.home('igloo')
