import pytest

from wm_abench.worlds.homes import catalog, layout, walls


@pytest.fixture(params=catalog.NAMES)
def home(request):
  return catalog.home(request.param)


def test_patches_and_openings_fill_a_wall_without_overlap(home):
  for room in home.rooms:
    for side in range(4):
      wall = walls.wall_of(home, room, side)
      area = sum((b - a) * (z1 - z0) for a, b, z0, z1 in walls.patches(wall))
      for low, high, window in wall.holes:
        height = layout.LINTEL_M - layout.SILL_M
        area += (high - low) * (height if window else layout.DOOR_HEIGHT_M)
      assert area == pytest.approx(wall.length_m * layout.HEIGHT_M)


def test_the_openings_of_the_walls_are_those_of_the_home(home):
  counts = {True: 0, False: 0}
  for room in home.rooms:
    for side in range(4):
      for _, _, window in walls.wall_of(home, room, side).holes:
        counts[window] += 1
  # A window belongs to one room, and a doorway to two.
  assert counts == {True: len(home.windows), False: 2 * len(home.doors)}
