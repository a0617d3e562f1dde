"""What is played in the halls: solids that slide, fall and collide.

A play has one factor whose levels lead to one last picture. `way` is 1 where
things go to the right for one who looks from the front, else -1.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import hall
from wm_abench.worlds.tabletop import dynamics
from wm_abench.worlds.tabletop import props as props_lib

G = dynamics.GRAVITY_MPS2
_UPRIGHT = (1.0, 0.0, 0.0, 0.0)
_CANDIDATES = 7  # Levels that a play offers, where outcomes are no even steps.
# A prop and a block that rub less than this, so that things get going.
_MOST_FRICTION = 0.42


@dataclasses.dataclass(frozen=True)
class Act:
  """What one level of a play's factor starts from.

  Attributes:
    props: that take part.
    turns: of those that are not upright.
    lead_s: from the start until the first picture.
  """

  props: tuple[props_lib.Prop, ...]
  turns: tuple = ()
  lead_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Play:
  """A play before a level of its factor is chosen.

  Attributes:
    varies: the factor's name.
    levels: at least as many as a group has members.
    act: of a level.
    blocks: that are there in all of them.
    step_s: between two pictures.
    said: what goes on, as 'a red cube slides down a ramp'.
    factors: all that was drawn.
  """

  varies: str
  levels: tuple[float, ...]
  act: Callable[[float], Act]
  blocks: tuple[hall.Block, ...]
  step_s: float
  said: str
  factors: Mapping[str, Any]


def rolled_m(speed_mps: float, radius_m: float, seconds: float) -> float:
  """How far a sphere rolls that starts at a speed and slows down a little."""
  slowing = 5 / 7 * G * dynamics.ROLLING_M / radius_m
  return speed_mps * seconds - slowing * seconds**2 / 2


def friction(a: str, b: str) -> float:
  """The coefficient of two materials on each other."""
  matter = dynamics.MATTER
  return math.sqrt(matter[a].friction * matter[b].friction)


def bystanders(
  rng: np.random.Generator, count: int, play: Play
) -> tuple[props_lib.Prop, ...]:
  """Props that stand behind what is played, where nothing comes."""
  taken = set(play.factors['colors'])
  free = [c for c in props_lib.COLORS if c not in taken]
  colors = rng.choice(free, count, replace=False)
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


def _levels(low: float, high: float, count: int = 4) -> tuple[float, ...]:
  return tuple(round(float(x), 4) for x in np.linspace(low, high, count))


def _number(rng, low: float, high: float) -> float:
  return round(float(rng.uniform(low, high)), 3)


def _look(rng, shapes: Sequence[str], materials: Sequence[str]) -> tuple:
  (color,) = stage_layout.draw_colors(rng, 1)
  return str(rng.choice(shapes)), color, str(rng.choice(materials))


def _said(shape: str, color: str) -> str:
  return f'the {stage_layout.named(color, shape)}'


def _slippery(block: str) -> list[str]:
  names = [
    m for m in props_lib.MATERIALS if friction(m, block) <= _MOST_FRICTION
  ]
  return names


_SLIDERS = ('cube', 'cylinder', 'cone')
_STEADY = ('cube', 'cone')  # That do not shake on a ramp.
_ADJECTIVES = {'wood': 'wooden', 'metal': 'metal', 'stone': 'stone'}


def _ramp(rng: np.random.Generator, way: int) -> Play:
  """Let go at some height on a ramp, and met on its way down."""
  step_s, length_m, thick_m = 0.2, 2.5, 0.03
  block = str(rng.choice(tuple(_ADJECTIVES)))
  shape, color, material = _look(rng, _STEADY, _slippery(block))
  size_m = _number(rng, 0.18, 0.24)
  mu = friction(material, block)
  angle_deg = _number(rng, 26, 33)
  angle = math.radians(angle_deg)
  gain = G * (math.sin(angle) - mu * math.cos(angle))
  if gain < 1.4:
    raise group_law.Rejected('the ramp is too rough')
  # From the ramp's upper end, along it.
  met_m = _number(rng, 1.3, 1.4)
  least_m = gain * (2.1 * step_s) ** 2 / 2
  most_m = met_m - 0.2
  speeds = np.linspace(*np.sqrt(2 * gain * np.array([least_m, most_m])), 4)
  rise = math.sin(angle)
  levels = tuple(round(float(v**2 / 2 / gain * rise), 4) for v in speeds)
  down = np.array([way * math.cos(angle), 0.0, -math.sin(angle)])
  out = np.array([way * math.sin(angle), 0.0, math.cos(angle)])
  turn = (math.cos(angle / 2), 0.0, way * math.sin(angle / 2), 0.0)
  foot = np.array([way * 1.08, 0.0, 0.0])
  top = foot - length_m * down
  middle = (top + foot) / 2 - thick_m * out
  slab = hall.Block(
    'ramp', block, _vector(middle), (length_m / 2, 0.3, thick_m), turn
  )
  blocks = [slab]
  for i, share in enumerate((0.06, 0.55)):
    head = top + share * length_m * down - 2 * thick_m * out
    for j, y in enumerate((-0.24, 0.24)):
      z = float(head[2]) / 2
      blocks.append(
        hall.Block(
          f'post{i}{j}', block, (float(head[0]), y, z), (0.03, 0.04, z)
        )
      )

  def act(rise_m: float) -> Act:
    slid_m = rise_m / rise
    prop = stage_layout.stand('mover', shape, color, size_m, (0, 0))
    half_m = stage_layout.height_m(prop) / 2
    at = top + (met_m - slid_m) * down + half_m * out
    prop = dataclasses.replace(prop, position_m=_vector(at), material=material)
    lead_s = math.sqrt(2 * slid_m / gain) - 2 * step_s
    return Act((prop,), (('mover', turn),), round(lead_s, 5))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'angle_deg': angle_deg,
    'met_m': met_m,
  }
  said = f'{_said(shape, color)} slides down a {_ADJECTIVES[block]} ramp'
  return Play('rise_m', levels, act, tuple(blocks), step_s, said, factors)


def _bench(rng: np.random.Generator, way: int) -> Play:
  """Pushed along a bench, and slowed down by friction."""
  step_s, high_m = 0.15, _number(rng, 0.3, 0.45)
  block = str(rng.choice(tuple(_ADJECTIVES)))
  shape, color, material = _look(rng, _SLIDERS, _slippery(block))
  size_m = _number(rng, 0.18, 0.24)
  slowing = G * friction(material, block)
  slow_mps = _number(rng, 0.5, 0.7)
  levels = _levels(slow_mps, slow_mps + _number(rng, 1.8, 2.0))
  met_m = way * _number(rng, -0.3, -0.2)
  bench = hall.Block(
    'bench', block, (0.0, 0.0, high_m / 2), (1.5, 0.3, high_m / 2)
  )

  def act(speed_mps: float) -> Act:
    run_m = speed_mps * 2 * step_s + slowing * (2 * step_s) ** 2 / 2
    prop = stage_layout.stand(
      'mover', shape, color, size_m, (met_m - way * run_m, 0.0), high_m
    )
    start_mps = speed_mps + slowing * 2 * step_s
    velocity = (way * start_mps, 0.0, 0.0)
    prop = dataclasses.replace(prop, velocity_mps=velocity, material=material)
    return Act((prop,))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'bench_m': high_m,
    'met_m': met_m,
  }
  said = f'{_said(shape, color)} slides along a {_ADJECTIVES[block]} bench'
  return Play('speed_mps', levels, act, (bench,), step_s, said, factors)


_FALLERS = ('cube', 'sphere', 'cylinder')
# What is made of glass is hard to see before a bright wall.
_SEEN = tuple(m for m in props_lib.MATERIALS if m != 'glass')


def _fall(rng: np.random.Generator, way: int, bounce: bool) -> Play:
  """Let go at some height, and met before it is down, or as it hits."""
  step_s = 0.16 if bounce else 0.1
  shapes = ('sphere',) if bounce else _FALLERS
  solids = ('plastic', 'metal') if bounce else _SEEN
  shape, color, material = _look(rng, shapes, solids)
  size_m = _number(rng, 0.22, 0.3)
  block = 'metal' if bounce else str(rng.choice(hall.MATERIALS))
  high_m = _number(rng, 0.06, 0.12) if bounce else _number(rng, 0.1, 0.3)
  x_m = way * _number(rng, 0.0, 0.5)
  slab = hall.Block(
    'slab', block, (x_m, 0.0, high_m / 2), (0.42, 0.32, high_m / 2)
  )
  least_mps = 2.05 * G * step_s
  most_mps = 4.9 if bounce else 4.7
  # The slowest gets nearly down, or the fastest does not quite.
  last_mps = least_mps if bounce else most_mps
  drop_m = last_mps * step_s + G * step_s**2 / 2
  above_m = drop_m * (_number(rng, 0.92, 1.0) if bounce else 1.04)
  met_m = high_m + above_m + size_m / 2
  count = _CANDIDATES if bounce else 4
  speeds = np.linspace(least_mps, most_mps, count)
  levels = tuple(round(float(v**2 / 2 / G), 4) for v in speeds)

  def act(fallen_m: float) -> Act:
    at = (x_m, 0.0, met_m + fallen_m)
    prop = props_lib.Prop('mover', shape, color, size_m, at, material)
    return Act((prop,), (), round(math.sqrt(2 * fallen_m / G) - 2 * step_s, 5))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': block,
    'slab_m': high_m,
    'x_m': x_m,
    'above_m': round(above_m, 4),
  }
  said = f'{_said(shape, color)}, which was let go above a slab, falls'
  return Play('fallen_m', levels, act, (slab,), step_s, said, factors)


def _free_fall(rng: np.random.Generator, way: int) -> Play:
  return _fall(rng, way, bounce=False)


def _bouncing(rng: np.random.Generator, way: int) -> Play:
  return _fall(rng, way, bounce=True)


def _flight(rng: np.random.Generator, way: int) -> Play:
  """Dropped by something that moves on, and so falling in an arc."""
  step_s = 0.13
  shape, color, material = _look(rng, _FALLERS, _SEEN)
  size_m = _number(rng, 0.22, 0.3)
  x_m = -way * _number(rng, 0.1, 0.3)
  met_m = _number(rng, 0.75, 0.9)
  slow_mps = _number(rng, 0.4, 0.7)
  levels = _levels(slow_mps, slow_mps + _number(rng, 2.2, 2.6))
  falls_s = 2 * step_s

  def act(speed_mps: float) -> Act:
    x = x_m - way * speed_mps * falls_s
    at = (x, 0.0, met_m + G * falls_s**2 / 2)
    velocity = (way * speed_mps, 0.0, 0.0)
    prop = props_lib.Prop(
      'mover', shape, color, size_m, at, material, velocity_mps=velocity
    )
    return Act((prop,))

  factors = {
    'colors': [color],
    'shapes': [shape],
    'materials': [material],
    'sizes_m': [size_m],
    'block': '',
    'x_m': x_m,
    'met_m': met_m,
  }
  said = f'{_said(shape, color)} falls while it flies sideways'
  return Play('sideways_mps', levels, act, (), step_s, said, factors)


_TARGETS = ('cube', 'sphere', 'cylinder')
_ROLLERS = ('plastic', 'wood', 'metal', 'stone')
# What a roller may meet; a thing that is far heavier hardly moves.
_MET = ('plastic', 'wood', 'fabric')


def _pair(rng) -> tuple:
  colors = stage_layout.draw_colors(rng, 2)
  sizes_m = [_number(rng, 0.2, 0.26), _number(rng, 0.18, 0.26)]
  shape = str(rng.choice(_TARGETS))
  materials = [str(rng.choice(_ROLLERS)), str(rng.choice(_MET))]
  factors = {
    'colors': colors,
    'shapes': ['sphere', shape],
    'materials': materials,
    'sizes_m': sizes_m,
    'block': '',
  }
  return factors, _said('sphere', colors[0]), _said(shape, colors[1])


def _two(factors, at, velocity, target_at) -> tuple[props_lib.Prop, ...]:
  props = []
  for i, place in enumerate((at, target_at)):
    prop = stage_layout.stand(
      ('mover', 'target')[i],
      factors['shapes'][i],
      factors['colors'][i],
      factors['sizes_m'][i],
      place,
    )
    props.append(
      dataclasses.replace(
        prop,
        material=factors['materials'][i],
        velocity_mps=velocity if i == 0 else (0.0, 0.0, 0.0),
      )
    )
  return tuple(props)


def _head_on(rng: np.random.Generator, way: int) -> Play:
  """A sphere rolls at what stands there, met just before the blow."""
  step_s = 0.18
  factors, mover, target = _pair(rng)
  half_m = [s / 2 for s in factors['sizes_m']]
  gap_m = _number(rng, 0.03, 0.06)
  target_m = way * _number(rng, 0.0, 0.2)
  met_m = target_m - way * (sum(half_m) + gap_m)
  slow_mps = _number(rng, 0.7, 0.9)
  levels = _levels(slow_mps, slow_mps + _number(rng, 1.6, 1.9))
  factors |= {'gap_m': gap_m, 'target_m': target_m}

  def act(speed_mps: float) -> Act:
    run_m = rolled_m(speed_mps, half_m[0], 2 * step_s)
    at = (met_m - way * run_m, 0.0)
    return Act(_two(factors, at, (way * speed_mps, 0.0, 0.0), (target_m, 0.0)))

  said = f'{mover} rolls towards {target}'
  return Play('speed_mps', levels, act, (), step_s, said, factors)


def _aimed(rng: np.random.Generator, way: int) -> Play:
  """A sphere rolls away from the viewer, aimed to one side of what it hits."""
  step_s = 0.2
  factors, mover, target = _pair(rng)
  half_m = [s / 2 for s in factors['sizes_m']]
  gap_m, speed_mps = _number(rng, 0.1, 0.14), _number(rng, 1.7, 2.0)
  target_at = (way * _number(rng, 0.0, 0.4), 0.25)
  met = (target_at[0], target_at[1] - sum(half_m) - gap_m)
  levels = _levels(-28, 28, _CANDIDATES)
  factors |= {'gap_m': gap_m, 'target_m': target_at[0], 'speed_mps': speed_mps}
  run_m = rolled_m(speed_mps, half_m[0], 2 * step_s)

  def act(aim_deg: float) -> Act:
    angle = math.radians(aim_deg)
    ahead = np.array([math.sin(angle), math.cos(angle)])
    at = np.array(met) - run_m * ahead
    velocity = (*(speed_mps * ahead).tolist(), 0.0)
    return Act(_two(factors, at, velocity, target_at))

  said = f'{mover} rolls towards {target}'
  return Play('aim_deg', levels, act, (), step_s, said, factors)


def _vector(values: np.ndarray) -> protocol.Vector:
  return tuple(round(float(v), 6) for v in values)


Make = Callable[[np.random.Generator, int], Play]
# Of each cell's action, its plays by name.
KINDS: dict[str, dict[str, Make]] = {
  'slide': {'ramp': _ramp, 'bench': _bench},
  'drop': {'fall': _free_fall, 'bounce': _bouncing, 'flight': _flight},
  'collide': {'head_on': _head_on, 'aimed': _aimed},
}
