import math

import numpy as np
import pytest

from wm_abench.simulators import coordinates
from wm_abench.worlds import cameras, protocol


def _camera(position, target, up=(0.0, 0.0, 1.0)):
  return protocol.Camera('c', position, target, up=up)


def _rotated(unity, vector):
  """Returns a vector [3], rotated by Unity's quaternion."""
  turn = coordinates.rotation(tuple(unity[k] for k in 'wxyz'))
  return turn.apply(vector)


@pytest.mark.parametrize('seed', range(5))
def test_a_quaternion_survives_the_conversion_to_a_rotation(seed):
  rng = np.random.default_rng(seed)
  quaternion = rng.normal(size=4) * [rng.uniform(0, 0.1), 1, 1, 1]
  quaternion /= np.linalg.norm(quaternion)
  turn = coordinates.rotation(tuple(quaternion))
  again = np.array(coordinates.quaternion(turn))
  np.testing.assert_allclose(again * np.sign(again @ quaternion), quaternion)


def test_quaternions_have_the_scalar_first():
  # A half turn about x, and one third of a turn about the diagonal.
  turn = coordinates.rotation((0.0, 1.0, 0.0, 0.0))
  np.testing.assert_allclose(turn.apply([1, 2, 3]), [1, -2, -3], atol=1e-12)
  turn = coordinates.rotation((0.5, 0.5, 0.5, 0.5))
  np.testing.assert_allclose(turn.apply([1, 2, 3]), [3, 1, 2], atol=1e-12)


def test_a_yaw_turns_x_towards_y():
  turn = coordinates.rotation(coordinates.yaw(90))
  np.testing.assert_allclose(turn.apply([1, 0, 0]), [0, 1, 0], atol=1e-12)


def test_unity_has_up_as_y_and_away_as_z():
  assert coordinates.to_unity((1, 2, 3)) == {'x': 1, 'y': 3, 'z': 2}
  assert coordinates.from_unity(np.array([1, 3, 2])) == (1, 2, 3)


def test_rotation_and_conversion_to_unity_commute():
  rng = np.random.default_rng(0)
  quaternion = rng.normal(size=4)
  quaternion = tuple(quaternion / np.linalg.norm(quaternion))
  vector = rng.normal(size=3)
  rotated = coordinates.rotation(quaternion).apply(vector)
  expected = [*coordinates.to_unity(rotated).values()]
  unity = coordinates.turn_to_unity(quaternion)
  converted = np.array([*coordinates.to_unity(vector).values()])
  np.testing.assert_allclose(_rotated(unity, converted), expected)
  back = coordinates.turn_from_unity([unity[k] for k in 'xyzw'])
  np.testing.assert_allclose(back, quaternion)


def test_the_velocity_of_a_spin_is_the_same_in_unity():
  """v = w x r holds in both systems."""
  rng = np.random.default_rng(1)
  spin_unity, place_unity = rng.normal(size=(2, 3))
  # In a left-handed system the formula of the components is the same.
  speed_unity = np.cross(spin_unity, place_unity)
  spin, place = (
    coordinates.spin_from_unity(spin_unity),
    coordinates.from_unity(place_unity),
  )
  np.testing.assert_allclose(
    np.cross(spin, place), coordinates.from_unity(speed_unity)
  )


CAMERAS = [
  _camera((0.0, -2.0, 0.5), (0.0, 0.0, 0.5)),
  _camera((1.0, 2.0, 3.0), (-0.5, 0.3, 0.2)),
  _camera((0.0, 0.0, 2.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
  _camera((0.0, 0.0, 2.0), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0)),
  _camera((0.0, 0.0, 0.0), (0.0, 0.0, 2.0), (1.0, 0.0, 0.0)),
  _camera((0.0, -2.0, 0.5), (0.1, 0.0, 0.0), (1.0, 0.0, 1.0)),
]


@pytest.mark.parametrize('camera', CAMERAS)
def test_a_camera_has_the_same_axes_in_unity(camera):
  unity = coordinates.camera_to_unity(camera)
  for unrotated, axis in zip(np.eye(3), cameras.axes(camera), strict=True):
    expected = [*coordinates.to_unity(axis).values()]
    np.testing.assert_allclose(_rotated(unity, unrotated), expected, atol=1e-9)


@pytest.mark.parametrize('camera', CAMERAS)
def test_a_camera_has_the_same_axes_in_habitat(camera):
  right, up, ahead = map(coordinates.to_habitat, cameras.axes(camera))
  turn = coordinates.rotation(coordinates.camera_to_habitat(camera))
  np.testing.assert_allclose(turn.apply([1, 0, 0]), right, atol=1e-9)
  np.testing.assert_allclose(turn.apply([0, 1, 0]), up, atol=1e-9)
  np.testing.assert_allclose(turn.apply([0, 0, -1]), ahead, atol=1e-9)


def _carla_matrix(pitch, yaw, roll):
  """Returns columns forward, right, up, as carla.Transform.get_matrix does."""
  cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
  cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
  cr, sr = math.cos(math.radians(roll)), math.sin(math.radians(roll))
  return np.array(
    [
      [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
      [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
      [sp, -cp * sr, cp * cr],
    ]
  )


@pytest.mark.parametrize('camera', CAMERAS)
def test_a_camera_has_the_same_axes_in_carla(camera):
  ahead, right, up = _carla_matrix(**coordinates.camera_to_carla(camera)).T
  expected = [coordinates.to_carla(v) for v in cameras.axes(camera)]
  np.testing.assert_allclose([right, up, ahead], expected, atol=1e-9)


def test_the_formula_of_these_tests_is_that_of_carla():
  carla = pytest.importorskip('carla')
  angles = {'pitch': 20.0, 'yaw': 30.0, 'roll': 10.0}
  matrix = carla.Transform(
    carla.Location(), carla.Rotation(**angles)
  ).get_matrix()
  np.testing.assert_allclose(
    np.array(matrix)[:3, :3], _carla_matrix(**angles), atol=1e-6
  )


def test_habitat_has_up_as_y_and_towards_the_viewer_as_z():
  assert coordinates.to_habitat((1, 2, 3)) == (1, 3, -2)
  there = np.array(coordinates.to_habitat((1, 2, 3)))
  assert coordinates.from_habitat(there) == (1, 2, 3)
