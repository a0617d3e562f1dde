"""The real ManiSkill3: Franka arms at a table with cubes, on PhysX.

The coordinate system is that of ManiSkill: z up, the top of the table at z = 0.
One arm stands at x = -0.615 and faces along x. Two arms stand at y = -1
('left') and y = 1 ('right') and face each other. Actions and their values
(`cube` is an index into the cubes of the scene; headings are in degrees from x
(0) towards y (90)):

    push(cube, heading, distance_m, over_m): the closed fingers move along the
      heading from behind the cube, at its height, or over_m above its top.
    lift(cube, height_m, grips): the open fingers come down around the cube,
      close if grips is 1, and move up.
    carry(x_m, y_m, z_m): the hand moves straight by a vector.
    release(): the fingers open.
    wait(seconds).

The agent of an action names the arm, by default 'left'; the other arm rests.
Frames need Vulkan. Without a GPU this is Mesa's lavapipe, version 25 or later;
VK_ICD_FILENAMES names its file if it is not that of the system.
"""

from collections.abc import Iterator
import dataclasses
import math
import types

import numpy as np

from commons import errors
from wm_abench.simulators import coordinates, requirements
from wm_abench.worlds import cameras, protocol

LEFT, RIGHT = 'left', 'right'
HALF_M = 0.02  # Half the side of a cube.

_HOW = (
  "pip install 'coderl[maniskill]' (and PyTorch's CPU build, where there is no"
  ' GPU)'
)
_VULKAN = (
  'ManiSkill has no Vulkan device to render with ({}); without a GPU install'
  " Mesa's lavapipe >= 25 (Debian: mesa-vulkan-drivers of bookworm-backports)"
)
_TICK_S = 0.05  # ManiSkill's default, 20 Hz.
_SAFE_M = 0.2  # The height of the hand on its way to a cube.
_CLEAR_M = 0.05  # The gap between fingers and cube at the start of a push.
# From the middle of the closed fingers to their sides, along x and y.
_FINGERS_M = (0.008, 0.022)
_FAST_MPS = 0.25
_OPEN, _CLOSED = 1.0, -1.0


@dataclasses.dataclass(frozen=True)
class _Task:
  """A task of ManiSkill and the attribute names of its cubes, by colour."""

  name: str
  cubes: dict[str, str]


TASKS: dict[tuple[str, ...], _Task] = {
  (LEFT,): _Task('StackCube-v1', {'red': 'cubeA', 'green': 'cubeB'}),
  (LEFT, RIGHT): _Task(
    'TwoRobotStackCube-v1', {'blue': 'cubeA', 'green': 'cubeB'}
  ),
}


# A viewer across the table from the arm sees y to the right and x towards them.
CAMERAS: dict[str, protocol.Camera] = {
  name: protocol.Camera(name, place, (-0.06, 0.0, 0.06), fovy_deg=38.0)
  for name, place in (
    ('front', (0.72, 0.0, 0.5)),
    ('front_left', (0.62, -0.36, 0.5)),
    ('front_right', (0.62, 0.36, 0.5)),
  )
}


@dataclasses.dataclass(frozen=True)
class CubeScene(protocol.Scene):
  """Two cubes on the table.

  Attributes:
    places: x and y in metres and yaw in degrees of each cube, in the order of
      TASKS[arms].cubes.
    arms: a key of TASKS.
    held: the colour of the cube that the left arm holds at the start, or ''.
    held_m: the height to which that cube has been lifted.
  """

  places: tuple[tuple[float, float, float], ...] = (
    (0.0, -0.08, 0.0),
    (0.0, 0.08, 0.0),
  )
  arms: tuple[str, ...] = (LEFT,)
  held: str = ''
  held_m: float = 0.12


