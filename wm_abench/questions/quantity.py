"""Questions about quantity: how many, which colour has more, which is deeper.

The members of a group have the same number of props with the same positions,
shapes and sizes. Only their colours or shades differ.
"""

from collections.abc import Sequence

import numpy as np

from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib

_ASSIGNMENTS = 200  # Assignments of colours before a draw is rejected.
# Rings are thick here, so that their colour is as visible as that of others.
_HOLE = 0.35
_INTRO = 'The picture was taken from straight above. '


def count(request: group_law.Request) -> group_law.Group:
  """Drafts DQ: how many of the props have a given colour."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    fewest=(1, 2, 3, 4, 5),
    total=(9, 10, 11, 12),
    others=(1, 2, 3),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, levels['background'], side)
  field = _Field(request, levels['total'], shares=(0.22, 0.29))
  color, *others = stage_layout.draw_colors(rng, 1 + levels['others'])
  rest = [str(c) for c in rng.choice(others, levels['total'])]
  factors = stage.factors | field.factors
  factors |= {'color': color, 'other_colors': others}
  factors |= {'fewest': levels['fewest']}
  prompt = _INTRO + f'How many of the objects are {color}?'
  options, members = [], []
  for number in range(levels['fewest'], levels['fewest'] + 4):
    colors = [color] * number + rest[number:]
    shots = [stage.shot(field.props(colors), 'top')]
    options.append(str(number))
    members.append(stage_layout.member(prompt, shots, factors, count=number))
  return group_law.assemble(request, 'count', options, members)


def more(request: group_law.Request) -> group_law.Group:
  """Drafts RQ: which of two colours has more props, or that they are equal.

  The colour with more props covers the larger area in half of the groups and
  the smaller area in the other half.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    fewer=(2, 3),
    difference=(1, 2, 3),
    area=('with', 'against'),
    shared=('fewer', 'more'),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, levels['background'], side)
  few, many = levels['fewer'], levels['fewer'] + levels['difference']
  # At least two props have other colours, even if both colours have many.
  field = _Field(request, 2 * many + 2, shares=(0.15, 0.32))
  first, second, *others = stage_layout.draw_colors(rng, 4)
  rest = [str(c) for c in rng.choice(others, field.total)]
  both = few if levels['shared'] == 'fewer' else many
  if levels['difference'] == 2:
    both = few + 1  # Then all members have as many props of other colours.
  sign = 1 if levels['area'] == 'with' else -1
  factors = stage.factors | field.factors
  factors |= {
    'colors': [first, second],
    'other_colors': others,
    'numbers': [few, many, both],
    'difficulty': levels['difference'],
    'area': levels['area'],
  }
  prompt = _INTRO + f'Are there more {first} or more {second} objects?'
  options = [f'the {c} ones' for c in (first, second)]
  options.append('there are as many of both')
  numbers = ((many, few), (few, many), (both, both))
  members = []
  for option, pair, larger in zip(
    options, numbers, (sign, -sign, 0), strict=True
  ):
    colors = _assign(rng, (first, second), pair, rest, field.sizes_m, larger)
    shots = [stage.shot(field.props(colors), 'top')]
    members.append(stage_layout.member(prompt, shots, factors, more=option))
  return group_law.assemble(request, 'more', options, members)


def _assign(
  rng: np.random.Generator,
  colors: tuple[str, str],
  numbers: tuple[int, int],
  rest: Sequence[str],
  sizes_m: np.ndarray,
  larger: int,
) -> list[str]:
  """Assigns colours to the props at random, under a condition on the areas.

  Args:
    rng: is consumed.
    colors: the two colours to compare.
    numbers: how many props get each of them.
    rest: the colour of each prop if it gets neither of the two.
    sizes_m: the sizes of the props.
    larger: 1 if the first colour has to cover the larger area, -1 if the
      second one has to, 0 without condition.

  Returns:
    The colour of each prop.

  Raises:
    group_law.Rejected: no such assignment was found.
  """
  n_first, n_second = numbers
  areas = sizes_m**2
  # The order of the props goes from random to sorted by area.
  for bias in np.linspace(0, 2, _ASSIGNMENTS):
    keys = rng.random(len(areas)) - bias * larger * areas / areas.max()
    order = np.argsort(keys)
    first, second = order[:n_first], order[len(order) - n_second :]
    if larger * (areas[first].sum() - areas[second].sum()) < 0:
      continue
    assigned = list(rest)
    for color, props in zip(colors, (first, second), strict=True):
      for prop in props:
        assigned[prop] = color
    return assigned
  raise group_law.Rejected('no assignment of colours with such areas')


def deeper(request: group_law.Request) -> group_law.Group:
  """Drafts CQ: which of two props has the deeper shade."""
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    color=('red', 'yellow', 'green', 'blue', 'orange', 'pink'),
    shades=((0.35, 1.0), (0.5, 1.0), (0.65, 1.0), (0.35, 0.6), (0.45, 0.7)),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 2, replace=False)]
  sizes_m = surface.unit_m * rng.uniform(1.0, 1.4, 2)
  positions_N2 = stage_layout.scatter_visible(
    rng,
    surface,
    list(zip(shapes, sizes_m, strict=True)),
    ('front',),
    surface.unit_m * 0.5,
  )
  dark, light = levels['shades']
  factors = stage.factors | {
    'color': levels['color'],
    'shapes': shapes,
    'sizes_m': stage_layout.rounded(sizes_m),
    'positions_m': stage_layout.rounded(positions_N2),
    'shades': [dark, light],
    'difficulty': round(dark / light, 3),
  }
  prompt = (
    'Which of the two objects has the deeper, darker shade of'
    f' {levels["color"]}?'
  )
  options = [f'the {stage_layout.noun_phrase("", s)}' for s in shapes]
  members = []
  for shades, option in zip(
    ((dark, light), (light, dark)), options, strict=True
  ):
    props = [
      stage_layout.stand(
        f'prop{i}', shape, levels['color'], size_m, xy, shade=shade
      )
      for i, (shape, size_m, xy, shade) in enumerate(
        zip(shapes, sizes_m, positions_N2, shades, strict=True)
      )
    ]
    shots = [stage.shot(props, 'front')]
    members.append(stage_layout.member(prompt, shots, factors, deeper=option))
  return group_law.assemble(request, 'deeper', options, members)


class _Field:
  """Many props for a top view, without their colours.

  Args:
    request: its generator is consumed.
    total: the number of props.
    shares: the least and the largest size, as shares of half the width of the
      surface.

  Attributes:
    total: the number of props.
    sizes_m: their sizes [total].
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
    self._positions_N2 = stage_layout.scatter_visible(
      rng, surface, looks, ('top',), surface.unit_m * 0.15
    )

  @property
  def factors(self) -> dict:
    return {
      'total': self.total,
      'shapes': self._shapes,
      'sizes_m': stage_layout.rounded(self.sizes_m),
      'positions_m': stage_layout.rounded(self._positions_N2),
    }

  def props(self, colors: Sequence[str]) -> list[props_lib.Prop]:
    """Returns the props with these colours, in the frame of the viewer."""
    return [
      stage_layout.stand(
        f'prop{i}', shape, color, size_m, xy, yaw_deg=yaw_deg, hole=_HOLE
      )
      for i, (shape, color, size_m, xy, yaw_deg) in enumerate(
        zip(
          self._shapes,
          colors,
          self.sizes_m,
          self._positions_N2,
          self._yaw,
          strict=True,
        )
      )
    ]


MAKERS: dict[str, group_law.Maker] = {'DQ': count, 'CQ': deeper, 'RQ': more}
