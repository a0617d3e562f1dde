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
from wm_abench.simulators import coordinates, requirements, tdw_commands
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import dynamics, props

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
      commands += [
        self._open(scene.background),
        *tdw_commands.add_avatar(self._size_px),
      ]
    elif self._scene:
      count = len(self._scene.props) + len(_boxes(self._scene))
      commands += [{'$type': 'destroy_object', 'id': i} for i in range(count)]
    turns = dict(getattr(scene, 'turns', ()))
    for i, prop in enumerate(scene.props):
      commands += self._add(prop.shape, i)
      commands += self._paint(prop, i)
      commands += tdw_commands.finish(
        prop, i, scene.dynamic, turns.get(prop.name)
      )
    for i, box in enumerate(_boxes(scene), len(scene.props)):
      commands += [*self._add('cube', i), *tdw_commands.fixed(box, i)]
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
      for i in range(round(action.values[0] / tdw_commands.STEP_S)):
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
    for data in self._controller.communicate(tdw_commands.look(camera)):
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
    return tdw_commands.foot(prop, tdw_commands.centre_m(prop, self._time_s))

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
        bodies[prop.name] = tdw_commands.body(
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
