"""Homes of several furnished rooms, as plain data, and where one can walk.

A home is drawn once from its name's seed: a rectangle is cut into rooms, rooms
that share a wall get a doorway, walls to the outside get windows, and each
room gets the furniture of its kind, which leaves doorways and a way through
free. x is to the east, y to the north, in metres.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import functools
import itertools

import numpy as np

from commons import errors
from wm_abench.worlds.homes import fixtures, furnishings, household
from wm_abench.worlds.homes.household import Rectangle

HEIGHT_M, WALL_M = 2.6, 0.14
DOOR_M, DOOR_HEIGHT_M = 1.1, 2.1
SILL_M, LINTEL_M = 0.95, 2.15
_MARGIN_M = 0.55  # Of free ground about a doorway, to either side of the wall.
_SIDES = ('south', 'east', 'north', 'west')
_LEAST_M = 2.9  # A room's width.
_TALL_M = 1.2

# Seeds, and the extent west to east and south to north.
_NAMES: dict[str, tuple[int, float, float]] = {
  'bungalow': (11, 11.0, 8.8),
  'cottage': (2, 9.4, 8.8),
  'flat': (3, 11.4, 8.2),
  'loft': (4, 11.2, 10.0),
  'maisonette': (5, 9.8, 9.4),
  'penthouse': (6, 12.2, 9.4),
  'townhouse': (7, 9.2, 10.4),
  'villa': (8, 12.2, 10.2),
}
NAMES = tuple(_NAMES)

_KINDS = furnishings.KINDS | fixtures.KINDS
# What each kind of room is furnished with, in the order of placing; what finds
# no place is left out, save the first, without which the home is drawn again.
_FURNITURE = {
  'living': 'lounge television bookcase armchair plant floor_lamp pouf',
  'kitchen': 'kitchen dining plant washer',
  'bedroom': 'bed wardrobe dresser plant pouf',
  'study': 'desk bookcase bookcase armchair floor_lamp plant',
  'bath': 'bathtub vanity toilet washer plant',
}
_ON_WALLS = {
  'living': 'picture picture picture clock',
  'kitchen': 'clock picture picture',
  'bedroom': 'picture picture',
  'study': 'picture picture picture clock',
  'bath': 'picture',
}


@dataclasses.dataclass(frozen=True)
class Opening:
  """A doorway or window in a wall that runs along one axis.

  Attributes:
    axis: 0 where the wall runs along x, 1 along y.
    at_m: where the wall is on the other axis.
    start_m, end_m: of the opening, along the axis.
  """

  axis: int
  at_m: float
  start_m: float
  end_m: float


@dataclasses.dataclass(frozen=True)
class Room:
  """A room between the middles of its walls.

  Attributes:
    kind: a key of the furniture lists.
    ground: its rectangle.
  """

  kind: str
  ground: Rectangle


@dataclasses.dataclass(frozen=True)
class Placed:
  """A piece of furniture with the middle of its back at x_m, y_m."""

  piece: household.Piece
  room: int
  x_m: float
  y_m: float
  yaw_deg: int

  def solids(self) -> tuple[Rectangle, ...]:
    """The ground that it takes."""
    return tuple(_moved(s, self) for s in self.piece.solids)

  def ground(self) -> Rectangle:
    """The ground that is kept free for it."""
    w = self.piece.width_m / 2
    return _moved((-w, 0.0, w, self.piece.depth_m), self)

  def middle(self) -> tuple[float, float]:
    x0, y0, x1, y1 = self.ground()
    return (x0 + x1) / 2, (y0 + y1) / 2


@dataclasses.dataclass(frozen=True)
class Home:
  """A furnished home.

  Attributes:
    name: one of NAMES.
    seed: what it was drawn from.
    rooms, doors, windows, furniture: what it is made of.
  """

  name: str
  seed: int
  rooms: tuple[Room, ...]
  doors: tuple[Opening, ...]
  windows: tuple[Opening, ...]
  furniture: tuple[Placed, ...]

  @functools.cached_property
  def walls(self) -> tuple[Rectangle, ...]:
    """Walls without their doorways, each with its thickness."""
    return _walls(self.rooms, self.doors)

  @functools.cached_property
  def blocks_N4(self) -> np.ndarray:
    """All the rectangles that cannot be entered, walls first."""
    solids = [s for placed in self.furniture for s in placed.solids()]
    return np.array([*self.walls, *solids])

  @functools.cached_property
  def screens_N4(self) -> np.ndarray:
    """Walls and what is too high to look over."""
    tall = [p for p in self.furniture if p.piece.height_m > _TALL_M]
    return np.array([*self.walls, *(s for p in tall for s in p.solids())])

  @functools.cached_property
  def middles_N2(self) -> np.ndarray:
    """Where the furniture is."""
    return np.array([placed.middle() for placed in self.furniture])

  def clearance_m(self, points_P2: np.ndarray) -> np.ndarray:
    """How far each point is from the nearest wall or furniture; [P]."""
    points_P12 = np.asarray(points_P2, float)[:, None]
    low_N2, high_N2 = self.blocks_N4[:, :2], self.blocks_N4[:, 2:]
    gap = np.maximum(np.maximum(low_N2 - points_P12, points_P12 - high_N2), 0)
    return np.sqrt(np.einsum('pnk,pnk->pn', gap, gap).min(axis=-1))

  def free(self, start: Sequence[float], end: Sequence[float], radius_m: float):
    """Whether a disc can go straight from one point to the other."""
    steps = 2 + int(np.hypot(*np.subtract(end, start)) / 0.05)
    path_P2 = np.linspace(start, end, steps)
    return bool((self.clearance_m(path_P2) > radius_m).all())

  def room_at(self, x_m: float, y_m: float) -> int:
    """The index of the room that a point is in; -1 outside."""
    for i, room in enumerate(self.rooms):
      x0, y0, x1, y1 = room.ground
      if x0 <= x_m < x1 and y0 <= y_m < y1:
        return i
    return -1

  def sight_m(self, x_m: float, y_m: float, angles_rad_A: np.ndarray):
    """How far one sees in each direction, over low furniture; [A]."""
    origin_2 = np.array([x_m, y_m])
    along_A12 = np.stack([np.cos(angles_rad_A), np.sin(angles_rad_A)], -1)
    along_A12 = np.where(np.abs(along_A12) < 1e-9, 1e-9, along_A12)[:, None]
    a = (self.screens_N4[:, :2] - origin_2) / along_A12
    b = (self.screens_N4[:, 2:] - origin_2) / along_A12
    enter = np.minimum(a, b).max(axis=-1)
    leave = np.maximum(a, b).min(axis=-1)
    hit = (enter <= leave) & (leave > 0)
    return np.where(hit, np.maximum(enter, 0), np.inf).min(axis=-1)


@functools.cache
def home(name: str) -> Home:
  """One of NAMES, the same every time.

  Raises:
    UserError: no such home.
  """
  if name not in _NAMES:
    raise errors.unknown('home', name, NAMES)
  seed, width_m, depth_m = _NAMES[name]
  for attempt in itertools.count():
    rng = np.random.default_rng([seed, attempt])
    drawn = _draw(name, seed, (0.0, 0.0, width_m, depth_m), rng)
    if drawn is not None and _joined(drawn):
      return drawn


def _draw(name, seed, ground: Rectangle, rng) -> Home | None:
  count = 4 if ground[2] * ground[3] < 100 else 5
  grounds = _cut(ground, count, rng)
  if min(min(g[2] - g[0], g[3] - g[1]) for g in grounds) < _LEAST_M:
    return None
  rooms = _rooms(grounds, rng)
  doors = tuple(_doors(rooms, rng))
  placed: list[Placed] = []
  for i in range(len(rooms)):
    added = _furnish(i, rooms[i], doors, rng)
    if added is None:
      return None
    placed += added
  windows = tuple(_windows(rooms, ground, placed, rng))
  for i in range(len(rooms)):
    placed += _hang(i, rooms[i], placed, doors, windows, rng)
  return Home(name, seed, tuple(rooms), doors, windows, tuple(placed))


def _cut(ground: Rectangle, count: int, rng) -> list[Rectangle]:
  """The rectangle in so many parts, cut across its longer side."""
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


def _rooms(grounds: list[Rectangle], rng) -> list[Room]:
  """The largest is the living room, the smallest the bath, if there is one."""
  order = np.argsort([-(g[2] - g[0]) * (g[3] - g[1]) for g in grounds])
  middle = ['kitchen', 'bedroom', 'study'][: len(grounds) - 1]
  kinds = ['living', *rng.permutation(middle)]
  kinds += ['bath'] * (len(grounds) - len(kinds))
  named = dict(zip(order.tolist(), kinds, strict=True))
  return [Room(str(named[i]), g) for i, g in enumerate(grounds)]


def _doors(rooms: Sequence[Room], rng) -> Iterable[Opening]:
  """One doorway between every two rooms that share enough of a wall."""
  for a, b in itertools.combinations(rooms, 2):
    for axis in (0, 1):
      other = 1 - axis
      for low, high in ((a, b), (b, a)):
        if low.ground[2 + other] != high.ground[other]:
          continue
        start = max(low.ground[axis], high.ground[axis]) + 0.35
        end = min(low.ground[2 + axis], high.ground[2 + axis]) - 0.35
        width = DOOR_M
        if {a.kind, b.kind} == {'living', 'kitchen'}:
          width = 1.8
        if end - start >= width:
          at = rng.uniform(start, end - width)
          yield Opening(axis, low.ground[2 + other], at, at + width)


def _windows(rooms, outer: Rectangle, placed, rng) -> Iterable[Opening]:
  """At most one to each outer side of a room, where nothing tall stands."""
  tall = [p.ground() for p in placed if p.piece.height_m > SILL_M]
  for room in rooms:
    for axis, side in itertools.product((0, 1), (0, 2)):
      at = room.ground[side + 1 - axis]
      if at != outer[side + 1 - axis]:
        continue
      start, end = room.ground[axis], room.ground[2 + axis]
      widest = 0.9 if room.kind == 'bath' else rng.uniform(1.3, 1.8)
      for width in np.repeat([widest, 0.75 * widest], 20):
        middle = rng.uniform(start, end)
        low, high = middle - width / 2, middle + width / 2
        window = Opening(axis, at, low, high)
        ground = _grown(_about(window, 0.1), 0.2)
        fits = start + 0.4 < low and high < end - 0.4
        if fits and not any(_overlap(ground, t) for t in tall):
          yield window
          break


def _furnish(i: int, room: Room, doors, rng) -> list[Placed] | None:
  """What stands in a room; None where the first piece finds no place."""
  placed: list[Placed] = []
  for nth, kind in enumerate(_FURNITURE[room.kind].split()):
    piece = _KINDS[kind](rng)
    spot = _place(i, room, piece, placed, doors, (), rng)
    if spot is None and nth == 0:
      return None
    placed += filter(None, [spot])
  return placed


def _hang(i: int, room: Room, placed, doors, windows, rng) -> list[Placed]:
  """What hangs on a room's walls."""
  hung: list[Placed] = []
  here = [p for p in placed if p.room == i]
  for kind in _ON_WALLS[room.kind].split():
    piece = _KINDS[kind](rng)
    spot = _place(i, room, piece, here + hung, doors, windows, rng)
    hung += filter(None, [spot])
  return hung


