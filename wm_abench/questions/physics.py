"""Questions about what comes next when solids slide, fall or collide.

The members of a group meet in their last picture: there the thing is at one
and the same place in all of them, and what tells them apart is how it came
there, which the two pictures before show. So whatever option looks most like
the last picture, it is the same one for all members, and right for one.
"""

from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, physics_plays, stage_layout
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import environment
from wm_abench.worlds.tabletop import props as props_lib

# Some thing is at least this far from where it is in any other outcome. Turns
# do not count, for spheres do not show them.
APART_M = 0.03
_VIEWS = tuple(environment.CAMERAS)
_COUNTS = {3: 'Three'}


def mechanistic(request: group_law.Request) -> records.Group:
  """M-IP: what comes next, of four histories that lead to one picture."""
  kinds = physics_plays.KINDS[request.cell.action]
  drawn = request.levels(
    background=environment.BACKGROUNDS,
    view=_VIEWS,
    way=(-1, 1),
    kind=tuple(kinds),
    bystanders=(0, 1, 2),
  )
  rng = request.rng
  play = kinds[drawn['kind']](rng, drawn['way'])
  props = physics_plays.bystanders(rng, drawn['bystanders'], play)
  seed = int(rng.integers(2**31))

  def shots(level: float) -> list[protocol.Shot]:
    act = play.act(level)
    scene = environment.PhysicsScene(
      drawn['background'], seed, (*act.props, *props), play.blocks, act.turns
    )
    lead = (protocol.Action('wait', (act.lead_s,)),) if act.lead_s else ()
    return _film(request, scene, lead, play.step_s, camera)

  camera = environment.CAMERAS[drawn['view']]
  films = [shots(level) for level in play.levels]
  levels, films = _chosen(request, play.levels, films)
  factors = {
    **drawn,
    **play.factors,
    'step_s': play.step_s,
    'bystander_looks': [f'{p.color} {p.shape}' for p in props],
  }
  prompt = _asked(request.cell.images, play.step_s, play.said)
  members = [
    {
      'prompt': prompt,
      'images': tuple(film[:-1]),
      'factors': factors | {play.varies: level},
    }
    for level, film in zip(levels, films, strict=True)
  ]
  ends = [film[-1] for film in films]
  return group_law.assemble(request, play.varies, ends, members)


def _film(request, scene, lead, step_s: float, camera) -> list[protocol.Shot]:
  """The pictures that show the state, and the one that comes next."""
  wait = (protocol.Action('wait', (step_s,)),)
  return [
    protocol.Shot(request.cell.environment, scene, lead + wait * k, camera)
    for k in range(request.cell.images + 1)
  ]


def _chosen(
  request: group_law.Request, levels: Sequence[Any], films: Sequence[list]
) -> tuple[list, list]:
  """Those of the levels, as many as options, whose outcomes differ most."""
  ends = [
    request.simulate(f[-1].environment, f[-1].scene, f[-1].actions)[-1]
    for f in films
  ]
  gaps = {
    (i, j): moved_m(ends[i], ends[j])
    for i, j in itertools.combinations(range(len(ends)), 2)
  }

  def least(picked: tuple[int, ...]) -> float:
    return min(gaps[pair] for pair in itertools.combinations(picked, 2))

  count = request.cell.of.options
  picked = max(itertools.combinations(range(len(ends)), count), key=least)
  if least(picked) < APART_M:
    raise group_law.Rejected('two outcomes are too near each other')
  return [levels[i] for i in picked], [films[i] for i in picked]


def moved_m(a: protocol.State, b: protocol.State) -> float:
  """The longest way between where a thing is in two states."""
  places = [[s.bodies[n].position_m for n in a.bodies] for s in (a, b)]
  return float(np.linalg.norm(np.subtract(*places), axis=1).max())


def _asked(images: int, step_s: float, said: str) -> str:
  seconds = f'{step_s:g} seconds'
  return (
    f'{_COUNTS[images]} pictures, taken {seconds} apart and given in order,'
    f' show how {said}. Which picture shows the scene {seconds} after the last'
    ' of them?'
  )