class ManiSkill:
  """The environment; see the module for its actions.

  Args:
    size_px: width and height of the frames.

  Raises:
    UserError: a package or a Vulkan device is missing.
  """

  def __init__(self, size_px: int):
    self._size_px = size_px
    self._gym = requirements.package('gymnasium', 'ManiSkill', _HOW)
    requirements.package('mani_skill.envs', 'ManiSkill', _HOW)
    self._sapien = requirements.package('sapien', 'ManiSkill', _HOW)
    self._worlds: dict[tuple[str, ...], object] = {}
    self._scene: CubeScene | None = None

  def reset(self, scene: CubeScene) -> protocol.State:
    """Raises UserError if the arms, the held cube or the places are invalid."""
    _check(scene)
    if scene.arms not in self._worlds:
      self._worlds[scene.arms] = self._make(TASKS[scene.arms].name)
    self._scene = scene
    # The scene is rebuilt because cached contacts of PhysX would affect it.
    self._world.reset(seed=scene.seed, options={'reconfigure': True})
    for cube, (x, y, yaw_deg) in zip(self._cubes(), scene.places, strict=True):
      cube.set_pose(self._sapien.Pose([x, y, HALF_M], coordinates.yaw(yaw_deg)))
    self._fingers = dict.fromkeys(scene.arms, _OPEN)
    self._ticks = 0
    self._hands = {name: _position(a.tcp) for name, a in self._arms().items()}
    if scene.held:
      index = [*TASKS[scene.arms].cubes].index(scene.held)
      self.step(protocol.Action('lift', (index, scene.held_m, 1)))
      self._ticks = 0
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises UserError if the action, arm or cube is unknown."""
    plans = {
      'push': (4, self._push),
      'lift': (3, self._lift),
      'carry': (3, self._carry),
      'release': (0, self._release),
      'wait': (1, self._wait),
    }
    if action.name not in plans:
      raise errors.unknown('action', action.name, plans)
    count, plan = plans[action.name]
    if len(action.values) != count:
      raise errors.UserError(
        f'{action.name!r} takes {count} values, not {action.values}'
      )
    arm = action.agent or LEFT
    if arm not in self._scene.arms:
      raise errors.unknown('arm', arm, self._scene.arms)
    for hand_m, fingers in plan(arm, *action.values):
      self._hands[arm], self._fingers[arm] = np.asarray(hand_m), fingers
      self._tick()
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [size_px, size_px, 3]; the mount is ignored."""
    scene = self._world.unwrapped.scene
    sensor = scene.human_render_cameras['render_camera']
    sensor.camera.set_fovy(math.radians(camera.fovy_deg))
    sensor.camera.set_local_pose(self._sapien.Pose(pose(camera)))
    scene.update_render(update_sensors=False, update_human_render_cameras=True)
    sensor.capture()
    images = sensor.get_obs(
      rgb=True, depth=False, position=False, segmentation=False
    )
    return images['rgb'][0].cpu().numpy().copy()

  def close(self) -> None:
    for world in self._worlds.values():
      world.close()
    self._worlds.clear()

  @property
  def _world(self):
    return self._worlds[self._scene.arms]

  def _make(self, task: str):
    size = {'width': self._size_px, 'height': self._size_px}
    try:
      return self._gym.make(
        task,
        obs_mode='none',
        render_mode='rgb_array',
        control_mode='pd_ee_pose',
        sim_backend='cpu',
        render_backend='cpu',
        human_render_camera_configs=size,
      )
    except RuntimeError as e:
      raise errors.UserError(_VULKAN.format(e)) from e

  def _arms(self) -> dict[str, object]:
    agent = self._world.unwrapped.agent
    agents = agent.agents if len(self._scene.arms) > 1 else [agent]
    return dict(zip(self._scene.arms, agents, strict=True))

  def _cubes(self) -> list:
    names = TASKS[self._scene.arms].cubes.values()
    return [getattr(self._world.unwrapped, name) for name in names]

  def _tick(self) -> None:
    commands = {}
    for name, arm in self._arms().items():
      base = coordinates.rotation(_quaternion(arm.robot))
      offset_m = self._hands[name] - _position(arm.robot)
      target_m = base.inv().apply(offset_m)
      # The Euler angles (pi, 0, 0) in the frame of the arm point straight down.
      commands[name] = np.array(
        [*target_m, math.pi, 0, 0, self._fingers[name]], np.float32
      )
    if len(commands) > 1:
      uids = self._world.unwrapped.agent.agents_dict
      action = dict(zip(uids, commands.values(), strict=True))
    else:
      action = commands[LEFT]
    self._world.step(action)
    self._ticks += 1

  def _state(self) -> protocol.State:
    colors, cubes = TASKS[self._scene.arms].cubes, self._cubes()
    bodies = {f'{c}_cube': _body(b) for c, b in zip(colors, cubes, strict=True)}
    facts = {}
    for name, arm in self._arms().items():
      bodies[f'{name}_hand'] = protocol.Body(
        tuple(_position(arm.tcp).tolist()), tuple(_quaternion(arm.tcp).tolist())
      )
      held = [
        c
        for c, cube in zip(colors, cubes, strict=True)
        if bool(arm.is_grasping(cube)[0])
      ]
      facts[f'{name}_holds'] = ''.join(held)
    time_s = self._ticks * _TICK_S
    return protocol.State(time_s, bodies, types.MappingProxyType(facts))

  # Plans: the target position of the hand and its fingers at each tick.

  def _line(self, arm: str, *points, fingers: float | None = None) -> Iterator:
    fingers = self._fingers[arm] if fingers is None else fingers
    last = self._hands[arm]
    for point in points:
      yield from ((p, fingers) for p in steps(last, np.asarray(point)))
      last = np.asarray(point)

  def _stay(self, arm: str, ticks: int, fingers: float) -> Iterator:
    hand = self._hands[arm]
    return ((hand, fingers) for _ in range(ticks))

  def _push(self, arm, cube, heading_deg, distance_m, over_m) -> Iterator:
    centre = self._cube(cube)
    heading = math.radians(heading_deg)
    ahead = np.array([math.cos(heading), math.sin(heading), 0.0])
    rise = HALF_M + 0.02 + over_m if over_m > 0 else 0.0
    reach = HALF_M + np.abs(ahead[:2]) @ _FINGERS_M
    contact = centre + np.array([0, 0, rise]) - reach * ahead
    start, end = contact - _CLEAR_M * ahead, contact + distance_m * ahead
    back = end - 0.02 * ahead
    yield from self._line(
      arm, _high(self._hands[arm]), _high(start), fingers=_CLOSED
    )
    yield from self._line(arm, start, end)
    yield from self._stay(arm, 8, _CLOSED)
    yield from self._line(arm, back, _high(back))
    yield from self._stay(arm, 10, _CLOSED)

  def _lift(self, arm, cube, height_m, grips) -> Iterator:
    centre = self._cube(cube)
    yield from self._line(
      arm, _high(self._hands[arm]), _high(centre), centre, fingers=_OPEN
    )
    fingers = _CLOSED if grips else _OPEN
    yield from self._stay(arm, 12, fingers)
    yield from self._line(arm, centre + np.array([0, 0, height_m]))
    yield from self._stay(arm, 10, fingers)

  def _carry(self, arm, x_m, y_m, z_m) -> Iterator:
    yield from self._line(arm, self._hands[arm] + (x_m, y_m, z_m))
    yield from self._stay(arm, 10, self._fingers[arm])

  def _release(self, arm) -> Iterator:
    return self._stay(arm, 20, _OPEN)

  def _wait(self, arm, seconds) -> Iterator:
    return self._stay(arm, round(seconds / _TICK_S), self._fingers[arm])

  def _cube(self, index: float) -> np.ndarray:
    cubes = self._cubes()
    if index not in range(len(cubes)):
      raise errors.UserError(f'no cube {index}; choices: 0 to {len(cubes) - 1}')
    return _position(cubes[int(index)])


