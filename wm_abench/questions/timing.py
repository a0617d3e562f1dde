"""Questions about time, and comparisons of two moving props in general.

Two props move straight ahead, each in its lane. A Move is the start, duration
and distance of such a motion. The three members of a group share the props and
differ in their moves: the first prop is the answer, or the second one, or both
are alike.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_COUNTS = ('', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight')
_VIEWS = {'front': 'from the front', 'top': 'from straight above'}


@dataclasses.dataclass(frozen=True)
class Move:
  """A straight uniform motion.

  Attributes:
    start: the frame at which it starts.
    steps: its duration in steps between frames.
    distance_m: its distance.
  """

  start: int
  steps: int
  distance_m: float


@dataclasses.dataclass(frozen=True)
class Lanes:
  """Two props and the directions in which they can move.

  Attributes:
    props: the props at their starts.
    ahead: the directions, unit vectors [2, 2] in the viewer's frame.
  """

  props: tuple[props_lib.Prop, ...]
  ahead: np.ndarray

  @property
  def names(self) -> list[str]:
    return [
      f'the {stage_layout.noun_phrase(p.color, p.shape)}' for p in self.props
    ]

  @property
  def factors(self) -> dict:
    return {
      'colors': [p.color for p in self.props],
      'shapes': [p.shape for p in self.props],
      'sizes_m': stage_layout.rounded([p.size_m for p in self.props]),
      'starts_m': stage_layout.rounded([p.position_m[:2] for p in self.props]),
      'ahead': stage_layout.rounded(self.ahead),
    }

  def moving(self, moves: Sequence[Move]) -> tuple[props_lib.Prop, ...]:
    """Returns the props with the paths of their moves."""
    return tuple(
      with_path(prop, move, ahead)
      for prop, move, ahead in zip(self.props, moves, self.ahead, strict=True)
    )


def with_path(
  prop: props_lib.Prop, move: Move, ahead: Sequence[float]
) -> props_lib.Prop:
  """Returns the prop with the path of a move.

  Args:
    prop: the prop at its start.
    move: its motion.
    ahead: the direction, a unit vector [2] in the viewer's frame.
  """
  x, y, z = prop.position_m
  end = (x + move.distance_m * ahead[0], y + move.distance_m * ahead[1], z)
  end = tuple(round(float(c), 5) for c in end)
  start_s = move.start * stage_layout.STEP_S
  path = [(0.0, prop.position_m)] if move.start else []
  path += [(start_s, prop.position_m)]
  path += [(start_s + move.steps * stage_layout.STEP_S, end)]
  return dataclasses.replace(prop, path=tuple(path))


def draw_lanes(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  lie: str,
  longest_m: float,
) -> Lanes:
  """Draws two parallel lanes with a prop in each.

  Args:
    rng: is consumed.
    surface: the surface that has to contain the lanes.
    lie: the orientation, 'across' the view or 'away' from the viewer.
    longest_m: the longest distance that a prop may have to move.
  """
  colors = stage_layout.draw_colors(rng, 2)
  shapes = rng.choice(props_lib.SHAPES, 2)
  props, ahead = [], []
  sides = rng.permutation((-1, 1))
  for i in range(2):
    size_m = surface.unit_m * rng.uniform(0.95, 1.2)
    room_m = surface.half_m[0] - stage_layout.reach_m('cube', size_m)
    low_m = rng.uniform(-room_m, room_m - longest_m)
    beside_m = sides[i] * surface.half_m[0] * rng.uniform(0.35, 0.6)
    sense = rng.choice((-1, 1))
    along_m = low_m if sense > 0 else low_m + longest_m
    xy, direction = (along_m, beside_m), (float(sense), 0.0)
    if lie == 'away':
      xy, direction = xy[::-1], direction[::-1]
    props.append(
      stage_layout.stand(f'prop{i}', str(shapes[i]), colors[i], size_m, xy)
    )
    ahead.append(direction)
  return Lanes(tuple(props), np.array(ahead))


def film_intro(frames: int, view: str) -> str:
  """Returns the first sentence of a prompt, which describes the pictures."""
  return (
    f'{_COUNTS[frames]} pictures show one scene {_VIEWS[view]} in order of'
    f' time, {stage_layout.STEP_S:g} s apart. '
  )


@dataclasses.dataclass(frozen=True)
class Question:
  """A question that compares two moving props.

  Attributes:
    varies: the name of the varied factor.
    asks: the question.
    both: the option for the case that the props are alike.
  """

  varies: str
  asks: str
  both: str


def compare(
  request: group_law.Request,
  stage: stage_layout.Stage,
  lanes: Lanes,
  move: Callable[[int, bool], Move],
  question: Question,
  factors: Mapping[str, Any],
) -> group_law.Group:
  """Returns the group that compares two moving props.

  Args:
    request: the request of the group.
    stage: the stage of its scenes.
    lanes: the props and their lanes.
    move: returns the move of the i-th prop, given whether this prop is to be
      the answer.
    question: the question and its options.
    factors: what is levels besides stage and lanes. They include 'view', and
      'shared': the second argument of `move` for both props if they are alike.
  """
  frames, view, shared = request.cell.images, factors['view'], factors['shared']
  prompt = film_intro(frames, view) + question.asks
  options = [*lanes.names, question.both]
  fixed = stage.factors | lanes.factors | factors
  members = []
  for are_answers, option in zip(
    ((True, False), (False, True), (shared, shared)), options, strict=True
  ):
    props = lanes.moving([move(i, is_) for i, is_ in enumerate(are_answers)])
    film = stage.film(props, view, frames)
    members.append(
      stage_layout.member(prompt, film, fixed, **{question.varies: option})
    )
  return group_law.assemble(request, question.varies, options, members)


_FIRST = Question(
  'first', 'Which object starts to move first?', 'both start at the same time'
)
_LONGER = Question(
  'longer',
  'Which object moves for the longer time?',
  'both move for the same time',
)


def first(request: group_law.Request) -> group_law.Group:
  """Drafts TP: which of two props starts to move first.

  The members have the same durations and distances, and therefore the same
  first and last frame.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    starts=tuple(
      (early, late) for late in range(1, steps) for early in range(late)
    ),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  early, late = levels['starts']
  steps_each = [int(n) for n in rng.integers(1, steps - late + 1, 2)]
  distances_m = surface.half_m[0] * rng.uniform(0.6, 0.8, 2)
  lanes = draw_lanes(rng, surface, levels['lie'], max(distances_m))
  factors = {
    'view': 'front',
    'lie': levels['lie'],
    'start_steps': [early, late],
    'difficulty': late - early,
    'shared': levels['shared'],
    'steps': steps_each,
    'ways_m': stage_layout.rounded(distances_m),
  }

  def move(i: int, sooner: bool) -> Move:
    return Move(early if sooner else late, steps_each[i], float(distances_m[i]))

  return compare(request, stage, lanes, move, _FIRST, factors)


