"""Questions about space: relation, vacancy, occupancy, and the top view."""

from collections.abc import Mapping, Sequence
import math

from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib

# Relation -> its direction (x to the right, y away) in the viewer's frame.
_RELATIONS = {
  'in front of': (0, -1),
  'behind': (0, 1),
  'to the left of': (-1, 0),
  'to the right of': (1, 0),
  'on top of': (0, 0),
}
_TWO_VIEWS = (
  'Two pictures show one scene: the first from the front, the second {second}. '
)


def relation(request: group_law.Request) -> group_law.Group:
  """Drafts SR: the spatial relation of one prop to another."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    left_out=tuple(_RELATIONS),
    base=('cube', 'cylinder'),
    shape=('cube', 'sphere', 'cylinder', 'cone'),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  colors, unit = stage_layout.draw_colors(rng, 2), surface.unit_m
  size_m = unit * rng.uniform(0.95, 1.15), unit * rng.uniform(0.7, 0.9)
  distance_m = unit * rng.uniform(2.1, 2.5)
  sideways_m = unit * rng.uniform(-0.3, 0.3)
  room_m = surface.half_m[0] - distance_m - unit
  middle, yaw = rng.uniform(-room_m, room_m, 2), rng.uniform(0, 90, 2)
  factors = stage.factors | {
    'colors': colors,
    'shapes': [levels['base'], levels['shape']],
    'sizes_m': stage_layout.rounded(size_m),
    'base_m': stage_layout.rounded(middle),
    'distance_m': round(distance_m, 3),
    'left_out': levels['left_out'],
  }
  names = [*map(stage_layout.noun_phrase, colors, factors['shapes'])]
  prompt = _TWO_VIEWS.format(
    second='from straight above, with the front at the bottom'
  ) + (f'Where is the {names[1]}, as seen in the first picture?')
  base = stage_layout.stand(
    'base', levels['base'], colors[0], size_m[0], middle, yaw_deg=yaw[0]
  )
  options, members = [], []
  for name in [r for r in _RELATIONS if r != levels['left_out']]:
    offset_m = _offset_m(_RELATIONS[name], distance_m, sideways_m)
    other = stage_layout.stand(
      'other',
      levels['shape'],
      colors[1],
      size_m[1],
      middle + offset_m,
      on_m=props_lib.height_m(base) if name == 'on top of' else 0.0,
      yaw_deg=yaw[1],
    )
    _check_visible(stage, (base, other), ('front',))
    options.append(f'{name} the {names[0]}')
    shots = [stage.shot((base, other), view) for view in ('front', 'top')]
    members.append(stage_layout.member(prompt, shots, factors, relation=name))
  return group_law.assemble(request, 'relation', options, members)


def _offset_m(
  direction: tuple[int, int], distance_m: float, sideways_m: float
) -> tuple[float, float]:
  """Returns the position of a prop relative to the other one.

  Args:
    direction: see _RELATIONS.
    distance_m: the distance in this direction.
    sideways_m: the distance to the right of this direction.
  """
  x, y = direction
  return x * distance_m + y * sideways_m, y * distance_m - x * sideways_m


def vacancy(request: group_law.Request) -> group_law.Group:
  """Drafts SE-V: whether a prop fits into the hole of a ring.

  The members of half of the groups differ in the size of the hole, those of the
  other half in the size of the prop. Both sizes have many levels, so that one
  size alone is a weak cue. The ring itself is always larger than the prop.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  views = {1: ('top',), 3: ('front', 'top', 'left')}[request.cell.images]
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=('cylinder', 'sphere'),
    margin=(1.2, 1.3, 1.4),
    share=(0.3, 0.42, 0.57),
    changed=('hole', 'prop'),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  colors, share = stage_layout.draw_colors(rng, 2), levels['share']
  # Rings with a relatively small hole are large so that the hole is visible.
  ring_m = surface.half_m[0] * rng.uniform(0.47, 0.57) / math.sqrt(share)
  largest_m = ring_m * share * levels['margin']
  looks = (('torus', ring_m), (levels['shape'], largest_m))
  positions_N2 = stage_layout.scatter_visible(
    rng, surface, looks, views, surface.unit_m * 0.3
  )
  factors = stage.factors | {
    'colors': colors,
    'ring_m': round(ring_m, 4),
    **{k: levels[k] for k in ('shape', 'share', 'margin', 'changed')},
    'positions_m': stage_layout.rounded(positions_N2),
  }
  prompt = _views_intro(views) + _fit_question(colors, levels['shape'])
  members = []
  for ratio in (levels['margin'], 1 / levels['margin']):
    hole, size_m = _hole_and_size(levels['changed'], ring_m, share, ratio)
    props = (
      stage_layout.stand(
        'ring', 'torus', colors[0], ring_m, positions_N2[0], hole=hole
      ),
      stage_layout.stand(
        'prop', levels['shape'], colors[1], size_m, positions_N2[1]
      ),
    )
    shots = [stage.shot(props, view) for view in views]
    members.append(
      stage_layout.member(prompt, shots, factors, hole_to_prop=round(ratio, 3))
    )
  return group_law.assemble(request, 'hole_to_prop', ('yes', 'no'), members)


def _fit_question(colors: Sequence[str], shape: str) -> str:
  name = stage_layout.noun_phrase(colors[1], shape)
  return (
    f'Can the {name}, kept upright, go into the hole of the {colors[0]} ring?'
  )


def _hole_and_size(
  changed: str, ring_m: float, share: float, ratio: float
) -> tuple[float, float]:
  """Returns the hole, as a share of the ring, and the size of the prop.

  Args:
    changed: whether the 'hole' or the 'prop' differs from the base size.
    ring_m: the size of the ring.
    share: the base size of hole and prop, as a share of the ring.
    ratio: the size of the hole relative to that of the prop.
  """
  if changed == 'prop':
    return share, ring_m * share / ratio
  return share * ratio, ring_m * share


