"""Labels of the objects in an item's pictures, computed from its states.

They are auxiliary targets in training: the simulator knows them and the
pictures show them. No evaluation uses them.
"""

import math
from typing import NamedTuple

from wm_abench.core import dimensions, records
from wm_abench.questions import stage_layout

# Views of a static scene by dimension. The view of a film is one of its
# factors.
_VIEWS = {
  'SR': ('front', 'top'),
  'V-C': ('front', 'left', 'top'),
  'V-S': ('front', 'left', 'top'),
}
_MIN_MOTION = 0.002  # In picture widths; an object that moves less is at rest.


class ObjectLabel(NamedTuple):
  """An object in a picture.

  Attributes:
    x: position of its centre, from 0 on the left to 1 on the right.
    y: position of its centre, from 0 at the top to 1 at the bottom.
    color: one of props.COLORS.
    shape: one of props.SHAPES.
    moved: its direction of motion since the previous picture of a film:
      'left', 'right', 'up' or 'down'; '' at rest or if there is none.
  """

  x: float
  y: float
  color: str
  shape: str
  moved: str = ''


def labels_of(item: records.Item) -> list[list[ObjectLabel]]:
  """Returns the objects in each of the item's images.

  The lists are empty for dimensions whose views are not known.
  """
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
  labels: list[list[ObjectLabel]] = []
  for state, view in zip(item.state['images'], views, strict=True):
    objects = []
    for body, look in zip(state['bodies'].values(), looks, strict=True):
      right, up = stage_layout.project(stage.camera(view), body['position_m'])
      objects.append(ObjectLabel((1 + right) / 2, (1 - up) / 2, *look))
    if labels and 'view' in factors:
      objects = [
        after._replace(moved=_direction(before, after))
        for before, after in zip(labels[-1], objects, strict=True)
      ]
    labels.append(objects)
  return labels


def _direction(before: ObjectLabel, after: ObjectLabel) -> str:
  right, down = after.x - before.x, after.y - before.y
  if math.hypot(right, down) < _MIN_MOTION:
    return ''
  if abs(right) > abs(down):
    return 'right' if right > 0 else 'left'
  return 'down' if down > 0 else 'up'


def _looks(item: records.Item) -> list[tuple[str, str]]:
  """Returns colour and shape of each object, in the order of the state."""
  factors = item.factors
  colors = factors.get('colors') or [factors['color'], *factors['other_colors']]
  shapes = factors['shapes']
  if 'shape' in factors:
    shapes = [factors['shape'], *shapes]
  return list(zip(colors, shapes, strict=True))
