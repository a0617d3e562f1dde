"""Carla, the paper's simulator of streets: a client of its server.

A car goes along a town's lanes: forward or backward by 8 m, or through the next
crossing to the left or right; it is moved from pose to pose in synchronous
mode, so that nothing but the moves decides where it is. Where the lane ends, no
such turn is near, or another car is in the way, it stays and 'collided' is
true. It needs

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
from wm_abench.worlds import protocol

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
# A turn: how far ahead its crossing may be, how the path is walked, how far it
# goes on behind the crossing, and by how much the heading may miss 90 degrees.
_AHEAD_M, _WALK_M, _BEHIND_M, _SQUARE_DEG = 30.0, 1.0, 6.0, 35.0


@dataclasses.dataclass(frozen=True)
class CarlaScene(protocol.Scene):
  """A town, its weather, and where cars are.

  Attributes:
    background: a town that the server has, such as 'Town01'.
    seed: of the makes of the other cars.
    start: index into the town's spawn points.
    cars: the others' spawn points.
    weather: a preset of carla.WeatherParameters, such as 'ClearNoon'.
  """

  start: int = 0
  cars: tuple[int, ...] = ()
  weather: str = 'ClearNoon'


class Carla:
  """The environment.

  Args:
    size_px: of the square frames.
    host, port: of the server.

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
    self._eyes: dict[float, tuple[Any, queue.Queue]] = {}
    self._waypoint = None
    self._collided = False

  def reset(self, scene: CarlaScene) -> protocol.State:
    """Raises UserError for a town, weather or spawn point that there is not."""
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
    """Raises ValueError for an action that is none of ACTIONS."""
    after = moved(self._waypoint, action.name)
    others = [a.get_transform().location for a in self._actors[1:]]
    self._collided = after is None or any(
      after.transform.location.distance(place) < _CARS_APART_M
      for place in others
    )
    if not self._collided:
      self._waypoint = after
      self._put()
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame; a camera mounted on 'agent' rides with the car."""
    if camera.mount:
      camera = coordinates.mounted(camera, _body(self._waypoint.transform))
    eye, seen = self._eye(camera.fovy_deg)
    carla = self._carla
    eye.set_transform(
      carla.Transform(
        carla.Location(*coordinates.to_carla(camera.position_m)),
        carla.Rotation(**coordinates.camera_to_carla(camera)),
      )
    )
    self._world.tick()
    wanted = self._world.tick()
    while True:
      image = seen.get(timeout=_TIMEOUT_S)
      if image.frame >= wanted:
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
    for eye, _ in self._eyes.values():
      eye.stop()
      eye.destroy()
    for actor in self._actors:
      actor.destroy()
    self._eyes, self._actors = {}, []

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
    makes = sorted(
      (b for b in library.filter('vehicle.*') if _wheels(b) == 4),
      key=lambda b: b.id,
    )
    car = self._world.spawn_actor(makes[rng.integers(len(makes))], point)
    car.set_simulate_physics(False)
    return car

  def _put(self) -> None:
    self._actors[0].set_transform(self._waypoint.transform)
    self._world.tick()

  def _eye(self, fovy_deg: float) -> tuple[Any, queue.Queue]:
    if fovy_deg not in self._eyes:
      blueprint = self._world.get_blueprint_library().find('sensor.camera.rgb')
      blueprint.set_attribute('image_size_x', str(self._size_px))
      blueprint.set_attribute('image_size_y', str(self._size_px))
      blueprint.set_attribute('fov', str(fovy_deg))  # The frames are square.
      eye = self._world.spawn_actor(blueprint, self._carla.Transform())
      seen: queue.Queue = queue.Queue()
      eye.listen(seen.put)
      self._eyes[fovy_deg] = eye, seen
    return self._eyes[fovy_deg]

  def _state(self) -> protocol.State:
    bodies = {'agent': _body(self._waypoint.transform)}
    for i, actor in enumerate(self._actors[1:]):
      bodies[f'car_{i}'] = _body(actor.get_transform())
    facts = types.MappingProxyType({'collided': self._collided})
    return protocol.State(0.0, bodies, facts)


def _wheels(blueprint) -> int:
  return int(blueprint.get_attribute('number_of_wheels'))


def _body(transform) -> protocol.Body:
  place, turn = transform.location, transform.rotation
  return protocol.Body(
    coordinates.to_carla((place.x, place.y, place.z)),
    coordinates.yaw(-turn.yaw),
  )


# Moves along lanes, of carla.Waypoint.


def moved(waypoint, action: str):
  """The waypoint that an action leads to, or None where it cannot be done.

  Raises:
    UserError: an action that is none of ACTIONS.
  """
  if action not in ACTIONS:
    raise errors.unknown('action', action, ACTIONS)
  if action == 'forward':
    return _straightest(waypoint, waypoint.next(STEP_M))
  if action == 'backward':
    return _straightest(waypoint, waypoint.previous(STEP_M))
  return _turn(waypoint, -90.0 if action == 'turn_left' else 90.0)


def _turn(waypoint, wanted_deg: float):
  before = None
  for _ in range(round(_AHEAD_M / _WALK_M)):
    if waypoint is None or waypoint.is_junction:
      break
    before, waypoint = waypoint, _straightest(waypoint, waypoint.next(_WALK_M))
  if before is None or waypoint is None or not waypoint.is_junction:
    return None
  ways = [_out(first) for first in before.next(_WALK_M)]
  misses = {
    abs(_angle(_heading(way) - _heading(before) - wanted_deg)): way
    for way in ways
    if way is not None
  }
  if not misses or min(misses) > _SQUARE_DEG:
    return None
  return _straightest(misses[min(misses)], misses[min(misses)].next(_BEHIND_M))


def _out(waypoint):
  """Where the way through a crossing that begins here has left it."""
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
  """The same angle in [-180, 180)."""
  return (difference_deg + 180.0) % 360.0 - 180.0
