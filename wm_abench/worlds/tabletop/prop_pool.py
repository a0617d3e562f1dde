"""A pool of bodies in a compiled model that can look like any props.

Each slot of the pool is one body with a mesh of every shape. To show a prop,
the slot's mesh of that shape is scaled to the prop's size (a torus to its hole
too), and the geom gets its material and colour. The other geoms of the slot
move to a group that is not rendered. Nothing is compiled again.
"""

from collections.abc import Mapping, Sequence
import functools
import itertools

import mujoco
import numpy as np
from scipy.spatial import transform

from wm_abench.worlds import meshes, protocol
from wm_abench.worlds.homes import decor, joinery
from wm_abench.worlds.tabletop import props as props_lib

SLOTS = 16
_VISIBLE, _HIDDEN = 1, 4  # Groups of geoms.
_SIDES = 48  # Around the axis of a round shape.
_HOLE = 0.5  # Of the torus as compiled, as a fraction of its width.
_ALPHA = 0.42  # Opacity of glass.
# Materials with a texture, and the least value of their RGB, since a texture
# would be invisible on black.
_GRAINY, _GRAINY_LEAST = ('wood', 'metal', 'stone', 'fabric'), 0.14

# Specular and shininess. Renderers read the material from the name.
_SHINE: dict[str, tuple[float, float]] = {
  'plastic': (0.45, 0.55),
  'wood': (0.12, 0.15),
  'metal': (0.9, 0.5),
  'glass': (1.0, 0.9),
  'stone': (0.05, 0.05),
  'fabric': (0.0, 0.0),
}
# The natural colours of the materials.
_NATURAL: dict[str, protocol.Vector] = {
  'plastic': (0.10, 0.62, 0.66),
  'wood': (0.66, 0.45, 0.26),
  'metal': (0.74, 0.75, 0.77),
  'glass': (0.72, 0.88, 0.86),
  'stone': (0.55, 0.53, 0.50),
  'fabric': (0.72, 0.64, 0.52),
}


def add_slots(spec: mujoco.MjSpec) -> None:
  """Adds the slots and the materials of props to a specification."""
  for name in props_lib.MATERIALS:
    _add_material(spec, name)
  for slot in range(SLOTS):
    body = spec.worldbody.add_body(name=f'slot{slot}', mocap=True)
    for shape, mesh in _shapes().items():
      meshes.add_mesh(spec, _geom(slot, shape), mesh)
      meshes.add_geom(body, _geom(slot, shape), _material('plastic'))


class Pool:
  """The slots of a compiled model.

  Args:
    model: compiled from a specification to which add_slots was applied.
  """

  def __init__(self, model: mujoco.MjModel):
    self._model = model
    self._meshes = {
      _geom(slot, shape): _SlotMesh(model, model.mesh(_geom(slot, shape)).id)
      for slot in range(SLOTS)
      for shape in props_lib.SHAPES
    }
    self._slots = [
      {shape: model.geom(_geom(slot, shape)).id for shape in props_lib.SHAPES}
      for slot in range(SLOTS)
    ]

  def show(
    self,
    data: mujoco.MjData,
    props: Sequence[props_lib.Prop],
    bodies: Mapping[str, protocol.Body],
  ) -> list[int]:
    """Shows exactly these props, at the poses of their bodies.

    Args:
      data: receives the poses; the caller runs mj_forward.
      props: at most SLOTS.
      bodies: the pose of each prop by its name.

    Returns:
      Indices of the meshes that have changed, which the renderer must refresh.
    """
    model, changed = self._model, []
    for slot, geoms in enumerate(self._slots):
      for geom in geoms.values():
        model.geom_group[geom] = _HIDDEN
      if slot >= len(props):
        continue
      prop = props[slot]
      geom = geoms[prop.shape]
      model.geom_group[geom] = _VISIBLE
      model.geom_matid[geom] = model.material(_material(prop.material)).id
      model.geom_rgba[geom] = _rgba(prop)
      body = bodies[prop.name]
      data.mocap_pos[slot] = body.position_m
      data.mocap_quat[slot] = body.quaternion
      mesh = self._meshes[_geom(slot, prop.shape)]
      if mesh.resize(prop):
        changed.append(mesh.index)
    return changed


