"""A car in a town: the embedded stand-in for Carla, seen from the windscreen.

A move is a step of fixed size along the lanes (forward, backward) or a turn
through the crossing ahead into its other road. Where the lane does not go on,
no crossing is near, or a car is in the way, the move is blocked: the pose stays
and the fact 'collided' is true. Nothing else moves.
"""

import collections
import dataclasses
import math
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.street import cars, lanes, town, weather

BACKGROUNDS: tuple[str, ...] = tuple(town.DISTRICTS)
FACTORS: dict[str, tuple[str, ...]] = {
  'weather': weather.WEATHERS,
  'light': weather.LIGHTS,
  'traffic': ('quiet', 'busy'),
}
ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
# How far forward and backward go along the lane, and a turn along its way: up
# to the crossing, round the corner, and out of it.
FORWARD_M = BACKWARD_M = 8.0
TURN_M = lanes.TURN_M
# From the windscreen, a little left of the car's middle.
EGO = protocol.Camera(
  'ego', (0.5, 0.3, 1.5), (10.5, 0.3, 2.1), fovy_deg=80.0, mount='agent'
)

# Cars that drive and that are parked, by traffic.
_COUNTS = {'quiet': (3, 8), 'busy': (10, 18)}
# How far before the crossing a start is.
_STARTS_M = (20.0, 12.0)
_GAP_M = 1.9  # Between points of two cars; see lanes.clear.
_MODELS = 4  # Compiled towns that are kept.


@dataclasses.dataclass(frozen=True)
class StreetScene(protocol.Scene):
  """A town, its weather and its cars, and where the agent's car starts.

  Attributes:
    start: the agent's pose, on a lane.
    weather, light: of FACTORS.
    cars: all the others, at most town.CARS_A_KIND of each kind.
  """

  start: lanes.Pose
  weather: str = 'clear'
  light: str = 'noon'
  cars: tuple[town.Standing, ...] = ()


