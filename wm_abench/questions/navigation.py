"""Navigation: the view after one move (M-Nav) or after two moves (T-Nav).

The options of a group are the four views that its members' moves lead to.
Either the members have the same start and different moves. In T-Nav these are
two first moves, each combined with two second moves, so that neither move
determines the key; most designs indoors have two moves in both orders. Or the
members have the same moves, and starts on a line that are less than a move
apart; the view that is most similar to the start is then the key of one member
in four.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import itertools
import types as python_types

from commons import errors
from wm_abench.questions import group_law
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import environment as homes_environment
from wm_abench.worlds.street import environment as street_environment

_F, _B = protocol.Action('forward'), protocol.Action('backward')
_L, _R = protocol.Action('turn_left'), protocol.Action('turn_right')
Moves = tuple[protocol.Action, ...]

# The factors that groups vary: the moves (a counterfactual action) or the start
# (a counterfactual state).
_MOVES, _START = VARIED = ('moves', 'start')
# Start offsets, in fractions of one move. They are chosen so that the correct
# end is the nearest to the start for one member, the second nearest for the
# next member, and so on.
STARTS = (-0.9375, -0.3125, 0.3125, 0.9375)

_DRAWS = 64  # Draws of a scene before the group is rejected.


def _pairs(firsts: Moves, seconds: Moves) -> tuple[Moves, ...]:
  return tuple(itertools.product(firsts, seconds))


# Each design has four sequences: two first moves times two second moves. The
# last four designs have a step and a turn in both orders.
DESIGNS: dict[str, tuple[Moves, ...]] = {
  'move_then_turn': _pairs((_F, _B), (_L, _R)),
  'turn_then_move': _pairs((_L, _R), (_F, _B)),
  'forward_and_left': _pairs((_F, _L), (_F, _L)),
  'forward_and_right': _pairs((_F, _R), (_F, _R)),
  'backward_and_left': _pairs((_B, _L), (_B, _L)),
  'backward_and_right': _pairs((_B, _R), (_B, _R)),
}


@dataclasses.dataclass(frozen=True)
class _World:
  """An environment for navigation.

  Attributes:
    module: the module with BACKGROUNDS, FACTORS, EGO, draw_scene and shifted.
    opening: the first sentence of the prompt.
    subject: what moves, as a noun phrase.
    words: returns the predicate of each action in a scene, by action name.
    designs: the keys of DESIGNS that can be drawn in this environment.
  """

  module: python_types.ModuleType
  opening: str
  subject: str
  words: Callable[[protocol.Scene], Mapping[str, str]]
  designs: tuple[str, ...]


def _walk_predicates(scene: homes_environment.IndoorScene) -> Mapping[str, str]:
  turn = f'by {scene.turn_deg:g} degrees on the spot'
  return {
    'forward': f'moves forward {scene.step_m:g} m',
    'backward': f'moves backward {scene.step_m:g} m',
    'turn_left': f'turns left {turn}',
    'turn_right': f'turns right {turn}',
  }


def _drive_predicates(
  scene: street_environment.StreetScene,
) -> Mapping[str, str]:
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
    _walk_predicates,
    tuple(DESIGNS),
  ),
  # A car turns only at crossings, so a step and a turn commute: both orders
  # would end at the same position.
  'street': _World(
    street_environment,
    'The image shows what a camera in a car sees.',
    'the car',
    _drive_predicates,
    ('move_then_turn', 'turn_then_move'),
  ),
}


def move(request: group_law.Request) -> group_law.Group:
  """Drafts M-Nav: forward, backward, turn left and turn right."""
  world = _WORLDS[request.cell.environment]
  levels = _levels(request, world)
  return _group(request, world, levels, ((_F,), (_B,), (_L,), (_R,)), {})


def two_moves(request: group_law.Request) -> group_law.Group:
  """Drafts T-Nav: the pairs of moves of one of DESIGNS."""
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
) -> group_law.Group:
  module, name = world.module, request.cell.environment
  varied = levels.pop('varied')
  plans = [(moves, 0.0) for moves in sequences]
  if varied == _START:
    moves = sequences[request.rng.integers(len(sequences))]
    plans = [(moves, fraction) for fraction in STARTS]
  scene, scenes = _draw_starts(request, module, levels, plans)
  options, members = [], []
  factors = {**levels, **extra, 'seed': scene.seed}
  x_m, y_m, _ = request.simulate(name, scene, ())[0].bodies['agent'].position_m
  factors |= {'x_m': x_m, 'y_m': y_m}
  for (moves, fraction), start in zip(plans, scenes, strict=True):
    options.append(protocol.Shot(name, start, moves, module.EGO))
    names = ', '.join(action.name for action in moves)
    members.append(
      {
        'prompt': _prompt(world, scene, moves),
        'images': (protocol.Shot(name, start, (), module.EGO),),
        'factors': {**factors, _MOVES: names, _START: fraction},
      }
    )
  return group_law.assemble(request, varied, options, members)


def _draw_starts(
  request: group_law.Request,
  module,
  levels: Mapping,
  plans: Sequence[tuple[Moves, float]],
) -> tuple[protocol.Scene, list[protocol.Scene]]:
  """Draws a scene and derives the starts of the members from it.

  No move of a member collides, and all ends differ from each other and from
  their starts.

  Args:
    request: the request of the group.
    module: the module of the environment.
    levels: the levels of the factors of the scene.
    plans: the moves and the start offset (see STARTS) of each member.

  Raises:
    group_law.Rejected: no such scene was found.
  """
  name = request.cell.environment
  for _ in range(_DRAWS):
    scene = module.draw_scene(rng=request.rng, **levels)
    try:
      scenes = [module.shifted(scene, m[0].name, offset) for m, offset in plans]
      runs = [
        request.simulate(name, start, moves)
        for start, (moves, _) in zip(scenes, plans, strict=True)
      ]
    except errors.UserError:  # A shifted start is off the lane or not free.
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
  raise group_law.Rejected(f'no usable start in {_DRAWS} draws')


def _prompt(world: _World, scene: protocol.Scene, moves: Moves) -> str:
  words = world.words(scene)
  predicates = [words[action.name] for action in moves]
  then = f'Then {world.subject} {predicates[0]}.'
  if len(predicates) > 1:
    then = f'First {world.subject} {predicates[0]}, then it {predicates[1]}.'
  return f'{world.opening} {then} Which image shows what is seen afterwards?'


MAKERS: dict[str, group_law.Maker] = {'M-Nav': move, 'T-Nav': two_moves}
