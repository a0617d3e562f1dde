import numpy as np
import pytest

from commons import errors
from wm_abench.worlds.homes import catalog, layout


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


def test_a_home_is_drawn_the_same_every_time():
  again = catalog.home.__wrapped__('cottage')
  cached = catalog.home('cottage')
  assert again.rooms == cached.rooms and again.doors == cached.doors
  np.testing.assert_array_equal(again.blocks_N4, cached.blocks_N4)
  assert len({h.doors for h in map(catalog.home, catalog.NAMES)}) == 8


def test_an_unknown_home_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match='bungalow'):
    catalog.home('igloo')
