import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import (
  arms,
  environment,
  kitchen,
  objects,
  scenes,
  simulation,
)

BOTH = (scenes.LEFT, scenes.RIGHT)
HEADINGS = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}


@pytest.fixture(scope='module')
def world():
  return environment.Manipulation(None)


def _scene(*kinds, **fields):
  positions_m = ((0.0, 0.0), (0.16, 0.02), (-0.16, 0.0))
  things = tuple(
    scenes.Thing(kind, 'red', position_m)
    for kind, position_m in zip(kinds, positions_m, strict=False)
  )
  return scenes.ManipulationScene('modern', 0, things, **fields)


def _run(world, scene, *actions):
  states = [world.reset(scene)]
  return states + [world.step(protocol.Action(n, v)) for n, v in actions]


def _displacement(states, name):
  a, b = (states[i].bodies[name].position_m for i in (0, -1))
  return np.subtract(b, a)


def _rotation_deg(states, name, axis):
  """Returns the angle about an axis of the world from first to last state."""
  (w0, *v0), (w1, *v1) = (states[i].bodies[name].quaternion for i in (0, -1))
  v0, v1 = np.array(v0), np.array(v1)
  w = w0 * w1 + v0 @ v1
  v = w0 * v1 - w1 * v0 + np.cross(v0, v1)
  return np.degrees(2 * np.arctan2(v[axis], w))


@pytest.mark.parametrize('kind', objects.SMALL)
def test_a_push_moves_a_thing_by_its_distance_and_heading(world, kind):
  for heading, direction in HEADINGS.items():
    states = _run(world, _scene(kind), ('push', (0, heading, 0.12, 0)))
    np.testing.assert_allclose(
      _displacement(states, kind), np.multiply(0.12, (*direction, 0)), atol=8e-3
    )


@pytest.mark.parametrize('kind', objects.SMALL)
def test_fingers_above_a_thing_do_not_push_it(world, kind):
  states = _run(world, _scene(kind), ('push', (0, 180, 0.12, 0.03)))
  assert np.linalg.norm(_displacement(states, kind)) < 1e-3


@pytest.mark.parametrize('kind', objects.SMALL)
def test_a_lift_raises_a_thing_only_if_the_hand_grips(world, kind):
  for height_m in (0.05, 0.18):
    held = _run(world, _scene(kind), ('lift', (0, height_m, 1)))
    assert _displacement(held, kind)[2] == pytest.approx(height_m, abs=0.01)
    assert held[-1].facts['left_holds'] == kind
    left = _run(world, _scene(kind), ('lift', (0, height_m, 0)))
    assert _displacement(left, kind)[2] == pytest.approx(0, abs=1e-3)
    assert left[-1].facts['left_holds'] == ''
    assert protocol.distance(held[-1], left[-1], ['left_hand']) < 5e-3


@pytest.mark.parametrize('kind', objects.SMALL)
def test_a_released_thing_falls_to_the_counter_and_rests(world, kind):
  scene = _scene(kind, held=kind, held_m=0.13)
  start, kept = _run(world, scene, ('wait', (1.0,)))
  assert start.bodies[kind].position_m[2] == pytest.approx(0.13, abs=0.01)
  assert protocol.distance(start, kept) < 5e-3
  end = _run(world, scene, ('carry', (-0.1, 0.05, 0)), ('release', ()))[-1]
  assert end.bodies[kind].position_m[2] == pytest.approx(0, abs=2e-3)
  np.testing.assert_allclose(
    end.bodies[kind].position_m[:2], (-0.1, 0.05), atol=0.02
  )
  assert np.linalg.norm(end.bodies[kind].velocity_mps) < 5e-3


def test_a_thing_dropped_over_a_plate_or_a_bowl_lands_in_it(world):
  scene = _scene('can', 'plate', 'bowl', held='can', held_m=0.13)
  for kind, shift in (('plate', (0.16, 0.02, 0)), ('bowl', (-0.16, 0, 0))):
    end = _run(world, scene, ('carry', shift), ('release', ()))[-1]
    x, y, z = np.subtract(
      end.bodies['can'].position_m, end.bodies[kind].position_m
    )
    assert np.hypot(x, y) < 0.05 and 2e-3 < z < 0.02


@pytest.mark.parametrize('kind', objects.SMALL)
def test_a_held_thing_rotates_with_the_hand(world, kind):
  # Clockwise is negative about z as seen from above, and positive about y as
  # seen from the front.
  for axis, angle, expected in ((0, 90, -90), (0, -90, 90), (1, 35, 35)):
    states = _run(
      world, _scene(kind), ('lift', (0, 0.18, 1)), ('turn', (axis, angle))
    )
    rotation = _rotation_deg(states, kind, (2, 1)[axis])
    assert rotation == pytest.approx(expected, abs=10)
    assert states[-1].facts['left_holds'] == kind


@pytest.mark.parametrize('kind', objects.LONG)
def test_opposite_pushes_of_two_arms_cancel(world, kind):
  scene = _scene(kind, arms=BOTH)
  alone = _run(world, scene, ('push', (0, 0, 0.1, 0)))
  against = _run(world, scene, ('push_together', (0, 180, 0.1)))
  assert _displacement(alone, kind)[0] > 0.09
  assert np.linalg.norm(_displacement(against, kind)) < 0.1 / 3


