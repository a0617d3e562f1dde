import dataclasses

import numpy as np
import pytest

from commons import errors
from wm_abench.questions import stage_layout
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol, registry
from wm_abench.worlds.tabletop import prop_pool, surfaces
from wm_abench.worlds.tabletop import props as props_lib

SURFACE = surfaces.SURFACES['tabletop']
TABLE = surfaces.SURFACES['apartment_table']
BALL = stage_layout.stand('ball', 'sphere', 'red', 0.25, (0.1, -0.2))
RING = stage_layout.stand('ring', 'torus', 'blue', 0.3, (-0.4, 0.3), hole=0.4)
PATH = ((0.5, (0.0, 0.0, 0.125)), (1.5, (0.4, -0.2, 0.125)))
MOVER = dataclasses.replace(BALL, path=PATH)
CONE = stage_layout.stand('cone', 'cone', 'orange', 0.08, (0.0, 0.1))


def _scene(*props, background='study', **fields):
  return props_lib.PropScene(background, 0, props, **fields)


def _wait(seconds):
  return protocol.Action('wait', (seconds,))


@pytest.fixture(scope='module')
def world():
  renderer = rendering.MujocoRenderer(96, shadow_px=512)
  world = registry.open_environment('tabletop', renderer)
  yield world
  world.close()
  renderer.close()


@pytest.mark.parametrize(
  'waits, time_s, x_m, y_m, speed_mps',
  [
    ((), 0.0, 0.0, 0.0, 0.0),
    ((0.25,), 0.25, 0.0, 0.0, 0.0),
    ((0.75,), 0.75, 0.1, -0.05, np.hypot(0.4, 0.2)),
    ((0.5, 0.5), 1.0, 0.2, -0.1, np.hypot(0.4, 0.2)),
    ((1.0, 1.0), 2.0, 0.4, -0.2, 0.0),
  ],
)
def test_a_prop_follows_its_path(waits, time_s, x_m, y_m, speed_mps):
  world = registry.open_environment('tabletop', None)
  state = world.reset(_scene(MOVER, RING))
  for seconds in waits:
    state = world.step(_wait(seconds))
  assert state.time_s == pytest.approx(time_s)
  ball = state.bodies['ball']
  np.testing.assert_allclose(ball.position_m, (x_m, y_m, 0.125), atol=1e-12)
  assert np.linalg.norm(ball.velocity_mps) == pytest.approx(speed_mps)
  assert state.bodies['ring'].position_m == RING.position_m


def test_physics_moves_props_in_dynamic_scenes_only():
  high = dataclasses.replace(BALL, position_m=(0.0, 0.0, 0.625))
  world = registry.open_environment('tabletop', None)
  for dynamic, height_m in ((False, 0.625), (True, 0.625 - 9.81 * 0.2**2 / 2)):
    start = world.reset(_scene(high, dynamic=dynamic))
    assert start.bodies['ball'].position_m == (0.0, 0.0, 0.625)
    end = world.step(_wait(0.2)).bodies['ball']
    assert end.position_m[2] == pytest.approx(height_m, abs=0.003)
    assert (end.velocity_mps[2] < -1.9) == dynamic


def test_a_rolling_ball_pushes_another():
  roll = dataclasses.replace(
    BALL, position_m=(-0.5, 0.0, 0.125), velocity_mps=(1.5, 0.0, 0.0)
  )
  target = stage_layout.stand('target', 'sphere', 'blue', 0.25, (0.0, 0.0))
  world = registry.open_environment('tabletop', None)
  world.reset(_scene(roll, target, dynamic=True))
  bodies = world.step(_wait(0.6)).bodies
  assert bodies['target'].position_m[0] > 0.1
  assert bodies['ball'].position_m[0] < bodies['target'].position_m[0] - 0.24


def test_a_prop_has_its_yaw():
  cube = stage_layout.stand(
    'cube', 'cube', 'green', 0.25, (0.0, 0.0), yaw_deg=60.0
  )
  state = registry.open_environment('tabletop', None).reset(_scene(cube))
  w, x, y, z = state.bodies['cube'].quaternion
  assert (x, y) == (0.0, 0.0)
  assert 2 * np.degrees(np.arctan2(z, w)) == pytest.approx(60.0)


def test_equal_shots_have_equal_pixels_after_other_shots(world):
  scenes = [
    _scene(MOVER, RING),
    _scene(dataclasses.replace(RING, hole=0.7), background='loft'),
    _scene(dataclasses.replace(RING, name='x', hole=0.7, color='pink')),
    _scene(MOVER, RING),
  ]
  frames, states = [], []
  for scene in scenes:
    world.reset(scene)
    states.append(world.step(_wait(0.9)))
    frames.append(world.render(SURFACE.cameras['front']))
  np.testing.assert_array_equal(frames[0], frames[3])
  assert states[0] == states[3]
  assert (frames[0] != frames[2]).any() and (frames[0] != frames[1]).any()


