"""Kitchen objects that arms handle: appearance, mass and collision shapes.

Each kind is one body with boxes and cylinders for collisions, and with visible
meshes and primitives. The geoms in the object's colour have names with a common
prefix, so that the colour can be set without compiling again.
"""

import dataclasses

import mujoco
import numpy as np

WHITE = (0.94, 0.93, 0.90, 1.0)
STEEL = (0.72, 0.73, 0.75, 1.0)
DARK = (0.10, 0.10, 0.11, 1.0)

_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_SIDES = 40  # Around a round mesh.
# Friction on the counter. That of a long object also applies to the fingers, so
# that one hand at its end cannot keep it level.
_FRICTION, _LONG_FRICTION = 0.35, 0.5


@dataclasses.dataclass(frozen=True)
class Kind:
  """The properties of a kind of object.

  Attributes:
    noun: its name in prompts.
    size_m: x, y and z of the bounding box without a handle.
    mass_kg: 0 for an immovable object.
  """

  noun: str
  size_m: tuple[float, float, float]
  mass_kg: float

  @property
  def grip_m(self) -> float:
    """Height above the base at which the pads of the fingers grasp it."""
    return max(self.size_m[2] - 0.032, 0.028)


# Objects that one hand can hold, with the fingers closing along x.
SMALL: dict[str, Kind] = {
  'can': Kind('soup can', (0.068, 0.068, 0.105), 0.25),
  'carton': Kind('milk carton', (0.064, 0.064, 0.112), 0.25),
  'mug': Kind('mug', (0.066, 0.066, 0.082), 0.25),
  'box': Kind('tea box', (0.056, 0.094, 0.080), 0.25),
}
# Objects that two hands hold at the ends. They lie along x, and the fingers
# close along y.
LONG: dict[str, Kind] = {
  'pasta_box': Kind('pasta box', (0.30, 0.058, 0.056), 0.80),
  'bread_tin': Kind('bread tin', (0.30, 0.060, 0.060), 0.80),
  'beam': Kind('wooden beam', (0.30, 0.052, 0.052), 0.80),
}
# Immovable objects, on or into which others are put.
FIXED: dict[str, Kind] = {
  'plate': Kind('plate', (0.17, 0.17, 0.012), 0.0),
  'bowl': Kind('bowl', (0.17, 0.17, 0.055), 0.0),
}
KINDS: dict[str, Kind] = SMALL | LONG | FIXED


def colored_prefix(kind: str) -> str:
  """Returns the prefix of the names of geoms in the object's colour."""
  return f'{kind}_paint'


def add_object(model: mujoco.MjSpec, kind: str) -> None:
  """Adds an object whose base is at the origin of its body.

  Immovable ones become mocap bodies, the others get a free joint.
  """
  fixed = kind in FIXED
  body = model.worldbody.add_body(name=kind, mocap=fixed)
  if not fixed:
    body.add_freejoint(name=kind)
  _Builder(model, body, kind).build()


