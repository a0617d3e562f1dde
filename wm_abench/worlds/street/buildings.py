"""The buildings of a town: their plots, walls and roofs."""

import collections

import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.street import districts, facades, lanes

BLOCKS = (-1.5, -0.5, 0.5, 1.5)  # Centres of blocks, in units of BLOCK_M.
GROUND_M = 4.0  # Height of the ground floor.
_FLOOR_M = 0.14  # Height of the floor of the ground floor.

Parts = dict[str, list[meshes.Mesh]]


def plan(district: districts.District, rng: np.random.Generator) -> Parts:
  """Draws the meshes of all buildings, by material; see town."""
  parts: Parts = collections.defaultdict(list)
  side_m = lanes.BLOCK_M - 2 * lanes.PLOT_M
  plot_m = side_m / district.cut
  for bx, by in ((x, y) for x in BLOCKS for y in BLOCKS):
    if is_park(district, bx, by):
      continue
    corner_2 = np.array([bx, by]) * lanes.BLOCK_M - side_m / 2
    for i, j in _border(district.cut):
      x, y = corner_2 + np.array([i, j]) * plot_m
      _build_on(parts, district, (x, y, x + plot_m, y + plot_m), rng)
  _close_roads(parts, district, rng)
  return parts


def is_park(district: districts.District, bx: float, by: float) -> bool:
  """Returns whether a block is a park: in a checkerboard, or none at all."""
  return district.park_share > 0 and int(bx + by + 3) % 2 == 0


def _border(cut: int) -> list[tuple[int, int]]:
  """Returns the plots at the border of a block of cut x cut plots."""
  plots = [(i, j) for i in range(cut) for j in range(cut)]
  return [(i, j) for i, j in plots if {i, j} & {0, cut - 1}]


def _build_on(parts: Parts, district, edges, rng: np.random.Generator) -> None:
  """Draws a building on a plot with edges x0, y0, x1, y1."""
  x0, y0, x1, y1 = edges
  which = int(rng.integers(len(district.styles)))
  floors = int(rng.integers(district.floors[0], district.floors[1] + 1))
  back = district.setback_m
  if district.setback_m > 2:  # A detached house.
    wide, deep = rng.uniform(2.2, 3.4, 2)
    edges = (x0 + wide, y0 + deep, x1 - wide, y1 - deep)
  else:
    edges = (x0 + back, y0 + back, x1 - back, y1 - back)
  _building(parts, district, which, floors, edges, rng)


def _building(parts: Parts, district, which, floors, edges, rng) -> None:
  style = district.styles[which]
  ground_m = 3.0 if district.setback_m > 2 else GROUND_M
  top_m = _FLOOR_M + ground_m + floors * style.floor_m
  wide_m = facades.BAYS * style.bay_m
  mid_m = _FLOOR_M + ground_m
  parts[f'ground_{which}'].append(
    meshes.walls(
      *edges, _FLOOR_M, mid_m, (wide_m, ground_m), whole_repeats=True
    )
  )
  parts[f'upper_{which}'].append(
    meshes.walls(
      *edges,
      mid_m,
      top_m,
      (wide_m, facades.FLOORS * style.floor_m),
      whole_repeats=True,
    )
  )
  if district.pitched:
    gable, slopes = _gable(edges, top_m, int(rng.integers(2)))
    parts['roof'].append(slopes)
    parts['kerb'].append(gable)
  else:
    x0, y0, x1, y1 = edges
    cornice = (x0 - 0.25, y0 - 0.25, x1 + 0.25, y1 + 0.25)
    parts['kerb'].append(meshes.box(*cornice, top_m - 0.3, top_m + 0.5))
    band = (x0 - 0.12, y0 - 0.12, x1 + 0.12, y1 + 0.12)
    parts['kerb'].append(meshes.box(*band, mid_m - 0.12, mid_m + 0.12))
    x, y = rng.uniform(x0 + 2, x1 - 5), rng.uniform(y0 + 2, y1 - 5)
    shed = meshes.box(x, y, x + 3, y + 3, top_m, top_m + 2.4)
    parts['metal'].append(shed)


def _gable(edges, eaves_m: float, across: int):
  """Returns the two triangles and the two slopes with eaves of a gable roof."""
  x0, y0, x1, y1 = edges
  if across:
    gable, slopes = _gable((y0, -x1, y1, -x0), eaves_m, 0)
    quarter = np.pi / 2
    return gable.moved((0, 0, 0), quarter), slopes.moved((0, 0, 0), quarter)
  mid, rise = (y0 + y1) / 2, 0.36 * (y1 - y0)
  ridge = eaves_m + rise
  ends = [
    [(x1, y0, eaves_m), (x1, y1, eaves_m), (x1, mid, ridge), (x1, mid, ridge)],
    [(x0, y1, eaves_m), (x0, y0, eaves_m), (x0, mid, ridge), (x0, mid, ridge)],
  ]
  over, drop = 0.5, 0.36
  a, b, low = x0 - over, x1 + over, eaves_m - drop * 2 * over
  slopes = [
    [
      (a, y0 - over, low),
      (b, y0 - over, low),
      (b, mid, ridge),
      (a, mid, ridge),
    ],
    [
      (b, y1 + over, low),
      (a, y1 + over, low),
      (a, mid, ridge),
      (b, mid, ridge),
    ],
  ]
  u, v = (b - a) / 3, np.hypot(y1 - mid, rise) / 3
  uvs = [[(0, 0), (u, 0), (u, v), (0, v)]] * 2
  return meshes.quads(ends, np.zeros((2, 4, 2))), meshes.quads(slopes, uvs)


def _close_roads(parts: Parts, district, rng) -> None:
  """Adds a building behind each end of every road."""
  far, half = lanes.EDGE_M + 6, lanes.KERB_M + 3
  for road in lanes.CROSSINGS:
    centre = road * lanes.BLOCK_M
    low, high = centre - half, centre + half
    for edges in (
      (far, low, far + 14, high),
      (-far - 14, low, -far, high),
      (low, far, high, far + 14),
      (low, -far - 14, high, -far),
    ):
      which = int(rng.integers(len(district.styles)))
      floors = max(2, district.floors[0])
      _building(parts, district, which, floors, edges, rng)
