"""Groups of M-Man in the real ManiSkill3: the paper's push, lift and drop.

A group is one start with four acts, as in wm_abench/questions/manipulation.py,
and keeps the same law. Its shots are of the environment 'maniskill'.
"""

from collections.abc import Callable, Sequence
import itertools

from wm_abench.questions import group_law, manipulation_acts
from wm_abench.simulators import maniskill as simulator
from wm_abench.worlds import protocol

ENVIRONMENT = 'maniskill'
_COLORS = tuple(simulator.TASKS[simulator.LEFT,].cubes)
# Direction -> heading in degrees and phrase, for a viewer who faces the arm
# from across the table.
_DIRECTIONS = {
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
_MIN_DISTANCE_M = 0.03  # The least distance between any two outcomes.

_Act = manipulation_acts.Act
_action = manipulation_acts.action
# Returns four acts, given the index of a cube.
Design = Callable[[int], list[_Act]]


def _push_directions(cube: int) -> list[_Act]:
  return [_push(cube, direction, 10, direction) for direction in _DIRECTIONS]


def _push_which(cube: int) -> list[_Act]:
  return [
    _push(i, direction, 8, f'{_COLORS[i]} {direction}')
    for i, direction in itertools.product((cube, 1 - cube), ('towards', 'away'))
  ]


def _push(cube: int, direction: str, distance_cm: int, level: str) -> _Act:
  heading, words = _DIRECTIONS[direction]
  return _Act(
    level,
    f'sets its closed fingers against {_name(cube)} and pushes it'
    f' {distance_cm} cm {words}, then takes its hand straight up',
    (_action('push', cube, heading, distance_cm / 100, 0),),
  )


def _lift_grips(cube: int) -> list[_Act]:
  return manipulation_acts.lift_or_leave(_name(cube), cube, (6, 16))


def _lift_which(cube: int) -> list[_Act]:
  return [
    manipulation_acts.lift(_name(i), i, height_cm, _COLORS[i])
    for i, height_cm in itertools.product((cube, 1 - cube), (6, 16))
  ]


def _drop_directions(cube: int) -> list[_Act]:
  return [_drop(cube, direction, True, direction) for direction in _CARRIES_M]


def _drop_opens(cube: int) -> list[_Act]:
  return [
    _drop(
      cube,
      direction,
      opens,
      f'{direction}, {"opens" if opens else "does not open"}',
    )
    for direction, opens in itertools.product(('right', 'left'), (True, False))
  ]


def _drop(cube: int, direction: str, opens: bool, level: str) -> _Act:
  end = 'opens' if opens else 'does not open'
  return _Act(
    level,
    f'moves {_name(cube)}, which it holds, 12 cm {_DIRECTIONS[direction][1]},'
    f' and then {end} its fingers',
    (
      _action('carry', *_CARRIES_M[direction]),
      *([_action('release')] if opens else []),
    ),
  )


def _name(cube: int) -> str:
  return f'the {_COLORS[cube]} cube'


_DESIGNS: dict[str, dict[str, Design]] = {
  'push': {'ways': _push_directions, 'which': _push_which},
  'lift': {'grips': _lift_grips, 'which': _lift_which},
  'drop': {'ways': _drop_directions, 'opens': _drop_opens},
}


def make(request: group_law.Request) -> group_law.Group:
  """Returns a group of one of M-Man's cells.

  Raises:
    group_law.Rejected: two outcomes are alike, or a grasp has failed.
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
    'table', request.seed, _poses(request, cube, bool(held)), held=held
  )
  return _assemble(request, levels, scene, designs[levels['design']](cube))


def _poses(
  request: group_law.Request, cube: int, held: bool
) -> tuple[tuple[float, float, float], ...]:
  """Returns x, y (m) and yaw (degrees) of two cubes that are side by side.

  Args:
    request: its generator is consumed.
    cube: the index of the cube that the group is about.
    held: whether that cube is held, and then above the middle.
  """
  positions = [(0.0, 0.0 if held else -0.09), (0.0, 0.12 if held else 0.09)]
  if request.rng.integers(2):
    positions = [(x, -y) for x, y in positions]
  jittered = [
    tuple(round(v + float(request.rng.uniform(-0.01, 0.01)), 4) for v in xy)
    for xy in positions
  ]
  yaws_deg = request.rng.uniform(-8, 8, 2).round(2).tolist()
  poses = [(*xy, yaw) for xy, yaw in zip(jittered, yaws_deg, strict=True)]
  return tuple(poses if cube == 0 else poses[::-1])


def _assemble(
  request: group_law.Request,
  levels: dict[str, str],
  scene: simulator.CubeScene,
  acts: Sequence[_Act],
) -> group_law.Group:
  ends = []
  for act in acts:
    states = request.simulate(ENVIRONMENT, scene, act.actions)
    if states[0].facts['left_holds'] != scene.held:
      raise group_law.Rejected('at the start the wrong cube is held')
    grips = [a for a in act.actions if a.name == 'lift' and a.values[2]]
    if grips and not states[-1].facts['left_holds']:
      raise group_law.Rejected('the cube slipped')
    ends.append(states[-1])
  for a, b in itertools.combinations(ends, 2):
    if protocol.distance(a, b) < _MIN_DISTANCE_M:
      raise group_law.Rejected('two outcomes are alike')
  camera = simulator.CAMERAS[levels['camera_pose']]
  query = protocol.Shot(ENVIRONMENT, scene, (), camera)
  shots = [protocol.Shot(ENVIRONMENT, scene, a.actions, camera) for a in acts]
  poses = [list(pose) for pose in scene.places]
  members = [
    {
      'prompt': _prompt(act),
      'images': (query,),
      'factors': levels | {'places': poses, 'action': act.level},
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
