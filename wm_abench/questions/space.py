"""Questions about space: relation, vacancy, occupancy, and the top view."""

from collections.abc import Mapping, Sequence
import math

from wm_abench.core import records
from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib

# The relation, and the way to it as the viewer sees it.
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


def relation(request: group_law.Request) -> records.Group:
  """SR: where one prop is, seen from the other."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    left_out=tuple(_RELATIONS),
    base=('cube', 'cylinder'),
    shape=('cube', 'sphere', 'cylinder', 'cone'),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors, unit = stage_layout.draw_colors(rng, 2), surface.unit_m
  size_m = unit * rng.uniform(0.95, 1.15), unit * rng.uniform(0.7, 0.9)
  far_m, askew_m = unit * rng.uniform(2.1, 2.5), unit * rng.uniform(-0.3, 0.3)
  room_m = surface.half_m[0] - far_m - unit
  middle, yaw = rng.uniform(-room_m, room_m, 2), rng.uniform(0, 90, 2)
  factors = stage.factors | {
    'colors': colors,
    'shapes': [drawn['base'], drawn['shape']],
    'sizes_m': stage_layout.rounded(size_m),
    'base_m': stage_layout.rounded(middle),
    'distance_m': round(far_m, 3),
    'left_out': drawn['left_out'],
  }
  names = [*map(stage_layout.named, colors, factors['shapes'])]
  prompt = _TWO_VIEWS.format(
    second='from straight above, with the front at the bottom'
  ) + (f'Where is the {names[1]}, as seen in the first picture?')
  base = stage_layout.stand(
    'base', drawn['base'], colors[0], size_m[0], middle, yaw_deg=yaw[0]
  )
  options, members = [], []
  for name in [r for r in _RELATIONS if r != drawn['left_out']]:
    x, y = _RELATIONS[name]
    way = (x * far_m + y * askew_m, y * far_m - x * askew_m)
    other = stage_layout.stand(
      'other',
      drawn['shape'],
      colors[1],
      size_m[1],
      middle + way,
      on_m=stage_layout.height_m(base) if name == 'on top of' else 0.0,
      yaw_deg=yaw[1],
    )
    _must_be_seen(stage, (base, other), ('front',))
    options.append(f'{name} the {names[0]}')
    shots = [stage.shot((base, other), view) for view in ('front', 'top')]
    members.append(stage_layout.member(prompt, shots, factors, relation=name))
  return group_law.assemble(request, 'relation', options, members)


def vacancy(request: group_law.Request) -> records.Group:
  """SE-V: whether a prop fits into a ring's hole.

  In half the groups only the hole differs between the members and in the other
  half only the prop, and both come in many sizes, so that neither tells much
  alone. The ring as a whole is always larger than the prop.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  views = {1: ('top',), 3: ('front', 'top', 'left')}[request.cell.images]
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=('cylinder', 'sphere'),
    margin=(1.2, 1.3, 1.4),
    share=(0.3, 0.42, 0.57),
    changed=('hole', 'prop'),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors, share = stage_layout.draw_colors(rng, 2), drawn['share']
  # Rings with a small hole are large, for the hole is to be seen.
  ring_m = surface.half_m[0] * rng.uniform(0.47, 0.57) / math.sqrt(share)
  largest_m = ring_m * share * drawn['margin']
  looks = (('torus', ring_m), (drawn['shape'], largest_m))
  places = stage_layout.set_out(
    rng, surface, looks, views, surface.unit_m * 0.3
  )
  factors = stage.factors | {
    'colors': colors,
    'ring_m': round(ring_m, 4),
    **{k: drawn[k] for k in ('shape', 'share', 'margin', 'changed')},
    'positions_m': stage_layout.rounded(places),
  }
  prompt = _views_said(views) + (
    f'Can the {stage_layout.named(colors[1], drawn["shape"])}, kept upright, go into'
    f' the hole of the {colors[0]} ring?'
  )
  members = []
  for wider in (drawn['margin'], 1 / drawn['margin']):
    hole, size_m = share * wider, ring_m * share
    if drawn['changed'] == 'prop':
      hole, size_m = share, ring_m * share / wider
    props = (
      stage_layout.stand(
        'ring', 'torus', colors[0], ring_m, places[0], hole=hole
      ),
      stage_layout.stand('prop', drawn['shape'], colors[1], size_m, places[1]),
    )
    shots = [stage.shot(props, view) for view in views]
    members.append(
      stage_layout.member(prompt, shots, factors, hole_to_prop=round(wider, 3))
    )
  return group_law.assemble(request, 'hole_to_prop', ('yes', 'no'), members)


