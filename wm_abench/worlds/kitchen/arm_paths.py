"""Paths of arms, and the driver that follows them.

A path holds targets for the seven joints and the fingers at every tick. It is
planned completely before it is driven; each segment starts where the previous
one ends.
"""

from collections.abc import Mapping, Sequence
import itertools

import mujoco
import numpy as np

from wm_abench.worlds.kitchen import arms

TICK_S = 0.008
TIP_M = 0.0134  # Distance of the finger tips below the grasp site.
PALM_M = 0.0385  # Distance of the palm above the grasp site.

_LEAD_S = 0.1  # Damping over stiffness of the motors.
_KNOT_M, _KNOT_RAD = 0.03, 0.15  # The largest gap between poses.
_STILL = 2e-3  # The largest velocity of a joint or a body at rest.
_SETTLE_S, _MAX_SETTLE_S = 0.15, 1.2


def hand_down(yaw_deg: float) -> np.ndarray:
  """Returns the rotation [3, 3] of a hand that points down.

  The fingers close along the horizontal direction yaw_deg.
  """
  # Neither this nor rotation_about is scipy's Rotation: the last bits of some
  # angles differ, and with them the states.
  c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
  closes, down = np.array([c, s, 0.0]), np.array([0.0, 0.0, -1.0])
  return np.stack([closes, np.cross(down, closes), down], axis=1)


def rotation_about(axis: np.ndarray, angle_rad: float) -> np.ndarray:
  """Returns the rotation [3, 3] about a unit vector."""
  quaternion, rotation = np.zeros(4), np.zeros(9)
  mujoco.mju_axisAngle2Quat(quaternion, np.asarray(axis, float), angle_rad)
  mujoco.mju_quat2Mat(rotation, quaternion)
  return rotation.reshape(3, 3)


