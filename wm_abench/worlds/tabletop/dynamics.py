"""Rigid-body physics of props, apart from how they look.

A small MuJoCo model of nothing but solids, compiled in milliseconds for each
scene: the props, some fixed boxes, and a floor at z = 0. Contacts are stiff
springs with dampers, whose damping gives the restitution; friction is
Coulomb's, with the elliptic cone. What two surfaces have together is the
geometric mean of what each has, of friction and of restitution alike.
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
  """What physics knows of a material, in round textbook numbers.

  Attributes:
    density_kgpm3: of the solid.
    friction: coefficient on a like surface, at rest and sliding.
    restitution: speed after over speed before a blow on a like surface.
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

# A lever of rolling resistance: a ball of radius R slows by about 0.7 g / R
# times this.
ROLLING_M = 0.0005
TORSION_M = 0.002
# Of a contact, per metre: a blow lasts pi over its root, 7 ms.
STIFFNESS_PS2 = 200_000.0
# The share of gravity that a contact takes away at once. The spring has to bear
# the rest, else solids at rest would hop about; they sink in by 0.02 mm.
_IMPEDANCE = 0.5

_CAPSULES = 16  # A torus's ring.
_SIDES = 32  # Of the hull of a cylinder or cone.


@dataclasses.dataclass(frozen=True)
class Fixed:
  """A box that nothing moves: a ramp, a step, a wall.

  Attributes:
    name: unique among the fixed ones.
    position_m: of its centre.
    half_m: half sizes along its own axes.
    quaternion: (w, x, y, z), its turn.
    friction: coefficient on a like surface.
    restitution: on a like surface.
  """

  name: str
  position_m: protocol.Vector
  half_m: protocol.Vector
  quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
  friction: float = 0.4
  restitution: float = 0.5


class Dynamics:
  """Props under gravity, from their positions and velocities on.

  A sphere that starts on the floor rolls from the start, without slipping;
  all else starts without spin and upright, unless `starts` says otherwise.

  Args:
    props: with unique names; their paths are not read.
    fixed: what they may meet besides each other and the floor.
    floor: friction and restitution of the plane z = 0.
    starts: of some props, by name, how they start, in place of what the prop
      says of its position, yaw and velocity.
  """

  def __init__(
    self,
    props: Sequence[props_lib.Prop],
    fixed: Sequence[Fixed] = (),
    floor: tuple[float, float] = (0.4, 0.5),
    starts: Mapping[str, protocol.Body] = types.MappingProxyType({}),
  ):
    self._names = [p.name for p in props]
    self._model = _compile(props, fixed, floor)
    self._data = mujoco.MjData(self._model)
    self._until_s = 0.0
    for i, prop in enumerate(props):
      self._place(i, starts.get(prop.name) or start(prop))

  def step(self, seconds: float) -> None:
    """Lets time pass; what is less than half a time step is carried over."""
    self._until_s += seconds
    steps = round((self._until_s - self._data.time) / STEP_S)
    if steps > 0:
      mujoco.mj_step(self._model, self._data, steps)

  def bodies(self) -> dict[str, protocol.Body]:
    """Where the props are and how they move, by name."""
    return {name: self._body(i) for i, name in enumerate(self._names)}

  def _place(self, i: int, body: protocol.Body) -> None:
    pose = self._data.qpos[7 * i : 7 * i + 7]
    motion = self._data.qvel[6 * i : 6 * i + 6]
    pose[:3], pose[3:] = body.position_m, body.quaternion
    motion[:3] = body.velocity_mps
    motion[3:] = _turned(pose[3:], body.spin_radps, back=True)

  def _body(self, i: int) -> protocol.Body:
    pose = self._data.qpos[7 * i : 7 * i + 7]
    motion = self._data.qvel[6 * i : 6 * i + 6]
    return protocol.Body(
      tuple(pose[:3].tolist()),
      tuple(pose[3:].tolist()),
      tuple(motion[:3].tolist()),
      tuple(_turned(pose[3:], motion[3:]).tolist()),
    )


def mass_kg(prop: props_lib.Prop) -> float:
  """A prop's mass, as a solid of its material."""
  return MATTER[prop.material].density_kgpm3 * _solid(prop)[0]


def _solid(prop: props_lib.Prop) -> tuple[float, protocol.Vector, float]:
  """Volume (m^3), moments of inertia over mass (m^2), height of the centre of
  mass above the middle (m)."""
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
    f'shape {prop.shape!r} of {prop.name!r} is none of {props_lib.SHAPES}'
  )


