import dataclasses

import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import environment, layout

F, B, L, R = map(protocol.Action, environment.ACTIONS)
UNDONE = {F: B, B: F, L: R, R: L}


@pytest.fixture(scope='module')
def renderer():
  renderer = rendering.MujocoRenderer(96)
  yield renderer
  renderer.close()


def _scenes(number=6, **factors):
  for i in range(number):
    home = environment.BACKGROUNDS[i % len(environment.BACKGROUNDS)]
    yield environment.draw_scene(home, np.random.default_rng(i), **factors)


def _run(scene, *actions):
  world = environment.Indoor(None)
  states = [world.reset(scene)]
  return states + [world.step(action) for action in actions]


def test_a_move_is_undone_by_its_contrary():
  for scene in _scenes():
    for action, contrary in UNDONE.items():
      start, between, end = _run(scene, action, contrary)
      assert protocol.distance(start, end) < 1e-7
      assert protocol.distance(start, between) > 0.05
      assert not between.facts['collided'] and not end.facts['collided']


def test_moves_go_as_far_as_the_scene_says():
  scene = dataclasses.replace(next(_scenes()), heading_deg=90.0, step_m=0.5)
  world = environment.Indoor(None)
  start, ahead = world.reset(scene), world.step(F)
  moved = np.subtract(
    ahead.bodies['agent'].position_m, start.bodies['agent'].position_m
  )
  if not ahead.facts['collided']:
    np.testing.assert_allclose(moved, (0, 0.5, 0), atol=1e-12)
  turned = _run(dataclasses.replace(scene, turn_deg=30.0), L)[-1]
  w, _, _, z = turned.bodies['agent'].quaternion
  assert 2 * np.degrees(np.arctan2(z, w)) == pytest.approx(120)


@pytest.mark.parametrize('turn', [L, R])
@pytest.mark.parametrize('turn_deg', environment.FACTORS['turn_deg'])
def test_turns_all_the_way_round_lead_back(turn, turn_deg):
  scene = next(_scenes(turn_deg=turn_deg))
  start, *_, end = _run(scene, *[turn] * (360 // turn_deg))
  assert end == start


def test_a_blocked_move_leaves_the_pose_and_says_so():
  for scene in _scenes(3):
    states = _run(scene, *[F] * 30)
    blocked = [s for s in states if s.facts['collided']]
    assert blocked and len({s.bodies['agent'] for s in blocked}) == 1
    free = [s for s in states if not s.facts['collided']]
    assert free[-1].bodies == blocked[0].bodies
    # Nor does it matter afterwards: a turn on the spot is free.
    assert not _run(scene, *[F] * 30, L)[-1].facts['collided']


def test_a_start_is_free_and_so_are_all_pairs_of_moves():
  for scene in _scenes(8):
    home = layout.home(scene.background)
    clear = home.clearance_m([(scene.x_m, scene.y_m)])[0]
    assert clear > environment.RADIUS_M
    ahead = home.sight_m(scene.x_m, scene.y_m, np.radians([scene.heading_deg]))
    assert ahead[0] >= 1.5
    for first in UNDONE:
      for second in UNDONE:
        states = _run(scene, first, second)
        assert not any(s.facts['collided'] for s in states)


def test_scenes_are_the_generators_own():
  draw = lambda seed: environment.draw_scene(
    'villa', np.random.default_rng(seed)
  )
  assert draw(3) == draw(3) != draw(4)
  fixed = environment.draw_scene(
    'villa', np.random.default_rng(3), light='evening', eye_m=1.1
  )
  assert (fixed.light, fixed.eye_m) == ('evening', 1.1)


def test_a_frame_does_not_depend_on_what_was_shown_before(renderer):
  world = environment.Indoor(renderer)
  a, b = (
    environment.draw_scene(home, np.random.default_rng(0), light='day')
    for home in ('flat', 'cottage')
  )
  shown = []
  for scene in (a, b, dataclasses.replace(a, light='evening'), b, a):
    world.reset(scene)
    shown.append(world.render(environment.EGO))
  np.testing.assert_array_equal(shown[0], shown[4])
  np.testing.assert_array_equal(shown[1], shown[3])
  assert shown[2].mean() < shown[0].mean() - 10


def test_the_camera_rides_with_the_agent(renderer):
  """Views after moves are those of a camera put there by hand."""
  world = environment.Indoor(renderer)
  scene = environment.draw_scene('loft', np.random.default_rng(1))
  world.reset(scene)
  start = world.render(environment.EGO)
  world.step(L)
  state = world.step(F)
  ridden = world.render(environment.EGO)
  x, y, z = state.bodies['agent'].position_m
  angle = np.radians(scene.heading_deg + scene.turn_deg)
  target = (x + np.cos(angle), y + np.sin(angle), z - 0.1)
  by_hand = protocol.Camera('hand', (x, y, z), target, environment.EGO.fovy_deg)
  gap = np.abs(ridden.astype(int) - world.render(by_hand))
  assert (gap > 8).mean() < 0.01
  assert (np.abs(ridden.astype(int) - start) > 8).mean() > 0.2
  assert ridden.std() > 20


def test_mistakes_are_answered_with_the_choices():
  scene = next(_scenes())
  world = environment.Indoor(None)
  with pytest.raises(errors.UserError, match='bungalow'):
    world.reset(dataclasses.replace(scene, background='igloo'))
  with pytest.raises(errors.UserError, match='evening'):
    world.reset(dataclasses.replace(scene, light='dusk'))
  with pytest.raises(errors.UserError, match='not on free ground'):
    world.reset(dataclasses.replace(scene, x_m=0.0))
  world.reset(scene)
  with pytest.raises(errors.UserError, match='turn_left'):
    world.step(protocol.Action('jump'))
  with pytest.raises(errors.UserError, match='eye_m'):
    environment.draw_scene('flat', np.random.default_rng(0), weather='rain')
