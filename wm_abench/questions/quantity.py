"""Questions about quantity: how many, which shade is deeper, which are more.

Things are replaced and never added: the number of props, their places, shapes
and sizes are the same in all members, and only colours or shades change.
"""

from collections.abc import Sequence

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib

_DEALS = 200  # Ways to deal colours out, before a draw is given up.
# Of rings in a field: thick, that their colour is as plain as the others'.
_HOLE = 0.35
_ABOVE = 'The picture was taken from straight above. '


def count(request: group_law.Request) -> records.Group:
  """DQ: how many props have a colour, among others of other colours."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    fewest=(1, 2, 3, 4, 5),
    total=(9, 10, 11, 12),
    others=(1, 2, 3),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, drawn['background'], side)
  field = _Field(request, drawn['total'], shares=(0.22, 0.29))
  asked, *others = stage_layout.draw_colors(rng, 1 + drawn['others'])
  rest = [str(c) for c in rng.choice(others, drawn['total'])]
  factors = stage.factors | field.factors
  factors |= {'color': asked, 'other_colors': others}
  factors |= {'fewest': drawn['fewest']}
  prompt = _ABOVE + f'How many of the objects are {asked}?'
  options, members = [], []
  for number in range(drawn['fewest'], drawn['fewest'] + 4):
    colors = [asked] * number + rest[number:]
    shots = [stage.shot(field.props(colors), 'top')]
    options.append(str(number))
    members.append(stage_layout.member(prompt, shots, factors, count=number))
  return group_law.assemble(request, 'count', options, members)


def more(request: group_law.Request) -> records.Group:
  """RQ: which of two colours has more props, or whether both have as many.

  The colour with more props covers the larger area in half the groups and the
  smaller one in the other half.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    fewer=(2, 3),
    difference=(1, 2, 3),
    area=('with', 'against'),
    shared=('fewer', 'more'),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, drawn['background'], side)
  few, many = drawn['fewer'], drawn['fewer'] + drawn['difference']
  # Two are left to the other colours where both asked ones have many.
  field = _Field(request, 2 * many + 2, shares=(0.15, 0.32))
  first, second, *others = stage_layout.draw_colors(rng, 4)
  rest = [str(c) for c in rng.choice(others, field.total)]
  both = few if drawn['shared'] == 'fewer' else many
  if drawn['difference'] == 2:
    both = few + 1  # And then the others are as many in all members.
  sign = 1 if drawn['area'] == 'with' else -1
  factors = stage.factors | field.factors
  factors |= {
    'colors': [first, second],
    'other_colors': others,
    'numbers': [few, many, both],
    'difficulty': drawn['difference'],
    'area': drawn['area'],
  }
  prompt = _ABOVE + f'Are there more {first} or more {second} objects?'
  options = [f'the {c} ones' for c in (first, second)]
  options.append('there are as many of both')
  numbers = ((many, few), (few, many), (both, both))
  members = []
  for option, pair, larger in zip(
    options, numbers, (sign, -sign, 0), strict=True
  ):
    colors = _deal(rng, (first, second), pair, rest, field.sizes_m, larger)
    shots = [stage.shot(field.props(colors), 'top')]
    members.append(stage_layout.member(prompt, shots, factors, more=option))
  return group_law.assemble(request, 'more', options, members)


def _deal(
  rng: np.random.Generator,
  colors: tuple[str, str],
  numbers: tuple[int, int],
  rest: Sequence[str],
  sizes_m: np.ndarray,
  larger: int,
) -> list[str]:
  """Colours for the props, so many of each of the two.

  Args:
    rng: is consumed.
    colors, numbers: the two that are compared.
    rest: of each prop, where it gets neither.
    sizes_m: of the props.
    larger: 1 where the first is to cover the larger area, -1 where the second,
      0 where either may.

  Raises:
    Rejected: no such deal was found.
  """
  first, second = numbers
  areas = sizes_m**2
  for lean in np.linspace(0, 2, _DEALS):  # From blind to the largest first.
    keys = rng.random(len(areas)) - lean * larger * areas / areas.max()
    order = np.argsort(keys)
    own, other = order[:first], order[len(order) - second :]
    if larger * (areas[own].sum() - areas[other].sum()) < 0:
      continue
    dealt = list(rest)
    for color, props in zip(colors, (own, other), strict=True):
      for prop in props:
        dealt[prop] = color
    return dealt
  raise group_law.Rejected('no deal of colours with such areas')


