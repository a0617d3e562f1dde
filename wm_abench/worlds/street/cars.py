"""MetaDrive's five cars as small meshes.

A car has two meshes: the paint, whose colour a scene chooses, and the trim,
whose colours are in a palette. `load` reads the glTF file, removes what is
invisible from outside (seats, engine), merges close vertices, and adds round
wheels. In a loaded car x is ahead, y left and z up; the wheels stand on z = 0,
and the origin is midway between the axles.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from commons import errors
from wm_abench.worlds import assets, meshes
from wm_abench.worlds.street import gltf

PALETTE_PX = 16  # Width and height of a palette; each colour is one texel.


@dataclasses.dataclass(frozen=True)
class Kind:
  """Parameters for reading one of MetaDrive's cars.

  Attributes:
    folder: the folder of its files.
    scale: factor on the size in the file.
    cell_m: the size of cells; the vertices in a cell are merged.
    axles_m: the positions of the front and the rear axle along x.
    track_m: half the distance between the wheels of an axle.
    wheel_m: the radius of a wheel.
    paint: names of the materials that get the paint.
    glass: names of the materials of windows.
    dropped: names of the materials that are removed.
  """

  folder: str
  scale: float
  cell_m: float
  axles_m: tuple[float, float]
  track_m: float
  wheel_m: float
  paint: tuple[str, ...]
  glass: tuple[str, ...] = ()
  dropped: tuple[str, ...] = ()


# The wheels are those of MetaDrive 0.2.6, component/vehicle/vehicle_type.py.
KINDS: dict[str, Kind] = {
  'coupe': Kind(
    'ferra', 1.0, 0.1, (1.32, -1.15), 0.76, 0.31, ('carpaint',), ('glass',)
  ),
  'hatchback': Kind(
    'beetle', 1.0, 0.09, (1.26, -1.1), 0.66, 0.34, ('material.002',)
  ),
  'jeep': Kind('lada', 1.0, 0.11, (1.30, -0.90), 0.70, 0.34, ()),
  'saloon': Kind(
    '130', 1.0, 0.06, (1.28, -1.02), 0.78, 0.32, ('body.001', 'body2.001')
  ),
  'truck': Kind(
    'truck', 0.86, 0.08, (1.25, -1.3), 0.9, 0.38, ('body.002',), ('glass.003',)
  ),
}

_GLASS_RGB = (0.07, 0.09, 0.11)
_TYRE_RGB, _RIM_RGB = (0.06, 0.06, 0.065), (0.62, 0.63, 0.65)
# The number of points sampled on a car for its depth maps, and their cell size.
_SAMPLES, _GRID_M = 250_000, 0.05
# A triangle is kept if it is visible in at least this share of the depth maps.
# Hidden triangles reach less, through the gaps between points.
_MIN_VISIBLE = 0.06
# From the axes of the file (x right, y up, z back) to x ahead, y left, z up.
_AXES_33 = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]], float)


@dataclasses.dataclass(frozen=True)
class Car:
  """The meshes of a car.

  Attributes:
    paint: the part with the colour of the scene.
    trim: the other parts; their texture coordinates refer to the palette.
    palette_PP3: the colours of the trim, uint8.
    length_m, width_m: the size of the car.
  """

  paint: meshes.Mesh
  trim: meshes.Mesh
  palette_PP3: np.ndarray
  length_m: float
  width_m: float


@dataclasses.dataclass(frozen=True)
class _Soup:
  """Triangles with one colour each.

  Attributes:
    corners_T33: the corners of the triangles.
    normals_T33: the normals at the corners.
    colors_T3: the colours in [0, 1].
    paint_T: whether each triangle gets the paint.
  """

  corners_T33: np.ndarray
  normals_T33: np.ndarray
  colors_T3: np.ndarray
  paint_T: np.ndarray

  def kept(self, chosen_T: np.ndarray) -> '_Soup':
    return _Soup(*(field[chosen_T] for field in self.fields()))

  def fields(self) -> tuple[np.ndarray, ...]:
    return tuple(getattr(self, f.name) for f in dataclasses.fields(self))


@functools.cache
def load(name: str) -> Car:
  """Returns one of KINDS.

  Raises:
    UserError: the kind is unknown, or its files cannot be fetched.
  """
  if name not in KINDS:
    raise errors.unknown('car', name, KINDS)
  kind = KINDS[name]
  root = assets.folder('metadrive') / 'models' / 'vehicle'
  soup = _read(root / kind.folder / 'vehicle.gltf', kind)
  soup = _merged(_visible(soup), kind.cell_m)
  corners_V3 = soup.corners_T33.reshape(-1, 3)
  middle_m = sum(kind.axles_m) / 2
  low_3, high_3 = corners_V3.min(axis=0), corners_V3.max(axis=0)
  trim, palette_PP3 = _trim(soup.kept(~soup.paint_T), kind)
  return Car(
    _mesh(soup.kept(soup.paint_T)).moved((-middle_m, 0, 0)),
    trim.moved((-middle_m, 0, 0)),
    palette_PP3,
    length_m=float(high_3[0] - low_3[0]),
    width_m=float(high_3[1] - low_3[1]),
  )


def _read(path: pathlib.Path, kind: Kind) -> _Soup:
  document, soups = gltf.Document(path), []
  for part in document.primitives():
    name, n = part.material['name'], len(part.corners_T33)
    if name in kind.dropped:
      continue
    if name in kind.glass:
      colors_T3 = np.tile(_GLASS_RGB, (n, 1))
    else:
      colors_T3 = document.colors(part)
    soups.append(
      _Soup(
        kind.scale * (part.corners_T33 @ _AXES_33.T),
        part.normals_T33 @ _AXES_33.T,
        colors_T3,
        np.full(n, name in kind.paint),
      )
    )
  columns = zip(*(soup.fields() for soup in soups), strict=True)
  return _Soup(*map(np.concatenate, columns))


def _visible(soup: _Soup) -> _Soup:
  """Returns the triangles that are visible from outside.

  Points are sampled on all triangles and tested in depth maps from 24
  directions.
  """
  rng = np.random.default_rng(0)
  area_T = np.linalg.norm(_facing(soup.corners_T33), axis=-1)
  owner_S = rng.choice(len(area_T), _SAMPLES, p=area_T / area_T.sum())
  owner_S = np.concatenate([owner_S, np.repeat(np.arange(len(area_T)), 2)])
  u_S, v_S = np.sort(rng.random((2, len(owner_S))), axis=0)
  weights_S3 = np.stack([u_S, v_S - u_S, 1 - v_S], -1)
  points_S3 = np.einsum('sc,sck->sk', weights_S3, soup.corners_T33[owner_S])
  visible_S = np.zeros(len(owner_S))
  directions = [
    np.array([np.cos(azimuth), np.sin(azimuth), height])
    for height in (0.0, 0.35, 1.2)
    for azimuth in np.arange(0, 2 * np.pi, np.pi / 4)
  ]
  for toward_3 in directions:
    visible_S += _in_front(points_S3, toward_3)
  visible_T = np.bincount(owner_S, visible_S) / np.bincount(owner_S)
  return soup.kept(visible_T >= _MIN_VISIBLE * len(directions))


def _in_front(points_S3: np.ndarray, toward_3: np.ndarray) -> np.ndarray:
  """Returns whether each point is visible from a far viewpoint.

  Args:
    points_S3: the points.
    toward_3: the direction of the viewpoint.
  """
  toward_3 = toward_3 / np.linalg.norm(toward_3)
  right_3 = np.cross([0, 0, 1], toward_3)
  right_3 /= np.linalg.norm(right_3)
  across_S, up_S = (
    np.floor(points_S3 @ axis_3 / _GRID_M).astype(np.int32)
    for axis_3 in (right_3, np.cross(toward_3, right_3))
  )
  across_S, up_S = across_S - across_S.min(), up_S - up_S.min()
  cell_S = across_S * (up_S.max() + 1) + up_S
  depth_S = points_S3 @ toward_3
  nearest_C = np.full(cell_S.max() + 1, -np.inf)
  np.maximum.at(nearest_C, cell_S, depth_S)
  return depth_S > nearest_C[cell_S] - _GRID_M


def _merged(soup: _Soup, cell_m: float) -> _Soup:
  """Merges the vertices of each cell into their mean.

  Triangles that collapse or coincide are removed.
  """
  corners_V3 = soup.corners_T33.reshape(-1, 3)
  cells_V3 = np.floor(corners_V3 / cell_m + 0.5).astype(int)
  cells_V3 -= cells_V3.min(axis=0)
  # One integer per cell, because np.unique is far slower on rows.
  number_V = np.ravel_multi_index(cells_V3.T, cells_V3.max(axis=0) + 1)
  _, cell_V = np.unique(number_V, return_inverse=True)
  count_C = np.bincount(cell_V)
  mean_C3 = np.stack(
    [np.bincount(cell_V, corners_V3[:, k]) / count_C for k in range(3)], -1
  )
  cell_T3 = cell_V.reshape(-1, 3)
  sorted_T3 = np.sort(cell_T3, axis=-1)
  _, first_N = np.unique(sorted_T3, axis=0, return_index=True)
  proper_N = (np.diff(sorted_T3[first_N], axis=-1) > 0).all(axis=-1)
  kept = soup.kept(first_N[proper_N])
  corners_T33 = mean_C3[cell_T3[first_N[proper_N]]]
  turned_T = (_facing(corners_T33) * _facing(kept.corners_T33)).sum(-1) < 0
  corners_T33[turned_T] = corners_T33[turned_T][:, ::-1]
  normals_T33 = kept.normals_T33.copy()
  normals_T33[turned_T] = normals_T33[turned_T][:, ::-1]
  # The normals of some windows point inwards.
  inward_T = (_facing(corners_T33) * normals_T33.sum(axis=1)).sum(-1) < 0
  normals_T33[inward_T] *= -1
  return dataclasses.replace(
    kept, corners_T33=corners_T33, normals_T33=normals_T33
  )


def _facing(corners_T33: np.ndarray) -> np.ndarray:
  """Returns the cross products of the edges: normals of length 2 x area."""
  a_T3, b_T3, c_T3 = corners_T33.transpose(1, 0, 2)
  return np.cross(b_T3 - a_T3, c_T3 - a_T3)


def _mesh(soup: _Soup) -> meshes.Mesh:
  n = len(soup.corners_T33)
  return meshes.Mesh(
    soup.corners_T33.reshape(-1, 3),
    soup.normals_T33.reshape(-1, 3),
    np.full((3 * n, 2), 0.5),
    np.arange(3 * n).reshape(n, 3),
  )


def _trim(soup: _Soup, kind: Kind) -> tuple[meshes.Mesh, np.ndarray]:
  """Returns the unpainted parts with wheels, and their palette."""
  tyre, rim = _wheel(kind)
  wheels_T3 = [
    np.tile(c, (len(m.triangles_T3), 1))
    for m, c in ((tyre, _TYRE_RGB), (rim, _RIM_RGB))
  ]
  colors_T3 = np.concatenate([soup.colors_T3, *wheels_T3])
  palette_PP3, uvs_T2 = _palette(colors_T3)
  n = len(soup.colors_T3)
  body = dataclasses.replace(
    _mesh(soup), uvs_V2=np.repeat(uvs_T2[:n], 3, axis=0)
  )
  tyre_uv_2, rim_uv_2 = uvs_T2[n], uvs_T2[-1]
  rear, front = sorted(kind.axles_m)
  # The removal of hidden triangles opens the bottom; a dark floor closes it.
  half = kind.track_m - 0.13
  floor = meshes.box(
    rear - 0.35, -half, front + 0.35, half, 0.22, 1.8 * kind.wheel_m
  )
  parts = [body, _with_uv(floor, tyre_uv_2)]
  for x in kind.axles_m:
    for yaw in (0.0, np.pi):
      y = -kind.track_m if yaw == 0 else kind.track_m
      for mesh, uv_2 in ((tyre, tyre_uv_2), (rim, rim_uv_2)):
        wheel = _with_uv(mesh, uv_2).moved((x, y, kind.wheel_m), yaw)
        parts.append(wheel)
  return meshes.join(parts), palette_PP3


def _with_uv(mesh: meshes.Mesh, uv_2: np.ndarray) -> meshes.Mesh:
  uvs_V2 = np.tile(uv_2, (len(mesh.vertices_V3), 1))
  return dataclasses.replace(mesh, uvs_V2=uvs_V2)


def _wheel(kind: Kind) -> tuple[meshes.Mesh, meshes.Mesh]:
  """Returns a tyre and its rim at the origin; the rim faces -y."""
  tyre = meshes.column(kind.wheel_m, 0.2, sides=14)
  rim = meshes.column(0.62 * kind.wheel_m, 0.02, sides=10)
  rim = rim.moved((0, 0, 0.2))
  return tuple(
    meshes.Mesh(
      m.vertices_V3[:, [0, 2, 1]] * [1, -1, 1] + [0, 0.1, 0],
      m.normals_V3[:, [0, 2, 1]] * [1, -1, 1],
      m.uvs_V2,
      m.triangles_T3,
    )
    for m in (tyre, rim)
  )


def _palette(colors_T3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns a palette of the most frequent colours, and texture coordinates.

  A colour that is not in the palette gets the coordinates of the nearest one.

  Returns:
    The palette [P, P, 3], uint8, and the coordinates [T, 2] of each colour.
  """
  coarse_T3 = np.round(np.clip(colors_T3, 0, 1) * 255 / 12).astype(int)
  shades_N3, which_T, count_N = np.unique(
    coarse_T3, axis=0, return_inverse=True, return_counts=True
  )
  size = PALETTE_PX**2
  chosen_K3 = shades_N3[np.argsort(-count_N, kind='stable')[:size]]
  gap_NK = np.abs(shades_N3[:, None] - chosen_K3).sum(axis=-1)
  slot_T = gap_NK.argmin(axis=1)[which_T.ravel()]
  picture = np.zeros((size, 3), np.uint8)
  picture[: len(chosen_K3)] = np.minimum(chosen_K3 * 12, 255)
  row_T, column_T = np.divmod(slot_T, PALETTE_PX)
  uvs_T2 = np.stack([column_T + 0.5, PALETTE_PX - row_T - 0.5], -1)
  return picture.reshape(PALETTE_PX, PALETTE_PX, 3), uvs_T2 / PALETTE_PX
