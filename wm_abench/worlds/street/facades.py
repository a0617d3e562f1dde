"""Procedural textures of a town: facades, ground, leaves and skies.

The texture of upper floors shows four bays of four floors and repeats; the
ground floor has a separate texture. Each facade has one texture for the day and
one for the night, with some lit windows.
"""

import dataclasses

import numpy as np

RGB = tuple[int, int, int]

CELL_PX = 96  # The width of a bay and the height of a floor.
BAYS = FLOORS = 4
_GLASS_LOW, _GLASS_HIGH = (38, 48, 58), (120, 146, 168)
_LAMPS = ((255, 214, 140), (255, 232, 180), (226, 236, 255))
_NIGHT = 0.30  # Factor on the colours of walls and frames at night.


@dataclasses.dataclass(frozen=True)
class Style:
  """The style of a facade.

  Attributes:
    wall: the colour of the wall.
    pattern: 'brick', 'stone', 'plaster', 'siding', 'sheet' or 'glass'.
    frame: the colour of frames, sills and bands.
    window: the width and height of a window, as shares of bay and floor.
    ground: the kind of the ground floor: 'shop', 'door', 'lobby' or 'gate'.
    accent: the colour of awnings, doors and signs.
    bay_m, floor_m: the width of a bay and the height of a floor.
  """

  wall: RGB
  pattern: str
  frame: RGB
  window: tuple[float, float]
  ground: str
  accent: RGB
  bay_m: float = 3.0
  floor_m: float = 3.2


def noise(
  rng: np.random.Generator, height: int, width: int, fineness: float
) -> np.ndarray:
  """Returns periodic noise [height, width] with mean 0 and deviation 1.

  Args:
    rng: is consumed.
    height, width: the size in pixels.
    fineness: the exponent of the amplitude spectrum; 0 is white noise, and
      lower values are smoother.
  """
  spectrum_HW = np.fft.rfft2(rng.standard_normal((height, width)))
  row = np.fft.fftfreq(height)[:, None] * height
  column = np.fft.rfftfreq(width)[None] * width
  radius_HW = np.maximum(np.hypot(row, column), 1.0)
  field_HW = np.fft.irfft2(spectrum_HW * radius_HW**fineness, (height, width))
  field_HW -= field_HW.mean()
  return field_HW / field_HW.std()


def speckled(
  rng: np.random.Generator, rgb: RGB, size_px: int, fineness=-0.6, spread=9.0
) -> np.ndarray:
  """Returns a square of one colour with periodic noise, uint8."""
  field_HW1 = noise(rng, size_px, size_px, fineness)[..., None]
  return _bytes(np.array(rgb) + spread * field_HW1)


