"""How arms move: paths of joints through hand poses, and the drive along them.

A path is planned before it is driven, pose by pose from where the last one
ended, and says for every tick where the seven joints and the fingers are to be.
"""

from collections.abc import Mapping
import itertools

import mujoco
import numpy as np

from wm_abench.worlds.kitchen import arms

TICK_S = 0.008
TIP_M = 0.0134  # The fingers' ends are this far below the grasp site.
PALM_M = 0.0385  # The palm begins this far above it.

_LEAD_S = 0.1  # Damping over stiffness of the joints' drive.
_KNOT_M, _KNOT_RAD = 0.03, 0.15
_STILL = 2e-3
_REST_S, _PATIENCE_S = 0.15, 1.2


def hand_down(yaw_deg: float) -> np.ndarray:
  """A hand's rotation [3, 3], fingers down, closing along a direction."""
  c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
  closes, down = np.array([c, s, 0.0]), np.array([0.0, 0.0, -1.0])
  return np.stack([closes, np.cross(down, closes), down], axis=1)


def about(axis: np.ndarray, angle_rad: float) -> np.ndarray:
  """The rotation [3, 3] about an axis."""
  quaternion, turn = np.zeros(4), np.zeros(9)
  mujoco.mju_axisAngle2Quat(quaternion, np.asarray(axis, float), angle_rad)
  mujoco.mju_quat2Mat(turn, quaternion)
  return turn.reshape(3, 3)


