"""Questions about motion: what moves, how fast, and in which direction."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from wm_abench.questions import group_law, stage_layout, timing
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_LAYOUTS = 80  # Layouts that are tried before a draw is rejected.
_DIRECTIONS = 16  # Directions of the move that are tried in each layout.
_VIEWS = ('front', 'top')


def identity(request: group_law.Request) -> group_law.Group:
  """Drafts MI: which of four props moves."""
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
  factors = stage.factors | stage_layout.prop_factors(props)
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
  """Drafts MS: which of two props moves faster.

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
  """Drafts MD: towards which of four props another prop moves."""
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
  factors = stage.factors | stage_layout.prop_factors(props)
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


MAKERS: dict[str, group_law.Maker] = {
  'MI': identity,
  'MS': speed,
  'MD': direction,
}
