import dataclasses
import itertools

import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.street import environment, lanes, town

SCENES = [
  environment.draw_scene(
    background, np.random.default_rng(seed), traffic='busy'
  )
  for background, seed in itertools.product(environment.BACKGROUNDS, range(6))
]


@pytest.fixture(scope='module')
def world():
  renderer = rendering.MujocoRenderer(128)
  street = environment.Street(renderer)
  yield street
  street.close()
  renderer.close()


def _run(world, scene, *names):
  state = world.reset(scene)
  for name in names:
    state = world.step(protocol.Action(name))
  return state


def _agent(state):
  return state.bodies['agent']


def _yaw_deg(body):
  w, _, _, z = body.quaternion
  return np.degrees(2 * np.arctan2(z, w))


@pytest.mark.parametrize('scene', SCENES)
def test_every_move_and_the_documented_pairs_are_free_from_a_start(scene):
  world = environment.Street(None)
  pairs = [
    *itertools.product(['forward'], environment.ACTIONS),
    *itertools.product(environment.ACTIONS, ['forward', 'backward']),
  ]
  assert not world.reset(scene).facts['collided']
  for moves in [*((a,) for a in environment.ACTIONS), *pairs]:
    world.reset(scene)
    for name in moves:
      state = world.step(protocol.Action(name))
      assert not state.facts['collided'], moves
  ends = [_agent(_run(world, scene, a)) for a in environment.ACTIONS]
  assert len({e.position_m for e in ends}) == 4


@pytest.mark.parametrize('scene', SCENES[::5])
def test_a_step_and_its_inverse_give_the_same_pose_to_the_bit(scene):
  world = environment.Street(None)
  start = _agent(world.reset(scene))
  assert _agent(_run(world, scene, 'forward', 'backward')) == start
  assert _agent(_run(world, scene, 'backward', 'forward')) == start


def _scene(x_m, y_m, heading, cars=()):
  start = lanes.Pose(x_m, y_m, heading)
  return environment.StreetScene('downtown', 0, start, cars=cars)


def test_moves_lead_to_poses_computed_by_hand():
  world = environment.Street(None)
  # Eastward, 20 m before the middle crossing, right of the centre line.
  scene = _scene(-20.0, -1.75, 0)
  ends = {
    'forward': ((-12.0, -1.75, 0.0), 0),
    'backward': ((-28.0, -1.75, 0.0), 0),
    'turn_left': ((1.75, 4.0, 0.0), 90),
    'turn_right': ((-1.75, -4.0, 0.0), -90),
  }
  for name, (position_m, yaw_deg) in ends.items():
    agent = _agent(_run(world, scene, name))
    np.testing.assert_allclose(agent.position_m, position_m, atol=1e-12)
    turned = (_yaw_deg(agent) - yaw_deg + 180) % 360 - 180
    assert turned == pytest.approx(0, abs=1e-9), name


def test_a_blocked_move_keeps_the_pose_and_is_reported():
  world = environment.Street(None)
  # 28 m before the crossing, too far for a turn.
  scene = _scene(-28.0, -1.75, 0)
  start = _agent(world.reset(scene))
  state = world.step(protocol.Action('turn_left'))
  assert state.facts['collided'] and _agent(state) == start
  assert not world.step(protocol.Action('forward')).facts['collided']


def test_a_car_on_the_path_blocks_and_one_beside_it_does_not():
  world = environment.Street(None)
  ahead = town.Standing('coupe', 'red', -10.0, -1.75, 0.0)
  oncoming = dataclasses.replace(ahead, y_m=1.75, yaw_deg=180.0)
  blocked = _run(world, _scene(-20.0, -1.75, 0, (ahead,)), 'forward')
  assert blocked.facts['collided']
  assert _agent(blocked).position_m == (-20.0, -1.75, 0.0)
  free = _run(world, _scene(-20.0, -1.75, 0, (oncoming,)), 'forward')
  assert not free.facts['collided']


def test_the_same_generator_draws_the_same_scene_and_another_differs():
  def draw(seed):
    return environment.draw_scene('suburb', np.random.default_rng(seed))

  assert draw(3) == draw(3)
  assert protocol.digest(draw(3)) == protocol.digest(draw(3))
  assert draw(3) != draw(4)