def deeper(request: group_law.Request) -> records.Group:
  """CQ: which of two props has the deeper shade; members swap the shades."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    color=('red', 'yellow', 'green', 'blue', 'orange', 'pink'),
    shades=((0.35, 1.0), (0.5, 1.0), (0.65, 1.0), (0.35, 0.6), (0.45, 0.7)),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 2, replace=False)]
  sizes_m = surface.unit_m * rng.uniform(1.0, 1.4, 2)
  places = stage_layout.set_out(
    rng,
    surface,
    list(zip(shapes, sizes_m, strict=True)),
    ('front',),
    surface.unit_m * 0.5,
  )
  dark, light = drawn['shades']
  factors = stage.factors | {
    'color': drawn['color'],
    'shapes': shapes,
    'sizes_m': stage_layout.rounded(sizes_m),
    'positions_m': stage_layout.rounded(places),
    'shades': [dark, light],
    'difficulty': round(dark / light, 3),
  }
  prompt = (
    'Which of the two objects has the deeper, darker shade of'
    f' {drawn["color"]}?'
  )
  options = [f'the {stage_layout.named("", s)}' for s in shapes]
  members = []
  for shades, option in zip(
    ((dark, light), (light, dark)), options, strict=True
  ):
    props = [
      stage_layout.stand(
        f'prop{i}', shape, drawn['color'], size_m, xy, shade=shade
      )
      for i, (shape, size_m, xy, shade) in enumerate(
        zip(shapes, sizes_m, places, shades, strict=True)
      )
    ]
    shots = [stage.shot(props, 'front')]
    members.append(stage_layout.member(prompt, shots, factors, deeper=option))
  return group_law.assemble(request, 'deeper', options, members)


class _Field:
  """Many props in a top view, all but their colours.

  Args:
    request: whose.
    total: how many.
    shares: the least and the largest size, of half the area's width.

  Attributes:
    total: how many.
    sizes_m: of each, [total].
  """

  def __init__(
    self, request: group_law.Request, total: int, shares: tuple[float, float]
  ):
    rng, surface = request.rng, stage_layout.surface_of(request)
    self.total = total
    self.sizes_m = surface.half_m[0] * rng.uniform(*shares, total)
    self._shapes = [str(s) for s in rng.choice(props_lib.SHAPES, total)]
    self._yaw = rng.uniform(0, 90, total)
    looks = list(zip(self._shapes, self.sizes_m, strict=True))
    self._places = stage_layout.set_out(
      rng, surface, looks, ('top',), surface.unit_m * 0.15
    )

  @property
  def factors(self) -> dict:
    return {
      'total': self.total,
      'shapes': self._shapes,
      'sizes_m': stage_layout.rounded(self.sizes_m),
      'positions_m': stage_layout.rounded(self._places),
    }

  def props(self, colors: Sequence[str]) -> list[props_lib.Prop]:
    return [
      stage_layout.stand(
        f'prop{i}', shape, color, size_m, xy, yaw_deg=yaw_deg, hole=_HOLE
      )
      for i, (shape, color, size_m, xy, yaw_deg) in enumerate(
        zip(
          self._shapes,
          colors,
          self.sizes_m,
          self._places,
          self._yaw,
          strict=True,
        )
      )
    ]


MAKERS: dict[str, group_law.Maker] = {'DQ': count, 'CQ': deeper, 'RQ': more}