def _place(i, room, piece, placed, doors, windows, rng) -> Placed | None:
  for _ in range(120):
    spot = _spot(i, room, piece, rng)
    if _fits(spot, room, placed, doors, windows):
      return spot
  return None


def _spot(i: int, room: Room, piece, rng) -> Placed:
  """Somewhere along a wall, or for a dining table anywhere."""
  x0, y0, x1, y1 = room.ground
  wall = WALL_M / 2
  side = int(rng.integers(4))
  away = rng.uniform(wall, 1.6) if piece.kind == 'dining' else wall
  half = piece.width_m / 2 + wall
  lengths = (x1 - x0, y1 - y0)
  span = lengths[side % 2] - 2 * half
  if span < 0:
    return Placed(piece, i, np.inf, np.inf, 0)
  along = half + rng.uniform(0, span)
  # Large things stand in corners as often as not, so that the middle is free.
  if piece.height_m > 1.6 and piece.solids and rng.random() < 0.6:
    along = half + rng.choice([0.0, span])
  spots = {
    'south': (x0 + along, y0 + away, 0),
    'east': (x1 - away, y0 + along, 90),
    'north': (x0 + along, y1 - away, 180),
    'west': (x0 + away, y0 + along, 270),
  }
  x, y, yaw_deg = spots[_SIDES[side]]
  return Placed(piece, i, float(x), float(y), yaw_deg)


