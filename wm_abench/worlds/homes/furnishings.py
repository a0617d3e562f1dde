"""Furniture of living rooms, bedrooms and studies, and what hangs on walls.

See household.Piece.
"""

from collections.abc import Callable

import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.homes import household, joinery
from wm_abench.worlds.homes.household import Piece


def _seat(material, width_m, cushions) -> list[joinery.Part]:
  """Returns the parts of a sofa, or of an armchair if there is one cushion."""
  w, arm = width_m / 2, 0.18
  parts = [
    joinery.soft(material, (-w, 0.02, 0.08), (w, 0.9, 0.36), 0.05),
    joinery.soft(material, (-w, 0.0, 0.1), (w, 0.26, 0.82), 0.1),
    joinery.soft(material, (-w, 0.02, 0.1), (-w + arm, 0.92, 0.6), 0.08),
    joinery.soft(material, (w - arm, 0.02, 0.1), (w, 0.92, 0.6), 0.08),
    *household.legs('dark_wood', width_m - 0.1, 0.06, 0.86, 0.1),
  ]
  step = (width_m - 2 * arm) / cushions
  for i in range(cushions):
    a = -w + arm + i * step
    parts += [
      joinery.soft(material, (a, 0.24, 0.33), (a + step, 0.92, 0.47), 0.06),
      joinery.soft(material, (a, 0.2, 0.42), (a + step, 0.42, 0.88), 0.09),
    ]
  return parts


def _sofa(rng) -> Piece:
  width_m = rng.uniform(1.9, 2.2)
  parts = _seat('upholstery', width_m, 3 if width_m > 2.05 else 2)
  side = rng.choice([-1, 1]) * (width_m / 2 - 0.42)
  pillow = joinery.soft('pillow', (-0.22, 0, 0), (0.22, 0.16, 0.4), 0.075)
  parts.append(pillow.moved(side, 0.4, 0.46, rng.uniform(-15, 15)))
  return household.piece('sofa', parts, width_m, 0.95, 0.88)


def _armchair(rng) -> Piece:
  width_m = rng.uniform(0.9, 1.0)
  parts = _seat('accent', width_m, 1)
  return household.piece('armchair', parts, width_m, 0.95, 0.88)


def _coffee_table(rng) -> list[joinery.Part]:
  if rng.random() < 0.5:
    folder = assets.folder('libero') / 'scenes' / 'short_coffee_table'
    path = folder / 'visual' / 'short_coffee_table_vis.msh'
    table = joinery.Part('marble', joinery.load(path, 0.4))
    parts = [table.moved(0, 0, 0, 90)]
  else:
    parts = [
      joinery.soft('wood', (-0.6, -0.33, 0.34), (0.6, 0.33, 0.4), 0.025),
      joinery.box('wood', (-0.52, -0.27, 0.12), (0.52, 0.27, 0.15)),
      *household.legs('wood', 1.1, -0.28, 0.28, 0.35),
    ]
  parts += household.stack(rng, -0.3, 0.0, 0.4)
  return parts + joinery.moved(household.bowl(), 0.28, 0.05, 0.4)


def _lounge(rng) -> Piece:
  """Returns a sofa with a low table in front of it, on a rug."""
  sofa = _sofa(rng)
  w = sofa.width_m / 2
  table = joinery.moved(_coffee_table(rng), 0, 1.75)
  rug = joinery.mat('rug', -w - 0.15, 0.75, w + 0.15, 2.6, 0.012)
  solids = [*sofa.solids, (-0.86, 1.4, 0.86, 2.1)]
  parts = [*sofa.parts, *table, rug]
  return household.piece('lounge', parts, 2 * w + 0.3, 2.6, 0.88, solids)


def _television(rng) -> Piece:
  width_m = rng.uniform(1.5, 1.8)
  w = width_m / 2
  parts = [
    joinery.box('front', (-w, 0.02, 0.1), (w, 0.42, 0.5)),
    joinery.box('wood', (-w - 0.02, 0, 0.5), (w + 0.02, 0.44, 0.53)),
    *household.legs('dark_wood', width_m, 0.05, 0.4, 0.1),
    *(
      joinery.box('wood', (x - 0.24, 0.42, 0.14), (x + 0.24, 0.435, 0.46))
      for x in np.linspace(-w + 0.28, w - 0.28, 3)
    ),
    joinery.box('black', (-0.58, 0.14, 0.6), (0.58, 0.18, 1.28)),
    joinery.sheet('screen', -0.56, 0.56, 0.62, 1.26, 0.182),
    joinery.box('black', (-0.05, 0.14, 0.53), (0.05, 0.18, 0.62)),
    joinery.box('black', (-0.2, 0.1, 0.53), (0.2, 0.26, 0.545)),
    *joinery.moved(household.vase(rng), w - 0.12, 0.22, 0.53),
  ]
  return household.piece('television', parts, width_m + 0.04, 0.46, 1.28)


