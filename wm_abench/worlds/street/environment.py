"""Navigation of a car in a town, in place of Carla, seen from the windscreen.

A move is a step of fixed length along the lane (forward, backward) or a turn
through the crossing ahead into its other road. If the lane ends, no crossing is
near, or a car is in the way, the move is blocked: the pose does not change and
the fact 'collided' is true. Nothing else moves.
"""

import collections
import dataclasses
import math
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import cameras, protocol
from wm_abench.worlds.street import cars, lanes, town, weather

BACKGROUNDS: tuple[str, ...] = tuple(town.DISTRICTS)
FACTORS: dict[str, tuple[str, ...]] = {
  'weather': weather.WEATHERS,
  'light': weather.LIGHTS,
  'traffic': ('quiet', 'busy'),
}
ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
# The lengths of the moves. That of a turn is measured along the two roads: up
# to the middle of the crossing, and away from it.
FORWARD_M = BACKWARD_M = 8.0
TURN_M = lanes.TURN_M
# The view through the windscreen, from a little left of the middle.
EGO = protocol.Camera(
  'ego', (0.5, 0.3, 1.5), (10.5, 0.3, 2.1), fovy_deg=80.0, mount='agent'
)

# Traffic -> number of cars on the lanes and of parked cars.
_COUNTS = {'quiet': (3, 8), 'busy': (10, 18)}
_STARTS_M = (20.0, 12.0)  # Distances of a start from the crossing ahead.
_GAP_M = 1.9  # The least gap between two cars; see lanes.is_clear.
_MODELS = 4  # The number of compiled towns in the cache.


@dataclasses.dataclass(frozen=True)
class StreetScene(protocol.Scene):
  """A town with its weather and cars, and the start of the agent's car.

  Attributes:
    start: the pose of the agent's car, on a lane.
    weather: one of weather.WEATHERS.
    light: one of weather.LIGHTS.
    cars: the other cars, at most town.CARS_PER_KIND of each kind.
  """

  start: lanes.Pose
  weather: str = 'clear'
  light: str = 'noon'
  cars: tuple[town.Standing, ...] = ()


class Street:
  """The environment; without a renderer it can only be stepped."""

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._towns: collections.OrderedDict[str, town.Town] = (
      collections.OrderedDict()
    )
    self._scene: StreetScene | None = None
    self._pose: lanes.Pose | None = None
    self._collided = False

  def reset(self, scene: StreetScene) -> protocol.State:
    """Raises UserError if a part of the scene is unknown or off the lanes."""
    _check(scene)
    self._scene, self._pose, self._collided = scene, scene.start, False
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises UserError if the action is not one of ACTIONS."""
    after = move(self._pose, action.name)
    others_N3 = _poses(self._scene.cars)
    self._collided = after is None or not lanes.is_clear(
      lanes.path(self._pose, after), others_N3, _GAP_M
    )
    if not self._collided:
      self._pose = after
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame; the camera may be mounted on 'agent'."""
    town_ = self._town(self._scene.background)
    if camera.mount:
      camera = cameras.mounted(camera, _body(self._pose))
    eye_3 = np.array(camera.position_m)
    ahead_3 = np.array(camera.target_m) - eye_3
    look = weather.apply(
      town_.model, town_.data, self._scene.weather, self._scene.light, eye_3
    )
    town.apply_look(town_, look)
    town.place_cars(town_, self._scene.cars, eye_3, ahead_3)
    mujoco.mj_forward(town_.model, town_.data)
    return self._renderer.render(town_.model, town_.data, camera)

  def close(self) -> None:
    self._towns.clear()

  def _town(self, name: str) -> town.Town:
    if name not in self._towns:
      while len(self._towns) >= _MODELS:
        self._towns.popitem(last=False)
      self._towns[name] = town.build(name)
    self._towns.move_to_end(name)
    return self._towns[name]

  def _state(self) -> protocol.State:
    bodies = types.MappingProxyType({'agent': _body(self._pose)})
    facts = types.MappingProxyType({'collided': self._collided})
    return protocol.State(0.0, bodies, facts)


def move(pose: lanes.Pose, action: str) -> lanes.Pose | None:
  """Returns the pose after an action on an empty road; None if it is blocked.

  Raises:
    UserError: the action is not one of ACTIONS.
  """
  match action:
    case 'forward':
      return lanes.shift(pose, FORWARD_M)
    case 'backward':
      return lanes.shift(pose, -BACKWARD_M)
    case 'turn_left':
      return lanes.turn(pose, 1)
    case 'turn_right':
      return lanes.turn(pose, -1)
  raise errors.unknown('action', action, ACTIONS)