def occupancy(request: group_law.Request) -> group_law.Group:
  """Drafts SE-O: which of two props of the same shape is larger.

  The members differ in which of the two props has the larger size.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=props_lib.SHAPES,
    ratio=(1.2, 1.35, 1.5, 1.8),
    farther=(-1, 0, 1),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  colors = stage_layout.draw_colors(rng, 2)
  middling_m = surface.half_m[0] * rng.uniform(0.3, 0.36)
  small_m = middling_m / math.sqrt(levels['ratio'])
  large_m = small_m * levels['ratio']
  x_m = surface.half_m[0] * rng.uniform(0.35, 0.6, 2)
  y_m = surface.half_m[1] * rng.uniform(-0.2, 0.2)
  farther_m = surface.half_m[1] * 0.3 * levels['farther']
  positions_N2 = [(-x_m[0], y_m + farther_m), (x_m[1], y_m - farther_m)]
  yaw = rng.uniform(0, 90, 2)
  factors = stage.factors | {
    'colors': colors,
    'shape': levels['shape'],
    'sizes_m': stage_layout.rounded((small_m, large_m)),
    'ratio': levels['ratio'],
    'farther': levels['farther'],
    'positions_m': stage_layout.rounded(positions_N2),
  }
  options = [
    f'the {stage_layout.noun_phrase(c, levels["shape"])}' for c in colors
  ]
  prompt = 'Which of the two objects is larger?'
  members = []
  for largest in range(2):
    sizes_m = [large_m if i == largest else small_m for i in range(2)]
    props = [
      stage_layout.stand(f'prop{i}', levels['shape'], *look, yaw_deg=yaw[i])
      for i, look in enumerate(zip(colors, sizes_m, positions_N2, strict=True))
    ]
    shots = [stage.shot(props, 'front')]
    members.append(
      stage_layout.member(prompt, shots, factors, larger=options[largest])
    )
  return group_law.assemble(request, 'larger', options, members)


def top_view(request: group_law.Request) -> group_law.Group:
  """Drafts SP: which top view belongs to a front view and a left view.

  A group has four layouts: two cubes with a ball on one of them, and three
  changes of this. The members show different layouts of the four.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    slant=(-1, 1),
    left_out=_LAYOUTS[1:],
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  colors, half_m = stage_layout.draw_colors(rng, 3), surface.half_m[0]
  size_m = half_m * rng.uniform(0.25, 0.29)
  apart_m = size_m * rng.uniform((1.0, 0.75), (1.3, 1.0))
  apart_m[1] *= levels['slant']
  middle = rng.uniform(-0.22, 0.22, 2) * half_m
  factors = stage.factors | {
    'colors': colors,
    'size_m': round(size_m, 4),
    'middle_m': stage_layout.rounded(middle),
    'apart_m': stage_layout.rounded(apart_m),
    'left_out': levels['left_out'],
  }
  layouts = {
    name: _layout(name, colors, size_m, middle, apart_m)
    for name in _LAYOUTS
    if name != levels['left_out']
  }
  for props in layouts.values():
    _check_visible(stage, props, ('front', 'left'))
  prompt = _TWO_VIEWS.format(second='from the left') + (
    'Which picture shows it from straight above, with the front at the bottom?'
  )
  members = [
    stage_layout.member(
      prompt,
      [stage.shot(props, view) for view in ('front', 'left')],
      factors,
      layout=name,
    )
    for name, props in layouts.items()
  ]
  options = [stage.shot(props, 'top') for props in layouts.values()]
  return group_law.assemble(request, 'layout', options, members)


_LAYOUTS = (
  'base',
  'ball moved',
  'colors swapped',
  'ball resized',
  'mirrored',
)


def _layout(
  name: str, colors: Sequence[str], size_m: float, middle, apart_m
) -> tuple[props_lib.Prop, ...]:
  """Returns two cubes on either side of the middle, and a ball on one."""
  offset_m = apart_m * ((-1, 1) if name == 'mirrored' else (1, 1))
  first, second = middle + offset_m, middle - offset_m
  cubes = colors[1::-1] if name == 'colors swapped' else colors[:2]
  ball_m = size_m * (0.6 if name == 'ball resized' else 0.95)
  below = second if name == 'ball moved' else first
  return (
    stage_layout.stand('cube1', 'cube', cubes[0], size_m, first),
    stage_layout.stand('cube2', 'cube', cubes[1], size_m, second),
    stage_layout.stand('ball', 'sphere', colors[2], ball_m, below, on_m=size_m),
  )


def _check_visible(
  stage: stage_layout.Stage,
  props: Sequence[props_lib.Prop],
  views: Sequence[str],
) -> None:
  """Raises Rejected if more than half of some prop is hidden in a view."""
  for view in views:
    camera = stage.surface.cameras[view]
    if stage_layout.least_visible_share(props, camera) < 0.5:
      raise group_law.Rejected(f'something is hidden in the {view} view')


_VIEW_WORDS: Mapping[str, str] = {
  'front': 'from the front',
  'top': 'from straight above',
  'left': 'from the left',
}


def _views_intro(views: Sequence[str]) -> str:
  if len(views) == 1:
    return f'The picture was taken {_VIEW_WORDS[views[0]]}. '
  words = ', then '.join(_VIEW_WORDS[v] for v in views)
  return f'The pictures show one scene {words}. '


MAKERS: dict[str, group_law.Maker] = {
  'SR': relation,
  'SE-V': vacancy,
  'SE-O': occupancy,
  'SP': top_view,
}
