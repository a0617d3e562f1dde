"""The kinds of scenarios of each action: ramp, bench, fall, bounce, ...

Each function draws a scenario, given a generator and the direction `way`: 1 if
the motion is to the right in the front view, and -1 if it is to the left.
"""

from collections.abc import Callable
import dataclasses
import math

import numpy as np

from wm_abench.questions import group_law, stage_layout
from wm_abench.questions import physics_scenarios as scenarios
from wm_abench.worlds.physics_hall import hall
from wm_abench.worlds.tabletop import props as props_lib

# Number of levels where outcomes do not change evenly with the level.
_CANDIDATES = 7
_SLIDERS = ('cube', 'cylinder', 'cone')
_RAMP_SLIDERS = ('cube', 'cone')  # Shapes that slide steadily on a ramp.
_ADJECTIVES = {'wood': 'wooden', 'metal': 'metal', 'stone': 'stone'}
_RAMP_LENGTH_M, _RAMP_HALF_WIDTH_M, _RAMP_HALF_THICKNESS_M = 2.5, 0.3, 0.03


class _Slope:
  """The geometry of a ramp that goes down in the direction `way`."""

  def __init__(self, angle: float, way: int):
    self.quaternion = (
      math.cos(angle / 2),
      0.0,
      way * math.sin(angle / 2),
      0.0,
    )
    self._down = np.array([way * math.cos(angle), 0.0, -math.sin(angle)])
    self._normal = np.array([way * math.sin(angle), 0.0, math.cos(angle)])
    self._foot = np.array([way * 1.08, 0.0, 0.0])
    self._top = self._foot - _RAMP_LENGTH_M * self._down

  def position(self, along_m: float, above_m: float) -> np.ndarray:
    """Returns a point by its distances from the top and from the surface."""
    return self._top + along_m * self._down + above_m * self._normal

  def blocks(self, material: str) -> tuple[hall.Block, ...]:
    """Returns the slab and its four posts."""
    middle = (self._top + self._foot) / 2
    middle = middle - _RAMP_HALF_THICKNESS_M * self._normal
    half_m = (_RAMP_LENGTH_M / 2, _RAMP_HALF_WIDTH_M, _RAMP_HALF_THICKNESS_M)
    blocks = [
      hall.Block(
        'ramp', material, scenarios.vector(middle), half_m, self.quaternion
      )
    ]
    for i, fraction in enumerate((0.06, 0.55)):
      head = self.position(
        fraction * _RAMP_LENGTH_M, -2 * _RAMP_HALF_THICKNESS_M
      )
      for j, y in enumerate((-0.24, 0.24)):
        x, z = float(head[0]), float(head[2]) / 2
        blocks.append(
          hall.Block(f'post{i}{j}', material, (x, y, z), (0.03, 0.04, z))
        )
    return tuple(blocks)


def _ramp(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """An object is released on a ramp; the factor is the height of release.

  Raises:
    group_law.Rejected: the friction is too strong.
  """
  step_s = 0.2
  block = str(rng.choice(tuple(_ADJECTIVES)))
  shape, color, material = scenarios.draw_look(
    rng, _RAMP_SLIDERS, scenarios.slippery_materials(block)
  )
  size_m = scenarios.draw_number(rng, 0.18, 0.24)
  mu = scenarios.friction(material, block)
  angle_deg = scenarios.draw_number(rng, 26, 33)
  angle = math.radians(angle_deg)
  acceleration = scenarios.G * (math.sin(angle) - mu * math.cos(angle))
  if acceleration < 1.4:
    raise group_law.Rejected('the ramp is too rough')
  # The distance from the ramp's upper end to the last position.
  last_m = scenarios.draw_number(rng, 1.3, 1.4)
  least_m = acceleration * (2.1 * step_s) ** 2 / 2
  most_m = last_m - 0.2
  speeds = np.linspace(
    *np.sqrt(2 * acceleration * np.array([least_m, most_m])), 4
  )
  rise = math.sin(angle)
  levels = tuple(
    round(float(v**2 / 2 / acceleration * rise), 4) for v in speeds
  )
  slope = _Slope(angle, way)

  def start(rise_m: float) -> scenarios.Start:
    slid_m = rise_m / rise
    prop = stage_layout.stand('mover', shape, color, size_m, (0, 0))
    position = slope.position(last_m - slid_m, props_lib.height_m(prop) / 2)
    prop = dataclasses.replace(
      prop, position_m=scenarios.vector(position), material=material
    )
    lead_s = math.sqrt(2 * slid_m / acceleration) - 2 * step_s
    return scenarios.Start(
      (prop,), (('mover', slope.quaternion),), round(lead_s, 5)
    )

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'angle_deg': angle_deg,
    'met_m': last_m,
  }
  words = (
    f'{scenarios.name(shape, color)} slides down a {_ADJECTIVES[block]} ramp'
  )
  return scenarios.Scenario(
    'rise_m', levels, start, slope.blocks(block), step_s, words, factors
  )


