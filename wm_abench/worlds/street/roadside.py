"""Lines on the roads of a town, and lamps, signals, signs, trees and bins."""

import collections

import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.street import buildings, districts, lanes

LEAVES = ((70, 104, 44), (98, 118, 48), (54, 88, 50))
_TOP_M = 0.14  # Height of the pavement.
_LINE_M = 0.012  # Height of painted lines, which avoids z-fighting.
_STOP_M = 10.6  # Distance of stop lines from the middle of the crossing.
_ARMS = range(4)

Parts = dict[str, list[meshes.Mesh]]


def _crossings():
  return ((x, y) for x in lanes.CROSSINGS for y in lanes.CROSSINGS)


def _on_arm(mesh: meshes.Mesh, crossing, arm: int) -> meshes.Mesh:
  """Moves a mesh from the road along x to one of a crossing's four roads."""
  x, y = (c * lanes.BLOCK_M for c in crossing)
  return mesh.moved((x, y, 0), arm * np.pi / 2)


def white_lines() -> list[meshes.Mesh]:
  """Returns stop lines, zebra crossings, and lines along parking lanes."""
  edge = 2 * lanes.LANE_M
  one_arm = [meshes.patch(_STOP_M, 0.15, _STOP_M + 0.45, edge - 0.1, _LINE_M)]
  for y in np.arange(-5.4, 5.3, 1.1):
    one_arm.append(meshes.patch(6.9, y, 9.5, y + 0.55, _LINE_M))
  for side in (-1, 1):
    y = side * edge
    one_arm.append(meshes.patch(13.0, y - 0.06, 24.0, y + 0.06, _LINE_M))
    for x in (13.0, 18.5, 24.0):
      low, high = sorted((y, side * (lanes.KERB_M - 0.1)))
      one_arm.append(meshes.patch(x - 0.06, low, x + 0.06, high, _LINE_M))
  lines = meshes.join(one_arm)
  return [_on_arm(lines, c, arm) for c in _crossings() for arm in _ARMS]


def yellow_lines() -> list[meshes.Mesh]:
  """Returns the dashed centre line of every road."""
  dashes = [
    meshes.patch(x, -0.07, x + 1.8, 0.07, _LINE_M)
    for x in np.arange(_STOP_M, 24.0, 3.4)
  ]
  line = meshes.join(dashes)
  return [_on_arm(line, c, arm) for c in _crossings() for arm in _ARMS]


def plan(district: districts.District, rng: np.random.Generator) -> Parts:
  """Draws lamps, traffic lights, signs, trees and bins, by material."""
  parts: Parts = collections.defaultdict(list)
  for crossing in _crossings():
    for arm in _ARMS:
      for material, mesh in _arm(district, rng):
        parts[material].append(_on_arm(mesh, crossing, arm))
  for bx, by in ((x, y) for x in buildings.BLOCKS for y in buildings.BLOCKS):
    if buildings.is_park(district, bx, by):
      _trees(parts, bx, by, 14, 13.0, rng)
    elif district.lawn:
      _trees(parts, bx, by, 2, 2.0, rng)
  return parts


def _arm(district: districts.District, rng: np.random.Generator):
  """Yields materials and meshes along half a block of the road along x."""
  kerb = lanes.KERB_M
  side = int(rng.choice((-1, 1)))
  yield from _lamp(float(rng.uniform(15, 17)), side * (kerb + 0.5), side)
  yield from _signal(10.2, kerb + 0.6)
  sign = f'sign_{rng.integers(3)}'
  yield from _sign(sign, float(rng.uniform(12, 22)), -side * (kerb + 0.7))
  x, y = float(rng.uniform(12, 20)), side * (kerb + 1.0)
  bin_ = meshes.column(0.3, 0.95).moved((x, y, _TOP_M))
  yield 'post', bin_
  if district.tree_gap_m:
    for x in np.arange(13.0, 23.9, district.tree_gap_m):
      xy = (x + rng.uniform(-1, 1), -side * (kerb + 1.0))
      yield from _tree(xy, float(rng.uniform(0.8, 1.1)), rng)


def _lamp(x: float, y: float, side: int):
  post = meshes.column(0.09, 6.2, sides=6).moved((x, y, _TOP_M))
  reach = y - side * 1.8
  low, high = sorted((y, reach))
  arm = meshes.box(x - 0.05, low, x + 0.05, high, 6.2, 6.32)
  yield 'post', meshes.join([post, arm])
  # Its light on the ground is drawn above road and pavement.
  glow = meshes.decal(x - 5, reach - 5, x + 5, reach + 5, _TOP_M + 0.01)
  yield 'glow', glow
  yield (
    'lamp',
    meshes.join(
      [
        meshes.walls(x - 0.2, reach - 0.4, x + 0.2, reach + 0.4, 6.08, 6.22),
        _below(x - 0.2, reach - 0.4, x + 0.2, reach + 0.4, 6.08),
      ]
    ),
  )