def _fits(spot: Placed, room: Room, placed, doors, windows) -> bool:
  if not np.isfinite(spot.x_m):
    return False
  ground = spot.ground()
  x0, y0, x1, y1 = room.ground
  inside = _grown(ground, 0.02 - WALL_M / 2)
  if inside[0] < x0 or inside[1] < y0 or inside[2] > x1 or inside[3] > y1:
    return False
  hangs = not spot.piece.solids
  near = 0.12 if hangs else _MARGIN_M + WALL_M / 2
  if any(_overlap(ground, _about(d, near)) for d in doors):
    return False
  if spot.piece.height_m > SILL_M and any(
    _overlap(ground, _about(w, 0.2 if hangs else 0.05)) for w in windows
  ):
    return False
  for other in placed:
    low = min(other.piece.height_m, spot.piece.height_m) < 0.95
    if (hangs or not other.piece.solids) and low:
      continue
    gap = 0.02 if hangs or not other.piece.solids else 0.06
    if _overlap(_grown(ground, gap), other.ground()):
      return False
  return True


def _walls(rooms, doors) -> tuple[Rectangle, ...]:
  lines = {}
  for room in rooms:
    for axis, side in itertools.product((0, 1), (0, 2)):
      at = room.ground[side + 1 - axis]
      span = (room.ground[axis], room.ground[2 + axis])
      lines[axis, at, span] = None
  half, walls = WALL_M / 2, []
  for axis, at, (start, end) in lines:
    gaps = sorted(
      (d.start_m, d.end_m)
      for d in doors
      if d.axis == axis and d.at_m == at and start <= d.start_m < end
    )
    edges = [start - half, *itertools.chain(*gaps), end + half]
    for a, b in zip(edges[::2], edges[1::2], strict=True):
      wall = (a, at - half, b, at + half)
      walls.append(wall if axis == 0 else (wall[1], wall[0], wall[3], wall[2]))
  return tuple(walls)


