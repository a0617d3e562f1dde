"""A client of Carla, the paper's simulator of streets.

A car moves along the lanes of a town: forward or backward by 8 m, or through
the next crossing to the left or right. In synchronous mode it is set from pose
to pose, so that its pose depends on the moves alone. If the lane ends, no such
turn is near, or another car is in the way, the car stays where it is and the
fact 'collided' is true. Requirements:

    pip install carla==0.9.16
    the server CARLA 0.9.16 (github.com/carla-simulator/carla, releases),
      started with `./CarlaUE4.sh -RenderOffScreen` on a machine with a GPU.
"""

import dataclasses
import queue
import types
from typing import Any

import numpy as np

from commons import errors
from wm_abench.simulators import coordinates, requirements
from wm_abench.worlds import cameras, protocol

ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
STEP_M = 8.0
EGO = protocol.Camera(
  'ego', (0.6, 0.0, 1.6), (10.6, 0.0, 1.5), fovy_deg=80.0, mount='agent'
)

_HOW = 'pip install carla==0.9.16'
_SERVER = (
  'start CARLA 0.9.16 (github.com/carla-simulator/carla, releases) with'
  ' ./CarlaUE4.sh -RenderOffScreen'
)
_TIMEOUT_S = 60.0
_TICK_S = 0.05
_CARS_APART_M = 5.0
# Parameters of turns: the largest distance to the crossing, the step in which
# waypoints are followed, the distance behind the crossing, and the largest
# deviation of the change of heading from 90 degrees.
_AHEAD_M, _WALK_M, _BEHIND_M, _SQUARE_DEG = 30.0, 1.0, 6.0, 35.0


@dataclasses.dataclass(frozen=True)
class CarlaScene(protocol.Scene):
  """A town, its weather, and its cars.

  Attributes:
    background: a town of the server, such as 'Town01'.
    seed: the seed of the cars' models.
    start: the agent's start, an index into the spawn points of the town.
    cars: the spawn points of the other cars.
    weather: a preset of carla.WeatherParameters, such as 'ClearNoon'.
  """

  start: int = 0
  cars: tuple[int, ...] = ()
  weather: str = 'ClearNoon'


class Carla:
  """The environment.

  Args:
    size_px: width and height of the frames.
    host: the host of the server.
    port: its port.

  Raises:
    UserError: the package is missing, or no server listens.
  """

  def __init__(self, size_px: int, host: str = 'localhost', port: int = 2000):
    self._carla = requirements.package('carla', 'Carla', _HOW)
    requirements.server(host, port, 'Carla', _SERVER)
    self._client = self._carla.Client(host, port)
    self._client.set_timeout(_TIMEOUT_S)
    self._size_px = size_px
    self._world = None
    self._map = None
    self._actors: list[Any] = []
    # Camera sensors and their images, by field of view in degrees.
    self._sensors: dict[float, tuple[Any, queue.Queue]] = {}
    self._waypoint = None
    self._collided = False

  def reset(self, scene: CarlaScene) -> protocol.State:
    """Raises UserError if the town, weather or a spawn point is unknown."""
    self._clear()
    self._load(scene.background)
    weather = getattr(self._carla.WeatherParameters, scene.weather, None)
    if weather is None:
      known = [n for n in dir(self._carla.WeatherParameters) if n[0].isupper()]
      raise errors.unknown('weather', scene.weather, known)
    self._world.set_weather(weather)
    points = self._map.get_spawn_points()
    for index in (scene.start, *scene.cars):
      if not 0 <= index < len(points):
        raise errors.UserError(
          f'{scene.background} has no spawn point {index}; it has'
          f' {len(points)}, from 0'
        )
    rng = np.random.default_rng(scene.seed)
    self._actors = [
      self._park(points[i], rng) for i in (scene.start, *scene.cars)
    ]
    self._waypoint = self._map.get_waypoint(points[scene.start].location)
    self._collided = False
    self._put()
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises UserError if the action is not one of ACTIONS."""
    after = moved(self._waypoint, action.name)
    others = [a.get_transform().location for a in self._actors[1:]]
    self._collided = after is None or any(
      after.transform.location.distance(other) < _CARS_APART_M
      for other in others
    )
    if not self._collided:
      self._waypoint = after
      self._put()
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame; the camera may be mounted on 'agent'."""
    if camera.mount:
      camera = cameras.mounted(camera, _body(self._waypoint.transform))
    sensor, images = self._sensor(camera.fovy_deg)
    carla = self._carla
    sensor.set_transform(
      carla.Transform(
        carla.Location(*coordinates.to_carla(camera.position_m)),
        carla.Rotation(**coordinates.camera_to_carla(camera)),
      )
    )
    self._world.tick()
    frame = self._world.tick()
    while True:
      image = images.get(timeout=_TIMEOUT_S)
      if image.frame >= frame:
        break
    bgra = np.frombuffer(image.raw_data, np.uint8)
    bgra = bgra.reshape(image.height, image.width, 4)
    return bgra[..., 2::-1].copy()

  def close(self) -> None:
    self._clear()
    if self._world is not None:
      settings = self._world.get_settings()
      settings.synchronous_mode = False
      self._world.apply_settings(settings)

  def _clear(self) -> None:
    for sensor, _ in self._sensors.values():
      sensor.stop()
      sensor.destroy()
    for actor in self._actors:
      actor.destroy()
    self._sensors, self._actors = {}, []

  def _load(self, town: str) -> None:
    if self._map and self._map.name.rpartition('/')[2] == town:
      return
    known = [m.rpartition('/')[2] for m in self._client.get_available_maps()]
    if town not in known:
      raise errors.unknown('town', town, known)
    self._world = self._client.load_world(town)
    settings = self._world.get_settings()
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = _TICK_S
    self._world.apply_settings(settings)
    self._map = self._world.get_map()

  def _park(self, point, rng: np.random.Generator):
    library = self._world.get_blueprint_library()
    models = sorted(
      (b for b in library.filter('vehicle.*') if _wheels(b) == 4),
      key=lambda b: b.id,
    )
    car = self._world.spawn_actor(models[rng.integers(len(models))], point)
    car.set_simulate_physics(False)
    return car

  def _put(self) -> None:
    self._actors[0].set_transform(self._waypoint.transform)
    self._world.tick()

  def _sensor(self, fovy_deg: float) -> tuple[Any, queue.Queue]:
    if fovy_deg not in self._sensors:
      blueprint = self._world.get_blueprint_library().find('sensor.camera.rgb')
      blueprint.set_attribute('image_size_x', str(self._size_px))
      blueprint.set_attribute('image_size_y', str(self._size_px))
      blueprint.set_attribute('fov', str(fovy_deg))  # The frames are square.
      sensor = self._world.spawn_actor(blueprint, self._carla.Transform())
      images: queue.Queue = queue.Queue()
      sensor.listen(images.put)
      self._sensors[fovy_deg] = sensor, images
    return self._sensors[fovy_deg]

  def _state(self) -> protocol.State:
    bodies = {'agent': _body(self._waypoint.transform)}
    for i, actor in enumerate(self._actors[1:]):
      bodies[f'car_{i}'] = _body(actor.get_transform())
    facts = types.MappingProxyType({'collided': self._collided})
    return protocol.State(0.0, bodies, facts)


