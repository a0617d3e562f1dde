"""Franka Panda arms: their model, inverse kinematics and how they are driven.

The model is robosuite's, with the links' pictures thinned to what a picture of
384 pixels shows, and with boxes for the only parts that touch things, the hand
and its two fingers. Joints follow a path by stiff position control with feed
forward; what is held is held by the fingers' force and friction alone.
"""

import dataclasses
import functools

import mujoco
import numpy as np

from wm_abench.worlds import assets

# Ready: the hand is above the middle of the working area, fingers down.
READY_RAD = (0.0, -0.35, 0.0, -2.25, 0.0, 1.9, 0.785)
OPEN_M = 0.04  # Each finger's way from the middle.
REACH_ERROR_M = 2e-3

_CELL_M = 0.006  # Vertices nearer than this become one.
_STIFFNESS = np.array([6000, 6000, 5000, 5000, 3000, 3000, 2000], float)
_DAMPING = 0.1 * _STIFFNESS
_TORQUE = np.array([87, 87, 87, 87, 12, 12, 12], float)
_GRIP_N = 25.0
# In a hand's frame: x the way its fingers close, z to their tips.
_GRASP_M = (0.0, 0.0, 0.0965)
_COLLIDES = {'contype': 2, 'conaffinity': 1}


class Unreachable(ValueError):
  """No pose of the joints brings the hand there."""


@functools.cache
def _sources() -> tuple[str, str]:
  folder = assets.folder('robosuite')
  arm = folder / 'robots' / 'panda' / 'robot.xml'
  return str(arm), str(folder / 'grippers' / 'panda_gripper.xml')


def spec(looks: bool = True) -> mujoco.MjSpec:
  """One arm on its base at the origin, reaching out along x.

  Args:
    looks: whether it is to be seen; else only its kinematics are there.
  """
  arm, hand = (mujoco.MjSpec.from_file(path) for path in _sources())
  for part in (arm, hand):
    _strip(part)
  arm.body('right_hand').add_frame().attach_body(
    hand.body('right_gripper'), 'hand_', ''
  )
  _touch(arm)
  if looks:
    for body, rgba, vertices, faces in _pictures():
      _show(arm, body, rgba, vertices, faces)
  for body in arm.bodies[1:]:
    body.gravcomp = 1.0
  return arm


def actuate(model: mujoco.MjSpec, prefix: str) -> None:
  """Adds the motors of an arm that was attached with a prefix."""
  for i in range(7):
    actuator = model.add_actuator(
      name=f'{prefix}motor{i + 1}',
      target=f'{prefix}joint{i + 1}',
      trntype=mujoco.mjtTrn.mjTRN_JOINT,
      forcerange=(-_TORQUE[i], _TORQUE[i]),
      forcelimited=True,
    )
    actuator.set_to_position(kp=_STIFFNESS[i], kv=_DAMPING[i])
  for i in (1, 2):
    actuator = model.add_actuator(
      name=f'{prefix}finger{i}',
      target=f'{prefix}hand_finger_joint{i}',
      trntype=mujoco.mjtTrn.mjTRN_JOINT,
      forcerange=(-_GRIP_N, _GRIP_N),
      forcelimited=True,
    )
    actuator.set_to_position(kp=1500.0, kv=60.0)


def _strip(part: mujoco.MjSpec) -> None:
  for geom in list(part.geoms):
    part.delete(geom)
  for kind in (part.meshes, part.materials, part.actuators, part.cameras):
    for element in list(kind):
      part.delete(element)
  for element in (*list(part.sensors), *list(part.sites)):
    part.delete(element)
  for body in part.bodies[1:]:
    if 'base' in body.name:
      body.mass, body.inertia = 1e-3, (1e-6, 1e-6, 1e-6)


def _touch(arm: mujoco.MjSpec) -> None:
  hand = arm.body('hand_right_gripper')
  hand.add_site(name='grasp', pos=_GRASP_M, group=3)
  box = mujoco.mjtGeom.mjGEOM_BOX
  hand.add_geom(
    name='palm',
    type=box,
    pos=(0, 0, 0.03),
    size=(0.1, 0.03, 0.028),
    group=3,
    density=0,
    **_COLLIDES,
  )
  for name, side in (('left', 1), ('right', -1)):
    finger = arm.body(f'hand_{name}finger')
    finger.add_geom(
      name=f'{name}_pad',
      type=box,
      group=3,
      density=0,
      pos=(0, side * 0.0075, 0.034),
      size=(0.0105, 0.0075, 0.0235),
      friction=(1.5, 0.003, 1e-4),
      condim=4,
      solimp=(0.95, 0.99, 0.001, 0.5, 2),
      solref=(0.008, 1.0),
      **_COLLIDES,
    )
  for joint in (
    arm.joint('hand_finger_joint1'),
    arm.joint('hand_finger_joint2'),
  ):
    joint.armature, joint.frictionloss, joint.damping = 0.2, 0.0, 10.0
  for i in range(1, 8):
    arm.joint(f'joint{i}').armature = 0.1


def _show(arm, body, rgba, vertices, faces) -> None:
  name = '_'.join([body, *(f'{int(255 * c):02x}' for c in rgba[:3])])
  arm.add_mesh(
    name=name,
    uservert=vertices.ravel(),
    userface=faces.ravel(),
    inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
  )
  arm.body(body).add_geom(
    type=mujoco.mjtGeom.mjGEOM_MESH,
    meshname=name,
    rgba=rgba,
    group=1,
    contype=0,
    conaffinity=0,
    mass=0,
  )