# Slow and fast, from the left and from the right.
_PACES = tuple(itertools.product(('slow', 'fast'), repeat=2))
_TARGETS = ('cube', 'sphere', 'cylinder')
_MATERIALS = ('plastic', 'wood')
_STEP_S = 0.28


def compositional(request: group_law.Request) -> records.Group:
  """C-IP: two spheres roll at a third thing at once, each slowly or fast.

  The two reach the same places in the last picture, whatever their speeds.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    view=('front', 'top'),
    shape=_TARGETS,
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors = stage_layout.draw_colors(rng, 3)
  # The two spheres are alike but for their colours, else the heavier decides.
  sizes_m = surface.unit_m * rng.uniform(0.65, 0.85, 2)
  sizes_m = sizes_m[[0, 0, 1]].round(3)
  sphere, other = (str(m) for m in rng.choice(_MATERIALS, 2))
  materials = [sphere, sphere, other]
  speeds_mps = {
    'slow': round(rng.uniform(0.4, 0.5), 3),
    'fast': round(rng.uniform(1.05, 1.15), 3),
  }
  gap_m = round(rng.uniform(0.03, 0.05), 3)
  target = stage_layout.stand(
    'target', drawn['shape'], colors[2], sizes_m[2], (0, 0)
  )
  target = dataclasses.replace(target, material=materials[2])
  camera = stage.camera(drawn['view'])

  def film(paces: tuple[str, str]) -> list[protocol.Shot]:
    props = [target]
    for i, pace in enumerate(paces):
      sign, size_m = (1, -1)[i], sizes_m[i]
      last_m = target.size_m / 2 + gap_m + size_m / 2
      speed = speeds_mps[pace]
      run_m = physics_plays.rolled_m(speed, size_m / 2, 2 * _STEP_S)
      prop = stage_layout.stand(
        ('left', 'right')[i],
        'sphere',
        colors[i],
        size_m,
        (-sign * (last_m + run_m), 0.0),
        material=materials[i],
      )
      props.append(
        dataclasses.replace(prop, velocity_mps=(sign * speed, 0.0, 0.0))
      )
    scene = props_lib.PropScene(
      stage.background,
      stage.seed,
      tuple(_turned(p, drawn['side']) for p in props),
      dynamic=True,
    )
    return _film(request, scene, (), _STEP_S, camera)

  paces, films = _chosen(request, _PACES, [film(p) for p in _PACES])
  names = [
    f'the {stage_layout.named(c, s)}'
    for c, s in zip(colors, ('sphere', 'sphere', drawn['shape']), strict=True)
  ]
  said = f'{names[0]} and {names[1]} roll towards {names[2]} from either side'
  factors = stage.factors | {
    'view': drawn['view'],
    'shape': drawn['shape'],
    'colors': colors,
    'sizes_m': sizes_m.tolist(),
    'materials': materials,
    'speeds_mps': list(speeds_mps.values()),
    'gap_m': gap_m,
    'step_s': _STEP_S,
  }
  prompt = _asked(request.cell.images, _STEP_S, said)
  members = [
    {
      'prompt': prompt,
      'images': tuple(f[:-1]),
      'factors': factors | {'paces': list(pace)},
    }
    for pace, f in zip(paces, films, strict=True)
  ]
  return group_law.assemble(request, 'paces', [f[-1] for f in films], members)


def _turned(prop: props_lib.Prop, side: str) -> props_lib.Prop:
  """From the viewer's frame into the world's."""
  quarter = stage_layout.SIDES.index(side)
  cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]

  def turn(vector: protocol.Vector) -> protocol.Vector:
    x, y, z = vector
    return (cosine * x - sine * y, sine * x + cosine * y, z)

  return dataclasses.replace(
    prop,
    position_m=turn(prop.position_m),
    velocity_mps=turn(prop.velocity_mps),
    yaw_deg=(prop.yaw_deg + 90.0 * quarter) % 360.0,
  )


MAKERS: dict[str, group_law.Maker] = {
  'M-IP': mechanistic,
  'C-IP': compositional,
}
