import json
import math

import numpy as np
import pytest

from commons import errors
from wm_abench.simulators import coordinates, tdw_commands
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import dynamics, props

CUBE = props.Prop('a', 'cube', 'red', 0.2, (0.3, 0.4, 0.1), yaw_deg=90.0)


def _by_type(commands):
  json.dumps(commands)  # Raises if a command is not JSON.
  return {c['$type']: c for c in commands}


def test_a_static_prop_has_its_pose_size_and_colour():
  sent = _by_type(tdw_commands.finish(CUBE, 7, dynamic=False))
  assert {c['id'] for c in sent.values()} == {7}
  # The origin is at the bottom; axes are right, up, away.
  assert sent['teleport_object']['position'] == {'x': 0.3, 'y': 0.0, 'z': 0.4}
  assert sent['scale_object']['scale_factor'] == {'x': 0.2, 'y': 0.2, 'z': 0.2}
  turn = sent['rotate_object_to']['rotation']
  # In a left-handed system, anticlockwise from above is a negative angle.
  assert turn['y'] == pytest.approx(-math.sin(math.pi / 4))
  assert turn['w'] == pytest.approx(math.cos(math.pi / 4))
  assert sent['set_kinematic_state']['is_kinematic']
  assert 'set_velocity' not in sent
  assert sent['set_color']['color'] == {'r': 0.8, 'g': 0.06, 'b': 0.06, 'a': 1}


def test_a_dynamic_prop_has_mass_friction_and_velocity():
  ball = props.Prop(
    'b',
    'sphere',
    'blue',
    0.2,
    (0.0, 0.0, 0.1),
    'metal',
    shade=0.5,
    velocity_mps=(1.0, 2.0, 3.0),
  )
  sent = _by_type(tdw_commands.finish(ball, 0, dynamic=True))
  assert sent['set_mass']['mass'] == pytest.approx(
    7800 * 4 / 3 * math.pi * 0.1**3
  )
  assert sent['set_velocity']['velocity'] == {'x': 1.0, 'y': 3.0, 'z': 2.0}
  assert not sent['set_kinematic_state']['is_kinematic']
  assert sent['set_physic_material']['bounciness'] == 0.6
  assert sent['set_color']['color']['b'] == pytest.approx(0.4)


def test_a_torus_lies_flat_and_must_have_the_hole_of_tdw():
  ring = props.Prop('t', 'torus', 'red', 0.5, (0.0, 0.0, 0.05), hole=0.6)
  assert props.height_m(ring) == pytest.approx(0.1)
  sent = _by_type(tdw_commands.finish(ring, 0, dynamic=False))
  assert sent['teleport_object']['position']['y'] == pytest.approx(0)
  assert sent['scale_object']['scale_factor']['x'] == pytest.approx(0.4)
  wide = props.Prop('t', 'torus', 'red', 0.5, (0.0, 0.0, 0.05), hole=0.5)
  with pytest.raises(errors.UserError, match=r't: .* 0.6, not 0.5'):
    tdw_commands.finish(wide, 0, dynamic=False)


def test_a_prop_follows_its_path():
  prop = props.Prop(
    'p',
    'cube',
    'red',
    0.2,
    (0, 0, 0),
    path=((1.0, (0, 0, 0)), (3.0, (4, 2, 0))),
  )
  assert tdw_commands.centre_m(prop, 0.0) == (0, 0, 0)
  assert tdw_commands.centre_m(prop, 1.5) == (1, 0.5, 0)
  assert tdw_commands.centre_m(prop, 9.0) == (4, 2, 0)
  assert tdw_commands.centre_m(CUBE, 9.0) == CUBE.position_m


def test_a_box_is_a_cube_with_its_origin_at_the_bottom():
  turn = coordinates.yaw(0)
  box = dynamics.Fixed('w', (1.0, 2.0, 0.5), (0.1, 0.2, 0.5), turn)
  sent = _by_type(tdw_commands.fixed(box, 3))
  assert sent['teleport_object']['position'] == {'x': 1.0, 'y': 0.0, 'z': 2.0}
  assert sent['scale_object']['scale_factor'] == {'x': 0.2, 'y': 1.0, 'z': 0.4}
  # If the box lies on its side, its origin is beside its centre.
  half = math.sqrt(0.5)
  lying = dynamics.Fixed('w', (1, 2, 0.5), (0.1, 0.2, 0.5), (half, 0, half, 0))
  position = _by_type(tdw_commands.fixed(lying, 3))['teleport_object'][
    'position'
  ]
  np.testing.assert_allclose([*position.values()], [0.5, 0.5, 2.0])


def test_a_body_is_read_back_as_it_was_sent():
  turn = (0.8, 0.0, 0.6, 0.0)
  sent = _by_type(tdw_commands.finish(CUBE, 0, True, turn))
  position = [*sent['teleport_object']['position'].values()]
  rotation = [sent['rotate_object_to']['rotation'][k] for k in 'xyzw']
  body = tdw_commands.body(CUBE, position, rotation, (1, 2, 3), (0, 1, 0))
  np.testing.assert_allclose(body.position_m, CUBE.position_m)
  np.testing.assert_allclose(body.quaternion, turn)
  assert body.velocity_mps == (1, 3, 2) and body.spin_radps == (0, 0, -1)


def test_the_avatar_is_aimed_before_the_image_is_requested():
  camera = protocol.Camera('front', (0.0, -2.0, 1.0), (0.0, 0.0, 1.0), 40.0)
  sent = tdw_commands.look(camera)
  assert sent[-1]['$type'] == 'send_images'
  aimed = _by_type(sent)
  assert aimed['teleport_avatar_to']['position'] == {'x': 0, 'y': 1, 'z': -2}
  assert aimed['rotate_sensor_container_to']['rotation']['w'] == pytest.approx(
    1
  )
  assert aimed['set_field_of_view']['field_of_view'] == 40.0
