"""Conversions between the coordinate systems of simulators.

wm_abench  x right, y away, z up; right-handed, metres
Unity      x right, y up, z away; left-handed          (ThreeDWorld)
Unreal     x, -y, z; left-handed, angles in degrees    (Carla)
Habitat    x right, y up, -z away; right-handed

Quaternions are (w, x, y, z) unless stated otherwise.
"""

import numpy as np
from scipy.spatial import transform

from wm_abench.worlds import cameras, protocol

Quaternion = tuple[float, float, float, float]


def rotation(quaternion: Quaternion) -> transform.Rotation:
  """Returns the rotation of a unit quaternion."""
  return transform.Rotation.from_quat(quaternion, scalar_first=True)


def quaternion(turn: transform.Rotation) -> Quaternion:
  """Returns the unit quaternion of a rotation."""
  return tuple(turn.as_quat(scalar_first=True).tolist())


def yaw(angle_deg: float) -> Quaternion:
  """Returns the quaternion of a rotation about z, from x towards y."""
  return quaternion(transform.Rotation.from_euler('z', angle_deg, degrees=True))


# Unity.


def to_unity(vector: protocol.Vector) -> dict[str, float]:
  """Returns a position or velocity in Unity's system."""
  x, y, z = map(float, vector)
  return {'x': x, 'y': z, 'z': y}


def from_unity(vector: np.ndarray) -> protocol.Vector:
  """Returns the position or velocity of Unity's x, y, z [3]."""
  x, y, z = map(float, vector)
  return (x, z, y)


def spin_from_unity(spin: np.ndarray) -> protocol.Vector:
  """Returns the angular velocity of Unity's x, y, z [3].

  Angular velocities are pseudovectors: the change of handedness flips them.
  """
  x, y, z = map(float, spin)
  return (-x, -z, -y)


def turn_to_unity(turn: Quaternion) -> dict[str, float]:
  """Returns a quaternion in Unity's system."""
  w, x, y, z = map(float, turn)
  return {'x': -x, 'y': -z, 'z': -y, 'w': w}


def turn_from_unity(turn: np.ndarray) -> Quaternion:
  """Returns the quaternion of Unity's x, y, z, w [4]."""
  x, y, z, w = map(float, turn)
  return (w, -x, -z, -y)


def camera_to_unity(camera: protocol.Camera) -> dict[str, float]:
  """Returns Unity's quaternion of a camera.

  An unrotated camera in Unity looks along z, with y up.
  """
  columns = [list(to_unity(v).values()) for v in cameras.axes(camera)]
  turn = transform.Rotation.from_matrix(np.transpose(columns))
  return dict(zip('xyzw', turn.as_quat().tolist(), strict=True))


# Unreal.


def to_carla(vector: protocol.Vector) -> protocol.Vector:
  """Returns a position or velocity in Carla's system, or converts it back."""
  x, y, z = map(float, vector)
  return (x, -y, z)


def camera_to_carla(camera: protocol.Camera) -> dict[str, float]:
  """Returns Carla's pitch, yaw and roll in degrees of a camera.

  An unrotated camera in Carla looks along x, with z up. For a camera that looks
  straight up or down, only yaw +- roll is defined; roll is then 0.
  """
  right, up, ahead = (to_carla(v) for v in cameras.axes(camera))
  turn = transform.Rotation.from_matrix(np.transpose([ahead, right, up]))
  # Unreal's rotation is Rz(yaw) Ry(-pitch) Rx(-roll).
  heading, pitch, roll = turn.as_euler(
    'ZYX', degrees=True, suppress_warnings=True
  )
  return {'pitch': -float(pitch), 'yaw': float(heading), 'roll': -float(roll)}


# Habitat.


def to_habitat(vector: protocol.Vector) -> protocol.Vector:
  x, y, z = map(float, vector)
  return (x, z, -y)


def from_habitat(vector: np.ndarray) -> protocol.Vector:
  x, y, z = map(float, vector)
  return (x, -z, y)


def camera_to_habitat(camera: protocol.Camera) -> Quaternion:
  """Returns the quaternion of a camera in Habitat's system.

  An unrotated camera in Habitat looks along -z, with y up.
  """
  right, up, ahead = (np.array(to_habitat(v)) for v in cameras.axes(camera))
  columns = np.stack([right, up, -ahead], -1)
  return quaternion(transform.Rotation.from_matrix(columns))
