"""The styles of homes: wallpapers, floors, fabrics, woods and pictures."""

from collections.abc import Mapping
import dataclasses

import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.homes import decor

# Wall paints, matt and light enough for a room.
_PAINTS = (
  (0.78, 0.82, 0.70),
  (0.70, 0.80, 0.87),
  (0.90, 0.84, 0.72),
  (0.86, 0.68, 0.57),
  (0.90, 0.80, 0.55),
  (0.88, 0.77, 0.75),
  (0.66, 0.74, 0.74),
  (0.87, 0.87, 0.84),
  (0.74, 0.69, 0.80),
)
_GRAINS = (
  ('libero', 'gray_plaster'),
  ('libero', 'smooth_light_gray_plaster'),
  ('miniworld', 'stucco_1'),
  ('libero', 'yellow_linen_wall_texture'),
)
# Source, name, length of one repeat in metres, mean colour.
_BOARDS = (
  ('libero', 'seamless_wood_planks_floor', 1.6, (0.85, 0.72, 0.55)),
  ('libero', 'light_floor', 1.8, (0.92, 0.88, 0.82)),
  ('libero', 'dapper_gray_floor', 1.4, (0.8, 0.73, 0.65)),
  ('libero', 'rustic_floor', 1.4, (0.74, 0.64, 0.53)),
  ('libero', 'light_floor', 1.8, (0.62, 0.42, 0.27)),
  ('libero', 'dapper_gray_floor', 1.4, (0.62, 0.46, 0.34)),
)
_TILES = (
  ('libero', 'brown_ceramic_tile', 1.2, (0.72, 0.6, 0.5)),
  ('libero', 'marble_floor', 1.4, (0.9, 0.87, 0.82)),
  ('miniworld', 'floor_tiles_bw_1', 1.4, (0.5, 0.5, 0.48)),
  ('libero', 'gray_ceramic_tile', 1.2, (0.72, 0.7, 0.68)),
  ('libero', 'light-gray-floor-tile', 1.2, (0.78, 0.77, 0.75)),
)
_CLOTHS = (
  (0.22, 0.33, 0.45),
  (0.55, 0.55, 0.53),
  (0.36, 0.43, 0.30),
  (0.62, 0.50, 0.36),
  (0.50, 0.22, 0.20),
  (0.20, 0.42, 0.42),
)
_BRIGHT = (
  (0.80, 0.55, 0.15),
  (0.70, 0.28, 0.20),
  (0.25, 0.45, 0.60),
  (0.45, 0.55, 0.25),
  (0.55, 0.35, 0.50),
)
_WOODS = (
  ('wood_1', (0.60, 0.42, 0.25)),
  ('wood_2', (0.76, 0.60, 0.38)),
  ('wood_1', (0.40, 0.26, 0.16)),
  ('wood_2', (0.85, 0.74, 0.58)),
)
_FRONTS = (
  (0.90, 0.89, 0.86),
  (0.38, 0.48, 0.46),
  (0.33, 0.38, 0.46),
  (0.80, 0.74, 0.62),
)
_WAINSCOT_M, _SKIRTING_M = 0.9, 0.1


@dataclasses.dataclass(frozen=True)
class Finish:
  """A material.

  Attributes:
    picture_HW3: its texture, in [0, 1].
    tile_m: the length of one repeat of the texture; 1 if it is shown once.
    shine: its specular and shininess in MuJoCo.
    emission: its emission in MuJoCo.
  """

  picture_HW3: np.ndarray
  tile_m: float = 1.0
  shine: float = 0.05
  emission: float = 0.0