def steps(start_m: np.ndarray, end_m: np.ndarray) -> Iterator[np.ndarray]:
  """Yields points on the segment at each tick, without the start."""
  distance_m = float(np.linalg.norm(end_m - start_m))
  count = max(1, math.ceil(distance_m / (_FAST_MPS * _TICK_S)))
  for i in range(1, count + 1):
    yield start_m + (end_m - start_m) * i / count


def pose(camera: protocol.Camera) -> np.ndarray:
  """Returns SAPIEN's pose matrix [4, 4] of a camera: x ahead, y left, z up."""
  right, up, ahead = cameras.axes(camera)
  matrix_44 = np.eye(4)
  matrix_44[:3, :3] = np.stack([ahead, -right, up], -1)
  matrix_44[:3, 3] = camera.position_m
  return matrix_44


def _check(scene: CubeScene) -> None:
  """Raises UserError if the arms, the held cube or the places are invalid."""
  if scene.arms not in TASKS:
    known = [', '.join(arms) for arms in TASKS]
    raise errors.unknown('arms', ', '.join(scene.arms), known)
  cubes = TASKS[scene.arms].cubes
  if scene.held and scene.held not in cubes:
    raise errors.unknown('cube', scene.held, cubes)
  if len(scene.places) != len(cubes):
    raise errors.UserError(
      f'{len(cubes)} cubes ({", ".join(cubes)}) need as many places, not'
      f' {len(scene.places)}'
    )


def _high(point_m: np.ndarray) -> np.ndarray:
  return np.array([point_m[0], point_m[1], _SAFE_M])


def _position(thing) -> np.ndarray:
  return thing.pose.p[0].cpu().numpy().astype(np.float64)


def _quaternion(thing) -> np.ndarray:
  return thing.pose.q[0].cpu().numpy().astype(np.float64)


def _body(actor) -> protocol.Body:
  velocity, spin = (
    tuple(v[0].cpu().numpy().astype(float).tolist())
    for v in (actor.linear_velocity, actor.angular_velocity)
  )
  return protocol.Body(
    tuple(_position(actor).tolist()),
    tuple(_quaternion(actor).tolist()),
    velocity,
    spin,
  )
