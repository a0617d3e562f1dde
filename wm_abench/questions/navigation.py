"""Navigation: which view a move leads to (M-Nav), or two moves (T-Nav).

All members of a group have the same four views to choose from, each of which
really follows from one member's moves. Either all start at one place and their
moves differ; in T-Nav two first moves then cross two second ones, so that
neither tells the answer alone, and in most designs indoors the same two moves
come in both orders. Or all make the same moves, from starts in a row that are
less than a move apart: the view that is most like the start is then another
member's as often as the right one.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import itertools
import types as python_types

from commons import errors
from wm_abench.core import records
from wm_abench.questions import group_law
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import environment as homes_environment
from wm_abench.worlds.street import environment as street_environment

_F, _B = protocol.Action('forward'), protocol.Action('backward')
_L, _R = protocol.Action('turn_left'), protocol.Action('turn_right')
Moves = tuple[protocol.Action, ...]

# What tells the members of a group apart: a counterfactual action, or state.
_MOVES, _START = VARIED = ('moves', 'start')
# Of a move, how far the starts of a group are from the one that was drawn.
# Their ends are a move on, so that of the four ends the right one is the
# nearest to its start for one member, the second nearest for another, ...
STARTS = (-0.9375, -0.3125, 0.3125, 0.9375)

# Draws of a scene before the group is given up.
_DRAWS = 64


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
    module: with BACKGROUNDS, FACTORS, EGO, draw_scene and shifted.
    opening: the prompt's first sentence.
    subject: who moves.
    words: of each action in a scene, what the subject does.
    designs: of DESIGNS, those whose moves are free.
  """

  module: python_types.ModuleType
  opening: str
  subject: str
  words: Callable[[protocol.Scene], Mapping[str, str]]
  designs: tuple[str, ...]


def _walks(scene: homes_environment.IndoorScene) -> Mapping[str, str]:
  turn = f'by {scene.turn_deg:g} degrees on the spot'
  return {
    'forward': f'moves forward {scene.step_m:g} m',
    'backward': f'moves backward {scene.step_m:g} m',
    'turn_left': f'turns left {turn}',
    'turn_right': f'turns right {turn}',
  }


def _drives(scene: street_environment.StreetScene) -> Mapping[str, str]:
  return {
    'forward': f'drives forward {street_environment.FORWARD_M:g} m',
    'backward': f'reverses {street_environment.BACKWARD_M:g} m',
    'turn_left': 'turns left at the crossing ahead',
    'turn_right': 'turns right at the crossing ahead',
  }


_WORLDS = {
  'indoor': _World(
    homes_environment,
    'The image shows what a camera sees in a home.',
    'the camera',
    _walks,
    tuple(DESIGNS),
  ),
  # A car turns in crossings alone, so that either order ends at one place.
  'street': _World(
    street_environment,
    'The image shows what a camera in a car sees.',
    'the car',
    _drives,
    ('move_then_turn', 'turn_then_move'),
  ),
}


def move(request: group_law.Request) -> records.Group:
  """M-Nav: forward, backward, a turn to the left and one to the right."""
  world = _WORLDS[request.cell.environment]
  levels = _levels(request, world)
  return _group(request, world, levels, ((_F,), (_B,), (_L,), (_R,)), {})


def two_moves(request: group_law.Request) -> records.Group:
  """T-Nav: one of DESIGNS."""
  world = _WORLDS[request.cell.environment]
  levels = _levels(request, world, design=world.designs)
  design = levels.pop('design')
  return _group(request, world, levels, DESIGNS[design], {'design': design})


def _levels(request: group_law.Request, world: _World, **more) -> dict:
  return request.levels(
    varied=VARIED,
    background=world.module.BACKGROUNDS,
    **more,
    **world.module.FACTORS,
  )


def _group(
  request: group_law.Request,
  world: _World,
  levels: dict,
  sequences: Sequence[Moves],
  extra: Mapping,
) -> records.Group:
  module, name = world.module, request.cell.environment
  varied = levels.pop('varied')
  plans = [(moves, 0.0) for moves in sequences]
  if varied == _START:
    moves = sequences[request.rng.integers(len(sequences))]
    plans = [(moves, share) for share in STARTS]
  scene, scenes = _start(request, module, levels, plans)
  options, members = [], []
  factors = {**levels, **extra, 'seed': scene.seed}
  x_m, y_m, _ = request.simulate(name, scene, ())[0].bodies['agent'].position_m
  factors |= {'x_m': x_m, 'y_m': y_m}
  for (moves, share), own in zip(plans, scenes, strict=True):
    options.append(protocol.Shot(name, own, moves, module.EGO))
    told = ', '.join(action.name for action in moves)
    members.append(
      {
        'prompt': _prompt(world, scene, moves),
        'images': (protocol.Shot(name, own, (), module.EGO),),
        'factors': {**factors, _MOVES: told, _START: share},
      }
    )
  return group_law.assemble(request, varied, options, members)


def _start(
  request: group_law.Request,
  module,
  levels: Mapping,
  plans: Sequence[tuple[Moves, float]],
) -> tuple[protocol.Scene, list[protocol.Scene]]:
  """A scene, and those of the members, whose moves are free and lead apart.

  Args:
    request: of the group.
    module: of the environment.
    levels: of the scene.
    plans: of each member its moves, and where it starts, as in STARTS.
  """
  name = request.cell.environment
  for _ in range(_DRAWS):
    scene = module.draw_scene(rng=request.rng, **levels)
    try:
      scenes = [module.shifted(scene, m[0].name, share) for m, share in plans]
      runs = [
        request.simulate(name, own, moves)
        for own, (moves, _) in zip(scenes, plans, strict=True)
      ]
    except errors.UserError:  # No lane, or no free ground.
      continue
    if any(state.facts['collided'] for run in runs for state in run):
      continue
    ends = [run[-1] for run in runs]
    pairs = [
      *itertools.combinations(ends, 2),
      *((run[0], run[-1]) for run in runs),
    ]
    if all(protocol.distance(a, b) >= group_law.MIN_STATE_M for a, b in pairs):
      return scene, scenes
  raise group_law.Rejected('every start blocks a move')


def _prompt(world: _World, scene: protocol.Scene, moves: Moves) -> str:
  words = world.words(scene)
  does = [words[action.name] for action in moves]
  then = f'Then {world.subject} {does[0]}.'
  if len(does) > 1:
    then = f'First {world.subject} {does[0]}, then it {does[1]}.'
  return f'{world.opening} {then} Which image shows what is seen afterwards?'


MAKERS: dict[str, group_law.Maker] = {'M-Nav': move, 'T-Nav': two_moves}
