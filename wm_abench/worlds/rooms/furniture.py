"""The surfaces that props stand on, and furniture of the rooms around them.

worlds/homes/furnishings.py has the furniture that homes and these rooms share.
"""

from collections.abc import Callable

import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.homes import household, joinery
from wm_abench.worlds.homes.household import Piece

# Gap between the textured surface and the solid below it.
_GAP_M = 0.004


def _sofa(rng: np.random.Generator) -> Piece:
  width_m, depth_m, arm = 2.1, 0.92, 0.18
  w, step = width_m / 2, (width_m - 2 * arm) / 3
  parts = [
    joinery.soft('upholstery', (-w, 0.02, 0.08), (w, 0.9, 0.36), 0.05),
    joinery.soft('upholstery', (-w, 0.0, 0.1), (w, 0.26, 0.82), 0.1),
    joinery.soft('upholstery', (-w, 0.02, 0.1), (-w + arm, 0.92, 0.6), 0.08),
    joinery.soft('upholstery', (w - arm, 0.02, 0.1), (w, 0.92, 0.6), 0.08),
    *household.legs('dark_wood', width_m - 0.1, 0.06, 0.86, 0.1),
  ]
  for a in np.linspace(-w + arm, w - arm - step, 3):
    parts += [
      joinery.soft('upholstery', (a, 0.24, 0.33), (a + step, 0.92, 0.47), 0.06),
      joinery.soft('upholstery', (a, 0.2, 0.42), (a + step, 0.42, 0.88), 0.09),
    ]
  pillow = joinery.soft('pillow', (-0.22, 0, 0), (0.22, 0.16, 0.4), 0.075)
  cushion = joinery.soft('accent', (-0.2, 0, 0), (0.2, 0.15, 0.36), 0.07)
  parts += [pillow.moved(w - 0.42, 0.4, 0.46, 12)]
  parts += [cushion.moved(-w + 0.42, 0.4, 0.46, -14)]
  return household.piece('sofa', parts, width_m, depth_m, 0.88)


def _chair(rng: np.random.Generator) -> Piece:
  parts = joinery.moved(household.chair('chair'), 0, 0.23)
  return household.piece('chair', parts, 0.44, 0.46, 0.92)


def _stool(rng: np.random.Generator) -> Piece:
  parts = [
    joinery.turned(
      'seat', [(0, 0.6), (0.17, 0.6), (0.18, 0.64), (0, 0.66)], 20
    ),
    *household.legs('chair', 0.3, -0.15, 0.15, 0.6, 0.035),
    joinery.box('chair', (-0.13, -0.14, 0.2), (0.13, -0.12, 0.23)),
    joinery.box('chair', (-0.13, 0.12, 0.2), (0.13, 0.14, 0.23)),
  ]
  parts = joinery.moved(parts, 0, 0.2)
  return household.piece('stool', parts, 0.38, 0.4, 0.66)


def _sideboard(rng: np.random.Generator) -> Piece:
  w = 0.8
  parts = [
    *household.cupboards(-w, w, 0.42, 0.12, 0.74, 4),
    joinery.box('wood', (-w - 0.02, 0, 0.74), (w + 0.02, 0.44, 0.77)),
    *household.legs('dark_wood', 2 * w, 0.04, 0.4, 0.12),
    *household.table_lamp(-w + 0.2, 0.22, 0.77),
    *joinery.moved(household.vase(rng), w - 0.2, 0.22, 0.77),
    *household.stack(rng, 0.0, 0.22, 0.77),
  ]
  return household.piece('sideboard', parts, 2 * w + 0.04, 0.44, 0.77)


def _door(rng: np.random.Generator) -> Piece:
  w, h = 0.42, 2.03
  parts = [
    joinery.box('trim', (-w - 0.08, 0, 0), (-w, 0.035, h + 0.08)),
    joinery.box('trim', (w, 0, 0), (w + 0.08, 0.035, h + 0.08)),
    joinery.box('trim', (-w, 0, h), (w, 0.035, h + 0.08)),
    joinery.box('door', (-w, 0, 0), (w, 0.015, h)),
    joinery.rod('metal', 0.02, 0, 0.05, 10).moved(w - 0.08, 0.04, 0.98),
    joinery.box('metal', (w - 0.19, 0.045, 1.0), (w - 0.06, 0.06, 1.02)),
  ]
  for z0, z1 in ((0.18, 0.88), (1.12, 1.86)):
    for a, b in ((-w + 0.09, -0.04), (0.04, w - 0.09)):
      parts.append(joinery.box('trim', (a, 0.015, z0), (b, 0.022, z1)))
  return household.piece('door', parts, 2 * w + 0.16, 0.05, h + 0.08, [])


def _side_table(rng: np.random.Generator) -> Piece:
  top = [(0, 0.5), (0.26, 0.5), (0.26, 0.53), (0, 0.53)]
  parts = [
    joinery.turned('wood', top, 24),
    joinery.rod('dark_metal', 0.02, 0.02, 0.5, 10),
    joinery.turned('dark_metal', [(0.18, 0), (0.18, 0.015), (0, 0.03)], 20),
    *household.table_lamp(-0.08, -0.06, 0.53),
    *household.stack(rng, 0.08, 0.08, 0.53),
  ]
  parts = joinery.moved(parts, 0, 0.28)
  return household.piece('side_table', parts, 0.54, 0.54, 0.9)


