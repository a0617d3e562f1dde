"""Questions about motion: what moves, how fast, in which direction and path."""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from wm_abench.questions import group_law, stage_layout, timing
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_LAYOUTS = 80  # Layouts that are tried before a draw is rejected.
_DIRECTIONS = 16  # Directions of the move that are tried in each layout.
_VIEWS = ('front', 'top')


def identity(request: group_law.Request) -> group_law.Group:
  """MI: which of four props moves; it is another prop in each member."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds, side=stage_layout.SIDES, view=_VIEWS
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  steps = request.cell.images - 1
  colors = stage_layout.draw_colors(rng, 4)
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 4)]
  sizes_m = surface.unit_m * rng.uniform(0.7, 0.95, 4)
  distance_m = surface.unit_m * rng.uniform(1.6, 2.4)
  looks = list(zip(shapes, colors, sizes_m, strict=True))
  props, ahead = _draw_movable(rng, surface, looks, distance_m, levels['view'])
  options = [
    f'the {stage_layout.noun_phrase(c, s)}'
    for c, s in zip(colors, shapes, strict=True)
  ]
  prompt = timing.film_intro(request.cell.images, levels['view'])
  prompt += 'Which object is moving?'
  factors = stage.factors | _factors(props)
  factors |= {'view': levels['view'], 'way_m': round(distance_m, 3)}
  factors |= {'ahead': stage_layout.rounded(ahead)}
  members = []
  for i, option in enumerate(options):
    move = timing.Move(0, steps, distance_m)
    mover = timing.with_path(props[i], move, ahead)
    film = [*props[:i], mover, *props[i + 1 :]]
    shots = stage.film(film, levels['view'], request.cell.images)
    members.append(stage_layout.member(prompt, shots, factors, mover=option))
  return group_law.assemble(request, 'mover', options, members)


def _draw_movable(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  looks: Sequence[tuple[str, str, float]],
  distance_m: float,
  view: str,
) -> tuple[list[props_lib.Prop], np.ndarray]:
  """Draws positions and a direction such that each prop can make one move.

  Args:
    rng: is consumed.
    surface: the surface with its area and cameras.
    looks: the shape, colour and size in metres of each prop.
    distance_m: the distance of the move, the same for all props.
    view: the view in which all props have to be visible.

  Returns:
    The props, and the direction as a unit vector [2].

  Raises:
    group_law.Rejected: no such layout was found.
  """
  reaches = np.array([stage_layout.reach_m(s, size) for s, _, size in looks])
  half = np.array(surface.half_m)
  gap_m = 0.25 * surface.unit_m
  for _ in range(_LAYOUTS):
    starts_N2 = stage_layout.scatter(rng, reaches, half, gap_m)
    angles = rng.uniform(0, 2 * np.pi, _DIRECTIONS)
    for ahead in np.stack([np.cos(angles), np.sin(angles)], axis=1):
      ends_N2 = starts_N2 + distance_m * ahead
      inside = (np.abs(ends_N2) <= half - reaches[:, None]).all()
      if not inside or not _are_free(starts_N2, ends_N2, reaches, gap_m):
        continue
      props = [
        stage_layout.stand(f'prop{i}', *look, starts_N2[i])
        for i, look in enumerate(looks)
      ]
      if _stay_visible(props, distance_m * ahead, surface.cameras[view]):
        return props, ahead
  raise group_law.Rejected('no room for four moves')


def _are_free(
  starts_N2: np.ndarray,
  ends_N2: np.ndarray,
  reaches: np.ndarray,
  gap_m: float,
) -> bool:
  """Returns whether every prop can move to its end while the others stay."""
  shares = np.linspace(0, 1, 12)[:, None, None]
  between = starts_N2 + shares * (ends_N2 - starts_N2)
  gaps = np.linalg.norm(between[:, :, None] - starts_N2, axis=-1)
  gaps -= reaches[:, None] + reaches + gap_m
  others = ~np.eye(len(starts_N2), dtype=bool)
  return bool((gaps[:, others] >= 0).all())


def _stay_visible(props, move_m, camera) -> bool:
  """Returns whether all props are half visible before and after any move."""
  layouts = [props]
  for i, prop in enumerate(props):
    x, y, z = prop.position_m
    end_m = (x + move_m[0], y + move_m[1], z)
    mover = dataclasses.replace(prop, position_m=end_m)
    layouts.append([*props[:i], mover, *props[i + 1 :]])
  return all(stage_layout.least_visible_share(p, camera) > 0.5 for p in layouts)


_FASTER = timing.Question(
  'faster',
  'Which object moves faster while it is moving?',
  'both are equally fast',
)


def speed(request: group_law.Request) -> group_law.Group:
  """MS: which of two props moves faster.

  In half of the groups both props move the same distance, in the other half for
  the same time, so that neither distance nor time determines the key.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  unit_steps = steps // 3
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    view=_VIEWS,
    lasts=((2, 3), (1, 2), (1, 3)),
    held=('distance', 'time'),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  quick, slow = (unit_steps * n for n in levels['lasts'])
  starts = [int(n) for n in rng.integers(0, steps - slow + 1, 2)]
  distance_m = surface.half_m[0] * rng.uniform(0.75, 0.95)
  lanes = timing.draw_lanes(rng, surface, levels['lie'], distance_m)
  factors = {
    'view': levels['view'],
    'lie': levels['lie'],
    'start_steps': starts,
    'steps': [quick, slow],
    'difficulty': round(slow / quick, 3),
    'held': levels['held'],
    'shared': levels['shared'],
    'way_m': round(distance_m, 3),
  }

  def move(i: int, faster: bool) -> timing.Move:
    if levels['held'] == 'distance':
      return timing.Move(starts[i], quick if faster else slow, distance_m)
    share = 1 if faster else quick / slow
    return timing.Move(starts[i], slow, distance_m * share)

  return timing.compare(request, stage, lanes, move, _FASTER, factors)


