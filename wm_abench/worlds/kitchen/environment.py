"""Panda arms at a kitchen counter: contact and friction move the wares.

Stands for ManiSkill3 with RoboCasa's kitchens. x is to the right and y away for
one who looks from the front, the counter's top is at z = 0. Actions, with their
values in order; `thing` is an index into the scene's things, headings are in
degrees from right (0) over away (90), left (180) and towards (270):

    push(thing, heading, distance_m, over_m): the fingers come down on the far
      side and move along the heading until the thing has gone so far, then go
      up; with over_m > 0 they pass so far above its top instead.
    lift(thing, height_m, grips): the fingers come down around the thing, close
      if grips is 1, and go up by a height.
    turn(axis, angle_deg): the hand turns clockwise as seen from above (axis 0)
      or from the front (axis 1).
    carry(x_m, y_m, z_m): the hand moves straight by a vector.
    release(): the fingers open.
    push_together(heading_left, heading_right, distance_m): both arms push the
      scene's long thing at once, each at its own end.
    lift_together(height_left_m, height_right_m, grips_left, grips_right): both
      come down around its ends, close or not, and go up.
    wait(seconds).

All but the last two groups are done by the arm that the action's agent names,
the left one unless it says so. A state's bodies are the things and the hands.
"""

from collections.abc import Callable
import dataclasses
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import arm_paths, arms, kitchen, objects
from wm_abench.worlds.tabletop import props

LEFT, RIGHT = 'left', 'right'
ENDS_M = 0.105  # How far from a long thing's middle each arm takes it.

_SAFE_M = 0.27  # Height of the grasp site over everything that stands.
_CLEAR_M = 0.045  # Between fingers and thing before they touch.
_FINGER_M = 0.0105  # Half a finger's width, which is what pushes.
_PUSH_OPENING_M = 0.012
_LOW_M = 0.012
_FOREVER_S = 20.0

CAMERAS: dict[str, protocol.Camera] = {
  name: protocol.Camera(name, place, (0.0, 0.02, height), fovy)
  for name, place, height, fovy in (
    ('front', (0.0, -1.22, 0.56), 0.17, 43.0),
    ('front_left', (-0.42, -1.14, 0.60), 0.16, 43.0),
    ('front_right', (0.42, -1.14, 0.60), 0.16, 43.0),
    ('high', (0.0, -1.02, 0.90), 0.09, 43.0),
  )
}


@dataclasses.dataclass(frozen=True)
class Thing:
  """A ware on the counter.

  Attributes:
    kind: one of objects.KINDS, each at most once in a scene; also its name.
    color: one of props.COLORS.
    position_m: x and y of its foot's middle.
    yaw_deg: turn about the vertical.
  """

  kind: str
  color: str
  position_m: tuple[float, float]
  yaw_deg: float = 0.0


@dataclasses.dataclass(frozen=True)
class ManipulationScene(protocol.Scene):
  """Things on a kitchen's counter, and the arms that stand at it.

  Attributes:
    things: small or fixed ones with one arm, long ones with two.
    arms: ('left',) or ('left', 'right').
    held: kind of the thing that the left arm holds at the start, or ''.
    held_m: how high its foot is then.
  """

  things: tuple[Thing, ...] = ()
  arms: tuple[str, ...] = (LEFT,)
  held: str = ''
  held_m: float = 0.2


