"""Navigation: which view a move leads to (M-Nav), or two moves (T-Nav).

All members of a group start at one place and have the same four views to choose
from, each of which really follows from one member's moves. In T-Nav two first
moves cross two second ones, so that neither move tells the answer alone, and in
most designs indoors the same two moves come in both orders.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import itertools
import types as python_types

from wm_abench import types
from wm_abench.environments import base, indoor, street
from wm_abench.questions import groups

_F, _B = base.Action('forward'), base.Action('backward')
_L, _R = base.Action('turn_left'), base.Action('turn_right')
Moves = tuple[base.Action, ...]

# Draws of a scene before the group is given up.
_DRAWS = 16


def _crossed(firsts: Moves, seconds: Moves) -> tuple[Moves, ...]:
  return tuple(itertools.product(firsts, seconds))


# Four sequences each: both firsts with both seconds. The last four have two
# moves in both orders, and their ends are a step and a turn apart.
DESIGNS: dict[str, tuple[Moves, ...]] = {
  'move_then_turn': _crossed((_F, _B), (_L, _R)),
  'turn_then_move': _crossed((_L, _R), (_F, _B)),
  'forward_and_left': _crossed((_F, _L), (_F, _L)),
  'forward_and_right': _crossed((_F, _R), (_F, _R)),
  'backward_and_left': _crossed((_B, _L), (_B, _L)),
  'backward_and_right': _crossed((_B, _R), (_B, _R)),
}


@dataclasses.dataclass(frozen=True)
class _World:
  """An environment that is moved through.

  Attributes:
    module: with BACKGROUNDS, FACTORS, EGO and draw_scene.
    opening: the prompt's first sentence.
    subject: who moves.
    words: of each action in a scene, what the subject does.
    designs: of DESIGNS, those whose moves are free.
  """

  module: python_types.ModuleType
  opening: str
  subject: str
  words: Callable[[base.Scene], Mapping[str, str]]
  designs: tuple[str, ...]


def _walks(scene: indoor.IndoorScene) -> Mapping[str, str]:
  turn = f'by {scene.turn_deg:g} degrees on the spot'
  return {
    'forward': f'moves forward {scene.step_m:g} m',
    'backward': f'moves backward {scene.step_m:g} m',
    'turn_left': f'turns left {turn}',
    'turn_right': f'turns right {turn}',
  }


def _drives(scene: street.StreetScene) -> Mapping[str, str]:
  return {
    'forward': f'drives forward {street.FORWARD_M:g} m',
    'backward': f'reverses {street.BACKWARD_M:g} m',
    'turn_left': 'turns left at the crossing ahead',
    'turn_right': 'turns right at the crossing ahead',
  }


_WORLDS = {
  'indoor': _World(
    indoor,
    'The image shows what a camera sees in a home.',
    'the camera',
    _walks,
    tuple(DESIGNS),
  ),
  # A car turns in crossings alone, so that either order ends at one place.
  'street': _World(
    street,
    'The image shows what a camera in a car sees.',
    'the car',
    _drives,
    ('move_then_turn', 'turn_then_move'),
  ),
}


def move(request: groups.Request) -> types.Group:
  """M-Nav: forward, backward, a turn to the left and one to the right."""
  world = _WORLDS[request.cell.environment]
  module = world.module
  levels = request.levels(background=module.BACKGROUNDS, **module.FACTORS)
  return _group(request, world, levels, ((_F,), (_B,), (_L,), (_R,)), {})


def two_moves(request: groups.Request) -> types.Group:
  """T-Nav: one of DESIGNS."""
  world = _WORLDS[request.cell.environment]
  module = world.module
  levels = request.levels(
    design=world.designs, background=module.BACKGROUNDS, **module.FACTORS
  )
  design = levels.pop('design')
  return _group(request, world, levels, DESIGNS[design], {'design': design})


def _group(
  request: groups.Request,
  world: _World,
  levels: Mapping,
  sequences: Sequence[Moves],
  extra: Mapping,
) -> types.Group:
  module, name = world.module, request.cell.environment
  scene, start = _start(request, module, levels, sequences)
  options = [base.Shot(name, scene, moves, module.EGO) for moves in sequences]
  x_m, y_m, _ = start.bodies['agent'].position_m
  factors = {**levels, **extra, 'seed': scene.seed, 'x_m': x_m, 'y_m': y_m}
  members = [
    {
      'prompt': _prompt(world, scene, moves),
      'images': (base.Shot(name, scene, (), module.EGO),),
      'factors': {**factors, 'moves': ', '.join(a.name for a in moves)},
    }
    for moves in sequences
  ]
  return groups.assemble(request, 'moves', options, members)


def _start(
  request: groups.Request, module, levels, sequences: Sequence[Moves]
) -> tuple[base.Scene, base.State]:
  """A scene in which all the moves are free and lead to different places."""
  for _ in range(_DRAWS):
    scene = module.draw_scene(rng=request.rng, **levels)
    runs = [
      request.simulate(request.cell.environment, scene, moves)
      for moves in sequences
    ]
    if any(state.facts['collided'] for run in runs for state in run):
      continue
    places = [runs[0][0], *(run[-1] for run in runs)]
    if all(
      base.distance(a, b) >= groups.MIN_STATE_M
      for a, b in itertools.combinations(places, 2)
    ):
      return scene, places[0]
  raise groups.Rejected('every start blocks a move')


def _prompt(world: _World, scene: base.Scene, moves: Moves) -> str:
  words = world.words(scene)
  does = [words[action.name] for action in moves]
  then = f'Then {world.subject} {does[0]}.'
  if len(does) > 1:
    then = f'First {world.subject} {does[0]}, then it {does[1]}.'
  return f'{world.opening} {then} Which image shows what is seen afterwards?'


MAKERS: dict[str, groups.Maker] = {'M-Nav': move, 'T-Nav': two_moves}
