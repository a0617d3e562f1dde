"""Questions of arms at a kitchen counter: M-Man, T-Man and C-Man.

A group is one start and four of `manipulation_acts`; its options are the four
ends, and its members differ in nothing but the words of the act.
"""

from collections.abc import Sequence
import dataclasses
import itertools

import numpy as np

from wm_abench import types
from wm_abench.environments import base, manipulation
from wm_abench.questions import groups, manipulation_acts
from wm_abench.worlds import arms, kitchen, wares

ENVIRONMENT = 'manipulation'
COLORS = ('red', 'yellow', 'green', 'blue', 'purple')

_LEFT, _RIGHT = manipulation.LEFT, manipulation.RIGHT
_MIN_MOVE_M = 0.03  # What has been acted on must show it.
_DISTANT_M = 0.03  # Between any two ends; groups.MIN_STATE_M is the least.


@dataclasses.dataclass(frozen=True)
class _Setting:
  """How a cell's starts are drawn, and its designs by name.

  Attributes:
    places_m: of the things' feet, before jitter.
    extras: kinds beyond the first, fixed ones; 'small' for another small one.
    held: whether the first is in the arm's hand.
  """

  designs: dict[str, manipulation_acts.Design]
  places_m: tuple[tuple[float, float], ...]
  extras: tuple[str, ...] = ()
  held: bool = False


_PAIR_M = ((-0.09, 0.0), (0.10, 0.0))
_SETTINGS: dict[str, _Setting] = {
  'M-Man/push': _Setting(
    {
      'ways': manipulation_acts.push_ways,
      'heights': manipulation_acts.push_heights,
      'which': manipulation_acts.push_which,
    },
    _PAIR_M,
    ('small',),
  ),
  'M-Man/lift': _Setting(
    {
      'grips': manipulation_acts.lift_grips,
      'which': manipulation_acts.lift_which,
    },
    _PAIR_M,
    ('small',),
  ),
  'M-Man/drop': _Setting(
    {
      'ways': manipulation_acts.drop_ways,
      'opens': manipulation_acts.drop_opens,
      'onto': manipulation_acts.drop_onto,
    },
    ((0.0, 0.0), (0.18, 0.0), (-0.17, 0.02)),
    ('plate', 'bowl'),
    held=True,
  ),
  'T-Man/push_pick': _Setting(
    {
      'way and pick': manipulation_acts.push_then_pick,
      'push and pick': manipulation_acts.push_one_pick_one,
    },
    _PAIR_M,
    ('small',),
  ),
  'T-Man/pick_rotate': _Setting(
    {
      'upright': manipulation_acts.pick_then_turn,
      'tilted': manipulation_acts.pick_then_turn,
    },
    ((-0.07, 0.0), (0.07, 0.0)),
    ('small',),
  ),
  'C-Man/push': _Setting(
    {
      'ends': manipulation_acts.push_ends,
      'inward': manipulation_acts.push_inward,
    },
    ((0.0, 0.0),),
  ),
  'C-Man/lift': _Setting(
    {
      'heights': manipulation_acts.lift_heights,
      'ends': manipulation_acts.lift_ends,
    },
    ((0.0, 0.0),),
  ),
}
# Designs about one thing leave the others away.
_ALONE = (
  manipulation_acts.push_ways,
  manipulation_acts.push_heights,
  manipulation_acts.lift_grips,
  manipulation_acts.drop_ways,
  manipulation_acts.drop_opens,
)


def _make(request: groups.Request) -> types.Group:
  cell = request.cell
  setting = _SETTINGS[f'{cell.dimension}/{cell.action}']
  levels = request.levels(
    design=[*setting.designs],
    background=[*kitchen.STYLES],
    camera_pose=[*manipulation.CAMERAS],
    object_color=COLORS,
    object_type=[*(wares.LONG if cell.dimension == 'C-Man' else wares.SMALL)],
  )
  design = setting.designs[levels['design']]
  things = _things(request.rng, levels, setting, alone=design in _ALONE)
  draw = manipulation_acts.Draw(levels, things, request.rng)
  two = cell.dimension == 'C-Man'
  scene = manipulation.ManipulationScene(
    levels['background'],
    request.seed,
    things,
    (_LEFT, _RIGHT) if two else (_LEFT,),
    things[0].kind if setting.held else '',
    held_m=0.13,
  )
  return _assemble(request, draw, scene, design(draw))