def torus_radii_m(prop: props_lib.Prop) -> tuple[float, float]:
  """Of the ring (to the tube's middle) and of the tube."""
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
  # A box, for MuJoCo finds false contacts of upright cylinders with planes.
  ground = Fixed('', (0.0, 0.0, -1.0), (50.0, 50.0, 1.0), (1, 0, 0, 0), *floor)
  still = [(_box(spec, f), f.friction, f.restitution) for f in (ground, *fixed)]
  moving = []
  for prop in props:
    matter = MATTER[prop.material]
    moving.append((_add(spec, prop), matter.friction, matter.restitution))
  for a, b in itertools.combinations(moving, 2):
    _pair(spec, a, b)
  for a, b in itertools.product(moving, still):
    _pair(spec, a, b)
  return spec.compile()


def _box(spec: mujoco.MjSpec, fixed: Fixed) -> list[str]:
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


def _add(spec: mujoco.MjSpec, prop: props_lib.Prop) -> list[str]:
  """Adds a body that floats freely; returns the names of its geoms."""
  volume_m3, inertia_m2, lift_m = _solid(prop)
  mass = MATTER[prop.material].density_kgpm3 * volume_m3
  body = spec.worldbody.add_body(
    name=f'prop/{prop.name}',
    explicitinertial=True,
    mass=mass,
    ipos=(0.0, 0.0, lift_m),
    inertia=[mass * i for i in inertia_m2],
  )
  body.add_freejoint()
  names = []
  for i, geom in enumerate(_geoms(spec, prop)):
    names.append(f'prop/{prop.name}/{i}')
    body.add_geom(name=names[-1], contype=0, conaffinity=0, **geom)
  return names


def _geoms(spec: mujoco.MjSpec, prop: props_lib.Prop) -> list[dict]:
  a, r = prop.size_m, prop.size_m / 2
  match prop.shape:
    case 'cube':
      return [{'type': mujoco.mjtGeom.mjGEOM_BOX, 'size': (r, r, r)}]
    case 'sphere':
      return [{'type': mujoco.mjtGeom.mjGEOM_SPHERE, 'size': (r, 0, 0)}]
    case 'cylinder' | 'cone':
      # MuJoCo's own cylinders get false contacts on boxes, hulls do not.
      name = f'hull/{prop.name}'
      turns = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
      rim = [(r * np.cos(t), r * np.sin(t), -a / 2) for t in turns]
      top = [(0.0, 0.0, a / 2)]
      if prop.shape == 'cylinder':
        top = [(x, y, -z) for x, y, z in rim]
      mesh = spec.add_mesh(name=name, uservert=np.ravel([*top, *rim]))
      # Hulls are moved to their centre of mass; this one is told where it is.
      mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
      return [{'type': mujoco.mjtGeom.mjGEOM_MESH, 'meshname': name}]
    case _:
      return _ring(*torus_radii_m(prop))


def _ring(ring_m: float, tube_m: float) -> list[dict]:
  turns = np.linspace(0, 2 * np.pi, _CAPSULES + 1)
  ends = [(ring_m * math.cos(t), ring_m * math.sin(t), 0.0) for t in turns]
  return [
    {
      'type': mujoco.mjtGeom.mjGEOM_CAPSULE,
      'size': (tube_m, 0, 0),
      'fromto': (*a, *b),
    }
    for a, b in itertools.pairwise(ends)
  ]


def _pair(spec: mujoco.MjSpec, a: tuple, b: tuple) -> None:
  friction = math.sqrt(a[1] * b[1])
  restitution = math.sqrt(a[2] * b[2])
  for one, other in itertools.product(a[0], b[0]):
    spec.add_pair(
      geomname1=one,
      geomname2=other,
      condim=6,
      friction=(friction, friction, TORSION_M, ROLLING_M, ROLLING_M),
      solref=(-STIFFNESS_PS2, -_damping_ps(restitution)),
      solimp=(_IMPEDANCE, _IMPEDANCE, 0.001, 0.5, 2.0),
    )


@functools.cache
def _damping_ps(restitution: float) -> float:
  """Of a spring with a damper that lets go as soon as it would pull.

  With damping ratio z = sin(a) it keeps exp(-tan(a) (pi - 2 a)) of the speed
  (Schwager and Poeschel 2007), at least exp(-2).
  """
  low, high = 0.0, math.pi / 2 - 1e-6
  for _ in range(50):
    middle = (low + high) / 2
    kept = math.exp(-math.tan(middle) * (math.pi - 2 * middle))
    low, high = (middle, high) if kept > restitution else (low, middle)
  return 2 * math.sin(low) * math.sqrt(STIFFNESS_PS2)


def start(prop: props_lib.Prop) -> protocol.Body:
  """How a prop starts that nothing else is said of."""
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


def _turned(
  quaternion: np.ndarray, vector: Sequence[float], back: bool = False
) -> np.ndarray:
  turn, out = np.array(quaternion), np.empty(3)
  if back:
    mujoco.mju_negQuat(turn, np.array(quaternion))
  mujoco.mju_rotVecQuat(out, np.array(vector, float), turn)
  return out
