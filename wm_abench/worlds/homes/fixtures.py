"""Furniture of kitchens, dining areas and baths; see household.Piece."""

from collections.abc import Callable

import numpy as np

from wm_abench.worlds.homes import household, joinery
from wm_abench.worlds.homes.household import Piece


def _dining(rng) -> Piece:
  """Returns a table with four or six chairs, centred on its ground."""
  pairs = int(rng.integers(2, 4))
  w = 0.4 + 0.3 * pairs
  parts = [
    joinery.soft('table', (-w, -0.45, 0.71), (w, 0.45, 0.75), 0.018),
    *household.legs('table', 2 * w - 0.1, -0.38, 0.38, 0.72, 0.07),
    joinery.box('table', (-w + 0.1, -0.36, 0.62), (w - 0.1, 0.36, 0.71)),
    *joinery.moved(household.vase(rng), 0.1, 0, 0.75),
    *joinery.moved(household.bowl(), -0.25, 0.05, 0.75),
  ]
  for x in np.linspace(-w + 0.38, w - 0.38, pairs):
    parts += joinery.moved(household.chair('chair'), x, -0.5)
    parts += joinery.moved(household.chair('chair'), x, 0.5, 0, 180)
  parts = joinery.moved(parts, 0, 1.0)
  solid = (-w, 0.28, w, 1.72)
  return household.piece('dining', parts, 2 * w + 0.4, 2.0, 0.92, [solid])


def _kitchen(rng) -> Piece:
  """Returns a fridge, a counter with sink and stove, and cupboards above."""
  w, start = 1.55, -0.85
  oven, sink = rng.permutation([-0.05, 0.95])
  doors = (1, 2) if oven < 0.5 else (3, 1)
  parts = [
    *_fridge(-w, -w + 0.68),
    joinery.box('black', (start, 0, 0), (w, 0.54, 0.1)),
    joinery.box('counter', (start - 0.01, 0, 0.87), (w + 0.01, 0.63, 0.91)),
    joinery.sheet('backsplash', start, w, 0.91, 1.45, 0.006, (0, 0, 4, 0.9)),
    joinery.box('metal', (oven - 0.3, 0, 1.5), (oven + 0.3, 0.45, 1.58)),
    joinery.box('metal', (oven - 0.13, 0, 1.58), (oven + 0.13, 0.25, 2.6)),
    *joinery.moved(_oven(), oven, 0),
    *joinery.moved(_basin(), sink, 0.32, 0.91),
    *household.stack(rng, start + 0.2, 0.14, 0.91),
    *joinery.moved(household.bowl(), (oven + sink) / 2 + 0.02, 0.4, 0.91),
  ]
  for x0, x1, count in (
    (start, oven - 0.3, doors[0]),
    (oven + 0.3, w, doors[1]),
  ):
    parts += household.cupboards(x0, x1, 0.6, 0.1, 0.87, count)
    parts += household.cupboards(x0, x1, 0.34, 1.45, 2.1, count)
  solid = (-w, 0, w, 0.68)
  return household.piece('kitchen', parts, 2 * w, 1.1, 2.1, [solid])


def _fridge(x0, x1) -> list[joinery.Part]:
  return [
    joinery.soft('fridge', (x0, 0, 0.03), (x1, 0.6, 1.85), 0.02),
    joinery.soft('fridge', (x0, 0.6, 0.05), (x1, 0.66, 0.62), 0.02),
    joinery.soft('fridge', (x0, 0.6, 0.64), (x1, 0.66, 1.85), 0.02),
    joinery.box('metal', (x1 - 0.09, 0.66, 0.38), (x1 - 0.06, 0.7, 0.58)),
    joinery.box('metal', (x1 - 0.09, 0.66, 0.72), (x1 - 0.06, 0.7, 1.15)),
  ]


def _oven() -> list[joinery.Part]:
  pot = [(0, 0), (0.1, 0), (0.1, 0.12), (0.02, 0.14), (0, 0.16)]
  parts = [
    joinery.box('metal', (-0.295, 0.02, 0.1), (0.295, 0.6, 0.87)),
    joinery.box('black', (-0.25, 0.6, 0.2), (0.25, 0.61, 0.66)),
    joinery.box('metal', (-0.24, 0.61, 0.68), (0.24, 0.65, 0.7)),
    joinery.box('black', (-0.28, 0.06, 0.91), (0.28, 0.58, 0.92)),
    joinery.turned('pot', pot).moved(-0.14, 0.2, 0.925),
  ]
  for x in (-0.14, 0.14):
    for y, radius in ((0.2, 0.08), (0.43, 0.1)):
      parts.append(joinery.rod('metal', radius, 0.92, 0.925, 12).moved(x, y))
  for x in np.linspace(-0.21, 0.21, 4):
    low, high = (x - 0.02, 0.6, 0.77), (x + 0.02, 0.63, 0.81)
    parts.append(joinery.box('black', low, high))
  return parts


