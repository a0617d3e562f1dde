"""What arms at a kitchen counter may be asked to do: words beside actions.

Each function is a design. For one draw of things it gives four acts, mostly a
crossing of two choices of two, so that who reads only half of what is done is
left with two options; or it gives one act, for four starts.
"""

from collections.abc import Callable, Sequence
import dataclasses
import itertools

import numpy as np

from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import environment, objects

_LEFT, _RIGHT = environment.LEFT, environment.RIGHT
_WAYS: dict[str, tuple[int, str]] = {
  'right': (0, 'to the right'),
  'away': (90, 'away from you, towards the wall'),
  'left': (180, 'to the left'),
  'towards': (270, 'towards you'),
}
_ACROSS, _ALONG = ('left', 'right'), ('away', 'towards')
# Where the fingers come down to push a thing that way.
_BESIDE = {
  'right': 'on the left of',
  'away': 'in front of',
  'left': 'on the right of',
  'towards': 'behind',
}


@dataclasses.dataclass(frozen=True)
class Act:
  """One of a group's four: its level, its words, and what is done."""

  level: str
  words: str
  actions: tuple[protocol.Action, ...]


@dataclasses.dataclass(frozen=True)
class Draw:
  """A group's draw: its levels, its things, and a generator for the rest."""

  levels: dict[str, str]
  things: tuple[environment.Thing, ...]
  rng: np.random.Generator

  def the(self, index: int) -> str:
    thing = self.things[index]
    return f'the {thing.color} {objects.KINDS[thing.kind].noun}'


Design = Callable[[Draw], Sequence[Act]]


def _do(name: str, *values: float) -> protocol.Action:
  return protocol.Action(name, tuple(float(v) for v in values))


# One arm, one act.


def push_ways(draw: Draw) -> list[Act]:
  return [
    Act(
      way,
      f'sets its fingers against {draw.the(0)} and pushes it 12 cm {words},'
      ' then takes its hand straight up',
      (_do('push', 0, heading, 0.12, 0),),
    )
    for way, (heading, words) in _WAYS.items()
  ]


def push_one_way(draw: Draw) -> list[Act]:
  way = [*_WAYS][draw.rng.integers(len(_WAYS))]
  heading, words = _WAYS[way]
  return [
    Act(
      way,
      f'sets its fingers against {draw.the(0)} and pushes it 8 cm {words}, then'
      ' takes its hand straight up',
      (_do('push', 0, heading, 0.08, 0),),
    )
  ]


def push_heights(draw: Draw) -> list[Act]:
  ways = _ACROSS if draw.rng.integers(2) else _ALONG
  low = 'low enough to touch it'
  over = 'but keeps their tips 3 cm higher than its top'
  return [
    Act(
      f'{way}, {name}',
      f'lowers its fingers {_BESIDE[way]} {draw.the(0)}, {where}, moves them'
      f' 18 cm {_WAYS[way][1]}, across where it stands, and then takes its hand'
      ' straight up',
      (_do('push', 0, _WAYS[way][0], 0.135, height),),
    )
    for way, (name, where, height) in itertools.product(
      ways, (('low', low, 0), ('over', over, 0.03))
    )
  ]


def push_which(draw: Draw) -> list[Act]:
  return [
    Act(
      f'{draw.things[i].kind} {way}',
      f'pushes {draw.the(i)} 10 cm {_WAYS[way][1]}, then takes its hand'
      ' straight up',
      (_do('push', i, _WAYS[way][0], 0.10, 0),),
    )
    for i, way in itertools.product((0, 1), _ALONG)
  ]


def lift_grips(draw: Draw) -> list[Act]:
  grip = {1: 'closes them on it', 0: 'leaves them open'}
  return [
    Act(
      f'{"grips" if grips else "open"}, {height_cm} cm',
      f'lowers its open fingers around {draw.the(0)}, {grip[grips]}, and takes'
      f' its hand up by {height_cm} cm',
      (_do('lift', 0, height_cm / 100, grips),),
    )
    for grips, height_cm in itertools.product((1, 0), (7, 19))
  ]


def lift_which(draw: Draw) -> list[Act]:
  return [
    Act(
      f'{draw.things[i].kind}, {height_cm} cm',
      f'grasps {draw.the(i)} and lifts it by {height_cm} cm',
      (_do('lift', i, height_cm / 100, 1),),
    )
    for i, height_cm in itertools.product((0, 1), (6, 18))
  ]


def drop_ways(draw: Draw) -> list[Act]:
  return [
    Act(
      way,
      f'moves {draw.the(0)}, which it holds, 13 cm {words}, and then opens its'
      ' fingers',
      (_carry(heading, 0.13), _do('release')),
    )
    for way, (heading, words) in _WAYS.items()
  ]


def drop_one_way(draw: Draw) -> list[Act]:
  way = _ACROSS[draw.rng.integers(2)]
  heading, words = _WAYS[way]
  return [
    Act(
      way,
      f'moves {draw.the(0)}, which it holds, 8 cm {words}, and then opens its'
      ' fingers',
      (_carry(heading, 0.08), _do('release')),
    )
  ]