def _bookcase(rng) -> Piece:
  w, depth_m, height_m = rng.uniform(0.5, 0.7), 0.32, rng.uniform(1.7, 2.05)
  board = 'white' if rng.random() < 0.5 else 'wood'
  parts = [
    joinery.box(board, (-w, 0, 0), (-w + 0.03, depth_m, height_m)),
    joinery.box(board, (w - 0.03, 0, 0), (w, depth_m, height_m)),
    joinery.box(board, (-w, 0, 0), (w, 0.02, height_m)),
  ]
  levels = np.linspace(0.06, height_m - 0.03, 6)
  for z in levels:
    parts.append(joinery.box(board, (-w, 0, z), (w, depth_m, z + 0.03)))
  for z in levels[:-1]:
    parts += household.row(rng, -w + 0.05, w - 0.05, z + 0.03)
  return household.piece('bookcase', parts, 2 * w, depth_m, height_m)


def _plant(rng) -> Piece:
  folder = assets.folder('libero') / 'scenes' / 'plant'
  path = folder / 'visual' / 'plant_vis.msh'
  height_m = rng.uniform(1.1, 1.4)
  mesh = joinery.Part('plant', joinery.load(path, height_m))
  parts = [mesh.moved(0, 0.3, 0, rng.uniform(0, 360))]
  solid = (-0.2, 0.1, 0.2, 0.5)
  return household.piece('plant', parts, 0.64, 0.62, height_m, [solid])


def _floor_lamp(rng) -> Piece:
  height_m = rng.uniform(1.5, 1.65)
  shade = [(0.2, height_m - 0.3), (0.13, height_m)]
  parts = [
    joinery.turned('black', [(0.14, 0), (0.14, 0.02), (0, 0.03)]),
    joinery.rod('black', 0.014, 0, height_m - 0.1),
    joinery.turned('lampshade', shade, 16),
    joinery.turned('lampshade', shade[::-1], 16),
  ]
  parts = joinery.moved(parts, 0, 0.22)
  return household.piece('floor_lamp', parts, 0.44, 0.44, height_m)


def _nightstand(x) -> list[joinery.Part]:
  parts = [
    joinery.box('wood', (-0.22, 0, 0.08), (0.22, 0.38, 0.5)),
    *(
      joinery.box('wood', (-0.2, 0.38, z), (0.2, 0.395, z + 0.17))
      for z in (0.11, 0.3)
    ),
    *(
      joinery.box('metal', (-0.06, 0.395, z), (0.06, 0.41, z + 0.015))
      for z in (0.19, 0.38)
    ),
    *household.legs('wood', 0.44, 0.02, 0.36, 0.1, 0.04),
    *household.table_lamp(0, 0.18, 0.5),
  ]
  return joinery.moved(parts, x, 0.02)


def _bed(rng) -> Piece:
  w = rng.uniform(0.75, 0.85)
  pillow = joinery.soft('bedding', (-0.32, 0, 0), (0.32, 0.4, 0.16), 0.075)
  small = joinery.soft('pillow', (-0.22, 0, 0), (0.22, 0.14, 0.32), 0.065)
  stands = (-w - 0.28, w + 0.28)
  parts = [
    joinery.soft(
      'headboard', (-w - 0.04, 0, 0.1), (w + 0.04, 0.09, 1.05), 0.035
    ),
    joinery.box('wood', (-w, 0.05, 0.12), (w, 2.05, 0.3)),
    *household.legs('wood', 2 * w - 0.1, 0.1, 2.0, 0.14, 0.07),
    joinery.soft(
      'bedding', (-w + 0.01, 0.08, 0.28), (w - 0.01, 2.04, 0.52), 0.07
    ),
    joinery.soft(
      'blanket', (-w - 0.02, 0.75, 0.25), (w + 0.02, 2.08, 0.56), 0.06
    ),
    joinery.soft(
      'bedding', (-w - 0.02, 0.6, 0.36), (w + 0.02, 0.85, 0.575), 0.05
    ),
    joinery.mat('rug', -w - 0.5, 1.1, w + 0.5, 2.5, 0.012),
    *(pillow.moved(x, 0.14, 0.5) for x in (-w / 2, w / 2)),
    small.moved(0.0, 0.5, 0.52),
    *(part for x in stands for part in _nightstand(x)),
  ]
  solids = [(-w - 0.04, 0, w + 0.04, 2.08)]
  solids += [(x - 0.23, 0, x + 0.23, 0.42) for x in stands]
  return household.piece('bed', parts, 2 * w + 1.04, 2.1, 1.05, solids)


def _wardrobe(rng) -> Piece:
  w = rng.uniform(0.7, 0.9)
  parts = [
    *household.cupboards(-w, w, 0.58, 0.06, 2.1, 3),
    joinery.box('dark_wood', (-w, 0.02, 0), (w, 0.54, 0.06)),
    joinery.box('wood', (-w - 0.02, 0, 2.1), (w + 0.02, 0.6, 2.13)),
  ]
  return household.piece('wardrobe', parts, 2 * w + 0.04, 0.6, 2.13)


