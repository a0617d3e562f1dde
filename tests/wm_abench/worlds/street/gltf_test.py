import base64
import json

import numpy as np
import pytest

from wm_abench.worlds.street import gltf

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0]], np.float32)


def _document(tmp_path, nodes, material):
  """Writes and reads a file with one triangle in the x-y plane."""
  normals = np.tile(np.float32([0, 0, 1]), (3, 1))
  parts = [CORNERS.tobytes(), normals.tobytes(), np.uint16([0, 1, 2]).tobytes()]
  starts = np.cumsum([0, *map(len, parts)])
  data = base64.b64encode(b''.join(parts)).decode()
  description = {
    'scene': 0,
    'scenes': [{'nodes': [0]}],
    'nodes': nodes,
    'meshes': [
      {
        'primitives': [
          {
            'attributes': {'POSITION': 0, 'NORMAL': 1},
            'indices': 2,
            'material': 0,
          }
        ]
      }
    ],
    'materials': [material],
    'accessors': [
      {'bufferView': 0, 'componentType': 5126, 'type': 'VEC3', 'count': 3},
      {'bufferView': 1, 'componentType': 5126, 'type': 'VEC3', 'count': 3},
      {'bufferView': 2, 'componentType': 5123, 'type': 'SCALAR', 'count': 3},
    ],
    'bufferViews': [{'byteOffset': int(s)} for s in starts[:3]],
    'buffers': [{'uri': f'data:application/octet-stream;base64,{data}'}],
  }
  path = tmp_path / 'triangle.gltf'
  path.write_text(json.dumps(description))
  return gltf.Document(path)


def test_a_child_is_transformed_by_its_node_and_then_by_its_parent(tmp_path):
  half = np.sqrt(0.5)
  nodes = [
    {'children': [1], 'translation': [10, 0, 0]},
    {'mesh': 0, 'rotation': [0, 0, half, half], 'scale': [3, 3, 3]},
  ]
  (part,) = _document(tmp_path, nodes, {'name': 'paint'}).primitives()
  # Scaled by 3, rotated by 90 degrees from x to y, shifted by 10 along x.
  expected = [[[10, 0, 0], [10, 3, 0], [4, 0, 0]]]
  np.testing.assert_allclose(part.corners_T33, expected, atol=1e-6)
  np.testing.assert_allclose(part.normals_T33, [[[0, 0, 1]] * 3], atol=1e-6)
  assert part.material['name'] == 'paint'


def test_a_color_factor_is_converted_from_linear_light(tmp_path):
  surface = {'baseColorFactor': [1, 0.5, 0, 1]}
  material = {'name': 'paint', 'pbrMetallicRoughness': surface}
  document = _document(tmp_path, [{'mesh': 0}], material)
  (part,) = document.primitives()
  assert part.uvs_T2 is None
  (color,) = document.colors(part)
  assert color == pytest.approx([1, 0.5 ** (1 / 2.2), 0])
