"""Questions about trajectories: the shape of the path of a prop."""

import dataclasses
import math

import numpy as np

from wm_abench.questions import group_law, stage_layout, timing
from wm_abench.worlds.tabletop import props as props_lib

# The length of one round of each path, in step lengths.
_ROUNDS = {'circle': 8, 'square': 8, 'triangle': 6, 'line': 6}
_PATH_WORDS = {
  'circle': 'a circle',
  'square': 'a square',
  'triangle': 'a triangle',
  'line': 'a straight line, there and back',
}
_SIZES = {'smaller': 0.85, 'larger': 1.0}
_KNOTS = 4  # Points of a path per step, so that a circle is round.


def trajectory(request: group_law.Request) -> group_law.Group:
  """Drafts MT: which path a prop follows, while another one moves as well.

  All paths have the same speed and duration and about the same width. They
  start at a corner, and there is a frame at each corner.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    other=tuple(_ROUNDS),
    sense=(-1, 1),
    size=tuple(_SIZES),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  steps = request.cell.images - 1
  props, step_m = _draw_followers(
    rng, surface.half_m[0], _SIZES[levels['size']]
  )
  yaw = rng.uniform(0, 2 * np.pi, 2)
  senses = (levels['sense'], int(rng.choice((-1, 1))))

  def follow(i: int, kind: str) -> props_lib.Prop:
    return _follow(props[i], kind, steps, step_m, yaw[i], senses[i])

  other = follow(1, levels['other'])
  name = stage_layout.noun_phrase(props[0].color, props[0].shape)
  prompt = timing.film_intro(steps + 1, 'top')
  prompt += f'Which path does the {name} follow?'
  factors = stage.factors | {
    **stage_layout.prop_factors(props),
    'view': 'top',
    'other_path': levels['other'],
    'senses': list(senses),
    'yaw_deg': stage_layout.rounded(np.degrees(yaw)),
    'step_m': round(step_m, 4),
  }
  members = []
  for kind in _ROUNDS:
    film = stage.film((follow(0, kind), other), 'top', steps + 1)
    members.append(stage_layout.member(prompt, film, factors, path=kind))
  options = tuple(_PATH_WORDS[kind] for kind in _ROUNDS)
  return group_law.assemble(request, 'path', options, members)


def _draw_followers(
  rng: np.random.Generator, half_m: float, share: float
) -> tuple[list[props_lib.Prop], float]:
  """Draws two props at the centres of their paths, and the step length.

  Args:
    rng: is consumed.
    half_m: half the width of the surface.
    share: see _draw_path_centres.
  """
  colors = stage_layout.draw_colors(rng, 2)
  shapes = rng.choice(props_lib.SHAPES, 2).tolist()
  sizes_m = half_m * rng.uniform(0.19, 0.22, 2)
  reach_m = stage_layout.reach_m('cube', max(sizes_m))
  step_m, centres = _draw_path_centres(rng, half_m, reach_m, share)
  looks = zip(shapes, colors, sizes_m, centres, strict=True)
  props = [
    stage_layout.stand(f'prop{i}', *look) for i, look in enumerate(looks)
  ]
  return props, step_m


def _draw_path_centres(
  rng: np.random.Generator, half_m: float, reach_m: float, share: float
) -> tuple[float, np.ndarray]:
  """Draws the step length and the centres [2, 2] of two disjoint paths.

  Each path gets a disc; the two discs lie in opposite corners of the surface. A
  path takes `share` of the radius of its disc, and the centre is shifted by at
  most half of the rest. The widest path, the line, reaches 1.5 step lengths
  from its centre.

  Args:
    rng: is consumed.
    half_m: half the width of the surface.
    reach_m: the reach of a prop, which is kept free around the paths.
    share: the radius of a path, as a share of the radius of its disc.
  """
  radius_m = 0.575 * half_m - reach_m
  corner = 0.42 * half_m * rng.choice((-1, 1), 2)
  shifts = rng.uniform(-1, 1, (2, 2)) * (1 - share) * radius_m / 2
  step_m = share * radius_m / 1.5
  return step_m, np.stack([corner, -corner]) + shifts


def _follow(
  prop: props_lib.Prop,
  kind: str,
  steps: int,
  step_m: float,
  yaw_rad: float,
  sense: int,
) -> props_lib.Prop:
  """Returns the prop with a path around its position.

  Args:
    prop: the prop at the centre of the path.
    kind: a key of _ROUNDS.
    steps: the number of steps between frames.
    step_m: the length of path per step.
    yaw_rad: the rotation of the path.
    sense: 1 for anticlockwise, -1 for clockwise.
  """
  x, y, z = prop.position_m
  cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
  path = []
  for knot in range(steps * _KNOTS + 1):
    u, v = outline(kind, knot / _KNOTS)
    u, v = step_m * u, step_m * v * sense
    point = (x + cosine * u - sine * v, y + sine * u + cosine * v, z)
    time_s = knot / _KNOTS * stage_layout.STEP_S
    path.append((time_s, tuple(round(c, 5) for c in point)))
  return dataclasses.replace(prop, position_m=path[0][1], path=tuple(path))


def outline(kind: str, length: float) -> tuple[float, float]:
  """Returns the point of a path after a length, both in step lengths.

  The centre of the path is at the origin.
  """
  length %= _ROUNDS[kind]
  if kind == 'line':
    return 1.5 - min(length, 6 - length), 0.0
  if kind == 'circle':
    # The circle starts half a step after the square's first corner, so that
    # the frames of the two paths differ.
    angle, radius = (length + 0.5) * math.pi / 4, 4 / math.pi
    return radius * math.cos(angle), radius * math.sin(angle)
  sides = _ROUNDS[kind] // 2
  radius = 1 / math.sin(math.pi / sides)
  side, along = divmod(length, 2)
  angles = [2 * math.pi * (side + k) / sides for k in (0, 1)]
  (u, v), (u2, v2) = ((math.cos(a), math.sin(a)) for a in angles)
  share = along / 2
  return (
    radius * (u + share * (u2 - u)),
    radius * (v + share * (v2 - v)),
  )


MAKERS: dict[str, group_law.Maker] = {'MT': trajectory}
