"""Textures of homes: wallpapers, floors, fabrics and pictures.

All are float arrays [H, W, 3] in [0, 1]. `texture` reads one from the assets;
the others are procedural.
"""

from collections.abc import Sequence
import functools

import numpy as np
from PIL import Image, ImageFilter

from wm_abench.worlds import assets

Color = tuple[float, float, float]


@functools.cache
def texture(source: str, name: str, size_px: int = 256) -> np.ndarray:
  """Returns a square texture from the assets of a source."""
  path = assets.folder(source) / 'textures' / f'{name}.png'
  return picture(path, (size_px, size_px))


def picture(path, size_px: tuple[int, int]) -> np.ndarray:
  """Returns the picture of a file, resized to a width and height."""
  with Image.open(path) as image:
    small = image.convert('RGB').resize(size_px, Image.Resampling.LANCZOS)
  return np.asarray(small) / 255.0


def tinted(
  grain_HW3: np.ndarray, color: Color, contrast: float = 1.0
) -> np.ndarray:
  """Returns the grain of a picture, with `color` as the mean colour."""
  grain_HW1 = grain_HW3.mean(axis=-1, keepdims=True)
  grain_HW1 = 1 + contrast * (grain_HW1 / grain_HW1.mean() - 1)
  return np.clip(grain_HW1 * np.array(color), 0, 1)


def plain(color: Color, size_px: int = 8) -> np.ndarray:
  return np.tile(np.array(color, float), (size_px, size_px, 1))


def fabric(color: Color, rng: np.random.Generator) -> np.ndarray:
  """Returns a woven cloth with small irregularities."""
  n = 128
  fine = rng.normal(0, 0.05, (n, n)) + rng.normal(0, 0.04, (n, 1))
  fine += rng.normal(0, 0.04, (1, n)) + 0.05 * smooth(rng, n, n, 20)
  return np.clip(np.array(color) * (1 + fine[..., None]), 0, 1)


def rug(colors: Sequence[Color], rng: np.random.Generator) -> np.ndarray:
  """Returns a rug with borders around a field of lozenges or stripes."""
  n = 256
  v, u = np.mgrid[0:n, 0:n] / n
  edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
  a, b, c = map(np.array, colors)
  if rng.random() < 0.5:
    inner = (np.abs((u * 5) % 1 - 0.5) + np.abs((v * 4) % 1 - 0.5)) < 0.3
  else:
    inner = (v * 9 + 0.15 * np.sin(u * 30)) % 1 < 0.35
  field = np.where(inner[..., None], b, a)
  field = np.where((edge < 0.1)[..., None], c, field)
  field = np.where(((edge > 0.04) & (edge < 0.06))[..., None], a, field)
  grain = 1 + rng.normal(0, 0.06, (n, n, 1))
  return np.clip(field * grain, 0, 1)


def spines(rng: np.random.Generator) -> np.ndarray:
  """Returns the backs of a row of books that is 1.5 m long."""
  high, wide = 64, 512
  shelf_HW3 = np.full((high, wide, 3), 0.05)
  x = 0
  while x < wide:
    thick = int(rng.integers(7, 16))
    top = int(rng.integers(0, 16))
    hue = rng.uniform(0.05, 0.8, 3) * rng.uniform(0.5, 1.0)
    round_ = 1 - 0.35 * np.abs(np.linspace(-1, 1, thick)) ** 3
    book = hue * round_[None, :, None]
    book = np.repeat(book, high - top, axis=0)
    band = int(rng.integers(4, 30))
    book[band : band + 5, 1:-1] = rng.uniform(0.5, 0.95)
    shelf_HW3[top:, x : x + thick] = book[:, : wide - x]
    x += thick
  return shelf_HW3


def desktop(rng: np.random.Generator) -> np.ndarray:
  """Returns a computer screen with a window of text."""
  v, u = np.mgrid[0:96, 0:160]
  back = np.stack([0.1 + v / 400, 0.25 + u / 500, 0.5 + v / 300], -1)
  back[12:84, 30:130] = 0.93
  back[12:18, 30:130] = 0.3
  for row in range(24, 80, 5):
    back[row : row + 2, 36 : 36 + int(rng.integers(30, 88))] = 0.25
  return back


