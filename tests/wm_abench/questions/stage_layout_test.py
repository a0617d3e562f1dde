import collections
import functools
import itertools

import numpy as np
import pytest
from scipy import stats

from wm_abench.core import dimensions
from wm_abench.questions import (
  group_law,
  motion,
  quantity,
  space,
  stage_layout,
  timing,
  trajectory,
  vision,
)
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

MAKERS = (
  space.MAKERS
  | timing.MAKERS
  | vision.MAKERS
  | motion.MAKERS
  | quantity.MAKERS
  | trajectory.MAKERS
)
CELLS = dimensions.select('perception')
every_cell = pytest.mark.parametrize('cell', CELLS, ids=lambda c: c.name)


def _draw(cell, index, seed=0):
  """Returns the first group that is not rejected, and its attempt."""
  for attempt in range(20):
    request = group_law.Request(cell, index, seed, attempt, simulate=None)
    try:
      return MAKERS[cell.dimension](request), attempt
    except group_law.Rejected:
      pass
  raise AssertionError(f'{cell.name}/{index} is rejected 20 times')


@functools.cache
def _drawn(cell):
  return [_draw(cell, index) for index in range(40)]


def _scenes(cell):
  for group, _ in _drawn(cell):
    for draft in group.drafts:
      yield from {shot.scene for shot in draft.images}


def _position_m(prop, time_s):
  if not prop.path:
    return np.array(prop.position_m)
  times, places = zip(*prop.path, strict=True)
  return np.array(
    [np.interp(time_s, times, axis) for axis in zip(*places, strict=True)]
  )


def _times(scene):
  if not any(p.path for p in scene.props):
    return [0.0]
  return [t * 0.25 for t in range(15)]


def test_all_perception_cells_have_makers():
  assert len(CELLS) == 29
  assert set(MAKERS) == {cell.dimension for cell in CELLS}


@every_cell
def test_groups_keep_the_law_and_depend_on_the_request_alone(cell):
  for index, (group, _) in enumerate(_drawn(cell)):
    group_law.check(group)
    assert group.index == index and group.cell == cell
  assert _draw(cell, 7)[0] == _drawn(cell)[7][0]
  assert _draw(cell, 7, seed=1)[0] != _drawn(cell)[7][0]


@every_cell
def test_few_draws_are_rejected(cell):
  rejected = sum(attempt for _, attempt in _drawn(cell))
  assert rejected < 0.2 * (rejected + len(_drawn(cell)))


@every_cell
def test_props_are_disjoint_on_the_surface_and_in_the_pictures(cell):
  surface = surfaces.SURFACES[cell.environment]
  for scene in _scenes(cell):
    assert scene.background in surface.backgrounds and not scene.dynamic
    assert len({p.name for p in scene.props}) == len(scene.props)
    for time_s in _times(scene):
      positions = [_position_m(p, time_s) for p in scene.props]
      for prop, position in zip(scene.props, positions, strict=True):
        assert np.abs(position[:2]).max() + prop.size_m / 2 < surface.half_m[0]
        assert position[2] >= props_lib.height_m(prop) / 2 - 1e-4
        for camera in surface.cameras.values():
          assert np.abs(stage_layout.project(camera, position)).max() < 0.95
      for (p, a), (q, b) in itertools.combinations(
        zip(scene.props, positions, strict=True), 2
      ):
        high = props_lib.height_m(p) / 2 + props_lib.height_m(q) / 2
        reach = stage_layout.reach_m(p.shape, p.size_m)
        reach += stage_layout.reach_m(q.shape, q.size_m)
        beside = np.linalg.norm((a - b)[:2]) > reach
        assert beside or abs(a - b)[2] > high - 1e-4


@every_cell
def test_paths_start_at_the_prop_and_their_times_increase(cell):
  for scene in _scenes(cell):
    for prop in scene.props:
      times = [t for t, _ in prop.path]
      assert times == sorted(set(times))
      if times:
        assert times[0] == 0 and prop.path[0][1] == prop.position_m
        assert times[-1] <= (cell.images - 1) * stage_layout.STEP_S


@every_cell
def test_every_prop_is_visible(cell):
  # In every frame of a film; otherwise in at least one of the pictures.
  film = cell.of.category in ('time', 'motion')
  for group, _ in _drawn(cell):
    for draft in group.drafts:
      shares = np.array([_visible_shares(shot) for shot in draft.images])
      assert (shares.min(0) if film else shares.max(0)).min() > 0.35


def _visible_shares(shot):
  time_s = len(shot.actions) * stage_layout.STEP_S
  props = [_still(p, time_s) for p in shot.scene.props]
  return [
    stage_layout.visible_share(p, [q for q in props if q is not p], shot.camera)
    for p in props
  ]


def _still(prop, time_s):
  x, y, z = _position_m(prop, time_s)
  return props_lib.Prop(
    prop.name, prop.shape, prop.color, prop.size_m, (x, y, z), hole=prop.hole
  )


@every_cell
def test_a_film_advances_by_one_step_per_frame_in_one_scene(cell):
  for group, _ in _drawn(cell):
    for draft in group.drafts:
      assert len({shot.scene for shot in draft.images}) == 1
      steps = [len(shot.actions) for shot in draft.images]
      film = cell.of.category in ('time', 'motion')
      assert steps == ([*range(cell.images)] if film else [0] * cell.images)


