"""Geometry of cameras."""

import dataclasses

import numpy as np
from scipy.spatial import transform

from wm_abench.worlds import protocol


def axes(camera: protocol.Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the right, up and forward unit vectors [3] of a camera."""
  forward = np.subtract(camera.target_m, camera.position_m)
  forward = forward / np.linalg.norm(forward)
  right = np.cross(forward, camera.up)
  right /= np.linalg.norm(right)
  return right, np.cross(right, forward), forward


def mounted(camera: protocol.Camera, body: protocol.Body) -> protocol.Camera:
  """Returns a camera in the world's frame, given one in the frame of a body.

  Args:
    camera: with position, target and up in the frame of the body (x ahead,
      y left, z up). Its `mount` is not checked.
    body: what the camera is mounted on; only its pose is used.
  """
  rotation = transform.Rotation.from_quat(body.quaternion, scalar_first=True)
  position_3, target_3, up_3 = rotation.apply(
    [camera.position_m, camera.target_m, camera.up]
  )
  return dataclasses.replace(
    camera,
    position_m=tuple((position_3 + body.position_m).tolist()),
    target_m=tuple((target_3 + body.position_m).tolist()),
    up=tuple(up_3.tolist()),
    mount='',
  )