class _SlotMesh:
  """One mesh of a slot, which can be scaled in place.

  Attributes:
    index: of the mesh in the model.
  """

  def __init__(self, model: mujoco.MjModel, index: int):
    self.index = index
    self._size: tuple[float, float] | None = None
    start = model.mesh_vertadr[index]
    self._vertices_V3 = model.mesh_vert[
      start : start + model.mesh_vertnum[index]
    ]
    # MuJoCo stores vertices in the frame of their principal axes of inertia.
    rotation = transform.Rotation.from_quat(
      model.mesh_quat[index], scalar_first=True
    )
    self._rotation_33 = rotation.as_matrix()
    self._centre_3 = model.mesh_pos[index]
    self._unit_V3 = self._vertices_V3 @ self._rotation_33.T + self._centre_3

  def resize(self, prop: props_lib.Prop) -> bool:
    """Scales the vertices to a prop; returns whether that changed them."""
    size = (prop.size_m, prop.hole if prop.shape == 'torus' else 0.0)
    if size == self._size:
      return False
    self._size, unit_V3 = size, self._unit_V3
    if prop.shape == 'torus':
      unit_V3 = _with_hole(unit_V3, prop.hole)
    self._vertices_V3[:] = (
      unit_V3 * prop.size_m - self._centre_3
    ) @ self._rotation_33
    return True


def _geom(slot: int, shape: str) -> str:
  return f'slot{slot}/{shape}'


def _material(name: str) -> str:
  return f'prop {name}'


def _rgba(prop: props_lib.Prop) -> np.ndarray:
  color = (
    props_lib.COLORS[prop.color] if prop.color else _NATURAL[prop.material]
  )
  if prop.material in _GRAINY:
    color = np.maximum(color, _GRAINY_LEAST)
  alpha = _ALPHA if prop.material == 'glass' else 1.0
  return np.array((*np.clip(np.multiply(color, prop.shade), 0, 1), alpha))


def _with_hole(unit_V3: np.ndarray, hole: float) -> np.ndarray:
  """Returns the vertices of the torus of width 1 with another hole."""
  radial_V3 = unit_V3 * [1, 1, 0]
  radial_V3 = radial_V3 / np.linalg.norm(radial_V3, axis=1, keepdims=True)
  tube_V3 = unit_V3 - radial_V3 * (1 + _HOLE) / 4
  return radial_V3 * (1 + hole) / 4 + tube_V3 * (1 - hole) / (1 - _HOLE)


def _add_material(spec: mujoco.MjSpec, name: str) -> None:
  specular, shininess = _SHINE[name]
  shine = {'specular': specular, 'shininess': shininess}
  texture_HW3 = _texture(name)
  if texture_HW3 is None:
    spec.add_material(name=_material(name), **shine)
    return
  pixels = (np.clip(texture_HW3, 0, 1) * 255).round().astype(np.uint8)
  meshes.add_material(spec, _material(name), pixels, **shine)


@functools.cache
def _texture(name: str) -> np.ndarray | None:
  """Returns the factor on a material's colour [H, W, 3], or None for none."""
  rng = np.random.default_rng(7)
  match name:
    case 'wood':
      return _wood(rng)
    case 'metal':
      return _metal(rng)
    case 'stone':
      return _stone(rng)
    case 'fabric':
      return _fabric(rng)
  return None


def _gray(values_HW: np.ndarray) -> np.ndarray:
  return np.repeat(np.clip(values_HW, 0, 1)[..., None], 3, axis=-1)


def _wood(rng: np.random.Generator) -> np.ndarray:
  """Returns wood cut along the grain: growth rings are wavy dark lines."""
  n = 256
  v, _ = np.mgrid[0:n, 0:n] / n
  depth = 6 * v + 0.35 * decor.smooth(rng, n, n, 60)
  ring = (depth % 1) ** 3
  pore = 0.06 * decor.smooth(rng, n, n, 2) * (rng.random((n, 1)) > 0.4)
  return _gray(0.97 - 0.38 * ring + pore)


def _metal(rng: np.random.Generator) -> np.ndarray:
  """Returns brushed metal with vertical bands, like blurred reflections."""
  n = 256
  u = np.linspace(0, 2 * np.pi, n, endpoint=False)
  level = 0.7 + 0.22 * np.sin(u + 0.6) + 0.14 * np.sin(3 * u)
  brushed = rng.normal(0, 0.03, (n, 1)) + rng.normal(0, 0.012, (n, n))
  return _gray(level + brushed)


