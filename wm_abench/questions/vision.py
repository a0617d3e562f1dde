"""Questions about looks: colour, shape and material."""

from collections.abc import Sequence
import itertools

import numpy as np

from wm_abench.core import records
from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_VIEWS = ('front', 'left', 'top')
_SAID = (
  'Three pictures show one scene: from the front, from the left, and from'
  ' straight above. '
)


def color(request: group_law.Request) -> records.Group:
  """V-C: the colour of the prop of a shape, among props of other shapes.

  The others have colours that are options too, so that it is not enough to see
  which colours are there.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=props_lib.SHAPES,
    others=(0, 1, 2),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  colors = stage_layout.draw_colors(rng, 4)
  rest = [s for s in props_lib.SHAPES if s != drawn['shape']]
  others = [str(s) for s in rng.choice(rest, drawn['others'], replace=False)]
  shapes = [drawn['shape'], *others]
  own = [str(c) for c in rng.choice(colors, len(others), replace=False)]
  sizes_m, places = _set_out(rng, surface, shapes)
  factors = stage.factors | _factors(shapes, sizes_m, places)
  factors |= {'other_colors': own, 'others': drawn['others']}
  prompt = (
    _SAID + f'What colour is the {stage_layout.named("", drawn["shape"])}?'
  )
  members = []
  for name in colors:
    props = _props(shapes, [name, *own], sizes_m, places)
    shots = [stage.shot(props, view) for view in _VIEWS]
    members.append(stage_layout.member(prompt, shots, factors, color=name))
  return group_law.assemble(request, 'color', colors, members)


def shape(request: group_law.Request) -> records.Group:
  """V-S: the shape of the prop of a colour, among props of other colours.

  The others have shapes that are options too.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    left_out=props_lib.SHAPES,
    others=(0, 1, 2),
  )
  stage = stage_layout.open_stage(request, drawn['background'], drawn['side'])
  options = [s for s in props_lib.SHAPES if s != drawn['left_out']]
  others = [str(s) for s in rng.choice(options, drawn['others'], replace=False)]
  colors = stage_layout.draw_colors(rng, 1 + len(others))
  # As much room as the widest of the shapes needs.
  sizes_m, places = _set_out(rng, surface, ['cube', *others])
  factors = stage.factors | _factors(others, sizes_m, places)
  factors |= {'colors': colors, 'left_out': drawn['left_out']}
  prompt = _SAID + f'What shape is the {colors[0]} object?'
  members = []
  for name in options:
    props = _props([name, *others], colors, sizes_m, places)
    shots = [stage.shot(props, view) for view in _VIEWS]
    members.append(stage_layout.member(prompt, shots, factors, shape=name))
  words = [f'a {stage_layout.named("", s)}' for s in options]
  return group_law.assemble(request, 'shape', words, members)


def material(request: group_law.Request) -> records.Group:
  """V-M: whether two props of different shapes are of one material.

  Both have their material's own colour, or both are tinted with one.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  drawn = request.levels(
    background=surface.backgrounds,
    materials=tuple(itertools.permutations(props_lib.MATERIALS, 2)),
    tinted=(False, True),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, drawn['background'], side)
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 2, replace=False)]
  tint = stage_layout.draw_colors(rng, 1)[0] if drawn['tinted'] else ''
  sizes_m, places = _set_out(rng, surface, shapes, views=('front',))
  first, second = drawn['materials']
  factors = stage.factors | _factors(shapes, sizes_m, places)
  factors |= {'color': tint, 'first': first, 'other': second}
  words = [f'the {stage_layout.named("", s)}' for s in shapes]
  prompt = f'Are {words[0]} and {words[1]} made of the same material?'
  members = []
  for other in (first, second):
    props = _props(shapes, [tint] * 2, sizes_m, places, (first, other))
    shots = [stage.shot(props, 'front')]
    members.append(stage_layout.member(prompt, shots, factors, second=other))
  return group_law.assemble(request, 'second', ('yes', 'no'), members)


def _set_out(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  shapes: Sequence[str],
  views: Sequence[str] = _VIEWS,
) -> tuple[np.ndarray, np.ndarray]:
  """Sizes [N] in metres, and places [N, 2] where every view sees all."""
  sizes_m = surface.unit_m * rng.uniform(1.0, 1.4, len(shapes))
  looks = list(zip(shapes, sizes_m, strict=True))
  gap_m = surface.unit_m * 0.4
  return sizes_m, stage_layout.set_out(rng, surface, looks, views, gap_m)


def _props(
  shapes: Sequence[str],
  colors: Sequence[str],
  sizes_m: np.ndarray,
  places: np.ndarray,
  materials: Sequence[str] = (),
) -> list[props_lib.Prop]:
  materials = materials or ('plastic',) * len(shapes)
  return [
    stage_layout.stand(f'prop{i}', *look, places[i], material=materials[i])
    for i, look in enumerate(zip(shapes, colors, sizes_m, strict=True))
  ]


def _factors(
  shapes: Sequence[str], sizes_m: np.ndarray, places: np.ndarray
) -> dict:
  return {
    'shapes': list(shapes),
    'sizes_m': stage_layout.rounded(sizes_m),
    'positions_m': stage_layout.rounded(places),
  }


MAKERS: dict[str, group_law.Maker] = {
  'V-C': color,
  'V-S': shape,
  'V-M': material,
}
