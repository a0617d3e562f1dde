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
  made = environment.IntuitivePhysics(fast.MujocoRenderer(128))
  yield made
  made.close()


@pytest.mark.parametrize('background', environment.BACKGROUNDS)
def test_one_shot_is_one_state_and_one_picture(world, background):
  scene = dataclasses.replace(SCENE, background=background)
  seen = []
  for _ in range(2):
    world.reset(scene)
    state = world.step(WAIT)
    frame_HWC = world.render(FRONT)
    np.testing.assert_array_equal(world.render(FRONT), frame_HWC)
    seen.append((state, frame_HWC))
    world.reset(dataclasses.replace(scene, props=(BOX,)))
    world.render(FRONT)  # Another scene in between leaves no trace.
  assert seen[0][0] == seen[1][0]
  np.testing.assert_array_equal(seen[0][1], seen[1][1])
  later_HWC = world.reset(scene) and world.render(FRONT)
  assert (later_HWC != seen[0][1]).any()


def test_rendering_changes_nothing(world):
  ends = []
  for looks in (0, 3):
    world.reset(SCENE)
    for _ in range(4):
      end = world.step(WAIT)
      for _ in range(looks):
        world.render(FRONT)
    ends.append(end)
  assert ends[0] == ends[1]


def test_a_block_holds_what_falls_on_it_and_the_floor_the_rest(world):
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


def test_a_prop_is_seen_where_it_is(world):
  """Frames with and without it differ about its place and nowhere else."""
  floating = dataclasses.replace(BALL, position_m=(0.0, 0.0, 0.5))
  world.reset(dataclasses.replace(SCENE, props=(floating,)))
  with_HWC = world.render(FRONT).astype(int)
  world.reset(dataclasses.replace(SCENE, props=()))
  gap_HW = np.abs(with_HWC - world.render(FRONT)).max(-1) > 24
  # The camera looks at (0, 0, 0.5): the middle of the picture.
  assert gap_HW[60:68, 60:68].mean() > 0.9
  assert not gap_HW[:40].any()


@pytest.mark.parametrize(
  ('change', 'said'),
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
def test_a_scene_that_cannot_be_is_met_at_the_door(world, change, said):
  with pytest.raises(errors.UserError, match=said):
    world.reset(dataclasses.replace(SCENE, **change))


@pytest.mark.parametrize(
  ('action', 'said'),
  [
    (protocol.Action('jump'), "'jump'.*wait"),
    (protocol.Action('wait'), 'one number'),
    (protocol.Action('wait', (-1.0,)), '-1.0'),
    (protocol.Action('wait', (float('nan'),)), 'nan'),
  ],
)
def test_an_action_that_cannot_be_is_met_at_the_door(world, action, said):
  world.reset(SCENE)
  with pytest.raises(errors.UserError, match=said):
    world.step(action)