def facade(
  style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the textures of the upper floors by day and by night, uint8."""
  side = CELL_PX * BAYS
  day_HW3 = _wall(style, rng, side, side)
  night_HW3 = day_HW3 * _NIGHT
  for floor in range(FLOORS):
    for bay in range(BAYS):
      lamp = _lamp(rng, 0.4)
      for picture_HW3, light in ((day_HW3, None), (night_HW3, lamp)):
        cell_HW3 = picture_HW3[
          floor * CELL_PX : (floor + 1) * CELL_PX,
          bay * CELL_PX : (bay + 1) * CELL_PX,
        ]
        _window(cell_HW3, style, light, (floor * 7 + bay * 3) % 5)
  return _bytes(day_HW3), _bytes(night_HW3)


def street_level(
  style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the textures of the ground floor by day and by night, uint8."""
  height, width = round(1.25 * CELL_PX), CELL_PX * BAYS
  day_HW3 = _wall(style, rng, height, width)
  night_HW3 = day_HW3 * _NIGHT
  draw = {'shop': _shop, 'door': _door, 'lobby': _lobby, 'gate': _gate}
  half = width // 2
  for side in range(2):
    lamp = _lamp(rng, 0.6)
    accent = np.array(style.accent if side == 0 else style.accent[::-1])
    for picture_HW3, light in ((day_HW3, None), (night_HW3, lamp)):
      part_HW3 = picture_HW3[:, side * half : (side + 1) * half]
      shade = 1.0 if light is None else _NIGHT
      draw[style.ground](part_HW3, style, accent * shade, light)
  return _bytes(day_HW3), _bytes(night_HW3)


def _bytes(picture: np.ndarray) -> np.ndarray:
  return np.clip(picture, 0, 255).astype(np.uint8)


def _lamp(rng: np.random.Generator, share: float) -> RGB | None:
  lit, which = rng.random() < share, rng.integers(len(_LAMPS))
  return _LAMPS[which] if lit else (14, 17, 24)


def _wall(
  style: Style, rng: np.random.Generator, height: int, width: int
) -> np.ndarray:
  field_HW1 = noise(rng, height, width, -0.7)[..., None]
  wall_HW3 = np.array(style.wall) + 5.0 * field_HW1
  row_H1 = np.arange(height)[:, None]
  column_1W = np.arange(width)[None]
  if style.pattern == 'brick':
    course_H1, shifted = row_H1 // 4, column_1W + 6 * (row_H1 // 4 % 2)
    tone = rng.standard_normal((height // 4 + 1, width // 12 + 2))
    wall_HW3 += 11 * tone[course_H1, shifted // 12][..., None]
    mortar_HW = (row_H1 % 4 == 0) | (shifted % 12 == 0)
    wall_HW3[mortar_HW] = 0.55 * wall_HW3[mortar_HW] + 0.45 * 165
  elif style.pattern == 'stone':
    seam_HW = (row_H1 % 24 < 1) | ((column_1W + 24 * (row_H1 // 24)) % 48 < 1)
    wall_HW3[seam_HW] *= 0.78
  elif style.pattern == 'siding':
    wall_HW3 *= 1 - 0.22 * ((row_H1 % 8) < 1)[..., None]
  elif style.pattern == 'sheet':
    wall_HW3 *= 1 - 0.16 * (column_1W % 8 < 3)[..., None]
  return wall_HW3


def _window(cell_HW3, style: Style, light: RGB | None, blind: int) -> None:
  """Draws a window into a cell of one bay and one floor.

  Args:
    cell_HW3: is changed in place.
    style: the style of the facade.
    light: the colour of the window at night; None by day.
    blind: how far a blind is down, from 0 to 4; only by day.
  """
  size = CELL_PX
  w, h = (round(share * size) for share in style.window)
  x, y = (size - w) // 2, (size - h) // 2
  shade = 1.0 if light is None else _NIGHT
  frame = np.array(style.frame) * shade
  if style.pattern == 'glass':
    cell_HW3[:3], cell_HW3[:, :3] = frame, frame
  else:
    cell_HW3[y - 4 : y + h + 4, x - 4 : x + w + 4] = frame
    cell_HW3[y + h + 2 : y + h + 7, x - 8 : x + w + 8] = frame * 0.85
  pane_HW3 = cell_HW3[y : y + h, x : x + w]
  if light is None:
    slope_H11 = np.linspace(1, 0, h)[:, None, None]
    pane_HW3[:] = np.array(_GLASS_LOW) + slope_H11 * np.subtract(
      _GLASS_HIGH, _GLASS_LOW
    )
    if blind and style.pattern != 'glass':
      pane_HW3[: h * blind // 9] = (205, 200, 188)
  else:
    pane_HW3[:] = light
  if style.pattern != 'glass':
    pane_HW3[:, w // 2 - 1 : w // 2 + 1] = frame
    pane_HW3[h * 2 // 5 : h * 2 // 5 + 2] = frame


def _panes(part_HW3, y0, y1, x0, x1, light, frame, parts) -> None:
  height = y1 - y0
  if light is None:
    slope_H11 = np.linspace(0.75, 0.1, height)[:, None, None]
    part_HW3[y0:y1, x0:x1] = np.array(_GLASS_LOW) + slope_H11 * np.subtract(
      _GLASS_HIGH, _GLASS_LOW
    )
  else:
    part_HW3[y0:y1, x0:x1] = light
  for x in np.linspace(x0, x1 - 3, parts + 1).astype(int):
    part_HW3[y0:y1, x : x + 3] = frame


def _shop(part_HW3, style, accent, light) -> None:
  height, width = part_HW3.shape[:2]
  frame = accent * 0.55
  part_HW3[: height // 9] = part_HW3[: height // 9] * 0.8
  part_HW3[height // 8 : height // 3, 6:-6] = accent
  letters = np.arange(0.24 * width, 0.76 * width, 9).astype(int)
  for i, x in enumerate(letters):  # Strokes that look like writing on a sign.
    top = height // 8 + 7 + 3 * (i * 5 % 3)
    part_HW3[top : height // 3 - 7, x : x + 5] = 240 if light is None else 250
  _panes(part_HW3, height // 3, height - 12, 10, width - 58, light, frame, 3)
  _panes(
    part_HW3, height // 3, height - 2, width - 48, width - 14, light, frame, 1
  )
  stripes = np.arange(width - 12) // 10 % 2 == 0
  band_HW3 = part_HW3[height // 3 : height // 3 + 10, 6:-6]
  band_HW3[:, stripes] = accent
  band_HW3[:, ~stripes] = 225 if light is None else 70


def _door(part_HW3, style, accent, light) -> None:
  width = part_HW3.shape[1]
  shade = 1.0 if light is None else _NIGHT
  frame = np.array(style.frame) * shade
  part_HW3[-14:] *= 0.7
  for x0 in (14, width - 62):
    part_HW3[28:92, x0 - 4 : x0 + 48] = frame
    _panes(part_HW3, 32, 88, x0, x0 + 44, light, frame, 2)
  x0 = width // 2 - 17
  part_HW3[24:, x0 - 5 : x0 + 39] = frame
  part_HW3[44:, x0 : x0 + 34] = accent
  _panes(part_HW3, 29, 40, x0, x0 + 34, light, frame, 1)


def _lobby(part_HW3, style, accent, light) -> None:
  height, width = part_HW3.shape[:2]
  shade = 1.0 if light is None else _NIGHT
  frame = np.array(style.frame) * 0.7 * shade
  part_HW3[:16] = np.array(style.frame) * shade
  part_HW3[16:24] = accent
  _panes(part_HW3, 26, height - 6, 6, width - 6, light, frame, 5)


def _gate(part_HW3, style, accent, light) -> None:
  width = part_HW3.shape[1]
  x0, x1 = 16, 118
  part_HW3[18:, x0 - 5 : x1 + 5] *= 0.5
  part_HW3[22:, x0:x1] = accent
  part_HW3[22::9, x0:x1] = accent * 0.75
  _panes(part_HW3, 24, 60, 132, width - 8, light, accent * 0.4, 3)


def sky(
  rng: np.random.Generator,
  zenith: RGB,
  horizon: RGB,
  cloud: RGB,
  cover: float,
  hills: RGB,
) -> np.ndarray:
  """Returns a panorama of the sky, uint8 [160, 640, 3], with the zenith on top.

  Args:
    rng: is consumed.
    zenith, horizon, cloud: the colours of the sky.
    cover: the share of the sky with clouds.
    hills: the colour of the hills at the horizon.
  """
  height, width = 160, 640
  down_H11 = (np.arange(height) / (height - 1))[:, None, None]
  slope_H13 = np.array(zenith) + down_H11**1.7 * np.subtract(horizon, zenith)
  picture_HW3 = np.repeat(slope_H13, width, axis=1)
  field_HW = noise(rng, height, width, -1.5)
  edge = np.quantile(field_HW, 1 - cover) if cover < 1 else field_HW.min()
  thick_HW1 = np.clip((field_HW - edge) / 0.9, 0, 1)[..., None]
  thick_HW1 = thick_HW1 * np.clip(1.15 - down_H11, 0, 0.92)
  picture_HW3 = picture_HW3 + thick_HW1 * (np.array(cloud) - picture_HW3)
  line_W = height - 8 - 5 * np.abs(noise(rng, 1, width, -1.0)[0])
  land_HW = np.arange(height)[:, None] > line_W
  picture_HW3[land_HW] = hills
  return _bytes(picture_HW3)


def blot(rgb: RGB, opaque: int, edge: float) -> np.ndarray:
  """Returns a colour that fades out towards the border, uint8 [32, 32, 4].

  Args:
    rgb: the colour.
    opaque: the alpha in the middle, up to 255.
    edge: the share of the radius that has the alpha of the middle.
  """
  y_P1, x_1P = np.mgrid[-1:1:32j, -1:1:32j]
  far = np.clip((np.hypot(x_1P**2, y_P1**2) ** 0.5 - edge) / (1 - edge), 0, 1)
  blot_HW4 = np.full((32, 32, 4), (*rgb, 0), np.uint8)
  blot_HW4[..., 3] = opaque * (1 - far) ** 1.5
  return blot_HW4


def paving(rng: np.random.Generator, rgb: RGB) -> np.ndarray:
  """Returns a pavement of four by four slabs, uint8."""
  slab_HW3 = speckled(rng, rgb, 128, -0.5, 5.0).astype(float)
  tone_44 = rng.uniform(0.92, 1.05, (4, 4))
  slab_HW3 *= np.kron(tone_44, np.ones((32, 32)))[..., None]
  slab_HW3[::32], slab_HW3[:, ::32] = 110, 110
  return _bytes(slab_HW3)


def tiles(rng: np.random.Generator, rgb: RGB) -> np.ndarray:
  """Returns rows of roof tiles, uint8."""
  roof_HW3 = speckled(rng, rgb, 128, -0.3, 9.0).astype(float)
  row_H = np.arange(128) % 16
  roof_HW3 *= (1 - 0.35 * (row_H < 3))[:, None, None]
  return _bytes(roof_HW3)