def _bench(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """An object slides on a bench and scenarios.friction decelerates it.

  The factor is its speed at the last picture.
  """
  step_s, height_m = 0.15, scenarios.draw_number(rng, 0.3, 0.45)
  block = str(rng.choice(tuple(_ADJECTIVES)))
  shape, color, material = scenarios.draw_look(
    rng, _SLIDERS, scenarios.slippery_materials(block)
  )
  size_m = scenarios.draw_number(rng, 0.18, 0.24)
  deceleration = scenarios.G * scenarios.friction(material, block)
  slow_mps = scenarios.draw_number(rng, 0.5, 0.7)
  levels = scenarios.even_levels(
    slow_mps, slow_mps + scenarios.draw_number(rng, 1.8, 2.0)
  )
  last_m = way * scenarios.draw_number(rng, -0.3, -0.2)
  bench = hall.Block(
    'bench', block, (0.0, 0.0, height_m / 2), (1.5, 0.3, height_m / 2)
  )

  def start(speed_mps: float) -> scenarios.Start:
    run_m = speed_mps * 2 * step_s + deceleration * (2 * step_s) ** 2 / 2
    prop = stage_layout.stand(
      'mover', shape, color, size_m, (last_m - way * run_m, 0.0), height_m
    )
    start_mps = speed_mps + deceleration * 2 * step_s
    velocity = (way * start_mps, 0.0, 0.0)
    prop = dataclasses.replace(prop, velocity_mps=velocity, material=material)
    return scenarios.Start((prop,))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'bench_m': height_m,
    'met_m': last_m,
  }
  words = (
    f'{scenarios.name(shape, color)} slides along a {_ADJECTIVES[block]} bench'
  )
  return scenarios.Scenario(
    'speed_mps', levels, start, (bench,), step_s, words, factors
  )


_FALLERS = ('cube', 'sphere', 'cylinder')
# Without glass, which is hard to see before a bright wall.
_VISIBLE = tuple(m for m in props_lib.MATERIALS if m != 'glass')


def _fall(
  rng: np.random.Generator, way: int, bounce: bool
) -> scenarios.Scenario:
  """An object falls onto a slab; the factor is how far it has fallen.

  The last picture shows it shortly before the impact, and the outcome after it
  if `bounce`, else still before it.
  """
  step_s = 0.16 if bounce else 0.1
  shapes = ('sphere',) if bounce else _FALLERS
  materials = ('plastic', 'metal') if bounce else _VISIBLE
  shape, color, material = scenarios.draw_look(rng, shapes, materials)
  size_m = scenarios.draw_number(rng, 0.22, 0.3)
  block = 'metal' if bounce else str(rng.choice(hall.MATERIALS))
  height_m = (
    scenarios.draw_number(rng, 0.06, 0.12)
    if bounce
    else scenarios.draw_number(rng, 0.1, 0.3)
  )
  x_m = way * scenarios.draw_number(rng, 0.0, 0.5)
  slab = hall.Block(
    'slab', block, (x_m, 0.0, height_m / 2), (0.42, 0.32, height_m / 2)
  )
  least_mps = 2.05 * scenarios.G * step_s
  most_mps = 4.9 if bounce else 4.7
  # The height above the slab lets even the slowest object reach it within a
  # step if `bounce`; otherwise not even the fastest one does.
  bound_mps = least_mps if bounce else most_mps
  drop_m = bound_mps * step_s + scenarios.G * step_s**2 / 2
  above_m = drop_m * (scenarios.draw_number(rng, 0.92, 1.0) if bounce else 1.04)
  last_m = height_m + above_m + size_m / 2
  count = _CANDIDATES if bounce else 4
  speeds = np.linspace(least_mps, most_mps, count)
  levels = tuple(round(float(v**2 / 2 / scenarios.G), 4) for v in speeds)

  def start(fallen_m: float) -> scenarios.Start:
    position_m = (x_m, 0.0, last_m + fallen_m)
    prop = props_lib.Prop('mover', shape, color, size_m, position_m, material)
    lead_s = math.sqrt(2 * fallen_m / scenarios.G) - 2 * step_s
    return scenarios.Start((prop,), (), round(lead_s, 5))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'slab_m': height_m,
    'x_m': x_m,
    'above_m': round(above_m, 4),
  }
  words = (
    f'{scenarios.name(shape, color)}, which was let go above a slab, falls'
  )
  return scenarios.Scenario(
    'fallen_m', levels, start, (slab,), step_s, words, factors
  )


def _free_fall(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  return _fall(rng, way, bounce=False)


def _bouncing(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  return _fall(rng, way, bounce=True)


def _flight(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """An object falls along a parabola; the factor is its horizontal speed."""
  step_s = 0.13
  shape, color, material = scenarios.draw_look(rng, _FALLERS, _VISIBLE)
  size_m = scenarios.draw_number(rng, 0.22, 0.3)
  x_m = -way * scenarios.draw_number(rng, 0.1, 0.3)
  last_m = scenarios.draw_number(rng, 0.75, 0.9)
  slow_mps = scenarios.draw_number(rng, 0.4, 0.7)
  levels = scenarios.even_levels(
    slow_mps, slow_mps + scenarios.draw_number(rng, 2.2, 2.6)
  )
  fall_s = 2 * step_s

  def start(speed_mps: float) -> scenarios.Start:
    x = x_m - way * speed_mps * fall_s
    position_m = (x, 0.0, last_m + scenarios.G * fall_s**2 / 2)
    velocity = (way * speed_mps, 0.0, 0.0)
    prop = props_lib.Prop(
      'mover', shape, color, size_m, position_m, material, velocity_mps=velocity
    )
    return scenarios.Start((prop,))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': '',
    'x_m': x_m,
    'met_m': last_m,
  }
  words = f'{scenarios.name(shape, color)} falls while it flies sideways'
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
  """A sphere rolls straight at a target; the factor is its initial speed.

  The last picture shows it shortly before the collision.
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
  """A sphere rolls away from the viewer and hits a target off its centre.

  The factor is the angle of its motion.
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
  'slide': {'ramp': _ramp, 'bench': _bench},
  'drop': {'fall': _free_fall, 'bounce': _bouncing, 'flight': _flight},
  'collide': {'head_on': _head_on, 'aimed': _aimed},
}
