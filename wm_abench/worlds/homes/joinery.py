"""Solid shapes that furniture consists of, as meshes with a material.

Texture coordinates are in metres where not stated otherwise. The appearance of
the materials and the size of their textures are defined in `styles`.
"""

from collections.abc import Iterable, Sequence
import functools
import pathlib
from typing import NamedTuple

import mujoco
import numpy as np

from wm_abench.worlds import meshes

_SIDES = 12  # Sides of a surface of revolution.


class Part(NamedTuple):
  """A mesh of one material."""

  material: str
  mesh: meshes.Mesh

  def moved(self, x: float, y: float, z: float = 0.0, yaw_deg: float = 0.0):
    """Returns the part rotated about the vertical, then shifted."""
    mesh = self.mesh.moved((x, y, z), np.radians(yaw_deg))
    return Part(self.material, mesh)


def moved(
  parts: Iterable[Part],
  x: float,
  y: float,
  z: float = 0.0,
  yaw_deg: float = 0.0,
) -> list[Part]:
  """Returns the parts rotated about the vertical, then shifted."""
  return [part.moved(x, y, z, yaw_deg) for part in parts]


def box(material: str, low: Sequence[float], high: Sequence[float]) -> Part:
  """Returns a box with sharp edges between two opposite corners."""
  (x0, y0, z0), (x1, y1, z1) = low, high
  faces = [
    ((x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)),
    ((x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)),
    ((x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)),
    ((x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)),
    ((x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)),
    ((x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)),
  ]
  spans = [(x1 - x0, z1 - z0)] * 2 + [(y1 - y0, z1 - z0)] * 2
  spans += [(x1 - x0, y1 - y0)] * 2
  uvs = [[(0, 0), (u, 0), (u, v), (0, v)] for u, v in spans]
  return Part(material, meshes.quads(np.array(faces), np.array(uvs)))


def sheet(
  material: str,
  x0: float,
  x1: float,
  z0: float,
  z1: float,
  y: float,
  uv: tuple[float, float, float, float] = (0, 0, 1, 1),
) -> Part:
  """Returns an upright rectangle that faces +y and shows a picture.

  For a viewer in front of it, x grows to the left, so the left edge of the
  picture is at x1.

  Args:
    material: the material with the picture.
    x0, x1, z0, z1, y: the rectangle.
    uv: the part of the picture, (u0, v0, u1, v1).
  """
  corners = [(x1, y, z0), (x0, y, z0), (x0, y, z1), (x1, y, z1)]
  u0, v0, u1, v1 = uv
  uvs = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
  return Part(material, meshes.quads(np.array([corners]), np.array([uvs])))


