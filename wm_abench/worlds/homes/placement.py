"""The placement of furniture in rooms, at random but free of conflicts."""

import numpy as np

from wm_abench.worlds.homes import fixtures, furnishings, household, layout

_MARGIN_M = 0.55  # Free ground on either side of a doorway.
_SIDES = ('south', 'east', 'north', 'west')
_ATTEMPTS = 120  # Positions that are tried for each piece.

_KINDS = furnishings.KINDS | fixtures.KINDS
# The furniture of each kind of room, in the order of placement. A piece without
# a free position is left out; if it is the first one, the room fails.
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


def furnish(
  i: int, room: layout.Room, doors, rng: np.random.Generator
) -> list[layout.Placed] | None:
  """Places the furniture that stands in a room.

  Args:
    i: the index of the room.
    room: the room.
    doors: the doorways of the home.
    rng: is consumed.

  Returns:
    The furniture; None if the first piece has no free position.
  """
  placed: list[layout.Placed] = []
  for number, kind in enumerate(_FURNITURE[room.kind].split()):
    piece = _KINDS[kind](rng)
    candidate = _place(i, room, piece, placed, doors, (), rng)
    if candidate is None and number == 0:
      return None
    placed += filter(None, [candidate])
  return placed


def hang(
  i: int, room: layout.Room, placed, doors, windows, rng: np.random.Generator
) -> list[layout.Placed]:
  """Places what hangs on the walls of a room.

  Args:
    i: the index of the room.
    room: the room.
    placed: the furniture of the home.
    doors, windows: the openings of the home.
    rng: is consumed.
  """
  hung: list[layout.Placed] = []
  standing = [p for p in placed if p.room == i]
  for kind in _ON_WALLS[room.kind].split():
    piece = _KINDS[kind](rng)
    candidate = _place(i, room, piece, standing + hung, doors, windows, rng)
    hung += filter(None, [candidate])
  return hung


def _place(
  i: int, room: layout.Room, piece, placed, doors, windows, rng
) -> layout.Placed | None:
  """Returns the piece at a free position, or None if no attempt succeeds."""
  for _ in range(_ATTEMPTS):
    candidate = _draw_position(i, room, piece, rng)
    if _fits(candidate, room, placed, doors, windows):
      return candidate
  return None


def _draw_position(
  i: int, room: layout.Room, piece: household.Piece, rng
) -> layout.Placed:
  """Draws a position along a wall, or anywhere for a dining table.

  The position is infinite if the piece is longer than the wall.
  """
  x0, y0, x1, y1 = room.ground
  wall = layout.WALL_M / 2
  side = int(rng.integers(4))
  away = rng.uniform(wall, 1.6) if piece.kind == 'dining' else wall
  half = piece.width_m / 2 + wall
  lengths = (x1 - x0, y1 - y0)
  span = lengths[side % 2] - 2 * half
  if span < 0:
    return layout.Placed(piece, i, np.inf, np.inf, 0)
  along = half + rng.uniform(0, span)
  # Many large pieces go into corners, so that the middle of the wall is free.
  if piece.height_m > 1.6 and piece.solids and rng.random() < 0.6:
    along = half + rng.choice([0.0, span])
  poses = {
    'south': (x0 + along, y0 + away, 0),
    'east': (x1 - away, y0 + along, 90),
    'north': (x0 + along, y1 - away, 180),
    'west': (x0 + away, y0 + along, 270),
  }
  x, y, yaw_deg = poses[_SIDES[side]]
  return layout.Placed(piece, i, float(x), float(y), yaw_deg)


def _fits(
  candidate: layout.Placed, room: layout.Room, placed, doors, windows
) -> bool:
  """Returns whether a piece is in its room, and free of openings and others."""
  if not np.isfinite(candidate.x_m):
    return False
  ground, piece = candidate.ground(), candidate.piece
  x0, y0, x1, y1 = room.ground
  inside = layout.expanded(ground, 0.02 - layout.WALL_M / 2)
  if inside[0] < x0 or inside[1] < y0 or inside[2] > x1 or inside[3] > y1:
    return False
  hangs = not piece.solids
  near = 0.12 if hangs else _MARGIN_M + layout.WALL_M / 2
  if any(layout.overlap(ground, layout.around(d, near)) for d in doors):
    return False
  near = 0.2 if hangs else 0.05
  if piece.height_m > layout.SILL_M and any(
    layout.overlap(ground, layout.around(w, near)) for w in windows
  ):
    return False
  for other in placed:
    low = min(other.piece.height_m, piece.height_m) < 0.95
    either_hangs = hangs or not other.piece.solids
    if either_hangs and low:
      continue
    gap = 0.02 if either_hangs else 0.06
    if layout.overlap(layout.expanded(ground, gap), other.ground()):
      return False
  return True