def _joined(drawn: Home) -> bool:
  """Whether every room can be walked into from every other."""
  reached, grid_m = reachable(drawn, 0.22)
  shares = []
  for room in drawn.rooms:
    x0, y0, x1, y1 = (int(np.ceil(v / grid_m)) for v in room.ground)
    shares.append(reached[x0:x1, y0:y1].mean())
  return min(shares) > 0.18


def reachable(drawn: Home, radius_m: float) -> tuple[np.ndarray, float]:
  """Where a disc gets to from the largest free area, on a grid.

  Returns:
    Whether each grid point [X, Y] is reached, and the grid's step in metres.
  """
  step_m = 0.1
  ends = np.max([room.ground[2:] for room in drawn.rooms], axis=0)
  axes = [np.arange(0, end + step_m / 2, step_m) for end in ends]
  points = np.stack(np.meshgrid(*axes, indexing='ij'), -1)
  clear = drawn.clearance_m(points.reshape(-1, 2)) > radius_m
  free = clear.reshape(points.shape[:2])
  best = np.zeros_like(free)
  left = free.copy()
  while left.sum() > best.sum():
    now = np.zeros_like(free)
    now[np.unravel_index(left.argmax(), left.shape)] = True
    grown = _spread(now) & free
    while grown.sum() > now.sum():
      now, grown = grown, _spread(grown) & free
    left &= ~now
    best = max(best, now, key=np.sum)
  return best, step_m


def _spread(area: np.ndarray) -> np.ndarray:
  wide = area.copy()
  wide[1:] |= area[:-1]
  wide[:-1] |= area[1:]
  wide[:, 1:] |= area[:, :-1]
  wide[:, :-1] |= area[:, 1:]
  return wide


def _about(opening: Opening, near_m: float) -> Rectangle:
  """The ground on both sides of an opening."""
  a, b, at = opening.start_m, opening.end_m, opening.at_m
  if opening.axis == 0:
    return (a, at - near_m - WALL_M, b, at + near_m + WALL_M)
  return (at - near_m - WALL_M, a, at + near_m + WALL_M, b)


def _moved(rectangle: Rectangle, placed: Placed) -> Rectangle:
  x0, y0, x1, y1 = rectangle
  corners = ((x0, y0), (x1, y1))
  turn = placed.yaw_deg // 90
  for _ in range(turn):
    corners = tuple((-y, x) for x, y in corners)
  xs, ys = zip(*corners, strict=True)
  return (
    placed.x_m + min(xs),
    placed.y_m + min(ys),
    placed.x_m + max(xs),
    placed.y_m + max(ys),
  )


def _grown(rectangle: Rectangle, by_m: float) -> Rectangle:
  x0, y0, x1, y1 = rectangle
  return (x0 - by_m, y0 - by_m, x1 + by_m, y1 + by_m)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
  return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