def _basin() -> list[joinery.Part]:
  return [
    joinery.box('metal', (-0.3, -0.2, 0), (0.3, 0.2, 0.006)),
    joinery.box('dark_metal', (-0.25, -0.15, 0.006), (0.25, 0.15, 0.008)),
    *household.faucet(-0.18),
  ]


def _bathtub(rng) -> Piece:
  w = rng.uniform(0.8, 0.88)
  parts = [
    joinery.soft('porcelain', (-w, 0, 0), (w, 0.12, 0.58), 0.05),
    joinery.soft('porcelain', (-w, 0.66, 0), (w, 0.78, 0.58), 0.05),
    joinery.soft('porcelain', (-w, 0, 0), (-w + 0.14, 0.78, 0.58), 0.05),
    joinery.soft('porcelain', (w - 0.14, 0, 0), (w, 0.78, 0.58), 0.05),
    joinery.box('water', (-w + 0.1, 0.1, 0.1), (w - 0.1, 0.7, 0.42)),
    *joinery.moved(household.faucet(0.0), -w + 0.3, 0.06, 0.56),
    joinery.rod('metal', 0.012, 0.56, 2.0).moved(w - 0.2, 0.05),
    joinery.turned('metal', [(0.09, 0), (0.01, 0.05)]).moved(
      w - 0.2, 0.2, 1.95
    ),
    joinery.box('metal', (w - 0.21, 0.05, 1.99), (w - 0.19, 0.21, 2.01)),
    joinery.soft('blanket', (-0.3, 0.64, 0.35), (0.1, 0.8, 0.6), 0.03),
  ]
  return household.piece('bathtub', parts, 2 * w, 0.8, 0.94)


def _toilet(rng) -> Piece:
  side = rng.choice([-0.38, 0.38])
  bowl = [(0.1, 0), (0.12, 0.1), (0.19, 0.34), (0.2, 0.4), (0.0, 0.42)]
  parts = [
    joinery.soft('porcelain', (-0.2, 0, 0.4), (0.2, 0.19, 0.8), 0.03),
    joinery.soft('porcelain', (-0.13, 0.04, 0), (0.13, 0.3, 0.4), 0.04),
    joinery.turned('porcelain', bowl).moved(0, 0.42),
    joinery.rod('metal', 0.025, 0.8, 0.815).moved(0, 0.1),
    joinery.rod('bedding', 0.06, 0.6, 0.7, 12).moved(side, 0.08),
  ]
  solid = (-0.21, 0, 0.21, 0.63)
  return household.piece('toilet', parts, 0.9, 0.68, 0.8, [solid])


def _vanity(rng) -> Piece:
  w = rng.uniform(0.42, 0.55)
  basin = [(0, 0), (0.12, 0), (0.2, 0.12), (0.18, 0.12), (0.1, 0.03), (0, 0.03)]
  parts = [
    *household.cupboards(-w, w, 0.46, 0.15, 0.78, 2),
    joinery.box('counter', (-w - 0.01, 0, 0.78), (w + 0.01, 0.49, 0.82)),
    joinery.turned('porcelain', basin, 16).moved(0, 0.26, 0.82),
    *joinery.moved(household.faucet(-0.2), 0, 0.26, 0.82),
    joinery.box('frame', (-0.42, 0, 1.12), (0.42, 0.02, 1.98)),
    joinery.sheet('mirror', -0.39, 0.39, 1.15, 1.95, 0.022),
    joinery.rod('accent', 0.035, 0, 0.14).moved(w - 0.12, 0.15, 0.82),
  ]
  return household.piece('vanity', parts, 2 * w + 0.02, 0.5, 1.98)


def _washer(rng) -> Piece:
  ring = [(0.24, 0), (0.22, 0.02), (0.18, 0.025)]
  door = [(0.2, 0), (0.17, 0.03), (0, 0.035)]
  towels = joinery.soft('blanket', (-0.2, 0, 0), (0.2, 0.3, 0.12), 0.05)
  parts = [
    joinery.soft('white', (-0.3, 0, 0.02), (0.3, 0.58, 0.86), 0.02),
    joinery.tipped(joinery.turned('metal', ring, 16)).moved(0, 0.58, 0.42),
    joinery.tipped(joinery.turned('dark_metal', door, 16)).moved(0, 0.58, 0.42),
    joinery.box('dark_metal', (-0.05, 0.58, 0.74), (0.25, 0.59, 0.82)),
    towels.moved(rng.uniform(-0.08, 0.08), 0.15, 0.86),
  ]
  return household.piece('washer', parts, 0.64, 0.62, 0.94)


KINDS: dict[str, Callable[[np.random.Generator], Piece]] = {
  'bathtub': _bathtub,
  'dining': _dining,
  'kitchen': _kitchen,
  'toilet': _toilet,
  'vanity': _vanity,
  'washer': _washer,
}
