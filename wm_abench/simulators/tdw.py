"""A client of ThreeDWorld (TDW), the paper's simulator of props.

It takes the scenes of wm_abench/worlds/tabletop/props.py. Props stand on the
floor of a scene of TDW (a background such as 'tdw_room' or 'mm_kitchen_1a') and
move along their paths or by PhysX. The only action is wait(seconds). Physics
and pixels depend on the Unity build. Requirements:

    pip install tdw==1.13.0.0
    the build TDW 1.13.0 (github.com/threedworld-mit/tdw, releases), started
      with `-port 1071 -address HOST` on a machine with a GPU and a display;
    Internet access of the build, which downloads models and scenes.

The build connects to the client, so the client waits for it.
"""

import dataclasses
import io
import threading
from typing import Any

import numpy as np
from PIL import Image

from commons import errors
from wm_abench.simulators import coordinates, requirements
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
# Names of materials in TDW. Plastic is the default material with a colour.
MATERIALS = {
  'wood': 'wood_beech_natural',
  'metal': 'metal_brushed_copper',
  'glass': 'glass_clear',
  'stone': 'granite_white',
  'fabric': '3d_mesh_technical_fabric',
}

_HOW = 'pip install tdw==1.13.0.0'
_LIBRARY = 'models_flex.json'
_EYE = 'eye'


@dataclasses.dataclass(frozen=True)
class BoxedScene(props.PropScene):
  """Props, and boxes that never move, such as ramps.

  Attributes:
    boxes: the boxes, with unique names.
    turns: the name and quaternion of each prop that does not start upright.
  """

  boxes: tuple[dynamics.Fixed, ...] = ()
  turns: tuple[tuple[str, coordinates.Quaternion], ...] = ()


class ThreeDWorld:
  """The environment.

  Args:
    size_px: width and height of the frames.
    port: the port to which the build connects.
    wait_s: how long to wait for the build.

  Raises:
    UserError: the package is missing, or no build has connected.
  """

  def __init__(self, size_px: int, port: int = 1071, wait_s: float = 30.0):
    package = requirements.package('tdw.controller', 'ThreeDWorld', _HOW)
    self._output = requirements.package('tdw.output_data', 'ThreeDWorld', _HOW)
    self._library = requirements.package('tdw.librarian', 'ThreeDWorld', _HOW)
    self._utils = requirements.package(
      'tdw.tdw_utils', 'ThreeDWorld', _HOW
    ).TDWUtils
    self._size_px = size_px
    self._controller = _connected(package.Controller, port, wait_s)
    self._background = ''
    self._scene: props.PropScene | None = None
    self._time_s = 0.0

  def reset(self, scene: props.PropScene) -> protocol.State:
    """Raises UserError if TDW does not have the background."""
    commands = [{'$type': 'simulate_physics', 'value': False}]
    if scene.background != self._background:
      commands += [self._open(scene.background), *_eye(self._size_px)]
    elif self._scene:
      count = len(self._scene.props) + len(_boxes(self._scene))
      commands += [{'$type': 'destroy_object', 'id': i} for i in range(count)]
    turns = dict(getattr(scene, 'turns', ()))
    for i, prop in enumerate(scene.props):
      commands += self._add(prop.shape, i)
      commands += self._paint(prop, i)
      commands += finish(prop, i, scene.dynamic, turns.get(prop.name))
    for i, box in enumerate(_boxes(scene), len(scene.props)):
      commands += [*self._add('cube', i), *fixed(box, i)]
    self._controller.communicate(commands)
    self._background, self._scene, self._time_s = scene.background, scene, 0.0
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Raises UserError if the action is not wait(seconds)."""
    if action.name != 'wait' or len(action.values) != 1:
      raise errors.UserError(f'unknown action {action}; choices: wait(seconds)')
    self._time_s += action.values[0]
    if self._scene.dynamic:
      on = {'$type': 'simulate_physics', 'value': True}
      for i in range(round(action.values[0] / STEP_S)):
        self._controller.communicate([] if i else [on])
      self._controller.communicate(on | {'value': False})
    else:
      self._controller.communicate(
        [
          {'$type': 'teleport_object', 'id': i, 'position': self._foot(p)}
          for i, p in enumerate(self._scene.props)
        ]
      )
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [size_px, size_px, 3]."""
    for data in self._controller.communicate(look(camera)):
      if self._output.OutputData.get_data_type_id(data) == 'imag':
        png = self._output.Images(data).get_image(0)
        return np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))
    raise errors.ServiceError('the TDW build sent no image')

  def close(self) -> None:
    self._controller.communicate({'$type': 'terminate'})

  def _open(self, background: str) -> dict:
    known = [r.name for r in self._library.SceneLibrarian().records]
    if background not in known:
      raise errors.unknown('scene of TDW', background, known)
    return self._controller.get_add_scene(background)

  def _foot(self, prop: props.Prop) -> dict[str, float]:
    return foot(prop, centre_m(prop, self._time_s))

  def _add(self, shape: str, index: int) -> list[dict]:
    return [self._controller.get_add_object(shape, index, library=_LIBRARY)]

  def _paint(self, prop: props.Prop, index: int) -> list[dict]:
    if prop.material not in MATERIALS:
      return []
    record = self._library.ModelLibrarian(_LIBRARY).get_record(prop.shape)
    return self._utils.set_visual_material(
      self._controller, record.substructure, index, MATERIALS[prop.material]
    )

  def _state(self) -> protocol.State:
    ask = [
      {'$type': f'send_{what}', 'frequency': 'once'}
      for what in ('transforms', 'rigidbodies')
    ]
    outputs: dict[str, Any] = {}
    for data in self._controller.communicate(ask):
      outputs[self._output.OutputData.get_data_type_id(data)] = data
    poses = self._output.Transforms(outputs['tran'])
    motions = self._output.Rigidbodies(outputs['rigi'])
    moving = {motions.get_id(i): i for i in range(motions.get_num())}
    bodies = {}
    for i in range(poses.get_num()):
      index = poses.get_id(i)
      if index < len(self._scene.props):
        prop, j = self._scene.props[index], moving[index]
        bodies[prop.name] = body(
          prop,
          poses.get_position(i),
          poses.get_rotation(i),
          motions.get_velocity(j),
          motions.get_angular_velocity(j),
        )
    return protocol.State(self._time_s, bodies)


