"""The floor and walls of one room, and what is seen through its windows.

Floor and walls have a picture each, with the light of the windows and the dark
of corners and furniture in it. A room is centred at the origin, its floor at
z = 0; it has no ceiling, for some look from above.
"""

from collections.abc import Iterable, Iterator
import dataclasses

import mujoco
import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.homes import decor, styles
from wm_abench.worlds.homes import joinery as make

_FLOOR_TEXELS_M, _WALL_TEXELS_M = 112, 72
_OUTSIDE_M, _GROUND_M = 30.0, -0.5
_SKY = np.array([0.97, 1.0, 1.05])
_SUN = np.array([0.22, 0.19, 0.12])
_PANORAMA_SEED = 5


@dataclasses.dataclass(frozen=True)
class Window:
  """A window of a wall.

  Attributes:
    side: 0 to 3 for south, east, north, west.
    along_m: its middle; who looks at the wall has less on the right.
    width_m: of the opening.
    sill_m, lintel_m: its lower and upper edge.
    cloth: whether it has curtains.
  """

  side: int
  along_m: float
  width_m: float
  sill_m: float = 0.45
  lintel_m: float = 2.2
  cloth: bool = True


@dataclasses.dataclass(frozen=True)
class Shell:
  """A room without its furniture.

  Attributes:
    half_m: half its width (x) and depth (y).
    height_m: of the walls.
    windows: of all walls.
    sun: the way in which the sun's light goes; None on a grey day.
  """

  half_m: tuple[float, float]
  height_m: float
  windows: tuple[Window, ...]
  sun: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Footing:
  """Ground that furniture darkens, and how high it stands there.

  rectangle is x0, y0, x1, y1.
  """

  rectangle: tuple[float, float, float, float]
  height_m: float


@dataclasses.dataclass(frozen=True)
class _Side:
  """A wall as one sees it from the room: x to the left, y into the room."""

  index: int
  back_m: float
  length_m: float

  def world(self, along_m, depth_m=0.0) -> tuple:
    """x and y of what is so far along the wall and so far before it."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.index]
    y = depth_m - self.back_m
    return cosine * along_m - sine * y, sine * along_m + cosine * y

  def put(self, parts: Iterable[make.Part]) -> list[make.Part]:
    return make.moved(parts, *self.world(0.0), 0.0, 90.0 * self.index)


def side(shell: Shell, index: int) -> _Side:
  """One of a room's walls: 0 to 3 for south, east, north, west."""
  half = shell.half_m if index % 2 else shell.half_m[::-1]
  return _Side(index, half[0], 2 * half[1])


def add(
  spec: mujoco.MjSpec,
  body: mujoco.MjsBody,
  shell: Shell,
  style: styles.Style,
  kind: str,
  footings: Iterable[Footing],
) -> None:
  """Puts floor, walls and the view outside into a specification.

  Args:
    spec: gets meshes and materials.
    body: gets the geoms.
    shell: the room.
    style: whose first papers and floor it has.
    kind: of room, as the style knows it.
    footings: what furniture stands where.
  """
  footings = list(footings)
  _floor(spec, body, shell, style, kind, footings)
  for index in range(4):
    _wall(spec, body, shell, index, style, kind, footings)
  _outside(spec, body)


def trim(shell: Shell) -> Iterator[make.Part]:
  """The windows' frames and curtains."""
  for window in shell.windows:
    wall = side(shell, window.side)
    parts = _frame(window)
    if window.cloth:
      parts += _curtains(window)
    yield from wall.put(make.moved(parts, window.along_m, 0.0))


def _frame(window: Window) -> list[make.Part]:
  w, low, high = window.width_m / 2, window.sill_m, window.lintel_m
  deep, out = 0.03, -0.1
  bars = [
    make.box('trim', (-w - 0.07, out, low - 0.05), (-w, deep, high + 0.07)),
    make.box('trim', (w, out, low - 0.05), (w + 0.07, deep, high + 0.07)),
    make.box('trim', (-w, out, high), (w, deep, high + 0.07)),
    make.box('trim', (-w - 0.1, out, low - 0.05), (w + 0.1, 0.1, low)),
  ]
  panes = max(1, round(window.width_m / 0.75))
  for x in np.linspace(-w, w, panes + 1)[1:-1]:
    bars.append(
      make.box('trim', (x - 0.025, -0.07, low), (x + 0.025, -0.02, high))
    )
  middle = low + 0.68 * (high - low)
  bars.append(
    make.box('trim', (-w, -0.07, middle - 0.02), (w, -0.02, middle + 0.02))
  )
  return bars


