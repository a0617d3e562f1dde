"""The surfaces of the two environments of props, as questions need them.

In both environments the free area of the surface is centred at the origin and
its top is z = 0. Seen by the camera 'front', x points right and y away.
"""

import dataclasses

from wm_abench.worlds import protocol


@dataclasses.dataclass(frozen=True)
class Surface:
  """The free area of an environment and its cameras.

  Attributes:
    backgrounds: names of the rooms.
    half_m: half the width (x) and half the depth (y) of the free area.
    unit_m: size of a medium prop; other sizes are multiples of it.
    cameras: 'front', 'back', 'left', 'right' and 'top', the same in every room.
      Each sees the whole free area, with props up to two units high.
  """

  backgrounds: tuple[str, ...]
  half_m: tuple[float, float]
  unit_m: float
  cameras: dict[str, protocol.Camera]


_FOVY_DEG = 50.0


def _cameras(distance_m: float, height_m: float) -> dict[str, protocol.Camera]:
  """Returns four cameras around the origin and one above it."""
  sides = {'front': (0, -1), 'back': (0, 1), 'left': (-1, 0), 'right': (1, 0)}
  # Slightly above the centre, to show more of the room with the area in view.
  target_m = (0.0, 0.0, 0.1 * distance_m)
  cameras = {
    name: protocol.Camera(
      name, (x * distance_m, y * distance_m, height_m), target_m, _FOVY_DEG
    )
    for name, (x, y) in sides.items()
  }
  top = protocol.Camera(
    'top',
    (0.0, 0.0, 1.2 * distance_m),
    (0.0, 0.0, 0.0),
    _FOVY_DEG,
    up=(0.0, 1.0, 0.0),
  )
  return cameras | {'top': top}


SURFACES: dict[str, Surface] = {
  'tabletop': Surface(
    backgrounds=('living_room', 'study', 'kitchen', 'loft'),
    half_m=(0.9, 0.9),
    unit_m=0.25,
    cameras=_cameras(2.6, 1.3),
  ),
  'apartment_table': Surface(
    backgrounds=('dining', 'lounge', 'office', 'sunroom'),
    half_m=(0.32, 0.32),
    unit_m=0.07,
    cameras=_cameras(0.9, 0.5),
  ),
}
