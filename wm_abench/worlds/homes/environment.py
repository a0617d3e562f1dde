"""Navigation in furnished homes, in place of Habitat.

The agent is an upright disc with a camera above it. It moves forward or
backward, or turns on the spot. A move that would touch a wall or furniture is
not made. `catalog` draws the homes and `model` builds their MuJoCo models.
"""

import dataclasses
import math
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import cameras, protocol
from wm_abench.worlds.homes import catalog, layout, model

BACKGROUNDS: tuple[str, ...] = catalog.NAMES
FACTORS: dict[str, tuple] = {
  'light': model.LIGHTS,
  'eye_m': (1.1, 1.45),
  'step_m': (0.5, 0.75),
  'turn_deg': (30, 45),
}
# The camera is at the position of the body 'agent' and looks a little down.
EGO = protocol.Camera(
  'ego', (0.0, 0.0, 0.0), (1.0, 0.0, -0.1), fovy_deg=72.0, mount='agent'
)
RADIUS_M = 0.22

ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
_INVERSES = dict(zip(ACTIONS, (*ACTIONS[1::-1], *ACTIONS[:1:-1]), strict=True))
# What a view must have after 0, 1 and 2 moves: the least distance to the first
# occluder ahead, and the least number of pieces of furniture.
_AHEAD_M, _PIECES = (1.5, 1.0, 0.8), (3, 2, 1)
_DRAWS = 20_000


@dataclasses.dataclass(frozen=True)
class IndoorScene(protocol.Scene):
  """A home and the start of the agent.

  Attributes:
    x_m, y_m: the start, to the east and to the north.
    heading_deg: 0 is east, 90 is north.
    eye_m: the height of the camera.
    step_m: the length of 'forward' and 'backward'.
    turn_deg: the angle of 'turn_left' and 'turn_right'.
    light: one of model.LIGHTS.
  """

  x_m: float
  y_m: float
  heading_deg: float = 0.0
  eye_m: float = 1.45
  step_m: float = 0.75
  turn_deg: float = 30.0
  light: str = 'day'


@dataclasses.dataclass(frozen=True)
class _Pose:
  x_m: float
  y_m: float
  heading_deg: float

  @property
  def ahead(self) -> tuple[float, float]:
    angle = math.radians(self.heading_deg)
    return math.cos(angle), math.sin(angle)


class Indoor:
  """The environment; without a renderer it can only be stepped."""

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._scene: IndoorScene | None = None
    self._pose = _Pose(0.0, 0.0, 0.0)
    self._steps = 0
    self._collided = False

  def reset(self, scene: IndoorScene) -> protocol.State:
    """Puts the agent at the start of a scene.

    Raises:
      UserError: the home or light is unknown, or the start is not free.
    """
    home = catalog.home(scene.background)
    if scene.light not in model.LIGHTS:
      raise errors.unknown('light', scene.light, model.LIGHTS)
    start = (scene.x_m, scene.y_m)
    if home.room_at(*start) < 0 or not home.is_free(start, start, RADIUS_M):
      raise errors.UserError(
        f'the start {start} is not on free ground of {scene.background!r}'
      )
    self._scene, self._steps, self._collided = scene, 0, False
    self._pose = _Pose(*start, scene.heading_deg % 360)
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Makes a move with the step or angle of the scene; it takes no time.

    Raises:
      UserError: the action is not one of ACTIONS.
    """
    after = _moved(self._scene, self._pose, action.name)
    home = catalog.home(self._scene.background)
    self._collided = not _is_free(home, self._pose, after)
    if not self._collided:
      self._pose = after
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [H, W, 3]; the camera may be mounted on 'agent'."""
    interior = model.interior(self._scene.background)
    model.set_light(interior, self._scene.light)
    data = mujoco.MjData(interior.model)
    mujoco.mj_forward(interior.model, data)
    if camera.mount not in ('', 'agent'):
      raise errors.unknown('mount', camera.mount, ('agent', ''))
    if camera.mount:
      camera = cameras.mounted(camera, self._body())
    return self._renderer.render(interior.model, data, camera)

  def close(self) -> None:
    """Does nothing: the models of homes are shared and stay cached."""

  def _body(self) -> protocol.Body:
    pose, half = self._pose, math.radians(self._pose.heading_deg) / 2
    return protocol.Body(
      (pose.x_m, pose.y_m, self._scene.eye_m),
      (math.cos(half), 0.0, 0.0, math.sin(half)),
    )

  def _state(self) -> protocol.State:
    home = catalog.home(self._scene.background)
    room = home.rooms[home.room_at(self._pose.x_m, self._pose.y_m)].kind
    facts = {'collided': self._collided, 'room': room}
    return protocol.State(
      0.0,
      types.MappingProxyType({'agent': self._body()}),
      types.MappingProxyType(facts),
    )


