"""Our frame (right-handed, metres, z up) in the conventions of simulators.

ours      x right, y away, z up
Unity     x right, y up, z away; left-handed        (ThreeDWorld)
Unreal    x, -y, z; left-handed, angles in degrees  (Carla)
Habitat   x right, y up, -z away; right-handed
"""

import math

import numpy as np

from wm_abench.worlds import protocol

Quaternion = tuple[float, float, float, float]


def axes(camera: protocol.Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A camera's right, up and ahead, unit vectors [3] in the world."""
  ahead = np.subtract(camera.target_m, camera.position_m)
  ahead = ahead / np.linalg.norm(ahead)
  right = np.cross(ahead, camera.up)
  right /= np.linalg.norm(right)
  return right, np.cross(right, ahead), ahead


def mounted(camera: protocol.Camera, body: protocol.Body) -> protocol.Camera:
  """The camera in the world, whose vectors were in a body's frame."""
  turn = matrix(body.quaternion)
  vectors = (camera.position_m, camera.target_m, camera.up)
  position, target, up = (turn @ np.array(v) for v in vectors)
  return protocol.Camera(
    camera.name,
    tuple((position + body.position_m).tolist()),
    tuple((target + body.position_m).tolist()),
    camera.fovy_deg,
    tuple(up.tolist()),
  )


def matrix(quaternion: Quaternion) -> np.ndarray:
  """The turn [3, 3] of a unit quaternion (w, x, y, z)."""
  w, x, y, z = quaternion
  return np.array(
    [
      [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
      [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
      [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
  )


def quaternion(turn_33: np.ndarray) -> Quaternion:
  """The unit quaternion (w, x, y, z) of a turn, up to its sign."""
  # Its outer product with itself; the row of the largest part is the surest.
  (a, b, c), (d, e, f), (g, h, i) = turn_33
  parts = np.array(
    [
      [1 + a + e + i, h - f, c - g, d - b],
      [h - f, 1 + a - e - i, b + d, c + g],
      [c - g, b + d, 1 - a + e - i, f + h],
      [d - b, c + g, f + h, 1 - a - e + i],
    ]
  )
  row = parts[np.diag(parts).argmax()]
  return tuple((row / np.linalg.norm(row)).tolist())


def yaw(angle_deg: float) -> Quaternion:
  """A turn about the vertical, from x towards y."""
  half = math.radians(angle_deg) / 2
  return (math.cos(half), 0.0, 0.0, math.sin(half))


# Unity.


def to_unity(vector: protocol.Vector) -> dict[str, float]:
  """A place or a velocity."""
  x, y, z = map(float, vector)
  return {'x': x, 'y': z, 'z': y}


def from_unity(vector: np.ndarray) -> protocol.Vector:
  """A place or a velocity, from x, y, z [3]."""
  x, y, z = map(float, vector)
  return (x, z, y)


def spin_from_unity(spin: np.ndarray) -> protocol.Vector:
  """An angular velocity: its sense turns over with the frame's hand."""
  x, y, z = map(float, spin)
  return (-x, -z, -y)


def turn_to_unity(turn: Quaternion) -> dict[str, float]:
  """A quaternion (w, x, y, z) as Unity's."""
  w, x, y, z = map(float, turn)
  return {'x': -x, 'y': -z, 'z': -y, 'w': w}


def turn_from_unity(turn: np.ndarray) -> Quaternion:
  """Unity's x, y, z, w [4] as (w, x, y, z)."""
  x, y, z, w = map(float, turn)
  return (w, -x, -z, -y)


def camera_to_unity(camera: protocol.Camera) -> dict[str, float]:
  """The turn of a camera that looks along z, y up, when it is not turned."""
  columns = [list(to_unity(v).values()) for v in axes(camera)]
  w, x, y, z = quaternion(np.array(columns).T)
  return {'x': x, 'y': y, 'z': z, 'w': w}


# Unreal.


def to_carla(vector: protocol.Vector) -> protocol.Vector:
  """A place or a velocity; the way back is the same."""
  x, y, z = map(float, vector)
  return (x, -y, z)


def camera_to_carla(camera: protocol.Camera) -> dict[str, float]:
  """pitch, yaw and roll in degrees of a camera that looks along x, z up."""
  right, up, ahead = (to_carla(v) for v in axes(camera))
  pitch = math.asin(min(1.0, max(-1.0, ahead[2])))
  if abs(ahead[2]) > 1 - 1e-9:  # Straight up or down: `up` says the yaw.
    heading = math.atan2(up[1], up[0]) + (math.pi if ahead[2] > 0 else 0.0)
    roll = 0.0
  else:
    heading = math.atan2(ahead[1], ahead[0])
    roll = math.atan2(-right[2], up[2])
  names = ('pitch', 'yaw', 'roll')
  return dict(
    zip(names, map(math.degrees, (pitch, heading, roll)), strict=True)
  )


# Habitat.


def to_habitat(vector: protocol.Vector) -> protocol.Vector:
  x, y, z = map(float, vector)
  return (x, z, -y)


def from_habitat(vector: np.ndarray) -> protocol.Vector:
  x, y, z = map(float, vector)
  return (x, -z, y)


def camera_to_habitat(camera: protocol.Camera) -> Quaternion:
  """(w, x, y, z) of a camera that looks along -z, y up, when not turned."""
  right, up, ahead = (np.array(to_habitat(v)) for v in axes(camera))
  return quaternion(np.stack([right, up, -ahead], -1))
