"""The kinds of scenarios of each action: ramp, bench, fall, bounce, ...

Each function draws a scenario, given a generator and the direction `way`: 1 if
the motion is to the right in the front view, and -1 if it is to the left.
"""

from collections.abc import Callable
import dataclasses
import math

import numpy as np

from wm_abench.questions import physics_scenarios as scenarios
from wm_abench.questions import physics_slides, stage_layout
from wm_abench.worlds.physics_hall import hall
from wm_abench.worlds.tabletop import props as props_lib

# Number of levels where outcomes do not change evenly with the level.
_CANDIDATES = 7
_FALLERS = ('cube', 'sphere', 'cylinder')
_FALLER_SIZES_M = (0.22, 0.3)
# Without glass, which is hard to see before a bright wall.
_VISIBLE = tuple(m for m in props_lib.MATERIALS if m != 'glass')


def _fall(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws an object that falls towards a slab and does not reach it."""
  step_s, most_mps = 0.1, 4.7
  look = scenarios.draw_look(rng, _FALLERS, _VISIBLE, _FALLER_SIZES_M)
  block = str(rng.choice(hall.MATERIALS))
  height_m = scenarios.draw_number(rng, 0.1, 0.3)
  x_m = way * scenarios.draw_number(rng, 0.0, 0.5)
  # Even the fastest object does not reach the slab in the last step.
  above_m = 1.04 * _drop_m(most_mps, step_s)
  return _falling(look, step_s, most_mps, 4, block, height_m, x_m, above_m)


def _bounce(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws a sphere that falls onto a slab and bounces."""
  step_s, most_mps = 0.16, 4.9
  look = scenarios.draw_look(
    rng, ('sphere',), ('plastic', 'metal'), _FALLER_SIZES_M
  )
  height_m = scenarios.draw_number(rng, 0.06, 0.12)
  x_m = way * scenarios.draw_number(rng, 0.0, 0.5)
  # Even the slowest sphere reaches the slab in the last step.
  drop_m = _drop_m(_least_mps(step_s), step_s)
  above_m = drop_m * scenarios.draw_number(rng, 0.92, 1.0)
  return _falling(
    look, step_s, most_mps, _CANDIDATES, 'metal', height_m, x_m, above_m
  )


def _least_mps(step_s: float) -> float:
  """Returns the least speed at the last picture, after two steps of falling."""
  return 2.05 * scenarios.G * step_s


def _drop_m(speed_mps: float, step_s: float) -> float:
  """Returns the distance of a fall in one step, from an initial speed."""
  return speed_mps * step_s + scenarios.G * step_s**2 / 2


def _falling(
  look: scenarios.Look,
  step_s: float,
  most_mps: float,
  count: int,
  block: str,
  height_m: float,
  x_m: float,
  above_m: float,
) -> scenarios.Scenario:
  """Returns the scenario of a fall; the factor is the distance fallen.

  Args:
    look: the look of the object.
    step_s: the time between pictures.
    most_mps: the largest speed at the last picture.
    count: the number of levels.
    block: the material of the slab.
    height_m: the height of the slab.
    x_m: the position of the slab and the object.
    above_m: the height of the object above the slab in the last picture.
  """
  slab = hall.Block(
    'slab', block, (x_m, 0.0, height_m / 2), (0.42, 0.32, height_m / 2)
  )
  last_m = height_m + above_m + look.size_m / 2
  speeds = np.linspace(_least_mps(step_s), most_mps, count)
  levels = tuple(round(float(v**2 / 2 / scenarios.G), 4) for v in speeds)

  def start(fallen_m: float) -> scenarios.Start:
    prop = look.floating((x_m, 0.0, last_m + fallen_m))
    lead_s = math.sqrt(2 * fallen_m / scenarios.G) - 2 * step_s
    return scenarios.Start((prop,), (), round(lead_s, 5))

  factors = look.factors(
    block, slab_m=height_m, x_m=x_m, above_m=round(above_m, 4)
  )
  words = f'{look.name}, which was let go above a slab, falls'
  return scenarios.Scenario(
    'fallen_m', levels, start, (slab,), step_s, words, factors
  )


def _flight(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws an object that falls along a parabola.

  The factor is its horizontal speed.
  """
  step_s = 0.13
  look = scenarios.draw_look(rng, _FALLERS, _VISIBLE, _FALLER_SIZES_M)
  x_m = -way * scenarios.draw_number(rng, 0.1, 0.3)
  last_m = scenarios.draw_number(rng, 0.75, 0.9)
  slow_mps = scenarios.draw_number(rng, 0.4, 0.7)
  levels = scenarios.even_levels(
    slow_mps, slow_mps + scenarios.draw_number(rng, 2.2, 2.6)
  )
  fall_s = 2 * step_s

  def start(speed_mps: float) -> scenarios.Start:
    x = x_m - way * speed_mps * fall_s
    prop = look.floating(
      (x, 0.0, last_m + scenarios.G * fall_s**2 / 2),
      velocity_mps=(way * speed_mps, 0.0, 0.0),
    )
    return scenarios.Start((prop,))

  factors = look.factors('', x_m=x_m, met_m=last_m)
  words = f'{look.name} falls while it flies sideways'
  return scenarios.Scenario(
    'sideways_mps', levels, start, (), step_s, words, factors
  )


_TARGETS = ('cube', 'sphere', 'cylinder')
_ROLLER_MATERIALS = ('plastic', 'wood', 'metal', 'stone')
# Light materials; a much heavier target would hardly move.
_TARGET_MATERIALS = ('plastic', 'wood', 'fabric')


def _draw_pair(rng) -> tuple:
  """Draws a rolling sphere and its target.

  Returns:
    Their factors, and the noun phrases of the sphere and the target.
  """
  colors = stage_layout.draw_colors(rng, 2)
  sizes_m = [
    scenarios.draw_number(rng, 0.2, 0.26),
    scenarios.draw_number(rng, 0.18, 0.26),
  ]
  shape = str(rng.choice(_TARGETS))
  materials = [
    str(rng.choice(_ROLLER_MATERIALS)),
    str(rng.choice(_TARGET_MATERIALS)),
  ]
  factors = {
    'colors': colors,
    'shapes': ['sphere', shape],
    'materials': materials,
    'sizes_m': sizes_m,
    'block': '',
  }
  return (
    factors,
    scenarios.name('sphere', colors[0]),
    scenarios.name(shape, colors[1]),
  )


def _pair(factors, mover_xy, velocity, target_xy) -> tuple[props_lib.Prop, ...]:
  """Returns the rolling sphere and its resting target."""
  props = []
  for i, xy in enumerate((mover_xy, target_xy)):
    prop = stage_layout.stand(
      ('mover', 'target')[i],
      factors['shapes'][i],
      factors['colors'][i],
      factors['sizes_m'][i],
      xy,
    )
    props.append(
      dataclasses.replace(
        prop,
        material=factors['materials'][i],
        velocity_mps=velocity if i == 0 else (0.0, 0.0, 0.0),
      )
    )
  return tuple(props)


def _head_on(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws a sphere that rolls straight at a target.

  The factor is its initial speed. The last picture shows it shortly before the
  collision.
  """
  step_s = 0.18
  factors, mover, target = _draw_pair(rng)
  half_m = [s / 2 for s in factors['sizes_m']]
  gap_m = scenarios.draw_number(rng, 0.03, 0.06)
  target_m = way * scenarios.draw_number(rng, 0.0, 0.2)
  last_m = target_m - way * (sum(half_m) + gap_m)
  slow_mps = scenarios.draw_number(rng, 0.7, 0.9)
  levels = scenarios.even_levels(
    slow_mps, slow_mps + scenarios.draw_number(rng, 1.6, 1.9)
  )
  factors |= {'gap_m': gap_m, 'target_m': target_m}

  def start(speed_mps: float) -> scenarios.Start:
    run_m = scenarios.rolling_distance_m(speed_mps, half_m[0], 2 * step_s)
    velocity = (way * speed_mps, 0.0, 0.0)
    mover_xy = (last_m - way * run_m, 0.0)
    return scenarios.Start(_pair(factors, mover_xy, velocity, (target_m, 0.0)))

  words = f'{mover} rolls towards {target}'
  return scenarios.Scenario(
    'speed_mps', levels, start, (), step_s, words, factors
  )


def _aimed(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws a sphere that rolls away from the viewer, towards a target.

  The factor is the angle of its motion, so that most collisions are oblique.
  """
  step_s = 0.2
  factors, mover, target = _draw_pair(rng)
  half_m = [s / 2 for s in factors['sizes_m']]
  gap_m, speed_mps = (
    scenarios.draw_number(rng, 0.1, 0.14),
    scenarios.draw_number(rng, 1.7, 2.0),
  )
  target_xy = (way * scenarios.draw_number(rng, 0.0, 0.4), 0.25)
  last = (target_xy[0], target_xy[1] - sum(half_m) - gap_m)
  levels = scenarios.even_levels(-28, 28, _CANDIDATES)
  factors |= {'gap_m': gap_m, 'target_m': target_xy[0], 'speed_mps': speed_mps}
  run_m = scenarios.rolling_distance_m(speed_mps, half_m[0], 2 * step_s)

  def start(aim_deg: float) -> scenarios.Start:
    angle = math.radians(aim_deg)
    ahead = np.array([math.sin(angle), math.cos(angle)])
    mover_xy = np.array(last) - run_m * ahead
    velocity = (*(speed_mps * ahead).tolist(), 0.0)
    return scenarios.Start(_pair(factors, mover_xy, velocity, target_xy))

  words = f'{mover} rolls towards {target}'
  return scenarios.Scenario(
    'aim_deg', levels, start, (), step_s, words, factors
  )


Make = Callable[[np.random.Generator, int], scenarios.Scenario]
# Action of the cell -> its scenarios by kind.
KINDS: dict[str, dict[str, Make]] = {
  'slide': {'ramp': physics_slides.ramp, 'bench': physics_slides.bench},
  'drop': {'fall': _fall, 'bounce': _bounce, 'flight': _flight},
  'collide': {'head_on': _head_on, 'aimed': _aimed},
}
