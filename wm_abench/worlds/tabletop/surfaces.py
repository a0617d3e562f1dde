"""What questions must know of the two environments of props on a surface.

In both the surface's free area is centred at the origin, its top at z = 0;
x is to the right and y is away for one who looks from the front.
"""

import dataclasses

from wm_abench.worlds import protocol


@dataclasses.dataclass(frozen=True)
class Surface:
  """An environment's free area and its cameras.

  Attributes:
    backgrounds: names of its rooms.
    half_m: half the free area's width (x) and depth (y).
    unit_m: a middling prop's size; sizes are best given as multiples.
    cameras: 'front', 'back', 'left', 'right' and 'top', the same in every room;
      each sees the whole area, and props up to two units high.
  """

  backgrounds: tuple[str, ...]
  half_m: tuple[float, float]
  unit_m: float
  cameras: dict[str, protocol.Camera]


_FOVY_DEG = 50.0


def _around(distance_m: float, height_m: float) -> dict[str, protocol.Camera]:
  sides = {'front': (0, -1), 'back': (0, 1), 'left': (-1, 0), 'right': (1, 0)}
  # A little above the middle, for more of the room; the area stays in view.
  target_m = (0.0, 0.0, 0.1 * distance_m)
  cameras = {
    name: protocol.Camera(
      name, (x * distance_m, y * distance_m, height_m), target_m, _FOVY_DEG
    )
    for name, (x, y) in sides.items()
  }
  above = (0.0, 0.0, 1.2 * distance_m)
  top = protocol.Camera(
    'top', above, (0.0, 0.0, 0.0), _FOVY_DEG, up=(0.0, 1.0, 0.0)
  )
  return cameras | {'top': top}


SURFACES: dict[str, Surface] = {
  'tabletop': Surface(
    backgrounds=('living_room', 'study', 'kitchen', 'loft'),
    half_m=(0.9, 0.9),
    unit_m=0.25,
    cameras=_around(2.6, 1.3),
  ),
  'apartment_table': Surface(
    backgrounds=('dining', 'lounge', 'office', 'sunroom'),
    half_m=(0.32, 0.32),
    unit_m=0.07,
    cameras=_around(0.9, 0.5),
  ),
}
