import dataclasses

import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import catalog, environment

F, B, L, R = map(protocol.Action, environment.ACTIONS)
INVERSES = {F: B, B: F, L: R, R: L}


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


def test_a_move_is_undone_by_its_inverse():
  for scene in _scenes():
    for action, inverse in INVERSES.items():
      start, between, end = _run(scene, action, inverse)
      assert protocol.distance(start, end) < 1e-7
      assert protocol.distance(start, between) > 0.05
      assert not between.facts['collided'] and not end.facts['collided']


def test_moves_have_the_size_that_the_scene_states():
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
def test_turns_by_360_degrees_lead_back(turn, turn_deg):
  scene = next(_scenes(turn_deg=turn_deg))
  start, *_, end = _run(scene, *[turn] * (360 // turn_deg))
  assert end == start


def test_a_blocked_move_keeps_the_pose_and_is_reported():
  for scene in _scenes(3):
    states = _run(scene, *[F] * 30)
    blocked = [s for s in states if s.facts['collided']]
    assert blocked and len({s.bodies['agent'] for s in blocked}) == 1
    free = [s for s in states if not s.facts['collided']]
    assert free[-1].bodies == blocked[0].bodies
    # A collision has no effect on later moves: a turn on the spot is free.
    assert not _run(scene, *[F] * 30, L)[-1].facts['collided']


def test_a_start_and_all_pairs_of_moves_are_free():
  for scene in _scenes(8):
    home = catalog.home(scene.background)
    clear = home.clearance_m([(scene.x_m, scene.y_m)])[0]
    assert clear > environment.RADIUS_M
    ahead = home.view_distance_m(
      scene.x_m, scene.y_m, np.radians([scene.heading_deg])
    )
    assert ahead[0] >= 1.5
    for first in INVERSES:
      for second in INVERSES:
        states = _run(scene, first, second)
        assert not any(s.facts['collided'] for s in states)


def test_scenes_depend_only_on_the_generator_and_the_factors():
  draw = lambda seed: environment.draw_scene(
    'villa', np.random.default_rng(seed)
  )
  assert draw(3) == draw(3) != draw(4)
  fixed = environment.draw_scene(
    'villa', np.random.default_rng(3), light='evening', eye_m=1.1
  )
  assert (fixed.light, fixed.eye_m) == ('evening', 1.1)


def test_a_frame_does_not_depend_on_earlier_frames(renderer):
  world = environment.Indoor(renderer)
  a, b = (
    environment.draw_scene(home, np.random.default_rng(0), light='day')
    for home in ('flat', 'cottage')
  )
  frames = []
  for scene in (a, b, dataclasses.replace(a, light='evening'), b, a):
    world.reset(scene)
    frames.append(world.render(environment.EGO))
  np.testing.assert_array_equal(frames[0], frames[4])
  np.testing.assert_array_equal(frames[1], frames[3])
  assert frames[2].mean() < frames[0].mean() - 10


def test_a_mounted_camera_moves_with_the_agent(renderer):
  """The view after moves is that of a camera in the world at the same pose."""
  world = environment.Indoor(renderer)
  scene = environment.draw_scene('loft', np.random.default_rng(1))
  world.reset(scene)
  start = world.render(environment.EGO)
  world.step(L)
  state = world.step(F)
  mounted = world.render(environment.EGO)
  x, y, z = state.bodies['agent'].position_m
  angle = np.radians(scene.heading_deg + scene.turn_deg)
  target = (x + np.cos(angle), y + np.sin(angle), z - 0.1)
  fixed = protocol.Camera('fixed', (x, y, z), target, environment.EGO.fovy_deg)
  difference = np.abs(mounted.astype(int) - world.render(fixed))
  assert (difference > 8).mean() < 0.01
  assert (np.abs(mounted.astype(int) - start) > 8).mean() > 0.2
  assert mounted.std() > 20


def test_errors_name_the_choices():
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
