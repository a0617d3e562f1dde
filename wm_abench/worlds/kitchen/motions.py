"""Pushes and grasps, as segments of a path."""

import numpy as np

from wm_abench.worlds.kitchen import arm_paths, arms, objects

SAFE_M = 0.27  # Height of the grasp site above all objects.

_CLEARANCE_M = 0.045  # Between fingers and object before a push.
_FINGER_M = 0.0105  # Half the width of a finger, which pushes.
_PUSH_OPENING_M = 0.012
_MIN_HEIGHT_M = 0.012


def push_height(kind: objects.Kind) -> float:
  """Returns the height of the finger tips at which the palm does not push."""
  palm_m = arm_paths.TIP_M + arm_paths.PALM_M
  return max(_MIN_HEIGHT_M, kind.size_m[2] - palm_m + 0.004)


def half_extent(kind: objects.Kind, heading_deg: float) -> float:
  """Returns the distance from the centre of an object to its side, in metres.

  Args:
    kind: of the object.
    heading_deg: direction in the frame of the object.
  """
  c = abs(np.cos(np.radians(heading_deg)))
  s = abs(np.sin(np.radians(heading_deg)))
  x, y, _ = kind.size_m
  return float(min(x / 2 / max(c, 1e-9), y / 2 / max(s, 1e-9)))


def append_push(
  path: arm_paths.Path,
  point_m: np.ndarray,
  behind_m: float,
  heading_deg: float,
  distance_m: float,
  height_m: float,
) -> None:
  """Appends a straight push with the fingers.

  Args:
    path: ends above all objects.
    point_m: x and y of the point that is pushed.
    behind_m: distance from that point to the side where the fingers touch.
    heading_deg: direction of the push, from x towards y.
    distance_m: length of the push after the fingers touch.
    height_m: of the finger tips.
  """
  heading = np.radians(heading_deg)
  direction = np.array([np.cos(heading), np.sin(heading), 0.0])
  height = height_m + arm_paths.TIP_M
  contact = np.append(point_m, height) - (behind_m + _FINGER_M) * direction
  start = contact - _CLEARANCE_M * direction
  end = contact + distance_m * direction
  retreat = end - 0.02 * direction
  path.move_joints((*start[:2], SAFE_M), heading_deg + 90, 0.7)
  path.move_fingers(_PUSH_OPENING_M, 0.1)
  path.move_straight(start, 0.5)
  path.move_straight(end, 0.4 + 5 * distance_m)
  path.move_straight(retreat, 0.2)
  path.move_straight((*retreat[:2], SAFE_M), 0.5)


def append_grasp(
  path: arm_paths.Path, position_m: np.ndarray, yaw_deg: float, grips: float
) -> None:
  """Appends a descent of the open hand to a position.

  Args:
    path: ends above all objects.
    position_m: of the grasp site.
    yaw_deg: direction along which the fingers close.
    grips: whether they close, 0 or 1.
  """
  above_m = max(SAFE_M, position_m[2] + 0.1)
  path.move_joints((*position_m[:2], above_m), yaw_deg, 0.7)
  path.move_fingers(arms.OPEN_M, 0.1)
  path.move_straight(position_m, 0.5)
  path.move_fingers(0.0 if grips else arms.OPEN_M, 0.1)
  path.wait(0.25)
