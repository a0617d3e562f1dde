import math

import numpy as np
import pytest

from wm_abench.simulators import coordinates
from wm_abench.worlds import protocol

HALF = math.sqrt(0.5)


def _camera(position, target, up=(0.0, 0.0, 1.0)):
  return protocol.Camera('c', position, target, up=up)


def _turned(unity, vector):
  """A vector [3] turned by Unity's quaternion, a dict."""
  turn = coordinates.matrix((unity['w'], unity['x'], unity['y'], unity['z']))
  return turn @ vector


@pytest.mark.parametrize('seed', range(5))
def test_a_quaternion_and_its_matrix_are_one_turn(seed):
  rng = np.random.default_rng(seed)
  quaternion = rng.normal(size=4) * [rng.uniform(0, 0.1), 1, 1, 1]
  quaternion /= np.linalg.norm(quaternion)
  turn = coordinates.matrix(tuple(quaternion))
  np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
  assert np.linalg.det(turn) == pytest.approx(1)
  again = np.array(coordinates.quaternion(turn))
  np.testing.assert_allclose(again * np.sign(again @ quaternion), quaternion)


def test_a_yaw_turns_x_towards_y():
  turn = coordinates.matrix(coordinates.yaw(90))
  np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_unity_has_up_second_and_away_third():
  assert coordinates.to_unity((1, 2, 3)) == {'x': 1, 'y': 3, 'z': 2}
  assert coordinates.from_unity(np.array([1, 3, 2])) == (1, 2, 3)


def test_turns_mean_the_same_in_unity():
  """To turn and then to go over is to go over and then to turn."""
  rng = np.random.default_rng(0)
  quaternion = rng.normal(size=4)
  quaternion = tuple(quaternion / np.linalg.norm(quaternion))
  vector = rng.normal(size=3)
  there = coordinates.to_unity(coordinates.matrix(quaternion) @ vector)
  unity = coordinates.turn_to_unity(quaternion)
  over = np.array([*coordinates.to_unity(vector).values()])
  np.testing.assert_allclose(_turned(unity, over), [*there.values()])
  back = coordinates.turn_from_unity([unity[k] for k in 'xyzw'])
  np.testing.assert_allclose(back, quaternion)


def test_a_spin_means_the_same_in_unity():
  """v = w x r holds on both sides, each with its own hand."""
  rng = np.random.default_rng(1)
  spin_unity, place_unity = rng.normal(size=(2, 3))
  # In a left-handed frame the same formula of components holds.
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
def test_unitys_camera_looks_the_same_way(camera):
  unity = coordinates.camera_to_unity(camera)
  for own, ours in zip(np.eye(3), coordinates.axes(camera), strict=True):
    np.testing.assert_allclose(
      _turned(unity, own), [*coordinates.to_unity(ours).values()], atol=1e-9
    )


@pytest.mark.parametrize('camera', CAMERAS)
def test_habitats_camera_looks_the_same_way(camera):
  right, up, ahead = map(coordinates.to_habitat, coordinates.axes(camera))
  turn = coordinates.matrix(coordinates.camera_to_habitat(camera))
  np.testing.assert_allclose(turn @ [1, 0, 0], right, atol=1e-9)
  np.testing.assert_allclose(turn @ [0, 1, 0], up, atol=1e-9)
  np.testing.assert_allclose(turn @ [0, 0, -1], ahead, atol=1e-9)


def _carla_matrix(pitch, yaw, roll):
  """Unreal's columns ahead, right, up, as in carla.Transform.get_matrix."""
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
def test_carlas_camera_looks_the_same_way(camera):
  ahead, right, up = _carla_matrix(**coordinates.camera_to_carla(camera)).T
  ours = [coordinates.to_carla(v) for v in coordinates.axes(camera)]
  np.testing.assert_allclose([right, up, ahead], ours, atol=1e-9)


def test_the_formula_above_is_carlas_own():
  carla = pytest.importorskip('carla')
  angles = {'pitch': 20.0, 'yaw': 30.0, 'roll': 10.0}
  own = carla.Transform(carla.Location(), carla.Rotation(**angles)).get_matrix()
  np.testing.assert_allclose(
    np.array(own)[:3, :3], _carla_matrix(**angles), atol=1e-6
  )


def test_a_mounted_camera_goes_with_its_body():
  camera = protocol.Camera(
    'ego', (0.5, 0.0, 1.0), (1.5, 0.0, 1.0), mount='agent'
  )
  body = protocol.Body((10.0, 20.0, 0.0), (HALF, 0.0, 0.0, HALF))
  world = coordinates.mounted(camera, body)
  np.testing.assert_allclose(world.position_m, (10, 20.5, 1))
  np.testing.assert_allclose(world.target_m, (10, 21.5, 1))
  assert world.mount == '' and world.fovy_deg == camera.fovy_deg


def test_habitat_has_up_second_and_towards_third():
  assert coordinates.to_habitat((1, 2, 3)) == (1, 3, -2)
  assert coordinates.from_habitat(
    np.array(coordinates.to_habitat((1, 2, 3)))
  ) == (
    1,
    2,
    3,
  )
