"""Commands for ThreeDWorld (TDW), and the conversion of the poses it reports.

These functions need no build. Positions of objects in TDW are those of their
bottoms.
"""

import numpy as np

from commons import errors
from wm_abench.simulators import coordinates
from wm_abench.worlds import paths, protocol
from wm_abench.worlds.tabletop import dynamics, props

STEP_S = 0.01
# Width and height of TDW's primitives; their origin is at the bottom.
UNITS_M = {
  'cube': (1.0, 1.0),
  'sphere': (1.0, 1.0),
  'cylinder': (1.0, 1.0),
  'cone': (1.0, 1.0),
  'torus': (1.25, 0.25),
}
HOLE = 0.6  # The diameter of the hole of TDW's torus, as a share of its width.
_AVATAR = 'eye'


def centre_m(prop: props.Prop, time_s: float) -> protocol.Vector:
  """Returns the position of a prop's centre on its path, if it has one."""
  return paths.position_at(prop.path, time_s) if prop.path else prop.position_m


def foot(
  prop: props.Prop,
  centre_m: protocol.Vector,
  turn: coordinates.Quaternion | None = None,
) -> dict[str, float]:
  """Returns the position of a prop in Unity, where its origin is at the bottom.

  Args:
    prop: the prop.
    centre_m: the position of its centre.
    turn: its rotation, if it is not upright.
  """
  rotation = coordinates.rotation(turn or coordinates.yaw(0))
  offset = rotation.apply([0, 0, -props.height_m(prop) / 2])
  return coordinates.to_unity(np.add(centre_m, offset))


def finish(
  prop: props.Prop,
  index: int,
  dynamic: bool,
  turn: coordinates.Quaternion | None = None,
) -> list[dict]:
  """Returns the commands for the size, pose, colour and physics of a prop.

  Args:
    prop: the prop, which has been added.
    index: its identifier in TDW.
    dynamic: whether PhysX moves it.
    turn: its initial rotation, if it is not upright with its yaw.

  Raises:
    UserError: the prop is a torus with another hole than TDW's.
  """
  if prop.shape == 'torus' and abs(prop.hole - HOLE) > 1e-6:
    raise errors.UserError(
      f"{prop.name}: TDW's torus has a hole of {HOLE}, not {prop.hole}"
    )
  scale = prop.size_m / UNITS_M[prop.shape][0]
  matter = dynamics.MATTER[prop.material]
  commands = _set_up(
    index,
    foot(prop, centre_m(prop, 0.0), turn),
    coordinates.turn_to_unity(turn or coordinates.yaw(prop.yaw_deg)),
    (scale, scale, scale),
    (matter.friction, matter.restitution),
    dynamic=dynamic,
  )
  commands.append(
    {'$type': 'set_mass', 'id': index, 'mass': dynamics.mass_kg(prop)}
  )
  if prop.color:
    rgb = np.clip(np.multiply(props.COLORS[prop.color], prop.shade), 0, 1)
    color = dict(zip('rgb', rgb.tolist(), strict=True)) | {'a': 1.0}
    commands.append({'$type': 'set_color', 'id': index, 'color': color})
  if dynamic:
    velocity = coordinates.to_unity(prop.velocity_mps)
    commands.append(
      {'$type': 'set_velocity', 'id': index, 'velocity': velocity}
    )
  return commands


def fixed(box: dynamics.Fixed, index: int) -> list[dict]:
  """Returns the commands that turn an added cube into a box."""
  rotation = coordinates.rotation(box.quaternion)
  offset = rotation.apply([0, 0, -box.half_m[2]])
  x, y, z = np.multiply(2, box.half_m).tolist()
  return _set_up(
    index,
    coordinates.to_unity(np.add(box.position_m, offset)),
    coordinates.turn_to_unity(box.quaternion),
    (x, z, y),
    (box.friction, box.restitution),
    dynamic=False,
  )


def _set_up(
  index: int, position, rotation, scale, surface, dynamic: bool
) -> list[dict]:
  friction, restitution = surface
  return [
    {
      '$type': 'scale_object',
      'id': index,
      'scale_factor': dict(zip('xyz', scale, strict=True)),
    },
    {'$type': 'teleport_object', 'id': index, 'position': position},
    {'$type': 'rotate_object_to', 'id': index, 'rotation': rotation},
    {
      '$type': 'set_kinematic_state',
      'id': index,
      'is_kinematic': not dynamic,
      'use_gravity': dynamic,
    },
    {
      '$type': 'set_physic_material',
      'id': index,
      'dynamic_friction': friction,
      'static_friction': friction,
      'bounciness': restitution,
    },
  ]


def add_avatar(size_px: int) -> list[dict]:
  """Returns the commands that create an avatar with square images."""
  return [
    {'$type': 'set_screen_size', 'width': size_px, 'height': size_px},
    {'$type': 'set_time_step', 'time_step': STEP_S},
    {'$type': 'create_avatar', 'type': 'A_Img_Caps_Kinematic', 'id': _AVATAR},
    {'$type': 'set_img_pass_encoding', 'value': True},
    {'$type': 'set_pass_masks', 'pass_masks': ['_img'], 'avatar_id': _AVATAR},
  ]


def look(camera: protocol.Camera) -> list[dict]:
  """Returns the commands that aim the avatar and request one image."""
  return [
    {
      '$type': 'teleport_avatar_to',
      'position': coordinates.to_unity(camera.position_m),
      'avatar_id': _AVATAR,
    },
    {
      '$type': 'rotate_sensor_container_to',
      'rotation': coordinates.camera_to_unity(camera),
      'avatar_id': _AVATAR,
    },
    {
      '$type': 'set_field_of_view',
      'field_of_view': camera.fovy_deg,
      'avatar_id': _AVATAR,
    },
    {'$type': 'send_images', 'frequency': 'once', 'ids': [_AVATAR]},
  ]


def body(prop: props.Prop, position, rotation, velocity, spin) -> protocol.Body:
  """Returns the body of a prop, given the pose and motion of its bottom."""
  turn = coordinates.turn_from_unity(rotation)
  offset = coordinates.rotation(turn).apply([0, 0, props.height_m(prop) / 2])
  return protocol.Body(
    tuple(np.add(coordinates.from_unity(position), offset).tolist()),
    turn,
    coordinates.from_unity(velocity),
    coordinates.spin_from_unity(spin),
  )
