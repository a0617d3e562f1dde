"""Franka Panda arms: model, motors and inverse kinematics.

The model is that of robosuite. Its visual meshes are simplified to what a frame
of 384 pixels resolves, and boxes replace its collision meshes. Only the hand
and its two fingers collide. Stiff position control with feed-forward moves the
joints; only the force and friction of the fingers hold an object.
"""

import dataclasses
import functools

import mujoco
import numpy as np
from scipy.spatial import transform

from wm_abench.worlds import assets

# Initial pose: the hand is above the centre of the working area, fingers down.
READY_RAD = (0.0, -0.35, 0.0, -2.25, 0.0, 1.9, 0.785)
OPEN_M = 0.04  # Distance of each finger from the centre of an open hand.
REACH_ERROR_M = 2e-3

_CELL_M = 0.006  # Side of the cells in which vertices are merged.
_STIFFNESS = np.array([6000, 6000, 5000, 5000, 3000, 3000, 2000], float)
_DAMPING = 0.1 * _STIFFNESS
_TORQUE = np.array([87, 87, 87, 87, 12, 12, 12], float)
_GRIP_N = 25.0
# In the frame of the hand: x along the closing fingers, z towards their tips.
_GRASP_M = (0.0, 0.0, 0.0965)
_COLLIDES = {'contype': 2, 'conaffinity': 1}


class Unreachable(ValueError):
  """No joint angles bring the hand to a pose."""


@functools.cache
def _sources() -> tuple[str, str]:
  """Returns the paths of the MJCF files of the arm and of the hand."""
  folder = assets.folder('robosuite')
  arm = folder / 'robots' / 'panda' / 'robot.xml'
  return str(arm), str(folder / 'grippers' / 'panda_gripper.xml')


def specification(visible: bool = True) -> mujoco.MjSpec:
  """Returns one arm with its base at the origin, which reaches along x.

  Args:
    visible: whether it has visual meshes.
  """
  arm, hand = (mujoco.MjSpec.from_file(path) for path in _sources())
  for part in (arm, hand):
    _strip(part)
  arm.body('right_hand').add_frame().attach_body(
    hand.body('right_gripper'), 'hand_', ''
  )
  _add_collisions(arm)
  if visible:
    for body, rgba, vertices, faces in _visual_meshes():
      _add_visual(arm, body, rgba, vertices, faces)
  for body in arm.bodies[1:]:
    body.gravcomp = 1.0
  return arm


def add_motors(model: mujoco.MjSpec, prefix: str) -> None:
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
  """Removes everything from a specification but bodies and joints."""
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


def _add_collisions(arm: mujoco.MjSpec) -> None:
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


def _add_visual(arm, body, rgba, vertices, faces) -> None:
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
def _visual_meshes() -> tuple:
  """Returns (body, rgba, vertices [V, 3], faces [F, 3]) per body and colour."""
  triangles: dict[tuple, list] = {}
  for path, prefix in zip(_sources(), ('', 'hand_'), strict=True):
    model = mujoco.MjSpec.from_file(path).compile()
    for geom in np.flatnonzero(model.geom_group == 1):
      material = model.geom_matid[geom]
      rgba = (
        model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
      )
      body = prefix + model.body(model.geom_bodyid[geom]).name
      key = body, tuple(np.round(rgba, 3).tolist())
      triangles.setdefault(key, []).append(_triangles(model, geom))
  meshes = ((*key, *_simplified(parts)) for key, parts in triangles.items())
  # Smaller ones are lamps and screws.
  return tuple(mesh for mesh in meshes if len(mesh[2]) > 8)


def _triangles(model: mujoco.MjModel, geom: int) -> np.ndarray:
  """Returns the corners [F, 3, 3] of a geom's triangles in the body's frame."""
  mesh = model.geom_dataid[geom]
  start, n = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
  first, m = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
  rotation = transform.Rotation.from_quat(
    model.geom_quat[geom], scalar_first=True
  )
  vertices = model.mesh_vert[start : start + n] @ rotation.as_matrix().T
  return (vertices + model.geom_pos[geom])[model.mesh_face[first : first + m]]