@dataclasses.dataclass(frozen=True)
class Style:
  """The style of one home.

  Attributes:
    finishes: the materials of furniture and trim, by name.
    boards, tiles: the floors of rooms, by the index of the room.
    paints, grains, patterns: the walls of rooms, by the index of the room.
  """

  finishes: Mapping[str, Finish]
  boards: tuple
  tiles: tuple
  paints: tuple
  grains: tuple
  patterns: tuple

  def floor(self, kind: str, room: int, points_HW3: np.ndarray) -> np.ndarray:
    """Returns the colours [H, W, 3] of a floor without light."""
    chosen = self.tiles if kind in ('kitchen', 'bath') else self.boards
    source, name, tile_m, color = chosen[room % len(chosen)]
    picture = decor.texture(source, name, 384)
    picture = decor.tinted(picture, color, 1.0)
    return _tiled(picture, points_HW3[..., 0], points_HW3[..., 1], tile_m)

  def wall(self, kind: str, room: int, side: int, across, up) -> np.ndarray:
    """Returns the colours [H, W, 3] of a wall without light.

    Args:
      kind: the kind of the room.
      room: its index.
      side: the side of the wall; see model.
      across, up: the positions [H, W] of the texels in metres.
    """
    grain = decor.texture(*self.grains[room], 256)
    paint = np.array(self.paints[room])
    pattern = self.patterns[room]
    if side == pattern[1]:
      paint = paint * (0.72, 0.78, 0.84)
    painted = _tiled(decor.tinted(grain, paint, 0.5), across, up, 1.3)
    if pattern[0] == 'stripes':
      dark = (across / 0.34) % 1 < 0.5
      painted = np.where(dark[..., None], painted * 0.88, painted)
    elif pattern[0] == 'brick' and side == pattern[1]:
      brick = decor.texture('miniworld', 'brick_wall_1', 512)
      painted = _tiled(np.clip(brick * 1.3, 0, 1), across, up, 1.8)
    if kind == 'bath':
      tile = decor.texture('miniworld', 'floor_tiles_white')
      tile = _tiled(tile * (0.92, 0.96, 0.97), across, up, 1.0)
      painted = np.where((up < 1.5)[..., None], tile, painted)
    elif pattern[0] == 'panels':
      painted = np.where((up < _WAINSCOT_M)[..., None], 0.9, painted)
      groove = (np.abs((across / 0.5) % 1 - 0.5) > 0.48) & (up < _WAINSCOT_M)
      groove |= np.abs(up - _WAINSCOT_M) < 0.02
      painted = np.where(groove[..., None], 0.74, painted)
    painted = np.where((up < _SKIRTING_M)[..., None], 0.92, painted)
    line = np.abs(up - _SKIRTING_M) < 0.012
    return np.where(line[..., None], 0.66, painted)


def draw(seed: int) -> Style:
  """Draws the style of a home."""
  rng = np.random.default_rng([seed, 3])
  shuffled = {
    name: tuple(pool[i] for i in rng.permutation(len(pool)))
    for name, pool in _POOLS.items()
  }
  kinds = ['plain', 'stripes', 'brick', 'panels', 'plain']
  patterns = [(k, int(rng.integers(4))) for k in rng.permutation(kinds)]
  return Style(
    _finishes(rng),
    shuffled['boards'],
    shuffled['tiles'],
    shuffled['paints'],
    tuple(_GRAINS[i] for i in rng.integers(0, len(_GRAINS), 5)),
    tuple(patterns),
  )


_POOLS = {'boards': _BOARDS, 'tiles': _TILES, 'paints': _PAINTS}


def _tiled(picture_HW3, across, up, tile_m: float) -> np.ndarray:
  high, wide = picture_HW3.shape[:2]
  row = ((1 - (up / tile_m) % 1) * high).astype(int) % high
  column = ((across / tile_m) % 1 * wide).astype(int) % wide
  return picture_HW3[row, column]


def _pick(rng, pool):
  return pool[rng.integers(len(pool))]


def _wood(rng, pool=_WOODS) -> Finish:
  name, color = _pick(rng, pool)
  grain = decor.texture('miniworld', name)
  return Finish(decor.tinted(grain, color), 0.8, 0.25)


def _finishes(rng) -> dict[str, Finish]:
  return _plain() | _wooden(rng) | _woven(rng) | _pictures(rng)


