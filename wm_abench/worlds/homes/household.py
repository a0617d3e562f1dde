"""Pieces of furniture, and small parts that several of them have.

A piece stands with its back at y = 0 and faces +y. x is centred, z = 0 is the
floor, and lengths are in metres.
"""

import dataclasses
import itertools

import numpy as np

from wm_abench.worlds.homes import joinery

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1.


@dataclasses.dataclass(frozen=True)
class Piece:
  """One piece of furniture, or several that belong together.

  Attributes:
    kind: its kind, such as 'sofa'.
    parts: its meshes.
    solids: the ground that it occupies; none if it hangs on a wall.
    width_m, depth_m: the size of the ground that is kept free for it.
    height_m: the height of its top above the floor.
  """

  kind: str
  parts: tuple[joinery.Part, ...]
  solids: tuple[Rectangle, ...]
  width_m: float
  depth_m: float
  height_m: float


def piece(kind, parts, width_m, depth_m, height_m, solids=None) -> Piece:
  """Returns a piece that occupies its whole ground, or `solids` if given."""
  ground = ((-width_m / 2, 0.0, width_m / 2, depth_m),)
  solids = ground if solids is None else tuple(solids)
  return Piece(kind, tuple(parts), solids, width_m, depth_m, height_m)


def legs(material, width_m, y0, y1, top_m, thick_m=0.05) -> list[joinery.Part]:
  """Returns four legs within a width, from y0 to y1."""
  x = width_m / 2
  return [
    joinery.box(material, (a, b, 0), (a + thick_m, b + thick_m, top_m))
    for a in (-x, x - thick_m)
    for b in (y0, y1 - thick_m)
  ]


def bowl(fruits: bool = True) -> list[joinery.Part]:
  """Returns a bowl at the origin."""
  profile = [(0.0, 0), (0.06, 0), (0.13, 0.08), (0.12, 0.08), (0.05, 0.02)]
  fruit = joinery.turned(
    'fruit', [(0, 0), (0.035, 0.02), (0.035, 0.05), (0, 0.07)]
  )
  positions = ((-0.04, 0.0), (0.04, 0.02), (0.0, -0.05)) if fruits else ()
  return [
    joinery.turned('porcelain', profile),
    *(fruit.moved(x, y, 0.03) for x, y in positions),
  ]


def stack(rng, x, y, z) -> list[joinery.Part]:
  """Returns a stack of two or three books."""
  parts = []
  for i in range(rng.integers(2, 4)):
    w = rng.uniform(0.11, 0.14)
    low, high = (-w, -0.09, z + 0.03 * i), (w, 0.09, z + 0.03 * (i + 1))
    book = joinery.box(f'book{rng.integers(3)}', low, high)
    parts.append(book.moved(x, y, 0, rng.uniform(-20, 20)))
  return parts


def row(rng, x0, x1, z) -> list[joinery.Part]:
  """Returns a row of books on a board from x0 to x1, and a bowl if it fits."""
  books_m = rng.uniform(0.45, 1.0) * (x1 - x0)
  a = x0 if rng.random() < 0.5 else x1 - books_m
  b, u = a + books_m, rng.uniform(0, 1)
  uv = (u, 0, u + books_m / 1.5, 1)
  parts = [
    joinery.box('paper', (a, 0.05, z), (b, 0.23, z + 0.235)),
    joinery.sheet('spines', a, b, z, z + 0.24, 0.232, uv),
  ]
  if x1 - x0 - books_m > 0.3:
    middle = (x1 + b) / 2 if a == x0 else (x0 + a) / 2
    parts += joinery.moved(bowl(fruits=False), middle, 0.16, z)
  return parts


def vase(rng) -> list[joinery.Part]:
  """Returns a vase with flowers at the origin."""
  s = rng.uniform(0.8, 1.1)
  profile = [(0, 0), (0.05, 0), (0.08, 0.1), (0.035, 0.2), (0.045, 0.24)]
  parts = [joinery.turned('accent', [(r * s, z * s) for r, z in profile], 10)]
  flower = joinery.turned('flower', [(0, 0), (0.035, 0.02), (0, 0.05)], 6)
  leaf = joinery.box('leaf', (-0.006, -0.006, 0.2), (0.006, 0.006, 0.42))
  for turn in np.arange(6):
    x, y = np.cos(turn), np.sin(turn)
    parts.append(leaf.moved(0.03 * x, 0.03 * y))
    parts.append(flower.moved(0.05 * x, 0.05 * y, 0.38 + 0.015 * turn))
  return parts


def table_lamp(x, y, z) -> list[joinery.Part]:
  """Returns a lamp whose shade glows."""
  parts = [
    joinery.turned(
      'accent', [(0, 0), (0.07, 0), (0.08, 0.08), (0.02, 0.18)], 10
    ),
    joinery.turned('lampshade', [(0.14, 0.18), (0.09, 0.36)]),
    joinery.turned('lampshade', [(0.09, 0.36), (0.14, 0.18)]),
  ]
  return joinery.moved(parts, x, y, z)


def chair(material) -> list[joinery.Part]:
  """Returns a dining chair at the origin, with its back at -y."""
  return [
    *legs(material, 0.42, -0.2, 0.2, 0.44, 0.04),
    joinery.soft('seat', (-0.22, -0.21, 0.43), (0.22, 0.22, 0.48), 0.02),
    *(
      joinery.box(material, (x - 0.02, -0.22, 0.44), (x + 0.02, -0.18, 0.92))
      for x in (-0.19, 0.19)
    ),
    *(
      joinery.box(material, (-0.19, -0.215, z), (0.19, -0.19, z + 0.07))
      for z in (0.6, 0.72, 0.84)
    ),
  ]


def cupboards(x0, x1, depth_m, z0, z1, count) -> list[joinery.Part]:
  """Returns a cupboard with `count` doors, each with a handle."""
  seam = (x0 + 0.004, depth_m - 0.03, z0 + 0.004)
  parts = [
    joinery.box('front', (x0, 0, z0), (x1, depth_m - 0.025, z1)),
    joinery.box('black', seam, (x1 - 0.004, depth_m - 0.021, z1 - 0.004)),
  ]
  for a, b in itertools.pairwise(np.linspace(x0, x1, count + 1)):
    low, high = (a + 0.006, depth_m - 0.02, z0 + 0.006), (b - 0.006, depth_m)
    parts.append(joinery.box('front', low, (*high, z1 - 0.006)))
    z = z1 - 0.16 if z0 < 0.5 else z0 + 0.04
    z = 1.0 if z1 - z0 > 1.5 else z
    low, high = (b - 0.07, depth_m), (b - 0.05, depth_m + 0.025)
    parts.append(joinery.box('metal', (*low, z), (*high, z + 0.12)))
  return parts


def faucet(y) -> list[joinery.Part]:
  """Returns a tap that stands at y and reaches towards +y."""
  return [
    joinery.rod('metal', 0.015, 0, 0.26).moved(0, y),
    joinery.box('metal', (-0.012, y, 0.24), (0.012, y + 0.17, 0.262)),
    joinery.box('metal', (-0.012, y + 0.15, 0.2), (0.012, y + 0.17, 0.25)),
  ]
