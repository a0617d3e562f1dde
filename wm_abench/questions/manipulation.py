"""Questions about arms at a kitchen counter: M-Man, T-Man and C-Man.

A group is one start with four acts of `manipulation_acts`, and its members
differ only in the instruction. Or it is one act with four starts, which lie on
a line along the motion of the act and are closer to each other than the motion
is long; the outcome that is most similar to the start is then the key of one
member in four. The options are the four outcomes.
"""

from collections.abc import Sequence
import dataclasses
import itertools

import numpy as np

from wm_abench.questions import group_law, manipulation_acts
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import (
  arms,
  environment,
  kitchen,
  objects,
  scenes,
)

ENVIRONMENT = 'manipulation'
COLORS = ('red', 'yellow', 'green', 'blue', 'purple')

_LEFT, _RIGHT = scenes.LEFT, scenes.RIGHT
_MIN_MOVE_M = 0.03  # The least distance between some start and its outcome.
# The least distance between two outcomes, stricter than group_law.MIN_STATE_M.
_MIN_DISTANCE_M = 0.03
_ACTION, _START = 'action', 'start_m'  # The factors that groups vary.
# Starts along the motion of an act, in fractions of its length; see
# navigation.STARTS.
_STARTS = (-0.9375, -0.3125, 0.3125, 0.9375)


@dataclasses.dataclass(frozen=True)
class _Setting:
  """The designs of a cell, by name, and how its starts are drawn.

  Attributes:
    designs: the designs by their level of the factor 'design'.
    positions_m: x and y of the objects on the counter, before jitter.
    extras: the kinds of the objects after the first; 'small' draws a kind of
      objects.SMALL.
    held: whether the first object is in the hand of the arm.
  """

  designs: dict[str, manipulation_acts.Design]
  positions_m: tuple[tuple[float, float], ...]
  extras: tuple[str, ...] = ()
  held: bool = False


