"""Questions about motion: what moves, how fast, towards what, on which path."""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, stage_layout, timing
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_LAYOUTS = 80  # That are tried before a draw is given up.
_WAYS = 16  # Directions of a move that are tried in each.
_VIEWS = ('front', 'top')


def identity(request: group_law.Request) -> records.Group:
  """MI: which of four props moves; in each member another makes one move."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds, side=stage_layout.SIDES, view=_VIEWS
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  steps = request.cell.images - 1
  colors = stage_layout.draw_colors(rng, 4)
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 4)]
  sizes_m = surface.unit_m * rng.uniform(0.7, 0.95, 4)
  way_m = surface.unit_m * rng.uniform(1.6, 2.4)
  looks = list(zip(shapes, colors, sizes_m, strict=True))
  props, ahead = _room_to_move(rng, surface, looks, way_m, drawn['view'])
  options = [
    f'the {stage_layout.named(c, s)}'
    for c, s in zip(colors, shapes, strict=True)
  ]
  prompt = timing.film_said(request.cell.images, drawn['view'])
  prompt += 'Which object is moving?'
  factors = stage.factors | _factors(props)
  factors |= {'view': drawn['view'], 'way_m': round(way_m, 3)}
  factors |= {'ahead': stage_layout.rounded(ahead)}
  members = []
  for i, option in enumerate(options):
    moved = timing.go(props[i], timing.Turn(0, steps, way_m), ahead)
    film = [*props[:i], moved, *props[i + 1 :]]
    shots = stage.film(film, drawn['view'], request.cell.images)
    members.append(stage_layout.member(prompt, shots, factors, mover=option))
  return group_law.assemble(request, 'mover', options, members)


def _room_to_move(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  looks: Sequence[tuple[str, str, float]],
  way_m: float,
  view: str,
) -> tuple[list[props_lib.Prop], np.ndarray]:
  """Props of which each can make one and the same move, and its direction."""
  reaches = np.array([stage_layout.reach_m(s, size) for s, _, size in looks])
  half = np.array(surface.half_m)
  gap_m = 0.25 * surface.unit_m
  for _ in range(_LAYOUTS):
    places = stage_layout.scatter(rng, reaches, half, gap_m)
    angles = rng.uniform(0, 2 * np.pi, _WAYS)
    for ahead in np.stack([np.cos(angles), np.sin(angles)], axis=1):
      ends = places + way_m * ahead
      inside = (np.abs(ends) <= half - reaches[:, None]).all()
      if not inside or not _clear(places, ends, reaches, gap_m):
        continue
      props = [
        stage_layout.stand(f'prop{i}', *look, places[i])
        for i, look in enumerate(looks)
      ]
      if _seen_throughout(props, way_m * ahead, surface.cameras[view]):
        return props, ahead
  raise group_law.Rejected('no room for four moves')


def _clear(
  places: np.ndarray, ends: np.ndarray, reaches: np.ndarray, gap_m: float
) -> bool:
  """Whether every prop can go to its end while the others stay."""
  shares = np.linspace(0, 1, 12)[:, None, None]
  between = places + shares * (ends - places)
  gaps = np.linalg.norm(between[:, :, None] - places, axis=-1)
  gaps -= reaches[:, None] + reaches + gap_m
  off = ~np.eye(len(places), dtype=bool)
  return bool((gaps[:, off] >= 0).all())


def _seen_throughout(props, move_m, camera) -> bool:
  """Whether all are half seen at the start and when any one has moved."""
  layouts = [props]
  for i, prop in enumerate(props):
    x, y, z = prop.position_m
    at = (x + move_m[0], y + move_m[1], z)
    moved = dataclasses.replace(prop, position_m=at)
    layouts.append([*props[:i], moved, *props[i + 1 :]])
  return all(stage_layout.least_seen(p, camera) > 0.5 for p in layouts)


_FASTER = timing.Question(
  'faster',
  'Which object moves faster while it is moving?',
  'both are equally fast',
)


def speed(request: group_law.Request) -> records.Group:
  """MS: which of two props moves the faster.

  In half the groups both go as far and in the other half both take as long, so
  that neither tells.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  fold = steps // 3
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    view=_VIEWS,
    lasts=((2, 3), (1, 2), (1, 3)),
    held=('distance', 'time'),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  quick, slow = (fold * n for n in drawn['lasts'])
  starts = [int(n) for n in rng.integers(0, steps - slow + 1, 2)]
  way_m = surface.half_m[0] * rng.uniform(0.75, 0.95)
  lanes = timing.draw_lanes(rng, surface, drawn['lie'], way_m)
  factors = {
    'view': drawn['view'],
    'lie': drawn['lie'],
    'start_steps': starts,
    'steps': [quick, slow],
    'difficulty': round(slow / quick, 3),
    'held': drawn['held'],
    'shared': drawn['shared'],
    'way_m': round(way_m, 3),
  }

  def turn(i: int, faster: bool) -> timing.Turn:
    if drawn['held'] == 'distance':
      return timing.Turn(starts[i], quick if faster else slow, way_m)
    return timing.Turn(starts[i], slow, way_m * (1 if faster else quick / slow))

  return timing.compare(request, stage, lanes, turn, _FASTER, factors)


