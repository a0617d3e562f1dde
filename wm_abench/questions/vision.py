"""Questions about appearance: colour, shape and material."""

from collections.abc import Sequence
import itertools

import numpy as np

from wm_abench.questions import group_law, stage_layout
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

_VIEWS = ('front', 'left', 'top')
_INTRO = (
  'Three pictures show one scene: from the front, from the left, and from'
  ' straight above. '
)


def color(request: group_law.Request) -> group_law.Group:
  """Drafts V-C: the colour of the prop with a given shape.

  The other props have other shapes, and their colours are among the options;
  recognising which colours are present is therefore not enough.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    shape=props_lib.SHAPES,
    others=(0, 1, 2),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  colors = stage_layout.draw_colors(rng, 4)
  rest = [s for s in props_lib.SHAPES if s != levels['shape']]
  others = [str(s) for s in rng.choice(rest, levels['others'], replace=False)]
  shapes = [levels['shape'], *others]
  other_colors = [
    str(c) for c in rng.choice(colors, len(others), replace=False)
  ]
  sizes_m, positions_N2 = _draw_layout(rng, surface, shapes)
  factors = stage.factors | _factors(shapes, sizes_m, positions_N2)
  factors |= {'other_colors': other_colors, 'others': levels['others']}
  prompt = (
    _INTRO
    + f'What colour is the {stage_layout.noun_phrase("", levels["shape"])}?'
  )
  members = []
  for name in colors:
    props = _props(shapes, [name, *other_colors], sizes_m, positions_N2)
    shots = [stage.shot(props, view) for view in _VIEWS]
    members.append(stage_layout.member(prompt, shots, factors, color=name))
  return group_law.assemble(request, 'color', colors, members)


def shape(request: group_law.Request) -> group_law.Group:
  """Drafts V-S: the shape of the prop with a given colour.

  The other props have other colours, and their shapes are among the options.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    side=stage_layout.SIDES,
    left_out=props_lib.SHAPES,
    others=(0, 1, 2),
  )
  stage = stage_layout.open_stage(request, levels['background'], levels['side'])
  options = [s for s in props_lib.SHAPES if s != levels['left_out']]
  others = [
    str(s) for s in rng.choice(options, levels['others'], replace=False)
  ]
  colors = stage_layout.draw_colors(rng, 1 + len(others))
  # The layout leaves room for a cube, the shape with the largest reach.
  sizes_m, positions_N2 = _draw_layout(rng, surface, ['cube', *others])
  factors = stage.factors | _factors(others, sizes_m, positions_N2)
  factors |= {'colors': colors, 'left_out': levels['left_out']}
  prompt = _INTRO + f'What shape is the {colors[0]} object?'
  members = []
  for name in options:
    props = _props([name, *others], colors, sizes_m, positions_N2)
    shots = [stage.shot(props, view) for view in _VIEWS]
    members.append(stage_layout.member(prompt, shots, factors, shape=name))
  words = [f'a {stage_layout.noun_phrase("", s)}' for s in options]
  return group_law.assemble(request, 'shape', words, members)


def material(request: group_law.Request) -> group_law.Group:
  """Drafts V-M: whether two props of different shapes have one material.

  Either both have the natural colour of their material, or both have the same
  tint.
  """
  rng, surface = request.rng, stage_layout.surface_of(request)
  levels = request.levels(
    background=surface.backgrounds,
    materials=tuple(itertools.permutations(props_lib.MATERIALS, 2)),
    tinted=(False, True),
  )
  side = str(rng.choice(stage_layout.SIDES))
  stage = stage_layout.open_stage(request, levels['background'], side)
  shapes = [str(s) for s in rng.choice(props_lib.SHAPES, 2, replace=False)]
  tint = stage_layout.draw_colors(rng, 1)[0] if levels['tinted'] else ''
  sizes_m, positions_N2 = _draw_layout(rng, surface, shapes, views=('front',))
  first, second = levels['materials']
  factors = stage.factors | _factors(shapes, sizes_m, positions_N2)
  factors |= {'color': tint, 'first': first, 'other': second}
  words = [f'the {stage_layout.noun_phrase("", s)}' for s in shapes]
  prompt = f'Are {words[0]} and {words[1]} made of the same material?'
  members = []
  for other in (first, second):
    props = _props(shapes, [tint] * 2, sizes_m, positions_N2, (first, other))
    shots = [stage.shot(props, 'front')]
    members.append(stage_layout.member(prompt, shots, factors, second=other))
  return group_law.assemble(request, 'second', ('yes', 'no'), members)


def _draw_layout(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  shapes: Sequence[str],
  views: Sequence[str] = _VIEWS,
) -> tuple[np.ndarray, np.ndarray]:
  """Draws sizes [N] and positions [N, 2] in metres, visible in every view."""
  sizes_m = surface.unit_m * rng.uniform(1.0, 1.4, len(shapes))
  looks = list(zip(shapes, sizes_m, strict=True))
  gap_m = surface.unit_m * 0.4
  return sizes_m, stage_layout.scatter_visible(
    rng, surface, looks, views, gap_m
  )


def _props(
  shapes: Sequence[str],
  colors: Sequence[str],
  sizes_m: np.ndarray,
  positions_N2: np.ndarray,
  materials: Sequence[str] = (),
) -> list[props_lib.Prop]:
  materials = materials or ('plastic',) * len(shapes)
  return [
    stage_layout.stand(
      f'prop{i}', *look, positions_N2[i], material=materials[i]
    )
    for i, look in enumerate(zip(shapes, colors, sizes_m, strict=True))
  ]


def _factors(
  shapes: Sequence[str], sizes_m: np.ndarray, positions_N2: np.ndarray
) -> dict:
  return {
    'shapes': list(shapes),
    'sizes_m': stage_layout.rounded(sizes_m),
    'positions_m': stage_layout.rounded(positions_N2),
  }


MAKERS: dict[str, group_law.Maker] = {
  'V-C': color,
  'V-S': shape,
  'V-M': material,
}
