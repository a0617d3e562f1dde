"""The floor and walls of one room, and the view through its windows.

The floor and each wall have one texture, into which the light of the windows
and the shading of corners and furniture are baked. A room is centred at the
origin with its floor at z = 0. It has no ceiling, because some cameras are
above it.
"""

from collections.abc import Iterable, Iterator
import dataclasses

import mujoco
import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.homes import decor, joinery, styles

_FLOOR_TEXELS_M, _WALL_TEXELS_M = 112, 72  # Per metre.
_OUTSIDE_M, _GROUND_M = 30.0, -0.5
_SKY = np.array([0.97, 1.0, 1.05])
_SUN = np.array([0.22, 0.19, 0.12])
_PANORAMA_SEED = 5


@dataclasses.dataclass(frozen=True)
class Window:
  """A window in a wall.

  Attributes:
    side: the wall, 0 to 3 for south, east, north, west.
    along_m: position of the centre along the wall, which grows to the left of a
      viewer in the room.
    width_m: of the opening.
    sill_m, lintel_m: heights of the lower and the upper edge.
    cloth: whether the window has curtains.
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
    half_m: half the width (x) and half the depth (y).
    height_m: of the walls.
    windows: of all walls.
    sun: direction in which sunlight travels; None for an overcast sky.
  """

  half_m: tuple[float, float]
  height_m: float
  windows: tuple[Window, ...]
  sun: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Footing:
  """The floor area that a piece of furniture covers and darkens.

  Attributes:
    rectangle: x0, y0, x1, y1 in metres.
    height_m: of the furniture.
  """

  rectangle: tuple[float, float, float, float]
  height_m: float


@dataclasses.dataclass(frozen=True)
class _Side:
  """The frame of a wall: x to the left of a viewer in the room, y inwards.

  Attributes:
    index: 0 to 3 for south, east, north, west.
    back_m: distance of the wall from the centre of the room.
    length_m: of the wall.
  """

  index: int
  back_m: float
  length_m: float

  def world(self, along_m, depth_m=0.0) -> tuple:
    """Returns x and y in the room of a point in the frame of the wall."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.index]
    y = depth_m - self.back_m
    return cosine * along_m - sine * y, sine * along_m + cosine * y

  def put(self, parts: Iterable[joinery.Part]) -> list[joinery.Part]:
    """Returns parts in the room, given parts in the frame of the wall."""
    return joinery.moved(parts, *self.world(0.0), 0.0, 90.0 * self.index)


def side(shell: Shell, index: int) -> _Side:
  """Returns the frame of a wall: 0 to 3 for south, east, north, west."""
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
  """Adds the floor, the walls and the view outside to a specification.

  Args:
    spec: receives meshes and materials.
    body: receives the geoms.
    shell: the room.
    style: determines the textures of floor and walls.
    kind: of the room, as `style` names it.
    footings: floor areas of all furniture.
  """
  footings = list(footings)
  _add_floor(spec, body, shell, style, kind, footings)
  for index in range(4):
    _add_wall(spec, body, shell, index, style, kind, footings)
  _add_outside(spec, body)


def trim(shell: Shell) -> Iterator[joinery.Part]:
  """Yields the frames and curtains of the windows."""
  for window in shell.windows:
    wall = side(shell, window.side)
    parts = _window_frame(window)
    if window.cloth:
      parts += _curtains(window)
    yield from wall.put(joinery.moved(parts, window.along_m, 0.0))


def _window_frame(window: Window) -> list[joinery.Part]:
  w, low, high = window.width_m / 2, window.sill_m, window.lintel_m
  inner, outer = 0.03, -0.1
  bars = [
    joinery.box(
      'trim', (-w - 0.07, outer, low - 0.05), (-w, inner, high + 0.07)
    ),
    joinery.box('trim', (w, outer, low - 0.05), (w + 0.07, inner, high + 0.07)),
    joinery.box('trim', (-w, outer, high), (w, inner, high + 0.07)),
    joinery.box('trim', (-w - 0.1, outer, low - 0.05), (w + 0.1, 0.1, low)),
  ]
  panes = max(1, round(window.width_m / 0.75))
  for x in np.linspace(-w, w, panes + 1)[1:-1]:
    bars.append(
      joinery.box('trim', (x - 0.025, -0.07, low), (x + 0.025, -0.02, high))
    )
  middle = low + 0.68 * (high - low)
  bars.append(
    joinery.box('trim', (-w, -0.07, middle - 0.02), (w, -0.02, middle + 0.02))
  )
  return bars


def _curtains(window: Window) -> list[joinery.Part]:
  w, top = window.width_m / 2, window.lintel_m + 0.16
  parts = [
    joinery.box(
      'dark_metal', (-w - 0.42, 0.07, top), (w + 0.42, 0.09, top + 0.02)
    )
  ]
  for a, b in ((-w - 0.36, -w + 0.06), (w - 0.06, w + 0.36)):
    parts += [
      joinery.rod('curtain', 0.036, 0.03, top).moved(x, 0.085)
      for x in np.linspace(a, b, 8)
    ]
  return parts


def _add_floor(spec, body, shell, style, kind, footings) -> None:
  hx, hy = shell.half_m
  u, v = _texels(2 * hx, 2 * hy, _FLOOR_TEXELS_M)
  points = np.stack([(2 * u - 1) * hx, (2 * v - 1) * hy, 0 * u], -1)
  covered = np.zeros_like(u)
  for footing in footings:
    x0, y0, x1, y1 = footing.rectangle
    covered[
      (x0 < points[..., 0])
      & (points[..., 0] < x1)
      & (y0 < points[..., 1])
      & (points[..., 1] < y1)
    ] = 1.0
  shadow = decor.blurred(covered, 0.09 * _FLOOR_TEXELS_M)
  light = _light(shell, points, (0, 0, 1), shadow)
  mesh = joinery.mat('floor', -hx, -hy, hx, hy, 0.0).mesh
  _add_surface(spec, body, 'floor', mesh, style.floor(kind, 0, points) * light)


def _add_wall(spec, body, shell, index, style, kind, footings) -> None:
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
    joinery.sheet(
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
  _add_surface(spec, body, f'wall{index}', mesh, painted * light)


def _behind(wall: _Side, footings, across, up) -> np.ndarray:
  """Returns by how much furniture at the wall darkens each of its texels."""
  behind = np.zeros_like(up)
  for footing in footings:
    x0, y0, x1, y1 = footing.rectangle
    near_m = (y0, -x1, -y1, x0)[wall.index] + wall.back_m
    if near_m < 0.12:
      low, high = ((x0, x1), (y0, y1), (-x1, -x0), (-y1, -y0))[wall.index]
      inside = (low < across) & (across < high) & (up < footing.height_m)
      behind[inside] = 0.8
  return behind


def _patches(length: float, high: float, windows) -> Iterator[tuple]:
  """Yields rectangles x0, x1, z0, z1 that cover a wall without its windows."""
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


def _texels(width_m, height_m, texels_per_m) -> tuple[np.ndarray, np.ndarray]:
  """Returns the texture coordinates u, v of a surface's texels, each [H, W]."""
  wide, high = (int(np.ceil(m * texels_per_m)) for m in (width_m, height_m))
  return np.meshgrid(
    (np.arange(wide) + 0.5) / wide, (np.arange(high) + 0.5) / high
  )


