"""The lanes of a town of square blocks, and the moves of a car along them.

Roads run along x and y through crossings at multiples of BLOCK_M; traffic keeps
to the right. The pose of a car has the direction of its lane. All coordinates
that moves lead to are exact in binary, so moves and their inverses do not
accumulate rounding errors.
"""

import dataclasses
import math

import numpy as np

BLOCK_M = 48.0
# Distances from the centre line of a road to the middle of a lane, to the kerb,
# and to the building plots.
LANE_M, KERB_M, PLOT_M = 1.75, 6.0, 9.0
# Distance from the centre line to the middle of parked cars.
PARKED_M = 4.8
# Roads -1, 0 and 1 in each direction have crossings; all roads end at EDGE_M.
CROSSINGS = (-1, 0, 1)
EDGE_M = 90.0

# The distances of a turn's start and end from the middle of the crossing add up
# to TURN_M; the start is at most _TURN_FROM_M away from it.
TURN_M = 24.0
_TURN_FROM_M = 20.0
_RADIUS_M = 6.0
_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclasses.dataclass(frozen=True)
class Pose:
  """The pose of a car.

  Attributes:
    x_m, y_m: the point midway between its axles, on the ground.
    heading: its direction, in quarter turns anticlockwise from x.
  """

  x_m: float
  y_m: float
  heading: int

  @property
  def ahead(self) -> tuple[int, int]:
    return _AHEAD[self.heading]

  @property
  def along_m(self) -> float:
    """The coordinate along its heading; 0 is the middle of the town."""
    return self.x_m * self.ahead[0] + self.y_m * self.ahead[1]

  @property
  def right_m(self) -> float:
    """The coordinate to its right; 0 is the middle of the town."""
    return self.x_m * self.ahead[1] - self.y_m * self.ahead[0]


def pose_at(heading: int, along_m: float, right_m: float) -> Pose:
  """Returns the pose with these properties; see Pose."""
  (ux, uy) = _AHEAD[heading]
  x_m, y_m = along_m * ux + right_m * uy, along_m * uy - right_m * ux
  return Pose(x_m, y_m, heading)


def approach(crossing: tuple[int, int], heading: int, before_m: float) -> Pose:
  """Returns a pose on the lane to a crossing, before_m from its middle."""
  middle = Pose(crossing[0] * BLOCK_M, crossing[1] * BLOCK_M, heading)
  return pose_at(heading, middle.along_m - before_m, middle.right_m + LANE_M)


def is_on_lane(pose: Pose) -> bool:
  """Returns whether a pose is in the town, on a lane with its direction."""
  road = (pose.right_m - LANE_M) / BLOCK_M
  return road in CROSSINGS and abs(pose.along_m) <= EDGE_M


def shift(pose: Pose, metres: float) -> Pose | None:
  """Returns the pose that is `metres` ahead; None if it is not on the lane."""
  after = pose_at(pose.heading, pose.along_m + metres, pose.right_m)
  return after if is_on_lane(after) else None


def turn(pose: Pose, side: int) -> Pose | None:
  """Returns the pose after a turn at the crossing ahead.

  Args:
    pose: the pose before the turn.
    side: 1 for left, -1 for right.

  Returns:
    The pose after the turn; None if no crossing is near enough ahead.
  """
  crossing = math.ceil(pose.along_m / BLOCK_M)
  before_m = crossing * BLOCK_M - pose.along_m
  if crossing not in CROSSINGS or not 0 < before_m <= _TURN_FROM_M:
    return None
  heading = (pose.heading + side) % 4
  road_m = pose.right_m - LANE_M
  middle = pose_at(pose.heading, crossing * BLOCK_M, road_m)
  middle = dataclasses.replace(middle, heading=heading)
  after_m = TURN_M - before_m
  return pose_at(heading, middle.along_m + after_m, middle.right_m + LANE_M)


def path(start: Pose, end: Pose, step_m: float = 1.0) -> np.ndarray:
  """Returns the path of a straight move or a turn.

  Args:
    start: the pose before the move.
    end: the pose after it.
    step_m: the approximate distance between points on the path.

  Returns:
    x, y and yaw [M, 3] of points on the path, in metres and radians.
  """
  corners_N2 = _polyline(start, end)
  gaps_N = np.linalg.norm(np.diff(corners_N2, axis=0), axis=-1)
  length_N = np.concatenate([[0], np.cumsum(gaps_N)])
  total_m = length_N[-1]
  length_M = np.linspace(0, total_m, max(2, round(total_m / step_m) + 1))
  x_M, y_M = (np.interp(length_M, length_N, corners_N2[:, k]) for k in range(2))
  quarter = (end.heading - start.heading + 2) % 4 - 2
  turned_M = _turned_share(length_M, length_N)
  yaw_M = math.pi / 2 * (start.heading + quarter * turned_M)
  return np.stack([x_M, y_M, yaw_M], -1)


def _turned_share(length_M: np.ndarray, length_N: np.ndarray) -> np.ndarray:
  """Returns the share of a turn [M] that is complete after a length of path.

  Args:
    length_M: lengths of path.
    length_N: the lengths at the points of the polyline; all but its first and
      last segment form the arc.
  """
  if len(length_N) == 2:
    return np.zeros_like(length_M)
  return np.interp(length_M, length_N[[0, 1, -2, -1]], [0, 0, 1, 1])


def _polyline(start: Pose, end: Pose) -> np.ndarray:
  """Returns the points [N, 2] of a straight line or of a turn with an arc."""
  a_2, b_2 = np.array([start.x_m, start.y_m]), np.array([end.x_m, end.y_m])
  if start.heading % 2 == end.heading % 2:
    return np.stack([a_2, b_2])
  u_2, v_2 = np.array(start.ahead), np.array(end.ahead)
  corner_2 = a_2 + u_2 * ((b_2 - a_2) @ u_2)
  into_m, out_m = (corner_2 - a_2) @ u_2, (b_2 - corner_2) @ v_2
  radius_m = min(_RADIUS_M, into_m, out_m)
  angle_N1 = np.linspace(0, np.pi / 2, 13)[:, None]
  centre_2 = corner_2 + radius_m * (v_2 - u_2)
  arc_N2 = centre_2 + radius_m * (
    u_2 * np.sin(angle_N1) - v_2 * np.cos(angle_N1)
  )
  return np.concatenate([[a_2], arc_N2, [b_2]])


def is_clear(path_M3: np.ndarray, others_N3: np.ndarray, gap_m: float) -> bool:
  """Returns whether a car on a path keeps a gap to all other cars.

  Each car is represented by three points on its axis, 1.4 m apart.

  Args:
    path_M3: x, y and yaw along the path.
    others_N3: x, y and yaw of the other cars.
    gap_m: the least distance between points of two cars.
  """
  if not len(others_N3):
    return True
  a_P2, b_Q2 = _axis_points(path_M3), _axis_points(others_N3)
  gap_PQ = np.linalg.norm(a_P2[:, None] - b_Q2, axis=-1)
  return bool(gap_PQ.min() >= gap_m)


def _axis_points(poses_N3: np.ndarray) -> np.ndarray:
  ahead_N2 = np.stack([np.cos(poses_N3[:, 2]), np.sin(poses_N3[:, 2])], -1)
  steps_31 = np.array([-1.4, 0.0, 1.4])[:, None]
  return (poses_N3[:, None, :2] + ahead_N2[:, None] * steps_31).reshape(-1, 2)
