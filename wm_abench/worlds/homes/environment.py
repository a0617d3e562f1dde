"""Furnished homes walked through in fixed moves: a stand-in for Habitat.

The agent is an upright disc with a camera above it. It goes straight ahead or
back, or turns on the spot; a move that would touch a wall or furniture is not
made at all. See worlds/homes for the homes, worlds/interiors for their looks.
"""

import dataclasses
import math
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import layout, model

BACKGROUNDS: tuple[str, ...] = layout.NAMES
FACTORS: dict[str, tuple] = {
  'light': model.LIGHTS,
  'eye_m': (1.1, 1.45),
  'step_m': (0.5, 0.75),
  'turn_deg': (30, 45),
}
# The camera is where the body 'agent' is, and looks a little down.
EGO = protocol.Camera(
  'ego', (0.0, 0.0, 0.0), (1.0, 0.0, -0.1), fovy_deg=72.0, mount='agent'
)
RADIUS_M = 0.22

ACTIONS = ('forward', 'backward', 'turn_left', 'turn_right')
_UNDOES = dict(zip(ACTIONS, (*ACTIONS[1::-1], *ACTIONS[:1:-1]), strict=True))
# What a view has to show after none, one and two moves: free ground ahead, and
# pieces of furniture.
_AHEAD_M, _PIECES = (1.5, 1.0, 0.8), (3, 2, 1)
_DRAWS = 20_000


@dataclasses.dataclass(frozen=True)
class IndoorScene(protocol.Scene):
  """A home and where the agent starts in it.

  Attributes:
    x_m, y_m: east and north.
    heading_deg: 0 is east, 90 north.
    eye_m: the camera's height.
    step_m: how far 'forward' and 'backward' go.
    turn_deg: how far 'turn_left' and 'turn_right' turn.
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
  """Walks through homes; without a renderer it can only be stepped."""

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._scene: IndoorScene | None = None
    self._pose = _Pose(0.0, 0.0, 0.0)
    self._steps = 0
    self._collided = False

  def reset(self, scene: IndoorScene) -> protocol.State:
    """Puts the agent at the scene's start.

    Raises:
      UserError: no such home or light, or a start in a wall or furniture.
    """
    home = layout.home(scene.background)
    if scene.light not in model.LIGHTS:
      raise errors.unknown('light', scene.light, model.LIGHTS)
    start = (scene.x_m, scene.y_m)
    if home.room_at(*start) < 0 or not home.free(start, start, RADIUS_M):
      raise errors.UserError(
        f'the start {start} is not on free ground of {scene.background!r}'
      )
    self._scene, self._steps, self._collided = scene, 0, False
    self._pose = _Pose(*start, scene.heading_deg % 360)
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Makes one move of the scene's size; takes no time.

    Raises:
      UserError: an action that is none of ACTIONS.
    """
    after = _moved(self._scene, self._pose, action.name)
    home = layout.home(self._scene.background)
    self._collided = not _free(home, self._pose, after)
    if not self._collided:
      self._pose = after
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame [H, W, 3]; the camera may be mounted on 'agent'."""
    interior = model.interior(self._scene.background)
    model.lit(interior, self._scene.light)
    data = mujoco.MjData(interior.model)
    mujoco.mj_forward(interior.model, data)
    if camera.mount:
      camera = self._mounted(camera)
    return self._renderer.render(interior.model, data, camera)

  def close(self) -> None:
    """Homes are kept, for they are the same for all."""

  def _state(self) -> protocol.State:
    pose, half = self._pose, math.radians(self._pose.heading_deg) / 2
    body = protocol.Body(
      (pose.x_m, pose.y_m, self._scene.eye_m),
      (math.cos(half), 0.0, 0.0, math.sin(half)),
    )
    home = layout.home(self._scene.background)
    room = home.rooms[home.room_at(pose.x_m, pose.y_m)].kind
    facts = {'collided': self._collided, 'room': room}
    return protocol.State(
      0.0,
      types.MappingProxyType({'agent': body}),
      types.MappingProxyType(facts),
    )

  def _mounted(self, camera: protocol.Camera) -> protocol.Camera:
    if camera.mount != 'agent':
      raise errors.unknown('mount', camera.mount, ('agent', ''))
    cos, sin = self._pose.ahead
    turn_33 = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    at_3 = np.array([self._pose.x_m, self._pose.y_m, self._scene.eye_m])
    return dataclasses.replace(
      camera,
      position_m=tuple((turn_33 @ camera.position_m + at_3).tolist()),
      target_m=tuple((turn_33 @ camera.target_m + at_3).tolist()),
      up=tuple((turn_33 @ camera.up).tolist()),
      mount='',
    )


def draw_scene(
  background: str, rng: np.random.Generator, **factors
) -> IndoorScene:
  """A start from which all moves are free, and all pairs of moves.

  The views, at the start and after the moves, look into the home: not at a
  wall or a cupboard that is near, and with some furniture.

  Args:
    background: one of BACKGROUNDS.
    rng: consumed.
    **factors: levels of some of FACTORS; the rest is drawn.

  Raises:
    UserError: a home or a factor that there is not.
  """
  for name in factors:
    if name not in FACTORS:
      raise errors.unknown('factor', name, FACTORS)
  drawn = {
    name: levels[rng.integers(len(levels))] for name, levels in FACTORS.items()
  }
  home = layout.home(background)
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
    if _good(home, scene):
      return scene
  raise AssertionError(f'{background}: no start in {_DRAWS} draws')


def shifted(scene: IndoorScene, action: str, share: float) -> IndoorScene:
  """The scene whose start is so much of a move farther on.

  Args:
    scene: whose start it is.
    action: one of ACTIONS.
    share: of the move; below 0 it is the other way.
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
      way = scene.step_m if name == 'forward' else -scene.step_m
      cos, sin = pose.ahead
      x, y = pose.x_m + way * cos, pose.y_m + way * sin
      return _Pose(x, y, pose.heading_deg)
    case 'turn_left' | 'turn_right':
      turn = scene.turn_deg if name == 'turn_left' else -scene.turn_deg
      heading = (pose.heading_deg + turn) % 360
      return _Pose(pose.x_m, pose.y_m, heading)
  raise errors.unknown('action', name, ACTIONS)


