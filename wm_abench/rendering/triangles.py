"""Triangles of MuJoCo's geoms with texture coordinates, as plain arrays.

What MuJoCo's classic renderer draws, drawn with triangles: each shape at its
own size about its own origin, and with the texture coordinates that the classic
renderer would make up (a plane's projection for pictures, a direction for
cubes). A cube's six faces are laid out as one picture, one below another.
"""

import dataclasses

import mujoco
import numpy as np

_TURNS, _RINGS = 96, 24  # Of a full circle, and of a half one.
_PATCHES = 8  # A side of a box, each way.

_GEOM = mujoco.mjtGeom


@dataclasses.dataclass(frozen=True)
class Solid:
  """A surface of triangles.

  Attributes:
    vertices_V3, normals_V3: in metres about the shape's origin; unit normals.
    faces_F3: indices of vertices, anticlockwise from outside.
    texcoords_V2: (s, t) with t = 0 at a picture's first row; None without.
  """

  vertices_V3: np.ndarray
  normals_V3: np.ndarray
  faces_F3: np.ndarray
  texcoords_V2: np.ndarray | None = None


def shape(kind: int, size_m: np.ndarray, endless_m: float) -> Solid:
  """A shape that is not a mesh.

  Args:
    kind: of mujoco.mjtGeom.
    size_m: MjvGeom's three half sizes [3]; a plane's is 0 where it has no end.
    endless_m: half the width of a plane that has none.

  Raises:
    ValueError: kinds that this does not draw (height fields, skins, flexes).
  """
  size_m = np.asarray(size_m, np.float64)
  if kind == _GEOM.mjGEOM_PLANE:
    x, y = np.where(size_m[:2] > 0, size_m[:2], endless_m)
    grid = _grid(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    return _patch(grid * [x, y], np.eye(3))
  if kind == _GEOM.mjGEOM_BOX:
    return _join(
      [_side(axis, sign, size_m) for axis in range(3) for sign in _UP]
    )
  if kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
    return _turned(_arc(0, np.pi), size_m)
  if kind == _GEOM.mjGEOM_CAPSULE:
    radius, half = size_m[0], size_m[2]
    bottom, top = np.split(_arc(0, np.pi), [_RINGS])
    ends = [_lift(bottom, -half / radius), _lift(top, half / radius)]
    return _turned(np.concatenate(ends), np.full(3, radius))
  if kind == _GEOM.mjGEOM_CYLINDER:
    wall = np.array([[1, -1, 1, 0], [1, 1, 1, 0]], float)
    caps = [
      np.array([[r, z, 0, z] for r in order], float) for z, order in _CAPS
    ]
    return _join([_turned(p, size_m) for p in (caps[0], wall, caps[1])])
  name = mujoco.mjtGeom(kind).name
  raise ValueError(f'no triangles for geoms of the kind {name}')


_UP = (-1, 1)
_CAPS = (
  (-1, (0, 1)),
  (1, (1, 0)),
)  # The rim's height, and radii on the way up.


def mesh(model: mujoco.MjModel, index: int) -> Solid:
  """A mesh of the model's; vertices are split where normals or texture are."""
  faces = slice(model.mesh_faceadr[index], None)
  faces = slice(faces.start, faces.start + model.mesh_facenum[index])
  corners = [model.mesh_face[faces], model.mesh_facenormal[faces]]
  textured = model.mesh_texcoordadr[index] >= 0
  if textured:
    corners.append(model.mesh_facetexcoord[faces])
  keys, inverse = np.unique(
    np.stack(corners, -1).reshape(-1, len(corners)),
    axis=0,
    return_inverse=True,
  )
  vertices = model.mesh_vert[model.mesh_vertadr[index] :][keys[:, 0]]
  normals = model.mesh_normal[model.mesh_normaladr[index] :][keys[:, 1]]
  texcoords = None
  if textured:
    texcoords = model.mesh_texcoord[model.mesh_texcoordadr[index] :][keys[:, 2]]
  return Solid(vertices, normals, inverse.reshape(-1, 3), texcoords)


def project(
  solid: Solid, size_m: np.ndarray, repeat: np.ndarray, uniform: bool
) -> Solid:
  """With a picture's texture coordinates: the solid seen from above it.

  Args:
    solid: any.
    size_m: its half sizes [>= 2]; 0 counts as 1 m.
    repeat: how often the picture is in the solid's width and depth, or in 1 m
      of each, [2].
    uniform: whether it is 1 m.
  """
  scale = np.ones(2) if uniform else np.where(size_m[:2] > 0, size_m[:2], 1.0)
  s, t = (0.5 * np.asarray(repeat) * solid.vertices_V3[:, :2] / scale).T
  texcoords = np.stack([s - 0.5, -t - 0.5], -1)
  return dataclasses.replace(solid, texcoords_V2=texcoords)


def wrap(solid: Solid, scale_m: np.ndarray, side_px: int) -> Solid:
  """With the texture coordinates of a cube whose faces are one column.

  Each triangle is on the one face of the cube that its middle points to.

  Args:
    solid: any.
    scale_m: what vertices are divided by before they are taken as directions,
      [3].
    side_px: of a face's picture, so that one face never bleeds into another.
  """
  corners_F33 = (solid.vertices_V3 / scale_m)[solid.faces_F3]
  middle_F3 = corners_F33.mean(axis=1)
  axis_F = np.abs(middle_F3).argmax(axis=1)
  rows = np.arange(len(axis_F))
  face_F = 2 * axis_F + (middle_F3[rows, axis_F] < 0)
  right_F3, down_F3 = _CUBE[face_F, 0], _CUBE[face_F, 1]
  depth_F3 = np.abs(corners_F33[rows, :, axis_F]).clip(1e-9)
  s_F3 = (np.einsum('fcx,fx->fc', corners_F33, right_F3) / depth_F3 + 1) / 2
  t_F3 = (np.einsum('fcx,fx->fc', corners_F33, down_F3) / depth_F3 + 1) / 2
  edge = 0.5 / side_px
  s_F3, t_F3 = s_F3.clip(edge, 1 - edge), t_F3.clip(edge, 1 - edge)
  texcoords = np.stack([s_F3, (face_F[:, None] + t_F3) / 6], -1)
  flat = solid.faces_F3.ravel()
  return Solid(
    solid.vertices_V3[flat],
    solid.normals_V3[flat],
    np.arange(len(flat)).reshape(-1, 3),
    texcoords.reshape(-1, 2),
  )


# Which way is right and which is down on a cube's faces +x, -x, +y, -y, +z, -z,
# as OpenGL has it.
_CUBE = np.array(
  [
    [[0, 0, -1], [0, -1, 0]],
    [[0, 0, 1], [0, -1, 0]],
    [[1, 0, 0], [0, 0, 1]],
    [[1, 0, 0], [0, 0, -1]],
    [[1, 0, 0], [0, -1, 0]],
    [[-1, 0, 0], [0, -1, 0]],
  ],
  float,
)


def panorama(cube_6SSC: np.ndarray, height_px: int) -> np.ndarray:
  """A sky's six faces as a latitude-longitude picture [height, 2 height, C].

  Columns go once around from the direction -z through +x, rows go from +y to
  -y, in the sky's own frame (x right, y up, -z ahead).
  """
  side = cube_6SSC.shape[1]
  theta = np.pi * (np.arange(height_px) + 0.5)[:, None] / height_px
  phi = np.pi * (np.arange(2 * height_px) + 0.5)[None] / height_px
  x, y, z = (
    np.sin(theta) * np.sin(phi),
    np.cos(theta) + 0 * phi,
    -np.sin(theta) * np.cos(phi),
  )
  way_HW3 = np.stack([x, y, z], -1)
  axis = np.abs(way_HW3).argmax(-1)
  along = np.take_along_axis(way_HW3, axis[..., None], -1)[..., 0]
  face = 2 * axis + (along < 0)
  s, t = (
    (np.einsum('hwx,hwx->hw', way_HW3, _CUBE[face, i]) / abs(along) + 1) / 2
    for i in (0, 1)
  )
  column, row = ((c * side).astype(int).clip(0, side - 1) for c in (s, t))
  return cube_6SSC[face, row, column]


def _grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Points [len(y), len(x), 2]."""
  return np.stack(np.meshgrid(x, y), -1)


def _patch(grid_YX2: np.ndarray, axes_33: np.ndarray) -> Solid:
  """A flat grid of squares in the first two axes; the third is its normal."""
  vertices = grid_YX2.reshape(-1, 2) @ axes_33[:2]
  normals = np.broadcast_to(axes_33[2], vertices.shape)
  return Solid(vertices, normals, _quads(*grid_YX2.shape[:2]))


def _quads(rows: int, columns: int) -> np.ndarray:
  index = np.arange(rows * columns).reshape(rows, columns)
  a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
  c, d = index[1:, 1:].ravel(), index[1:, :-1].ravel()
  return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def _side(axis: int, sign: int, size_m: np.ndarray) -> Solid:
  first, second = (axis + 1) % 3, (axis + 2) % 3
  if sign < 0:
    first, second = second, first
  axes = np.eye(3)[[first, second, axis]] * [[1], [1], [sign]]
  line = np.linspace(-1, 1, _PATCHES + 1)
  grid = _grid(line * size_m[first], line * size_m[second])
  flat = _patch(grid, axes)
  return dataclasses.replace(
    flat, vertices_V3=flat.vertices_V3 + axes[2] * size_m[axis]
  )


def _arc(start: float, end: float) -> np.ndarray:
  """A profile [2 _RINGS, 4] of a ball, bottom to top; see _turned."""
  angle = np.linspace(start, end, 2 * _RINGS)
  r, z = np.sin(angle), -np.cos(angle)
  return np.stack([r, z, r, z], -1)


def _lift(profile: np.ndarray, by: float) -> np.ndarray:
  return np.add(profile, [0, by, 0, 0])


def _turned(profile_P4: np.ndarray, size_m: np.ndarray) -> Solid:
  """A profile (radius, height, normal's two) turned about z, then stretched."""
  angle = np.linspace(0, 2 * np.pi, _TURNS + 1)
  around = np.stack([np.cos(angle), np.sin(angle)], -1)
  r, z, nr, nz = (profile_P4[:, None, [i]] for i in range(4))
  flat = np.ones((1, len(angle), 1))
  vertices = np.concatenate([r * around, z * flat], -1).reshape(-1, 3) * size_m
  normals = np.concatenate([nr * around, nz * flat], -1).reshape(-1, 3) / size_m
  normals /= np.linalg.norm(normals, axis=1, keepdims=True)
  return Solid(vertices, normals, _quads(len(profile_P4), len(angle)))


def _join(solids: list[Solid]) -> Solid:
  starts = np.cumsum([0] + [len(s.vertices_V3) for s in solids[:-1]])
  return Solid(
    np.concatenate([s.vertices_V3 for s in solids]),
    np.concatenate([s.normals_V3 for s in solids]),
    np.concatenate(
      [s.faces_F3 + n for s, n in zip(solids, starts, strict=True)]
    ),
  )
