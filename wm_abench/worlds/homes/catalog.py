"""The homes by name; each is drawn from a fixed seed.

A rectangle is cut into rooms, rooms with a common wall get a doorway, outer
walls get windows, and each room gets the furniture of its kind. A home is drawn
again until every room can be reached from every other one.
"""

from collections.abc import Iterable, Sequence
import functools
import itertools

import numpy as np

from commons import errors
from wm_abench.worlds.homes import layout, placement
from wm_abench.worlds.homes.household import Rectangle

# Name -> seed, and extent in metres from west to east and from south to north.
_HOMES: dict[str, tuple[int, float, float]] = {
  'bungalow': (11, 11.0, 8.8),
  'cottage': (2, 9.4, 8.8),
  'flat': (3, 11.4, 8.2),
  'loft': (4, 11.2, 10.0),
  'maisonette': (5, 9.8, 9.4),
  'penthouse': (6, 12.2, 9.4),
  'townhouse': (7, 9.2, 10.4),
  'villa': (8, 12.2, 10.2),
}
NAMES = tuple(_HOMES)

_MIN_WIDTH_M = 2.9  # The least width of a room.
_WALKER_M = 0.22  # The radius of the disc that has to reach every room.
_MIN_REACHED = 0.18  # The least share of a room that has to be reached.


@functools.cache
def home(name: str) -> layout.Home:
  """Returns one of NAMES, the same home every time.

  Raises:
    UserError: the name is unknown.
  """
  if name not in _HOMES:
    raise errors.unknown('home', name, NAMES)
  seed, width_m, depth_m = _HOMES[name]
  for attempt in itertools.count():
    rng = np.random.default_rng([seed, attempt])
    drawn = _draw(name, seed, (0.0, 0.0, width_m, depth_m), rng)
    if drawn is not None and _is_connected(drawn):
      return drawn


def _draw(name, seed, ground: Rectangle, rng) -> layout.Home | None:
  """Draws a home; None if a room is too narrow or cannot be furnished."""
  count = 4 if ground[2] * ground[3] < 100 else 5
  grounds = _cut(ground, count, rng)
  if min(min(g[2] - g[0], g[3] - g[1]) for g in grounds) < _MIN_WIDTH_M:
    return None
  rooms = _rooms(grounds, rng)
  doors = tuple(_doors(rooms, rng))
  placed: list[layout.Placed] = []
  for i in range(len(rooms)):
    added = placement.furnish(i, rooms[i], doors, rng)
    if added is None:
      return None
    placed += added
  windows = tuple(_windows(rooms, ground, placed, rng))
  for i in range(len(rooms)):
    placed += placement.hang(i, rooms[i], placed, doors, windows, rng)
  return layout.Home(name, seed, tuple(rooms), doors, windows, tuple(placed))


def _cut(ground: Rectangle, count: int, rng) -> list[Rectangle]:
  """Cuts a rectangle into `count` parts, each time across the longer side."""
  if count == 1:
    return [ground]
  x0, y0, x1, y1 = ground
  first = count // 2
  share = first / count + rng.uniform(-0.07, 0.07)
  if x1 - x0 > y1 - y0:
    x = x0 + share * (x1 - x0)
    parts = (x0, y0, x, y1), (x, y0, x1, y1)
  else:
    y = y0 + share * (y1 - y0)
    parts = (x0, y0, x1, y), (x0, y, x1, y1)
  return _cut(parts[0], first, rng) + _cut(parts[1], count - first, rng)


def _rooms(grounds: list[Rectangle], rng) -> list[layout.Room]:
  """Assigns kinds: the largest is 'living'; of five, the smallest is 'bath'."""
  order = np.argsort([-(g[2] - g[0]) * (g[3] - g[1]) for g in grounds])
  middle = ['kitchen', 'bedroom', 'study'][: len(grounds) - 1]
  kinds = ['living', *rng.permutation(middle)]
  kinds += ['bath'] * (len(grounds) - len(kinds))
  kind_of = dict(zip(order.tolist(), kinds, strict=True))
  return [layout.Room(str(kind_of[i]), g) for i, g in enumerate(grounds)]


def _doors(rooms: Sequence[layout.Room], rng) -> Iterable[layout.Opening]:
  """Yields a doorway for every two rooms with a wall that is long enough."""
  for a, b in itertools.combinations(rooms, 2):
    for axis in (0, 1):
      other = 1 - axis
      for low, high in ((a, b), (b, a)):
        if low.ground[2 + other] != high.ground[other]:
          continue
        start = max(low.ground[axis], high.ground[axis]) + 0.35
        end = min(low.ground[2 + axis], high.ground[2 + axis]) - 0.35
        width = layout.DOOR_M
        if {a.kind, b.kind} == {'living', 'kitchen'}:
          width = 1.8
        if end - start >= width:
          door = rng.uniform(start, end - width)
          wall_m = low.ground[2 + other]
          yield layout.Opening(axis, wall_m, door, door + width)


def _windows(rooms, outer: Rectangle, placed, rng) -> Iterable[layout.Opening]:
  """Yields at most one window per outer wall of a room, where none is tall."""
  tall = [p.ground() for p in placed if p.piece.height_m > layout.SILL_M]
  for room in rooms:
    for axis, side in itertools.product((0, 1), (0, 2)):
      wall_m = room.ground[side + 1 - axis]
      if wall_m != outer[side + 1 - axis]:
        continue
      start, end = room.ground[axis], room.ground[2 + axis]
      widest = 0.9 if room.kind == 'bath' else rng.uniform(1.3, 1.8)
      for width in np.repeat([widest, 0.75 * widest], 20):
        middle = rng.uniform(start, end)
        low, high = middle - width / 2, middle + width / 2
        window = layout.Opening(axis, wall_m, low, high)
        ground = layout.expanded(layout.around(window, 0.1), 0.2)
        fits = start + 0.4 < low and high < end - 0.4
        if fits and not any(layout.overlap(ground, t) for t in tall):
          yield window
          break


def _is_connected(home_: layout.Home) -> bool:
  """Returns whether every room can be reached from every other one."""
  reached, grid_m = home_.reachable(_WALKER_M)
  shares = []
  for room in home_.rooms:
    x0, y0, x1, y1 = (int(np.ceil(v / grid_m)) for v in room.ground)
    shares.append(reached[x0:x1, y0:y1].mean())
  return min(shares) > _MIN_REACHED