def test_a_factor_changes_nothing_else_of_a_scene():
  scenes = [
    environment.draw_scene(
      'old_town', np.random.default_rng(8), traffic='quiet', weather=weather
    )
    for weather in environment.FACTORS['weather']
  ]
  assert {s.weather for s in scenes} == set(environment.FACTORS['weather'])
  assert len({dataclasses.replace(s, weather='clear') for s in scenes}) == 1


def test_frames_are_reproducible_and_differ_by_move_and_background(world):
  scene = dataclasses.replace(SCENES[0], weather='clear', light='noon')
  _run(world, scene)
  first_HWC = world.render(environment.EGO)
  frames = [first_HWC]
  for name in environment.ACTIONS:
    _run(world, scene, name)
    frames.append(world.render(environment.EGO))
  _run(world, scene)
  np.testing.assert_array_equal(world.render(environment.EGO), first_HWC)
  _run(world, dataclasses.replace(scene, background='suburb'))
  frames.append(world.render(environment.EGO))
  for a_HWC, b_HWC in itertools.combinations(frames, 2):
    assert _gap(a_HWC, b_HWC) > 5


def test_weather_and_light_change_the_frame_but_not_the_state(world):
  frames, states = [], []
  for weather, light in itertools.product(
    environment.FACTORS['weather'], environment.FACTORS['light']
  ):
    scene = dataclasses.replace(SCENES[0], weather=weather, light=light)
    states.append(_run(world, scene, 'forward'))
    frames.append(world.render(environment.EGO))
  assert all(s == states[0] for s in states)
  for a_HWC, b_HWC in itertools.combinations(frames, 2):
    assert _gap(a_HWC, b_HWC) > 2


def test_the_sky_depends_on_weather_and_light(world):
  up = protocol.Camera('up', (0.0, 0.0, 1.5), (1.0, 0.0, 5.5), mount='agent')
  means = {}
  for weather, light in itertools.product(('clear', 'fog'), ('noon', 'dusk')):
    scene = dataclasses.replace(SCENES[0], weather=weather, light=light)
    _run(world, scene)
    means[weather, light] = world.render(up)[:40].mean(axis=(0, 1))
  red, _, blue = means['clear', 'noon']
  assert blue > red + 30
  assert np.ptp(means['fog', 'noon']) < 25
  assert means['clear', 'noon'].mean() > means['clear', 'dusk'].mean() + 60
  assert means['fog', 'noon'].mean() > means['fog', 'dusk'].mean() + 60


def _gap(a_HWC, b_HWC):
  return np.abs(a_HWC.astype(float) - b_HWC).mean()


def test_a_car_ahead_is_visible_in_its_colour(world):
  scene = _scene(-20.0, -1.75, 0)
  frames = {}
  for color in ('red', 'blue'):
    car = town.Standing('saloon', color, -12.0, -1.75, 0.0)
    _run(world, dataclasses.replace(scene, cars=(car,)))
    frames[color] = world.render(environment.EGO)[60:90, 50:90].astype(float)
  red_C, blue_C = (f.mean(axis=(0, 1)) for f in frames.values())
  assert red_C[0] > blue_C[0] + 8
  assert blue_C[2] > red_C[2] + 8


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'background': 'moon'}, r"'moon'.*downtown.*suburb"),
    ({'weather': 'hail'}, r"'hail'.*clear.*rain"),
    ({'light': 'dawn'}, r"'dawn'.*noon.*sunset"),
    ({'start': lanes.Pose(0.0, 9.0, 0)}, 'not on a lane'),
  ],
)
def test_an_invalid_scene_is_rejected(change, message):
  world = environment.Street(None)
  with pytest.raises(errors.UserError, match=message):
    world.reset(dataclasses.replace(SCENES[0], **change))


def test_unknown_actions_and_factors_are_reported_with_the_choices():
  world = environment.Street(None)
  world.reset(SCENES[0])
  with pytest.raises(errors.UserError, match=r"'fly'.*backward.*turn_right"):
    world.step(protocol.Action('fly'))
  rng = np.random.default_rng(0)
  with pytest.raises(errors.UserError, match=r"'moon'.*industrial"):
    environment.draw_scene('moon', rng)
  with pytest.raises(errors.UserError, match=r"'heavy'.*busy.*quiet"):
    environment.draw_scene('suburb', rng, traffic='heavy')
  with pytest.raises(errors.UserError, match=r"'season'.*light.*weather"):
    environment.draw_scene('suburb', rng, season='winter')
