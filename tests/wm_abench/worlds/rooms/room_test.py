import dataclasses
import itertools

import numpy as np
import pytest

from wm_abench.questions import stage_layout
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.rooms import plans
from wm_abench.worlds.rooms import room as room_lib
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

SIZE = 160
ROOMS = [
  pytest.param(name, background, id=background)
  for name, surface in surfaces.SURFACES.items()
  for background in surface.backgrounds
]
in_every_room = pytest.mark.parametrize('name, background', ROOMS)


@pytest.fixture(scope='module')
def draw():
  """A function that renders props in a room; each room is compiled once."""
  renderer, rooms = rendering.MujocoRenderer(SIZE, shadow_px=512), {}

  def render(background, camera, *props):
    if background not in rooms:
      rooms[background] = room_lib.Room(background)
    room = rooms[background]
    bodies = {p.name: protocol.Body(p.position_m) for p in props}
    for mesh in room.show(props, bodies):
      renderer.refresh(room.model, mesh)
    return renderer.render(room.model, room.data, camera).astype(int)

  yield render
  renderer.close()


def _pixel(frame_HWC, camera, point_m):
  right, up = stage_layout.project(camera, point_m)
  column, row = (1 + right) * SIZE / 2, (1 - up) * SIZE / 2
  return frame_HWC[int(row), int(column)]


def test_every_background_has_a_plan():
  backgrounds = [b for s in surfaces.SURFACES.values() for b in s.backgrounds]
  assert sorted(backgrounds) == sorted(plans.PLANS)


@in_every_room
@pytest.mark.parametrize('view', ['front', 'top'])
def test_a_prop_has_its_colour_at_its_projection(draw, name, background, view):
  surface = surfaces.SURFACES[name]
  camera = surface.cameras[view]
  positions = itertools.product((-0.6, 0.0, 0.6), (-0.65, -0.2, 0.2, 0.65))
  props = [
    stage_layout.stand(
      color, 'sphere', color, surface.unit_m, np.multiply(xy, surface.half_m)
    )
    for color, xy in zip(props_lib.COLORS, positions, strict=False)
  ]
  frame_HWC = draw(background, camera, *props)
  for prop in props:
    # The side of the ball that faces both the camera and the lamp.
    upper_m = np.add(prop.position_m, (0, 0, 0.25 * surface.unit_m))
    pixel = _pixel(frame_HWC, camera, upper_m) / 255
    distances = {
      color: np.linalg.norm(pixel - rgb)
      for color, rgb in props_lib.COLORS.items()
    }
    assert min(distances, key=distances.get) == prop.color, (prop.color, pixel)


@in_every_room
def test_no_part_of_a_room_hides_a_prop_in_the_area(draw, name, background):
  """Where a ball is visible, a black one and a white one differ."""
  surface = surfaces.SURFACES[name]
  unit, half = surface.unit_m, surface.half_m[0]
  edge = half - unit / 2
  positions = [*itertools.product((-edge, 0.0, edge), repeat=2)]
  for camera in surface.cameras.values():
    # On the surface, and as high as the upper of two stacked props.
    for on_m in (0.0, unit):
      frames = [
        draw(
          background,
          camera,
          *(
            stage_layout.stand(str(i), 'sphere', c, unit, xy, on_m=on_m)
            for i, xy in enumerate(positions)
          ),
        )
        for c in ('white', 'black')
      ]
      for xy in positions:
        point_m = (*xy, on_m + unit / 2)
        white, black = (_pixel(f, camera, point_m) for f in frames)
        assert (white - black).min() > 60, (camera.name, xy, on_m)


def _ring_top(ring):
  """Returns a height near the top of a torus."""
  return 0.7 * props_lib.height_m(ring)


@in_every_room
def test_the_hole_of_a_torus_shows_the_surface_and_has_its_size(
  draw, name, background
):
  surface = surfaces.SURFACES[name]
  camera = surface.cameras['top']
  empty = draw(background, camera)
  for hole in (0.8, 0.21, 0.5):
    ring = stage_layout.stand(
      'ring', 'torus', 'purple', 3 * surface.unit_m, (0.0, 0.0), hole=hole
    )
    frame_HWC = draw(background, camera, ring)
    inner, outer = hole * ring.size_m / 2, ring.size_m / 2
    centre = _pixel(frame_HWC, camera, (0.0, 0.0, 0.0))
    # Nothing but a shadow is there.
    assert centre.sum() > 0.5 * _pixel(empty, camera, (0.0, 0.0, 0.0)).sum()
    for fraction in (0.15, 0.5, 0.85):
      radius = inner + fraction * (outer - inner)
      for angle in range(8):
        x_m, y_m = radius * np.cos(angle), radius * np.sin(angle)
        r, g, b = _pixel(frame_HWC, camera, (x_m, y_m, _ring_top(ring)))
        assert min(r, b) > g + 8, (hole, fraction, angle)


def test_any_two_materials_look_different(draw):
  surface = surfaces.SURFACES['tabletop']
  for color in ('', 'red'):
    frames = [
      draw(
        'study',
        surface.cameras['front'],
        stage_layout.stand(
          'prop', 'cube', color, 0.4, (0.0, 0.0), material=material
        ),
      )
      for material in props_lib.MATERIALS
    ]
    for a, b in itertools.combinations(frames, 2):
      assert (np.abs(a - b).sum(axis=-1) > 24).sum() > 300


def test_a_smaller_shade_is_darker(draw):
  camera = surfaces.SURFACES['tabletop'].cameras['front']
  ball = stage_layout.stand('prop', 'sphere', 'green', 0.3, (0.0, 0.0))
  greens = [
    _pixel(
      draw('loft', camera, dataclasses.replace(ball, shade=shade)),
      camera,
      ball.position_m,
    )[1]
    for shade in (1.0, 0.65, 0.35)
  ]
  assert greens[0] > greens[1] + 15 > greens[2] + 30


@pytest.mark.parametrize('shape', props_lib.SHAPES)
def test_a_prop_has_the_width_of_its_size_after_other_sizes(draw, shape):
  """The outline from above is as wide as the bounding box."""
  surface = surfaces.SURFACES['tabletop']
  camera = surface.cameras['top']
  empty = draw('living_room', camera)
  for size_m in (0.5, 0.2, 0.4):
    prop = stage_layout.stand('prop', shape, 'blue', size_m, (0.0, 0.0))
    frame_HWC = draw('living_room', camera, prop)
    blue = frame_HWC[..., 2] > 1.6 * frame_HWC[..., :2].max(axis=-1)
    assert not (empty[..., 2] > 1.6 * empty[..., :2].max(axis=-1)).any()
    width_px = np.ptp(np.flatnonzero(blue.any(axis=0))) + 1
    # The height of the outline: a cone is widest at its base; of a cube or a
    # cylinder, the top face is nearest to the camera.
    z_m = {'cube': size_m, 'cylinder': size_m, 'cone': 0.0}.get(
      shape, prop.position_m[2]
    )
    right, _ = stage_layout.project(camera, (size_m / 2, 0.0, z_m))
    assert width_px == pytest.approx(right * SIZE, abs=2.5)
