"""Acts of robot arms at a kitchen counter: instructions with their actions.

Each public function from `push_directions` on is a design. For one draw of
objects it returns four acts, mostly the combinations of two binary choices, so
that knowing one of the choices leaves two options. Or it returns a single act,
which the group then applies to four different starts.
"""

from collections.abc import Callable, Sequence
import dataclasses
import itertools

import numpy as np

from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import objects, scenes

_LEFT, _RIGHT = scenes.LEFT, scenes.RIGHT
# Direction -> heading in degrees and phrase.
_DIRECTIONS: dict[str, tuple[int, str]] = {
  'right': (0, 'to the right'),
  'away': (90, 'away from you, towards the wall'),
  'left': (180, 'to the left'),
  'towards': (270, 'towards you'),
}
_ACROSS, _ALONG = ('left', 'right'), ('away', 'towards')
# Direction of a push -> the side of the object where the fingers come down.
_BESIDE = {
  'right': 'on the left of',
  'away': 'in front of',
  'left': 'on the right of',
  'towards': 'behind',
}


@dataclasses.dataclass(frozen=True)
class Act:
  """An instruction to one or two arms.

  Attributes:
    level: its level of the factor 'action'.
    words: the instruction, a predicate or clause of the prompt.
    actions: the actions that carry it out.
  """

  level: str
  words: str
  actions: tuple[protocol.Action, ...]


@dataclasses.dataclass(frozen=True)
class Draw:
  """What is drawn for a group: factor levels, objects, and a generator."""

  levels: dict[str, str]
  things: tuple[scenes.Thing, ...]
  rng: np.random.Generator

  def name(self, index: int) -> str:
    """Returns the noun phrase of an object, such as 'the red mug'."""
    thing = self.things[index]
    return f'the {thing.color} {objects.KINDS[thing.kind].noun}'


Design = Callable[[Draw], Sequence[Act]]


def action(name: str, *values: float) -> protocol.Action:
  return protocol.Action(name, tuple(float(v) for v in values))


# Lifts of one object, for any world whose actions include 'lift'.


def lift_or_leave(
  name: str, index: int, heights_cm: tuple[int, int]
) -> list[Act]:
  """Returns lifts of an object with closed and with open fingers.

  Args:
    name: the noun phrase of the object.
    index: the object's index in the scene.
    heights_cm: two heights of the hand, each combined with both grips.
  """
  grip = {1: 'closes them on it', 0: 'leaves them open'}
  return [
    Act(
      f'{"grips" if grips else "open"}, {height_cm} cm',
      f'lowers its open fingers around {name}, {grip[grips]}, and takes'
      f' its hand up by {height_cm} cm',
      (action('lift', index, height_cm / 100, grips),),
    )
    for grips, height_cm in itertools.product((1, 0), heights_cm)
  ]


def lift(name: str, index: int, height_cm: int, kind: str) -> Act:
  """Returns the lift of an object; `kind` identifies it in the level."""
  return Act(
    f'{kind}, {height_cm} cm',
    f'grasps {name} and lifts it by {height_cm} cm',
    (action('lift', index, height_cm / 100, 1),),
  )


# Designs with one arm and one action.


def push_directions(draw: Draw) -> list[Act]:
  return [
    Act(
      direction,
      f'sets its fingers against {draw.name(0)} and pushes it 12 cm {words},'
      ' then takes its hand straight up',
      (action('push', 0, heading, 0.12, 0),),
    )
    for direction, (heading, words) in _DIRECTIONS.items()
  ]


def push_one_direction(draw: Draw) -> list[Act]:
  direction = [*_DIRECTIONS][draw.rng.integers(len(_DIRECTIONS))]
  heading, words = _DIRECTIONS[direction]
  return [
    Act(
      direction,
      f'sets its fingers against {draw.name(0)} and pushes it 8 cm {words},'
      ' then takes its hand straight up',
      (action('push', 0, heading, 0.08, 0),),
    )
  ]


