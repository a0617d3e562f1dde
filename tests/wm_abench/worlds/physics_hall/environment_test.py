import dataclasses

import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as fast
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import environment, hall
from wm_abench.worlds.tabletop import prop_pool
from wm_abench.worlds.tabletop import props as props_lib

BALL = props_lib.Prop('ball', 'sphere', 'red', 0.3, (0.0, 0.0, 1.0))
BOX = props_lib.Prop('box', 'cube', 'blue', 0.3, (0.5, 0.0, 0.15))
BENCH = hall.Block('bench', 'wood', (0.0, 0.0, 0.2), (0.6, 0.3, 0.2))
SCENE = environment.PhysicsScene('playroom', 3, (BALL, BOX))
WAIT = protocol.Action('wait', (0.1,))
FRONT = environment.CAMERAS['front']


@pytest.fixture(scope='module')
def world():
  renderer = fast.MujocoRenderer(128)
  world = environment.IntuitivePhysics(renderer)
  yield world
  world.close()
  renderer.close()


@pytest.mark.parametrize('background', environment.BACKGROUNDS)
def test_equal_shots_have_equal_states_and_pixels(world, background):
  scene = dataclasses.replace(SCENE, background=background)
  results = []
  for _ in range(2):
    world.reset(scene)
    state = world.step(WAIT)
    frame_HWC = world.render(FRONT)
    np.testing.assert_array_equal(world.render(FRONT), frame_HWC)
    results.append((state, frame_HWC))
    world.reset(dataclasses.replace(scene, props=(BOX,)))
    world.render(FRONT)  # Another scene in between changes nothing.
  assert results[0][0] == results[1][0]
  np.testing.assert_array_equal(results[0][1], results[1][1])
  world.reset(scene)
  assert (world.render(FRONT) != results[0][1]).any()


def test_rendering_changes_no_state(world):
  ends = []
  for renders in (0, 3):
    world.reset(SCENE)
    for _ in range(4):
      end = world.step(WAIT)
      for _ in range(renders):
        world.render(FRONT)
    ends.append(end)
  assert ends[0] == ends[1]


def test_a_prop_falls_onto_a_block_or_onto_the_floor(world):
  scene = dataclasses.replace(
    SCENE, props=(BALL, dataclasses.replace(BOX, position_m=(1, 0, 0.15)))
  )
  for blocks, floor_m in (((), 0.0), ((BENCH,), 0.4)):
    world.reset(dataclasses.replace(scene, blocks=blocks))
    state = world.step(protocol.Action('wait', (4.0,)))
    assert state.bodies['ball'].position_m[2] == pytest.approx(
      floor_m + 0.15, abs=0.005
    )
    assert state.time_s == 4.0


def test_a_prop_is_visible_at_its_position_only(world):
  """Frames with and without the prop differ around its projection only."""
  floating = dataclasses.replace(BALL, position_m=(0.0, 0.0, 0.5))
  world.reset(dataclasses.replace(SCENE, props=(floating,)))
  with_HWC = world.render(FRONT).astype(int)
  world.reset(dataclasses.replace(SCENE, props=()))
  gap_HW = np.abs(with_HWC - world.render(FRONT)).max(-1) > 24
  # The camera looks at (0, 0, 0.5), the centre of the frame.
  assert gap_HW[60:68, 60:68].mean() > 0.9
  assert not gap_HW[:40].any()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'background': 'cellar'}, "'cellar'.*playroom"),
    ({'props': (BALL, BALL)}, "'ball'"),
    (
      {'props': (dataclasses.replace(BALL, shape='ball'),)},
      "'ball'.*sphere",
    ),
    ({'props': (dataclasses.replace(BALL, color='teal'),)}, "'teal'.*red"),
    (
      {'props': (dataclasses.replace(BALL, material='gold'),)},
      "'gold'.*metal",
    ),
    ({'props': (dataclasses.replace(BALL, size_m=-0.1),)}, '-0.1'),
    (
      {'props': (dataclasses.replace(BALL, path=((0.0, (0, 0, 0)),)),)},
      'path in a dynamic scene',
    ),
    (
      {
        'props': tuple(
          dataclasses.replace(BALL, name=f'b{i}')
          for i in range(prop_pool.SLOTS + 1)
        )
      },
      f'{prop_pool.SLOTS + 1}.*{prop_pool.SLOTS}',
    ),
  ],
)
def test_an_invalid_scene_is_refused(world, change, message):
  with pytest.raises(errors.UserError, match=message):
    world.reset(dataclasses.replace(SCENE, **change))


@pytest.mark.parametrize(
  ('action', 'message'),
  [
    (protocol.Action('jump'), "'jump'.*wait"),
    (protocol.Action('wait'), 'one number'),
    (protocol.Action('wait', (-1.0,)), '-1.0'),
    (protocol.Action('wait', (float('nan'),)), 'nan'),
  ],
)
def test_an_invalid_action_is_refused(world, action, message):
  world.reset(SCENE)
  with pytest.raises(errors.UserError, match=message):
    world.step(action)