def test_rendering_changes_no_state(world):
  steps = [_wait(0.3)] * 3
  states = {}
  for renders in (False, True):
    world.reset(_scene(BALL, RING, dynamic=True))
    states[renders] = []
    for action in steps:
      states[renders].append(world.step(action))
      if renders:
        world.render(SURFACE.cameras['top'])
  assert states[False] == states[True]


def test_exactly_the_props_of_the_scene_are_visible(world):
  frames = []
  for props in ((), (BALL,), (BALL, RING), (RING,), ()):
    world.reset(_scene(*props))
    frames.append(world.render(SURFACE.cameras['top']).astype(int))
  empty, ball, both, ring, empty_after = frames
  np.testing.assert_array_equal(empty, empty_after)
  for frame in (ball, ring):
    assert (np.abs(frame - empty).sum(axis=-1) > 60).sum() > 50
  changed = [np.abs(f - empty).sum(axis=-1) > 60 for f in (ball, ring, both)]
  union = changed[0] | changed[1]
  assert (changed[2] != union).mean() < 0.002


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'shape': 'egg'}, 'cylinder'),
    ({'color': 'mauve'}, 'purple'),
    ({'material': 'foam'}, 'fabric'),
    ({'size_m': 0.0}, 'size_m'),
    ({'size_m': float('nan')}, 'size_m'),
    ({'shade': -1.0}, 'shade'),
    ({'hole': 1.0}, 'hole'),
    ({'path': PATH[::-1]}, 'back in time'),
  ],
)
def test_errors_in_props_name_the_choices(change, message):
  world = registry.open_environment('tabletop', None)
  with pytest.raises(errors.UserError, match=message):
    world.reset(_scene(dataclasses.replace(BALL, **change)))


def test_errors_in_scenes_and_actions_name_the_choices():
  world = registry.open_environment('tabletop', None)
  with pytest.raises(errors.UserError, match='living_room'):
    world.reset(_scene(background='dining'))
  with pytest.raises(errors.UserError, match="'ball'"):
    world.reset(_scene(BALL, RING, BALL))
  with pytest.raises(errors.UserError, match='dynamic'):
    world.reset(_scene(MOVER, dynamic=True))
  many = [
    dataclasses.replace(BALL, name=str(i)) for i in range(prop_pool.SLOTS + 1)
  ]
  with pytest.raises(errors.UserError, match=str(prop_pool.SLOTS)):
    world.reset(_scene(*many))
  world.reset(_scene(BALL))
  with pytest.raises(errors.UserError, match='wait'):
    world.step(protocol.Action('push'))
  for values in ((), (-0.5,), (1.0, 2.0), (float('nan'),), (float('inf'),)):
    with pytest.raises(errors.UserError, match='seconds'):
      world.step(protocol.Action('wait', values))
  with pytest.raises(errors.UserError, match='mount'):
    world.render(dataclasses.replace(SURFACE.cameras['top'], mount='ball'))


def _table_scene(*props, background='dining'):
  return props_lib.PropScene(background, 0, props)


def test_a_prop_follows_its_path_in_the_frame():
  end_m = (0.2, 0.1, CONE.position_m[2])
  mover = dataclasses.replace(CONE, path=((0.0, CONE.position_m), (2.0, end_m)))
  renderer = rendering.MujocoRenderer(96, shadow_px=512)
  world = registry.open_environment('apartment_table', renderer)
  camera = TABLE.cameras['top']
  world.reset(_table_scene())
  empty = world.render(camera).astype(int)
  state = world.reset(_table_scene(mover))
  for step in range(3):
    if step:
      state = world.step(protocol.Action('wait', (1.0,)))
    x_m, y_m, _ = state.bodies['cone'].position_m
    assert (x_m, y_m) == pytest.approx((0.1 * step, 0.1))
    frame = world.render(camera).astype(int)
    orange = frame[..., 0] > 2 * frame[..., 2] + 40
    orange &= np.abs(frame - empty).sum(axis=-1) > 40
    middle = np.argwhere(orange).mean(axis=0)
    right, up = stage_layout.project(camera, (x_m, y_m, 0.03))
    expected = 48 * (1 - up), 48 * (1 + right)
    np.testing.assert_allclose(middle, expected, atol=2.0)
  world.close()
  renderer.close()


def test_the_apartment_table_has_rooms_of_the_apartment_only():
  world = registry.open_environment('apartment_table', None)
  for background in TABLE.backgrounds:
    state = world.reset(_table_scene(CONE, background=background))
    assert state.bodies['cone'].position_m == CONE.position_m
  with pytest.raises(errors.UserError, match='sunroom'):
    world.reset(_table_scene(CONE, background='loft'))