def _curtains(window: Window) -> list[make.Part]:
  w, top = window.width_m / 2, window.lintel_m + 0.16
  parts = [
    make.box('dark_metal', (-w - 0.42, 0.07, top), (w + 0.42, 0.09, top + 0.02))
  ]
  for a, b in ((-w - 0.36, -w + 0.06), (w - 0.06, w + 0.36)):
    parts += [
      make.rod('curtain', 0.036, 0.03, top).moved(x, 0.085)
      for x in np.linspace(a, b, 8)
    ]
  return parts


def _floor(spec, body, shell, style, kind, footings) -> None:
  hx, hy = shell.half_m
  u, v = _texels(2 * hx, 2 * hy, _FLOOR_TEXELS_M)
  points = np.stack([(2 * u - 1) * hx, (2 * v - 1) * hy, 0 * u], -1)
  under = np.zeros_like(u)
  for foot in footings:
    x0, y0, x1, y1 = foot.rectangle
    under[
      (x0 < points[..., 0])
      & (points[..., 0] < x1)
      & (y0 < points[..., 1])
      & (points[..., 1] < y1)
    ] = 1.0
  shadow = decor.blurred(under, 0.09 * _FLOOR_TEXELS_M)
  light = _light(shell, points, (0, 0, 1), shadow)
  mesh = make.mat('floor', -hx, -hy, hx, hy, 0.0).mesh
  _show(spec, body, 'floor', mesh, style.floor(kind, 0, points) * light)


def _wall(spec, body, shell, index, style, kind, footings) -> None:
  wall = side(shell, index)
  length, high = wall.length_m, shell.height_m
  u, v = _texels(length, high, _WALL_TEXELS_M)
  across, up = length / 2 - u * length, v * high
  points = np.stack([*wall.world(across), up], -1)
  normal = ((0, 1, 0), (-1, 0, 0), (0, -1, 0), (1, 0, 0))[index]
  shadow = decor.blurred(
    _behind(wall, footings, across, up), 0.07 * _WALL_TEXELS_M
  )
  light = _light(shell, points, normal, shadow)
  painted = style.wall(kind, 0, index, across, up)
  holes = [w for w in shell.windows if w.side == index]
  patches = [
    make.sheet(
      '',
      a,
      b,
      z0,
      z1,
      0.0,
      (0.5 - b / length, z0 / high, 0.5 - a / length, z1 / high),
    )
    for a, b, z0, z1 in _patches(length, high, holes)
  ]
  mesh = meshes.join(part.mesh for part in wall.put(patches))
  _show(spec, body, f'wall{index}', mesh, painted * light)


def _behind(wall: _Side, footings, across, up) -> np.ndarray:
  """Which of a wall's texels have furniture right before them."""
  behind = np.zeros_like(up)
  for foot in footings:
    x0, y0, x1, y1 = foot.rectangle
    near_m = (y0, -x1, -y1, x0)[wall.index] + wall.back_m
    if near_m < 0.12:
      low, high = ((x0, x1), (y0, y1), (-x1, -x0), (-y1, -y0))[wall.index]
      inside = (low < across) & (across < high) & (up < foot.height_m)
      behind[inside] = 0.8
  return behind


def _patches(length: float, high: float, windows) -> Iterator[tuple]:
  """The wall around its windows: x from, x to, z from, z to."""
  edge = -length / 2
  for window in sorted(windows, key=lambda w: w.along_m):
    low = window.along_m - window.width_m / 2
    end = window.along_m + window.width_m / 2
    yield edge, low, 0.0, high
    yield low, end, window.lintel_m, high
    if window.sill_m > 0:
      yield low, end, 0.0, window.sill_m
    edge = end
  yield edge, length / 2, 0.0, high


def _texels(wide_m, high_m, a_metre) -> tuple[np.ndarray, np.ndarray]:
  """Texture coordinates of a surface's texels, each [H, W]."""
  wide, high = (int(np.ceil(m * a_metre)) for m in (wide_m, high_m))
  return np.meshgrid(
    (np.arange(wide) + 0.5) / wide, (np.arange(high) + 0.5) / high
  )