def backsplash(rng: np.random.Generator) -> np.ndarray:
  """Returns small glazed tiles in a brick bond."""
  high, wide = 64, 128
  v, u = np.mgrid[0:high, 0:wide]
  row = v // 16
  column = (u + 16 * (row % 2)) // 32 % 4
  shade = rng.uniform(0.86, 1.0, (4, 4))[row, column]
  joint = (v % 16 == 0) | ((u + 16 * (row % 2)) % 32 == 0)
  color = np.array([0.93, 0.95, 0.93]) * shade[..., None]
  return np.where(joint[..., None], 0.62, color)


def panorama(rng: np.random.Generator, evening: bool) -> np.ndarray:
  """Returns the surroundings of a home: sky, clouds, trees and houses."""
  high, wide = 192, 2048
  up = np.linspace(1, 0, high)[:, None, None]
  zenith, horizon = np.array([0.36, 0.58, 0.9]), np.array([0.85, 0.92, 0.98])
  if evening:
    zenith, horizon = np.array([0.08, 0.1, 0.22]), np.array([0.62, 0.4, 0.32])
  sky = np.repeat(horizon + (zenith - horizon) * up**0.7, wide, axis=1)
  cloud = np.clip(smooth(rng, high, wide, 24) * 0.7, 0, 0.9)[..., None]
  sky += cloud * ((0.35, 0.28, 0.3) - sky if evening else 0.97 - sky)
  height = np.arange(high)[::-1, None]
  for level, color in ((70, (0.42, 0.52, 0.5)), (58, (0.3, 0.42, 0.24))):
    line = level + 9 * smooth(rng, 1, wide, 40) + 4 * smooth(rng, 1, wide, 6)
    leaf = 1 + 0.22 * smooth(rng, high, wide, 3)[..., None]
    tone = np.array(color) * leaf * (0.3 if evening else 1.0)
    sky = np.where((height < line)[..., None], tone, sky)
  for x in rng.integers(0, wide - 120, 9):
    _house(sky, int(x), rng, evening)
  grass = np.array([0.35, 0.5, 0.22]) * (0.3 if evening else 1.0)
  grain = 1 + 0.1 * smooth(rng, high, wide, 3)[..., None]
  return np.clip(np.where((height < 34)[..., None], grass * grain, sky), 0, 1)


def _house(sky_HW3, x: int, rng, evening: bool) -> None:
  """Paints one house with a roof and windows into the picture."""
  w, h = int(rng.integers(50, 110)), int(rng.integers(26, 44))
  base = sky_HW3.shape[0] - 30
  dim = 0.35 if evening else 1.0
  wall = np.array([0.85, 0.78, 0.68]) * rng.uniform(0.75, 1.1) * dim
  roof = np.array([0.5, 0.25, 0.18]) * rng.uniform(0.7, 1.2) * dim
  sky_HW3[base - h : base, x : x + w] = wall
  for k in range(22):
    inset = int(k * 0.9) - 4
    left, right = max(x + inset, 0), x + w - inset
    sky_HW3[base - h - k, left:right] = roof
  glass = (1.0, 0.8, 0.4) if evening else (0.25, 0.3, 0.38)
  for a in range(x + 8, x + w - 14, 20):
    sky_HW3[base - h + 8 : base - h + 20, a : a + 9] = glass


def smooth(rng, high: int, wide: int, size_px: int) -> np.ndarray:
  """Returns periodic smooth noise [H, W] with mean 0 and deviation 1."""
  spectrum = np.fft.fft2(rng.normal(0, 1, (high, wide)))
  v, u = np.fft.fftfreq(high)[:, None], np.fft.fftfreq(wide)
  spectrum *= np.exp(-2 * (np.pi * size_px / 2) ** 2 * (u**2 + v**2))
  lumps = np.fft.ifft2(spectrum).real
  return (lumps - lumps.mean()) / (lumps.std() + 1e-9)


def blurred(values_HW: np.ndarray, radius_px: float) -> np.ndarray:
  """Returns values in [0, 1] after a Gaussian blur."""
  image = Image.fromarray((values_HW * 255).astype(np.uint8))
  return np.asarray(image.filter(ImageFilter.GaussianBlur(radius_px))) / 255.0