class Street:
  """See the module; one compiled model a town."""

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._towns: collections.OrderedDict[str, town.Town] = (
      collections.OrderedDict()
    )
    self._scene: StreetScene | None = None
    self._pose: lanes.Pose | None = None
    self._collided = False

  def reset(self, scene: StreetScene) -> protocol.State:
    """Raises UserError for a background, weather, light or car unknown."""
    _check(scene)
    self._scene, self._pose, self._collided = scene, scene.start, False
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """One of ACTIONS; raises UserError for another, naming them."""
    after = move(self._pose, action.name)
    others_N3 = _poses(self._scene.cars)
    self._collided = after is None or not lanes.clear(
      lanes.path(self._pose, after), others_N3, _GAP_M
    )
    if not self._collided:
      self._pose = after
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame; a camera mounted on 'agent' rides with the car."""
    built = self._town(self._scene.background)
    if camera.mount:
      camera = _ride(camera, self._pose)
    eye = np.array(camera.position_m)
    look = np.array(camera.target_m) - eye
    seen = weather.apply(
      built.model, built.data, self._scene.weather, self._scene.light, eye
    )
    town.light_up(built, seen)
    town.stand(built, self._scene.cars, eye, look)
    mujoco.mj_forward(built.model, built.data)
    return self._renderer.render(built.model, built.data, camera)

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
  """Where an action leads on an empty road; None where it is blocked.

  Raises:
    UserError: an action that is none of ACTIONS.
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
  """A start from which each of the four moves is free, and pairs of them.

  The pairs are: any move after forward; forward and backward after each.

  Args:
    background: one of BACKGROUNDS.
    rng: consumed, as much whatever the factors are.
    **factors: levels of FACTORS; those not given are drawn.

  Raises:
    UserError: a background, factor or level that there is none of.
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
  """The scene whose start is farther along its lane.

  Args:
    scene: whose start it is.
    action: of ACTIONS; all but 'backward' lead ahead.
    share: of FORWARD_M; below 0 it is the other way.

  Raises:
    UserError: the lane does not go on so far.
  """
  ahead = -share if action == 'backward' else share
  start = lanes.shift(scene.start, ahead * FORWARD_M)
  if start is None:
    raise errors.UserError(f'no lane goes on {share} moves from {scene.start}')
  return dataclasses.replace(scene, start=start)


def _traffic(
  start: lanes.Pose, level: str, rng: np.random.Generator
) -> tuple[town.Standing, ...]:
  """Cars that leave the ways of any two moves free."""
  ways_M3 = np.concatenate(_ways(start, 2))
  driving, parked = _COUNTS[level]
  left = dict.fromkeys(cars.KINDS, town.CARS_A_KIND)
  placed = []
  for slots, number in (
    (town.lane_slots(), driving),
    (town.kerb_slots(), parked),
  ):
    near = sorted(slots, key=lambda s: _far(s, start) + 20 * rng.random())
    for slot in near:
      if number and _free(slot, ways_M3, placed):
        kinds = [kind for kind, n in left.items() if n]
        kind = str(rng.choice(kinds))
        left[kind] -= 1
        number -= 1
        color = str(rng.choice(list(town.PAINTS)))
        placed.append(town.Standing(kind, color, *slot))
  return tuple(placed)


def _ways(pose: lanes.Pose, moves: int) -> list[np.ndarray]:
  found = []
  for action in ACTIONS if moves else ():
    after = move(pose, action)
    if after is not None:
      found += [lanes.path(pose, after), *_ways(after, moves - 1)]
  return found


def _far(slot: tuple[float, float, float], start: lanes.Pose) -> float:
  """Distance from what is ahead of the start, which is best seen."""
  ahead = lanes.place(start.heading, start.along_m + 25.0, start.right_m)
  return math.dist(slot[:2], (ahead.x_m, ahead.y_m))


def _free(slot, ways_M3: np.ndarray, placed: list[town.Standing]) -> bool:
  one_13 = np.array([[slot[0], slot[1], math.radians(slot[2])]])
  return lanes.clear(one_13, ways_M3, _GAP_M + 0.3) and lanes.clear(
    one_13, _poses(placed), 2.4
  )


def _poses(placed) -> np.ndarray:
  rows = [(c.x_m, c.y_m, math.radians(c.yaw_deg)) for c in placed]
  return np.array(rows).reshape(-1, 3)


def _check(scene: StreetScene) -> None:
  if scene.background not in BACKGROUNDS:
    raise errors.unknown('background', scene.background, BACKGROUNDS)
  weather.look(scene.weather, scene.light)
  if not lanes.on_lane(scene.start):
    raise errors.UserError(f'the start {scene.start} is not on a lane')
  counts = collections.Counter(car.kind for car in scene.cars)
  for kind, number in counts.items():
    if kind not in cars.KINDS:
      raise errors.unknown('car', kind, cars.KINDS)
    if number > town.CARS_A_KIND:
      raise errors.UserError(
        f'{number} cars of the kind {kind!r}; at most {town.CARS_A_KIND}'
      )
  for car in scene.cars:
    if car.color not in town.PAINTS:
      raise errors.unknown('paint', car.color, town.PAINTS)


def _body(pose: lanes.Pose) -> protocol.Body:
  half = math.pi / 4 * pose.heading
  quaternion = (math.cos(half), 0.0, 0.0, math.sin(half))
  return protocol.Body((pose.x_m, pose.y_m, 0.0), quaternion)


def _ride(camera: protocol.Camera, pose: lanes.Pose) -> protocol.Camera:
  """The camera in the world's frame."""
  (ax, ay) = pose.ahead

  def turned(vector, origin):
    x, y, z = vector
    return (origin[0] + ax * x - ay * y, origin[1] + ay * x + ax * y, z)

  here = (pose.x_m, pose.y_m)
  return dataclasses.replace(
    camera,
    position_m=turned(camera.position_m, here),
    target_m=turned(camera.target_m, here),
    up=turned(camera.up, (0.0, 0.0)),
    mount='',
  )