class _Builder:
  """Adds the geoms of one object; each kind has a method of its name."""

  def __init__(self, model, body, kind):
    self.model, self.body, self.kind = model, body, kind
    self.size_m, self.mass_kg = KINDS[kind].size_m, KINDS[kind].mass_kg
    self.count = 0

  def build(self) -> None:
    getattr(self, f'_{self.kind}')()

  def add_collision(
    self, shape, pos, size, fraction=1.0, quat=(1, 0, 0, 0)
  ) -> None:
    """Adds a collision shape with a fraction of the object's mass."""
    long = self.kind in LONG
    self.body.add_geom(
      type=shape,
      pos=pos,
      size=size,
      quat=quat,
      group=3,
      mass=fraction * self.mass_kg,
      friction=(_LONG_FRICTION if long else _FRICTION, 0.003, 1e-4),
      priority=int(long),
      condim=4,
      contype=1,
      conaffinity=1,
      solref=(0.008, 1.0),
    )

  def add_shape(self, shape, pos, size, rgba=None, quat=(1, 0, 0, 0)) -> None:
    """Adds a visible primitive; without rgba, in the object's colour."""
    self._add_visible(rgba, type=shape, pos=pos, size=size, quat=quat)

  def add_mesh(self, vertices, faces, rgba=None, pos=(0, 0, 0)) -> None:
    """Adds a visible mesh; without rgba, in the object's colour."""
    name = f'{self.kind}_mesh{self.count}'
    self.model.add_mesh(
      name=name,
      uservert=np.ravel(vertices),
      userface=np.ravel(faces),
      inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    mesh = mujoco.mjtGeom.mjGEOM_MESH
    self._add_visible(rgba, type=mesh, meshname=name, pos=pos)

  def _add_visible(self, rgba, **shape) -> None:
    prefix = colored_prefix(self.kind) if rgba is None else f'{self.kind}_look'
    self.body.add_geom(
      name=f'{prefix}{self.count}',
      rgba=rgba or WHITE,
      group=1,
      mass=0,
      contype=0,
      conaffinity=0,
      material='glaze',
      **shape,
    )
    self.count += 1

  def _can(self) -> None:
    w, _, h = self.size_m
    r = w / 2
    self.add_collision(_CYLINDER, (0, 0, h / 2), (r, h / 2, 0))
    foot = [(0, 0), (r - 1e-3, 0), (r, 2e-3), (r, 6e-3), (r - 2e-3, 8e-3)]
    top = [(rr, h - z) for rr, z in reversed(foot[1:])]
    lid = [(r - 3e-3, h), (r - 4e-3, h - 3e-3), (0, h - 3e-3)]
    self.add_mesh(*lathe([*foot, *top, *lid]), STEEL)
    side = r - 1e-3
    self.add_mesh(
      *lathe([(0, 8e-3), (side, 8e-3), (side, h - 8e-3), (0, h - 8e-3)])
    )
    # On the front only, which makes rotations visible.
    label = [
      (side - 1e-3, 0.26 * h),
      (r - 3e-4, 0.26 * h),
      (r - 3e-4, 0.74 * h),
      (side - 1e-3, 0.74 * h),
    ]
    self.add_mesh(*lathe(label, from_deg=195, to_deg=345), WHITE)
    self.add_shape(_BOX, (0, -r + 4e-3, h / 2), (0.010, 4.2e-3, 0.012))

  def _carton(self) -> None:
    w, _, h = self.size_m
    a, body = w / 2, 0.088
    self.add_collision(_BOX, (0, 0, body / 2), (a, a, body / 2), 0.9)
    self.add_collision(
      _BOX, (0, 0, (body + h) / 2), (a, 0.012, (h - body) / 2), 0.1
    )
    self.add_shape(_BOX, (0, 0, body / 2), (a, a, body / 2))
    ridge = h - 0.008
    corners = [(x, y, body) for x, y in ((-a, -a), (a, -a), (a, a), (-a, a))]
    corners += [(-a, 0, ridge), (a, 0, ridge)]
    slopes = [(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5)]
    gables = [(1, 2, 5), (3, 0, 4)]
    self.add_mesh(corners, [*slopes, *gables, (0, 2, 1), (0, 3, 2)], WHITE)
    self.add_shape(_BOX, (0, 0, ridge), (a, 0.0025, 0.008))
    # The label and the lid are in front, which makes rotations visible.
    self.add_shape(_BOX, (0, -a, 0.045), (0.8 * a, 6e-4, 0.032), WHITE)
    upright = (0.7071, 0.7071, 0, 0)
    self.add_shape(_CYLINDER, (0, -a, 0.045), (0.014, 9e-4, 0), quat=upright)
    self.add_shape(
      _CYLINDER,
      (0, -0.6 * a, body + 0.009),
      (0.011, 0.008, 0),
      DARK,
      quat=(0.9659, 0.2588, 0, 0),
    )

  def _mug(self) -> None:
    w, _, h = self.size_m
    r = w / 2
    self.add_collision(_CYLINDER, (0, 0, h / 2), (r, h / 2, 0))
    self.add_collision(_BOX, (0, -r - 0.012, h / 2), (0.006, 0.016, 0.022), 0.0)
    wall = 3.5e-3
    self.add_mesh(
      *lathe(
        [
          (0, 0),
          (r - 6e-3, 0),
          (r - 1e-3, 5e-3),
          (r, 0.012),
          (r, h - 2e-3),
          (r - wall / 2, h),
          (r - wall, h - 2e-3),
          (r - wall, 8e-3),
          (0, 6e-3),
        ]
      )
    )
    self.add_mesh(*_handle(0.023, 0.0055), pos=(0, -r + 2e-3, h / 2))
    self.add_mesh(
      *lathe([(0, 6e-3), (r - wall - 1e-3, 6e-3), (0, h - 0.02)]),
      (0.25, 0.14, 0.08, 1),
    )

  def _box(self) -> None:
    a, b, c = (s / 2 for s in self.size_m)
    self.add_collision(_BOX, (0, 0, c), (a, b, c))
    self.add_shape(_BOX, (0, 0, c), (a, b, c))
    self.add_shape(
      _BOX, (0, -0.55 * b, c), (a + 6e-4, 0.22 * b, c + 6e-4), WHITE
    )
    self.add_shape(_BOX, (0, 0, 2 * c), (0.55 * a, 0.18 * b, 8e-4), DARK)

  def _pasta_box(self) -> None:
    a, b, c = (s / 2 for s in self.size_m)
    self.add_collision(_BOX, (0, 0, c), (a, b, c))
    self.add_shape(_BOX, (0, 0, c), (a, b, c))
    self.add_shape(
      _BOX, (0.03, 0, c), (0.3 * a, b + 6e-4, 0.6 * c), (0.93, 0.80, 0.45, 1)
    )
    self.add_shape(_BOX, (-0.075, 0, c), (0.012, b + 8e-4, c + 8e-4), WHITE)
    self.add_shape(
      _BOX, (0.03, 0, c), (0.3 * a, 0.6 * b, c + 6e-4), (0.93, 0.80, 0.45, 1)
    )

  def _bread_tin(self) -> None:
    a, b, c = (s / 2 for s in self.size_m)
    self.add_collision(_BOX, (0, 0, c), (a, b, c))
    t = 2e-3
    self.add_shape(_BOX, (0, 0, t), (a, b, t))
    for s in (-1, 1):
      self.add_shape(_BOX, (0, s * (b - t), c), (a, t, c))
      self.add_shape(_BOX, (s * (a - t), 0, c), (t, b, c))
      self.add_shape(_BOX, (0, s * b, 2 * c - 3e-3), (a, 1.5e-3, 3e-3), STEEL)
      self.add_shape(_BOX, (s * a, 0, 2 * c - 3e-3), (1.5e-3, b, 3e-3), STEEL)
    loaf = mujoco.mjtGeom.mjGEOM_ELLIPSOID
    self.add_shape(
      loaf,
      (0, 0, 0.9 * c),
      (0.93 * a, 0.86 * b, 0.95 * c),
      (0.74, 0.47, 0.20, 1),
    )

  def _beam(self) -> None:
    a, b, c = (s / 2 for s in self.size_m)
    self.add_collision(_BOX, (0, 0, c), (a, b, c))
    self.add_shape(_BOX, (0, 0, c), (a - 4e-3, b, c))
    for s in (-1, 1):
      self.add_shape(
        _BOX,
        (s * (a - 2e-3), 0, c),
        (2e-3, 0.96 * b, 0.96 * c),
        (0.85, 0.68, 0.44, 1),
      )
    for x in (-0.05, 0.0, 0.05):
      self.add_shape(
        _BOX, (x, 0, c), (4e-3, b + 5e-4, c + 5e-4), (0.85, 0.68, 0.44, 1)
      )

  def _plate(self) -> None:
    w, _, h = self.size_m
    r = w / 2
    self.add_collision(_CYLINDER, (0, 0, 2e-3), (0.72 * r, 2e-3, 0))
    self.add_mesh(
      *lathe(
        [
          (0, 0),
          (0.6 * r, 0),
          (r, h - 2e-3),
          (r, h),
          (0.68 * r, 4.5e-3),
          (0, 4e-3),
        ]
      )
    )
    self.add_mesh(
      *lathe(
        [
          (0.84 * r, h - 4.6e-3),
          (r + 4e-4, h - 1e-3),
          (r + 4e-4, h + 5e-4),
          (0.84 * r, h - 2.6e-3),
        ]
      ),
      WHITE,
    )

  def _bowl(self) -> None:
    w, _, h = self.size_m
    r = w / 2
    self.add_collision(_CYLINDER, (0, 0, 4e-3), (0.75 * r, 4e-3, 0))
    n = 14
    for i in range(n):
      angle = 2 * np.pi * i / n
      c, s = np.cos(angle), np.sin(angle)
      half = np.pi * r / n * 1.1
      self.add_collision(
        _BOX,
        ((r - 4e-3) * c, (r - 4e-3) * s, h / 2),
        (4e-3, half, h / 2),
        quat=(np.cos(angle / 2), 0, 0, np.sin(angle / 2)),
      )
    self.add_mesh(
      *lathe(
        [
          (0, 0),
          (0.62 * r, 0),
          (0.88 * r, 0.35 * h),
          (r, h - 2e-3),
          (r - 2e-3, h),
          (r - 5e-3, h - 3e-3),
          (0.83 * r, 0.38 * h),
          (0.6 * r, 8e-3),
          (0, 8e-3),
        ]
      )
    )


def lathe(
  profile_m: list[tuple[float, float]],
  from_deg: float = 0.0,
  to_deg: float = 360.0,
) -> tuple[list, list]:
  """Returns vertices and faces of a surface of revolution about z.

  trimesh.creation.revolve merges the vertices at the seam and on the axis, so
  that MuJoCo smooths the normals there and frames change.

  Args:
    profile_m: points (radius, height).
    from_deg, to_deg: the sector; a full turn by default.
  """
  angles = np.radians(np.linspace(from_deg, to_deg, _SIDES + 1))
  vertices = [
    (max(r, 1e-5) * np.cos(angle), max(r, 1e-5) * np.sin(angle), z)
    for r, z in profile_m
    for angle in angles
  ]
  faces, n = [], len(angles)
  for ring in range(len(profile_m) - 1):
    faces += _strip(ring * n, (ring + 1) * n, n, gap=1)
  return vertices, faces


def _strip(low: int, high: int, n: int, gap: int = 0) -> list:
  """Returns the faces between two rings of n vertices, without `gap` sides."""
  around = [(i, (i + 1) % n) for i in range(n - gap)]
  first = [(low + i, low + j, high + j) for i, j in around]
  return first + [(low + i, high + j, high + i) for i, j in around]


def _handle(radius_m: float, thick_m: float) -> tuple[list, list]:
  """Returns vertices and faces of half a torus in the y-z plane, towards -y."""
  rings, n = 13, 10
  vertices, faces = [], []
  for k in range(rings):
    around = np.pi * k / (rings - 1) - np.pi / 2
    for i in range(n):
      angle = 2 * np.pi * i / n
      radial = radius_m + thick_m * np.cos(angle)
      x = thick_m * np.sin(angle)
      vertices.append((x, -radial * np.cos(around), radial * np.sin(around)))
  for k in range(rings - 1):
    faces += _strip(k * n, (k + 1) * n, n)
  return vertices, faces