@pytest.mark.parametrize('kind', objects.LONG)
def test_two_arms_push_a_thing_together_and_rotate_it_as_a_couple(world, kind):
  scene = _scene(kind, arms=BOTH)
  same = _run(world, scene, ('push_together', (90, 90, 0.09)))
  np.testing.assert_allclose(_displacement(same, kind), (0, 0.09, 0), atol=8e-3)
  for (left, right), sign in (((90, 270), -1), ((270, 90), 1)):
    couple = _run(world, scene, ('push_together', (left, right, 0.09)))
    assert np.linalg.norm(_displacement(couple, kind)) < 0.02
    assert sign * _rotation_deg(couple, kind, 2) > 35


@pytest.mark.parametrize('kind', objects.LONG)
def test_a_lift_to_unequal_heights_tilts_a_thing_by_their_angle(world, kind):
  scene = _scene(kind, arms=BOTH)
  level = _run(world, scene, ('lift_together', (0.12, 0.12, 1, 1)))
  assert _displacement(level, kind)[2] == pytest.approx(0.12, abs=0.01)
  assert _rotation_deg(level, kind, 1) == pytest.approx(0, abs=2)
  tilt = np.degrees(np.arcsin(0.09 / (2 * simulation.ENDS_M)))
  for heights, expected in (((0.14, 0.05), tilt), ((0.05, 0.14), -tilt)):
    states = _run(world, scene, ('lift_together', (*heights, 1, 1)))
    assert _rotation_deg(states, kind, 1) == pytest.approx(expected, abs=6)
  left_only = _run(world, scene, ('lift_together', (0.12, 0.12, 1, 0)))
  assert _rotation_deg(left_only, kind, 1) > 10
  assert left_only[-1].facts['right_holds'] == ''
  open_hands = _run(world, scene, ('lift_together', (0.12, 0.12, 0, 0)))
  assert np.linalg.norm(_displacement(open_hands, kind)) < 0.01


def test_equal_scenes_and_actions_give_equal_states(world):
  scene = _scene('mug', 'can')
  actions = (('push', (0, 90, 0.1, 0)), ('lift', (1, 0.15, 1)))
  first = _run(world, scene, *actions)
  _run(world, _scene('box', held='box'), ('release', ()))
  assert _run(world, scene, *actions) == first
  assert _run(environment.Manipulation(None), scene, *actions) == first


@pytest.mark.parametrize(
  'change',
  [
    {'background': 'igloo'},
    {'things': (scenes.Thing('anvil', 'red', (0, 0)),)},
    {'things': (scenes.Thing('can', 'mauve', (0, 0)),)},
    {'things': (scenes.Thing('can', 'red', (0, 0)),) * 2},
    {'arms': ('middle',)},
    {'held': 'mug'},
  ],
)
def test_an_invalid_scene_is_refused(world, change):
  fields = {'background': 'modern', 'seed': 0} | change
  with pytest.raises(errors.UserError):
    world.reset(scenes.ManipulationScene(**fields))


@pytest.mark.parametrize(
  'action',
  [
    protocol.Action('juggle'),
    protocol.Action('push', (0, 0, 0.1)),
    protocol.Action('push', (1, 0, 0.1, 0)),
    protocol.Action('turn', (2, 90)),
    protocol.Action('lift', (0, 0.1, 1), 'right'),
    protocol.Action('push_together', (0, 180, 0.1)),
    protocol.Action('wait', (0,)),
  ],
)
def test_an_invalid_action_is_refused(world, action):
  world.reset(_scene('can'))
  with pytest.raises(errors.UserError):
    world.step(action)


def test_a_pose_out_of_reach_is_refused(world):
  world.reset(_scene('can', held='can'))
  with pytest.raises(arms.Unreachable):
    world.step(protocol.Action('carry', (0.6, 0, 0)))


def test_inverse_kinematics_undoes_forward_kinematics():
  rng = np.random.default_rng(0)
  for _ in range(20):
    joints = np.array(arms.READY_RAD) + rng.uniform(-0.3, 0.3, 7)
    position, rotation = arms.forward(joints)
    solution = arms.inverse(position, rotation, arms.READY_RAD)
    reached_m, reached_rotation = arms.forward(solution)
    np.testing.assert_allclose(reached_m, position, atol=arms.REACH_ERROR_M)
    np.testing.assert_allclose(reached_rotation, rotation, atol=0.03)


def test_kitchens_colours_and_cameras_look_different():
  renderer = rendering.MujocoRenderer(96)
  world = environment.Manipulation(renderer)
  frames = []
  for background in kitchen.STYLES:
    for color in ('red', 'blue'):
      things = (scenes.Thing('can', color, (0.0, 0.0)),)
      world.reset(scenes.ManipulationScene(background, 0, things))
      frames += [world.render(c) for c in environment.CAMERAS.values()]
  assert frames[0].shape == (96, 96, 3)
  assert len({f.tobytes() for f in frames}) == len(frames)
  np.testing.assert_array_equal(
    world.render(environment.CAMERAS['high']), frames[-1]
  )
  renderer.close()