def push_heights(draw: Draw) -> list[Act]:
  directions = _ACROSS if draw.rng.integers(2) else _ALONG
  low = 'low enough to touch it'
  over = 'but keeps their tips 3 cm higher than its top'
  return [
    Act(
      f'{direction}, {name}',
      f'lowers its fingers {_BESIDE[direction]} {draw.name(0)}, {where}, moves'
      f' them 18 cm {_DIRECTIONS[direction][1]}, across where it stands, and'
      ' then takes its hand straight up',
      (action('push', 0, _DIRECTIONS[direction][0], 0.135, height),),
    )
    for direction, (name, where, height) in itertools.product(
      directions, (('low', low, 0), ('over', over, 0.03))
    )
  ]


def push_which(draw: Draw) -> list[Act]:
  return [
    Act(
      f'{draw.things[i].kind} {direction}',
      f'pushes {draw.name(i)} 10 cm {_DIRECTIONS[direction][1]}, then takes its'
      ' hand straight up',
      (action('push', i, _DIRECTIONS[direction][0], 0.10, 0),),
    )
    for i, direction in itertools.product((0, 1), _ALONG)
  ]


def lift_grips(draw: Draw) -> list[Act]:
  return lift_or_leave(draw.name(0), 0, (7, 19))


def lift_which(draw: Draw) -> list[Act]:
  return [
    lift(draw.name(i), i, height_cm, draw.things[i].kind)
    for i, height_cm in itertools.product((0, 1), (6, 18))
  ]


def drop_directions(draw: Draw) -> list[Act]:
  return [
    Act(
      direction,
      f'moves {draw.name(0)}, which it holds, 13 cm {words}, and then opens its'
      ' fingers',
      (_carry(heading, 0.13), action('release')),
    )
    for direction, (heading, words) in _DIRECTIONS.items()
  ]


def drop_one_direction(draw: Draw) -> list[Act]:
  direction = _ACROSS[draw.rng.integers(2)]
  heading, words = _DIRECTIONS[direction]
  return [
    Act(
      direction,
      f'moves {draw.name(0)}, which it holds, 8 cm {words}, and then opens its'
      ' fingers',
      (_carry(heading, 0.08), action('release')),
    )
  ]


def drop_opens(draw: Draw) -> list[Act]:
  directions = _ACROSS if draw.rng.integers(2) else _ALONG
  return [
    Act(
      f'{direction}, {name}',
      f'moves {draw.name(0)}, which it holds, 13 cm'
      f' {_DIRECTIONS[direction][1]}, and then {name} its fingers',
      (
        _carry(_DIRECTIONS[direction][0], 0.13),
        *(end and (action('release'),)),
      ),
    )
    for direction, (name, end) in itertools.product(
      directions, (('opens', (1,)), ('does not open', ()))
    )
  ]


def drop_onto(draw: Draw) -> list[Act]:
  acts = []
  for i, (name, end) in itertools.product(
    (1, 2), (('opens', (1,)), ('does not open', ()))
  ):
    offset_m = np.subtract(draw.things[i].position_m, draw.things[0].position_m)
    acts.append(
      Act(
        f'{draw.things[i].kind}, {name}',
        f'moves {draw.name(0)}, which it holds, over {draw.name(i)}, and then'
        f' {name} its fingers',
        (action('carry', *offset_m, 0), *(end and (action('release'),))),
      )
    )
  return acts


def _carry(heading_deg: float, distance_m: float) -> protocol.Action:
  heading = np.radians(heading_deg)
  x, y = distance_m * np.cos(heading), distance_m * np.sin(heading)
  return action('carry', round(x, 6), round(y, 6), 0)


# Designs with one arm and two actions in sequence.


def push_then_pick(draw: Draw) -> list[Act]:
  pushed = int(draw.rng.integers(2))
  return [
    _push_then_lift(draw, pushed, direction, picked)
    for direction, picked in itertools.product(_ALONG, (0, 1))
  ]


def push_then_pick_it(draw: Draw) -> list[Act]:
  return [_push_then_lift(draw, 0, _ALONG[draw.rng.integers(2)], 0)]


