"""The walls of rooms with their openings, and the trim of openings.

Trim is the frames of doorways and windows, and curtains.
"""

from collections.abc import Iterator
import dataclasses

import numpy as np

from wm_abench.worlds.homes import joinery, layout


@dataclasses.dataclass(frozen=True)
class Wall:
  """A wall of a room, with x to the left as seen from the room, and y into it.

  Attributes:
    x_m, y_m: the middle of the wall, on its surface.
    yaw_deg: the rotation of its axes.
    length_m: its length.
    holes: the ends along x of each opening, and whether it is a window.
  """

  x_m: float
  y_m: float
  yaw_deg: int
  length_m: float
  holes: tuple[tuple[float, float, bool], ...]

  def put(self, parts) -> list[joinery.Part]:
    """Moves parts from the axes of the wall to those of the home."""
    return joinery.moved(parts, self.x_m, self.y_m, 0, self.yaw_deg)


def wall_of(home: layout.Home, room: layout.Room, side: int) -> Wall:
  """Returns a wall of a room: 0 is south, then east, north, west."""
  x0, y0, x1, y1 = room.ground
  half, axis = layout.WALL_M / 2, side % 2
  middle = ((x0 + x1) / 2, (y0 + y1) / 2)
  wall_m = (y0, x1, y1, x0)[side]
  inner = wall_m + half * (1 if side in (0, 3) else -1)
  xy = (middle[0], inner) if axis == 0 else (inner, middle[1])
  length = (x1 - x0, y1 - y0)[axis] - layout.WALL_M
  sign = 1 if side < 2 else -1
  holes = []
  for opening in (*home.doors, *home.windows):
    if opening.axis != axis or opening.wall_m != wall_m:
      continue
    ends = (opening.start_m - middle[axis], opening.end_m - middle[axis])
    low, high = sorted(sign * e for e in ends)
    if low < length / 2 and high > -length / 2:
      holes.append((low, high, opening in home.windows))
  return Wall(*xy, 90 * side, length, tuple(sorted(holes)))


def patches(wall: Wall) -> Iterator[tuple[float, float, float, float]]:
  """Yields the rectangles around doorways and windows: x0, x1, z0, z1."""
  half, top = wall.length_m / 2, layout.HEIGHT_M
  edge = -half
  for low, high, window in wall.holes:
    yield edge, low, 0.0, top
    yield low, high, layout.LINTEL_M if window else layout.DOOR_HEIGHT_M, top
    if window:
      yield low, high, 0.0, layout.SILL_M
    edge = high
  yield edge, half, 0.0, top


def _in_wall(parts, opening: layout.Opening) -> list[joinery.Part]:
  """Moves parts from the origin to an opening, with x along the wall."""
  middle = (opening.start_m + opening.end_m) / 2
  if opening.axis == 0:
    return joinery.moved(parts, middle, opening.wall_m)
  return joinery.moved(parts, opening.wall_m, middle, 0, 90)


def door_frame(door: layout.Opening) -> list[joinery.Part]:
  """Returns the frame of a doorway."""
  width_m = door.end_m - door.start_m
  w, deep, top = width_m / 2, layout.WALL_M / 2 + 0.015, layout.DOOR_HEIGHT_M
  parts = [
    joinery.box('trim', (-w - 0.08, -deep, 0), (-w + 0.012, deep, top + 0.08)),
    joinery.box('trim', (w - 0.012, -deep, 0), (w + 0.08, deep, top + 0.08)),
    joinery.box('trim', (-w, -deep, top - 0.012), (w, deep, top + 0.08)),
  ]
  return _in_wall(parts, door)


def window_frame(window: layout.Opening) -> list[joinery.Part]:
  """Returns the frame, sill and bars of a window."""
  width_m = window.end_m - window.start_m
  w, deep = width_m / 2, layout.WALL_M / 2 + 0.015
  low, high = layout.SILL_M, layout.LINTEL_M
  parts = [
    joinery.box(
      'trim', (-w - 0.06, -deep, low), (-w + 0.02, deep, high + 0.06)
    ),
    joinery.box('trim', (w - 0.02, -deep, low), (w + 0.06, deep, high + 0.06)),
    joinery.box('trim', (-w, -deep, high - 0.02), (w, deep, high + 0.06)),
    joinery.box(
      'trim', (-w - 0.1, -deep - 0.08, low - 0.04), (w + 0.1, deep + 0.08, low)
    ),
    joinery.box('trim', (-0.022, -0.02, low), (0.022, 0.02, high)),
    joinery.box('trim', (-w, -0.02, low + 0.78), (w, 0.02, low + 0.82)),
    joinery.box('trim', (-w, -0.02, low), (w, 0.02, low + 0.04)),
  ]
  return _in_wall(parts, window)


def curtains(
  home: layout.Home, room: layout.Room, side: int
) -> list[joinery.Part]:
  """Returns the curtains of the windows of a wall; some rooms have none."""
  if room.kind in ('kitchen', 'bath'):
    return []
  wall, parts = wall_of(home, room, side), []
  for low, high, window in wall.holes:
    if not window:
      continue
    rail = (low - 0.3, 0.06, layout.LINTEL_M + 0.14)
    parts.append(
      joinery.box('metal', rail, (high + 0.3, 0.08, layout.LINTEL_M + 0.16))
    )
    for a, b in ((low - 0.26, low + 0.12), (high - 0.12, high + 0.26)):
      parts += [
        joinery.rod('curtain', 0.036, 0.86, layout.LINTEL_M + 0.15).moved(
          x, 0.075
        )
        for x in np.linspace(a, b, 7)
      ]
  return wall.put(parts)
