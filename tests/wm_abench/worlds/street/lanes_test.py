import itertools

import numpy as np
import pytest

from wm_abench.worlds.street import lanes

APPROACHES = [
  lanes.approach(crossing, heading, before_m)
  for crossing in itertools.product(lanes.CROSSINGS, lanes.CROSSINGS)
  for heading in range(4)
  for before_m in (20.0, 12.0, 4.0)
]


def test_an_approach_is_on_the_right_hand_lane():
  # Northward to the crossing at x = 48 m, y = 0.
  pose = lanes.approach((1, 0), 1, 12.0)
  assert (pose.x_m, pose.y_m) == (49.75, -12.0)
  assert lanes.approach((1, 0), 3, 12.0) == lanes.Pose(46.25, 12.0, 3)


@pytest.mark.parametrize('pose', APPROACHES)
def test_all_that_moves_lead_to_is_a_lane(pose):
  assert lanes.on_lane(pose)
  for after in (
    lanes.shift(pose, 8.0),
    lanes.shift(pose, -8.0),
    lanes.turn(pose, 1),
    lanes.turn(pose, -1),
  ):
    assert after is not None and lanes.on_lane(after)


@pytest.mark.parametrize('pose', APPROACHES)
def test_a_turn_and_the_way_back_undo_each_other(pose):
  for side in (1, -1):
    after = lanes.turn(pose, side)
    assert after.heading == (pose.heading + side) % 4
    # Heading back whence it came, the opposite turn leads to the other lane of
    # the first road, as far before the crossing as the start was.
    back = lanes.Pose(after.x_m, after.y_m, after.heading)
    crossing_m = np.array([back.x_m, back.y_m]) - (
      np.array(back.ahead) * (lanes.TURN_M - _before_m(pose))
    )
    start_m = np.array([pose.x_m, pose.y_m])
    middle_m = start_m + np.array(pose.ahead) * _before_m(pose)
    # Both points are a lane's offset from the crossing's middle.
    assert np.abs(crossing_m - middle_m).max() == pytest.approx(lanes.LANE_M)


def _before_m(pose):
  return -pose.along_m % lanes.BLOCK_M


def test_no_turn_without_a_crossing_near_ahead():
  assert lanes.turn(lanes.approach((0, 0), 0, 28.0), 1) is None
  assert lanes.turn(lanes.approach((0, 0), 0, -4.0), 1) is None
  outwards = lanes.approach((1, 0), 0, -28.0)  # The last crossing is behind.
  assert lanes.turn(outwards, 1) is None


def test_nobody_drives_off_the_end_or_against_the_traffic():
  last = lanes.Pose(lanes.EDGE_M - 4.0, -lanes.LANE_M, 0)
  assert lanes.on_lane(last) and lanes.shift(last, 8.0) is None
  assert not lanes.on_lane(lanes.Pose(-20.0, lanes.LANE_M, 0))
  assert lanes.on_lane(lanes.Pose(-20.0, lanes.LANE_M, 2))


@pytest.mark.parametrize('pose', APPROACHES[::4])
@pytest.mark.parametrize('side', [1, -1])
def test_a_path_is_one_smooth_way_that_keeps_off_the_kerb(pose, side):
  after = lanes.turn(pose, side)
  way_M3 = lanes.path(pose, after, step_m=0.25)
  np.testing.assert_allclose(way_M3[0, :2], (pose.x_m, pose.y_m))
  np.testing.assert_allclose(way_M3[-1, :2], (after.x_m, after.y_m))
  assert way_M3[-1, 2] - way_M3[0, 2] == pytest.approx(side * np.pi / 2)
  steps_m = np.linalg.norm(np.diff(way_M3[:, :2], axis=0), axis=-1)
  assert steps_m.max() < 0.3
  # Where it goes is where it heads.
  going_N = np.arctan2(*np.diff(way_M3[:, :2], axis=0).T[::-1])
  off_N = going_N - (way_M3[1:, 2] + way_M3[:-1, 2]) / 2
  assert np.abs((off_N + np.pi) % (2 * np.pi) - np.pi).max() < 0.2
  from_roads_N2 = np.abs(way_M3[:, :2] % lanes.BLOCK_M)
  from_roads_N2 = np.minimum(from_roads_N2, lanes.BLOCK_M - from_roads_N2)
  assert from_roads_N2.min(axis=-1).max() < lanes.KERB_M - 1


def test_clear_measures_between_the_nearest_points():
  way_13 = np.array([[0.0, 0.0, 0.0]])
  # Nose to tail: the nearest points are 2 x 1.4 m nearer than the middles.
  ahead_13 = np.array([[5.0, 0.0, 0.0]])
  assert lanes.clear(way_13, ahead_13, 2.1)
  assert not lanes.clear(way_13, ahead_13, 2.3)
  beside_13 = np.array([[0.0, 2.2, np.pi]])
  assert lanes.clear(way_13, beside_13, 2.1)
  assert not lanes.clear(way_13, beside_13, 2.3)
  assert lanes.clear(way_13, np.zeros((0, 3)), 9.0)
