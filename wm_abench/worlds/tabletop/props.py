"""Props, the coloured solids that stand on surfaces, as plain data."""

import dataclasses

from wm_abench.worlds import protocol

SHAPES = ('cube', 'sphere', 'cylinder', 'cone', 'torus')

# Name -> RGB in [0, 1]; any two are told apart by name, in light and shade.
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
  """A solid that stands on the surface, moves as scripted, or obeys physics.

  Attributes:
    name: unique in its scene.
    shape: one of SHAPES.
    color: one of COLORS; '' leaves a material its own.
    size_m: height and width of its bounding box; a torus lies flat and is as
      wide as this.
    position_m: of its centre, with the surface at z = 0.
    material: one of MATERIALS.
    yaw_deg: turn about the vertical.
    shade: factor on the colour's brightness; 1 leaves it.
    hole: of a torus, the hole's diameter as a share of size_m.
    velocity_mps: at the start, where the scene is dynamic.
    path: where the centre is at given times, as (time_s, position_m), straight
      and steady between them; empty stays. Not in dynamic scenes.
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


@dataclasses.dataclass(frozen=True)
class PropScene(protocol.Scene):
  """Props on the surface of one of an environment's rooms.

  Attributes:
    props: with unique names.
    dynamic: whether physics moves them, or their paths do.
  """

  props: tuple[Prop, ...] = ()
  dynamic: bool = False
