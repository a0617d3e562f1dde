import math

import numpy as np
import pytest

from wm_abench.worlds import cameras, protocol

EGO = protocol.Camera(
  'ego', (0.5, 0.0, 1.0), (1.5, 0.0, 1.0), fovy_deg=70.0, mount='agent'
)


def test_the_axes_of_a_camera_are_orthonormal_and_right_handed():
  camera = protocol.Camera('side', (1.0, -2.0, 0.5), (0.0, 0.3, -0.2))
  right, up, forward = cameras.axes(camera)
  axes = np.stack([right, up, -forward])
  np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
  assert np.linalg.det(axes) == pytest.approx(1.0)
  assert forward @ np.subtract(camera.target_m, camera.position_m) > 0
  assert up[2] > 0 and right[2] == pytest.approx(0.0)


def test_a_mounted_camera_moves_and_turns_with_its_body():
  half = math.radians(90) / 2
  body = protocol.Body(
    (3.0, -2.0, 0.25), (math.cos(half), 0.0, 0.0, math.sin(half))
  )
  camera = cameras.mounted(EGO, body)
  # The body's x axis points along the world's y axis.
  assert camera.position_m == pytest.approx((3.0, -1.5, 1.25))
  assert camera.target_m == pytest.approx((3.0, -0.5, 1.25))
  assert camera.up == pytest.approx((0.0, 0.0, 1.0))
  assert (camera.name, camera.fovy_deg, camera.mount) == ('ego', 70.0, '')


def test_up_turns_with_the_body_and_does_not_shift_with_it():
  half = math.radians(90) / 2
  rolled = protocol.Body(
    (5.0, 5.0, 5.0), (math.cos(half), math.sin(half), 0.0, 0.0)
  )
  camera = cameras.mounted(EGO, rolled)
  np.testing.assert_allclose(camera.up, (0.0, -1.0, 0.0), atol=1e-12)


def test_a_body_at_the_origin_leaves_the_vectors_as_they_are():
  camera = cameras.mounted(EGO, protocol.Body((0.0, 0.0, 0.0)))
  assert camera.position_m == EGO.position_m
  assert camera.target_m == EGO.target_m
