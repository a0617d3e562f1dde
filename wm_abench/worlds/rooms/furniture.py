"""What props stand on, and furniture that rooms around them have besides."""

from collections.abc import Callable

import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.homes import household
from wm_abench.worlds.homes import joinery as make
from wm_abench.worlds.homes.household import Piece

# A surface's picture lies so far over what bears it.
_UNDER_M = 0.004


def _sofa(rng: np.random.Generator) -> Piece:
  width_m, depth_m, arm = 2.1, 0.92, 0.18
  w, step = width_m / 2, (width_m - 2 * arm) / 3
  parts = [
    make.soft('upholstery', (-w, 0.02, 0.08), (w, 0.9, 0.36), 0.05),
    make.soft('upholstery', (-w, 0.0, 0.1), (w, 0.26, 0.82), 0.1),
    make.soft('upholstery', (-w, 0.02, 0.1), (-w + arm, 0.92, 0.6), 0.08),
    make.soft('upholstery', (w - arm, 0.02, 0.1), (w, 0.92, 0.6), 0.08),
    *household.legs('dark_wood', width_m - 0.1, 0.06, 0.86, 0.1),
  ]
  for a in np.linspace(-w + arm, w - arm - step, 3):
    parts += [
      make.soft('upholstery', (a, 0.24, 0.33), (a + step, 0.92, 0.47), 0.06),
      make.soft('upholstery', (a, 0.2, 0.42), (a + step, 0.42, 0.88), 0.09),
    ]
  pillow = make.soft('pillow', (-0.22, 0, 0), (0.22, 0.16, 0.4), 0.075)
  other = make.soft('accent', (-0.2, 0, 0), (0.2, 0.15, 0.36), 0.07)
  parts += [pillow.moved(w - 0.42, 0.4, 0.46, 12)]
  parts += [other.moved(-w + 0.42, 0.4, 0.46, -14)]
  return household.piece('sofa', parts, width_m, depth_m, 0.88)


def _chair(rng: np.random.Generator) -> Piece:
  parts = make.moved(household.chair('chair'), 0, 0.23)
  return household.piece('chair', parts, 0.44, 0.46, 0.92)


def _stool(rng: np.random.Generator) -> Piece:
  parts = [
    make.turned('seat', [(0, 0.6), (0.17, 0.6), (0.18, 0.64), (0, 0.66)], 20),
    *household.legs('chair', 0.3, -0.15, 0.15, 0.6, 0.035),
    make.box('chair', (-0.13, -0.14, 0.2), (0.13, -0.12, 0.23)),
    make.box('chair', (-0.13, 0.12, 0.2), (0.13, 0.14, 0.23)),
  ]
  parts = make.moved(parts, 0, 0.2)
  return household.piece('stool', parts, 0.38, 0.4, 0.66)


def _sideboard(rng: np.random.Generator) -> Piece:
  w = 0.8
  parts = [
    *household.cupboards(-w, w, 0.42, 0.12, 0.74, 4),
    make.box('wood', (-w - 0.02, 0, 0.74), (w + 0.02, 0.44, 0.77)),
    *household.legs('dark_wood', 2 * w, 0.04, 0.4, 0.12),
    *household.table_lamp(-w + 0.2, 0.22, 0.77),
    *make.moved(household.vase(rng), w - 0.2, 0.22, 0.77),
    *household.stack(rng, 0.0, 0.22, 0.77),
  ]
  return household.piece('sideboard', parts, 2 * w + 0.04, 0.44, 0.77)


def _door(rng: np.random.Generator) -> Piece:
  w, h = 0.42, 2.03
  parts = [
    make.box('trim', (-w - 0.08, 0, 0), (-w, 0.035, h + 0.08)),
    make.box('trim', (w, 0, 0), (w + 0.08, 0.035, h + 0.08)),
    make.box('trim', (-w, 0, h), (w, 0.035, h + 0.08)),
    make.box('door', (-w, 0, 0), (w, 0.015, h)),
    make.rod('metal', 0.02, 0, 0.05, 10).moved(w - 0.08, 0.04, 0.98),
    make.box('metal', (w - 0.19, 0.045, 1.0), (w - 0.06, 0.06, 1.02)),
  ]
  for z0, z1 in ((0.18, 0.88), (1.12, 1.86)):
    for a, b in ((-w + 0.09, -0.04), (0.04, w - 0.09)):
      parts.append(make.box('trim', (a, 0.015, z0), (b, 0.022, z1)))
  return household.piece('door', parts, 2 * w + 0.16, 0.05, h + 0.08, [])


