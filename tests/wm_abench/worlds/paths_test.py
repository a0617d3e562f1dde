import pytest

from wm_abench.worlds import paths

PATH = ((1.0, (0.0, 0.0, 0.5)), (3.0, (2.0, 4.0, 0.5)), (4.0, (2.0, 4.0, 1.5)))


@pytest.mark.parametrize(
  ('time_s', 'position_m', 'velocity_mps'),
  [
    (0.0, (0.0, 0.0, 0.5), (0.0, 0.0, 0.0)),
    (1.0, (0.0, 0.0, 0.5), (1.0, 2.0, 0.0)),
    (2.5, (1.5, 3.0, 0.5), (1.0, 2.0, 0.0)),
    (3.0, (2.0, 4.0, 0.5), (0.0, 0.0, 1.0)),
    (4.0, (2.0, 4.0, 1.5), (0.0, 0.0, 0.0)),
    (9.0, (2.0, 4.0, 1.5), (0.0, 0.0, 0.0)),
  ],
)
def test_motion_is_uniform_between_points_and_none_outside(
  time_s, position_m, velocity_mps
):
  assert paths.position_at(PATH, time_s) == pytest.approx(position_m)
  assert paths.velocity_at(PATH, time_s) == pytest.approx(velocity_mps)


def test_a_path_of_one_point_stays_there():
  assert paths.position_at(PATH[:1], 7.0) == (0.0, 0.0, 0.5)
  assert paths.velocity_at(PATH[:1], 1.0) == (0.0, 0.0, 0.0)


def test_integer_coordinates_give_floats():
  path = ((0, (0, 0, 0)), (2, (1, 0, 0)))
  assert paths.position_at(path, 1) == (0.5, 0.0, 0.0)
  assert paths.velocity_at(path, 1) == (0.5, 0.0, 0.0)
