"""What the two environments of props on a surface share.

Props stand still, follow their paths, or obey physics; the rooms around them
are worlds/rooms. Of a room one model is kept, in which any props are shown.
"""

from collections.abc import Mapping
import itertools
import types

import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.rooms import room as room_lib
from wm_abench.worlds.tabletop import dynamics, prop_pool, surfaces
from wm_abench.worlds.tabletop import props as props_lib

ACTIONS = ('wait',)


class SurfaceWorld:
  """Props on a surface; without a renderer it can only be stepped.

  Args:
    name: of the environment, a key of surfaces.SURFACES.
    renderer: makes its frames.
  """

  def __init__(self, name: str, renderer: protocol.Renderer | None):
    self._surface, self._renderer = surfaces.SURFACES[name], renderer
    self._rooms: dict[str, room_lib.Room] = {}
    self._scene: props_lib.PropScene | None = None
    self._dynamics: dynamics.Dynamics | None = None
    self._time_s = 0.0

  def reset(self, scene: props_lib.PropScene) -> protocol.State:
    """Puts the scene's props where they start.

    Raises:
      UserError: a room, shape, colour or material that there is not, props
        that are too many, of one name, of an impossible size or hole, or with
        a path that goes back in time or that is not allowed.
    """
    _check(scene, self._surface)
    self._scene, self._time_s = scene, 0.0
    self._dynamics = dynamics.Dynamics(scene.props) if scene.dynamic else None
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Lets time pass: 'wait' with the seconds.

    Raises:
      UserError: an action that is none of ACTIONS, or a time that is not one.
    """
    if action.name not in ACTIONS:
      raise errors.unknown('action', action.name, ACTIONS)
    if len(action.values) != 1 or not 0 <= action.values[0] < np.inf:
      raise errors.UserError(
        f"'wait' takes one number of seconds, not {action.values}"
      )
    (seconds,) = action.values
    self._time_s += seconds
    if self._dynamics:
      self._dynamics.step(seconds)
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame [H, W, 3].

    Raises:
      UserError: a camera that is mounted on something.
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
    return {p.name: _on_path(p, self._time_s) for p in self._scene.props}


def _on_path(prop: props_lib.Prop, time_s: float) -> protocol.Body:
  """Where a prop is, and how fast on the stretch of its path that begins."""
  start = dynamics.start(prop)
  if not prop.path:
    return protocol.Body(prop.position_m, start.quaternion)
  times = np.array([t for t, _ in prop.path])
  places_K3 = np.array([at for _, at in prop.path])
  place = [np.interp(time_s, times, axis) for axis in places_K3.T]
  velocity = np.zeros(3)
  k = int(np.searchsorted(times, time_s, side='right'))
  if 0 < k < len(times):
    velocity = (places_K3[k] - places_K3[k - 1]) / (times[k] - times[k - 1])
  return protocol.Body(
    tuple(float(x) for x in place), start.quaternion, tuple(velocity.tolist())
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
    _check_prop(prop, scene.dynamic)


def _check_prop(prop: props_lib.Prop, dynamic: bool) -> None:
  if prop.shape not in props_lib.SHAPES:
    raise errors.unknown('shape', prop.shape, props_lib.SHAPES)
  if prop.color and prop.color not in props_lib.COLORS:
    raise errors.unknown('color', prop.color, props_lib.COLORS)
  if prop.material not in props_lib.MATERIALS:
    raise errors.unknown('material', prop.material, props_lib.MATERIALS)
  for what, value, good in (
    ('size_m', prop.size_m, prop.size_m > 0),
    ('shade', prop.shade, prop.shade > 0),
    ('hole', prop.hole, 0 < prop.hole < 1),
  ):
    if not good:
      below = ' and below 1' if what == 'hole' else ''
      raise errors.UserError(
        f'{what} of prop {prop.name!r} is {value}; it has to be above 0{below}'
      )
  if prop.path and dynamic:
    raise errors.UserError(
      f'prop {prop.name!r} has a path in a dynamic scene; physics moves props'
      ' there'
    )
  times = [t for t, _ in prop.path]
  if any(b < a for a, b in itertools.pairwise(times)):
    raise errors.UserError(
      f'the path of prop {prop.name!r} goes back in time: {times}'
    )