def drop_opens(draw: Draw) -> list[Act]:
  ways = _ACROSS if draw.rng.integers(2) else _ALONG
  return [
    Act(
      f'{way}, {name}',
      f'moves {draw.the(0)}, which it holds, 13 cm {_WAYS[way][1]}, and then'
      f' {name} its fingers',
      (_carry(_WAYS[way][0], 0.13), *(end and (_do('release'),))),
    )
    for way, (name, end) in itertools.product(
      ways, (('opens', (1,)), ('does not open', ()))
    )
  ]


def drop_onto(draw: Draw) -> list[Act]:
  acts = []
  for i, (name, end) in itertools.product(
    (1, 2), (('opens', (1,)), ('does not open', ()))
  ):
    way = np.subtract(draw.things[i].position_m, draw.things[0].position_m)
    acts.append(
      Act(
        f'{draw.things[i].kind}, {name}',
        f'moves {draw.the(0)}, which it holds, over {draw.the(i)}, and then'
        f' {name} its fingers',
        (_do('carry', *way, 0), *(end and (_do('release'),))),
      )
    )
  return acts


def _carry(heading_deg: float, distance_m: float) -> protocol.Action:
  turn = np.radians(heading_deg)
  x, y = distance_m * np.cos(turn), distance_m * np.sin(turn)
  return _do('carry', round(x, 6), round(y, 6), 0)


# One arm, two acts.


def push_then_pick(draw: Draw) -> list[Act]:
  pushed = int(draw.rng.integers(2))
  return [
    _two_acts(draw, pushed, way, picked)
    for way, picked in itertools.product(_ALONG, (0, 1))
  ]


def push_then_pick_it(draw: Draw) -> list[Act]:
  return [_two_acts(draw, 0, _ALONG[draw.rng.integers(2)], 0)]


def push_one_pick_one(draw: Draw) -> list[Act]:
  way = _ALONG[draw.rng.integers(2)]
  return [
    _two_acts(draw, pushed, way, picked)
    for pushed, picked in itertools.product((0, 1), (0, 1))
  ]


def _two_acts(draw: Draw, pushed: int, way: str, picked: int) -> Act:
  kinds = [t.kind for t in draw.things]
  return Act(
    f'{kinds[pushed]} {way}, then {kinds[picked]}',
    f'first pushes {draw.the(pushed)} 10 cm {_WAYS[way][1]}; then it grasps'
    f' {draw.the(picked)} and lifts it by 15 cm',
    (
      _do('push', pushed, _WAYS[way][0], 0.10, 0),
      _do('lift', picked, 0.15, 1),
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
      f'{draw.things[i].kind}, {turn}',
      f'first grasps {draw.the(i)} and lifts it by 18 cm; then it'
      f' {words.format(turn)}',
      (_do('lift', i, 0.18, 1), _do('turn', axis, sign * angle)),
    )
    for i, (turn, sign) in itertools.product(
      (0, 1), (('clockwise', 1), ('anticlockwise', -1))
    )
  ]


# Two arms at once.


def push_ends(draw: Draw) -> list[Act]:
  return _together(draw, {side: _ALONG for side in (_LEFT, _RIGHT)})


def push_both_away(draw: Draw) -> list[Act]:
  way = _ALONG[draw.rng.integers(2)]
  return _together(draw, {side: (way,) for side in (_LEFT, _RIGHT)})


def push_inward(draw: Draw) -> list[Act]:
  return _together(draw, {_LEFT: ('right', 'away'), _RIGHT: ('left', 'away')})


def _together(draw: Draw, ways: dict[str, tuple[str, ...]]) -> list[Act]:
  def words(side: str, way: str) -> str:
    end = f'{side} end' if way in _ACROSS else f'{side} half'
    return f'the {side} arm pushes the {end} of it 9 cm {_WAYS[way][1]}'

  return [
    Act(
      f'{left}, {right}',
      f'both push {draw.the(0)} at the same time: {words(_LEFT, left)}, while'
      f' {words(_RIGHT, right)}; then both take their hands up',
      (_do('push_together', _WAYS[left][0], _WAYS[right][0], 0.09),),
    )
    for left, right in itertools.product(ways[_LEFT], ways[_RIGHT])
  ]


def lift_heights(draw: Draw) -> list[Act]:
  return [
    Act(
      f'{left_cm} cm, {right_cm} cm',
      f'both grasp {draw.the(0)}, each near its own end, and lift at the same'
      f' time: the left arm by {left_cm} cm, the right arm by {right_cm} cm',
      (_do('lift_together', left_cm / 100, right_cm / 100, 1, 1),),
    )
    for left_cm, right_cm in itertools.product((5, 14), (5, 14))
  ]


def lift_ends(draw: Draw) -> list[Act]:
  grip = {1: 'closes its fingers on it', 0: 'leaves its fingers open'}
  return [
    Act(
      f'left {grips[0]}, right {grips[1]}',
      f'both lower their open fingers around {draw.the(0)}, each near its own'
      f' end; the left arm {grip[grips[0]]}, the right arm {grip[grips[1]]};'
      ' then both take their hands up by 12 cm at the same time',
      (_do('lift_together', 0.12, 0.12, *grips),),
    )
    for grips in itertools.product((1, 0), (1, 0))
  ]