@every_cell
def test_the_key_is_equally_often_at_every_position(cell):
  # Over the groups, the key of the first member is equally often at every
  # position: chi-square test at a level of 1e-4 per cell.
  n = cell.of.options
  first = collections.Counter(
    _draw(cell, i)[0].drafts[0].answer for i in range(120)
  )
  assert stats.chisquare([first[i] for i in range(n)]).pvalue > 1e-4


@every_cell
def test_backgrounds_and_sides_are_fully_crossed(cell):
  if cell.dimension in ('DQ', 'RQ', 'V-M'):
    names = ('background',)
  else:
    names = ('background', 'side')
  counts = collections.Counter(
    tuple(_draw(cell, i)[0].drafts[0].factors[n] for n in names)
    for i in range(160)
  )
  assert len(counts) == 4 ** len(names)
  assert stats.chisquare([*counts.values()]).pvalue > 1e-4


def _prop(shape, xyz, size_m=0.2, **more):
  return props_lib.Prop('p', shape, 'red', size_m, xyz, **more)


def test_a_prop_directly_behind_another_is_hidden_and_one_beside_it_is_not():
  level = protocol.Camera('front', (0.0, -3.0, 0.1), (0.0, 0.0, 0.1))
  target = _prop('sphere', (0.0, 0.0, 0.1))
  assert stage_layout.visible_share(target, [], level) == 1
  near = _prop('cube', (0.0, -0.5, 0.1))
  assert stage_layout.visible_share(target, [near], level) == 0
  assert stage_layout.visible_share(near, [target], level) == 1
  aside = _prop('sphere', (0.3, -0.5, 0.1))
  assert stage_layout.visible_share(target, [aside], level) == 1
  # A ball of the same size that is half a width aside hides about a third: two
  # unit circles one radius apart overlap in 0.39 of their area.
  half = _prop('sphere', (0.1, -0.25, 0.1))
  assert 0.5 < stage_layout.visible_share(target, [half], level) < 0.75


def test_a_ring_lies_flat_and_a_prop_on_top_stands_above_the_surface():
  ring = stage_layout.stand('r', 'torus', 'red', 0.4, (0, 0), hole=0.5)
  # Outer width 0.4 and hole 0.2: the tube is 0.1 thick, its centre at 0.05.
  assert props_lib.height_m(ring) == pytest.approx(0.1)
  assert ring.position_m == (0.0, 0.0, 0.05)
  ball = stage_layout.stand('b', 'sphere', 'red', 0.2, (0, 0), on_m=0.3)
  assert ball.position_m[2] == pytest.approx(0.4)


def test_projection_is_that_of_a_pinhole():
  camera = protocol.Camera(
    'front', (0.0, -2.0, 0.0), (0.0, 0.0, 0.0), fovy_deg=90
  )
  np.testing.assert_allclose(stage_layout.project(camera, (0, 0, 0)), (0, 0))
  np.testing.assert_allclose(stage_layout.project(camera, (1, 0, 2)), (0.5, 1))
  np.testing.assert_allclose(
    stage_layout.project(camera, (-1, 2, 1)), (-0.25, 0.25)
  )


@pytest.mark.parametrize('side', stage_layout.SIDES)
def test_every_side_shows_the_viewers_frame_the_same_way(side):
  stage = stage_layout.Stage('tabletop', 'study', side, 0)
  straight = stage_layout.Stage('tabletop', 'study', 'front', 0)
  path = ((0.0, (0.3, 0.5, 0.1)), (1.0, (-0.2, 0.1, 0.1)))
  prop = _prop('cube', (0.3, 0.5, 0.1), path=path)
  for view in ('front', 'left', 'top'):
    one, other = (s.shot([prop], view) for s in (stage, straight))
    for attribute in ('position_m', 'path'):
      points = [getattr(s.scene.props[0], attribute) for s in (one, other)]
      if attribute == 'path':
        points = [p[1][1] for p in points]
      np.testing.assert_allclose(
        stage_layout.project(one.camera, points[0]),
        stage_layout.project(other.camera, points[1]),
        atol=1e-6,
      )
  # In the top view, points that are farther from the viewer are higher up.
  far, near = (0.0, 0.5, 0.0), (0.0, -0.5, 0.0)
  top = [
    stage_layout.project(
      stage.camera('top'),
      stage.shot([_prop('cube', xyz)], 'top').scene.props[0].position_m,
    )
    for xyz in (far, near)
  ]
  assert top[0][1] > 0 > top[1][1]


def test_scattered_circles_stay_inside_and_keep_their_gaps():
  rng = np.random.default_rng(0)
  centres = stage_layout.scatter(rng, [0.1] * 8, (0.6, 0.4), 0.05)
  assert (np.abs(centres) <= (0.5, 0.3)).all()
  gaps = [np.linalg.norm(a - b) for a, b in itertools.combinations(centres, 2)]
  assert min(gaps) >= 0.25
  with pytest.raises(group_law.Rejected):
    stage_layout.scatter(rng, [0.3] * 8, (0.6, 0.4), 0.05)
