"""Questions about what happens next when solids slide, fall or collide.

The last picture is nearly the same for all members of a group: there the
moving object has the same position. The members differ in its earlier motion,
which the two pictures before the last one show. The option that is most similar
to the last picture is therefore the same for all members, and choosing it
scores exactly chance.
"""

from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np

from wm_abench.questions import (
  group_law,
  physics_kinds,
  physics_scenarios,
  stage_layout,
)
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import environment
from wm_abench.worlds.tabletop import props as props_lib

# In any two outcomes some object differs by at least this distance. Rotations
# do not count because they are invisible on spheres.
APART_M = 0.03
_VIEWS = tuple(environment.CAMERAS)
_COUNTS = {3: 'Three'}


def mechanistic(request: group_law.Request) -> group_law.Group:
  """Drafts M-IP: what happens next, after histories that end in one picture."""
  kinds = physics_kinds.KINDS[request.cell.action]
  levels = request.levels(
    background=environment.BACKGROUNDS,
    view=_VIEWS,
    way=(-1, 1),
    kind=tuple(kinds),
    bystanders=(0, 1, 2),
  )
  rng = request.rng
  scenario = kinds[levels['kind']](rng, levels['way'])
  bystanders = physics_scenarios.bystanders(rng, levels['bystanders'], scenario)
  seed = int(rng.integers(2**31))
  camera = environment.CAMERAS[levels['view']]

  def film(value: float) -> list[protocol.Shot]:
    start = scenario.start(value)
    scene = environment.PhysicsScene(
      levels['background'],
      seed,
      (*start.props, *bystanders),
      scenario.blocks,
      start.turns,
    )
    lead = (protocol.Action('wait', (start.lead_s,)),) if start.lead_s else ()
    return _film(request, scene, lead, scenario.step_s, camera)

  values, films = _most_different(
    request, scenario.levels, [film(value) for value in scenario.levels]
  )
  factors = {
    **levels,
    **scenario.factors,
    'step_s': scenario.step_s,
    'bystander_looks': [f'{p.color} {p.shape}' for p in bystanders],
  }
  prompt = _prompt(request.cell.images, scenario.step_s, scenario.words)
  return _assemble(request, scenario.varies, values, films, prompt, factors)


def _film(
  request: group_law.Request,
  scene: protocol.Scene,
  lead: tuple[protocol.Action, ...],
  step_s: float,
  camera: protocol.Camera,
) -> list[protocol.Shot]:
  """Returns the shots of the question, and after them the outcome."""
  wait = (protocol.Action('wait', (step_s,)),)
  return [
    protocol.Shot(request.cell.environment, scene, lead + wait * k, camera)
    for k in range(request.cell.images + 1)
  ]


def _most_different(
  request: group_law.Request, levels: Sequence[Any], films: Sequence[list]
) -> tuple[list, list]:
  """Chooses as many levels as there are options, with distinct outcomes.

  Of all subsets of that size, the one with the largest least distance between
  two outcomes is chosen.

  Returns:
    The chosen levels and their films.

  Raises:
    group_law.Rejected: the least distance is below APART_M.
  """
  outcomes = [
    request.simulate(f[-1].environment, f[-1].scene, f[-1].actions)[-1]
    for f in films
  ]
  distances_m = {
    (i, j): moved_m(outcomes[i], outcomes[j])
    for i, j in itertools.combinations(range(len(outcomes)), 2)
  }

  def least_m(subset: tuple[int, ...]) -> float:
    return min(distances_m[pair] for pair in itertools.combinations(subset, 2))

  size = request.cell.of.options
  subsets = itertools.combinations(range(len(outcomes)), size)
  best = max(subsets, key=least_m)
  if least_m(best) < APART_M:
    raise group_law.Rejected('two outcomes are too similar')
  return [levels[i] for i in best], [films[i] for i in best]


def moved_m(a: protocol.State, b: protocol.State) -> float:
  """Returns the largest distance between a body's positions in two states."""
  positions_23 = [[s.bodies[n].position_m for n in a.bodies] for s in (a, b)]
  return float(np.linalg.norm(np.subtract(*positions_23), axis=1).max())


def _prompt(images: int, step_s: float, words: str) -> str:
  seconds = f'{step_s:g} seconds'
  return (
    f'{_COUNTS[images]} pictures, taken {seconds} apart and given in order,'
    f' show how {words}. Which picture shows the scene {seconds} after the last'
    ' of them?'
  )


def _assemble(
  request: group_law.Request,
  varies: str,
  levels: Sequence[Any],
  films: Sequence[list[protocol.Shot]],
  prompt: str,
  factors: dict[str, Any],
) -> group_law.Group:
  members = [
    {
      'prompt': prompt,
      'images': tuple(film[:-1]),
      'factors': factors | {varies: level},
    }
    for level, film in zip(levels, films, strict=True)
  ]
  outcomes = [film[-1] for film in films]
  return group_law.assemble(request, varies, outcomes, members)


# Paces of the left and of the right sphere.
_PACES = tuple(itertools.product(('slow', 'fast'), repeat=2))
_TARGETS = ('cube', 'sphere', 'cylinder')
_MATERIALS = ('plastic', 'wood')
_STEP_S = 0.28