def _plain() -> dict[str, Finish]:
  colors = {
    'black': (0.06, 0.06, 0.065),
    'white': (0.93, 0.93, 0.92),
    'trim': (0.94, 0.93, 0.9),
    'metal': (0.68, 0.69, 0.7),
    'dark_metal': (0.24, 0.25, 0.27),
    'porcelain': (0.95, 0.95, 0.94),
    'paper': (0.88, 0.85, 0.78),
    'leaf': (0.22, 0.42, 0.16),
    'water': (0.62, 0.8, 0.86),
    'dark_wood': (0.18, 0.12, 0.08),
    'pot': (0.55, 0.13, 0.1),
  }
  shiny = {'metal': 0.6, 'dark_metal': 0.5, 'porcelain': 0.6, 'black': 0.3}
  finishes = {
    name: Finish(decor.plain(color), 1.0, shiny.get(name, 0.05))
    for name, color in colors.items()
  }
  lamp = Finish(decor.plain((1.0, 0.93, 0.76)), emission=0.75)
  mirror = np.linspace(0.62, 0.85, 64)[:, None, None] * (0.94, 1.0, 1.02)
  mirror = Finish(np.repeat(np.clip(mirror, 0, 1), 8, axis=1), 1.0, 0.8)
  return finishes | {'lampshade': lamp, 'mirror': mirror}


def _wooden(rng) -> dict[str, Finish]:
  front, steel = _pick(rng, _FRONTS), rng.random() < 0.5
  fridge = (0.7, 0.71, 0.72) if steel else (0.92, 0.92, 0.9)
  stone = decor.texture('libero', 'white_marble_floor')
  counter = decor.tinted(stone, (0.3, 0.3, 0.32) if steel else (0.9, 0.9, 0.88))
  if rng.random() < 0.4:
    counter = _wood(rng).picture_HW3
  return {
    'wood': _wood(rng),
    'table': _wood(rng),
    'chair': _wood(rng),
    'frame': _wood(rng),
    'front': Finish(decor.plain(front), 1.0, 0.15),
    'fridge': Finish(decor.plain(fridge), 1.0, 0.4),
    'counter': Finish(counter, 0.9, 0.4),
    'backsplash': Finish(decor.backsplash(rng), 1.0, 0.4),
  }


def _woven(rng) -> dict[str, Finish]:
  cloths = [_CLOTHS[i] for i in rng.permutation(len(_CLOTHS))]
  bright = [_BRIGHT[i] for i in rng.permutation(len(_BRIGHT))]
  colors = {
    'upholstery': cloths[0],
    'seat': cloths[1],
    'headboard': cloths[2],
    'blanket': cloths[3],
    'accent': bright[0],
    'pillow': bright[1],
    'bedding': (0.93, 0.92, 0.89),
    'curtain': np.add(bright[2], 1.2) / 2.2,
    'flower': np.add(bright[3], (0.3, 0.1, 0.1)),
    'fruit': (0.85, 0.35, 0.12),
    'book0': bright[0],
    'book1': cloths[0],
    'book2': bright[2],
  }
  finishes = {
    name: Finish(decor.fabric(color, rng), 0.4)
    for name, color in colors.items()
  }
  rug = decor.rug(((0.85, 0.8, 0.7), cloths[3], bright[0]), rng)
  return finishes | {'rug': Finish(rug)}


def _pictures(rng) -> dict[str, Finish]:
  portraits = assets.folder('miniworld') / 'textures' / 'portraits'
  names = sorted(portraits.glob('*.png'))
  chosen = rng.permutation(len(names))[:4]
  finishes = {
    f'picture{k}': Finish(decor.picture(names[i], (192, 224)))
    for k, i in enumerate(chosen)
  }
  libero = assets.folder('libero') / 'scenes'
  marble = libero / 'short_coffee_table' / 'Marble062_COL_4K.png'
  chair = assets.folder('miniworld') / 'meshes' / 'office_chair.png'
  plant = libero / 'plant' / 'plant_texture.png'
  screen = np.array(decor.plain((0.03, 0.035, 0.045), 64))
  screen += np.linspace(0.1, 0, 64)[:, None, None]
  return finishes | {
    'marble': Finish(decor.picture(marble, (256, 256)), 1.0, 0.5),
    'office_chair': Finish(decor.picture(chair, (256, 256))),
    'plant': Finish(decor.picture(plant, (512, 512))),
    'spines': Finish(decor.spines(rng)),
    'desktop': Finish(decor.desktop(rng), emission=0.5),
    'screen': Finish(screen, 1.0, 0.6),
  }