def _light(shell: Shell, points_HW3, normal, shadow_HW) -> np.ndarray:
  """Returns the light on each texel, a factor on its colour, [H, W, 3]."""
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
  """Returns the light of a window, which falls with distance and angle.

  Its shape is [H, W, 1].
  """
  wall = side(shell, window.side)
  height_m = (window.sill_m + window.lintel_m) / 2
  centre_3 = np.array([*wall.world(window.along_m), height_m])
  inward_3 = np.array([*wall.world(0.0, 1.0), 0]) - [*wall.world(0.0), 0]
  area = window.width_m * (window.lintel_m - window.sill_m)
  toward_HW3 = centre_3 - points_HW3
  square = (toward_HW3**2).sum(axis=-1) + 0.05
  slant = 0.5 + 0.5 * np.maximum(toward_HW3 @ normal_3, 0) / np.sqrt(square)
  slant *= np.maximum(-toward_HW3 @ inward_3, 0) / np.sqrt(square)
  return (0.55 * area * slant / (square + 0.8))[..., None]


def _sunny(shell: Shell, points_HW3, normal) -> np.ndarray:
  """Returns 1 for the texels that the sun reaches through a window, else 0."""
  lit = np.zeros(points_HW3.shape[:2])
  sun_3 = np.array(shell.sun)
  if sun_3 @ np.array(normal) >= 0:
    return lit
  for window in shell.windows:
    wall = side(shell, window.side)
    origin = np.array([*wall.world(0.0), 0.0])
    inward_3 = np.array([*wall.world(0.0, 1.0), 0.0]) - origin
    left_3 = np.array([*wall.world(1.0), 0.0]) - origin
    inflow = sun_3 @ inward_3
    if inflow <= 0.1:
      continue
    back = (points_HW3 - origin) @ inward_3 / inflow
    hit = points_HW3 - back[..., None] * sun_3 - origin
    across, up = np.abs(hit @ left_3 - window.along_m), hit[..., 2]
    pane = (across > 0.03) & (across < window.width_m / 2 - 0.05)
    lit += pane & (up > window.sill_m) & (up < window.lintel_m) & (back > 0.01)
  return np.minimum(lit, 1.0)


def _add_surface(spec, body, name, mesh, texture_HW3, emission=0.0) -> None:
  """Adds a mesh with a texture; row 0 of the texture is at v = 0."""
  pixels = (np.clip(texture_HW3, 0, 1) * 255).round().astype(np.uint8)
  # MuJoCo has the last row of a texture at v = 0.
  meshes.add_material(
    spec, name, pixels[::-1], specular=0.0, shininess=0.0, emission=emission
  )
  meshes.add_mesh(spec, name, mesh)
  meshes.add_geom(body, name, name)


def _add_outside(spec, body) -> None:
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
  panorama = decor.panorama(np.random.default_rng(_PANORAMA_SEED), False)
  _add_surface(spec, body, 'outside', mesh, panorama[::-1], emission=0.5)
  far, low = _OUTSIDE_M, _GROUND_M
  lawn = meshes.patch(-far, -far, far, far, low, 2.5)
  grass = decor.texture('miniworld', 'grass_1', 256)
  grass = decor.tinted(grass, (0.35, 0.5, 0.22), 0.7)
  _add_surface(spec, body, 'lawn', lawn, grass, emission=0.4)