def occupancy(request: group_law.Request) -> records.Group:
  """SE-O: which of two props of one shape is the larger; members swap sizes."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=props_lib.SHAPES,
    ratio=(1.2, 1.35, 1.5, 1.8),
    farther=(-1, 0, 1),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors = stage_layout.draw_colors(rng, 2)
  middling_m = surface.half_m[0] * rng.uniform(0.3, 0.36)
  small_m = middling_m / math.sqrt(drawn['ratio'])
  large_m = small_m * drawn['ratio']
  x_m = surface.half_m[0] * rng.uniform(0.35, 0.6, 2)
  y_m = surface.half_m[1] * rng.uniform(-0.2, 0.2)
  farther_m = surface.half_m[1] * 0.3 * drawn['farther']
  places = [(-x_m[0], y_m + farther_m), (x_m[1], y_m - farther_m)]
  yaw = rng.uniform(0, 90, 2)
  factors = stage.factors | {
    'colors': colors,
    'shape': drawn['shape'],
    'sizes_m': stage_layout.rounded((small_m, large_m)),
    'ratio': drawn['ratio'],
    'farther': drawn['farther'],
    'positions_m': stage_layout.rounded(places),
  }
  options = [f'the {stage_layout.named(c, drawn["shape"])}' for c in colors]
  prompt = 'Which of the two objects is larger?'
  members = []
  for largest in range(2):
    sizes_m = [large_m if i == largest else small_m for i in range(2)]
    props = [
      stage_layout.stand(f'prop{i}', drawn['shape'], *look, yaw_deg=yaw[i])
      for i, look in enumerate(zip(colors, sizes_m, places, strict=True))
    ]
    shots = [stage.shot(props, 'front')]
    members.append(
      stage_layout.member(prompt, shots, factors, larger=options[largest])
    )
  return group_law.assemble(request, 'larger', options, members)


def top_view(request: group_law.Request) -> records.Group:
  """SP: which top view shows the scene of a front and a left view.

  The four layouts of a group are one scene of two cubes with a ball on one of
  them and three changes of it; each member asks for another one of the four.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    slant=(-1, 1),
    left_out=_LAYOUTS[1:],
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors, half_m = stage_layout.draw_colors(rng, 3), surface.half_m[0]
  size_m = half_m * rng.uniform(0.25, 0.29)
  apart_m = size_m * rng.uniform((1.0, 0.75), (1.3, 1.0))
  apart_m[1] *= drawn['slant']
  middle = rng.uniform(-0.22, 0.22, 2) * half_m
  factors = stage.factors | {
    'colors': colors,
    'size_m': round(size_m, 4),
    'middle_m': stage_layout.rounded(middle),
    'apart_m': stage_layout.rounded(apart_m),
    'left_out': drawn['left_out'],
  }
  layouts = {
    name: _layout(name, colors, size_m, middle, apart_m)
    for name in _LAYOUTS
    if name != drawn['left_out']
  }
  for props in layouts.values():
    _must_be_seen(stage, props, ('front', 'left'))
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
  """Two cubes, one to either side of the middle, and a ball on one."""
  way_m = apart_m * ((-1, 1) if name == 'mirrored' else (1, 1))
  first, second = middle + way_m, middle - way_m
  cubes = colors[1::-1] if name == 'colors swapped' else colors[:2]
  ball_m = size_m * (0.6 if name == 'ball resized' else 0.95)
  below = second if name == 'ball moved' else first
  return (
    stage_layout.stand('cube1', 'cube', cubes[0], size_m, first),
    stage_layout.stand('cube2', 'cube', cubes[1], size_m, second),
    stage_layout.stand('ball', 'sphere', colors[2], ball_m, below, on_m=size_m),
  )


def _must_be_seen(
  stage: stage_layout.Stage,
  props: Sequence[props_lib.Prop],
  views: Sequence[str],
) -> None:
  for view in views:
    if stage_layout.least_seen(props, stage.surface.cameras[view]) < 0.5:
      raise group_law.Rejected(f'something is hidden in the {view} view')


_VIEW_WORDS: Mapping[str, str] = {
  'front': 'from the front',
  'top': 'from straight above',
  'left': 'from the left',
}


def _views_said(views: Sequence[str]) -> str:
  if len(views) == 1:
    return f'The picture was taken {_VIEW_WORDS[views[0]]}. '
  said = ', then '.join(_VIEW_WORDS[v] for v in views)
  return f'The pictures show one scene {said}. '


MAKERS: dict[str, group_law.Maker] = {
  'SR': relation,
  'SE-V': vacancy,
  'SE-O': occupancy,
  'SP': top_view,
}