class Manipulation:
  """The environment; see the module for its actions.

  Args:
    renderer: None where it is only stepped.
  """

  def __init__(self, renderer: protocol.Renderer | None = None):
    self._renderer = renderer
    self._worlds: dict[tuple[str, ...], _World] = {}
    self._world: _World | None = None

  def reset(self, scene: ManipulationScene) -> protocol.State:
    """Raises UserError for a kitchen, thing, colour or arm there is not."""
    _check(scene)
    if scene.arms not in self._worlds:
      self._worlds[scene.arms] = _World(scene.arms)
    self._world = self._worlds[scene.arms]
    self._world.reset(scene)
    return self._world.state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises ValueError for an unknown action, thing, arm or a place that the
    arm cannot reach."""
    self._world.act(action)
    return self._world.state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    return self._renderer.render(self._world.model, self._world.data, camera)

  def close(self) -> None:
    self._worlds.clear()


def _check(scene: ManipulationScene) -> None:
  choices = {
    'kitchen': ({scene.background}, kitchen.STYLES),
    'colour': ({t.color for t in scene.things}, props.COLORS),
    'thing': ({t.kind for t in scene.things}, _kinds(scene.arms)),
    'arm': (set(scene.arms), kitchen.ARMS),
    'held thing': (
      {scene.held} - {''},
      [t.kind for t in scene.things if t.kind in objects.SMALL],
    ),
  }
  for what, (named, known) in choices.items():
    for name in named - set(known):
      raise errors.unknown(what, name, known)
  if len({t.kind for t in scene.things}) < len(scene.things):
    raise errors.UserError('a scene has one thing of each kind at most')


def _kinds(who: tuple[str, ...]) -> list[str]:
  return [*objects.LONG] if len(who) > 1 else [*objects.SMALL, *objects.FIXED]


class _World:
  """A compiled kitchen and what goes on in it."""

  def __init__(self, who: tuple[str, ...]):
    self._kinds = _kinds(who)
    self.model = kitchen.build(who, self._kinds)
    self.data = mujoco.MjData(self.model)
    self._who = [kitchen.ARMS[name] for name in who]
    self._driver = arm_paths.Driver(self.model, self.data, self._who)
    self._scene: ManipulationScene | None = None
    self._actions: dict[str, tuple[int, Callable[..., None]]] = {
      'push': (4, self._push),
      'lift': (3, self._lift),
      'turn': (2, self._turn),
      'carry': (3, self._carry),
      'release': (0, self._release),
      'wait': (1, self._wait),
    }
    if len(who) > 1:
      self._actions |= {
        'push_together': (3, self._push_together),
        'lift_together': (4, self._lift_together),
      }

  def reset(self, scene: ManipulationScene) -> None:
    self._scene = scene
    mujoco.mj_resetData(self.model, self.data)
    kitchen.dress(self.model, kitchen.STYLES[scene.background])
    for i, kind in enumerate(self._kinds):
      self._put(kind, np.add(kitchen.PARKED_M, (i, 0, 0)), 0.0, weight=False)
    for thing in scene.things:
      height = scene.held_m if thing.kind == scene.held else 0.0
      place = np.append(thing.position_m, height)
      self._put(thing.kind, place, thing.yaw_deg, weight=True)
      kitchen.paint(self.model, thing.kind, props.COLORS[thing.color])
    for arm in self._who:
      self._driver.place(arm.name, np.array(arms.READY_RAD), arms.OPEN_M)
    if scene.held:
      self._hold(next(t for t in scene.things if t.kind == scene.held))
    mujoco.mj_forward(self.model, self.data)
    self._driver.settle()
    self.data.time = 0.0

  def act(self, action: protocol.Action) -> None:
    if action.name not in self._actions:
      raise errors.unknown('action', action.name, self._actions)
    count, do = self._actions[action.name]
    if len(action.values) != count:
      raise errors.UserError(
        f'{action.name!r} takes {count} values, not {action.values}'
      )
    agent = action.agent or LEFT
    if agent not in self._scene.arms:
      raise errors.unknown('arm', agent, self._scene.arms)
    if action.name in ('push_together', 'lift_together'):
      do(*action.values)
    else:
      do(agent, *action.values)
    self._driver.settle()

  def state(self) -> protocol.State:
    bodies = {t.kind: self._body(t.kind) for t in self._scene.things}
    facts = {}
    for arm in self._who:
      bodies[f'{arm.name}_hand'] = self._hand(arm)
      held = [
        t.kind
        for t in self._scene.things
        if self._driver.holds(arm.name, self.model.body(t.kind).id)
      ]
      facts[f'{arm.name}_holds'] = ''.join(held)
    return protocol.State(self.data.time, bodies, types.MappingProxyType(facts))

  def _put(self, kind: str, place, yaw_deg: float, weight: bool) -> None:
    half = np.radians(yaw_deg) / 2
    turn = (np.cos(half), 0.0, 0.0, np.sin(half))
    body = self.model.body(kind)
    if kind in objects.FIXED:
      self.data.mocap_pos[body.mocapid[0]] = place
      self.data.mocap_quat[body.mocapid[0]] = turn
      return
    self.data.joint(kind).qpos[:] = (*place, *turn)
    self.model.body_gravcomp[body.id] = 0.0 if weight else 1.0

  def _hold(self, thing: Thing) -> None:
    kind = objects.KINDS[thing.kind]
    place = (*thing.position_m, self._scene.held_m + kind.grip_m)
    path = self._driver.path(LEFT)
    path.swing(place, thing.yaw_deg, arm_paths.TICK_S)
    joints = path.ticks[-1, :7]
    self._driver.place(LEFT, joints, kind.size_m[0] / 2 + 1e-3)
    body = self.model.body(thing.kind).id
    self.model.body_gravcomp[body] = 1.0  # Until the fingers have closed.
    grip = self._driver.path(LEFT)
    grip.fingers(0.0, 0.1)
    grip.wait(0.2)
    self._driver.run({LEFT: grip})
    self.model.body_gravcomp[body] = 0.0

  def _body(self, kind: str) -> protocol.Body:
    i = self.model.body(kind).id
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(
      self.model, self.data, mujoco.mjtObj.mjOBJ_XBODY, i, velocity, 0
    )
    return protocol.Body(
      tuple(self.data.xpos[i].tolist()),
      tuple(self.data.xquat[i].tolist()),
      tuple(velocity[3:].tolist()),
      tuple(velocity[:3].tolist()),
    )

  def _hand(self, arm: arms.Arm) -> protocol.Body:
    site = self.data.site(f'{arm.prefix}grasp')
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, site.xmat)
    return protocol.Body(tuple(site.xpos.tolist()), tuple(quaternion.tolist()))

  def _thing(self, index: float) -> tuple[objects.Kind, np.ndarray, float]:
    """A thing's kind, where its foot is, and its turn about the vertical."""
    things = self._scene.things
    if not 0 <= index < len(things) or index != int(index):
      raise errors.UserError(
        f'no thing {index}; the scene has {len(things)}, from 0'
      )
    kind = things[int(index)].kind
    body = self.data.body(kind)
    turn = body.xmat.reshape(3, 3)
    yaw = np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))
    return objects.KINDS[kind], body.xpos.copy(), float(yaw)

  def _above(self, agent: str) -> arm_paths.Path:
    """A path that begins by going up from whatever is near."""
    path = self._driver.path(agent)
    if path.position_m[2] < _SAFE_M - 0.01:
      path.straight((*path.position_m[:2], _SAFE_M), 0.4)
    return path

  def _push(self, agent, index, heading_deg, distance_m, over_m) -> None:
    kind, foot, yaw_deg = self._thing(index)
    point = foot[:2]
    behind = _reach(kind, heading_deg - yaw_deg)
    path = self._above(agent)
    height = _push_height(kind) if over_m <= 0 else kind.size_m[2] + over_m
    _plan_push(path, point, behind, heading_deg, distance_m, height)
    self._driver.run({agent: path})

  def _lift(self, agent, index, height_m, grips) -> None:
    kind, foot, yaw_deg = self._thing(index)
    path = self._above(agent)
    place = np.add(foot, (0, 0, kind.grip_m))
    _plan_grasp(path, place, yaw_deg, grips)
    path.straight(np.add(place, (0, 0, height_m)), 0.4 + 2 * height_m)
    self._driver.run({agent: path})

  def _turn(self, agent, axis, angle_deg) -> None:
    if axis not in (0, 1):
      raise errors.UserError(f'turn about axis {axis}; choices: 0, 1')
    way = ((0, 0, -1), (0, 1, 0))[int(axis)]
    path = self._driver.path(agent)
    path.turn(way, np.radians(angle_deg), 0.3 + abs(angle_deg) / 90)
    self._driver.run({agent: path})

  def _carry(self, agent, x_m, y_m, z_m) -> None:
    path = self._driver.path(agent)
    way = np.array([x_m, y_m, z_m])
    path.straight(path.position_m + way, 0.3 + 3 * np.linalg.norm(way))
    self._driver.run({agent: path})

  def _release(self, agent) -> None:
    path = self._driver.path(agent)
    path.fingers(arms.OPEN_M, 0.1)
    path.wait(0.3)
    self._driver.run({agent: path})

  def _wait(self, agent, seconds) -> None:
    if not 0 < seconds <= _FOREVER_S:
      raise errors.UserError(f'wait {seconds} s; at most {_FOREVER_S:g}')
    path = self._driver.path(agent)
    path.wait(seconds)
    self._driver.run({agent: path})

  def _push_together(self, left_deg, right_deg, distance_m) -> None:
    kind, foot, yaw_deg = self._thing(0)
    paths = {}
    for agent, side, heading in ((LEFT, -1, left_deg), (RIGHT, 1, right_deg)):
      along = heading % 180 == 0  # Against the end; else at the long side.
      turn = np.radians(yaw_deg)
      end = side * ENDS_M * np.array([np.cos(turn), np.sin(turn)])
      point = foot[:2] + (0 if along else end)
      path = self._above(agent)
      behind = _reach(kind, heading - yaw_deg)
      _plan_push(path, point, behind, heading, distance_m, _push_height(kind))
      paths[agent] = path
    self._driver.run(paths)

  def _lift_together(self, left_m, right_m, grips_left, grips_right) -> None:
    kind, foot, yaw_deg = self._thing(0)
    axis = arm_paths.about((0, 0, 1), np.radians(yaw_deg))[:, 0]
    middle = np.add(foot, (0, 0, kind.grip_m))
    paths = {}
    for agent, side, height, other, grips in (
      (LEFT, -1, left_m, right_m, grips_left),
      (RIGHT, 1, right_m, left_m, grips_right),
    ):
      path = self._above(agent)
      _plan_grasp(path, middle + side * ENDS_M * axis, yaw_deg + 90, grips)
      both = grips_left and grips_right
      # Held at both ends a tilted thing is less wide.
      tilt = np.arcsin((height - other) / (2 * ENDS_M)) if both else 0.0
      poses = []
      for share in np.linspace(0, 1, 6)[1:]:
        out = side * ENDS_M * np.cos(tilt * share) * axis
        poses.append((middle + out + (0, 0, share * height), path.rotation))
      path.follow(poses, 0.8)
      paths[agent] = path
    self._driver.run(paths)