def _simplified(
  triangles: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
  """Returns vertices and faces after vertex clustering.

  Vertices in one cell of a grid merge into their mean (Rossignac and Borrel
  1993). trimesh merges only vertices that round to the same digits, and keeps
  the first of them.
  """
  corners = np.concatenate(triangles).reshape(-1, 3)
  cells = np.floor(corners / _CELL_M).astype(int)
  _, cluster, count = np.unique(
    cells, axis=0, return_inverse=True, return_counts=True
  )
  vertices = np.zeros((len(count), 3))
  np.add.at(vertices, cluster.ravel(), corners)
  vertices /= count[:, None]
  faces = cluster.reshape(-1, 3)
  a, b, c = faces.T
  faces = faces[(a != b) & (b != c) & (c != a)]
  _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
  return vertices, faces[np.sort(first)]


@functools.cache
def _kinematics() -> tuple[mujoco.MjModel, mujoco.MjData, int]:
  """Returns a model of one arm, its data, and the index of the grasp site."""
  model = specification(visible=False).compile()
  return model, mujoco.MjData(model), model.site('grasp').id


def forward(joints_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns position [3] and rotation [3, 3] of the grasp site.

  They are in the frame of the base.
  """
  model, data, site = _kinematics()
  data.qpos[:7] = joints_rad
  mujoco.mj_kinematics(model, data)
  return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()


def inverse(
  position_m: np.ndarray, rotation: np.ndarray, start_rad: np.ndarray
) -> np.ndarray:
  """Returns joint angles that bring the grasp site to a pose.

  The method is damped least squares (Wampler 1986), with a pull to READY_RAD in
  the null space.

  Args:
    position_m: in the frame of the base.
    rotation: [3, 3], in the frame of the base.
    start_rad: where the descent starts, which determines the solution that it
      finds.

  Raises:
    Unreachable: the error exceeds REACH_ERROR_M or 0.02 rad.
  """
  facing = np.array(READY_RAD)
  facing[0] = np.arctan2(position_m[1], position_m[0])
  for start in (start_rad, facing):
    joints = _descend(position_m, rotation, start)
    if joints is not None:
      return joints
  raise Unreachable(f'the arm cannot reach {np.round(position_m, 3)}')


def _descend(position_m, rotation, start_rad) -> np.ndarray | None:
  """Returns the solution of `inverse` from one start, or None."""
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
    error[3:] = _rotation_vector(data.site_xmat[site].reshape(3, 3), rotation)
    mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
    j = jacobian[:, :7]
    pseudoinverse = j.T @ np.linalg.inv(j @ j.T + 1e-4 * np.eye(6))
    pull = 0.1 * (np.array(READY_RAD) - joints)
    pull[6] = 0.0
    step = pseudoinverse @ error + (np.eye(7) - pseudoinverse @ j) @ pull
    size = np.abs(step).max()
    if np.abs(error).max() < 2e-4 and size < 5e-3:
      break
    joints = np.clip(joints + step * min(1, 0.3 / size), low, high)
  if np.abs(error[:3]).max() > REACH_ERROR_M or np.abs(error[3:]).max() > 0.02:
    return None
  return joints


def _rotation_vector(current: np.ndarray, target: np.ndarray) -> np.ndarray:
  """Returns the rotation vector [3] from one rotation to another."""
  # MuJoCo's arithmetic: scipy's differs in the last bits and changes states.
  quaternion, vector = np.zeros(4), np.zeros(3)
  mujoco.mju_mat2Quat(quaternion, (target @ current.T).ravel())
  mujoco.mju_quat2Vel(vector, quaternion, 1.0)
  return vector


@dataclasses.dataclass(frozen=True)
class Arm:
  """The mounting of an arm in the world.

  Attributes:
    name: 'left' or 'right', as seen by the camera 'front'.
    base_m: position of the base.
    yaw_deg: direction in which the arm reaches, about the vertical axis.
  """

  name: str
  base_m: tuple[float, float, float]
  yaw_deg: float

  @property
  def prefix(self) -> str:
    """The prefix of the arm's names in a compiled model."""
    return f'{self.name}_arm_'

  @property
  def frame(self) -> np.ndarray:
    """The rotation [3, 3] of the base."""
    c, s = np.cos(np.radians(self.yaw_deg)), np.sin(np.radians(self.yaw_deg))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

  def joints_for(
    self, position_m: np.ndarray, rotation: np.ndarray, start_rad: np.ndarray
  ) -> np.ndarray:
    """Returns `inverse` of a pose in the world's frame."""
    to_base = self.frame.T
    offset = to_base @ (np.asarray(position_m) - self.base_m)
    return inverse(offset, to_base @ rotation, start_rad)

  def pose_of(self, joints_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns `forward` in the world's frame."""
    position, rotation = forward(joints_rad)
    return self.frame @ position + self.base_m, self.frame @ rotation
