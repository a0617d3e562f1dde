"""A reader of glTF files: their triangles in world coordinates, with colours.

It supports what MetaDrive's cars use: one embedded buffer and node transforms
by translation, rotation and scale. trimesh is not used because it rounds
transforms and colour factors, which changes the merged meshes and the palettes
of `cars`.
"""

import base64
from collections.abc import Iterator
import dataclasses
import io
import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from wm_abench.worlds import meshes

# Component type and element type of accessors.
_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4}


@dataclasses.dataclass(frozen=True)
class Primitive:
  """Triangles of one material.

  Attributes:
    material: the material as the file describes it.
    corners_T33: the corners of the triangles.
    normals_T33: the normals at the corners.
    uvs_T2: the texture coordinates of the centres; None without texture
      coordinates.
  """

  material: dict[str, Any]
  corners_T33: np.ndarray
  normals_T33: np.ndarray
  uvs_T2: np.ndarray | None


class Document:
  """A glTF file."""

  def __init__(self, path: pathlib.Path):
    self._json = json.loads(path.read_text())
    uri = self._json['buffers'][0]['uri']
    self._buffer = base64.b64decode(uri.partition(',')[2])

  def primitives(self) -> Iterator[Primitive]:
    """Yields the primitives of all nodes of the scene."""
    for mesh, matrix_44 in self._nodes():
      for part in self._json['meshes'][mesh]['primitives']:
        yield self._primitive(part, matrix_44)

  def colors(self, primitive: Primitive) -> np.ndarray:
    """Returns the colour [T, 3] at the centre of each triangle, in [0, 1]."""
    material, uvs_T2 = primitive.material, primitive.uvs_T2
    surface = material.get('pbrMetallicRoughness', {})
    factor_3 = np.array(surface.get('baseColorFactor', (1, 1, 1, 1))[:3])
    # By the glTF standard, factors are in linear light.
    n = len(primitive.corners_T33)
    colors_T3 = np.tile(factor_3 ** (1 / 2.2), (n, 1))
    texture = surface.get('baseColorTexture', material.get('emissiveTexture'))
    if texture is None:
      return colors_T3
    pixels_HW3 = self._picture(texture['index'])
    height, width = pixels_HW3.shape[:2]
    column = (uvs_T2[:, 0] % 1 * width).astype(int) % width
    row = (uvs_T2[:, 1] % 1 * height).astype(int) % height
    return colors_T3 * pixels_HW3[row, column] / 255

  def _nodes(self) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each mesh of the scene with its transform [4, 4]."""
    scene = self._json['scenes'][self._json['scene']]
    pending = [(i, np.eye(4)) for i in scene['nodes']]
    while pending:
      index, parent_44 = pending.pop()
      node = self._json['nodes'][index]
      matrix_44 = parent_44 @ _matrix(node)
      if 'mesh' in node:
        yield node['mesh'], matrix_44
      pending += [(child, matrix_44) for child in node.get('children', ())]

  def _primitive(self, part: dict, matrix_44: np.ndarray) -> Primitive:
    attributes = {n: self._array(i) for n, i in part['attributes'].items()}
    triangles_T3 = self._array(part['indices']).reshape(-1, 3)
    turn_33, shift_3 = matrix_44[:3, :3], matrix_44[:3, 3]
    corners_V3 = attributes['POSITION'] @ turn_33.T + shift_3
    normals_V3 = meshes.unit(attributes['NORMAL'] @ turn_33.T)
    uvs_T2 = None
    if 'TEXCOORD_0' in attributes:
      uvs_T2 = attributes['TEXCOORD_0'][triangles_T3].mean(axis=1)
    return Primitive(
      self._json['materials'][part['material']],
      corners_V3[triangles_T3],
      normals_V3[triangles_T3],
      uvs_T2,
    )

  def _array(self, index: int) -> np.ndarray:
    """Returns an accessor as an array [count, width]."""
    accessor = self._json['accessors'][index]
    view = self._json['bufferViews'][accessor['bufferView']]
    start = view.get('byteOffset', 0) + accessor.get('byteOffset', 0)
    width = _WIDTHS[accessor['type']]
    dtype = _DTYPES[accessor['componentType']]
    flat = np.frombuffer(self._buffer, dtype, accessor['count'] * width, start)
    return flat.reshape(accessor['count'], width)

  def _picture(self, texture: int) -> np.ndarray:
    image = self._json['images'][self._json['textures'][texture]['source']]
    view = self._json['bufferViews'][image['bufferView']]
    start = view.get('byteOffset', 0)
    encoded = self._buffer[start : start + view['byteLength']]
    with Image.open(io.BytesIO(encoded)) as picture:
      return np.asarray(picture.convert('RGB'))


def _matrix(node: dict) -> np.ndarray:
  """Returns the transform [4, 4] of a node relative to its parent."""
  # The quaternions are rounded. scipy's Rotation would normalise them, and the
  # merged meshes of `cars` would change.
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
