import numpy as np
import pytest

from wm_abench.worlds.kitchen import arm_paths, arms, kitchen, motions, objects

BOX = objects.KINDS['box']


@pytest.fixture
def path():
  joints = np.array(arms.READY_RAD)
  return arm_paths.Path(kitchen.ARMS['left'], joints, arms.OPEN_M)


@pytest.mark.parametrize(
  ('heading_deg', 'extent_m'),
  [
    (0, BOX.size_m[0] / 2),
    (90, BOX.size_m[1] / 2),
    (180, BOX.size_m[0] / 2),
    (45, BOX.size_m[0] / 2 * np.sqrt(2)),
  ],
)
def test_the_half_extent_ends_at_the_side_of_the_box(heading_deg, extent_m):
  assert motions.half_extent(BOX, heading_deg) == pytest.approx(extent_m)


@pytest.mark.parametrize('kind', objects.KINDS.values())
def test_a_push_touches_an_object_with_the_fingers_and_not_with_the_palm(kind):
  tip_m = motions.push_height(kind)
  assert tip_m > 0
  assert tip_m + arm_paths.TIP_M + arm_paths.PALM_M > kind.size_m[2]


def test_a_push_ends_above_its_retreat_with_half_open_fingers(path):
  motions.append_push(path, np.array([0.0, 0.0]), 0.03, 90.0, 0.1, 0.02)
  x_m, y_m, z_m = path.position_m
  # The fingers stop 0.1 m after contact, and retreat by 0.02 m.
  assert x_m == pytest.approx(0.0)
  assert -0.03 < y_m - (0.1 - 0.03 - 0.02) < 0.0
  assert z_m == motions.SAFE_M
  assert 0 < path.opening_m < arms.OPEN_M


@pytest.mark.parametrize('grips', [0, 1])
def test_a_grasp_ends_at_the_object_and_closes_only_to_grip(path, grips):
  motions.append_grasp(path, np.array([0.0, 0.05, 0.04]), 0.0, grips)
  np.testing.assert_allclose(path.position_m, (0.0, 0.05, 0.04))
  assert path.opening_m == (0.0 if grips else arms.OPEN_M)
