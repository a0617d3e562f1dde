"""Groups of M-Man in the real ManiSkill3: the paper's push, lift and drop.

A group is one start and four acts, as in wm_abench/questions/manipulation.py,
and keeps the same law. Its shots name the environment 'maniskill'.
"""

from collections.abc import Callable, Sequence
import dataclasses
import itertools

from wm_abench.core import records
from wm_abench.questions import group_law
from wm_abench.simulators import maniskill as simulator
from wm_abench.worlds import protocol

ENVIRONMENT = 'maniskill'
_COLORS = tuple(simulator.TASKS[simulator.LEFT,].cubes)
# Headings, and how one who stands across the table from the arm calls them.
_WAYS = {
  'right': (90, 'to the right'),
  'towards': (0, 'towards you'),
  'left': (270, 'to the left'),
  'away': (180, 'away from you'),
}
_CARRIES_M = {
  'right': (0, 0.12, 0),
  'towards': (0.12, 0, 0),
  'left': (0, -0.12, 0),
  'away': (-0.12, 0, 0),
}
_APART_M = 0.03  # Between any two ends.


@dataclasses.dataclass(frozen=True)
class _Act:
  """One of a group's four: its level, its words, and what is done."""

  level: str
  words: str
  actions: tuple[protocol.Action, ...]


# Of the cube's index, four acts.
Design = Callable[[int], list[_Act]]


def _push_ways(cube: int) -> list[_Act]:
  return [_push(cube, way, 10, way) for way in _WAYS]


def _push_which(cube: int) -> list[_Act]:
  return [
    _push(i, way, 8, f'{_COLORS[i]} {way}')
    for i, way in itertools.product((cube, 1 - cube), ('towards', 'away'))
  ]


def _push(cube: int, way: str, far_cm: int, level: str) -> _Act:
  heading, words = _WAYS[way]
  return _Act(
    level,
    f'sets its closed fingers against the {_COLORS[cube]} cube and pushes it'
    f' {far_cm} cm {words}, then takes its hand straight up',
    (_do('push', cube, heading, far_cm / 100, 0),),
  )


def _lift_grips(cube: int) -> list[_Act]:
  grip = {1: 'closes them on it', 0: 'leaves them open'}
  return [
    _Act(
      f'{"grips" if grips else "open"}, {height_cm} cm',
      f'lowers its open fingers around the {_COLORS[cube]} cube, {grip[grips]},'
      f' and takes its hand up by {height_cm} cm',
      (_do('lift', cube, height_cm / 100, grips),),
    )
    for grips, height_cm in itertools.product((1, 0), (6, 16))
  ]


def _lift_which(cube: int) -> list[_Act]:
  return [
    _Act(
      f'{_COLORS[i]}, {height_cm} cm',
      f'grasps the {_COLORS[i]} cube and lifts it by {height_cm} cm',
      (_do('lift', i, height_cm / 100, 1),),
    )
    for i, height_cm in itertools.product((cube, 1 - cube), (6, 16))
  ]


def _drop_ways(cube: int) -> list[_Act]:
  return [_drop(cube, way, True, way) for way in _CARRIES_M]


def _drop_opens(cube: int) -> list[_Act]:
  return [
    _drop(cube, way, opens, f'{way}, {"opens" if opens else "does not open"}')
    for way, opens in itertools.product(('right', 'left'), (True, False))
  ]


def _drop(cube: int, way: str, opens: bool, level: str) -> _Act:
  end = 'opens' if opens else 'does not open'
  return _Act(
    level,
    f'moves the {_COLORS[cube]} cube, which it holds, 12 cm {_WAYS[way][1]},'
    f' and then {end} its fingers',
    (_do('carry', *_CARRIES_M[way]), *([_do('release')] if opens else [])),
  )


def _do(name: str, *values: float) -> protocol.Action:
  return protocol.Action(name, tuple(map(float, values)))


_DESIGNS: dict[str, dict[str, Design]] = {
  'push': {'ways': _push_ways, 'which': _push_which},
  'lift': {'grips': _lift_grips, 'which': _lift_which},
  'drop': {'ways': _drop_ways, 'opens': _drop_opens},
}


def make(request: group_law.Request) -> records.Group:
  """A group of one of M-Man's cells.

  Raises:
    group_law.Rejected: two ends are alike, or a cube was not held where it should.
  """
  designs = _DESIGNS[request.cell.action]
  levels = request.levels(
    design=[*designs],
    camera_pose=[*simulator.CAMERAS],
    object_color=_COLORS,
  )
  cube = _COLORS.index(levels['object_color'])
  held = levels['object_color'] if request.cell.action == 'drop' else ''
  scene = simulator.CubeScene(
    'table', request.seed, _places(request, cube, bool(held)), held=held
  )
  return _assemble(request, levels, scene, designs[levels['design']](cube))


def _places(
  request: group_law.Request, cube: int, held: bool
) -> tuple[tuple[float, float, float], ...]:
  """A pair side by side; what is held is in the middle."""
  places = [(0.0, 0.0 if held else -0.09), (0.0, 0.12 if held else 0.09)]
  if request.rng.integers(2):
    places = [(x, -y) for x, y in places]
  jittered = [
    tuple(round(v + float(request.rng.uniform(-0.01, 0.01)), 4) for v in place)
    for place in places
  ]
  yaws_deg = request.rng.uniform(-8, 8, 2).round(2).tolist()
  placed = [(*p, yaw) for p, yaw in zip(jittered, yaws_deg, strict=True)]
  return tuple(placed if cube == 0 else placed[::-1])


def _assemble(
  request: group_law.Request,
  levels: dict[str, str],
  scene: simulator.CubeScene,
  acts: Sequence[_Act],
) -> records.Group:
  ends = []
  for act in acts:
    states = request.simulate(ENVIRONMENT, scene, act.actions)
    if states[0].facts['left_holds'] != scene.held:
      raise group_law.Rejected('the start is not as it should be')
    grips = [a for a in act.actions if a.name == 'lift' and a.values[2]]
    if grips and not states[-1].facts['left_holds']:
      raise group_law.Rejected('the cube slipped')
    ends.append(states[-1])
  for a, b in itertools.combinations(ends, 2):
    if protocol.distance(a, b) < _APART_M:
      raise group_law.Rejected('two ends are alike')
  camera = simulator.CAMERAS[levels['camera_pose']]
  query = protocol.Shot(ENVIRONMENT, scene, (), camera)
  shots = [protocol.Shot(ENVIRONMENT, scene, a.actions, camera) for a in acts]
  places = [list(place) for place in scene.places]
  members = [
    {
      'prompt': _prompt(act),
      'images': (query,),
      'factors': levels | {'places': places, 'action': act.level},
    }
    for act in acts
  ]
  return group_law.assemble(request, 'action', shots, members)


def _prompt(act: _Act) -> str:
  return (
    'The picture shows a robot arm at a table with two cubes. Left and right'
    f' are as you see them. The arm {act.words}. Which picture shows the table'
    ' afterwards?'
  )
