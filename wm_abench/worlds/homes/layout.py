"""Furnished homes as plain data: rooms, openings, furniture, and free ground.

x is to the east, y to the north, in metres. `catalog` draws the homes.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import functools
import itertools

import numpy as np
from scipy import ndimage

from wm_abench.worlds.homes import household
from wm_abench.worlds.homes.household import Rectangle

HEIGHT_M, WALL_M = 2.6, 0.14
DOOR_M, DOOR_HEIGHT_M = 1.1, 2.1
SILL_M, LINTEL_M = 0.95, 2.15
_TALL_M = 1.2  # Furniture above this height blocks the view.
_GRID_M = 0.1


@dataclasses.dataclass(frozen=True)
class Opening:
  """A doorway or window in a wall that runs along one axis.

  Attributes:
    axis: 0 if the wall runs along x, 1 if it runs along y.
    wall_m: the coordinate of the wall on the other axis.
    start_m: where the opening starts along the axis.
    end_m: where it ends.
  """

  axis: int
  wall_m: float
  start_m: float
  end_m: float


@dataclasses.dataclass(frozen=True)
class Room:
  """A room.

  Attributes:
    kind: what it is used for, such as 'living'.
    ground: its rectangle, up to the middles of its walls.
  """

  kind: str
  ground: Rectangle


@dataclasses.dataclass(frozen=True)
class Placed:
  """A piece of furniture in a room.

  Attributes:
    piece: the piece.
    room: the index of the room.
    x_m, y_m: the middle of the back of the piece.
    yaw_deg: its rotation, a multiple of 90; 0 faces north.
  """

  piece: household.Piece
  room: int
  x_m: float
  y_m: float
  yaw_deg: int

  def solids(self) -> tuple[Rectangle, ...]:
    """Returns the rectangles that the piece occupies."""
    return tuple(_moved(s, self) for s in self.piece.solids)

  def ground(self) -> Rectangle:
    """Returns the rectangle that is kept free of other furniture."""
    w = self.piece.width_m / 2
    return _moved((-w, 0.0, w, self.piece.depth_m), self)

  def centre(self) -> tuple[float, float]:
    x0, y0, x1, y1 = self.ground()
    return (x0 + x1) / 2, (y0 + y1) / 2


@dataclasses.dataclass(frozen=True)
class Home:
  """A furnished home.

  Attributes:
    name: its name in the catalog.
    seed: the seed that it was drawn from.
    rooms, doors, windows, furniture: its parts.
  """

  name: str
  seed: int
  rooms: tuple[Room, ...]
  doors: tuple[Opening, ...]
  windows: tuple[Opening, ...]
  furniture: tuple[Placed, ...]

  @functools.cached_property
  def walls(self) -> tuple[Rectangle, ...]:
    """The walls with their thickness, without the doorways."""
    return _walls(self.rooms, self.doors)

  @functools.cached_property
  def blocks_N4(self) -> np.ndarray:
    """The rectangles that cannot be entered, walls first."""
    solids = [s for placed in self.furniture for s in placed.solids()]
    return np.array([*self.walls, *solids])

  @functools.cached_property
  def occluders_N4(self) -> np.ndarray:
    """The rectangles of walls and of furniture too high to look over."""
    tall = [p for p in self.furniture if p.piece.height_m > _TALL_M]
    return np.array([*self.walls, *(s for p in tall for s in p.solids())])

  @functools.cached_property
  def centres_N2(self) -> np.ndarray:
    """The centres of the furniture."""
    return np.array([placed.centre() for placed in self.furniture])

  def clearance_m(self, points_P2: np.ndarray) -> np.ndarray:
    """Returns the distance [P] of each point to the nearest block."""
    points_P12 = np.asarray(points_P2, float)[:, None]
    low_N2, high_N2 = self.blocks_N4[:, :2], self.blocks_N4[:, 2:]
    gap = np.maximum(np.maximum(low_N2 - points_P12, points_P12 - high_N2), 0)
    return np.sqrt(np.einsum('pnk,pnk->pn', gap, gap).min(axis=-1))

  def is_free(
    self, start: Sequence[float], end: Sequence[float], radius_m: float
  ) -> bool:
    """Returns whether a disc can move straight from a point to another."""
    steps = 2 + int(np.hypot(*np.subtract(end, start)) / 0.05)
    path_P2 = np.linspace(start, end, steps)
    return bool((self.clearance_m(path_P2) > radius_m).all())

  def room_at(self, x_m: float, y_m: float) -> int:
    """Returns the index of the room that contains a point; -1 if outside."""
    for i, room in enumerate(self.rooms):
      x0, y0, x1, y1 = room.ground
      if x0 <= x_m < x1 and y0 <= y_m < y1:
        return i
    return -1

  def view_distance_m(
    self, x_m: float, y_m: float, angles_rad_A: np.ndarray
  ) -> np.ndarray:
    """Returns the distance [A] to the first occluder in each direction."""
    origin_2 = np.array([x_m, y_m])
    along_A12 = np.stack([np.cos(angles_rad_A), np.sin(angles_rad_A)], -1)
    along_A12 = np.where(np.abs(along_A12) < 1e-9, 1e-9, along_A12)[:, None]
    a = (self.occluders_N4[:, :2] - origin_2) / along_A12
    b = (self.occluders_N4[:, 2:] - origin_2) / along_A12
    enter = np.minimum(a, b).max(axis=-1)
    leave = np.maximum(a, b).min(axis=-1)
    hit = (enter <= leave) & (leave > 0)
    return np.where(hit, np.maximum(enter, 0), np.inf).min(axis=-1)

  def reachable(self, radius_m: float) -> tuple[np.ndarray, float]:
    """Finds the largest connected area in which a disc can move.

    Returns:
      Whether each point [X, Y] of a grid belongs to it, and the step of the
      grid in metres. The first point is the origin.
    """
    ends = np.max([room.ground[2:] for room in self.rooms], axis=0)
    axes = [np.arange(0, end + _GRID_M / 2, _GRID_M) for end in ends]
    points = np.stack(np.meshgrid(*axes, indexing='ij'), -1)
    clear = self.clearance_m(points.reshape(-1, 2)) > radius_m
    free = clear.reshape(points.shape[:2])
    labels, _ = ndimage.label(free)
    largest = np.bincount(labels[free], minlength=1).argmax()
    return free & (labels == largest), _GRID_M


def _walls(
  rooms: Iterable[Room], doors: Iterable[Opening]
) -> tuple[Rectangle, ...]:
  lines = {}
  for room in rooms:
    for axis, side in itertools.product((0, 1), (0, 2)):
      wall_m = room.ground[side + 1 - axis]
      span = (room.ground[axis], room.ground[2 + axis])
      lines[axis, wall_m, span] = None
  half, walls = WALL_M / 2, []
  for axis, wall_m, (start, end) in lines:
    gaps = sorted(
      (d.start_m, d.end_m)
      for d in doors
      if d.axis == axis and d.wall_m == wall_m and start <= d.start_m < end
    )
    edges = [start - half, *itertools.chain(*gaps), end + half]
    for a, b in zip(edges[::2], edges[1::2], strict=True):
      wall = (a, wall_m - half, b, wall_m + half)
      walls.append(wall if axis == 0 else (wall[1], wall[0], wall[3], wall[2]))
  return tuple(walls)


def _moved(rectangle: Rectangle, placed: Placed) -> Rectangle:
  """Returns a rectangle of a piece in the coordinates of the home."""
  x0, y0, x1, y1 = rectangle
  corners = ((x0, y0), (x1, y1))
  for _ in range(placed.yaw_deg // 90):
    corners = tuple((-y, x) for x, y in corners)
  xs, ys = zip(*corners, strict=True)
  return (
    placed.x_m + min(xs),
    placed.y_m + min(ys),
    placed.x_m + max(xs),
    placed.y_m + max(ys),
  )


def around(opening: Opening, near_m: float) -> Rectangle:
  """Returns the ground on both sides of an opening.

  Args:
    opening: a doorway or window.
    near_m: the depth of the ground on either side, measured from a wall's
      thickness beyond the middle of the wall.
  """
  a, b, wall_m = opening.start_m, opening.end_m, opening.wall_m
  if opening.axis == 0:
    return (a, wall_m - near_m - WALL_M, b, wall_m + near_m + WALL_M)
  return (wall_m - near_m - WALL_M, a, wall_m + near_m + WALL_M, b)


def expanded(rectangle: Rectangle, by_m: float) -> Rectangle:
  x0, y0, x1, y1 = rectangle
  return (x0 - by_m, y0 - by_m, x1 + by_m, y1 + by_m)


def overlap(a: Rectangle, b: Rectangle) -> bool:
  return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