def _wheels(blueprint) -> int:
  return int(blueprint.get_attribute('number_of_wheels'))


def _body(transform) -> protocol.Body:
  location = transform.location
  return protocol.Body(
    coordinates.to_carla((location.x, location.y, location.z)),
    coordinates.yaw(-transform.rotation.yaw),
  )


# Moves along lanes. A waypoint is a carla.Waypoint.


def moved(waypoint, action: str):
  """Returns the waypoint after an action, or None if the action is impossible.

  Raises:
    UserError: the action is not one of ACTIONS.
  """
  if action not in ACTIONS:
    raise errors.unknown('action', action, ACTIONS)
  if action == 'forward':
    return _straightest(waypoint, waypoint.next(STEP_M))
  if action == 'backward':
    return _straightest(waypoint, waypoint.previous(STEP_M))
  return _turn(waypoint, -90.0 if action == 'turn_left' else 90.0)


def _turn(waypoint, turn_deg: float):
  before = None
  for _ in range(round(_AHEAD_M / _WALK_M)):
    if waypoint is None or waypoint.is_junction:
      break
    before, waypoint = waypoint, _straightest(waypoint, waypoint.next(_WALK_M))
  if before is None or waypoint is None or not waypoint.is_junction:
    return None
  exits = [_exit(first) for first in before.next(_WALK_M)]
  deviations = {
    abs(_angle(_heading(exit_) - _heading(before) - turn_deg)): exit_
    for exit_ in exits
    if exit_ is not None
  }
  if not deviations or min(deviations) > _SQUARE_DEG:
    return None
  best = deviations[min(deviations)]
  return _straightest(best, best.next(_BEHIND_M))


def _exit(waypoint):
  """Returns the first waypoint behind the crossing, or None if none is near."""
  for _ in range(round(3 * _AHEAD_M / _WALK_M)):
    if waypoint is None or not waypoint.is_junction:
      return waypoint
    waypoint = _straightest(waypoint, waypoint.next(_WALK_M))
  return None


def _straightest(waypoint, nexts: list):
  return min(
    nexts,
    key=lambda n: abs(_angle(_heading(n) - _heading(waypoint))),
    default=None,
  )


def _heading(waypoint) -> float:
  return waypoint.transform.rotation.yaw


def _angle(difference_deg: float) -> float:
  """Returns the equivalent angle in [-180, 180)."""
  return (difference_deg + 180.0) % 360.0 - 180.0
