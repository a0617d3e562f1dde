"""Two environments of props on a surface, in furnished rooms (worlds/rooms).

`Tabletop` stands in for ThreeDWorld, `ApartmentTable` for ManiSkill2. Props
rest, follow scripted paths, or obey physics; the only action is to wait.
"""

from collections.abc import Mapping
import types

import numpy as np

from commons import errors
from wm_abench.worlds import paths, protocol
from wm_abench.worlds.rooms import room as room_lib
from wm_abench.worlds.tabletop import dynamics, prop_pool, surfaces
from wm_abench.worlds.tabletop import props as props_lib

ACTIONS = ('wait',)


class _SurfaceEnvironment:
  """Props on the surface of a room.

  The model of a room is compiled once and shows the props of any scene.

  Args:
    name: a key of surfaces.SURFACES.
    renderer: None for an environment that is only stepped.
  """

  def __init__(self, name: str, renderer: protocol.Renderer | None):
    self._surface, self._renderer = surfaces.SURFACES[name], renderer
    self._rooms: dict[str, room_lib.Room] = {}
    self._scene: props_lib.PropScene | None = None
    self._dynamics: dynamics.Dynamics | None = None
    self._time_s = 0.0

  def reset(self, scene: props_lib.PropScene) -> protocol.State:
    """Puts the props of a scene at their initial poses.

    Raises:
      UserError: the room is unknown, there are more than prop_pool.SLOTS props,
        two of them share a name, or one is not valid (see props.check).
    """
    _check(scene, self._surface)
    self._scene, self._time_s = scene, 0.0
    self._dynamics = dynamics.Dynamics(scene.props) if scene.dynamic else None
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Lets time pass: 'wait', with the number of seconds as its only value.

    Raises:
      UserError: another action, or not one finite number of at least 0.
    """
    seconds = wait_seconds(action)
    self._time_s += seconds
    if self._dynamics:
      self._dynamics.step(seconds)
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [H, W, 3].

    Raises:
      UserError: the camera has a mount.
    """
    if camera.mount:
      raise errors.unknown('mount', camera.mount, ('',))
    name = self._scene.background
    if name not in self._rooms:
      self._rooms[name] = room_lib.Room(name)
    room = self._rooms[name]
    for mesh in room.show(self._scene.props, self._bodies()):
      self._renderer.refresh(room.model, mesh)
    return self._renderer.render(room.model, room.data, camera)

  def close(self) -> None:
    self._rooms.clear()

  def _state(self) -> protocol.State:
    return protocol.State(self._time_s, types.MappingProxyType(self._bodies()))

  def _bodies(self) -> Mapping[str, protocol.Body]:
    if self._dynamics:
      return self._dynamics.bodies()
    return {p.name: _body(p, self._time_s) for p in self._scene.props}


class Tabletop(_SurfaceEnvironment):
  """Props on the floor or the island of a large room.

  The rooms are 'living_room', 'study', 'kitchen' and 'loft'.
  """

  def __init__(self, renderer: protocol.Renderer | None):
    super().__init__('tabletop', renderer)


class ApartmentTable(_SurfaceEnvironment):
  """Small props on a table of an apartment.

  The rooms are 'dining', 'lounge', 'office' and 'sunroom'.
  """

  def __init__(self, renderer: protocol.Renderer | None):
    super().__init__('apartment_table', renderer)


def wait_seconds(action: protocol.Action) -> float:
  """Returns the seconds of a 'wait'.

  Raises:
    UserError: another action, or not one finite number of at least 0.
  """
  if action.name not in ACTIONS:
    raise errors.unknown('action', action.name, ACTIONS)
  if len(action.values) != 1 or not 0 <= action.values[0] < np.inf:
    raise errors.UserError(
      f"'wait' takes one number of seconds, not {action.values}"
    )
  return action.values[0]


def _body(prop: props_lib.Prop, time_s: float) -> protocol.Body:
  """Returns the pose and velocity of a prop that no physics moves."""
  quaternion = dynamics.initial_body(prop).quaternion
  if not prop.path:
    return protocol.Body(prop.position_m, quaternion)
  return protocol.Body(
    paths.position_at(prop.path, time_s),
    quaternion,
    paths.velocity_at(prop.path, time_s),
  )


def _check(scene: props_lib.PropScene, surface: surfaces.Surface) -> None:
  if scene.background not in surface.backgrounds:
    raise errors.unknown('background', scene.background, surface.backgrounds)
  if len(scene.props) > prop_pool.SLOTS:
    raise errors.UserError(
      f'{len(scene.props)} props in one scene; at most {prop_pool.SLOTS}'
    )
  names = [p.name for p in scene.props]
  for prop in scene.props:
    if names.count(prop.name) > 1:
      raise errors.UserError(f'two props have the name {prop.name!r}')
    props_lib.check(prop, scene.dynamic)