_PAIR_M = ((-0.09, 0.0), (0.10, 0.0))
_SETTINGS: dict[str, _Setting] = {
  'M-Man/push': _Setting(
    {
      'ways': manipulation_acts.push_directions,
      'heights': manipulation_acts.push_heights,
      'which': manipulation_acts.push_which,
      'starts': manipulation_acts.push_one_direction,
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
      'ways': manipulation_acts.drop_directions,
      'opens': manipulation_acts.drop_opens,
      'onto': manipulation_acts.drop_onto,
      'starts': manipulation_acts.drop_one_direction,
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
# Designs about a single object; their scenes have no other one.
_ALONE = (
  manipulation_acts.push_directions,
  manipulation_acts.push_heights,
  manipulation_acts.lift_grips,
  manipulation_acts.drop_directions,
  manipulation_acts.drop_opens,
  manipulation_acts.push_one_direction,
  manipulation_acts.drop_one_direction,
  manipulation_acts.push_then_pick_it,
)


def _make(request: group_law.Request) -> group_law.Group:
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
  scene = scenes.ManipulationScene(
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
    return _assemble(request, draw, _START, _shifted_starts(scene, act))
  plans = [_Plan(scene, 0.0, act) for act in acts]
  return _assemble(request, draw, _ACTION, plans)


@dataclasses.dataclass(frozen=True)
class _Plan:
  """A member of a group.

  Attributes:
    scene: its start.
    start_m: how far the start is shifted along the motion of the act.
    act: its instruction and actions.
  """

  scene: scenes.ManipulationScene
  start_m: float
  act: manipulation_acts.Act


def _shifted_starts(
  scene: scenes.ManipulationScene, act: manipulation_acts.Act
) -> list[_Plan]:
  """Returns one act with four starts along its motion of the first object."""
  first = act.actions[0]
  if first.name == 'carry':
    motion_m = np.array(first.values[:2])
  else:
    # The values of 'push' are object, heading, distance; 'push_together' has
    # two headings, which are equal here, before the distance.
    heading, distance_m = np.radians(first.values[1]), first.values[2]
    motion_m = distance_m * np.array([np.cos(heading), np.sin(heading)])
  plans = []
  for fraction in _STARTS:
    thing = scene.things[0]
    position_m = np.add(thing.position_m, fraction * motion_m)
    shifted = dataclasses.replace(
      thing, position_m=tuple(round(float(v), 4) for v in position_m)
    )
    start = dataclasses.replace(scene, things=(shifted, *scene.things[1:]))
    start_m = round(fraction * float(np.hypot(*motion_m)), 4)
    plans.append(_Plan(start, start_m, act))
  return plans


def _things(
  rng: np.random.Generator,
  levels: dict[str, str],
  setting: _Setting,
  alone: bool,
) -> tuple[scenes.Thing, ...]:
  """Draws the objects; with `alone` only the first one, in the middle."""
  kinds, colors = [levels['object_type']], [levels['object_color']]
  for extra in () if alone else setting.extras:
    others = [k for k in objects.SMALL if k not in kinds]
    kinds.append(str(rng.choice(others)) if extra == 'small' else extra)
    colors.append(str(rng.choice([c for c in COLORS if c not in colors])))
  positions = setting.positions_m
  if alone:
    positions = ((0.0, 0.0),)
  elif len(kinds) == 2 and rng.integers(2):
    positions = positions[::-1]
  elif len(kinds) == 3 and rng.integers(2):
    positions = (positions[0], *((-x, y) for x, y in positions[1:]))
  return tuple(
    scenes.Thing(
      kind,
      color,
      tuple(round(float(v), 4) for v in xy + rng.uniform(-0.015, 0.015, 2)),
      round(float(rng.uniform(-6, 6)), 2),
    )
    for kind, color, xy in zip(kinds, colors, positions, strict=True)
  )


def _assemble(
  request: group_law.Request,
  draw: manipulation_acts.Draw,
  varies: str,
  plans: Sequence[_Plan],
) -> group_law.Group:
  runs = [_simulate(request, plan) for plan in plans]
  for a, b in itertools.combinations(runs, 2):
    if protocol.distance(a[-1], b[-1]) < _MIN_DISTANCE_M:
      raise group_law.Rejected('two outcomes are alike')
  if all(protocol.distance(run[0], run[-1]) < _MIN_MOVE_M for run in runs):
    raise group_law.Rejected('no act moved anything')
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
  """Returns the states of a plan.

  Raises:
    group_law.Rejected: a position is out of reach, or an action failed.
  """
  try:
    states = request.simulate(ENVIRONMENT, plan.scene, plan.act.actions)
  except arms.Unreachable as e:
    raise group_law.Rejected(str(e)) from e
  for action, state in zip(plan.act.actions, states[1:], strict=True):
    _check(action, plan.scene, states[0], state)
  return states


def _check(
  action: protocol.Action,
  scene: scenes.ManipulationScene,
  start: protocol.State,
  state: protocol.State,
) -> None:
  """Raises Rejected if an action did not do what the instruction says."""
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
        f'{action.name}: the {side} hand does not hold {held[side]!r}'
      )
  if action.name == 'push':
    heading = np.radians(values[1])
    pushed_m = np.subtract(
      state.bodies[kind].position_m, start.bodies[kind].position_m
    ) @ (np.cos(heading), np.sin(heading), 0)
    expected_m = values[2] if values[3] <= 0 else 0.0
    if abs(pushed_m - expected_m) > 0.02:
      raise group_law.Rejected(f'pushed {pushed_m:.3f} m, not {expected_m} m')


def _prompt(count: int, act: manipulation_acts.Act) -> str:
  intro = (
    'The picture shows a robot arm at a kitchen counter.'
    if count == 1
    else 'The picture shows two robot arms at a kitchen counter, one on the'
    ' left and one on the right.'
  )
  subject = 'The arm' if count == 1 else 'The two arms act:'
  return (
    f'{intro} Left and right are as you see them, along the counter.'
    f' {subject} {act.words}. Which picture shows the kitchen afterwards?'
  )


MAKERS: dict[str, group_law.Maker] = dict.fromkeys(
  ('M-Man', 'T-Man', 'C-Man'), _make
)
