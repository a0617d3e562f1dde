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
def test_all_moves_lead_to_poses_on_lanes(pose):
  assert lanes.is_on_lane(pose)
  for after in (
    lanes.shift(pose, 8.0),
    lanes.shift(pose, -8.0),
    lanes.turn(pose, 1),
    lanes.turn(pose, -1),
  ):
    assert after is not None and lanes.is_on_lane(after)


@pytest.mark.parametrize('pose', APPROACHES)
def test_a_turn_keeps_its_distances_to_the_crossing(pose):
  for side in (1, -1):
    after = lanes.turn(pose, side)
    assert after.heading == (pose.heading + side) % 4
    # The end is TURN_M minus the distance of the start behind the crossing.
    crossing_m = np.array([after.x_m, after.y_m]) - (
      np.array(after.ahead) * (lanes.TURN_M - _before_m(pose))
    )
    start_m = np.array([pose.x_m, pose.y_m])
    middle_m = start_m + np.array(pose.ahead) * _before_m(pose)
    # Both points are one lane offset away from the middle of the crossing.
    assert np.abs(crossing_m - middle_m).max() == pytest.approx(lanes.LANE_M)


def _before_m(pose):
  return -pose.along_m % lanes.BLOCK_M


def test_no_turn_without_a_crossing_near_ahead():
  assert lanes.turn(lanes.approach((0, 0), 0, 28.0), 1) is None
  assert lanes.turn(lanes.approach((0, 0), 0, -4.0), 1) is None
  outwards = lanes.approach(
    (1, 0), 0, -28.0
  )  # The last crossing is behind the car.
  assert lanes.turn(outwards, 1) is None


def test_lanes_end_at_the_edge_and_have_one_direction():
  last = lanes.Pose(lanes.EDGE_M - 4.0, -lanes.LANE_M, 0)
  assert lanes.is_on_lane(last) and lanes.shift(last, 8.0) is None
  assert not lanes.is_on_lane(lanes.Pose(-20.0, lanes.LANE_M, 0))
  assert lanes.is_on_lane(lanes.Pose(-20.0, lanes.LANE_M, 2))


@pytest.mark.parametrize('pose', APPROACHES[::4])
@pytest.mark.parametrize('side', [1, -1])
def test_a_path_is_smooth_and_stays_away_from_the_kerb(pose, side):
  after = lanes.turn(pose, side)
  path_M3 = lanes.path(pose, after, step_m=0.25)
  np.testing.assert_allclose(path_M3[0, :2], (pose.x_m, pose.y_m))
  np.testing.assert_allclose(path_M3[-1, :2], (after.x_m, after.y_m))
  assert path_M3[-1, 2] - path_M3[0, 2] == pytest.approx(side * np.pi / 2)
  steps_m = np.linalg.norm(np.diff(path_M3[:, :2], axis=0), axis=-1)
  assert steps_m.max() < 0.3
  # The yaw agrees with the direction of motion.
  direction_N = np.arctan2(*np.diff(path_M3[:, :2], axis=0).T[::-1])
  difference_N = direction_N - (path_M3[1:, 2] + path_M3[:-1, 2]) / 2
  assert np.abs((difference_N + np.pi) % (2 * np.pi) - np.pi).max() < 0.2
  from_roads_N2 = np.abs(path_M3[:, :2] % lanes.BLOCK_M)
  from_roads_N2 = np.minimum(from_roads_N2, lanes.BLOCK_M - from_roads_N2)
  assert from_roads_N2.min(axis=-1).max() < lanes.KERB_M - 1


def test_the_gap_is_measured_between_the_nearest_points():
  pose_13 = np.array([[0.0, 0.0, 0.0]])
  # In line, the nearest points are 2 x 1.4 m nearer than the centres.
  ahead_13 = np.array([[5.0, 0.0, 0.0]])
  assert lanes.is_clear(pose_13, ahead_13, 2.1)
  assert not lanes.is_clear(pose_13, ahead_13, 2.3)
  beside_13 = np.array([[0.0, 2.2, np.pi]])
  assert lanes.is_clear(pose_13, beside_13, 2.1)
  assert not lanes.is_clear(pose_13, beside_13, 2.3)
  assert lanes.is_clear(pose_13, np.zeros((0, 3)), 9.0)
