"""Habitat 2, the paper's simulator of homes: walks through scanned scenes.

An agent on the navigation mesh of a scene (HSSD, Replica, Gibson, ...) goes
ahead, back, or turns on the spot; a step that the mesh does not let through is
not made and 'collided' is true. It needs

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
from wm_abench.worlds import protocol

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
_REACHED_M = 0.01


@dataclasses.dataclass(frozen=True)
class HabitatScene(protocol.Scene):
  """Where the agent starts.

  Attributes:
    background: the path of a scene's file (.glb, .scene_instance.json).
    seed: of the start, where position_m says none.
    position_m: of the agent's feet, in our frame; on the navigation mesh.
    heading_deg: from x towards y, in our frame.
    step_m, turn_deg: sizes of the moves.
  """

  position_m: protocol.Vector | None = None
  heading_deg: float = 0.0
  step_m: float = 0.75
  turn_deg: float = 30.0


class Habitat:
  """The environment.

  Args:
    size_px: of the square frames.
    fovy_deg: of every camera: Habitat fixes it beforehand.

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
    """Raises UserError for a scene without a file or a navigation mesh."""
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
    """Raises ValueError for an action that is none of ACTIONS."""
    scene = self._scene
    wanted_m, heading = moved(
      self._feet_m,
      self._heading_deg,
      action.name,
      scene.step_m,
      scene.turn_deg,
    )
    start, end = (
      np.array(coordinates.to_habitat(p), np.float32)
      for p in (self._feet_m, wanted_m)
    )
    came_m = self._simulator.pathfinder.try_step(start, end)
    # The floor may rise or sink; a wall turns the step aside.
    aside = np.subtract(coordinates.from_habitat(came_m), wanted_m)[:2]
    self._collided = bool(np.linalg.norm(aside) > _REACHED_M)
    if not self._collided:
      self._feet_m, self._heading_deg = (
        coordinates.from_habitat(came_m),
        heading,
      )
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame; a camera mounted on 'agent' goes with it.

    Raises:
      ValueError: another field of view than the environment was made with.
    """
    if camera.fovy_deg != self._fovy_deg:
      raise errors.UserError(
        f'the field of view is {self._fovy_deg} degrees, not {camera.fovy_deg}'
      )
    if camera.mount:
      camera = coordinates.mounted(camera, self._body())
    agent = self._simulator.get_agent(0)
    state = agent.get_state()
    state.position = np.array(
      coordinates.to_habitat(camera.position_m), np.float32
    )
    state.rotation = np.quaternion(*coordinates.camera_to_habitat(camera))
    state.sensor_states = {}
    agent.set_state(state, infer_sensor_states=True)
    seen = self._simulator.get_sensor_observations()[_SENSOR]
    return np.asarray(seen)[..., :3].copy()

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
  """Where an action leads if nothing is in the way.

  Raises:
    UserError: an action that is none of ACTIONS.
  """
  if action not in ACTIONS:
    raise errors.unknown('action', action, ACTIONS)
  ways = {'forward': 1, 'backward': -1}
  turns = {'turn_left': 1, 'turn_right': -1}
  x, y, z = feet_m
  angle = math.radians(heading_deg)
  far_m = ways.get(action, 0) * step_m
  after = (x + far_m * math.cos(angle), y + far_m * math.sin(angle), z)
  return after, (heading_deg + turns.get(action, 0) * turn_deg) % 360
