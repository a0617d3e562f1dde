"""Questions of arms at a kitchen counter: M-Man, T-Man and C-Man.

A group is one start and four acts of `manipulation_acts`, and its members
differ in nothing but the words of the act; or it is one act and four starts, in
a row along which it moves a thing by more than they are apart: the end that is
most like the start is then another member's as often as the right one. The
options are the four ends.
"""

from collections.abc import Sequence
import dataclasses
import itertools

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, manipulation_acts
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import arms, environment, kitchen, objects

ENVIRONMENT = 'manipulation'
COLORS = ('red', 'yellow', 'green', 'blue', 'purple')

_LEFT, _RIGHT = environment.LEFT, environment.RIGHT
_MIN_MOVE_M = 0.03  # What has been acted on must show it.
_DISTANT_M = 0.03  # Between any two ends; group_law.MIN_STATE_M is the least.
_ACTION, _START = 'action', 'start_m'  # What varies in a group.
# Starts along an act's way, in parts of it; see navigation.STARTS.
_STARTS = (-0.9375, -0.3125, 0.3125, 0.9375)


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
      'starts': manipulation_acts.push_one_way,
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
      'starts': manipulation_acts.drop_one_way,
    },
    ((0.0, 0.0), (0.18, 0.0), (-0.17, 0.02)),
    ('plate', 'bowl'),
    held=True,
  ),
  'T-Man/push_pick': _Setting(
    {
      'way and pick': manipulation_acts.push_then_pick,
      'push and pick': manipulation_acts.push_one_pick_one,
      'starts': manipulation_acts.push_then_pick_it,
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
      'starts': manipulation_acts.push_both_away,
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
  manipulation_acts.push_one_way,
  manipulation_acts.drop_one_way,
  manipulation_acts.push_then_pick_it,
)


def _make(request: group_law.Request) -> records.Group:
  cell = request.cell
  setting = _SETTINGS[f'{cell.dimension}/{cell.action}']
  levels = request.levels(
    design=[*setting.designs],
    background=[*kitchen.STYLES],
    camera_pose=[*environment.CAMERAS],
    object_color=COLORS,
    object_type=[
      *(objects.LONG if cell.dimension == 'C-Man' else objects.SMALL)
    ],
  )
  design = setting.designs[levels['design']]
  things = _things(request.rng, levels, setting, alone=design in _ALONE)
  draw = manipulation_acts.Draw(levels, things, request.rng)
  two = cell.dimension == 'C-Man'
  scene = environment.ManipulationScene(
    levels['background'],
    request.seed,
    things,
    (_LEFT, _RIGHT) if two else (_LEFT,),
    things[0].kind if setting.held else '',
    held_m=0.13,
  )
  acts = design(draw)
  if len(acts) == 1:
    (act,) = acts
    return _assemble(request, draw, _START, _row(scene, act))
  plans = [_Plan(scene, 0.0, act) for act in acts]
  return _assemble(request, draw, _ACTION, plans)


@dataclasses.dataclass(frozen=True)
class _Plan:
  """A member: where it starts, how far along the act's way, and the act."""

  scene: environment.ManipulationScene
  start_m: float
  act: manipulation_acts.Act


def _row(
  scene: environment.ManipulationScene, act: manipulation_acts.Act
) -> list[_Plan]:
  """The same act from starts along the way that it moves the first thing."""
  first = act.actions[0]
  if first.name == 'carry':
    way_m = np.array(first.values[:2])
  else:
    # 'push' names its thing before the heading, 'push_together' has two.
    turn, far_m = np.radians(first.values[1]), first.values[2]
    way_m = far_m * np.array([np.cos(turn), np.sin(turn)])
  plans = []
  for share in _STARTS:
    thing = scene.things[0]
    place = np.add(thing.position_m, share * way_m)
    moved = dataclasses.replace(
      thing, position_m=tuple(round(float(v), 4) for v in place)
    )
    own = dataclasses.replace(scene, things=(moved, *scene.things[1:]))
    start_m = round(share * float(np.hypot(*way_m)), 4)
    plans.append(_Plan(own, start_m, act))
  return plans


def _things(
  rng: np.random.Generator,
  levels: dict[str, str],
  setting: _Setting,
  alone: bool,
) -> tuple[environment.Thing, ...]:
  kinds, colors = [levels['object_type']], [levels['object_color']]
  for extra in () if alone else setting.extras:
    others = [k for k in objects.SMALL if k not in kinds]
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
    environment.Thing(
      kind,
      color,
      tuple(round(float(v), 4) for v in place + rng.uniform(-0.015, 0.015, 2)),
      round(float(rng.uniform(-6, 6)), 2),
    )
    for kind, color, place in zip(kinds, colors, places, strict=True)
  )


def _assemble(
  request: group_law.Request,
  draw: manipulation_acts.Draw,
  varies: str,
  plans: Sequence[_Plan],
) -> records.Group:
  runs = [_simulate(request, plan) for plan in plans]
  for a, b in itertools.combinations(runs, 2):
    if protocol.distance(a[-1], b[-1]) < _DISTANT_M:
      raise group_law.Rejected('two ends are alike')
  if all(protocol.distance(run[0], run[-1]) < _MIN_MOVE_M for run in runs):
    raise group_law.Rejected('nothing happened')
  camera = environment.CAMERAS[draw.levels['camera_pose']]
  others = {
    f'object_{i + 1}': f'{t.color} {t.kind}' for i, t in enumerate(draw.things)
  }
  factors = draw.levels | others
  factors['places_m'] = [list(t.position_m) for t in draw.things]
  shots, members = [], []
  for plan in plans:
    act, scene = plan.act, plan.scene
    shots.append(protocol.Shot(ENVIRONMENT, scene, act.actions, camera))
    members.append(
      {
        'prompt': _prompt(len(scene.arms), act),
        'images': (protocol.Shot(ENVIRONMENT, scene, (), camera),),
        'factors': factors | {_ACTION: act.level, _START: plan.start_m},
      }
    )
  return group_law.assemble(request, varies, shots, members)


def _simulate(
  request: group_law.Request, plan: _Plan
) -> tuple[protocol.State, ...]:
  """The states of a plan; what a hand closes on it has to hold."""
  try:
    states = request.simulate(ENVIRONMENT, plan.scene, plan.act.actions)
  except arms.Unreachable as e:
    raise group_law.Rejected(str(e)) from e
  for action, state in zip(plan.act.actions, states[1:], strict=True):
    _check(action, plan.scene, states[0], state)
  return states


def _check(
  action: protocol.Action,
  scene: environment.ManipulationScene,
  start: protocol.State,
  state: protocol.State,
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
      raise group_law.Rejected(
        f'{action.name}: the {side} hand holds otherwise'
      )
  if action.name == 'push':
    turn = np.radians(values[1])
    way = np.subtract(
      state.bodies[kind].position_m, start.bodies[kind].position_m
    ) @ (np.cos(turn), np.sin(turn), 0)
    wanted = values[2] if values[3] <= 0 else 0.0
    if abs(way - wanted) > 0.02:
      raise group_law.Rejected(f'pushed {way:.3f} m, not {wanted} m')


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


MAKERS: dict[str, group_law.Maker] = dict.fromkeys(
  ('M-Man', 'T-Man', 'C-Man'), _make
)