def _connected(make, port: int, wait_s: float):
  """Returns a controller; its constructor blocks until a build connects."""
  controllers: list[Any] = []

  def connect() -> None:
    controllers.append(make(port=port, check_version=False, launch_build=False))

  thread = threading.Thread(target=connect, daemon=True)
  thread.start()
  thread.join(wait_s)
  if not controllers:
    raise errors.UserError(
      f'no ThreeDWorld build has connected to port {port} within {wait_s:g} s;'
      ' get TDW 1.13.0 (github.com/threedworld-mit/tdw, releases) and start it'
      f' with -port {port}'
    )
  return controllers[0]


def _boxes(scene: props.PropScene) -> tuple[dynamics.Fixed, ...]:
  return getattr(scene, 'boxes', ())


# Commands. These functions need no build.


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


def _eye(size_px: int) -> list[dict]:
  return [
    {'$type': 'set_screen_size', 'width': size_px, 'height': size_px},
    {'$type': 'set_time_step', 'time_step': STEP_S},
    {'$type': 'create_avatar', 'type': 'A_Img_Caps_Kinematic', 'id': _EYE},
    {'$type': 'set_img_pass_encoding', 'value': True},
    {'$type': 'set_pass_masks', 'pass_masks': ['_img'], 'avatar_id': _EYE},
  ]


def look(camera: protocol.Camera) -> list[dict]:
  """Returns the commands that aim the avatar and request one image."""
  return [
    {
      '$type': 'teleport_avatar_to',
      'position': coordinates.to_unity(camera.position_m),
      'avatar_id': _EYE,
    },
    {
      '$type': 'rotate_sensor_container_to',
      'rotation': coordinates.camera_to_unity(camera),
      'avatar_id': _EYE,
    },
    {
      '$type': 'set_field_of_view',
      'field_of_view': camera.fovy_deg,
      'avatar_id': _EYE,
    },
    {'$type': 'send_images', 'frequency': 'once', 'ids': [_EYE]},
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