def longer(request: group_law.Request) -> group_law.Group:
  """Drafts TE: which of two props moves for the longer time.

  The members have the same start times. In half of the groups both props move
  the same distance, in the other half at the same speed, so that neither
  distance nor speed determines the key.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    lasts=tuple(
      (short, long) for long in range(2, steps + 1) for short in range(1, long)
    ),
    held=('distance', 'speed'),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  short, long = levels['lasts']
  starts = [int(n) for n in rng.integers(0, steps - long + 1, 2)]
  distance_m = surface.half_m[0] * rng.uniform(0.7, 0.9)
  lanes = draw_lanes(rng, surface, levels['lie'], distance_m)
  factors = {
    'view': 'front',
    'lie': levels['lie'],
    'start_steps': starts,
    'steps': [short, long],
    'difficulty': long - short,
    'held': levels['held'],
    'shared': levels['shared'],
    'way_m': round(distance_m, 3),
  }

  def move(i: int, is_longer: bool) -> Move:
    duration = long if is_longer else short
    share = duration / long if levels['held'] == 'speed' else 1.0
    return Move(starts[i], duration, distance_m * share)

  return compare(request, stage, lanes, move, _LONGER, factors)


MAKERS: dict[str, group_law.Maker] = {'TP': first, 'TE': longer}
