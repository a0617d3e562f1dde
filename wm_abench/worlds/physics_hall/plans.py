"""The halls of the physics environment, as data.

The cameras are at the south wall, and furniture is along the other three.
"""

from wm_abench.worlds.rooms import plans, shells
from wm_abench.worlds.rooms.plans import E, N, S, W
from wm_abench.worlds.rooms.shells import Window

_LAMP_M = (0.9, -1.2, 3.4)


PLANS: dict[str, plans.Plan] = {
  'playroom': plans.Plan(
    seed=51,
    kind='living',
    shell=shells.Shell(
      (3.4, 3.4),
      2.8,
      (Window(N, 1.2, 1.5, 0.6), Window(W, 0.6, 1.6, 0.5)),
      (0.7, -0.45, -0.6),
    ),
    surface='rug',
    surface_half_m=1.75,
    top_m=0.012,
    top=('', '', (0.72, 0.66, 0.55), 0.6, 1.0),
    floor=('libero', 'seamless_wood_planks_floor', 1.6, (0.66, 0.47, 0.31)),
    paint=(0.84, 0.80, 0.66),
    pattern=('stripes', N),
    front=(0.86, 0.85, 0.82),
    cloths={'upholstery': (0.28, 0.44, 0.52), 'accent': (0.80, 0.50, 0.25)},
    lamp_m=_LAMP_M,
    at_walls=(
      ('bookcase', N, -1.5),
      ('low_shelf', N, 0.0),
      ('picture', N, 0.0),
      ('sofa', E, 0.3),
      ('picture', E, 0.9),
      ('low_shelf', W, 1.9),
      ('sideboard', W, -0.9),
      ('picture', W, -0.9),
    ),
    standing=(
      ('plant', 2.8, 2.8, 135.0),
      ('pouf', 2.1, 2.3, 160.0),
      ('armchair', -2.5, 2.6, 225.0),
    ),
  ),
  'workshop': plans.Plan(
    seed=52,
    kind='study',
    shell=shells.Shell(
      (3.4, 3.4),
      3.0,
      (Window(N, 0.0, 2.6, 0.9, 2.4, False), Window(E, 0.8, 1.6, 0.9, 2.4)),
      (-0.5, -0.55, -0.6),
    ),
    surface='rug',
    surface_half_m=1.75,
    top_m=0.012,
    top=('', '', (0.36, 0.38, 0.40), 0.7, 1.0),
    floor=('miniworld', 'concrete_2', 2.0, (0.62, 0.61, 0.58)),
    paint=(0.80, 0.80, 0.78),
    pattern=('brick', N),
    front=(0.30, 0.42, 0.50),
    cloths={'accent': (0.75, 0.55, 0.15)},
    lamp_m=_LAMP_M,
    at_walls=(
      ('desk', N, -0.1),
      ('wardrobe', N, 2.3),
      ('bookcase', N, -2.2),
      ('clock', N, -1.55),
      ('low_shelf', E, -0.5),
      ('picture', E, -0.9),
      ('bench', W, -0.2),
      ('door', W, 1.7),
      ('picture', W, -0.3),
    ),
    standing=(('stool', -1.9, 2.2, 0.0), ('floor_lamp', 2.9, 2.9, 135.0)),
  ),
  'classroom': plans.Plan(
    seed=53,
    kind='study',
    shell=shells.Shell(
      (3.4, 3.4),
      2.8,
      (
        Window(W, 1.3, 1.5, 0.8, 2.2),
        Window(W, -0.8, 1.5, 0.8, 2.2),
        Window(N, 2.1, 1.2, 0.8, 2.2),
      ),
      (0.75, -0.2, -0.5),
    ),
    surface='rug',
    surface_half_m=1.75,
    top_m=0.012,
    top=('', '', (0.42, 0.52, 0.46), 0.5, 1.0),
    floor=('libero', 'light_floor', 1.8, (0.80, 0.70, 0.56)),
    paint=(0.74, 0.82, 0.86),
    pattern=('panels', N),
    front=(0.80, 0.74, 0.62),
    cloths={'seat': (0.62, 0.30, 0.22), 'accent': (0.30, 0.45, 0.62)},
    lamp_m=_LAMP_M,
    at_walls=(
      ('sideboard', N, 0.3),
      ('picture', N, 0.0),
      ('picture', N, 0.9),
      ('bookcase', N, -1.2),
      ('desk', E, 0.6),
      ('clock', E, -0.5),
      ('low_shelf', W, 0.2),
    ),
    standing=(
      ('plant', -2.8, 2.8, 225.0),
      ('chair', 2.2, 2.4, 140.0),
      ('chair', -2.2, 1.4, 250.0),
    ),
  ),
  'salon': plans.Plan(
    seed=54,
    kind='living',
    shell=shells.Shell(
      (3.4, 3.4),
      2.8,
      (
        Window(N, -1.2, 1.3, 0.3, 2.3),
        Window(N, 1.2, 1.3, 0.3, 2.3),
        Window(E, 0.0, 1.6, 0.3, 2.3),
      ),
      (-0.4, -0.7, -0.6),
    ),
    surface='rug',
    surface_half_m=1.75,
    top_m=0.012,
    top=('', '', (0.56, 0.36, 0.32), 0.6, 1.0),
    floor=('libero', 'rustic_floor', 1.4, (0.52, 0.40, 0.30)),
    paint=(0.62, 0.70, 0.62),
    pattern=('plain', S),
    front=(0.88, 0.86, 0.80),
    cloths={'upholstery': (0.66, 0.60, 0.50), 'accent': (0.35, 0.32, 0.50)},
    lamp_m=_LAMP_M,
    at_walls=(
      ('dresser', N, 0.0),
      ('television', W, 0.4),
      ('picture', W, 1.9),
      ('bookcase', E, 1.7),
      ('sideboard', E, -1.7),
      ('picture', E, -1.7),
    ),
    standing=(
      ('armchair', -2.5, 2.5, 225.0),
      ('armchair', 2.5, 2.4, 135.0),
      ('floor_lamp', -2.95, 1.6, 250.0),
      ('plant', 2.9, -0.8, 90.0),
    ),
  ),
}