def _free(home: layout.Home, a: _Pose, b: _Pose) -> bool:
  return home.free((a.x_m, a.y_m), (b.x_m, b.y_m), RADIUS_M)


def _good(home: layout.Home, scene: IndoorScene) -> bool:
  start = _Pose(scene.x_m, scene.y_m, scene.heading_deg)
  (cos, sin), way = start.ahead, 2 * scene.step_m
  back = _Pose(start.x_m - way * cos, start.y_m - way * sin, 0.0)
  front = _Pose(start.x_m + way * cos, start.y_m + way * sin, 0.0)
  # The two straight ways are tried first, for most starts fail there.
  return _free(home, back, front) and _leads_on(home, scene, start)


def _leads_on(home, scene: IndoorScene, pose: _Pose, done: tuple = ()) -> bool:
  """Whether the views and the moves from here on are good, up to two moves."""
  if not _telling(home, pose, _AHEAD_M[len(done)], _PIECES[len(done)]):
    return False
  if len(done) == 2:
    return True
  for name in ACTIONS:
    if done and name == _UNDOES[done[-1]]:
      continue
    after = _moved(scene, pose, name)
    if not _free(home, pose, after):
      return False
    if not _leads_on(home, scene, after, (*done, name)):
      return False
  return True


def _telling(
  home: layout.Home, pose: _Pose, ahead_m: float, pieces: int
) -> bool:
  """Whether a view shows some of the home and not a wall that is near."""
  half = math.radians(EGO.fovy_deg / 2)
  heading = math.radians(pose.heading_deg)
  fan = heading + np.linspace(-half, half, 13)
  sight = home.sight_m(pose.x_m, pose.y_m, fan)
  if sight[4:9].min() < ahead_m or np.median(sight) < 1.3 * ahead_m:
    return False
  away_N2 = home.middles_N2 - (pose.x_m, pose.y_m)
  far_N = np.hypot(*away_N2.T)
  angle_N = np.arctan2(away_N2[:, 1], away_N2[:, 0])
  off_N = np.abs((angle_N - heading + math.pi) % (2 * math.pi) - math.pi)
  near_N = (off_N < 0.9 * half) & (far_N > 0.8) & (far_N < 5.5)
  if near_N.sum() < pieces:
    return False
  seen = home.sight_m(pose.x_m, pose.y_m, angle_N[near_N]) > far_N[near_N] - 0.5
  return int(seen.sum()) >= pieces