class Path:
  """One arm's way, appended to piece by piece.

  Attributes:
    arm: whose it is.
    position_m, rotation: where the hand is at its end so far, in the world.
    opening_m: how far each finger is from the middle then.
  """

  def __init__(self, arm: arms.Arm, joints_rad: np.ndarray, opening_m: float):
    self.arm = arm
    self.opening_m = opening_m
    self._pieces = [np.append(joints_rad, opening_m)[None]]
    self.position_m, self.rotation = arm.pose_of(joints_rad)

  @property
  def ticks(self) -> np.ndarray:
    """Joints and opening at each tick, [T, 8]."""
    return np.concatenate(self._pieces)

  def wait(self, seconds: float) -> None:
    self._append(np.repeat(self._pieces[-1][-1:], _count(seconds), axis=0))

  def fingers(self, opening_m: float, seconds: float) -> None:
    """Opens or closes; zero closes with full force on what is between."""
    piece = np.repeat(self._pieces[-1][-1:], _count(seconds), axis=0)
    piece[:, 7] = np.linspace(self.opening_m, opening_m, len(piece))
    self.opening_m = opening_m
    self._append(piece)

  def swing(self, position_m, yaw_deg: float, seconds: float) -> None:
    """Goes to a pose with the fingers down, the joints taking their own way.

    The hand is the same when turned by half; it comes the way that leaves the
    wrist most room.
    """
    found = []
    for turn in (0, 180):
      rotation = hand_down(yaw_deg + turn)
      try:
        joints = self.arm.joints_for(position_m, rotation, arms.READY_RAD)
      except arms.Unreachable:
        continue
      found.append((abs(joints[6]), joints, rotation))
    if not found:
      raise arms.Unreachable(
        f'the {self.arm.name} arm cannot reach {np.round(position_m, 3)}'
      )
    _, joints, self.rotation = min(found, key=lambda f: f[0])
    self.position_m = np.asarray(position_m, float)
    self._through(np.stack([self._pieces[-1][-1, :7], joints]), seconds)

  def straight(self, to_m, seconds: float) -> None:
    """Goes straight to a place, the hand not turning."""
    way = np.asarray(to_m, float) - self.position_m
    knots = 1 + int(np.linalg.norm(way) // _KNOT_M) + 1
    shares = np.linspace(0, 1, knots)[1:]
    self.follow(
      [(self.position_m + s * way, self.rotation) for s in shares], seconds
    )

  def turn(self, axis, angle_rad: float, seconds: float) -> None:
    """Turns the hand about an axis through the grasp site."""
    knots = 1 + int(abs(angle_rad) // _KNOT_RAD) + 1
    angles = np.linspace(0, angle_rad, knots)[1:]
    place = self.position_m
    self.follow(
      [(place, about(axis, a) @ self.rotation) for a in angles], seconds
    )

  def follow(self, poses, seconds: float) -> None:
    """Goes through poses, (position, rotation), at a smoothly changing pace."""
    joints = [self._pieces[-1][-1, :7]]
    for position, rotation in poses:
      joints.append(self.arm.joints_for(position, rotation, joints[-1]))
    self.position_m, self.rotation = poses[-1]
    self._through(np.stack(joints), seconds)

  def _through(self, knots: np.ndarray, seconds: float) -> None:
    time = np.linspace(0, 1, _count(seconds) + 1)[1:]
    pace = time**3 * (10 - 15 * time + 6 * time**2)  # Least jerk.
    at = np.linspace(0, 1, len(knots))
    joints = [np.interp(pace, at, column) for column in knots.T]
    opening = np.full(len(time), self.opening_m)
    self._append(np.stack([*joints, opening], axis=1))

  def _append(self, piece: np.ndarray) -> None:
    self._pieces.append(piece)


def _count(seconds: float) -> int:
  return max(2, round(seconds / TICK_S))


class Driver:
  """Drives the arms of a compiled model along paths, by the motors alone.

  Args:
    model, data: with the arms' joints and motors under their prefixes.
    who: the arms that are in it.
  """

  def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, who):
    self._model, self._data = model, data
    self._steps = round(TICK_S / model.opt.timestep)
    self._arms = {arm.name: arm for arm in who}
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

  def place(self, name: str, joints_rad: np.ndarray, opening_m: float) -> None:
    """Puts an arm there at once; for a start only."""
    goal = np.append(joints_rad, opening_m)
    self._data.qpos[self._qpos[name]] = _spread(goal)
    self._data.ctrl[self._motors[name]] = _spread(goal)
    self._goal[name] = goal

  def path(self, name: str) -> Path:
    """An empty path from where the arm was last told to be."""
    goal = self._goal[name]
    return Path(self._arms[name], goal[:7], goal[7])

  def run(self, paths: Mapping[str, Path]) -> None:
    """Drives along all paths at once; who has no more to do waits."""
    ticks = {name: path.ticks for name, path in paths.items()}
    for i in range(1, max(map(len, ticks.values()))):
      for name, way in ticks.items():
        now, before = way[min(i, len(way) - 1)], way[min(i, len(way)) - 1]
        ahead = now.copy()
        ahead[:7] += (now - before)[:7] * (_LEAD_S / TICK_S)
        self._data.ctrl[self._motors[name]] = _spread(ahead)
      mujoco.mj_step(self._model, self._data, nstep=self._steps)
    for name, way in ticks.items():
      self._goal[name] = way[-1]
      self._data.ctrl[self._motors[name]] = _spread(way[-1])

  def settle(self) -> None:
    """Lets time pass until nothing moves, but not for ever."""
    for i in itertools.count(1):
      mujoco.mj_step(self._model, self._data, nstep=self._steps)
      still = np.abs(self._data.qvel).max() < _STILL
      if i * TICK_S >= (_REST_S if still else _PATIENCE_S):
        return

  def holds(self, name: str, body: int) -> bool:
    """Whether both of an arm's fingers touch a body."""
    touched = set()
    for contact in self._data.contact:
      pair = {int(contact.geom1), int(contact.geom2)}
      if any(self._model.geom_bodyid[g] == body for g in pair):
        touched |= pair
    return set(self._pads[name]) <= touched

  def _joints(self, arm: arms.Arm) -> list[str]:
    own = [f'{arm.prefix}joint{i}' for i in range(1, 8)]
    return own + [f'{arm.prefix}hand_finger_joint{i}' for i in (1, 2)]


def _spread(goal: np.ndarray) -> np.ndarray:
  """Joints and opening as the nine joints' values."""
  return np.concatenate([goal, [-goal[7]]])
