"""A client of Habitat 2, the paper's simulator of homes.

An agent on the navigation mesh of a scanned scene (HSSD, Replica, Gibson, ...)
moves forward or backward, or turns on the spot. A step that the mesh blocks is
not made, and the fact 'collided' is true. Requirements:

    conda install habitat-sim headless -c conda-forge -c aihabitat
    scenes, which habitat-sim downloads:
      python -m habitat_sim.utils.datasets_download --uids habitat_test_scenes
"""

import dataclasses
import math
import os
import types

import numpy as np

from commons import errors
from wm_abench.simulators import coordinates, requirements
from wm_abench.worlds import cameras, protocol

ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
EYE_M = 1.5
EGO = protocol.Camera(
  'ego', (0.0, 0.0, EYE_M), (1.0, 0.0, EYE_M), fovy_deg=79.0, mount='agent'
)

_HOW = 'conda install habitat-sim headless -c conda-forge -c aihabitat'
_SCENES = (
  'python -m habitat_sim.utils.datasets_download --uids habitat_test_scenes'
)
_SENSOR = 'color'
_TOLERANCE_M = 0.01  # A step that ends farther from its end was blocked.


@dataclasses.dataclass(frozen=True)
class HabitatScene(protocol.Scene):
  """A scene and the start of the agent.

  Attributes:
    background: the path of a scene file (.glb, .scene_instance.json).
    seed: the seed of a random start, if position_m is None.
    position_m: the position of the agent's feet, with z up; it must be on the
      navigation mesh.
    heading_deg: the heading, from x towards y.
    step_m: the length of 'forward' and 'backward'.
    turn_deg: the angle of 'turn_left' and 'turn_right'.
  """

  position_m: protocol.Vector | None = None
  heading_deg: float = 0.0
  step_m: float = 0.75
  turn_deg: float = 30.0


class Habitat:
  """The environment.

  Args:
    size_px: width and height of the frames.
    fovy_deg: the field of view of all cameras; Habitat fixes it when a scene is
      opened.

  Raises:
    UserError: habitat-sim is missing.
  """

  def __init__(self, size_px: int, fovy_deg: float = EGO.fovy_deg):
    self._habitat = requirements.package('habitat_sim', 'Habitat', _HOW)
    self._size_px, self._fovy_deg = size_px, fovy_deg
    self._background, self._simulator = '', None
    self._scene: HabitatScene | None = None
    self._feet_m = (0.0, 0.0, 0.0)
    self._heading_deg = 0.0
    self._collided = False

  def reset(self, scene: HabitatScene) -> protocol.State:
    """Raises UserError if the scene has no file or no navigation mesh."""
    if scene.background != self._background:
      self._open(scene.background)
    finder = self._simulator.pathfinder
    if scene.position_m is None:
      finder.seed(scene.seed)
      start = finder.get_random_navigable_point()
    else:
      start = np.array(coordinates.to_habitat(scene.position_m), np.float32)
      if not finder.is_navigable(start):
        raise errors.UserError(
          f'{scene.position_m} is not on the navigation mesh of'
          f' {scene.background}'
        )
    self._scene, self._collided = scene, False
    self._feet_m = coordinates.from_habitat(start)
    self._heading_deg = scene.heading_deg % 360
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises UserError if the action is not one of ACTIONS."""
    scene = self._scene
    target_m, heading = moved(
      self._feet_m,
      self._heading_deg,
      action.name,
      scene.step_m,
      scene.turn_deg,
    )
    start, end = (
      np.array(coordinates.to_habitat(p), np.float32)
      for p in (self._feet_m, target_m)
    )
    after_m = coordinates.from_habitat(
      self._simulator.pathfinder.try_step(start, end)
    )
    # A wall deflects the step sideways. The height may change with the floor.
    deviation_m = np.subtract(after_m, target_m)[:2]
    self._collided = bool(np.linalg.norm(deviation_m) > _TOLERANCE_M)
    if not self._collided:
      self._feet_m, self._heading_deg = after_m, heading
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame; the camera may be mounted on 'agent'.

    Raises:
      UserError: the field of view differs from that of the environment.
    """
    if camera.fovy_deg != self._fovy_deg:
      raise errors.UserError(
        f'the field of view is {self._fovy_deg} degrees, not {camera.fovy_deg}'
      )
    if camera.mount:
      camera = cameras.mounted(camera, self._body())
    agent = self._simulator.get_agent(0)
    state = agent.get_state()
    state.position = np.array(
      coordinates.to_habitat(camera.position_m), np.float32
    )
    state.rotation = np.quaternion(*coordinates.camera_to_habitat(camera))
    state.sensor_states = {}
    agent.set_state(state, infer_sensor_states=True)
    image = self._simulator.get_sensor_observations()[_SENSOR]
    return np.asarray(image)[..., :3].copy()

  def close(self) -> None:
    if self._simulator is not None:
      self._simulator.close()

  def _open(self, background: str) -> None:
    if not os.path.exists(background):
      raise errors.UserError(f'no scene {background!r}; get some: {_SCENES}')
    self.close()
    settings = self._habitat.SimulatorConfiguration()
    settings.scene_id = background
    sensor = self._habitat.CameraSensorSpec()
    sensor.uuid = _SENSOR
    sensor.sensor_type = self._habitat.SensorType.COLOR
    sensor.resolution = [self._size_px, self._size_px]
    sensor.position = [0.0, 0.0, 0.0]
    sensor.hfov = self._fovy_deg  # The frames are square.
    agent = self._habitat.AgentConfiguration()
    agent.sensor_specifications = [sensor]
    self._simulator = self._habitat.Simulator(
      self._habitat.Configuration(settings, [agent])
    )
    if not self._simulator.pathfinder.is_loaded:
      raise errors.UserError(f'{background!r} has no navigation mesh')
    self._background = background

  def _body(self) -> protocol.Body:
    return protocol.Body(self._feet_m, coordinates.yaw(self._heading_deg))

  def _state(self) -> protocol.State:
    facts = types.MappingProxyType({'collided': self._collided})
    return protocol.State(0.0, {'agent': self._body()}, facts)


def moved(
  feet_m: protocol.Vector,
  heading_deg: float,
  action: str,
  step_m: float,
  turn_deg: float,
) -> tuple[protocol.Vector, float]:
  """Returns the position and heading after an action on free ground.

  Raises:
    UserError: the action is not one of ACTIONS.
  """
  if action not in ACTIONS:
    raise errors.unknown('action', action, ACTIONS)
  steps = {'forward': 1, 'backward': -1}
  turns = {'turn_left': 1, 'turn_right': -1}
  x, y, z = feet_m
  angle = math.radians(heading_deg)
  distance_m = steps.get(action, 0) * step_m
  after_m = (
    x + distance_m * math.cos(angle),
    y + distance_m * math.sin(angle),
    z,
  )
  return after_m, (heading_deg + turns.get(action, 0) * turn_deg) % 360