def _bench(rng: np.random.Generator) -> Piece:
  parts = [
    joinery.box('chair', (-0.75, 0.04, 0.38), (0.75, 0.42, 0.43)),
    *household.legs('chair', 1.4, 0.07, 0.39, 0.38, 0.06),
    joinery.soft('seat', (-0.73, 0.05, 0.43), (0.73, 0.41, 0.5), 0.03),
    joinery.soft('pillow', (-0.68, 0.06, 0.5), (-0.28, 0.2, 0.84), 0.06),
    joinery.soft('accent', (0.3, 0.06, 0.5), (0.66, 0.2, 0.82), 0.06),
  ]
  return household.piece('bench', parts, 1.5, 0.44, 0.84)


def _low_shelf(rng: np.random.Generator) -> Piece:
  w, depth_m, height_m = 0.75, 0.32, 0.86
  parts = [
    joinery.box('wood', (-w, 0, 0), (-w + 0.03, depth_m, height_m)),
    joinery.box('wood', (w - 0.03, 0, 0), (w, depth_m, height_m)),
    joinery.box('wood', (-0.015, 0, 0), (0.015, depth_m, height_m)),
    joinery.box('white', (-w, 0, 0), (w, 0.02, height_m)),
  ]
  levels = np.linspace(0.05, height_m - 0.03, 3)
  for z in levels:
    parts.append(joinery.box('wood', (-w, 0, z), (w, depth_m, z + 0.03)))
  for z in levels[:-1]:
    parts += household.row(rng, -w + 0.05, -0.03, z + 0.03)
    parts += household.row(rng, 0.03, w - 0.05, z + 0.03)
  parts += joinery.moved(household.vase(rng), -0.5, 0.16, height_m)
  parts += household.stack(rng, 0.45, 0.16, height_m)
  return household.piece('low_shelf', parts, 2 * w, depth_m, height_m)


def _pot_plant(rng: np.random.Generator) -> Piece:
  """Returns a leafy pot plant, 0.85 m high."""
  folder = assets.folder('libero') / 'scenes' / 'plant'
  mesh = joinery.load(folder / 'visual' / 'plant_vis.msh', 0.85)
  parts = [joinery.Part('plant', mesh).moved(0, 0.25, 0, rng.uniform(0, 360))]
  solid = (-0.15, 0.1, 0.15, 0.4)
  return household.piece('pot_plant', parts, 0.5, 0.5, 0.85, [solid])


# Constructors of furniture. The generator draws small variations.
KINDS: dict[str, Callable[[np.random.Generator], Piece]] = {
  'bench': _bench,
  'chair': _chair,
  'door': _door,
  'low_shelf': _low_shelf,
  'pot_plant': _pot_plant,
  'side_table': _side_table,
  'sideboard': _sideboard,
  'sofa': _sofa,
  'stool': _stool,
}


def rug(half_m: float, top_m: float) -> list[joinery.Part]:
  """Returns a square rug on the floor."""
  h = half_m
  return [
    joinery.box('rug_edge', (-h, -h, 0.0), (h, h, top_m - _GAP_M)),
    joinery.mat('surface', -h, -h, h, h, top_m),
  ]


def table(half_m: float, top_m: float) -> list[joinery.Part]:
  """Returns a square table on four legs."""
  h = half_m
  return [
    joinery.box('table_edge', (-h, -h, top_m - 0.05), (h, h, top_m - _GAP_M)),
    joinery.mat('surface', -h, -h, h, h, top_m),
    joinery.box(
      'table_edge',
      (-h + 0.08, -h + 0.08, top_m - 0.13),
      (h - 0.08, h - 0.08, top_m - 0.05),
    ),
    *household.legs(
      'table_edge', 2 * h - 0.08, -h + 0.04, h - 0.04, top_m - 0.05, 0.08
    ),
  ]


def island(half_m: float, top_m: float) -> list[joinery.Part]:
  """Returns a kitchen island: cupboards on four sides below a worktop."""
  h = half_m - 0.06
  parts = [
    joinery.box(
      'table_edge',
      (-half_m, -half_m, top_m - 0.04),
      (half_m, half_m, top_m - _GAP_M),
    ),
    joinery.mat('surface', -half_m, -half_m, half_m, half_m, top_m),
    joinery.box('black', (-h + 0.05, -h + 0.05, 0), (h - 0.05, h - 0.05, 0.1)),
  ]
  for quarter in range(4):
    front = household.cupboards(-h, h, 0.6, 0.1, top_m - 0.04, 4)
    front = joinery.moved(front, 0, h - 0.6)
    parts += joinery.moved(front, 0, 0, 0, 90 * quarter)
  return parts


# Constructors of surfaces, from half the width and the height of the top in
# metres.
SURFACES: dict[str, Callable[[float, float], list[joinery.Part]]] = {
  'rug': rug,
  'table': table,
  'island': island,
}