def draw_scene(
  background: str, rng: np.random.Generator, **factors: str
) -> StreetScene:
  """Draws a start from which each move is free, and certain pairs of moves.

  The pairs are: forward and then any move; any move and then forward or
  backward.

  Args:
    background: one of BACKGROUNDS.
    rng: is consumed, equally much for all factors.
    **factors: levels of FACTORS; the other levels are drawn.

  Raises:
    UserError: the background, a factor or a level is unknown.
  """
  if background not in BACKGROUNDS:
    raise errors.unknown('background', background, BACKGROUNDS)
  for name, level in factors.items():
    if name not in FACTORS:
      raise errors.unknown('factor', name, FACTORS)
    if level not in FACTORS[name]:
      raise errors.unknown(name, level, FACTORS[name])
  drawn = {n: str(rng.choice(levels)) for n, levels in FACTORS.items()}
  chosen = drawn | factors
  seed = int(rng.integers(2**31))
  crossing = tuple(int(i) for i in rng.choice(lanes.CROSSINGS, 2))
  before_m = float(rng.choice(_STARTS_M))
  start = lanes.approach(crossing, int(rng.integers(4)), before_m)
  return StreetScene(
    background=background,
    seed=seed,
    start=start,
    weather=chosen['weather'],
    light=chosen['light'],
    cars=_traffic(start, chosen['traffic'], np.random.default_rng(seed)),
  )


def shifted(scene: StreetScene, action: str, share: float) -> StreetScene:
  """Returns a scene whose start is shifted along the lane.

  Args:
    scene: the original scene.
    action: one of ACTIONS. The shift is ahead, or back for 'backward'.
    share: the shift as a fraction of FORWARD_M; a negative one is reversed.

  Raises:
    UserError: the lane ends before the new start.
  """
  ahead = -share if action == 'backward' else share
  start = lanes.shift(scene.start, ahead * FORWARD_M)
  if start is None:
    raise errors.UserError(
      f'the lane ends within {share} moves from {scene.start}'
    )
  return dataclasses.replace(scene, start=start)


def _traffic(
  start: lanes.Pose, level: str, rng: np.random.Generator
) -> tuple[town.Standing, ...]:
  """Draws cars that keep the paths of any two moves free."""
  paths_M3 = np.concatenate(_move_paths(start, 2))
  driving, parked = _COUNTS[level]
  remaining = dict.fromkeys(cars.KINDS, town.CARS_PER_KIND)
  placed = []
  for slots, number in (
    (town.lane_slots(), driving),
    (town.kerb_slots(), parked),
  ):
    # Slots near the view are preferred, with some randomness.
    order = sorted(
      slots, key=lambda s: _distance_m(s, start) + 20 * rng.random()
    )
    for slot in order:
      if number and _is_free(slot, paths_M3, placed):
        kinds = [kind for kind, n in remaining.items() if n]
        kind = str(rng.choice(kinds))
        remaining[kind] -= 1
        number -= 1
        color = str(rng.choice(list(town.PAINTS)))
        placed.append(town.Standing(kind, color, *slot))
  return tuple(placed)


def _move_paths(pose: lanes.Pose, moves: int) -> list[np.ndarray]:
  """Returns the paths of all sequences of so many moves."""
  paths = []
  for action in ACTIONS if moves else ():
    after = move(pose, action)
    if after is not None:
      paths += [lanes.path(pose, after), *_move_paths(after, moves - 1)]
  return paths


def _distance_m(slot: tuple[float, float, float], start: lanes.Pose) -> float:
  """Returns the distance from a point ahead of the start, in its view."""
  ahead = lanes.pose_at(start.heading, start.along_m + 25.0, start.right_m)
  return math.dist(slot[:2], (ahead.x_m, ahead.y_m))


def _is_free(slot, paths_M3: np.ndarray, placed: list[town.Standing]) -> bool:
  pose_13 = np.array([[slot[0], slot[1], math.radians(slot[2])]])
  return lanes.is_clear(pose_13, paths_M3, _GAP_M + 0.3) and lanes.is_clear(
    pose_13, _poses(placed), 2.4
  )


def _poses(placed) -> np.ndarray:
  """Returns x, y and yaw [N, 3] of cars, in metres and radians."""
  poses = [(c.x_m, c.y_m, math.radians(c.yaw_deg)) for c in placed]
  return np.array(poses).reshape(-1, 3)


def _check(scene: StreetScene) -> None:
  """Raises UserError if a part of the scene is unknown or off the lanes."""
  if scene.background not in BACKGROUNDS:
    raise errors.unknown('background', scene.background, BACKGROUNDS)
  weather.look(scene.weather, scene.light)
  if not lanes.is_on_lane(scene.start):
    raise errors.UserError(f'the start {scene.start} is not on a lane')
  counts = collections.Counter(car.kind for car in scene.cars)
  for kind, number in counts.items():
    if kind not in cars.KINDS:
      raise errors.unknown('car', kind, cars.KINDS)
    if number > town.CARS_PER_KIND:
      raise errors.UserError(
        f'{number} cars of kind {kind!r}; the limit is {town.CARS_PER_KIND}'
      )
  for car in scene.cars:
    if car.color not in town.PAINTS:
      raise errors.unknown('paint', car.color, town.PAINTS)


def _body(pose: lanes.Pose) -> protocol.Body:
  half = math.pi / 4 * pose.heading
  quaternion = (math.cos(half), 0.0, 0.0, math.sin(half))
  return protocol.Body((pose.x_m, pose.y_m, 0.0), quaternion)
