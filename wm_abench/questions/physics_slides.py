"""Scenarios in which an object slides, on a ramp or on a bench.

`way` is 1 if the motion is to the right in the front view, else -1.
"""

import dataclasses
import math

import numpy as np

from wm_abench.questions import group_law
from wm_abench.questions import physics_scenarios as scenarios
from wm_abench.worlds.physics_hall import hall
from wm_abench.worlds.tabletop import props as props_lib

_BENCH_SLIDERS = ('cube', 'cylinder', 'cone')
_RAMP_SLIDERS = ('cube', 'cone')  # Shapes that slide steadily on a ramp.
_SIZES_M = (0.18, 0.24)
_ADJECTIVES = {'wood': 'wooden', 'metal': 'metal', 'stone': 'stone'}
_RAMP_LENGTH_M, _RAMP_HALF_WIDTH_M, _RAMP_HALF_THICKNESS_M = 2.5, 0.3, 0.03
_MIN_ACCELERATION = 1.4  # Of an object on a ramp, in m/s^2.


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


def ramp(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws an object that is released on a ramp.

  The factor is the height of the release above the last position.

  Raises:
    group_law.Rejected: friction makes the acceleration too small.
  """
  step_s = 0.2
  block = str(rng.choice(tuple(_ADJECTIVES)))
  materials = scenarios.slippery_materials(block)
  look = scenarios.draw_look(rng, _RAMP_SLIDERS, materials, _SIZES_M)
  mu = scenarios.friction(look.material, block)
  angle_deg = scenarios.draw_number(rng, 26, 33)
  angle = math.radians(angle_deg)
  acceleration = scenarios.G * (math.sin(angle) - mu * math.cos(angle))
  if acceleration < _MIN_ACCELERATION:
    raise group_law.Rejected('the ramp is too rough')
  # The distance from the upper end of the ramp to the last position.
  last_m = scenarios.draw_number(rng, 1.3, 1.4)
  least_m = acceleration * (2.1 * step_s) ** 2 / 2
  # The levels are evenly spaced in speed: v^2 = 2 a d, with slid distance d.
  slid_m = np.array([least_m, last_m - 0.2])
  speeds = np.linspace(*np.sqrt(2 * acceleration * slid_m), 4)
  rise = math.sin(angle)
  levels = tuple(
    round(float(v**2 / 2 / acceleration * rise), 4) for v in speeds
  )
  slope = _Slope(angle, way)

  def start(rise_m: float) -> scenarios.Start:
    slid_m = rise_m / rise
    prop = look.standing((0, 0))
    position = slope.position(last_m - slid_m, props_lib.height_m(prop) / 2)
    prop = dataclasses.replace(prop, position_m=scenarios.vector(position))
    lead_s = math.sqrt(2 * slid_m / acceleration) - 2 * step_s
    turns = (('mover', slope.quaternion),)
    return scenarios.Start((prop,), turns, round(lead_s, 5))

  factors = look.factors(block, angle_deg=angle_deg, met_m=last_m)
  words = f'{look.name} slides down a {_ADJECTIVES[block]} ramp'
  return scenarios.Scenario(
    'rise_m', levels, start, slope.blocks(block), step_s, words, factors
  )


def bench(rng: np.random.Generator, way: int) -> scenarios.Scenario:
  """Draws an object that slides on a bench and is decelerated by friction.

  The factor is its speed at the last picture.
  """
  step_s, height_m = 0.15, scenarios.draw_number(rng, 0.3, 0.45)
  block = str(rng.choice(tuple(_ADJECTIVES)))
  materials = scenarios.slippery_materials(block)
  look = scenarios.draw_look(rng, _BENCH_SLIDERS, materials, _SIZES_M)
  deceleration = scenarios.G * scenarios.friction(look.material, block)
  slow_mps = scenarios.draw_number(rng, 0.5, 0.7)
  levels = scenarios.even_levels(
    slow_mps, slow_mps + scenarios.draw_number(rng, 1.8, 2.0)
  )
  last_m = way * scenarios.draw_number(rng, -0.3, -0.2)
  slab = hall.Block(
    'bench', block, (0.0, 0.0, height_m / 2), (1.5, 0.3, height_m / 2)
  )

  def start(speed_mps: float) -> scenarios.Start:
    run_m = speed_mps * 2 * step_s + deceleration * (2 * step_s) ** 2 / 2
    start_mps = speed_mps + deceleration * 2 * step_s
    prop = look.standing(
      (last_m - way * run_m, 0.0),
      height_m,
      velocity_mps=(way * start_mps, 0.0, 0.0),
    )
    return scenarios.Start((prop,))

  factors = look.factors(block, bench_m=height_m, met_m=last_m)
  words = f'{look.name} slides along a {_ADJECTIVES[block]} bench'
  return scenarios.Scenario(
    'speed_mps', levels, start, (slab,), step_s, words, factors
  )