def _below(x0, y0, x1, y1, z) -> meshes.Mesh:
  """Returns a horizontal rectangle that faces down."""
  corners = [(x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z)]
  return meshes.quads([corners], np.full((1, 4, 2), 0.5))


def _signal(x: float, y: float):
  """Yields a traffic light that faces the traffic towards the crossing."""
  post = meshes.column(0.07, 3.4, sides=6).moved((x, y, _TOP_M))
  case = meshes.walls(x - 0.15, y - 0.17, x + 0.15, y + 0.17, 2.6, 3.6)
  yield 'post', meshes.join([post, case])
  yield 'signal', _face(x + 0.16, y, 2.6, 0.34, 1.0)


def _sign(name: str, x: float, y: float):
  post = meshes.column(0.04, 2.2, sides=5).moved((x, y, _TOP_M))
  yield 'metal', post
  yield name, _face(x + 0.06, y, 2.0, 0.7, 0.7)
  yield 'metal', _face(x - 0.06, y, 2.0, 0.7, 0.7, toward=-1)


def _face(x, y, z, wide_m, high_m, toward: int = 1) -> meshes.Mesh:
  """Returns an upright rectangle that faces +x, or -x if toward is -1."""
  a, b = y - toward * wide_m / 2, y + toward * wide_m / 2
  corners = [(x, a, z), (x, b, z), (x, b, z + high_m), (x, a, z + high_m)]
  return meshes.quads([corners], [[(0, 0), (1, 0), (1, 1), (0, 1)]])


def _trees(parts: Parts, bx, by, number, half_m, rng) -> None:
  for _ in range(number):
    xy = np.array([bx, by]) * lanes.BLOCK_M + rng.uniform(-half_m, half_m, 2)
    for material, mesh in _tree(xy, float(rng.uniform(1.0, 1.5)), rng):
      parts[material].append(mesh)


def _tree(xy, size: float, rng: np.random.Generator):
  """Yields a trunk and a crown of two lumpy balls; `size` 1 is 6 m high."""
  x, y = xy
  trunk = meshes.column(0.15 * size, 2.6 * size, sides=6)
  yield 'trunk', trunk.moved((x, y, _TOP_M))
  crown = []
  for radius, up in ((1.5, 3.4), (1.2, 4.6)):
    lumps = meshes.ball(rows=5, columns=7)
    n = len(lumps.vertices_V3)
    bumpy_V3 = lumps.vertices_V3 * rng.uniform(0.82, 1.18, (n, 1))
    seam = np.arange(7, n, 8)
    bumpy_V3[seam] = bumpy_V3[seam - 7]
    bumpy_V3[:8], bumpy_V3[-8:] = bumpy_V3[0], bumpy_V3[-1]
    lumps = meshes.Mesh(
      bumpy_V3, lumps.normals_V3, 3 * lumps.uvs_V2, lumps.triangles_T3
    )
    off_2 = rng.uniform(-0.35, 0.35, 2) * size
    middle = (x + off_2[0], y + off_2[1], _TOP_M + up * size)
    crown.append(lumps.moved(middle, scale=radius * size))
  yield f'leaves_{rng.integers(len(LEAVES))}', meshes.join(crown)


def signs() -> dict[str, np.ndarray]:
  """Returns the pictures of the traffic light and three signs, uint8."""
  y_P1, x_1P = np.mgrid[-1:1:64j, -1:1:64j]
  disc = np.hypot(x_1P, y_P1)
  stop = np.full((64, 64, 3), (176, 24, 28), np.uint8)
  stop[disc > 0.98] = 200
  stop[(np.abs(y_P1) < 0.2) & (np.abs(x_1P) < 0.7)] = 240
  round_ = np.full((64, 64, 3), 232, np.uint8)
  round_[(disc > 0.72) & (disc < 0.98)] = (196, 26, 30)
  round_[(np.abs(y_P1) < 0.3) & (np.abs(np.abs(x_1P) - 0.25) < 0.12)] = 30
  park = np.full((64, 64, 3), (26, 70, 150), np.uint8)
  park[(np.abs(x_1P + 0.3) < 0.13) & (np.abs(y_P1) < 0.7)] = 245
  park[(np.abs(np.hypot(x_1P, y_P1 + 0.28) - 0.34) < 0.1) & (x_1P > -0.3)] = 245
  signal = np.full((96, 32, 3), 22, np.uint8)
  for row, rgb in (
    (16, (70, 12, 12)),
    (48, (70, 54, 10)),
    (80, (40, 230, 110)),
  ):
    lamp = np.hypot(*np.mgrid[-row : 96 - row, -16:16]) < 11
    signal[lamp] = rgb
  return {'sign_0': stop, 'sign_1': round_, 'sign_2': park, 'signal': signal}
