"""A compiled kitchen with its state, and the actions of its arms."""

from collections.abc import Callable
import types

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import (
  arm_paths,
  arms,
  kitchen,
  motions,
  objects,
  scenes,
)
from wm_abench.worlds.tabletop import props

ENDS_M = 0.105  # Distance of both grasps from the centre of a long thing.
_MAX_WAIT_S = 20.0


class Simulation:
  """The simulation of all kitchens with the same arms.

  Args:
    arm_names: keys of kitchen.ARMS.

  Attributes:
    model, data: the MjModel and its MjData.
  """

  def __init__(self, arm_names: tuple[str, ...]):
    self._kinds = scenes.kinds(arm_names)
    self.model = kitchen.build(arm_names, self._kinds)
    self.data = mujoco.MjData(self.model)
    self._arms = [kitchen.ARMS[name] for name in arm_names]
    self._driver = arm_paths.Driver(self.model, self.data, self._arms)
    self._scene: scenes.ManipulationScene | None = None
    self._actions: dict[str, tuple[int, Callable[..., None]]] = {
      'push': (4, self._push),
      'lift': (3, self._lift),
      'turn': (2, self._turn),
      'carry': (3, self._carry),
      'release': (0, self._release),
      'wait': (1, self._wait),
    }
    if len(arm_names) > 1:
      self._actions |= {
        'push_together': (3, self._push_together),
        'lift_together': (4, self._lift_together),
      }

  def reset(self, scene: scenes.ManipulationScene) -> None:
    self._scene = scene
    mujoco.mj_resetData(self.model, self.data)
    kitchen.set_style(self.model, kitchen.STYLES[scene.background])
    for i, kind in enumerate(self._kinds):
      parked_m = np.add(kitchen.PARKED_M, (i, 0, 0))
      self._set_pose(kind, parked_m, 0.0, weight=False)
    for thing in scene.things:
      height = scene.held_m if thing.kind == scene.held else 0.0
      position_m = np.append(thing.position_m, height)
      self._set_pose(thing.kind, position_m, thing.yaw_deg, weight=True)
      kitchen.set_color(self.model, thing.kind, props.COLORS[thing.color])
    for arm in self._arms:
      self._driver.set_joints(arm.name, np.array(arms.READY_RAD), arms.OPEN_M)
    if scene.held:
      self._grip(next(t for t in scene.things if t.kind == scene.held))
    mujoco.mj_forward(self.model, self.data)
    self._driver.settle()
    self.data.time = 0.0

  def act(self, action: protocol.Action) -> None:
    """Performs an action; see Manipulation.step for errors."""
    if action.name not in self._actions:
      raise errors.unknown('action', action.name, self._actions)
    count, perform = self._actions[action.name]
    if len(action.values) != count:
      raise errors.UserError(
        f'{action.name!r} takes {count} values, not {action.values}'
      )
    agent = action.agent or scenes.LEFT
    if agent not in self._scene.arms:
      raise errors.unknown('arm', agent, self._scene.arms)
    if action.name in ('push_together', 'lift_together'):
      perform(*action.values)
    else:
      perform(agent, *action.values)
    self._driver.settle()

  def state(self) -> protocol.State:
    bodies = {t.kind: self._body(t.kind) for t in self._scene.things}
    facts = {}
    for arm in self._arms:
      bodies[f'{arm.name}_hand'] = self._hand(arm)
      held = [
        t.kind
        for t in self._scene.things
        if self._driver.holds(arm.name, self.model.body(t.kind).id)
      ]
      facts[f'{arm.name}_holds'] = ''.join(held)
    return protocol.State(self.data.time, bodies, types.MappingProxyType(facts))

  def _set_pose(self, kind: str, position_m, yaw_deg, weight: bool) -> None:
    """Sets the pose of an object, and whether gravity acts on it."""
    half = np.radians(yaw_deg) / 2
    quaternion = (np.cos(half), 0.0, 0.0, np.sin(half))
    body = self.model.body(kind)
    if kind in objects.FIXED:
      self.data.mocap_pos[body.mocapid[0]] = position_m
      self.data.mocap_quat[body.mocapid[0]] = quaternion
      return
    self.data.joint(kind).qpos[:] = (*position_m, *quaternion)
    self.model.body_gravcomp[body.id] = 0.0 if weight else 1.0

  def _grip(self, thing: scenes.Thing) -> None:
    """Puts the left hand around a thing and closes it."""
    kind = objects.KINDS[thing.kind]
    position_m = (*thing.position_m, self._scene.held_m + kind.grip_m)
    path = self._driver.new_path(scenes.LEFT)
    path.move_joints(position_m, thing.yaw_deg, arm_paths.TICK_S)
    joints = path.ticks[-1, :7]
    self._driver.set_joints(scenes.LEFT, joints, kind.size_m[0] / 2 + 1e-3)
    body = self.model.body(thing.kind).id
    self.model.body_gravcomp[body] = 1.0  # Until the fingers have closed.
    grip = self._driver.new_path(scenes.LEFT)
    grip.move_fingers(0.0, 0.1)
    grip.wait(0.2)
    self._driver.run({scenes.LEFT: grip})
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
    """Returns kind, position of the base, and yaw in degrees of a thing."""
    things = self._scene.things
    if not 0 <= index < len(things) or index != int(index):
      raise errors.UserError(
        f'unknown thing {index}; the scene has {len(things)}, counted from 0'
      )
    kind = things[int(index)].kind
    body = self.data.body(kind)
    rotation = body.xmat.reshape(3, 3)
    yaw = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return objects.KINDS[kind], body.xpos.copy(), float(yaw)

  def _path_from_above(self, agent: str) -> arm_paths.Path:
    """Returns a path that begins by moving up, away from all objects."""
    path = self._driver.new_path(agent)
    if path.position_m[2] < motions.SAFE_M - 0.01:
      path.move_straight((*path.position_m[:2], motions.SAFE_M), 0.4)
    return path

  def _push(self, agent, index, heading_deg, distance_m, over_m) -> None:
    kind, base_m, yaw_deg = self._thing(index)
    behind_m = motions.half_extent(kind, heading_deg - yaw_deg)
    height_m = motions.push_height(kind)
    if over_m > 0:
      height_m = kind.size_m[2] + over_m
    path = self._path_from_above(agent)
    motions.append_push(
      path, base_m[:2], behind_m, heading_deg, distance_m, height_m
    )
    self._driver.run({agent: path})

  def _lift(self, agent, index, height_m, grips) -> None:
    kind, base_m, yaw_deg = self._thing(index)
    path = self._path_from_above(agent)
    grasp_m = np.add(base_m, (0, 0, kind.grip_m))
    motions.append_grasp(path, grasp_m, yaw_deg, grips)
    path.move_straight(np.add(grasp_m, (0, 0, height_m)), 0.4 + 2 * height_m)
    self._driver.run({agent: path})

  def _turn(self, agent, axis, angle_deg) -> None:
    if axis not in (0, 1):
      raise errors.UserError(
        f"'turn' takes one of the axes 0 and 1, not {axis}"
      )
    direction = ((0, 0, -1), (0, 1, 0))[int(axis)]
    path = self._driver.new_path(agent)
    path.rotate(direction, np.radians(angle_deg), 0.3 + abs(angle_deg) / 90)
    self._driver.run({agent: path})

  def _carry(self, agent, x_m, y_m, z_m) -> None:
    path = self._driver.new_path(agent)
    shift = np.array([x_m, y_m, z_m])
    seconds = 0.3 + 3 * np.linalg.norm(shift)
    path.move_straight(path.position_m + shift, seconds)
    self._driver.run({agent: path})

  def _release(self, agent) -> None:
    path = self._driver.new_path(agent)
    path.move_fingers(arms.OPEN_M, 0.1)
    path.wait(0.3)
    self._driver.run({agent: path})

  def _wait(self, agent, seconds) -> None:
    if not 0 < seconds <= _MAX_WAIT_S:
      raise errors.UserError(
        f"'wait' takes more than 0 and at most {_MAX_WAIT_S:g} seconds, not"
        f' {seconds}'
      )
    path = self._driver.new_path(agent)
    path.wait(seconds)
    self._driver.run({agent: path})

  def _push_together(self, left_deg, right_deg, distance_m) -> None:
    kind, base_m, yaw_deg = self._thing(0)
    yaw, height_m = np.radians(yaw_deg), motions.push_height(kind)
    paths = {}
    for agent, side, heading_deg in (
      (scenes.LEFT, -1, left_deg),
      (scenes.RIGHT, 1, right_deg),
    ):
      # A push along the thing is against its end, another at its long side.
      is_along = heading_deg % 180 == 0
      end_m = side * ENDS_M * np.array([np.cos(yaw), np.sin(yaw)])
      point_m = base_m[:2] + (0 if is_along else end_m)
      path = self._path_from_above(agent)
      behind_m = motions.half_extent(kind, heading_deg - yaw_deg)
      motions.append_push(
        path, point_m, behind_m, heading_deg, distance_m, height_m
      )
      paths[agent] = path
    self._driver.run(paths)

  def _lift_together(self, left_m, right_m, grips_left, grips_right) -> None:
    kind, base_m, yaw_deg = self._thing(0)
    axis = arm_paths.rotation_about((0, 0, 1), np.radians(yaw_deg))[:, 0]
    centre_m = np.add(base_m, (0, 0, kind.grip_m))
    paths = {}
    for agent, side, height, other, grips in (
      (scenes.LEFT, -1, left_m, right_m, grips_left),
      (scenes.RIGHT, 1, right_m, left_m, grips_right),
    ):
      path = self._path_from_above(agent)
      grasp_m = centre_m + side * ENDS_M * axis
      motions.append_grasp(path, grasp_m, yaw_deg + 90, grips)
      both = grips_left and grips_right
      # The ends of a tilted thing are closer together in the plane.
      tilt = np.arcsin((height - other) / (2 * ENDS_M)) if both else 0.0
      poses = []
      for fraction in np.linspace(0, 1, 6)[1:]:
        end_m = side * ENDS_M * np.cos(tilt * fraction) * axis
        lift_m = (0, 0, fraction * height)
        poses.append((centre_m + end_m + lift_m, path.rotation))
      path.follow(poses, 0.8)
      paths[agent] = path
    self._driver.run(paths)
