"""Props: the coloured solids that stand on surfaces, as plain data."""

import dataclasses
import itertools

from commons import errors
from wm_abench.worlds import protocol

SHAPES = ('cube', 'sphere', 'cylinder', 'cone', 'torus')

# Name -> RGB in [0, 1]. Any two can be named apart, in light and in shade.
COLORS: dict[str, protocol.Vector] = {
  'red': (0.80, 0.06, 0.06),
  'orange': (0.95, 0.45, 0.02),
  'yellow': (0.95, 0.85, 0.05),
  'green': (0.07, 0.55, 0.12),
  'blue': (0.06, 0.17, 0.80),
  'purple': (0.45, 0.10, 0.62),
  'pink': (0.98, 0.50, 0.70),
  'brown': (0.38, 0.20, 0.08),
  'white': (0.93, 0.93, 0.93),
  'black': (0.05, 0.05, 0.05),
}

MATERIALS = ('plastic', 'wood', 'metal', 'glass', 'stone', 'fabric')


@dataclasses.dataclass(frozen=True)
class Prop:
  """A solid that rests on the surface, follows a path, or obeys physics.

  Attributes:
    name: unique in its scene.
    shape: one of SHAPES.
    color: one of COLORS; '' is the natural colour of the material.
    size_m: height and width of the bounding box. A torus lies flat and has this
      width.
    position_m: of the centre, in a frame with the surface at z = 0.
    material: one of MATERIALS.
    yaw_deg: rotation about the vertical axis.
    shade: factor on the brightness of the colour.
    hole: diameter of the hole of a torus, as a fraction of size_m.
    velocity_mps: initial velocity, in dynamic scenes.
    path: (time_s, position_m) of the centre, see worlds/paths.py; empty for a
      prop that rests, and in dynamic scenes.
  """

  name: str
  shape: str
  color: str
  size_m: float
  position_m: protocol.Vector
  material: str = 'plastic'
  yaw_deg: float = 0.0
  shade: float = 1.0
  hole: float = 0.5
  velocity_mps: protocol.Vector = (0.0, 0.0, 0.0)
  path: tuple[tuple[float, protocol.Vector], ...] = ()


def height_m(prop: Prop) -> float:
  """Returns the height of a prop; a torus is as high as its tube is thick."""
  if prop.shape == 'torus':
    return prop.size_m * (1 - prop.hole) / 2
  return prop.size_m


@dataclasses.dataclass(frozen=True)
class PropScene(protocol.Scene):
  """Props on the surface of one room.

  Attributes:
    props: with unique names.
    dynamic: whether physics moves the props; else their paths do.
  """

  props: tuple[Prop, ...] = ()
  dynamic: bool = False


def check(prop: Prop, dynamic: bool) -> None:
  """Raises UserError for a prop that a scene cannot have.

  Args:
    prop: to be checked.
    dynamic: whether physics moves the props of the scene.

  Raises:
    UserError: unknown shape, colour or material; a size or shade that is not
      positive; a hole that is not in (0, 1); a path that goes back in time, or
      any path in a dynamic scene.
  """
  if prop.shape not in SHAPES:
    raise errors.unknown('shape', prop.shape, SHAPES)
  if prop.color and prop.color not in COLORS:
    raise errors.unknown('color', prop.color, COLORS)
  if prop.material not in MATERIALS:
    raise errors.unknown('material', prop.material, MATERIALS)
  for field, value in (('size_m', prop.size_m), ('shade', prop.shade)):
    if not value > 0:  # NaN is not above 0 either.
      raise errors.UserError(
        f'{field} of prop {prop.name!r} is {value}; it has to be above 0'
      )
  if not 0 < prop.hole < 1:
    raise errors.UserError(
      f'hole of prop {prop.name!r} is {prop.hole}; it has to be between 0 and 1'
    )
  if prop.path and dynamic:
    raise errors.UserError(
      f'prop {prop.name!r} has a path in a dynamic scene, where physics moves'
      ' the props'
    )
  times = [t for t, _ in prop.path]
  if any(b < a for a, b in itertools.pairwise(times)):
    raise errors.UserError(
      f'the path of prop {prop.name!r} goes back in time: {times}'
    )
