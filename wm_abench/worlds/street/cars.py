"""MetaDrive's five cars as light meshes: the paint, which a scene may tint, and
the rest of the car, coloured from a palette.

`load` reads the glTF file, throws away what no one sees from outside (seats,
engine), merges vertices that are near each other, and puts on round wheels. The
files have x to the left, y up and z ahead; here x is ahead, y left, z up, the
wheels stand on z = 0, and the origin is midway between the axles.
"""

import base64
import dataclasses
import functools
import io
import json
import pathlib

import numpy as np
from PIL import Image

from commons import errors
from wm_abench.worlds import assets, meshes

# A palette picture is so many texels wide and high; one is enough a colour.
PALETTE_PX = 16


@dataclasses.dataclass(frozen=True)
class Kind:
  """How one of MetaDrive's cars is read.

  Attributes:
    folder: of its files.
    scale: of the file's size.
    cell_m: vertices nearer than about this become one.
    axles_m: of the front and the rear axle, as the file has it (x ahead).
    track_m: half the distance between the wheels of an axle.
    wheel_m: a wheel's radius.
    paint: names of the materials that are painted.
    glass: names of the materials that are windows.
    dropped: names of the materials that are left out.
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


# Wheels: MetaDrive 0.2.6, component/vehicle/vehicle_type.py.
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

_NUMBERS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4}
_GLASS_RGB = (0.07, 0.09, 0.11)
_TYRE_RGB, _RIM_RGB = (0.06, 0.06, 0.065), (0.62, 0.63, 0.65)
# Points that a car's depth pictures are made of, and the pictures' cell.
_SAMPLES, _GRID_M = 250_000, 0.05
# A triangle is kept that is seen in this share of the pictures; less is seen
# through gaps between the points.
_SEEN = 0.06
# From the file's axes (x right, y up, z back) to ours.
_AXES_33 = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]], float)


@dataclasses.dataclass(frozen=True)
class Car:
  """A car that is ready for a model.

  Attributes:
    paint: what the scene's colour goes on.
    trim: the rest; its texture coordinates point into the palette.
    palette_PP3: the trim's colours, uint8.
    length_m, width_m: of the whole.
  """

  paint: meshes.Mesh
  trim: meshes.Mesh
  palette_PP3: np.ndarray
  length_m: float
  width_m: float


@dataclasses.dataclass(frozen=True)
class _Soup:
  """Triangles with one colour each; `paint_T` says which are painted."""

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
  """One of KINDS.

  Raises:
    UserError: no such kind, or the package of its files cannot be fetched.
  """
  if name not in KINDS:
    raise errors.unknown('car', name, KINDS)
  kind = KINDS[name]
  root = assets.folder('metadrive') / 'models' / 'vehicle'
  soup = _read(root / kind.folder / 'vehicle.gltf', kind)
  soup = _merged(_shell(soup), kind.cell_m)
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
  gltf = json.loads(path.read_text())
  data = base64.b64decode(gltf['buffers'][0]['uri'].partition(',')[2])
  soups = []
  for mesh, placed_44 in _placed(gltf):
    for part in gltf['meshes'][mesh]['primitives']:
      material = gltf['materials'][part['material']]
      if material['name'] not in kind.dropped:
        soups.append(_part(gltf, data, part, material, placed_44, kind))
  columns = zip(*(soup.fields() for soup in soups), strict=True)
  return _Soup(*map(np.concatenate, columns))


def _part(gltf, data, part, material, placed_44, kind) -> _Soup:
  accessors = {n: _array(gltf, data, i) for n, i in part['attributes'].items()}
  triangles_T3 = _array(gltf, data, part['indices']).reshape(-1, 3)
  turn_33 = _AXES_33 @ placed_44[:3, :3]
  shift_3 = _AXES_33 @ placed_44[:3, 3]
  corners_T33 = (accessors['POSITION'] @ turn_33.T + shift_3)[triangles_T3]
  normals_T33 = meshes.unit(accessors['NORMAL'] @ turn_33.T)[triangles_T3]
  n = len(triangles_T3)
  name = material['name']
  if name in kind.glass:
    colors_T3 = np.tile(_GLASS_RGB, (n, 1))
  else:
    uvs_T32 = accessors['TEXCOORD_0'][triangles_T3]
    colors_T3 = _colors(gltf, data, material, uvs_T32.mean(axis=1))
  paint_T = np.full(n, name in kind.paint)
  return _Soup(kind.scale * corners_T33, normals_T33, colors_T3, paint_T)


def _placed(gltf):
  """Each mesh that the scene shows, with its 4 x 4 matrix."""
  todo = [(i, np.eye(4)) for i in gltf['scenes'][gltf['scene']]['nodes']]
  while todo:
    index, above_44 = todo.pop()
    node = gltf['nodes'][index]
    here_44 = above_44 @ _matrix(node)
    if 'mesh' in node:
      yield node['mesh'], here_44
    todo += [(child, here_44) for child in node.get('children', ())]


def _matrix(node) -> np.ndarray:
  x, y, z, w = node.get('rotation', (0, 0, 0, 1))
  turn_33 = np.array(
    [
      [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
      [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
      [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
  )
  matrix_44 = np.eye(4)
  matrix_44[:3, :3] = turn_33 * np.array(node.get('scale', (1, 1, 1)))
  matrix_44[:3, 3] = node.get('translation', (0, 0, 0))
  return matrix_44


def _array(gltf, data: bytes, index: int) -> np.ndarray:
  accessor = gltf['accessors'][index]
  view = gltf['bufferViews'][accessor['bufferView']]
  start = view.get('byteOffset', 0) + accessor.get('byteOffset', 0)
  width = _WIDTHS[accessor['type']]
  kind = _NUMBERS[accessor['componentType']]
  flat = np.frombuffer(data, kind, accessor['count'] * width, start)
  return flat.reshape(accessor['count'], width)


def _colors(gltf, data: bytes, material, uvs_T2) -> np.ndarray:
  """Each triangle's colour in [0, 1]: the texture's where its middle is."""
  surface = material.get('pbrMetallicRoughness', {})
  factor_3 = np.array(surface.get('baseColorFactor', (1, 1, 1, 1))[:3])
  # The files give factors in linear light, as glTF says.
  colors_T3 = np.tile(factor_3 ** (1 / 2.2), (len(uvs_T2), 1))
  texture = surface.get('baseColorTexture', material.get('emissiveTexture'))
  if texture is None:
    return colors_T3
  image = gltf['images'][gltf['textures'][texture['index']]['source']]
  view = gltf['bufferViews'][image['bufferView']]
  start = view.get('byteOffset', 0)
  encoded = io.BytesIO(data[start : start + view['byteLength']])
  with Image.open(encoded) as picture:
    pixels_HW3 = np.asarray(picture.convert('RGB'))
  height, width = pixels_HW3.shape[:2]
  column = (uvs_T2[:, 0] % 1 * width).astype(int) % width
  row = (uvs_T2[:, 1] % 1 * height).astype(int) % height
  return colors_T3 * pixels_HW3[row, column] / 255


def _shell(soup: _Soup) -> _Soup:
  """Only what is seen from somewhere outside, found with depth pictures."""
  rng = np.random.default_rng(0)
  area_T = np.linalg.norm(_facing(soup.corners_T33), axis=-1)
  owner_S = rng.choice(len(area_T), _SAMPLES, p=area_T / area_T.sum())
  owner_S = np.concatenate([owner_S, np.repeat(np.arange(len(area_T)), 2)])
  u_S, v_S = np.sort(rng.random((2, len(owner_S))), axis=0)
  weights_S3 = np.stack([u_S, v_S - u_S, 1 - v_S], -1)
  points_S3 = np.einsum('sc,sck->sk', weights_S3, soup.corners_T33[owner_S])
  seen_S = np.zeros(len(owner_S))
  directions = [
    np.array([np.cos(azimuth), np.sin(azimuth), height])
    for height in (0.0, 0.35, 1.2)
    for azimuth in np.arange(0, 2 * np.pi, np.pi / 4)
  ]
  for toward_3 in directions:
    seen_S += _front(points_S3, toward_3)
  seen_T = np.bincount(owner_S, seen_S) / np.bincount(owner_S)
  return soup.kept(seen_T >= _SEEN * len(directions))


def _front(points_S3: np.ndarray, toward_3: np.ndarray) -> np.ndarray:
  """Which points nothing hides from an eye far off in one direction."""
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
  """Vertices of one cell moved to their mean; triangles that fold go."""
  corners_V3 = soup.corners_T33.reshape(-1, 3)
  cells_V3 = np.floor(corners_V3 / cell_m + 0.5).astype(int)
  cells_V3 -= cells_V3.min(axis=0)
  # One number a cell: unique rows are found far more slowly.
  number_V = np.ravel_multi_index(cells_V3.T, cells_V3.max(axis=0) + 1)
  _, cell_V = np.unique(number_V, return_inverse=True)
  count_C = np.bincount(cell_V)
  mean_C3 = np.stack(
    [np.bincount(cell_V, corners_V3[:, k]) / count_C for k in range(3)], -1
  )
  cell_T3 = cell_V.reshape(-1, 3)
  sorted_T3 = np.sort(cell_T3, axis=-1)
  _, first_N = np.unique(sorted_T3, axis=0, return_index=True)
  whole_N = (np.diff(sorted_T3[first_N], axis=-1) > 0).all(axis=-1)
  kept = soup.kept(first_N[whole_N])
  corners_T33 = mean_C3[cell_T3[first_N[whole_N]]]
  turned_T = (_facing(corners_T33) * _facing(kept.corners_T33)).sum(-1) < 0
  corners_T33[turned_T] = corners_T33[turned_T][:, ::-1]
  normals_T33 = kept.normals_T33.copy()
  normals_T33[turned_T] = normals_T33[turned_T][:, ::-1]
  # Some panes have normals that point inwards.
  inward_T = (_facing(corners_T33) * normals_T33.sum(axis=1)).sum(-1) < 0
  normals_T33[inward_T] *= -1
  return dataclasses.replace(
    kept, corners_T33=corners_T33, normals_T33=normals_T33
  )


def _facing(corners_T33: np.ndarray) -> np.ndarray:
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
  """The unpainted part with its wheels, and the palette for both."""
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
  half = kind.track_m - 0.13  # A dark floor, which the shell left open.
  floor = meshes.box(
    rear - 0.35, -half, front + 0.35, half, 0.22, 1.8 * kind.wheel_m
  )
  placed = [body, _tinted(floor, tyre_uv_2)]
  for x in kind.axles_m:
    for yaw in (0.0, np.pi):
      y = -kind.track_m if yaw == 0 else kind.track_m
      for mesh, uv_2 in ((tyre, tyre_uv_2), (rim, rim_uv_2)):
        wheel = _tinted(mesh, uv_2).moved((x, y, kind.wheel_m), yaw)
        placed.append(wheel)
  return meshes.join(placed), palette_PP3


def _tinted(mesh: meshes.Mesh, uv_2: np.ndarray) -> meshes.Mesh:
  uvs_V2 = np.tile(uv_2, (len(mesh.vertices_V3), 1))
  return dataclasses.replace(mesh, uvs_V2=uvs_V2)


def _wheel(kind: Kind) -> tuple[meshes.Mesh, meshes.Mesh]:
  """A tyre and its rim about the origin, the rim's face towards -y."""
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
  """A square picture of the commonest colours, and where each one is in it.

  Colours beyond what the picture holds become the nearest that is in it.
  """
  coarse_T3 = np.round(np.clip(colors_T3, 0, 1) * 255 / 12).astype(int)
  shades_N3, which_T, count_N = np.unique(
    coarse_T3, axis=0, return_inverse=True, return_counts=True
  )
  room = PALETTE_PX**2
  common_N = np.argsort(-count_N, kind='stable')[:room]
  chosen_K3 = shades_N3[common_N]
  gap_NK = np.abs(shades_N3[:, None] - chosen_K3).sum(axis=-1)
  slot_T = gap_NK.argmin(axis=1)[which_T.ravel()]
  picture = np.zeros((room, 3), np.uint8)
  picture[: len(chosen_K3)] = np.minimum(chosen_K3 * 12, 255)
  row_T, column_T = np.divmod(slot_T, PALETTE_PX)
  uvs_T2 = np.stack([column_T + 0.5, PALETTE_PX - row_T - 0.5], -1)
  return picture.reshape(PALETTE_PX, PALETTE_PX, 3), uvs_T2 / PALETTE_PX