def _things(
  rng: np.random.Generator,
  levels: dict[str, str],
  setting: _Setting,
  alone: bool,
) -> tuple[manipulation.Thing, ...]:
  kinds, colors = [levels['object_type']], [levels['object_color']]
  for extra in () if alone else setting.extras:
    others = [k for k in wares.SMALL if k not in kinds]
    kinds.append(str(rng.choice(others)) if extra == 'small' else extra)
    colors.append(str(rng.choice([c for c in COLORS if c not in colors])))
  places = setting.places_m
  if alone:
    places = ((0.0, 0.0),)
  elif len(kinds) == 2 and rng.integers(2):
    places = places[::-1]
  elif len(kinds) == 3 and rng.integers(2):
    places = (places[0], *((-x, y) for x, y in places[1:]))
  return tuple(
    manipulation.Thing(
      kind,
      color,
      tuple(round(float(v), 4) for v in place + rng.uniform(-0.015, 0.015, 2)),
      round(float(rng.uniform(-6, 6)), 2),
    )
    for kind, color, place in zip(kinds, colors, places, strict=True)
  )


def _assemble(
  request: groups.Request,
  draw: manipulation_acts.Draw,
  scene: manipulation.ManipulationScene,
  acts: Sequence[manipulation_acts.Act],
) -> types.Group:
  start, ends = _simulate(request, scene, acts)
  for a, b in itertools.combinations(ends, 2):
    if base.distance(a, b) < _DISTANT_M:
      raise groups.Rejected('two ends are alike')
  if all(base.distance(start, end) < _MIN_MOVE_M for end in ends):
    raise groups.Rejected('nothing happened')
  camera = manipulation.CAMERAS[draw.levels['camera_pose']]
  shots = [base.Shot(ENVIRONMENT, scene, a.actions, camera) for a in acts]
  query = base.Shot(ENVIRONMENT, scene, (), camera)
  others = {
    f'object_{i + 1}': f'{t.color} {t.kind}' for i, t in enumerate(draw.things)
  }
  places = [list(t.position_m) for t in draw.things]
  members = [
    {
      'prompt': _prompt(len(scene.arms), act),
      'images': (query,),
      'factors': draw.levels
      | others
      | {'places_m': places, 'action': act.level},
    }
    for act in acts
  ]
  return groups.assemble(request, 'action', shots, members)


def _simulate(
  request: groups.Request,
  scene: manipulation.ManipulationScene,
  acts: Sequence[manipulation_acts.Act],
) -> tuple[base.State, list[base.State]]:
  """The start and the four ends; what a hand closes on it has to hold."""
  ends = []
  for act in acts:
    try:
      states = request.simulate(ENVIRONMENT, scene, act.actions)
    except arms.Unreachable as e:
      raise groups.Rejected(str(e)) from e
    for action, state in zip(act.actions, states[1:], strict=True):
      _check(action, scene, states[0], state)
    ends.append(states[-1])
  return states[0], ends


def _check(
  action: base.Action,
  scene: manipulation.ManipulationScene,
  start: base.State,
  state: base.State,
) -> None:
  """Raises Rejected where an action did not do what its words say."""
  values = action.values
  held = {_LEFT: '', _RIGHT: ''}
  if action.name in ('lift', 'push'):
    kind = scene.things[int(values[0])].kind
  if action.name == 'lift' and values[2]:
    held[_LEFT] = kind
  elif action.name in ('carry', 'turn'):
    held[_LEFT] = scene.held or state.facts['left_holds'] or '?'
  elif action.name == 'lift_together':
    held = {
      side: scene.things[0].kind if grips else ''
      for side, grips in zip(held, values[2:], strict=True)
    }
  for side in scene.arms:
    if state.facts[f'{side}_holds'] != held[side]:
      raise groups.Rejected(f'{action.name}: the {side} hand holds otherwise')
  if action.name == 'push':
    turn = np.radians(values[1])
    way = np.subtract(
      state.bodies[kind].position_m, start.bodies[kind].position_m
    ) @ (np.cos(turn), np.sin(turn), 0)
    wanted = values[2] if values[3] <= 0 else 0.0
    if abs(way - wanted) > 0.02:
      raise groups.Rejected(f'pushed {way:.3f} m, not {wanted} m')


def _prompt(count: int, act: manipulation_acts.Act) -> str:
  who = (
    'The picture shows a robot arm at a kitchen counter.'
    if count == 1
    else 'The picture shows two robot arms at a kitchen counter, one on the'
    ' left and one on the right.'
  )
  subject = 'The arm' if count == 1 else 'The two arms act:'
  return (
    f'{who} Left and right are as you see them, along the counter.'
    f' {subject} {act.words}. Which picture shows the kitchen afterwards?'
  )


MAKERS: dict[str, groups.Maker] = dict.fromkeys(
  ('M-Man', 'T-Man', 'C-Man'), _make
)