def _stone(rng: np.random.Generator) -> np.ndarray:
  """Returns granite: large clouds with dark and light grains."""
  n = 256
  cloud = 0.10 * decor.smooth(rng, n, n, 60)
  grain = 0.10 * decor.smooth(rng, n, n, 10)
  speck = decor.smooth(rng, n, n, 7)
  dark, light = 0.5 * (speck > 1.2), 0.3 * (speck < -1.3)
  return _gray(0.72 + cloud + grain - dark + light)


def _fabric(rng: np.random.Generator) -> np.ndarray:
  """Returns a coarse plain weave."""
  n, threads = 256, 24
  v, u = np.mgrid[0:n, 0:n] * threads / n
  over = (np.floor(u) + np.floor(v)) % 2 == 0
  across = np.where(over, u % 1, v % 1)
  thread = 1 - 0.55 * (2 * across - 1) ** 2
  return _gray(0.97 * thread * (1 + 0.05 * decor.smooth(rng, n, n, 3)))


@functools.cache
def _shapes() -> dict[str, meshes.Mesh]:
  """Returns every shape with a width of 1 m, centred at the origin.

  trimesh.creation has these shapes too, but without texture coordinates and
  the seams that these need.
  """
  cube = joinery.soft('', (-0.5,) * 3, (0.5,) * 3, 0.025).mesh
  bottom, rim, top = (0.0, -0.5), (0.5, -0.5), (0.5, 0.5)
  return {
    'cube': cube,
    'sphere': meshes.ball(24, _SIDES).moved((0, 0, 0), 0, 0.5),
    'cylinder': _revolved([bottom, rim, top, (0.0, 0.5)]),
    'cone': _revolved([bottom, rim, (0.0, 0.5)]),
    'torus': _torus(),
  }


def _revolved(profile: Sequence[tuple[float, float]]) -> meshes.Mesh:
  """Returns the surface of revolution of a profile about z.

  Args:
    profile: (radius, height) from bottom to top.
  """
  angle_A = np.linspace(0, 2 * np.pi, _SIDES + 1)
  cos_A, sin_A = np.cos(angle_A), np.sin(angle_A)
  parts = []
  for (r0, z0), (r1, z1) in itertools.pairwise(profile):
    ends = [
      np.stack([r * cos_A, r * sin_A, z + 0 * cos_A], -1)
      for r, z in ((r0, z0), (r1, z1))
    ]
    slope = np.array([z1 - z0, r0 - r1]) / np.hypot(z1 - z0, r0 - r1)
    normal = np.stack([slope[0] * cos_A, slope[0] * sin_A], -1)
    normal = np.concatenate([normal, 0 * normal[:, :1] + slope[1]], -1)
    if z0 == z1:  # A disc: the texture is projected along z.
      uvs = [end[:, :2] + 0.5 for end in ends]
    else:
      uvs = [
        np.stack([2 * angle_A / (2 * np.pi), 0 * angle_A + v], -1)
        for v in (0, 1)
      ]
    n, i = _SIDES + 1, np.arange(_SIDES)[:, None]
    index = (i + np.array([0, 1, n + 1, 0, n + 1, n])).reshape(-1, 3)
    parts.append(
      meshes.Mesh(
        np.concatenate(ends),
        np.concatenate([normal, normal]),
        np.concatenate(uvs),
        index,
      )
    )
  return meshes.join(parts)


def _torus() -> meshes.Mesh:
  """Returns a torus that lies flat, with a width of 1 and the hole _HOLE."""
  rows = 24
  v, u = np.mgrid[0 : rows + 1, 0 : _SIDES + 1] * 1.0
  tube, around = 2 * np.pi * v / rows, 2 * np.pi * u / _SIDES
  radial = np.stack([np.cos(around), np.sin(around), 0 * around], -1)
  normal = radial * np.cos(tube)[..., None]
  normal[..., 2] = np.sin(tube)
  points = radial * (1 + _HOLE) / 4 + normal * (1 - _HOLE) / 4
  n = _SIDES + 1
  first = (np.arange(rows)[:, None] * n + np.arange(_SIDES)).reshape(-1, 1)
  index = (first + np.array([0, 1, n + 1, 0, n + 1, n])).reshape(-1, 3)
  uvs = np.stack([4 * u / _SIDES, v / rows], -1)
  return meshes.Mesh(
    points.reshape(-1, 3), normal.reshape(-1, 3), uvs.reshape(-1, 2), index
  )
