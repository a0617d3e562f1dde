"""Rigid-body physics of props, separate from their appearance.

Each scene gets a small MuJoCo model that compiles in milliseconds: the props,
some fixed boxes, and a floor at z = 0. A contact is a stiff spring with a
damper, which determines the restitution. Friction is Coulomb's, with the
elliptic cone. The coefficients of friction and of restitution of a pair are the
geometric means of those of its two surfaces.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import itertools
import math
import types

import mujoco
import numpy as np

from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import props as props_lib

GRAVITY_MPS2 = 9.81
STEP_S = 0.0005


@dataclasses.dataclass(frozen=True)
class Matter:
  """The mechanical properties of a material, in round textbook numbers.

  Attributes:
    density_kgpm3: mass per volume.
    friction: static and kinetic coefficient between two surfaces of this
      material.
    restitution: speed after over speed before an impact between two of them.
  """

  density_kgpm3: float
  friction: float
  restitution: float


MATTER: dict[str, Matter] = {
  'plastic': Matter(950.0, 0.35, 0.55),
  'wood': Matter(650.0, 0.45, 0.45),
  'metal': Matter(7800.0, 0.25, 0.60),
  'glass': Matter(2500.0, 0.20, 0.65),
  'stone': Matter(2600.0, 0.60, 0.40),
  'fabric': Matter(200.0, 0.70, 0.15),
}

# Coefficient of rolling resistance, a length: a ball of radius R decelerates by
# about 0.7 g / R times this.
ROLLING_M = 0.0005
TORSION_M = 0.002
# Stiffness of a contact over mass. An impact lasts pi / sqrt(stiffness), 7 ms.
STIFFNESS_PS2 = 200_000.0
# MuJoCo's impedance: the fraction of a penetrating acceleration that a contact
# removes at once. The spring carries the rest, without which solids at rest
# would jitter; they sink in by 0.02 mm.
_IMPEDANCE = 0.5

_CAPSULES = 16  # Approximate the ring of a torus.
_SIDES = 32  # Of the convex hull of a cylinder or a cone.


@dataclasses.dataclass(frozen=True)
class Fixed:
  """An immovable box: a ramp, a step, a wall.

  Attributes:
    name: unique among the fixed boxes.
    position_m: of the centre.
    half_m: half sizes along the axes of the box.
    quaternion: rotation of the box, (w, x, y, z).
    friction, restitution: see Matter.
  """

  name: str
  position_m: protocol.Vector
  half_m: protocol.Vector
  quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
  friction: float = 0.4
  restitution: float = 0.5


class Dynamics:
  """A simulation of props under gravity.

  Args:
    props: with unique names; their paths are ignored.
    fixed: obstacles besides the floor.
    floor: friction and restitution of the plane z = 0.
    initial: initial poses and velocities by the name of the prop; see
      `initial_body` for the default.
  """

  def __init__(
    self,
    props: Sequence[props_lib.Prop],
    fixed: Sequence[Fixed] = (),
    floor: tuple[float, float] = (0.4, 0.5),
    initial: Mapping[str, protocol.Body] = types.MappingProxyType({}),
  ):
    self._names = [p.name for p in props]
    self._model = _compile(props, fixed, floor)
    self._data = mujoco.MjData(self._model)
    self._until_s = 0.0
    for i, prop in enumerate(props):
      self._set_body(i, initial.get(prop.name) or initial_body(prop))

  def step(self, seconds: float) -> None:
    """Advances in steps of STEP_S; a remainder carries over."""
    self._until_s += seconds
    steps = round((self._until_s - self._data.time) / STEP_S)
    if steps > 0:
      mujoco.mj_step(self._model, self._data, steps)

  def bodies(self) -> dict[str, protocol.Body]:
    """Returns the pose and velocity of every prop, by name."""
    return {name: self._body(i) for i, name in enumerate(self._names)}

  def _set_body(self, i: int, body: protocol.Body) -> None:
    pose = self._data.qpos[7 * i : 7 * i + 7]
    motion = self._data.qvel[6 * i : 6 * i + 6]
    pose[:3], pose[3:] = body.position_m, body.quaternion
    motion[:3] = body.velocity_mps
    # MuJoCo has angular velocities of free joints in the body's frame.
    motion[3:] = _rotate(pose[3:], body.spin_radps, inverse=True)

  def _body(self, i: int) -> protocol.Body:
    pose = self._data.qpos[7 * i : 7 * i + 7]
    motion = self._data.qvel[6 * i : 6 * i + 6]
    return protocol.Body(
      tuple(pose[:3].tolist()),
      tuple(pose[3:].tolist()),
      tuple(motion[:3].tolist()),
      tuple(_rotate(pose[3:], motion[3:]).tolist()),
    )


def mass_kg(prop: props_lib.Prop) -> float:
  """Returns the mass of a prop, as a solid of its material."""
  return MATTER[prop.material].density_kgpm3 * _solid(prop)[0]


def _solid(prop: props_lib.Prop) -> tuple[float, protocol.Vector, float]:
  """Returns the mechanics of a shape of density 1.

  Returns:
    volume in m^3, principal moments of inertia over mass in m^2, and the height
    of the centre of mass above the centre of the bounding box in m.
  """
  a, r = prop.size_m, prop.size_m / 2
  match prop.shape:
    case 'cube':
      return a**3, (a**2 / 6,) * 3, 0.0
    case 'sphere':
      return 4 / 3 * math.pi * r**3, (0.4 * r**2,) * 3, 0.0
    case 'cylinder':
      across = r**2 / 4 + a**2 / 12
      return math.pi * r**2 * a, (across, across, r**2 / 2), 0.0
    case 'cone':
      across = 3 / 20 * r**2 + 3 / 80 * a**2
      return math.pi * r**2 * a / 3, (across, across, 0.3 * r**2), -a / 4
    case 'torus':
      ring, tube = torus_radii_m(prop)
      across = ring**2 / 2 + 5 / 8 * tube**2
      along = ring**2 + 3 / 4 * tube**2
      volume = 2 * math.pi**2 * ring * tube**2
      return volume, (across, across, along), 0.0
  raise ValueError(
    f'shape {prop.shape!r} of prop {prop.name!r}; choices: {props_lib.SHAPES}'
  )


def torus_radii_m(prop: props_lib.Prop) -> tuple[float, float]:
  """Returns the major radius of a torus and the radius of its tube."""
  return prop.size_m * (1 + prop.hole) / 4, prop.size_m * (1 - prop.hole) / 4


def _compile(
  props: Sequence[props_lib.Prop],
  fixed: Sequence[Fixed],
  floor: tuple[float, float],
) -> mujoco.MjModel:
  spec = mujoco.MjSpec()
  option = spec.option
  option.timestep = STEP_S
  option.gravity = (0.0, 0.0, -GRAVITY_MPS2)
  option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
  option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
  option.impratio = 1000.0
  option.tolerance = 1e-10
  option.enableflags |= mujoco.mjtEnableBit.mjENBL_MULTICCD
  # A box, because MuJoCo finds false contacts of upright cylinders with planes.
  ground = Fixed('', (0.0, 0.0, -1.0), (50.0, 50.0, 1.0), (1, 0, 0, 0), *floor)
  immovable = [
    _Surface(_add_box(spec, f), f.friction, f.restitution)
    for f in (ground, *fixed)
  ]
  movable = []
  for prop in props:
    matter = MATTER[prop.material]
    movable.append(
      _Surface(_add_prop(spec, prop), matter.friction, matter.restitution)
    )
  for a, b in itertools.combinations(movable, 2):
    _add_pairs(spec, a, b)
  for a, b in itertools.product(movable, immovable):
    _add_pairs(spec, a, b)
  return spec.compile()


@dataclasses.dataclass(frozen=True)
class _Surface:
  """The geoms of one body, and their coefficients."""

  geoms: list[str]
  friction: float
  restitution: float


def _add_box(spec: mujoco.MjSpec, fixed: Fixed) -> list[str]:
  """Adds an immovable box; returns the names of its geoms."""
  name = f'fixed/{fixed.name}'
  spec.worldbody.add_geom(
    name=name,
    type=mujoco.mjtGeom.mjGEOM_BOX,
    pos=fixed.position_m,
    quat=fixed.quaternion,
    size=fixed.half_m,
    contype=0,
    conaffinity=0,
  )
  return [name]


def _add_prop(spec: mujoco.MjSpec, prop: props_lib.Prop) -> list[str]:
  """Adds a body with a free joint; returns the names of its geoms."""
  volume_m3, inertia_m2, centre_m = _solid(prop)
  mass = MATTER[prop.material].density_kgpm3 * volume_m3
  body = spec.worldbody.add_body(
    name=f'prop/{prop.name}',
    explicitinertial=True,
    mass=mass,
    ipos=(0.0, 0.0, centre_m),
    inertia=[mass * i for i in inertia_m2],
  )
  body.add_freejoint()
  names = []
  for i, geom in enumerate(_geoms(spec, prop)):
    names.append(f'prop/{prop.name}/{i}')
    body.add_geom(name=names[-1], contype=0, conaffinity=0, **geom)
  return names


def _geoms(spec: mujoco.MjSpec, prop: props_lib.Prop) -> list[dict]:
  """Returns the arguments of add_geom for the collision shapes of a prop."""
  a, r = prop.size_m, prop.size_m / 2
  match prop.shape:
    case 'cube':
      return [{'type': mujoco.mjtGeom.mjGEOM_BOX, 'size': (r, r, r)}]
    case 'sphere':
      return [{'type': mujoco.mjtGeom.mjGEOM_SPHERE, 'size': (r, 0, 0)}]
    case 'cylinder' | 'cone':
      # MuJoCo's cylinders have false contacts with boxes, hulls do not.
      name = f'hull/{prop.name}'
      angles = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
      rim = [(r * np.cos(t), r * np.sin(t), -a / 2) for t in angles]
      top = [(0.0, 0.0, a / 2)]
      if prop.shape == 'cylinder':
        top = [(x, y, -z) for x, y, z in rim]
      mesh = spec.add_mesh(name=name, uservert=np.ravel([*top, *rim]))
      # The mesh has no faces: the centre of mass to which MuJoCo shifts it is
      # that of its hull.
      mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
      return [{'type': mujoco.mjtGeom.mjGEOM_MESH, 'meshname': name}]
    case _:
      return _ring(*torus_radii_m(prop))


def _ring(ring_m: float, tube_m: float) -> list[dict]:
  """Returns capsules along the ring of a torus."""
  angles = np.linspace(0, 2 * np.pi, _CAPSULES + 1)
  ends = [(ring_m * math.cos(t), ring_m * math.sin(t), 0.0) for t in angles]
  return [
    {
      'type': mujoco.mjtGeom.mjGEOM_CAPSULE,
      'size': (tube_m, 0, 0),
      'fromto': (*a, *b),
    }
    for a, b in itertools.pairwise(ends)
  ]


def _add_pairs(spec: mujoco.MjSpec, a: _Surface, b: _Surface) -> None:
  """Lets the geoms of two bodies collide."""
  friction = math.sqrt(a.friction * b.friction)
  restitution = math.sqrt(a.restitution * b.restitution)
  for geom_a, geom_b in itertools.product(a.geoms, b.geoms):
    spec.add_pair(
      geomname1=geom_a,
      geomname2=geom_b,
      condim=6,
      friction=(friction, friction, TORSION_M, ROLLING_M, ROLLING_M),
      solref=(-STIFFNESS_PS2, -_damping_ps(restitution)),
      solimp=(_IMPEDANCE, _IMPEDANCE, 0.001, 0.5, 2.0),
    )


@functools.cache
def _damping_ps(restitution: float) -> float:
  """Returns the damping that gives a contact a coefficient of restitution.

  A spring with a damper that never pulls, of damping ratio sin(a), has the
  restitution exp(-tan(a) (pi - 2 a)), which is at least exp(-2) (Schwager and
  Poeschel 2007). Bisection finds a.
  """
  low, high = 0.0, math.pi / 2 - 1e-6
  for _ in range(50):
    middle = (low + high) / 2
    value = math.exp(-math.tan(middle) * (math.pi - 2 * middle))
    low, high = (middle, high) if value > restitution else (low, middle)
  return 2 * math.sin(low) * math.sqrt(STIFFNESS_PS2)


def initial_body(prop: props_lib.Prop) -> protocol.Body:
  """Returns the default initial pose and velocity of a prop.

  It is upright. A sphere on the floor rolls without slipping; everything else
  has no angular velocity.
  """
  half_yaw, radius = math.radians(prop.yaw_deg) / 2, prop.size_m / 2
  spin = (0.0, 0.0, 0.0)
  if prop.shape == 'sphere' and abs(prop.position_m[2] - radius) < 0.001:
    vx, vy, _ = prop.velocity_mps
    spin = (-vy / radius, vx / radius, 0.0)
  return protocol.Body(
    prop.position_m,
    (math.cos(half_yaw), 0.0, 0.0, math.sin(half_yaw)),
    prop.velocity_mps,
    spin,
  )


def _rotate(
  quaternion: np.ndarray, vector: Sequence[float], inverse: bool = False
) -> np.ndarray:
  """Returns a vector [3] rotated by a quaternion, or by its inverse."""
  # MuJoCo's arithmetic, not scipy's, which differs in the last bit: states have
  # to stay reproducible bit for bit.
  rotation, rotated = np.array(quaternion), np.empty(3)
  if inverse:
    mujoco.mju_negQuat(rotation, np.array(quaternion))
  mujoco.mju_rotVecQuat(rotated, np.array(vector, float), rotation)
  return rotated
