"""Triangle meshes as arrays, simple shapes, and how MuJoCo models get them.

trimesh joins such meshes to the same arrays, but has no texture coordinates for
the shapes below, rounds normals differently when it transforms them, and needs
as much code for the conversion as `moved` and `join` have.
"""

from collections.abc import Iterable
import dataclasses
import itertools

import mujoco
import numpy as np


@dataclasses.dataclass(frozen=True)
class Mesh:
  """Triangles with a normal and a texture coordinate at every vertex.

  Attributes:
    vertices_V3: in metres.
    normals_V3: unit vectors.
    uvs_V2: texture coordinates in repeats of the texture; v grows upwards.
    triangles_T3: indices of vertices, anticlockwise seen from outside.
  """

  vertices_V3: np.ndarray
  normals_V3: np.ndarray
  uvs_V2: np.ndarray
  triangles_T3: np.ndarray

  def moved(
    self,
    offset_m: tuple[float, float, float],
    yaw_rad: float = 0.0,
    scale: float | tuple[float, float, float] = 1.0,
  ) -> 'Mesh':
    """Returns the mesh scaled, then rotated about z, then translated."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    rotation_33 = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    vertices_V3 = (self.vertices_V3 * scale) @ rotation_33.T + offset_m
    normals_V3 = (self.normals_V3 / scale) @ rotation_33.T
    return Mesh(vertices_V3, unit(normals_V3), self.uvs_V2, self.triangles_T3)


def unit(vectors_V3: np.ndarray) -> np.ndarray:
  """Returns vectors divided by their lengths; one of length 0 becomes +z."""
  length_V1 = np.linalg.norm(vectors_V3, axis=-1, keepdims=True)
  up_3 = np.array([0.0, 0.0, 1.0])
  return np.where(length_V1 > 1e-12, vectors_V3 / (length_V1 + 1e-30), up_3)


def join(meshes: Iterable[Mesh]) -> Mesh:
  """Returns one mesh with the triangles of all."""
  meshes = list(meshes)
  starts = np.cumsum([0] + [len(m.vertices_V3) for m in meshes])
  return Mesh(
    np.concatenate([m.vertices_V3 for m in meshes]),
    np.concatenate([m.normals_V3 for m in meshes]),
    np.concatenate([m.uvs_V2 for m in meshes]),
    np.concatenate(
      [m.triangles_T3 + n for m, n in zip(meshes, starts, strict=False)]
    ),
  )


def quads(corners_Q43: np.ndarray, uvs_Q42: np.ndarray) -> Mesh:
  """Returns flat quadrilaterals.

  Args:
    corners_Q43: in metres, anticlockwise seen from outside.
    uvs_Q42: texture coordinates of the corners.
  """
  corners_Q43, uvs_Q42 = np.asarray(corners_Q43, float), np.asarray(uvs_Q42)
  diagonal_Q3 = corners_Q43[:, 2] - corners_Q43[:, 0]
  other_Q3 = corners_Q43[:, 3] - corners_Q43[:, 1]
  normals_Q3 = unit(np.cross(diagonal_Q3, other_Q3))
  first_Q1 = 4 * np.arange(len(corners_Q43))[:, None]
  triangles = [first_Q1 + np.array(t) for t in ((0, 1, 2), (0, 2, 3))]
  return Mesh(
    corners_Q43.reshape(-1, 3),
    np.repeat(normals_Q3, 4, axis=0),
    uvs_Q42.reshape(-1, 2).astype(float),
    np.concatenate(triangles),
  )


def patch(x0, y0, x1, y1, z, tile_m: float = 1.0) -> Mesh:
  """Returns a horizontal rectangle that faces up.

  The texture is aligned with the world's axes and repeats every tile_m metres.
  """
  corners = np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])
  return quads(corners[None], corners[None, :, :2] / tile_m)


def decal(x0, y0, x1, y1, z) -> Mesh:
  """Returns a horizontal rectangle that faces up and shows its texture once."""
  corners = [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]
  return quads([corners], [[(0, 0), (1, 0), (1, 1), (0, 1)]])


def walls(
  x0, y0, x1, y1, z0, z1, tile_m=(1.0, 1.0), whole_repeats=False
) -> Mesh:
  """Returns the four vertical sides of a box.

  The texture of each begins at its lower left corner.

  Args:
    x0, y0, x1, y1, z0, z1: extents in metres.
    tile_m: width and height of one repeat of the texture.
    whole_repeats: whether to stretch the texture to an integer number of
      repeats per side.
  """
  ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
  corners, uvs = [], []
  for (ax, ay), (bx, by) in itertools.pairwise(ring):
    u = (abs(bx - ax) + abs(by - ay)) / tile_m[0]
    u = max(1.0, round(u)) if whole_repeats else u
    v = (z1 - z0) / tile_m[1]
    corners.append([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)])
    uvs.append([(0, 0), (u, 0), (u, v), (0, v)])
  return quads(np.array(corners), np.array(uvs))


def box(x0, y0, x1, y1, z0, z1, tile_m: float = 1.0) -> Mesh:
  """Returns the four sides and the top of a box; it has no bottom."""
  sides = walls(x0, y0, x1, y1, z0, z1, (tile_m, tile_m))
  return join([sides, patch(x0, y0, x1, y1, z1, tile_m)])


def column(radius_m: float, height_m: float, sides: int = 8) -> Mesh:
  """Returns a vertical cylinder on z = 0 with smooth normals and a cap."""
  angle_N = np.linspace(0, 2 * np.pi, sides + 1)
  ring_N3 = np.stack([np.cos(angle_N), np.sin(angle_N), 0 * angle_N], -1)
  low_N3, high_N3 = ring_N3 * radius_m, ring_N3 * radius_m + [0, 0, height_m]
  uv = np.stack([angle_N / (2 * np.pi), 0 * angle_N], -1)
  i = np.arange(sides)[:, None]
  n = sides + 1
  side = np.concatenate(
    [i + np.array(t) for t in ((0, 1, n + 1), (0, n + 1, n))]
  )
  body = Mesh(
    np.concatenate([low_N3, high_N3]),
    np.concatenate([ring_N3, ring_N3]),
    np.concatenate([uv, uv + np.array([0, 1])]),
    side,
  )
  fan = np.stack([0 * i[1:-1], i[1:-1], i[1:-1] + 1], -1)[:, 0]
  cap = Mesh(high_N3, np.tile([0.0, 0, 1], (n, 1)), uv, fan)
  return join([body, cap])


def ball(rows: int = 6, columns: int = 8) -> Mesh:
  """Returns a sphere of radius 1 about the origin."""
  v, u = np.meshgrid(
    np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing='ij'
  )
  latitude, longitude = np.pi * (v - 0.5), 2 * np.pi * u
  points = np.stack(
    [
      np.cos(latitude) * np.cos(longitude),
      np.cos(latitude) * np.sin(longitude),
      np.sin(latitude),
    ],
    -1,
  ).reshape(-1, 3)
  n = columns + 1
  first = (np.arange(rows)[:, None] * n + np.arange(columns)).reshape(-1, 1)
  triangles = [first + np.array(t) for t in ((0, 1, n + 1), (0, n + 1, n))]
  uvs = np.stack([u, v], -1).reshape(-1, 2)
  return Mesh(points, points, uvs, np.concatenate(triangles))


def inside_out(mesh: Mesh) -> Mesh:
  """Returns the surface facing inwards."""
  return dataclasses.replace(
    mesh, normals_V3=-mesh.normals_V3, triangles_T3=mesh.triangles_T3[:, ::-1]
  )


def add_mesh(spec: mujoco.MjSpec, name: str, mesh: Mesh) -> None:
  """Adds a mesh to the assets of a specification."""
  index = mesh.triangles_T3.astype(np.int32).ravel()
  # In MuJoCo v grows downwards, like the rows of an image.
  uvs_V2 = mesh.uvs_V2 * [1, -1] + [0, 1]
  spec.add_mesh(
    name=name,
    uservert=mesh.vertices_V3.ravel(),
    usernormal=mesh.normals_V3.ravel(),
    usertexcoord=uvs_V2.ravel(),
    userface=index,
    userfacenormal=index,
    userfacetexcoord=index,
    inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
  )


def add_material(
  spec: mujoco.MjSpec, name: str, pixels_HWC: np.ndarray, **material: float
) -> None:
  """Adds a material with a texture.

  Args:
    spec: the specification.
    name: of both the material and the texture.
    pixels_HWC: uint8, with three channels or four. MuJoCo blends the fourth,
      the opacity, only on geoms whose rgba is not fully opaque.
    **material: attributes of MjsMaterial, such as emission or texrepeat.
  """
  height, width, channels = pixels_HWC.shape
  texture = spec.add_texture(
    name=name,
    type=mujoco.mjtTexture.mjTEXTURE_2D,
    width=width,
    height=height,
    nchannel=channels,
  )
  texture.data = np.ascontiguousarray(pixels_HWC).tobytes()
  painted = spec.add_material(name=name, **material)
  painted.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def add_geom(body, mesh: str, material: str, name: str = '') -> None:
  """Adds a visible geom of a mesh, without collisions, to a body."""
  body.add_geom(
    name=name or mesh,
    type=mujoco.mjtGeom.mjGEOM_MESH,
    meshname=mesh,
    material=material,
    contype=0,
    conaffinity=0,
  )