@functools.cache
def _pictures() -> tuple:
  """(body, rgba, vertices [n, 3], faces [m, 3]) by body and colour."""
  found: dict[tuple, list] = {}
  for path, prefix in zip(_sources(), ('', 'hand_'), strict=True):
    model = mujoco.MjSpec.from_file(path).compile()
    for geom in np.flatnonzero(model.geom_group == 1):
      material = model.geom_matid[geom]
      rgba = (
        model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
      )
      body = prefix + model.body(model.geom_bodyid[geom]).name
      key = body, tuple(np.round(rgba, 3).tolist())
      found.setdefault(key, []).append(_soup(model, geom))
  thin = ((*key, *_thin(soups)) for key, soups in found.items())
  return tuple(p for p in thin if len(p[2]) > 8)  # Lamps, screws.


def _soup(model: mujoco.MjModel, geom: int) -> np.ndarray:
  """The geom's triangles [m, 3, 3] in its body's frame."""
  mesh = model.geom_dataid[geom]
  start, n = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
  first, m = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
  turn = np.zeros(9)
  mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
  vertices = model.mesh_vert[start : start + n] @ turn.reshape(3, 3).T
  return (vertices + model.geom_pos[geom])[model.mesh_face[first : first + m]]


def _thin(soups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Joins vertices that share a cell of a grid (Rossignac and Borrel 1993)."""
  corners = np.concatenate(soups).reshape(-1, 3)
  cells = np.floor(corners / _CELL_M).astype(int)
  _, which, count = np.unique(
    cells, axis=0, return_inverse=True, return_counts=True
  )
  vertices = np.zeros((len(count), 3))
  np.add.at(vertices, which.ravel(), corners)
  vertices /= count[:, None]
  faces = which.reshape(-1, 3)
  a, b, c = faces.T
  faces = faces[(a != b) & (b != c) & (c != a)]
  _, kept = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
  return vertices, faces[np.sort(kept)]


@functools.cache
def _kinematics() -> tuple[mujoco.MjModel, mujoco.MjData, int]:
  model = spec(looks=False).compile()
  return model, mujoco.MjData(model), model.site('grasp').id


def forward(joints_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The grasp site's place [3] and rotation [3, 3] in the base's frame."""
  model, data, site = _kinematics()
  data.qpos[:7] = joints_rad
  mujoco.mj_kinematics(model, data)
  return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()


def inverse(
  position_m: np.ndarray, rotation: np.ndarray, start_rad: np.ndarray
) -> np.ndarray:
  """Joints that bring the grasp site to a pose in the base's frame.

  Damped least squares (Wampler 1986) with a pull to READY_RAD in the null
  space, from start_rad on, which settles which of many solutions is found.

  Raises:
    Unreachable: the nearest is further off than REACH_ERROR_M or 0.02 rad.
  """
  facing = np.array(READY_RAD)
  facing[0] = np.arctan2(position_m[1], position_m[0])
  for start in (start_rad, facing):
    joints = _descend(position_m, rotation, start)
    if joints is not None:
      return joints
  raise Unreachable(f'the arm cannot reach {np.round(position_m, 3)}')


def _descend(position_m, rotation, start_rad) -> np.ndarray | None:
  model, data, site = _kinematics()
  low, high = model.jnt_range[:7].T
  joints = np.array(start_rad, float)
  jacobian = np.zeros((6, model.nv))
  error = np.zeros(6)
  for _ in range(200):
    data.qpos[:7] = joints
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    error[:3] = position_m - data.site_xpos[site]
    error[3:] = _turn(data.site_xmat[site].reshape(3, 3), rotation)
    mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
    j = jacobian[:, :7]
    inverse = j.T @ np.linalg.inv(j @ j.T + 1e-4 * np.eye(6))
    rest = 0.1 * (np.array(READY_RAD) - joints)
    rest[6] = 0.0
    change = inverse @ error + (np.eye(7) - inverse @ j) @ rest
    size = np.abs(change).max()
    if np.abs(error).max() < 2e-4 and size < 5e-3:
      break
    joints = np.clip(joints + change * min(1, 0.3 / size), low, high)
  if np.abs(error[:3]).max() > REACH_ERROR_M or np.abs(error[3:]).max() > 0.02:
    return None
  return joints


def _turn(current: np.ndarray, wanted: np.ndarray) -> np.ndarray:
  """The rotation vector that leads from one rotation to another."""
  quaternion, vector = np.zeros(4), np.zeros(3)
  mujoco.mju_mat2Quat(quaternion, (wanted @ current.T).ravel())
  mujoco.mju_quat2Vel(vector, quaternion, 1.0)
  return vector


@dataclasses.dataclass(frozen=True)
class Arm:
  """Where an arm is in a compiled model, and in the world.

  Attributes:
    name: 'left' or 'right', as seen in the picture; also the prefix's stem.
    base_m: of the base, in the world.
    yaw_deg: the way it reaches, about the vertical.
  """

  name: str
  base_m: tuple[float, float, float]
  yaw_deg: float

  @property
  def prefix(self) -> str:
    return f'{self.name}_arm_'

  @property
  def frame(self) -> np.ndarray:
    c, s = np.cos(np.radians(self.yaw_deg)), np.sin(np.radians(self.yaw_deg))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

  def joints_for(
    self, position_m: np.ndarray, rotation: np.ndarray, start_rad: np.ndarray
  ) -> np.ndarray:
    """`inverse` for a pose in the world's frame."""
    own = self.frame.T
    offset = own @ (np.asarray(position_m) - self.base_m)
    return inverse(offset, own @ rotation, start_rad)

  def pose_of(self, joints_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`forward` in the world's frame."""
    position, rotation = forward(joints_rad)
    return self.frame @ position + self.base_m, self.frame @ rotation
