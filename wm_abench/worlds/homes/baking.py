"""Light that is baked into the textures of walls, floors and ceilings.

MuJoCo's lights pass through walls and do not fall off softly. Therefore the
light of windows and lamps, the patches of sunlight, and the shade of corners
and furniture are computed once per surface. Occlusion is ignored.
"""

from collections.abc import Iterator
import dataclasses

import numpy as np

from wm_abench.worlds.homes import decor, layout

_WARM = np.array([1.0, 0.82, 0.58])
_SKY = np.array([0.96, 0.99, 1.06])
_SUN = np.array([0.42, 0.37, 0.27])


@dataclasses.dataclass(frozen=True)
class Surface:
  """A flat rectangle of a room.

  Attributes:
    points_HW3: the positions of its texels in metres.
    normal: the unit vector into the room.
    shadow_HW: how much furniture darkens each texel, in [0, 1].
  """

  points_HW3: np.ndarray
  normal: tuple[int, int, int]
  shadow_HW: np.ndarray


def light(
  home: layout.Home, room: int, surface: Surface, evening: bool
) -> np.ndarray:
  """Returns the factors [H, W, 3] on the colours of a surface's texels."""
  points_HW3, normal_3 = surface.points_HW3, np.array(surface.normal)
  total_HW3 = np.zeros_like(points_HW3)
  if evening:
    total_HW3 += 0.5 * _WARM
    for lamp_3, strength in _lamps(home, room):
      total_HW3 += _glow(points_HW3, normal_3, lamp_3, strength) * _WARM
  else:
    total_HW3 += 0.78
    for window_3, inward_3, area in _windows(home, room):
      glow = _glow(points_HW3, normal_3, window_3, 0.9 * area, inward_3)
      total_HW3 += glow * _SKY
  dark_HW = _corners(home.rooms[room], surface) * (1 - 0.55 * surface.shadow_HW)
  total_HW3 *= dark_HW[..., None]
  if not evening:
    sun_HW = decor.blurred(_sunny(home, room, surface), 1.5)
    total_HW3 += (sun_HW * (1 - surface.shadow_HW))[..., None] * _SUN
  return total_HW3


def sun(home: layout.Home) -> np.ndarray:
  """Returns the direction of the sunlight, a unit vector [3]."""
  angle = np.random.default_rng([home.seed, 1]).uniform(0, 2 * np.pi)
  along_3 = np.array([np.cos(angle), np.sin(angle), -0.95])
  return along_3 / np.linalg.norm(along_3)


def _lamps(home, room: int) -> Iterator[tuple[np.ndarray, float]]:
  """Yields the position and strength of each lamp of a room."""
  x0, y0, x1, y1 = home.rooms[room].ground
  yield np.array([(x0 + x1) / 2, (y0 + y1) / 2, layout.HEIGHT_M - 0.3]), 2.6
  for placed in home.furniture:
    if placed.room != room:
      continue
    for part in placed.piece.parts:
      if part.material == 'lampshade':
        shade = part.moved(placed.x_m, placed.y_m, 0, placed.yaw_deg)
        yield shade.mesh.vertices_V3.mean(axis=0), 0.12


def _windows(home, room: int):
  """Yields the centre, inward normal and area of each window of a room."""
  x0, y0, x1, y1 = home.rooms[room].ground
  for window in home.windows:
    middle = (window.start_m + window.end_m) / 2
    xy = np.array([middle, window.wall_m][:: 1 - 2 * window.axis])
    if x0 <= xy[0] <= x1 and y0 <= xy[1] <= y1:
      inward_3 = np.zeros(3)
      other = 1 - window.axis
      inward_3[other] = np.sign(
        [(x0 + x1) / 2, (y0 + y1) / 2][other] - xy[other]
      )
      height = layout.LINTEL_M - layout.SILL_M
      area = (window.end_m - window.start_m) * height
      yield (
        np.array([*xy, (layout.LINTEL_M + layout.SILL_M) / 2]),
        inward_3,
        area,
      )


def _glow(
  points_HW3, normal_3, source_3, strength, facing_3=None
) -> np.ndarray:
  """Returns the light [H, W, 1] of a source at points of a surface.

  It falls off with distance and with the angles to the normal of the surface
  and to the direction in which the source faces.
  """
  toward_HW3 = source_3 - points_HW3
  square = (toward_HW3**2).sum(axis=-1) + 0.05
  # Half of the light has no cosine law, because other walls reflect it.
  slant = 0.5 + 0.5 * np.maximum(toward_HW3 @ normal_3, 0) / np.sqrt(square)
  if facing_3 is not None:
    slant = slant * np.maximum(-toward_HW3 @ facing_3, 0) / np.sqrt(square)
  return (strength * slant / (square + 0.6))[..., None]


def _corners(room: layout.Room, surface: Surface) -> np.ndarray:
  """Returns the factor [H, W] in (0, 1] that darkens corners."""
  half = layout.WALL_M / 2
  x0, y0, x1, y1 = room.ground
  low = np.array([x0 + half, y0 + half, 0.0])
  high = np.array([x1 - half, y1 - half, layout.HEIGHT_M])
  share = np.ones(surface.points_HW3.shape[:2])
  for axis in range(3):
    if surface.normal[axis]:
      continue
    for gap in (surface.points_HW3 - low, high - surface.points_HW3):
      share *= 1 - 0.3 * np.exp(-np.maximum(gap[..., axis], 0) / 0.18)
  return share


def _sunny(home, room: int, surface: Surface) -> np.ndarray:
  """Returns whether the sun reaches each texel through a window, as 0 or 1."""
  along_3 = sun(home)
  lit = np.zeros(surface.points_HW3.shape[:2])
  if along_3 @ np.array(surface.normal) >= 0:
    return lit
  for window_3, inward_3, area in _windows(home, room):
    axis = int(np.abs(inward_3).argmax())
    if along_3[axis] * inward_3[axis] <= 0.1:
      continue
    back = (surface.points_HW3[..., axis] - window_3[axis]) / along_3[axis]
    hit = surface.points_HW3 - back[..., None] * along_3
    across = np.abs(hit[..., 1 - axis] - window_3[1 - axis])
    up = hit[..., 2]
    half = area / (layout.LINTEL_M - layout.SILL_M) / 2
    pane = (across > 0.03) & (across < half - 0.05) & (back > 0)
    lit += pane & (up > layout.SILL_M + 0.05) & (up < layout.LINTEL_M - 0.05)
  return np.minimum(lit, 1.0)
