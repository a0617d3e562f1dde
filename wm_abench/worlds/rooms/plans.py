"""The rooms of the two environments of props on a surface, as data."""

from collections.abc import Mapping
import dataclasses

import numpy as np

from wm_abench.worlds.homes import decor
from wm_abench.worlds.rooms import shells
from wm_abench.worlds.rooms.shells import Window

Color = tuple[float, float, float]
S, E, N, W = range(4)


@dataclasses.dataclass(frozen=True)
class Plan:
  """A room and everything in it.

  Attributes:
    seed: of the style and of the variations of furniture.
    kind: of the room, as homes/styles.py names it.
    shell: the walls and windows.
    surface: a key of furniture.SURFACES.
    surface_half_m: half the width of the surface that props stand on.
    top_m: height of the surface above the floor.
    top: (source, name of a texture, mean colour, fraction of the texture's
      contrast, metres of one repeat) of the surface.
    floor: (source, name of a texture, metres of one repeat, mean colour).
    paint: colour of the walls.
    pattern: (name, side) of the wall that has a pattern; the side 9 is none.
    front: colour of the doors of cupboards.
    cloths: colours of fabrics, by finish.
    lamp_m: position relative to the surface of the lamp that casts shadows.
    at_walls: (kind, side, metres along the wall) of furniture at a wall, with
      the distance from the wall in metres if that is not 0.
    standing: (kind, x, y, yaw in degrees) of other furniture. A piece faces +y
      at a yaw of 0.
    gloss: specular and shininess of the surface.
  """

  seed: int
  kind: str
  shell: shells.Shell
  surface: str
  surface_half_m: float
  top_m: float
  top: tuple[str, str, Color, float, float]
  floor: tuple[str, str, float, Color]
  paint: Color
  pattern: tuple[str, int]
  front: Color
  cloths: Mapping[str, Color]
  lamp_m: tuple[float, float, float]
  at_walls: tuple[tuple, ...]
  standing: tuple[tuple[str, float, float, float], ...] = ()
  gloss: float = 0.05


def top(plan: Plan) -> np.ndarray:
  """Returns the texture [H, W, 3] of the surface that props stand on."""
  if plan.surface == 'rug':
    return _rug(plan)
  source, name, color, contrast, tile_m = plan.top
  tile = decor.tinted(decor.texture(source, name, 384), color, contrast)
  n = int(np.ceil(2 * plan.surface_half_m / tile_m))
  size = int(384 * 2 * plan.surface_half_m / tile_m)
  return np.tile(tile, (n, n, 1))[:size, :size]


def _rug(plan: Plan) -> np.ndarray:
  """Returns the texture of a plain rug with a border of two stripes."""
  rng = np.random.default_rng([plan.seed, 4])
  n = 640
  v, u = np.mgrid[0:n, 0:n] / n
  edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
  _, _, color, contrast, _ = plan.top
  field = np.broadcast_to(color, (n, n, 3))
  border_color = np.multiply(color, 0.62)
  border = (edge < 0.05) | ((edge > 0.07) & (edge < 0.08))
  woven = np.where(border[..., None], border_color, field)
  weave = rng.normal(0, 1, (n, n)) + 0.7 * rng.normal(0, 1, (n, 1))
  weave += decor.smooth(rng, n, n, 30)
  return np.clip(woven * (1 + 0.1 * contrast * weave[..., None]), 0, 1)


def _lamp(height_m: float) -> tuple[float, float, float]:
  # Not straight above the surface, where shadow maps leave specks.
  return (0.68 * height_m, -0.55 * height_m, 0.8 * height_m)