def draw_scene(
  background: str, rng: np.random.Generator, **factors
) -> IndoorScene:
  """Draws a start from which all moves and all pairs of moves are free.

  The views at the start and after the moves show some furniture, and no near
  wall or cupboard.

  Args:
    background: one of BACKGROUNDS.
    rng: is consumed.
    **factors: levels of some of FACTORS; the other levels are drawn.

  Raises:
    UserError: the home or a factor is unknown.
  """
  for name in factors:
    if name not in FACTORS:
      raise errors.unknown('factor', name, FACTORS)
  drawn = {
    name: levels[rng.integers(len(levels))] for name, levels in FACTORS.items()
  }
  home = catalog.home(background)
  seed = int(rng.integers(2**31))
  for _ in range(_DRAWS):
    room = home.rooms[rng.integers(len(home.rooms))]
    x0, y0, x1, y1 = room.ground
    x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
    scene = IndoorScene(
      background,
      seed,
      round(float(x), 3),
      round(float(y), 3),
      float(rng.integers(360)),
      **(drawn | factors),
    )
    if _is_good_start(home, scene):
      return scene
  raise AssertionError(f'{background}: no start in {_DRAWS} draws')


def shifted(scene: IndoorScene, action: str, share: float) -> IndoorScene:
  """Returns a scene whose start is shifted by a fraction of a move.

  Args:
    scene: the original scene.
    action: the move, one of ACTIONS.
    share: the fraction; if it is negative, the shift is opposite to the move.
  """
  short = dataclasses.replace(
    scene, step_m=share * scene.step_m, turn_deg=share * scene.turn_deg
  )
  start = _Pose(scene.x_m, scene.y_m, scene.heading_deg)
  pose = _moved(short, start, action)
  return dataclasses.replace(scene, **dataclasses.asdict(pose))


def _moved(scene: IndoorScene, pose: _Pose, name: str) -> _Pose:
  match name:
    case 'forward' | 'backward':
      step_m = scene.step_m if name == 'forward' else -scene.step_m
      cos, sin = pose.ahead
      x, y = pose.x_m + step_m * cos, pose.y_m + step_m * sin
      return _Pose(x, y, pose.heading_deg)
    case 'turn_left' | 'turn_right':
      turn = scene.turn_deg if name == 'turn_left' else -scene.turn_deg
      heading = (pose.heading_deg + turn) % 360
      return _Pose(pose.x_m, pose.y_m, heading)
  raise errors.unknown('action', name, ACTIONS)


def _is_free(home: layout.Home, a: _Pose, b: _Pose) -> bool:
  return home.is_free((a.x_m, a.y_m), (b.x_m, b.y_m), RADIUS_M)


def _is_good_start(home: layout.Home, scene: IndoorScene) -> bool:
  start = _Pose(scene.x_m, scene.y_m, scene.heading_deg)
  (cos, sin), length_m = start.ahead, 2 * scene.step_m
  back = _Pose(start.x_m - length_m * cos, start.y_m - length_m * sin, 0.0)
  front = _Pose(start.x_m + length_m * cos, start.y_m + length_m * sin, 0.0)
  # The straight moves are tested first because most starts fail there.
  return _is_free(home, back, front) and _moves_are_good(home, scene, start)


def _moves_are_good(
  home: layout.Home, scene: IndoorScene, pose: _Pose, done: tuple = ()
) -> bool:
  """Returns whether the view is good, and all moves after it, up to two."""
  if not _is_good_view(home, pose, _AHEAD_M[len(done)], _PIECES[len(done)]):
    return False
  if len(done) == 2:
    return True
  for name in ACTIONS:
    if done and name == _INVERSES[done[-1]]:
      continue
    after = _moved(scene, pose, name)
    if not _is_free(home, pose, after):
      return False
    if not _moves_are_good(home, scene, after, (*done, name)):
      return False
  return True


def _is_good_view(
  home: layout.Home, pose: _Pose, ahead_m: float, pieces: int
) -> bool:
  """Returns whether a view shows enough furniture and no near occluder.

  Args:
    home: the home.
    pose: the pose of the agent.
    ahead_m: the least distance to the first occluder ahead.
    pieces: the least number of visible pieces of furniture.
  """
  half = math.radians(EGO.fovy_deg / 2)
  heading = math.radians(pose.heading_deg)
  fan_A = heading + np.linspace(-half, half, 13)
  distance_A = home.view_distance_m(pose.x_m, pose.y_m, fan_A)
  if distance_A[4:9].min() < ahead_m or np.median(distance_A) < 1.3 * ahead_m:
    return False
  offset_N2 = home.centres_N2 - (pose.x_m, pose.y_m)
  distance_N = np.hypot(*offset_N2.T)
  angle_N = np.arctan2(offset_N2[:, 1], offset_N2[:, 0])
  off_axis_N = np.abs((angle_N - heading + math.pi) % (2 * math.pi) - math.pi)
  near_N = (off_axis_N < 0.9 * half) & (distance_N > 0.8) & (distance_N < 5.5)
  if near_N.sum() < pieces:
    return False
  free_M = home.view_distance_m(pose.x_m, pose.y_m, angle_N[near_N])
  return int((free_M > distance_N[near_N] - 0.5).sum()) >= pieces
