"""Scenarios of intuitive physics: solids that slide, fall and collide.

A scenario has one factor. At all its levels the moving object has the same
position in the last picture of the question, but another velocity.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from wm_abench.questions import stage_layout
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import hall
from wm_abench.worlds.tabletop import dynamics
from wm_abench.worlds.tabletop import props as props_lib

G = dynamics.GRAVITY_MPS2
# The largest friction coefficient between a slider and its block.
_MAX_FRICTION = 0.42


@dataclasses.dataclass(frozen=True)
class Start:
  """The initial conditions at one level of a scenario's factor.

  Attributes:
    props: the props that take part.
    turns: name and quaternion of each prop that does not start upright.
    lead_s: time from the start of the simulation to the first picture.
  """

  props: tuple[props_lib.Prop, ...]
  turns: tuple = ()
  lead_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Scenario:
  """A scene and its one varied factor.

  Attributes:
    varies: the name of the factor.
    levels: its levels, at least as many as a group has members.
    start: returns the initial conditions at a level.
    blocks: the fixed blocks, the same at all levels.
    step_s: time between two pictures.
    words: what happens, such as 'the red cube slides down a wooden ramp'.
    factors: everything that was drawn.
  """

  varies: str
  levels: tuple[float, ...]
  start: Callable[[float], Start]
  blocks: tuple[hall.Block, ...]
  step_s: float
  words: str
  factors: Mapping[str, Any]


def rolling_distance_m(
  speed_mps: float, radius_m: float, seconds: float
) -> float:
  """Returns how far a sphere rolls from an initial speed.

  Rolling resistance decelerates it by 5/7 g ROLLING_M / radius.
  """
  deceleration = 5 / 7 * G * dynamics.ROLLING_M / radius_m
  return speed_mps * seconds - deceleration * seconds**2 / 2


def friction(a: str, b: str) -> float:
  """Returns the coefficient between two materials: their geometric mean."""
  matter = dynamics.MATTER
  return math.sqrt(matter[a].friction * matter[b].friction)


def bystanders(
  rng: np.random.Generator, count: int, scenario: Scenario
) -> tuple[props_lib.Prop, ...]:
  """Draws props behind the scenario, where no moving object gets."""
  used = set(scenario.factors['colors'])
  unused = [c for c in props_lib.COLORS if c not in used]
  colors = rng.choice(unused, count, replace=False)
  xs = rng.permutation((-1.0, -0.2, 0.6, 1.2))[:count]
  return tuple(
    stage_layout.stand(
      f'bystander{i}',
      str(rng.choice(props_lib.SHAPES)),
      str(color),
      rng.uniform(0.18, 0.28),
      (x + rng.uniform(-0.15, 0.15), rng.uniform(0.85, 1.15)),
      yaw_deg=rng.uniform(0, 90),
    )
    for i, (color, x) in enumerate(zip(colors, xs, strict=True))
  )


def even_levels(low: float, high: float, count: int = 4) -> tuple[float, ...]:
  """Returns evenly spaced levels from low to high."""
  return tuple(round(float(x), 4) for x in np.linspace(low, high, count))


def draw_number(rng, low: float, high: float) -> float:
  return round(float(rng.uniform(low, high)), 3)


class Look(NamedTuple):
  """The look of a moving object."""

  shape: str
  color: str
  material: str
  size_m: float

  @property
  def name(self) -> str:
    return name(self.shape, self.color)

  def factors(self, block: str, **others: Any) -> dict[str, Any]:
    """Returns the factors of a scenario with this object alone.

    Args:
      block: the material of its blocks, or ''.
      **others: further factors.
    """
    return {
      'colors': [self.color],
      'shapes': [self.shape],
      'materials': [self.material],
      'sizes_m': [self.size_m],
      'block': block,
      **others,
    }

  def standing(
    self, xy_m: Sequence[float], on_m: float = 0.0, **more: Any
  ) -> props_lib.Prop:
    """Returns the object as it stands at a position; see stage_layout.stand."""
    return stage_layout.stand(
      'mover',
      self.shape,
      self.color,
      self.size_m,
      xy_m,
      on_m,
      material=self.material,
      **more,
    )

  def floating(
    self, position_m: protocol.Vector, **more: Any
  ) -> props_lib.Prop:
    """Returns the object with its centre at a position."""
    return props_lib.Prop(
      'mover',
      self.shape,
      self.color,
      self.size_m,
      position_m,
      self.material,
      **more,
    )


def draw_look(
  rng: np.random.Generator,
  shapes: Sequence[str],
  materials: Sequence[str],
  sizes_m: tuple[float, float],
) -> Look:
  """Draws a colour, a shape, a material, and a size from a range."""
  (color,) = stage_layout.draw_colors(rng, 1)
  shape, material = str(rng.choice(shapes)), str(rng.choice(materials))
  return Look(shape, color, material, draw_number(rng, *sizes_m))


def name(shape: str, color: str) -> str:
  return f'the {stage_layout.noun_phrase(color, shape)}'


def slippery_materials(block: str) -> list[str]:
  """Returns the materials that slide well on a material of blocks."""
  return [m for m in props_lib.MATERIALS if friction(m, block) <= _MAX_FRICTION]


def vector(values: np.ndarray) -> protocol.Vector:
  return tuple(round(float(v), 6) for v in values)