def _push_height(kind: objects.Kind) -> float:
  """Of the fingers' ends, so that they and not the palm do the pushing."""
  palm_m = arm_paths.TIP_M + arm_paths.PALM_M
  return max(_LOW_M, kind.size_m[2] - palm_m + 0.004)


def _reach(kind: objects.Kind, heading_deg: float) -> float:
  """From a thing's middle to its side along a heading in its own frame."""
  c = abs(np.cos(np.radians(heading_deg)))
  s = abs(np.sin(np.radians(heading_deg)))
  x, y, _ = kind.size_m
  return float(min(x / 2 / max(c, 1e-9), y / 2 / max(s, 1e-9)))


def _plan_push(
  path: arm_paths.Path, point_m, behind_m, heading_deg, distance_m, height_m
) -> None:
  turn = np.radians(heading_deg)
  way = np.array([np.cos(turn), np.sin(turn), 0.0])
  height = height_m + arm_paths.TIP_M
  near = np.append(point_m, height) - (behind_m + _FINGER_M) * way
  start = near - _CLEAR_M * way
  end = near + distance_m * way
  path.swing((*start[:2], _SAFE_M), heading_deg + 90, 0.7)
  path.fingers(_PUSH_OPENING_M, 0.1)
  path.straight(start, 0.5)
  path.straight(end, 0.4 + 5 * distance_m)
  path.straight(end - 0.02 * way, 0.2)
  path.straight((*(end - 0.02 * way)[:2], _SAFE_M), 0.5)


def _plan_grasp(path: arm_paths.Path, place_m, yaw_deg, grips) -> None:
  path.swing((*place_m[:2], max(_SAFE_M, place_m[2] + 0.1)), yaw_deg, 0.7)
  path.fingers(arms.OPEN_M, 0.1)
  path.straight(place_m, 0.5)
  path.fingers(0.0 if grips else arms.OPEN_M, 0.1)
  path.wait(0.25)