def _dresser(rng) -> Piece:
  w = rng.uniform(0.45, 0.6)
  parts = [
    joinery.box('wood', (-w, 0, 0.06), (w, 0.44, 0.84)),
    joinery.box('wood', (-w - 0.02, 0, 0.84), (w + 0.02, 0.46, 0.87)),
    *household.legs('dark_wood', 2 * w, 0.03, 0.42, 0.06),
    *household.table_lamp(-w + 0.16, 0.22, 0.87),
    *joinery.moved(household.vase(rng), w - 0.15, 0.2, 0.87),
    joinery.box('frame', (-0.34, 0, 1.1), (0.34, 0.03, 1.9)),
    joinery.sheet('mirror', -0.3, 0.3, 1.14, 1.86, 0.032),
  ]
  for z in (0.1, 0.35, 0.6):
    low, high = (-w + 0.02, 0.44, z), (w - 0.02, 0.455, z + 0.21)
    parts.append(joinery.box('front', low, high))
    for x in (-w / 2, w / 2):
      low, high = (x - 0.05, 0.455, z + 0.1), (x + 0.05, 0.475, z + 0.115)
      parts.append(joinery.box('metal', low, high))
  return household.piece('dresser', parts, 2 * w + 0.04, 0.47, 1.9)


def _desk(rng) -> Piece:
  w = rng.uniform(0.65, 0.8)
  path = assets.folder('miniworld') / 'meshes' / 'office_chair.obj'
  chair = joinery.Part('office_chair', joinery.load(path, 1.0, upright=False))
  parts = [
    joinery.box('table', (-w, 0, 0.71), (w, 0.7, 0.745)),
    *household.legs('dark_metal', 2 * w - 0.06, 0.04, 0.66, 0.71),
    joinery.box('front', (w - 0.45, 0.06, 0.1), (w - 0.08, 0.62, 0.7)),
    *(
      joinery.box('wood', (w - 0.43, 0.62, z), (w - 0.1, 0.635, z + 0.17))
      for z in (0.12, 0.31, 0.5)
    ),
    joinery.box('black', (-0.3, 0.16, 0.86), (0.3, 0.19, 1.24)),
    joinery.sheet('desktop', -0.28, 0.28, 0.88, 1.22, 0.192),
    joinery.box('black', (-0.03, 0.12, 0.75), (0.03, 0.16, 0.95)),
    joinery.box('black', (-0.12, 0.08, 0.745), (0.12, 0.28, 0.755)),
    joinery.box('black', (-0.22, 0.4, 0.745), (0.22, 0.54, 0.765)),
    *household.table_lamp(-w + 0.15, 0.2, 0.745),
    *household.stack(rng, w - 0.2, 0.25, 0.745),
    chair.moved(0.0, 0.95, 0, rng.uniform(150, 210)),
  ]
  solids = [(-w, 0, w, 0.7), (-0.3, 0.65, 0.3, 1.25)]
  return household.piece('desk', parts, 2 * w, 1.3, 1.24, solids)


def _picture(rng) -> Piece:
  w, h = [(0.3, 0.38), (0.42, 0.3), (0.36, 0.46)][rng.integers(3)]
  name = f'picture{rng.integers(4)}'
  parts = [
    joinery.box('frame', (-w, 0, 1.55 - h), (w, 0.03, 1.55 + h)),
    joinery.sheet('white', -w + 0.03, w - 0.03, 1.58 - h, 1.52 + h, 0.032),
    joinery.sheet(name, -w + 0.08, w - 0.08, 1.63 - h, 1.47 + h, 0.034),
  ]
  return household.piece('picture', parts, 2 * w, 0.04, 1.55 + h, [])


def _clock(rng) -> Piece:
  radius_m = rng.uniform(0.16, 0.22)
  dial = [(radius_m, 0), (radius_m, 0.03), (0, 0.035)]
  rim = [(radius_m + 0.03, 0), (radius_m + 0.03, 0.04), (radius_m, 0.045)]
  parts = [
    joinery.tipped(joinery.turned('white', dial, 20)),
    joinery.tipped(joinery.turned('black', rim, 20)),
    joinery.box('black', (-0.006, 0.036, 0), (0.006, 0.04, 0.13)),
    joinery.box('black', (-0.006, 0.036, -0.006), (0.09, 0.04, 0.006)),
  ]
  parts = joinery.moved(parts, 0, 0, 1.75)
  return household.piece('clock', parts, 0.5, 0.05, 1.98, [])


def _pouf(rng) -> Piece:
  height_m = rng.uniform(0.36, 0.44)
  low, high = (-0.25, 0.05, 0), (0.25, 0.55, height_m)
  parts = [joinery.soft('accent', low, high, 0.1)]
  solid = (-0.25, 0.05, 0.25, 0.55)
  return household.piece('pouf', parts, 0.6, 0.6, height_m, [solid])


KINDS: dict[str, Callable[[np.random.Generator], Piece]] = {
  'armchair': _armchair,
  'bed': _bed,
  'bookcase': _bookcase,
  'clock': _clock,
  'desk': _desk,
  'dresser': _dresser,
  'floor_lamp': _floor_lamp,
  'lounge': _lounge,
  'picture': _picture,
  'plant': _plant,
  'pouf': _pouf,
  'television': _television,
  'wardrobe': _wardrobe,
}
