"""Questions about time, and the scenes of two movers that they are about.

Two props go straight ahead in a lane each. When one starts, for how many steps
it goes and how far are a Turn; the members of a group are one scene with three
pairs of turns: the first prop's is the more, the second's, and both are alike.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_COUNTS = ('', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight')
_VIEWS = {'front': 'from the front', 'top': 'from straight above'}


@dataclasses.dataclass(frozen=True)
class Turn:
  """When and how far a prop moves: from a frame on, for so many steps."""

  start: int
  steps: int
  way_m: float


@dataclasses.dataclass(frozen=True)
class Lanes:
  """Two props and the way that each may go.

  Attributes:
    props: at their starts.
    ahead: unit vectors [2, 2] in the viewer's frame.
  """

  props: tuple[props_lib.Prop, ...]
  ahead: np.ndarray

  @property
  def names(self) -> list[str]:
    return [f'the {stage_layout.named(p.color, p.shape)}' for p in self.props]

  @property
  def factors(self) -> dict:
    return {
      'colors': [p.color for p in self.props],
      'shapes': [p.shape for p in self.props],
      'sizes_m': stage_layout.rounded([p.size_m for p in self.props]),
      'starts_m': stage_layout.rounded([p.position_m[:2] for p in self.props]),
      'ahead': stage_layout.rounded(self.ahead),
    }

  def moving(self, turns: Sequence[Turn]) -> tuple[props_lib.Prop, ...]:
    """The props with their paths."""
    return tuple(
      go(prop, turn, ahead)
      for prop, turn, ahead in zip(self.props, turns, self.ahead, strict=True)
    )


def go(
  prop: props_lib.Prop, turn: Turn, ahead: Sequence[float]
) -> props_lib.Prop:
  """A prop that moves straight along a unit vector of the viewer's frame."""
  x, y, z = prop.position_m
  end = (x + turn.way_m * ahead[0], y + turn.way_m * ahead[1], z)
  end = tuple(round(float(c), 5) for c in end)
  start_s = turn.start * stage_layout.STEP_S
  path = [(0.0, prop.position_m)] if turn.start else []
  path += [(start_s, prop.position_m)]
  path += [(start_s + turn.steps * stage_layout.STEP_S, end)]
  return dataclasses.replace(prop, path=tuple(path))


def draw_lanes(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  lie: str,
  longest_m: float,
) -> Lanes:
  """Two lanes with room for moves of some length.

  Args:
    rng: is consumed.
    surface: whose area.
    lie: 'across' what the viewer sees, or 'away' from the viewer.
    longest_m: the room.
  """
  colors = stage_layout.draw_colors(rng, 2)
  shapes = rng.choice(props_lib.SHAPES, 2)
  props, ahead = [], []
  sides = rng.permutation((-1, 1))
  for i in range(2):
    size_m = surface.unit_m * rng.uniform(0.95, 1.2)
    spare_m = surface.half_m[0] - stage_layout.reach_m('cube', size_m)
    from_m = rng.uniform(-spare_m, spare_m - longest_m)
    beside_m = sides[i] * surface.half_m[0] * rng.uniform(0.35, 0.6)
    sense = rng.choice((-1, 1))
    along_m = from_m if sense > 0 else from_m + longest_m
    xy, way = (along_m, beside_m), (float(sense), 0.0)
    if lie == 'away':
      xy, way = xy[::-1], way[::-1]
    props.append(
      stage_layout.stand(f'prop{i}', str(shapes[i]), colors[i], size_m, xy)
    )
    ahead.append(way)
  return Lanes(tuple(props), np.array(ahead))


def film_said(frames: int, view: str) -> str:
  """What the pictures are, for the start of a prompt."""
  return (
    f'{_COUNTS[frames]} pictures show one scene {_VIEWS[view]} in order of'
    f' time, {stage_layout.STEP_S:g} s apart. '
  )


@dataclasses.dataclass(frozen=True)
class Question:
  """What is asked of two movers.

  Attributes:
    varies: the factor.
    asks: the question.
    both: the option that they are alike.
  """

  varies: str
  asks: str
  both: str


def compare(
  request: group_law.Request,
  stage: stage_layout.Stage,
  lanes: Lanes,
  turn: Callable[[int, bool], Turn],
  question: Question,
  factors: Mapping[str, Any],
) -> records.Group:
  """The group that asks which of two movers it is, or whether they are alike.

  Args:
    request, stage: whose group, and where.
    lanes: the movers.
    turn: of the i-th mover, where it is to be the answer (True) or not.
    question: what is asked.
    factors: all that is drawn besides stage and lanes; 'view' and, as the turn
      of both where they are alike, 'shared' are among them.
  """
  frames, view, shared = request.cell.images, factors['view'], factors['shared']
  prompt = film_said(frames, view) + question.asks
  options = [*lanes.names, question.both]
  fixed = stage.factors | lanes.factors | factors
  members = []
  for kinds, option in zip(
    ((True, False), (False, True), (shared, shared)), options, strict=True
  ):
    props = lanes.moving([turn(i, kind) for i, kind in enumerate(kinds)])
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


def first(request: group_law.Request) -> records.Group:
  """TP: which of two starts to move first.

  How long and how far each moves stays the same, and so do the first and the
  last frame.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    starts=tuple(
      (early, late) for late in range(1, steps) for early in range(late)
    ),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  early, late = drawn['starts']
  lasts = [int(n) for n in rng.integers(1, steps - late + 1, 2)]
  ways_m = surface.half_m[0] * rng.uniform(0.6, 0.8, 2)
  lanes = draw_lanes(rng, surface, drawn['lie'], max(ways_m))
  factors = {
    'view': 'front',
    'lie': drawn['lie'],
    'start_steps': [early, late],
    'difficulty': late - early,
    'shared': drawn['shared'],
    'steps': lasts,
    'ways_m': stage_layout.rounded(ways_m),
  }

  def turn(i: int, sooner: bool) -> Turn:
    return Turn(early if sooner else late, lasts[i], float(ways_m[i]))

  return compare(request, stage, lanes, turn, _FIRST, factors)


def longer(request: group_law.Request) -> records.Group:
  """TE: which of two moves for the longer time.

  When each starts stays the same. In half the groups the distance does too and
  in the other half the speed, so that neither tells.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  steps = request.cell.images - 1
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    lie=('across', 'away'),
    lasts=tuple(
      (short, long) for long in range(2, steps + 1) for short in range(1, long)
    ),
    held=('distance', 'speed'),
    shared=(True, False),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  short, long = drawn['lasts']
  starts = [int(n) for n in rng.integers(0, steps - long + 1, 2)]
  way_m = surface.half_m[0] * rng.uniform(0.7, 0.9)
  lanes = draw_lanes(rng, surface, drawn['lie'], way_m)
  factors = {
    'view': 'front',
    'lie': drawn['lie'],
    'start_steps': starts,
    'steps': [short, long],
    'difficulty': long - short,
    'held': drawn['held'],
    'shared': drawn['shared'],
    'way_m': round(way_m, 3),
  }

  def turn(i: int, more: bool) -> Turn:
    lasts = long if more else short
    share = lasts / long if drawn['held'] == 'speed' else 1.0
    return Turn(starts[i], lasts, way_m * share)

  return compare(request, stage, lanes, turn, _LONGER, factors)


MAKERS: dict[str, group_law.Maker] = {'TP': first, 'TE': longer}