def mat(
  material: str, x0: float, y0: float, x1: float, y1: float, z: float
) -> Part:
  """Returns a horizontal rectangle that faces up and shows a picture once."""
  corners = [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
  uvs = [(0, 0), (1, 0), (1, 1), (0, 1)]
  return Part(material, meshes.quads(np.array([corners]), np.array([uvs])))


def soft(
  material: str,
  low: Sequence[float],
  high: Sequence[float],
  radius_m: float = 0.06,
) -> Part:
  """Returns a box with round edges, such as a cushion or mattress."""
  low_3, high_3 = np.array(low, float), np.array(high, float)
  half_3 = (high_3 - low_3) / 2
  inner_3 = np.maximum(half_3 - radius_m, 0.0)
  radius_3 = half_3 - inner_3
  points, normals, uvs, triangles = [], [], [], []
  for axis in range(3):
    for sign in (-1, 1):
      a, b = [(1, 2), (2, 0), (0, 1)][axis][::sign]
      flat_N3, grid = _face(half_3, inner_3, axis, sign, a, b)
      core_N3 = np.clip(flat_N3, -inner_3, inner_3)
      out_N3 = meshes.unit((flat_N3 - core_N3) / np.maximum(radius_3, 1e-9))
      triangles.append(grid + 16 * len(points))
      points.append(core_N3 + out_N3 * radius_3)
      normals.append(meshes.unit(out_N3 / np.maximum(radius_3, 1e-9)))
      uvs.append((flat_N3 + half_3)[:, sorted((a, b))])
  mesh = meshes.Mesh(
    np.concatenate(points) + (low_3 + high_3) / 2,
    np.concatenate(normals),
    np.concatenate(uvs),
    np.concatenate(triangles),
  )
  return Part(material, mesh)


def _face(half_3, inner_3, axis, sign, a, b):
  """Returns 4 x 4 points of one side of a box, and its triangles."""
  steps = [
    np.array([-h, -i, i, h]) for h, i in zip(half_3, inner_3, strict=True)
  ]
  across, along = np.meshgrid(steps[a], steps[b], indexing='ij')
  flat_N3 = np.empty((16, 3))
  flat_N3[:, a], flat_N3[:, b] = across.ravel(), along.ravel()
  flat_N3[:, axis] = sign * half_3[axis]
  first_N1 = (4 * np.arange(3)[:, None] + np.arange(3)).reshape(-1, 1)
  return flat_N3, (first_N1 + np.array([0, 4, 5, 0, 5, 1])).reshape(-1, 3)


def turned(
  material: str, profile: Sequence[tuple[float, float]], sides: int = _SIDES
) -> Part:
  """Returns the surface of revolution of a profile about z.

  Args:
    material: its material.
    profile: radius and height of each point, from bottom to top.
    sides: the number of sides.
  """
  profile_K2 = np.array(profile, float)
  # Each ring occurs twice, so that edges between two slopes stay sharp.
  pairs_S22 = np.stack([profile_K2[:-1], profile_K2[1:]], 1)
  run_S2 = pairs_S22[:, 1] - pairs_S22[:, 0]
  slope_S2 = np.stack([run_S2[:, 1], -run_S2[:, 0]], -1)
  slope_S2 /= np.linalg.norm(slope_S2, axis=-1, keepdims=True) + 1e-12
  angle_A = np.linspace(0, 2 * np.pi, sides + 1)
  cos_A, sin_A = np.cos(angle_A), np.sin(angle_A)

  def ring(radius, height):
    return np.stack([radius * cos_A, radius * sin_A, height + 0 * cos_A], -1)

  points = [ring(r, z) for pair in pairs_S22 for r, z in pair]
  normals = [ring(r, z) for r, z in slope_S2 for _ in range(2)]
  n, i = sides + 1, np.arange(sides)[:, None]
  strip = (i + np.array([0, 1, n + 1, 0, n + 1, n])).reshape(-1, 3)
  mesh = meshes.Mesh(
    np.concatenate(points),
    np.concatenate(normals),
    np.tile(np.stack([angle_A * 0.1, 0 * angle_A], -1), (len(points), 1)),
    np.concatenate([strip + 2 * n * k for k in range(len(pairs_S22))]),
  )
  return Part(material, mesh)


def rod(
  material: str, radius_m: float, z0: float, z1: float, sides: int = 8
) -> Part:
  """Returns an upright round bar with caps."""
  profile = [(0, z0), (radius_m, z0), (radius_m, z1), (0, z1)]
  return turned(material, profile, sides)


@functools.lru_cache(maxsize=32)
def load(
  path: pathlib.Path, height_m: float, upright: bool = True
) -> meshes.Mesh:
  """Returns the mesh of a file, scaled and centred on the floor.

  MuJoCo reads the file, because the assets include its binary format .msh,
  which trimesh does not read.

  Args:
    path: a file in any format of MuJoCo.
    height_m: the height of the result.
    upright: False if y points up in the file.
  """
  spec = mujoco.MjSpec()
  shell = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
  spec.add_mesh(name='mesh', file=str(path), inertia=shell)
  spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname='mesh')
  model = spec.compile()
  turn = np.empty(9)
  mujoco.mju_quat2Mat(turn, model.mesh_quat[0])
  turn_33 = turn.reshape(3, 3)
  points_V3 = model.mesh_vert @ turn_33.T + model.mesh_pos[0]
  normals_V3 = model.mesh_normal @ turn_33.T
  if not upright:
    points_V3 = points_V3[:, [0, 2, 1]] * [1, -1, 1]
    normals_V3 = normals_V3[:, [0, 2, 1]] * [1, -1, 1]
  index_C = model.mesh_face.ravel()
  uvs_C2 = np.zeros((len(index_C), 2))
  if len(model.mesh_texcoord):
    uvs_C2 = model.mesh_texcoord[model.mesh_facetexcoord.ravel()]
    uvs_C2 = uvs_C2 * [1, -1] + [0, 1]
  low_3, high_3 = points_V3.min(axis=0), points_V3.max(axis=0)
  middle_3 = [*(low_3 + high_3)[:2] / 2, low_3[2]]
  scale = height_m / (high_3[2] - low_3[2])
  return meshes.Mesh(
    (points_V3[index_C] - middle_3) * scale,
    meshes.unit(normals_V3[model.mesh_facenormal.ravel()]),
    uvs_C2,
    np.arange(len(index_C)).reshape(-1, 3),
  )


def tipped(part: Part) -> Part:
  """Returns a part rotated from +z to +y, such as the dial of a wall clock."""
  mesh, order, sign = part.mesh, [0, 2, 1], [-1, 1, 1]
  return Part(
    part.material,
    meshes.Mesh(
      mesh.vertices_V3[:, order] * sign,
      mesh.normals_V3[:, order] * sign,
      mesh.uvs_V2,
      mesh.triangles_T3,
    ),
  )
