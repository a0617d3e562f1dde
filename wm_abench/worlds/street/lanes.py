"""The lanes of a town of square blocks, and the moves of a car along them.

Roads run along x and y through crossings at whole multiples of BLOCK_M; traffic
keeps right. A pose is at a place on a lane, in the lane's direction; all places
that moves lead to are exact in binary, so that there and back is no rounding.
"""

import dataclasses
import math

import numpy as np

BLOCK_M = 48.0
# From the road's centre line to the middle of a lane, to the kerb, to the lots.
LANE_M, KERB_M, LOT_M = 1.75, 6.0, 9.0
# From the centre line to the middle of the parked cars.
PARKED_M = 4.8
# Crossings are those of roads -1, 0 and 1; all roads end at EDGE_M.
CROSSINGS = (-1, 0, 1)
EDGE_M = 90.0

# A turn begins at most this far before the middle of its crossing, and covers
# TURN_M: so far as it began before the middle, and the rest of it after.
TURN_M = 24.0
_TURN_FROM_M = 20.0
_RADIUS_M = 6.0
_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclasses.dataclass(frozen=True)
class Pose:
  """A car's place: the point between its axles and where it heads.

  Attributes:
    x_m, y_m: on the ground.
    heading: quarter turns anticlockwise from x.
  """

  x_m: float
  y_m: float
  heading: int

  @property
  def ahead(self) -> tuple[int, int]:
    return _AHEAD[self.heading]

  @property
  def along_m(self) -> float:
    """Where it is on its road, growing ahead; 0 at the town's middle."""
    return self.x_m * self.ahead[0] + self.y_m * self.ahead[1]

  @property
  def right_m(self) -> float:
    """How far to its right of the line through the town's middle."""
    return self.x_m * self.ahead[1] - self.y_m * self.ahead[0]


def place(heading: int, along_m: float, right_m: float) -> Pose:
  """The pose of those coordinates; see Pose."""
  (ux, uy) = _AHEAD[heading]
  x_m, y_m = along_m * ux + right_m * uy, along_m * uy - right_m * ux
  return Pose(x_m, y_m, heading)


def approach(crossing: tuple[int, int], heading: int, before_m: float) -> Pose:
  """On the lane that leads to a crossing, so far before its middle."""
  middle = Pose(crossing[0] * BLOCK_M, crossing[1] * BLOCK_M, heading)
  return place(heading, middle.along_m - before_m, middle.right_m + LANE_M)


def on_lane(pose: Pose) -> bool:
  """Whether it is on a lane of its own direction, and inside the town."""
  road = (pose.right_m - LANE_M) / BLOCK_M
  return road in CROSSINGS and abs(pose.along_m) <= EDGE_M


def shift(pose: Pose, metres: float) -> Pose | None:
  """Straight ahead, or back where metres < 0; None off the lane."""
  after = place(pose.heading, pose.along_m + metres, pose.right_m)
  return after if on_lane(after) else None


def turn(pose: Pose, side: int) -> Pose | None:
  """Up to the crossing ahead and into its road, TURN_M in all.

  Args:
    pose: before.
    side: 1 to the left, -1 to the right.

  Returns:
    The pose after; None where no crossing is near enough ahead.
  """
  crossing = math.ceil(pose.along_m / BLOCK_M)
  before_m = crossing * BLOCK_M - pose.along_m
  if crossing not in CROSSINGS or not 0 < before_m <= _TURN_FROM_M:
    return None
  heading = (pose.heading + side) % 4
  road_m = pose.right_m - LANE_M
  middle = place(pose.heading, crossing * BLOCK_M, road_m)
  middle = dataclasses.replace(middle, heading=heading)
  after_m = TURN_M - before_m
  return place(heading, middle.along_m + after_m, middle.right_m + LANE_M)


def path(start: Pose, end: Pose, step_m: float = 1.0) -> np.ndarray:
  """Points and yaws [N, 3] (m, m, rad) of the way between two lane poses."""
  points_N2 = _polyline(start, end)
  gaps_N = np.linalg.norm(np.diff(points_N2, axis=0), axis=-1)
  way_N = np.concatenate([[0], np.cumsum(gaps_N)])
  at_M = np.linspace(0, way_N[-1], max(2, round(way_N[-1] / step_m) + 1))
  x_M, y_M = (np.interp(at_M, way_N, points_N2[:, k]) for k in range(2))
  quarter = (end.heading - start.heading + 2) % 4 - 2
  yaw_M = math.pi / 2 * (start.heading + quarter * _turned(at_M, way_N))
  return np.stack([x_M, y_M, yaw_M], -1)


def _turned(at_M: np.ndarray, way_N: np.ndarray) -> np.ndarray:
  """The share of a turn that is done; its arc is all but the two ends."""
  if len(way_N) == 2:
    return np.zeros_like(at_M)
  return np.interp(at_M, way_N[[0, 1, -2, -1]], [0, 0, 1, 1])


def _polyline(start: Pose, end: Pose) -> np.ndarray:
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


def clear(way_M3: np.ndarray, others_N3: np.ndarray, gap_m: float) -> bool:
  """Whether a car on a way comes near none of the others.

  A car counts as three points in a row, 1.4 m apart.

  Args:
    way_M3: x, y and yaw along the way.
    others_N3: x, y and yaw of standing cars.
    gap_m: the least distance of the points of two cars.
  """
  if not len(others_N3):
    return True
  a_P2, b_Q2 = _spots(way_M3), _spots(others_N3)
  gap_PQ = np.linalg.norm(a_P2[:, None] - b_Q2, axis=-1)
  return bool(gap_PQ.min() >= gap_m)


def _spots(poses_N3: np.ndarray) -> np.ndarray:
  ahead_N2 = np.stack([np.cos(poses_N3[:, 2]), np.sin(poses_N3[:, 2])], -1)
  steps_31 = np.array([-1.4, 0.0, 1.4])[:, None]
  return (poses_N3[:, None, :2] + ahead_N2[:, None] * steps_31).reshape(-1, 2)