def direction(request: group_law.Request) -> records.Group:
  """MD: towards which of four props around it another one moves."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds, side=stage_layout.SIDES, view=_VIEWS
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
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
    stage_layout.stand(f'prop{i}', *look, place)
    for i, (*look, place) in enumerate(
      zip(shapes, colors, sizes_m, [middle, *targets], strict=True)
    )
  ]
  way_m = half_m * rng.uniform(0.24, 0.34)
  names = [f'the {stage_layout.named(p.color, p.shape)}' for p in props]
  prompt = timing.film_said(request.cell.images, drawn['view']) + (
    f'Towards which object does {names[0]} move?'
  )
  factors = stage.factors | _factors(props)
  factors |= {'view': drawn['view'], 'way_m': round(way_m, 3)}
  members = []
  for place, option in zip(targets, names[1:], strict=True):
    ahead = (place - middle) / np.linalg.norm(place - middle)
    mover = timing.go(props[0], timing.Turn(0, steps, way_m), ahead)
    end = dataclasses.replace(mover, position_m=mover.path[-1][1])
    for first in (props[0], end):
      scene = [first, *props[1:]]
      if stage_layout.least_seen(scene, surface.cameras[drawn['view']]) < 0.4:
        raise group_law.Rejected('a target or the mover is hidden')
    shots = stage.film([mover, *props[1:]], drawn['view'], steps + 1)
    members.append(stage_layout.member(prompt, shots, factors, target=option))
  return group_law.assemble(request, 'target', names[1:], members)


# Ways round, in steps' lengths: what a whole round is long.
_ROUNDS = {'circle': 8, 'square': 8, 'triangle': 6, 'line': 6}
_PATH_WORDS = {
  'circle': 'a circle',
  'square': 'a square',
  'triangle': 'a triangle',
  'line': 'a straight line, there and back',
}
_SIZES = {'smaller': 0.85, 'larger': 1.0}
_KNOTS = 4  # A step, so that a circle is round.


def trajectory(request: group_law.Request) -> records.Group:
  """MT: which path a prop follows, while another one follows its own.

  All paths are followed at one speed for one time, from a corner on; they are
  about as wide as each other, and frames fall on the corners.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    other=tuple(_ROUNDS),
    sense=(-1, 1),
    size=tuple(_SIZES),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  steps, half_m = request.cell.images - 1, surface.half_m[0]
  colors = stage_layout.draw_colors(rng, 2)
  shapes = rng.choice(props_lib.SHAPES, 2).tolist()
  sizes_m = half_m * rng.uniform(0.19, 0.22, 2)
  reach_m = stage_layout.reach_m('cube', max(sizes_m))
  step_m, middles = _two_fields(rng, half_m, reach_m, _SIZES[drawn['size']])
  yaw = rng.uniform(0, 2 * np.pi, 2)
  senses = (drawn['sense'], int(rng.choice((-1, 1))))
  looks = zip(shapes, colors, sizes_m, middles, strict=True)
  props = [
    stage_layout.stand(f'prop{i}', *look) for i, look in enumerate(looks)
  ]

  def follow(i: int, kind: str) -> props_lib.Prop:
    return _follow(props[i], kind, steps, step_m, yaw[i], senses[i])

  other = follow(1, drawn['other'])
  prompt = timing.film_said(request.cell.images, 'top') + (
    f'Which path does the {stage_layout.named(colors[0], shapes[0])} follow?'
  )
  factors = stage.factors | _factors(props)
  factors |= {
    'view': 'top',
    'other_path': drawn['other'],
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


def _two_fields(
  rng: np.random.Generator, half_m: float, reach_m: float, share: float
) -> tuple[float, np.ndarray]:
  """A step's length, and the middles [2, 2] of two paths that stay apart.

  Two circles of the room's radius fit into opposite corners of the area; half
  of a line, the widest of the paths, is 1.5 steps' lengths.
  """
  room_m = 0.575 * half_m - reach_m
  corner = 0.42 * half_m * rng.choice((-1, 1), 2)
  slack = rng.uniform(-1, 1, (2, 2)) * (1 - share) * room_m / 2
  return share * room_m / 1.5, np.stack([corner, -corner]) + slack


def _follow(
  prop: props_lib.Prop,
  kind: str,
  steps: int,
  step_m: float,
  yaw_rad: float,
  sense: int,
) -> props_lib.Prop:
  """The prop on a path around where it stands, at a step's length a step."""
  x, y, z = prop.position_m
  cosine, sine = math.cos(yaw_rad), math.sin(yaw_rad)
  path = []
  for knot in range(steps * _KNOTS + 1):
    u, v = outline(kind, knot / _KNOTS)
    u, v = step_m * u, step_m * v * sense
    at = (x + cosine * u - sine * v, y + sine * u + cosine * v, z)
    time_s = knot / _KNOTS * stage_layout.STEP_S
    path.append((time_s, tuple(round(c, 5) for c in at)))
  return dataclasses.replace(prop, position_m=path[0][1], path=tuple(path))


def outline(kind: str, gone: float) -> tuple[float, float]:
  """A path's point after a length, about its middle, in steps' lengths."""
  gone %= _ROUNDS[kind]
  if kind == 'line':
    return 1.5 - min(gone, 6 - gone), 0.0
  if kind == 'circle':
    # Half a step on from a square's corner, so that frames are unlike too.
    angle, radius = (gone + 0.5) * math.pi / 4, 4 / math.pi
    return radius * math.cos(angle), radius * math.sin(angle)
  sides = _ROUNDS[kind] // 2
  radius = 1 / math.sin(math.pi / sides)
  side, along = divmod(gone, 2)
  turns = [2 * math.pi * (side + k) / sides for k in (0, 1)]
  (u, v), (u2, v2) = ((math.cos(t), math.sin(t)) for t in turns)
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