def _light(shell: Shell, points_HW3, normal, shadow_HW) -> np.ndarray:
  """What each texel's colour is multiplied with, [H, W, 3]."""
  total_HW3 = np.full(points_HW3.shape, 0.8)
  for window in shell.windows:
    total_HW3 += _glow(shell, window, points_HW3, np.array(normal)) * _SKY
  dark_HW = 1 - 0.6 * shadow_HW
  half_3 = np.array([*shell.half_m, shell.height_m])
  low_3, high_3 = np.array([*-half_3[:2], 0.0]), half_3
  for axis in range(3):
    if not normal[axis]:
      for gap in (points_HW3 - low_3, high_3 - points_HW3):
        dark_HW = dark_HW * (1 - 0.28 * np.exp(-gap[..., axis].clip(0) / 0.2))
  total_HW3 *= dark_HW[..., None]
  if shell.sun is not None:
    sunny = decor.blurred(_sunny(shell, points_HW3, normal), 1.5)
    total_HW3 += (sunny * (1 - shadow_HW))[..., None] * _SUN
  return total_HW3


def _glow(shell, window: Window, points_HW3, normal_3) -> np.ndarray:
  """A window's light, which falls off with distance and slant, [H, W, 1]."""
  wall = side(shell, window.side)
  middle = (window.sill_m + window.lintel_m) / 2
  place_3 = np.array([*wall.world(window.along_m), middle])
  inward_3 = np.array([*wall.world(0.0, 1.0), 0]) - [*wall.world(0.0), 0]
  area = window.width_m * (window.lintel_m - window.sill_m)
  toward_HW3 = place_3 - points_HW3
  square = (toward_HW3**2).sum(axis=-1) + 0.05
  slant = 0.5 + 0.5 * np.maximum(toward_HW3 @ normal_3, 0) / np.sqrt(square)
  slant *= np.maximum(-toward_HW3 @ inward_3, 0) / np.sqrt(square)
  return (0.55 * area * slant / (square + 0.8))[..., None]


def _sunny(shell: Shell, points_HW3, normal) -> np.ndarray:
  """Which texels the sun reaches through a window, as 0 or 1."""
  lit = np.zeros(points_HW3.shape[:2])
  sun_3 = np.array(shell.sun)
  if sun_3 @ np.array(normal) >= 0:
    return lit
  for window in shell.windows:
    wall = side(shell, window.side)
    origin = np.array([*wall.world(0.0), 0.0])
    inward_3 = np.array([*wall.world(0.0, 1.0), 0.0]) - origin
    left_3 = np.array([*wall.world(1.0), 0.0]) - origin
    into = sun_3 @ inward_3
    if into <= 0.1:
      continue
    back = (points_HW3 - origin) @ inward_3 / into
    hit = points_HW3 - back[..., None] * sun_3 - origin
    across, up = np.abs(hit @ left_3 - window.along_m), hit[..., 2]
    pane = (across > 0.03) & (across < window.width_m / 2 - 0.05)
    lit += pane & (up > window.sill_m) & (up < window.lintel_m) & (back > 0.01)
  return np.minimum(lit, 1.0)


def _show(spec, body, name: str, mesh, picture_HW3, emission=0.0) -> None:
  pixels = (np.clip(picture_HW3, 0, 1) * 255).round().astype(np.uint8)
  # Row 0 is a picture's top, and of a surface the texel where v = 0.
  meshes.add_material(
    spec, name, pixels[::-1], specular=0.0, shininess=0.0, emission=emission
  )
  meshes.add_mesh(spec, name, mesh)
  meshes.add_geom(body, name, name)


def _outside(spec, body) -> None:
  angles = np.linspace(0, 2 * np.pi, 49)
  ring = np.stack([np.cos(angles), np.sin(angles)], -1) * _OUTSIDE_M
  faces, uvs = [], []
  for k in range(48):
    (ax, ay), (bx, by) = ring[k + 1], ring[k]
    z0, z1 = -6.0, 16.0
    faces.append([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)])
    u0, u1 = 1 - (k + 1) / 48, 1 - k / 48
    uvs.append([(u0, 0), (u1, 0), (u1, 1), (u0, 1)])
  mesh = meshes.quads(np.array(faces), np.array(uvs))
  picture = decor.panorama(np.random.default_rng(_PANORAMA_SEED), False)
  _show(spec, body, 'outside', mesh, picture[::-1], emission=0.5)
  far, low = _OUTSIDE_M, _GROUND_M
  lawn = meshes.patch(-far, -far, far, far, low, 2.5)
  grass = decor.texture('miniworld', 'grass_1', 256)
  grass = decor.tinted(grass, (0.35, 0.5, 0.22), 0.7)
  _show(spec, body, 'lawn', lawn, grass, emission=0.4)
