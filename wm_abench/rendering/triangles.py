"""Triangles of MuJoCo's geoms with texture coordinates, as arrays.

Each shape is centred at its origin and gets the texture coordinates that
MuJoCo's OpenGL renderer computes: those of a planar projection for images, and
directions for cube maps. The six faces of a cube map form one image, one below
another. trimesh's primitives have other triangles and averaged normals, which
would change the frames, and no texture coordinates.
"""

import dataclasses

import mujoco
import numpy as np

_SIDES, _RINGS = 96, 24  # Around a round shape, and in half its profile.
_PATCHES = 8  # Along each edge of a box.

_GEOM = mujoco.mjtGeom


@dataclasses.dataclass(frozen=True)
class Solid:
  """A surface of triangles.

  Attributes:
    vertices_V3: in metres, in the frame of the shape.
    normals_V3: unit vectors.
    faces_F3: indices of vertices, anticlockwise seen from outside.
    texcoords_V2: (s, t), where t = 0 is the first row of an image; or None.
  """

  vertices_V3: np.ndarray
  normals_V3: np.ndarray
  faces_F3: np.ndarray
  texcoords_V2: np.ndarray | None = None


def shape(kind: int, size_m: np.ndarray, infinite_m: float) -> Solid:
  """Returns the triangles of a primitive.

  Args:
    kind: a value of mujoco.mjtGeom.
    size_m: half sizes [3] as in MjvGeom; 0 along an infinite side of a plane.
    infinite_m: the half size to use for 0.

  Raises:
    ValueError: the kind is not a primitive (height fields, skins, flexes).
  """
  size_m = np.asarray(size_m, np.float64)
  if kind == _GEOM.mjGEOM_PLANE:
    x, y = np.where(size_m[:2] > 0, size_m[:2], infinite_m)
    grid = _grid(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    return _patch(grid * [x, y], np.eye(3))
  if kind == _GEOM.mjGEOM_BOX:
    return _join(
      [_side(axis, sign, size_m) for axis in range(3) for sign in (-1, 1)]
    )
  if kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
    return _revolved(_arc(0, np.pi), size_m)
  if kind == _GEOM.mjGEOM_CAPSULE:
    radius, half = size_m[0], size_m[2]
    bottom, top = np.split(_arc(0, np.pi), [_RINGS])
    ends = [_lift(bottom, -half / radius), _lift(top, half / radius)]
    return _revolved(np.concatenate(ends), np.full(3, radius))
  if kind == _GEOM.mjGEOM_CYLINDER:
    wall = np.array([[1, -1, 1, 0], [1, 1, 1, 0]], float)
    caps = [
      np.array([[r, z, 0, z] for r in order], float) for z, order in _CAPS
    ]
    return _join([_revolved(p, size_m) for p in (caps[0], wall, caps[1])])
  raise ValueError(f'cannot draw a geom of kind {mujoco.mjtGeom(kind).name}')


# The caps of a cylinder: height, and radii from bottom to top.
_CAPS = ((-1, (0, 1)), (1, (1, 0)))


def mesh(model: mujoco.MjModel, index: int) -> Solid:
  """Returns a mesh of a model.

  MuJoCo indexes vertices, normals and texture coordinates separately; here a
  vertex appears once for each combination in use.
  """
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
  """Returns a solid with texture coordinates projected along z.

  Args:
    solid: any surface.
    size_m: half sizes [>= 2] of the solid; 0 counts as 1 m.
    repeat: repeats of the image along x and y [2], in the width and depth of
      the solid, or per 2 m if uniform.
    uniform: see repeat.
  """
  scale = np.ones(2) if uniform else np.where(size_m[:2] > 0, size_m[:2], 1.0)
  s, t = (0.5 * np.asarray(repeat) * solid.vertices_V3[:, :2] / scale).T
  texcoords = np.stack([s - 0.5, -t - 0.5], -1)
  return dataclasses.replace(solid, texcoords_V2=texcoords)


def wrap(solid: Solid, scale_m: np.ndarray, side_px: int) -> Solid:
  """Returns a solid with the texture coordinates of a cube map.

  Each triangle shows the face of the cube that its centroid points to.

  Args:
    solid: any surface.
    scale_m: divisor [3] of the vertices, which then are directions.
    side_px: height of a face in pixels, which keeps faces from bleeding into
      each other.
  """
  corners_F33 = (solid.vertices_V3 / scale_m)[solid.faces_F3]
  centroid_F3 = corners_F33.mean(axis=1)
  axis_F = np.abs(centroid_F3).argmax(axis=1)
  rows = np.arange(len(axis_F))
  face_F = 2 * axis_F + (centroid_F3[rows, axis_F] < 0)
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


# The directions right and down on the faces +x, -x, +y, -y, +z, -z of a cube
# map, according to OpenGL.
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
  """Returns a cube map as a latitude-longitude image [height, 2 height, C].

  In the frame of the sky (x right, y up, -z ahead), columns run once around
  from -z through +x, and rows run from +y to -y.
  """
  side = cube_6SSC.shape[1]
  theta = np.pi * (np.arange(height_px) + 0.5)[:, None] / height_px
  phi = np.pi * (np.arange(2 * height_px) + 0.5)[None] / height_px
  x, y, z = (
    np.sin(theta) * np.sin(phi),
    np.cos(theta) + 0 * phi,
    -np.sin(theta) * np.cos(phi),
  )
  direction_HW3 = np.stack([x, y, z], -1)
  axis = np.abs(direction_HW3).argmax(-1)
  along = np.take_along_axis(direction_HW3, axis[..., None], -1)[..., 0]
  face = 2 * axis + (along < 0)
  s, t = (
    (np.einsum('hwx,hwx->hw', direction_HW3, _CUBE[face, i]) / abs(along) + 1)
    / 2
    for i in (0, 1)
  )
  column, row = ((c * side).astype(int).clip(0, side - 1) for c in (s, t))
  return cube_6SSC[face, row, column]


def _grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns the points of a grid, [len(y), len(x), 2]."""
  return np.stack(np.meshgrid(x, y), -1)


def _patch(grid_YX2: np.ndarray, axes_33: np.ndarray) -> Solid:
  """Returns a flat grid in the plane of two axes, with the third as normal."""
  vertices = grid_YX2.reshape(-1, 2) @ axes_33[:2]
  normals = np.broadcast_to(axes_33[2], vertices.shape)
  return Solid(vertices, normals, _quads(*grid_YX2.shape[:2]))


def _quads(rows: int, columns: int) -> np.ndarray:
  """Returns the triangles between the neighbours of a grid of vertices."""
  index = np.arange(rows * columns).reshape(rows, columns)
  a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
  c, d = index[1:, 1:].ravel(), index[1:, :-1].ravel()
  return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def _side(axis: int, sign: int, size_m: np.ndarray) -> Solid:
  """Returns the side of a box that faces along an axis."""
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
  """Returns the profile [2 _RINGS, 4] of a unit sphere; see _revolved."""
  angle = np.linspace(start, end, 2 * _RINGS)
  r, z = np.sin(angle), -np.cos(angle)
  return np.stack([r, z, r, z], -1)


def _lift(profile: np.ndarray, height: float) -> np.ndarray:
  return np.add(profile, [0, height, 0, 0])


def _revolved(profile_P4: np.ndarray, size_m: np.ndarray) -> Solid:
  """Returns a surface of revolution about z, scaled along the axes.

  Args:
    profile_P4: radius and height of a point, then those of the normal, from
      bottom to top.
    size_m: factors [3].
  """
  angle = np.linspace(0, 2 * np.pi, _SIDES + 1)
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
