"""Where things stand in the pictures of an item, read off its state.

What a policy in training is told beside the answers: the simulator knows it and
the pictures show it. Who is evaluated is told none of it.
"""

import math
from typing import NamedTuple

from wm_abench.core import dimensions, records
from wm_abench.questions import stage_layout

# From where a scene at rest is shown; a film's view is among its factors.
_VIEWS = {
  'SR': ('front', 'top'),
  'V-C': ('front', 'left', 'top'),
  'V-S': ('front', 'left', 'top'),
}
_LEAST = 0.002  # Of the picture's width; to move less is to stand still.


class Sighting(NamedTuple):
  """A thing in a picture.

  Attributes:
    x: of its centre, from 0 on the left to 1 on the right.
    y: likewise from the top down.
    color: one of props.COLORS.
    shape: one of props.SHAPES.
    moved: the way it went in the picture since the one before, if in a film:
      'left', 'right', 'up', 'down', or '' where it stood still.
  """

  x: float
  y: float
  color: str
  shape: str
  moved: str = ''


def of(item: records.Item) -> list[list[Sighting]]:
  """The things in each of the item's images; none where they are not known."""
  factors, cell = item.factors, dimensions.CELLS[item.cell]
  views = _VIEWS.get(cell.dimension, ())
  if 'view' in factors:
    views = (factors['view'],) * len(item.images)
  if not views or not item.state:
    return [[] for _ in item.images]
  stage = stage_layout.Stage(
    cell.environment, factors['background'], factors['side'], seed=0
  )
  looks = _looks(item)
  found: list[list[Sighting]] = []
  for state, view in zip(item.state['images'], views, strict=True):
    own = []
    for body, look in zip(state['bodies'].values(), looks, strict=True):
      right, up = stage_layout.project(stage.camera(view), body['position_m'])
      own.append(Sighting((1 + right) / 2, (1 - up) / 2, *look))
    if found and 'view' in factors:
      own = [
        after._replace(moved=_moved(before, after))
        for before, after in zip(found[-1], own, strict=True)
      ]
    found.append(own)
  return found


def _moved(before: Sighting, after: Sighting) -> str:
  right, down = after.x - before.x, after.y - before.y
  if math.hypot(right, down) < _LEAST:
    return ''
  if abs(right) > abs(down):
    return 'right' if right > 0 else 'left'
  return 'down' if down > 0 else 'up'


def _looks(item: records.Item) -> list[tuple[str, str]]:
  """Colour and shape of each thing, in the state's order."""
  factors = item.factors
  colors = factors.get('colors') or [factors['color'], *factors['other_colors']]
  shapes = factors['shapes']
  if 'shape' in factors:
    shapes = [factors['shape'], *shapes]
  return list(zip(colors, shapes, strict=True))