class Path:
  """A path of one arm, to which segments are appended.

  Attributes:
    arm: that follows the path.
    position_m, rotation: pose of the hand at the end of the path, in the world.
    opening_m: distance of each finger from the centre at the end of the path.
  """

  def __init__(self, arm: arms.Arm, joints_rad: np.ndarray, opening_m: float):
    self.arm = arm
    self.opening_m = opening_m
    self._segments = [np.append(joints_rad, opening_m)[None]]
    self.position_m, self.rotation = arm.pose_of(joints_rad)

  @property
  def ticks(self) -> np.ndarray:
    """The joint angles and the opening at each tick, [T, 8]."""
    return np.concatenate(self._segments)

  def wait(self, seconds: float) -> None:
    """Stays at the end of the path."""
    self._append(np.repeat(self._segments[-1][-1:], _count(seconds), axis=0))

  def move_fingers(self, opening_m: float, seconds: float) -> None:
    """Opens or closes the hand; 0 grips with full force."""
    segment = np.repeat(self._segments[-1][-1:], _count(seconds), axis=0)
    segment[:, 7] = np.linspace(self.opening_m, opening_m, len(segment))
    self.opening_m = opening_m
    self._append(segment)

  def move_joints(self, position_m, yaw_deg: float, seconds: float) -> None:
    """Moves to a pose with the fingers down by interpolating joint angles.

    The hand is symmetric under half a turn. Of the two solutions, this takes
    the one with the smaller angle of the wrist.

    Raises:
      Unreachable: there is no solution.
    """
    solutions = []
    for half_turn_deg in (0, 180):
      rotation = hand_down(yaw_deg + half_turn_deg)
      try:
        joints = self.arm.joints_for(position_m, rotation, arms.READY_RAD)
      except arms.Unreachable:
        continue
      solutions.append((abs(joints[6]), joints, rotation))
    if not solutions:
      raise arms.Unreachable(
        f'the {self.arm.name} arm cannot reach {np.round(position_m, 3)}'
      )
    _, joints, self.rotation = min(solutions, key=lambda s: s[0])
    self.position_m = np.asarray(position_m, float)
    self._interpolate(np.stack([self._segments[-1][-1, :7], joints]), seconds)

  def move_straight(self, target_m, seconds: float) -> None:
    """Moves the hand on a straight line without rotating it."""
    shift = np.asarray(target_m, float) - self.position_m
    knots = 1 + int(np.linalg.norm(shift) // _KNOT_M) + 1
    fractions = np.linspace(0, 1, knots)[1:]
    self.follow(
      [(self.position_m + f * shift, self.rotation) for f in fractions], seconds
    )

  def rotate(self, axis, angle_rad: float, seconds: float) -> None:
    """Rotates the hand about an axis through the grasp site."""
    knots = 1 + int(abs(angle_rad) // _KNOT_RAD) + 1
    angles = np.linspace(0, angle_rad, knots)[1:]
    position = self.position_m
    self.follow(
      [(position, rotation_about(axis, a) @ self.rotation) for a in angles],
      seconds,
    )

  def follow(self, poses, seconds: float) -> None:
    """Moves through poses (position, rotation) with minimum jerk.

    Raises:
      Unreachable: there is no solution for one of the poses.
    """
    joints = [self._segments[-1][-1, :7]]
    for position, rotation in poses:
      joints.append(self.arm.joints_for(position, rotation, joints[-1]))
    self.position_m, self.rotation = poses[-1]
    self._interpolate(np.stack(joints), seconds)

  def _interpolate(self, knots: np.ndarray, seconds: float) -> None:
    time = np.linspace(0, 1, _count(seconds) + 1)[1:]
    # The minimum-jerk profile from 0 to 1 (Flash and Hogan 1985).
    progress = time**3 * (10 - 15 * time + 6 * time**2)
    knot_progress = np.linspace(0, 1, len(knots))
    joints = [np.interp(progress, knot_progress, angle) for angle in knots.T]
    opening = np.full(len(time), self.opening_m)
    self._append(np.stack([*joints, opening], axis=1))

  def _append(self, segment: np.ndarray) -> None:
    self._segments.append(segment)


def _count(seconds: float) -> int:
  """Returns the number of ticks of a segment."""
  return max(2, round(seconds / TICK_S))


class Driver:
  """Drives the arms of a compiled model along paths, through their motors.

  Args:
    model, data: contain the joints and motors of the arms under their prefixes.
    model_arms: the arms of the model.
  """

  def __init__(
    self,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    model_arms: Sequence[arms.Arm],
  ):
    self._model, self._data = model, data
    self._steps = round(TICK_S / model.opt.timestep)
    self._arms = {arm.name: arm for arm in model_arms}
    self._goal = {name: np.zeros(8) for name in self._arms}
    joints = {n: self._joints(a) for n, a in self._arms.items()}
    self._qpos = {
      n: [model.joint(j).qposadr[0] for j in js] for n, js in joints.items()
    }
    self._motors = {
      n: [
        model.actuator(f'{a.prefix}{m}').id
        for m in (*(f'motor{i}' for i in range(1, 8)), 'finger1', 'finger2')
      ]
      for n, a in self._arms.items()
    }
    self._pads = {
      n: [model.geom(f'{a.prefix}{s}_pad').id for s in ('left', 'right')]
      for n, a in self._arms.items()
    }

  def set_joints(
    self, name: str, joints_rad: np.ndarray, opening_m: float
  ) -> None:
    """Sets the pose of an arm without moving it there, at the start."""
    goal = np.append(joints_rad, opening_m)
    self._data.qpos[self._qpos[name]] = _nine_joints(goal)
    self._data.ctrl[self._motors[name]] = _nine_joints(goal)
    self._goal[name] = goal

  def new_path(self, name: str) -> Path:
    """Returns an empty path from the last target of an arm."""
    goal = self._goal[name]
    return Path(self._arms[name], goal[:7], goal[7])

  def run(self, paths: Mapping[str, Path]) -> None:
    """Drives along all paths at once; an arm waits at the end of its path."""
    ticks = {name: path.ticks for name, path in paths.items()}
    for i in range(1, max(map(len, ticks.values()))):
      for name, targets in ticks.items():
        target = targets[min(i, len(targets) - 1)]
        previous = targets[min(i, len(targets)) - 1]
        # Feed-forward of the velocity makes up for the lag of the damping.
        ahead = target.copy()
        ahead[:7] += (target - previous)[:7] * (_LEAD_S / TICK_S)
        self._data.ctrl[self._motors[name]] = _nine_joints(ahead)
      mujoco.mj_step(self._model, self._data, nstep=self._steps)
    for name, targets in ticks.items():
      self._goal[name] = targets[-1]
      self._data.ctrl[self._motors[name]] = _nine_joints(targets[-1])

  def settle(self) -> None:
    """Lets time pass until nothing moves, at most _MAX_SETTLE_S."""
    for i in itertools.count(1):
      mujoco.mj_step(self._model, self._data, nstep=self._steps)
      still = np.abs(self._data.qvel).max() < _STILL
      if i * TICK_S >= (_SETTLE_S if still else _MAX_SETTLE_S):
        return

  def holds(self, name: str, body: int) -> bool:
    """Returns whether both fingers of an arm touch a body."""
    touched = set()
    for contact in self._data.contact:
      pair = {int(contact.geom1), int(contact.geom2)}
      if any(self._model.geom_bodyid[g] == body for g in pair):
        touched |= pair
    return set(self._pads[name]) <= touched

  def _joints(self, arm: arms.Arm) -> list[str]:
    joints = [f'{arm.prefix}joint{i}' for i in range(1, 8)]
    return joints + [f'{arm.prefix}hand_finger_joint{i}' for i in (1, 2)]


def _nine_joints(goal: np.ndarray) -> np.ndarray:
  """Returns the values of all joints; the second finger mirrors the first."""
  return np.concatenate([goal, [-goal[7]]])