def direction(request: group_law.Request) -> group_law.Group:
  """MD: towards which of the four props around it a prop moves."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds, side=stage_layout.SIDES, view=_VIEWS
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  steps, half_m = request.cell.images - 1, surface.half_m[0]
  colors = stage_layout.draw_colors(rng, 5)
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 5)]
  sizes_m = surface.unit_m * rng.uniform(0.65, 0.9, 5)
  middle = rng.uniform(-0.12, 0.12, 2) * half_m
  angles = np.radians(
    rng.uniform(0, 90) + 90 * np.arange(4) + rng.uniform(-12, 12, 4)
  )
  around = half_m * rng.uniform(0.68, 0.78, 4)[:, None]
  targets = around * np.stack([np.cos(angles), np.sin(angles)], axis=1)
  props = [
    stage_layout.stand(f'prop{i}', *look, xy)
    for i, (*look, xy) in enumerate(
      zip(shapes, colors, sizes_m, [middle, *targets], strict=True)
    )
  ]
  distance_m = half_m * rng.uniform(0.24, 0.34)
  names = [f'the {stage_layout.noun_phrase(p.color, p.shape)}' for p in props]
  prompt = timing.film_intro(request.cell.images, levels['view']) + (
    f'Towards which object does {names[0]} move?'
  )
  factors = stage.factors | _factors(props)
  factors |= {'view': levels['view'], 'way_m': round(distance_m, 3)}
  members = []
  camera = surface.cameras[levels['view']]
  for target, option in zip(targets, names[1:], strict=True):
    ahead = (target - middle) / np.linalg.norm(target - middle)
    move = timing.Move(0, steps, distance_m)
    mover = timing.with_path(props[0], move, ahead)
    end = dataclasses.replace(mover, position_m=mover.path[-1][1])
    for first in (props[0], end):
      if stage_layout.least_visible_share([first, *props[1:]], camera) < 0.4:
        raise group_law.Rejected('a target or the mover is hidden')
    shots = stage.film([mover, *props[1:]], levels['view'], steps + 1)
    members.append(stage_layout.member(prompt, shots, factors, target=option))
  return group_law.assemble(request, 'target', names[1:], members)


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
  """MT: which path a prop follows, while another prop follows some path too.

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
  steps, half_m = request.cell.images - 1, surface.half_m[0]
  colors = stage_layout.draw_colors(rng, 2)
  shapes = rng.choice(props_lib.SHAPES, 2).tolist()
  sizes_m = half_m * rng.uniform(0.19, 0.22, 2)
  reach_m = stage_layout.reach_m('cube', max(sizes_m))
  size = _SIZES[levels['size']]
  step_m, middles = _draw_path_centres(rng, half_m, reach_m, size)
  yaw = rng.uniform(0, 2 * np.pi, 2)
  senses = (levels['sense'], int(rng.choice((-1, 1))))
  looks = zip(shapes, colors, sizes_m, middles, strict=True)
  props = [
    stage_layout.stand(f'prop{i}', *look) for i, look in enumerate(looks)
  ]

  def follow(i: int, kind: str) -> props_lib.Prop:
    return _follow(props[i], kind, steps, step_m, yaw[i], senses[i])

  other = follow(1, levels['other'])
  name = stage_layout.noun_phrase(colors[0], shapes[0])
  prompt = timing.film_intro(request.cell.images, 'top')
  prompt += f'Which path does the {name} follow?'
  factors = stage.factors | _factors(props)
  factors |= {
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


def _factors(props: Sequence[props_lib.Prop]) -> dict:
  return {
    'colors': [p.color for p in props],
    'shapes': [p.shape for p in props],
    'sizes_m': stage_layout.rounded([p.size_m for p in props]),
    'positions_m': stage_layout.rounded([p.position_m[:2] for p in props]),
  }


MAKERS: dict[str, group_law.Maker] = {
  'MI': identity,
  'MS': speed,
  'MD': direction,
  'MT': trajectory,
}
