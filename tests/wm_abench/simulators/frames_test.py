import math

import numpy as np
import pytest

from wm_abench.environments import base
from wm_abench.simulators import frames

HALF = math.sqrt(0.5)


def _camera(position, target, up=(0.0, 0.0, 1.0)):
  return base.Camera('c', position, target, up=up)


def _turned(unity, vector):
  """A vector [3] turned by Unity's quaternion, a dict."""
  turn = frames.matrix((unity['w'], unity['x'], unity['y'], unity['z']))
  return turn @ vector


@pytest.mark.parametrize('seed', range(5))
def test_a_quaternion_and_its_matrix_are_one_turn(seed):
  rng = np.random.default_rng(seed)
  quaternion = rng.normal(size=4) * [rng.uniform(0, 0.1), 1, 1, 1]
  quaternion /= np.linalg.norm(quaternion)
  turn = frames.matrix(tuple(quaternion))
  np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
  assert np.linalg.det(turn) == pytest.approx(1)
  again = np.array(frames.quaternion(turn))
  np.testing.assert_allclose(again * np.sign(again @ quaternion), quaternion)


def test_a_yaw_turns_x_towards_y():
  turn = frames.matrix(frames.yaw(90))
  np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_unity_has_up_second_and_away_third():
  assert frames.to_unity((1, 2, 3)) == {'x': 1, 'y': 3, 'z': 2}
  assert frames.from_unity(np.array([1, 3, 2])) == (1, 2, 3)


def test_turns_mean_the_same_in_unity():
  """To turn and then to go over is to go over and then to turn."""
  rng = np.random.default_rng(0)
  quaternion = rng.normal(size=4)
  quaternion = tuple(quaternion / np.linalg.norm(quaternion))
  vector = rng.normal(size=3)
  there = frames.to_unity(frames.matrix(quaternion) @ vector)
  unity = frames.turn_to_unity(quaternion)
  over = np.array([*frames.to_unity(vector).values()])
  np.testing.assert_allclose(_turned(unity, over), [*there.values()])
  back = frames.turn_from_unity([unity[k] for k in 'xyzw'])
  np.testing.assert_allclose(back, quaternion)


def test_a_spin_means_the_same_in_unity():
  """v = w x r holds on both sides, each with its own hand."""
  rng = np.random.default_rng(1)
  spin_unity, place_unity = rng.normal(size=(2, 3))
  # In a left-handed frame the same formula of components holds.
  speed_unity = np.cross(spin_unity, place_unity)
  spin, place = (
    frames.spin_from_unity(spin_unity),
    frames.from_unity(place_unity),
  )
  np.testing.assert_allclose(
    np.cross(spin, place), frames.from_unity(speed_unity)
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
  unity = frames.camera_to_unity(camera)
  for own, ours in zip(np.eye(3), frames.axes(camera), strict=True):
    np.testing.assert_allclose(
      _turned(unity, own), [*frames.to_unity(ours).values()], atol=1e-9
    )


@pytest.mark.parametrize('camera', CAMERAS)
def test_habitats_camera_looks_the_same_way(camera):
  right, up, ahead = map(frames.to_habitat, frames.axes(camera))
  turn = frames.matrix(frames.camera_to_habitat(camera))
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
  ahead, right, up = _carla_matrix(**frames.camera_to_carla(camera)).T
  ours = [frames.to_carla(v) for v in frames.axes(camera)]
  np.testing.assert_allclose([right, up, ahead], ours, atol=1e-9)


def test_the_formula_above_is_carlas_own():
  carla = pytest.importorskip('carla')
  angles = {'pitch': 20.0, 'yaw': 30.0, 'roll': 10.0}
  own = carla.Transform(carla.Location(), carla.Rotation(**angles)).get_matrix()
  np.testing.assert_allclose(
    np.array(own)[:3, :3], _carla_matrix(**angles), atol=1e-6
  )


def test_a_mounted_camera_goes_with_its_body():
  camera = base.Camera('ego', (0.5, 0.0, 1.0), (1.5, 0.0, 1.0), mount='agent')
  body = base.Body((10.0, 20.0, 0.0), (HALF, 0.0, 0.0, HALF))
  world = frames.mounted(camera, body)
  np.testing.assert_allclose(world.position_m, (10, 20.5, 1))
  np.testing.assert_allclose(world.target_m, (10, 21.5, 1))
  assert world.mount == '' and world.fovy_deg == camera.fovy_deg


def test_habitat_has_up_second_and_towards_third():
  assert frames.to_habitat((1, 2, 3)) == (1, 3, -2)
  assert frames.from_habitat(np.array(frames.to_habitat((1, 2, 3)))) == (
    1,
    2,
    3,
  )
