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
EVERYWHERE = [
  pytest.param(name, background, id=background)
  for name, surface in surfaces.SURFACES.items()
  for background in surface.backgrounds
]
everywhere = pytest.mark.parametrize('name, background', EVERYWHERE)


@pytest.fixture(scope='module')
def look():
  """Renders props in a room, each room compiled once."""
  renderer, made = rendering.MujocoRenderer(SIZE, shadow_px=512), {}

  def show(background, camera, *props):
    if background not in made:
      made[background] = room_lib.Room(background)
    room = made[background]
    bodies = {p.name: protocol.Body(p.position_m) for p in props}
    for mesh in room.show(props, bodies):
      renderer.refresh(room.model, mesh)
    return renderer.render(room.model, room.data, camera).astype(int)

  yield show
  renderer.close()


def _pixel(frame_HWC, camera, point_m):
  right, up = stage_layout.project(camera, point_m)
  column, row = (1 + right) * SIZE / 2, (1 - up) * SIZE / 2
  return frame_HWC[int(row), int(column)]


def test_every_background_has_a_plan():
  named = [b for s in surfaces.SURFACES.values() for b in s.backgrounds]
  assert sorted(named) == sorted(plans.PLANS)


@everywhere
@pytest.mark.parametrize('view', ['front', 'top'])
def test_a_prop_is_seen_in_its_colour_where_it_projects_to(
  look, name, background, view
):
  surface = surfaces.SURFACES[name]
  camera = surface.cameras[view]
  spots = itertools.product((-0.6, 0.0, 0.6), (-0.65, -0.2, 0.2, 0.65))
  props = [
    stage_layout.stand(
      color, 'sphere', color, surface.unit_m, np.multiply(at, surface.half_m)
    )
    for color, at in zip(props_lib.COLORS, spots, strict=False)
  ]
  frame_HWC = look(background, camera, *props)
  for prop in props:
    # The side of the ball that both camera and lamp see.
    high = np.add(prop.position_m, (0, 0, 0.25 * surface.unit_m))
    seen = _pixel(frame_HWC, camera, high) / 255
    gaps = {
      color: np.linalg.norm(seen - rgb)
      for color, rgb in props_lib.COLORS.items()
    }
    assert min(gaps, key=gaps.get) == prop.color, (prop.color, seen)


@everywhere
def test_nothing_of_a_room_hides_a_prop_in_the_area(look, name, background):
  """Black and white balls differ wherever a ball is seen, so at its middle."""
  surface = surfaces.SURFACES[name]
  unit, half = surface.unit_m, surface.half_m[0]
  edge = half - unit / 2
  places = [*itertools.product((-edge, 0.0, edge), repeat=2)]
  for camera in surface.cameras.values():
    # At the foot, and as high as the second of two on each other.
    for on_m in (0.0, unit):
      shown = [
        look(
          background,
          camera,
          *(
            stage_layout.stand(str(i), 'sphere', c, unit, at, on_m=on_m)
            for i, at in enumerate(places)
          ),
        )
        for c in ('white', 'black')
      ]
      for at in places:
        point = (*at, on_m + unit / 2)
        white, black = (_pixel(f, camera, point) for f in shown)
        assert (white - black).min() > 60, (camera.name, at, on_m)


def _ring_top(ring):
  return 0.7 * stage_layout.height_m(ring)


@everywhere
def test_a_rings_hole_shows_the_surface_and_grows(look, name, background):
  surface = surfaces.SURFACES[name]
  camera = surface.cameras['top']
  empty = look(background, camera)
  for hole in (0.8, 0.21, 0.5):
    ring = stage_layout.stand(
      'ring', 'torus', 'purple', 3 * surface.unit_m, (0.0, 0.0), hole=hole
    )
    frame_HWC = look(background, camera, ring)
    inner, outer = hole * ring.size_m / 2, ring.size_m / 2
    middle = _pixel(frame_HWC, camera, (0.0, 0.0, 0.0))
    # No more than a shadow lies there.
    assert middle.sum() > 0.5 * _pixel(empty, camera, (0.0, 0.0, 0.0)).sum()
    for share in (0.15, 0.5, 0.85):
      radius = inner + share * (outer - inner)
      for turn in range(8):
        point = (radius * np.cos(turn), radius * np.sin(turn), _ring_top(ring))
        r, g, b = _pixel(frame_HWC, camera, point)
        assert min(r, b) > g + 8, (hole, share, turn)


def test_materials_look_unlike_each_other(look):
  surface = surfaces.SURFACES['tabletop']
  for color in ('', 'red'):
    frames = [
      look(
        'study',
        surface.cameras['front'],
        stage_layout.stand(
          'it', 'cube', color, 0.4, (0.0, 0.0), material=material
        ),
      )
      for material in props_lib.MATERIALS
    ]
    for a, b in itertools.combinations(frames, 2):
      assert (np.abs(a - b).sum(axis=-1) > 24).sum() > 300


def test_shade_makes_darker(look):
  camera = surfaces.SURFACES['tabletop'].cameras['front']
  ball = stage_layout.stand('it', 'sphere', 'green', 0.3, (0.0, 0.0))
  greens = [
    _pixel(
      look('loft', camera, dataclasses.replace(ball, shade=shade)),
      camera,
      ball.position_m,
    )[1]
    for shade in (1.0, 0.65, 0.35)
  ]
  assert greens[0] > greens[1] + 15 > greens[2] + 30


@pytest.mark.parametrize('shape', props_lib.SHAPES)
def test_a_prop_is_as_large_as_it_says_after_any_other(look, shape):
  """Its outline from above is as wide as its bounding box."""
  surface = surfaces.SURFACES['tabletop']
  camera = surface.cameras['top']
  empty = look('living_room', camera)
  for size_m in (0.5, 0.2, 0.4):
    prop = stage_layout.stand('it', shape, 'blue', size_m, (0.0, 0.0))
    frame_HWC = look('living_room', camera, prop)
    blue = frame_HWC[..., 2] > 1.6 * frame_HWC[..., :2].max(axis=-1)
    assert not (empty[..., 2] > 1.6 * empty[..., :2].max(axis=-1)).any()
    width_px = np.ptp(np.flatnonzero(blue.any(axis=0))) + 1
    # What is widest is at the foot of a cone, and at the top of a cube.
    z_m = {'cube': size_m, 'cylinder': size_m, 'cone': 0.0}.get(
      shape, prop.position_m[2]
    )
    right, _ = stage_layout.project(camera, (size_m / 2, 0.0, z_m))
    assert width_px == pytest.approx(right * SIZE, abs=2.5)