PLANS: dict[str, Plan] = {
  'living_room': Plan(
    seed=21,
    kind='living',
    shell=shells.Shell(
      (3.3, 3.3),
      2.7,
      (Window(N, -1.5, 1.5, 0.3), Window(N, 1.5, 1.5, 0.3),
       Window(W, 0.0, 2.2, 0.05)),
      (0.75, -0.2, -0.6),
    ),
    surface='rug',
    surface_half_m=1.2,
    top_m=0.012,
    top=('', '', (0.70, 0.68, 0.63), 0.5, 1.0),
    floor=('libero', 'seamless_wood_planks_floor', 1.6, (0.66, 0.47, 0.31)),
    paint=(0.80, 0.84, 0.78),
    pattern=('panels', E),
    front=(0.86, 0.85, 0.82),
    cloths={'upholstery': (0.30, 0.42, 0.50), 'accent': (0.80, 0.58, 0.25)},
    lamp_m=_lamp(3.6),
    at_walls=(
      ('television', N, 0.0), ('sofa', S, 0.0), ('bookcase', E, 1.0),
      ('bookcase', E, -0.35), ('picture', S, -0.6), ('picture', S, 0.6),
      ('floor_lamp', S, 1.5), ('side_table', S, -1.5), ('door', E, -1.9),
      ('picture', W, 2.2), ('clock', W, -2.2),
    ),
    standing=(
      ('armchair', -2.3, -2.3, -45), ('plant', 2.55, 2.55, 135),
      ('plant', -2.9, 2.75, 225), ('armchair', 2.35, -2.2, 45),
      ('pouf', -1.75, 1.75, 225),
    ),
  ),
  'study': Plan(
    seed=22,
    kind='study',
    shell=shells.Shell(
      (3.3, 3.3),
      2.7,
      (Window(E, -1.2, 1.4, 0.6), Window(E, 1.2, 1.4, 0.6),
       Window(S, 1.9, 1.2, 0.6)),
      (-0.75, 0.3, -0.6),
    ),
    surface='table',
    surface_half_m=1.08,
    top_m=0.42,
    top=('libero', 'table_light_wood', (0.66, 0.54, 0.40), 0.7, 2.2),
    floor=('libero', 'dapper_gray_floor', 1.4, (0.50, 0.38, 0.29)),
    paint=(0.50, 0.60, 0.66),
    pattern=('plain', 9),
    front=(0.62, 0.52, 0.40),
    cloths={'upholstery': (0.48, 0.26, 0.20), 'accent': (0.55, 0.42, 0.28)},
    lamp_m=_lamp(3.4),
    at_walls=(
      ('bookcase', N, -2.1), ('bookcase', N, -0.75), ('bookcase', N, 0.65),
      ('bookcase', N, 2.0), ('desk', W, 0.0), ('sofa', S, 0.0),
      ('dresser', E, 0.0), ('picture', W, 1.6), ('picture', W, -1.6),
      ('picture', S, 0.3), ('clock', S, -0.6), ('floor_lamp', S, -1.6),
      ('door', S, -2.4),
    ),
    standing=(
      ('armchair', -2.35, -2.2, -45), ('plant', 2.5, -2.5, 45),
      ('plant', -2.6, 2.5, 225), ('armchair', 2.3, 2.25, 135),
    ),
    gloss=0.15,
  ),
  'kitchen': Plan(
    seed=23,
    kind='kitchen',
    shell=shells.Shell(
      (3.4, 3.4),
      2.7,
      (Window(W, -1.0, 1.5, 0.5), Window(W, 1.2, 1.5, 0.5),
       Window(S, 0.8, 2.0, 0.3)),
      (0.7, 0.25, -0.65),
    ),
    surface='island',
    surface_half_m=1.08,
    top_m=0.9,
    top=('libero', 'white_marble_floor', (0.66, 0.65, 0.63), 0.9, 2.2),
    floor=('libero', 'brown_ceramic_tile', 1.2, (0.62, 0.50, 0.40)),
    paint=(0.88, 0.84, 0.74),
    pattern=('plain', 9),
    front=(0.36, 0.47, 0.45),
    cloths={'seat': (0.55, 0.52, 0.45), 'accent': (0.75, 0.4, 0.25)},
    lamp_m=_lamp(3.3),
    at_walls=(
      ('kitchen', N, 0.0), ('washer', N, 2.1), ('sideboard', E, 0.0),
      ('picture', E, -0.5), ('picture', E, 0.6), ('clock', E, 1.6),
      ('door', E, -2.0), ('plant', W, 0.1), ('bench', S, 0.8),
      ('picture', S, -1.4), ('low_shelf', S, -1.4), ('plant', N, -2.2),
    ),
    standing=(
      ('stool', -1.45, 0.6, -90), ('stool', -1.45, -0.6, -90),
      ('stool', 1.45, 0.6, 90), ('stool', 1.45, -0.6, 90),
      ('plant', -2.9, -2.9, -45),
    ),
    gloss=0.3,
  ),
  'loft': Plan(
    seed=24,
    kind='living',
    shell=shells.Shell(
      (3.5, 3.5),
      3.0,
      (Window(N, 0.0, 4.4, 0.25, 2.5, False),
       Window(E, 1.4, 1.8, 0.25, 2.5, False)),
      (-0.3, -0.8, -0.6),
    ),
    surface='rug',
    surface_half_m=1.25,
    top_m=0.012,
    top=('', '', (0.52, 0.54, 0.57), 0.6, 1.0),
    floor=('miniworld', 'concrete_2', 2.0, (0.60, 0.59, 0.57)),
    paint=(0.82, 0.78, 0.72),
    pattern=('brick', W),
    front=(0.30, 0.31, 0.33),
    cloths={'upholstery': (0.45, 0.33, 0.24), 'accent': (0.25, 0.42, 0.42)},
    lamp_m=_lamp(3.7),
    at_walls=(
      ('sofa', W, 0.0), ('floor_lamp', W, -1.55), ('side_table', W, 1.5),
      ('low_shelf', N, -1.2), ('low_shelf', N, 1.2), ('desk', E, -0.9),
      ('bookcase', S, -1.7), ('television', S, 0.3), ('wardrobe', S, 2.3),
      ('picture', W, 1.9), ('picture', E, -2.2), ('picture', E, -0.2),
    ),
    standing=(
      ('plant', -2.85, 2.85, 225), ('plant', 2.8, 2.8, 135),
      ('armchair', -2.4, -2.35, -45), ('pouf', 1.8, 1.9, 135),
      ('armchair', 2.5, -2.3, 45),
    ),
  ),
  'dining': Plan(
    seed=31,
    kind='living',
    shell=shells.Shell(
      (2.4, 2.4),
      2.6,
      (Window(N, 0.7, 1.6, 0.6), Window(W, -0.4, 1.4, 0.6)),
      (0.6, -0.5, -0.6),
    ),
    surface='table',
    surface_half_m=0.45,
    top_m=0.75,
    top=('libero', 'martin_novak_wood_table', (0.58, 0.41, 0.27), 0.7, 1.1),
    floor=('libero', 'rustic_floor', 1.4, (0.72, 0.60, 0.48)),
    paint=(0.86, 0.80, 0.70),
    pattern=('panels', S),
    front=(0.88, 0.86, 0.82),
    cloths={'seat': (0.42, 0.46, 0.40), 'accent': (0.62, 0.36, 0.26)},
    lamp_m=_lamp(1.7),
    at_walls=(
      ('sideboard', S, 0.2), ('picture', S, 0.2), ('bookcase', E, 0.9),
      ('door', E, -0.9), ('plant', N, -0.75), ('picture', N, -0.9),
      ('picture', W, 1.0), ('low_shelf', W, -0.4), ('dresser', E, 2.0),
    ),
    standing=(
      ('chair', 0.0, -1.02, 0), ('chair', 0.0, 1.02, 180),
      ('chair', -1.02, 0.0, -90), ('chair', 1.02, 0.0, 90),
      ('plant', -2.0, -2.0, -45), ('floor_lamp', 2.0, 2.0, 135),
      ('plant', -2.0, 2.0, 225),
    ),
    gloss=0.2,
  ),
  'lounge': Plan(
    seed=32,
    kind='living',
    shell=shells.Shell(
      (2.5, 2.5),
      2.6,
      (Window(E, 0.0, 2.2, 0.25),),
      (-0.8, 0.1, -0.5),
    ),
    surface='table',
    surface_half_m=0.44,
    top_m=0.45,
    top=('libero', 'marble_floor', (0.66, 0.63, 0.59), 0.9, 1.2),
    floor=('libero', 'light_floor', 1.8, (0.62, 0.42, 0.27)),
    paint=(0.72, 0.77, 0.82),
    pattern=('stripes', 9),
    front=(0.84, 0.80, 0.72),
    cloths={'upholstery': (0.60, 0.56, 0.50), 'accent': (0.30, 0.44, 0.36)},
    lamp_m=_lamp(1.9),
    at_walls=(
      ('sofa', N, 0.0, 0.55), ('television', S, 0.0), ('bookcase', W, -0.7),
      ('bookcase', W, 0.75), ('picture', N, -0.6), ('picture', N, 0.6),
      ('picture', S, -1.5), ('clock', S, 1.5),
    ),
    standing=(
      ('armchair', -2.1, 1.9, 225), ('armchair', 2.1, 1.9, 135),
      ('plant', 2.1, -2.1, 45), ('floor_lamp', -2.15, -2.15, -45),
      ('pouf', 1.3, -1.3, 45),
    ),
    gloss=0.4,
  ),
  'office': Plan(
    seed=33,
    kind='study',
    shell=shells.Shell(
      (2.5, 2.5),
      2.6,
      (Window(W, 0.0, 2.8, 0.7, 2.2, False),),
      (0.8, 0.2, -0.5),
    ),
    surface='table',
    surface_half_m=0.46,
    top_m=0.74,
    top=('robosuite', 'gray-woodgrain', (0.62, 0.61, 0.59), 0.4, 1.2),
    floor=('robosuite', 'gray-felt', 1.0, (0.40, 0.43, 0.47)),
    paint=(0.88, 0.88, 0.86),
    pattern=('plain', N),
    front=(0.78, 0.79, 0.80),
    cloths={'upholstery': (0.25, 0.38, 0.48), 'accent': (0.75, 0.50, 0.20)},
    lamp_m=_lamp(1.7),
    at_walls=(
      ('desk', N, 0.0), ('bookcase', N, 1.7), ('bookcase', N, -1.7),
      ('desk', S, 0.5), ('wardrobe', E, 0.9), ('door', E, -1.1),
      ('clock', E, -0.3), ('picture', S, -0.8), ('picture', S, 1.6),
      ('low_shelf', W, 0.0), ('picture', N, 0.9), ('plant', S, -1.2),
    ),
    standing=(
      ('plant', -2.15, 2.1, 225), ('plant', 2.1, -2.1, 45),
    ),
    gloss=0.15,
  ),
  'sunroom': Plan(
    seed=34,
    kind='living',
    shell=shells.Shell(
      (2.4, 2.4),
      2.6,
      (Window(N, 0.0, 3.6, 0.3, 2.3, False), Window(E, 0.0, 3.0, 0.3),
       Window(W, 0.7, 1.8, 0.3)),
      (-0.5, -0.6, -0.6),
    ),
    surface='table',
    surface_half_m=0.43,
    top_m=0.72,
    top=('libero', 'ceramic', (0.64, 0.62, 0.56), 1.0, 0.9),
    floor=('libero', 'gray_ceramic_tile', 1.2, (0.70, 0.62, 0.52)),
    paint=(0.90, 0.86, 0.74),
    pattern=('brick', S),
    front=(0.55, 0.62, 0.50),
    cloths={'seat': (0.80, 0.76, 0.66), 'accent': (0.70, 0.45, 0.30),
            'upholstery': (0.78, 0.72, 0.58)},
    lamp_m=_lamp(1.7),
    at_walls=(
      ('bench', S, 0.6), ('low_shelf', S, -1.2), ('picture', S, 0.6),
      ('pot_plant', N, -1.2), ('pot_plant', N, 0.0), ('pot_plant', N, 1.2),
      ('plant', W, -0.8), ('pot_plant', E, 1.0), ('bench', E, -0.1),
    ),
    standing=(
      ('chair', 0.0, -1.02, 0), ('chair', 0.0, 1.02, 180),
      ('chair', -1.02, 0.0, -90), ('chair', 1.02, 0.0, 90),
      ('plant', -1.95, 1.95, 225), ('plant', 1.95, 1.95, 135),
      ('plant', -1.95, -1.95, -45), ('plant', 1.95, -1.95, 45),
    ),
    gloss=0.25,
  ),
}  # fmt: skip