def _side_table(rng: np.random.Generator) -> Piece:
  top = [(0, 0.5), (0.26, 0.5), (0.26, 0.53), (0, 0.53)]
  parts = [
    make.turned('wood', top, 24),
    make.rod('dark_metal', 0.02, 0.02, 0.5, 10),
    make.turned('dark_metal', [(0.18, 0), (0.18, 0.015), (0, 0.03)], 20),
    *household.table_lamp(-0.08, -0.06, 0.53),
    *household.stack(rng, 0.08, 0.08, 0.53),
  ]
  parts = make.moved(parts, 0, 0.28)
  return household.piece('side_table', parts, 0.54, 0.54, 0.9)


def _bench(rng: np.random.Generator) -> Piece:
  parts = [
    make.box('chair', (-0.75, 0.04, 0.38), (0.75, 0.42, 0.43)),
    *household.legs('chair', 1.4, 0.07, 0.39, 0.38, 0.06),
    make.soft('seat', (-0.73, 0.05, 0.43), (0.73, 0.41, 0.5), 0.03),
    make.soft('pillow', (-0.68, 0.06, 0.5), (-0.28, 0.2, 0.84), 0.06),
    make.soft('accent', (0.3, 0.06, 0.5), (0.66, 0.2, 0.82), 0.06),
  ]
  return household.piece('bench', parts, 1.5, 0.44, 0.84)


def _low_shelf(rng: np.random.Generator) -> Piece:
  w, depth_m, height_m = 0.75, 0.32, 0.86
  parts = [
    make.box('wood', (-w, 0, 0), (-w + 0.03, depth_m, height_m)),
    make.box('wood', (w - 0.03, 0, 0), (w, depth_m, height_m)),
    make.box('wood', (-0.015, 0, 0), (0.015, depth_m, height_m)),
    make.box('white', (-w, 0, 0), (w, 0.02, height_m)),
  ]
  levels = np.linspace(0.05, height_m - 0.03, 3)
  for z in levels:
    parts.append(make.box('wood', (-w, 0, z), (w, depth_m, z + 0.03)))
  for z in levels[:-1]:
    parts += household.row(rng, -w + 0.05, -0.03, z + 0.03)
    parts += household.row(rng, 0.03, w - 0.05, z + 0.03)
  parts += make.moved(household.vase(rng), -0.5, 0.16, height_m)
  parts += household.stack(rng, 0.45, 0.16, height_m)
  return household.piece('low_shelf', parts, 2 * w, depth_m, height_m)


def _pot_plant(rng: np.random.Generator) -> Piece:
  """A leafy plant, knee-high, in a pot."""
  folder = assets.folder('libero') / 'scenes' / 'plant'
  mesh = make.load(folder / 'visual' / 'plant_vis.msh', 0.85)
  parts = [make.Part('plant', mesh).moved(0, 0.25, 0, rng.uniform(0, 360))]
  solid = (-0.15, 0.1, 0.15, 0.4)
  return household.piece('pot_plant', parts, 0.5, 0.5, 0.85, [solid])


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


def rug(half_m: float, top_m: float) -> list[make.Part]:
  """A square rug on the floor."""
  h = half_m
  return [
    make.box('rug_edge', (-h, -h, 0.0), (h, h, top_m - _UNDER_M)),
    make.mat('surface', -h, -h, h, h, top_m),
  ]


def table(half_m: float, top_m: float) -> list[make.Part]:
  """A square table on four legs."""
  h = half_m
  return [
    make.box('table_edge', (-h, -h, top_m - 0.05), (h, h, top_m - _UNDER_M)),
    make.mat('surface', -h, -h, h, h, top_m),
    make.box(
      'table_edge',
      (-h + 0.08, -h + 0.08, top_m - 0.13),
      (h - 0.08, h - 0.08, top_m - 0.05),
    ),
    *household.legs(
      'table_edge', 2 * h - 0.08, -h + 0.04, h - 0.04, top_m - 0.05, 0.08
    ),
  ]


def island(half_m: float, top_m: float) -> list[make.Part]:
  """A kitchen island: cupboards all around, a worktop over them."""
  h = half_m - 0.06
  parts = [
    make.box(
      'table_edge',
      (-half_m, -half_m, top_m - 0.04),
      (half_m, half_m, top_m - _UNDER_M),
    ),
    make.mat('surface', -half_m, -half_m, half_m, half_m, top_m),
    make.box('black', (-h + 0.05, -h + 0.05, 0), (h - 0.05, h - 0.05, 0.1)),
  ]
  for quarter in range(4):
    front = household.cupboards(-h, h, 0.6, 0.1, top_m - 0.04, 4)
    front = make.moved(front, 0, h - 0.6)
    parts += make.moved(front, 0, 0, 0, 90 * quarter)
  return parts


SURFACES: dict[str, Callable[[float, float], list[make.Part]]] = {
  'rug': rug,
  'table': table,
  'island': island,
}