@dataclasses.dataclass(frozen=True)
class _Encounter:
  """Two spheres that roll towards a target from its left and its right.

  Attributes:
    shape: the shape of the target.
    colors, sizes_m, materials: of the left sphere, right sphere and target.
    speeds_mps: the initial speed of a sphere by its pace.
    gap_m: the gap between each sphere and the target in the last picture.
  """

  shape: str
  colors: list[str]
  sizes_m: np.ndarray
  materials: list[str]
  speeds_mps: dict[str, float]
  gap_m: float

  @property
  def factors(self) -> dict[str, Any]:
    return {
      'shape': self.shape,
      'colors': self.colors,
      'sizes_m': self.sizes_m.tolist(),
      'materials': self.materials,
      'speeds_mps': list(self.speeds_mps.values()),
      'gap_m': self.gap_m,
    }

  @property
  def words(self) -> str:
    left, right, target = (
      f'the {stage_layout.noun_phrase(c, s)}'
      for c, s in zip(
        self.colors, ('sphere', 'sphere', self.shape), strict=True
      )
    )
    return f'{left} and {right} roll towards {target} from either side'

  def props(self, paces: tuple[str, str]) -> tuple[props_lib.Prop, ...]:
    """Returns the props at their starts, in the frame of the viewer."""
    target = stage_layout.stand(
      'target', self.shape, self.colors[2], self.sizes_m[2], (0, 0)
    )
    target = dataclasses.replace(target, material=self.materials[2])
    return (target, *(self._sphere(i, pace) for i, pace in enumerate(paces)))

  def _sphere(self, i: int, pace: str) -> props_lib.Prop:
    """Returns a sphere that reaches its last position after two steps."""
    sign, size_m, speed_mps = (1, -1)[i], self.sizes_m[i], self.speeds_mps[pace]
    last_m = self.sizes_m[2] / 2 + self.gap_m + size_m / 2
    run_m = physics_scenarios.rolling_distance_m(
      speed_mps, size_m / 2, 2 * _STEP_S
    )
    sphere = stage_layout.stand(
      ('left', 'right')[i],
      'sphere',
      self.colors[i],
      size_m,
      (-sign * (last_m + run_m), 0.0),
      material=self.materials[i],
    )
    velocity_mps = (sign * speed_mps, 0.0, 0.0)
    return dataclasses.replace(sphere, velocity_mps=velocity_mps)


def _draw_encounter(
  rng: np.random.Generator, unit_m: float, shape: str
) -> _Encounter:
  colors = stage_layout.draw_colors(rng, 3)
  # The spheres have the same size and material; otherwise the heavier one
  # would decide the outcome.
  sizes_m = unit_m * rng.uniform(0.65, 0.85, 2)
  sizes_m = sizes_m[[0, 0, 1]].round(3)
  sphere, target = (str(m) for m in rng.choice(_MATERIALS, 2))
  return _Encounter(
    shape,
    colors,
    sizes_m,
    [sphere, sphere, target],
    {
      'slow': round(rng.uniform(0.4, 0.5), 3),
      'fast': round(rng.uniform(1.05, 1.15), 3),
    },
    gap_m=round(rng.uniform(0.03, 0.05), 3),
  )


def compositional(request: group_law.Request) -> group_law.Group:
  """Drafts C-IP: two spheres, each slow or fast, hit a third object at once.

  In the last picture the spheres have the same positions at all speeds.
  """
  surface = stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    view=('front', 'top'),
    shape=_TARGETS,
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  encounter = _draw_encounter(request.rng, surface.unit_m, levels['shape'])
  camera = stage.camera(levels['view'])
  films = []
  for paces in _PACES:
    props = tuple(_in_world(p, stage.side) for p in encounter.props(paces))
    scene = props_lib.PropScene(
      stage.background, stage.seed, props, dynamic=True
    )
    films.append(_film(request, scene, (), _STEP_S, camera))
  chosen, films = _most_different(request, _PACES, films)
  factors = stage.factors | {'view': levels['view']} | encounter.factors
  factors |= {'step_s': _STEP_S}
  prompt = _prompt(request.cell.images, _STEP_S, encounter.words)
  paces = [list(pair) for pair in chosen]
  return _assemble(request, 'paces', paces, films, prompt, factors)


def _in_world(prop: props_lib.Prop, side: str) -> props_lib.Prop:
  """Rotates a prop from the viewer's frame into the world's."""
  quarter = stage_layout.SIDES.index(side)
  cosine, sine = stage_layout.QUARTERS[quarter]

  def rotated(vector: protocol.Vector) -> protocol.Vector:
    x, y, z = vector
    return (cosine * x - sine * y, sine * x + cosine * y, z)

  return dataclasses.replace(
    prop,
    position_m=rotated(prop.position_m),
    velocity_mps=rotated(prop.velocity_mps),
    yaw_deg=(prop.yaw_deg + 90.0 * quarter) % 360.0,
  )


MAKERS: dict[str, group_law.Maker] = {
  'M-IP': mechanistic,
  'C-IP': compositional,
}
