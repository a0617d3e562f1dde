import functools
import itertools

import numpy as np
import pytest

from commons import errors
from wm_abench.core import dimensions
from wm_abench.questions import group_law
from wm_abench.questions import maniskill as questions
from wm_abench.simulators import maniskill
from wm_abench.worlds import protocol

SCENE = maniskill.CubeScene('table', 3)


def _do(name, *values, agent=''):
  return protocol.Action(name, tuple(map(float, values)), agent)


def test_a_camera_looks_along_x_with_y_to_its_left():
  camera = protocol.Camera('side', (0.0, -2.0, 0.5), (0.0, 0.0, 0.5))
  np.testing.assert_allclose(
    maniskill.pose(camera),
    [[0, -1, 0, 0], [1, 0, 0, -2], [0, 0, 1, 0.5], [0, 0, 0, 1]],
    atol=1e-12,
  )
  top = protocol.Camera('top', (0.0, 0.0, 2.0), (0.0, 0.0, 0.0), up=(0, 1, 0))
  np.testing.assert_allclose(
    maniskill.pose(top)[:3, :3].T, [[0, 0, -1], [-1, 0, 0], [0, 1, 0]]
  )


def test_steps_have_equal_lengths_and_end_at_the_end():
  start, end = np.array([0.0, 0.0, 0.2]), np.array([0.3, 0.4, 0.2])
  points = [start, *maniskill.steps(start, end)]
  np.testing.assert_allclose(points[-1], end)
  gaps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(points)]
  np.testing.assert_allclose(gaps, 0.0125)


@pytest.fixture(scope='module')
def world():
  pytest.importorskip('mani_skill')
  simulator = maniskill.ManiSkill(96)
  try:
    simulator.reset(SCENE)
  except errors.UserError as e:
    pytest.skip(str(e))
  yield simulator
  simulator.close()


def _run(world, scene, *actions):
  state = world.reset(scene)
  for action in actions:
    state = world.step(action)
  return state


@pytest.mark.parametrize(
  ('heading_deg', 'direction'),
  [(0, (1, 0)), (90, (0, 1)), (180, (-1, 0)), (270, (0, -1))],
)
def test_a_push_moves_its_cube_along_the_heading_and_no_other_cube(
  world, heading_deg, direction
):
  before = world.reset(SCENE).bodies
  after = world.step(_do('push', 0, heading_deg, 0.1, 0)).bodies
  moved = np.subtract(
    after['red_cube'].position_m, before['red_cube'].position_m
  )
  np.testing.assert_allclose(moved, 0.1 * np.array([*direction, 0]), atol=0.012)
  np.testing.assert_allclose(
    after['green_cube'].position_m, before['green_cube'].position_m, atol=1e-3
  )


def test_a_push_above_the_cube_moves_nothing(world):
  before = world.reset(SCENE)
  after = world.step(_do('push', 0, 90, 0.1, 0.02))
  cubes = ('red_cube', 'green_cube')
  assert protocol.distance(before, after, cubes) < 1e-3


def test_only_closed_fingers_lift(world):
  for grips in (1, 0):
    state = _run(world, SCENE, _do('lift', 1, 0.12, grips))
    height = state.bodies['green_cube'].position_m[2] - maniskill.HALF_M
    assert height == pytest.approx(0.12 * grips, abs=0.02)
    assert state.facts['left_holds'] == ('green' if grips else '')


def test_a_released_cube_falls_onto_the_cube_below(world):
  scene = maniskill.CubeScene(
    'table', 0, ((0.0, 0.0, 0.0), (0.0, 0.14, 0.0)), held='red'
  )
  start = world.reset(scene)
  assert start.facts['left_holds'] == 'red' and start.time_s == 0
  assert start.bodies['red_cube'].position_m[2] > 0.1
  world.step(_do('carry', 0, 0.14, 0))
  end = world.step(_do('release'))
  assert end.facts['left_holds'] == ''
  np.testing.assert_allclose(
    end.bodies['red_cube'].position_m, [0, 0.14, 0.06], atol=0.01
  )


def test_each_of_two_arms_lifts_its_cube(world):
  scene = maniskill.CubeScene(
    'table',
    0,
    ((0.0, -0.15, 0.0), (0.0, 0.15, 0.0)),
    (maniskill.LEFT, maniskill.RIGHT),
  )
  world.reset(scene)
  world.step(_do('lift', 0, 0.1, 1))
  end = world.step(_do('lift', 1, 0.1, 1, agent='right'))
  assert end.facts['left_holds'] == 'blue'
  assert end.facts['right_holds'] == 'green'


def test_a_run_is_reproducible_to_the_bit(world):
  actions = (_do('push', 0, 90, 0.1, 0), _do('lift', 1, 0.1, 1))
  camera = maniskill.CAMERAS['front']
  first = _run(world, SCENE, *actions), world.render(camera)
  _run(world, SCENE, _do('push', 1, 0, 0.1, 0))
  again = _run(world, SCENE, *actions), world.render(camera)
  assert first[0] == again[0]
  np.testing.assert_array_equal(first[1], again[1])
  assert first[1].shape == (96, 96, 3) and first[1].dtype == np.uint8


def test_cameras_show_left_and_right_as_the_prompts_say(world):
  world.reset(
    SCENE
  )  # Red is at y = -0.08: on the left for a viewer across the table.
  for camera in maniskill.CAMERAS.values():
    frame = world.render(camera).astype(int)
    red = (frame[..., 0] > 120) & (frame[..., 1:].max(-1) < 40)
    green = (frame[..., 1] > 100) & (frame[..., ::2].max(-1) < 40)
    assert red.sum() > 5 and green.sum() > 5
    assert np.nonzero(red)[1].mean() < np.nonzero(green)[1].mean() - 5


def test_errors_name_the_choices(world):
  world.reset(SCENE)
  for action, message in (
    (_do('throw'), 'carry, lift, push'),
    (_do('lift', 0), 'takes 3 values'),
    (_do('lift', 2, 0.1, 1), 'no cube 2'),
    (_do('release', agent='right'), 'choices: left'),
  ):
    with pytest.raises(errors.UserError, match=message):
      world.step(action)


@pytest.mark.parametrize('action', ['push', 'lift', 'drop'])
def test_groups_keep_the_law_and_pass_the_check_of_frames(world, action):
  cell = dimensions.CELLS[f'm_man_manipulation_{action}']

  def simulate(environment, scene, actions):
    assert environment == questions.ENVIRONMENT
    states = [world.reset(scene)]
    return (*states, *(world.step(a) for a in actions))

  @functools.cache
  def frame_of(shot):
    simulate(shot.environment, shot.scene, shot.actions)
    return world.render(shot.camera)

  for index in range(2):
    group = questions.make(group_law.Request(cell, index, 0, 0, simulate))
    group_law.check(group)
    group_law.check_frames(group, frame_of)