def push_one_pick_one(draw: Draw) -> list[Act]:
  direction = _ALONG[draw.rng.integers(2)]
  return [
    _push_then_lift(draw, pushed, direction, picked)
    for pushed, picked in itertools.product((0, 1), (0, 1))
  ]


def _push_then_lift(
  draw: Draw, pushed: int, direction: str, picked: int
) -> Act:
  kinds = [t.kind for t in draw.things]
  return Act(
    f'{kinds[pushed]} {direction}, then {kinds[picked]}',
    f'first pushes {draw.name(pushed)} 10 cm {_DIRECTIONS[direction][1]}; then'
    f' it grasps {draw.name(picked)} and lifts it by 15 cm',
    (
      action('push', pushed, _DIRECTIONS[direction][0], 0.10, 0),
      action('lift', picked, 0.15, 1),
    ),
  )


def pick_then_turn(draw: Draw) -> list[Act]:
  upright = draw.levels['design'] == 'upright'
  axis, angle = (0, 90) if upright else (1, 35)
  words = (
    'turns its hand a quarter turn {}, as seen from above'
    if upright
    else f'tilts its hand by {angle} degrees {{}}, as you see it'
  )
  return [
    Act(
      f'{draw.things[i].kind}, {sense}',
      f'first grasps {draw.name(i)} and lifts it by 18 cm; then it'
      f' {words.format(sense)}',
      (action('lift', i, 0.18, 1), action('turn', axis, sign * angle)),
    )
    for i, (sense, sign) in itertools.product(
      (0, 1), (('clockwise', 1), ('anticlockwise', -1))
    )
  ]


# Designs with two arms that act at the same time.


def push_ends(draw: Draw) -> list[Act]:
  return _together(draw, {side: _ALONG for side in (_LEFT, _RIGHT)})


def push_both_away(draw: Draw) -> list[Act]:
  direction = _ALONG[draw.rng.integers(2)]
  return _together(draw, {side: (direction,) for side in (_LEFT, _RIGHT)})


def push_inward(draw: Draw) -> list[Act]:
  return _together(draw, {_LEFT: ('right', 'away'), _RIGHT: ('left', 'away')})


def _together(draw: Draw, directions: dict[str, tuple[str, ...]]) -> list[Act]:
  def words(side: str, direction: str) -> str:
    end = f'{side} end' if direction in _ACROSS else f'{side} half'
    where = _DIRECTIONS[direction][1]
    return f'the {side} arm pushes the {end} of it 9 cm {where}'

  return [
    Act(
      f'{left}, {right}',
      f'both push {draw.name(0)} at the same time: {words(_LEFT, left)}, while'
      f' {words(_RIGHT, right)}; then both take their hands up',
      (
        action(
          'push_together', _DIRECTIONS[left][0], _DIRECTIONS[right][0], 0.09
        ),
      ),
    )
    for left, right in itertools.product(directions[_LEFT], directions[_RIGHT])
  ]


def lift_heights(draw: Draw) -> list[Act]:
  return [
    Act(
      f'{left_cm} cm, {right_cm} cm',
      f'both grasp {draw.name(0)}, each near its own end, and lift at the same'
      f' time: the left arm by {left_cm} cm, the right arm by {right_cm} cm',
      (action('lift_together', left_cm / 100, right_cm / 100, 1, 1),),
    )
    for left_cm, right_cm in itertools.product((5, 14), (5, 14))
  ]


def lift_ends(draw: Draw) -> list[Act]:
  grip = {1: 'closes its fingers on it', 0: 'leaves its fingers open'}
  return [
    Act(
      f'left {grips[0]}, right {grips[1]}',
      f'both lower their open fingers around {draw.name(0)}, each near its own'
      f' end; the left arm {grip[grips[0]]}, the right arm {grip[grips[1]]};'
      ' then both take their hands up by 12 cm at the same time',
      (action('lift_together', 0.12, 0.12, *grips),),
    )
    for grips in itertools.product((1, 0), (1, 0))
  ]
