"""Solids that slide, fall and collide in furnished halls.

A stand-in for Physion. Gravity and contacts move the props; blocks, such as
ramps and benches, stay where they are. The only action is to wait.
"""

import dataclasses
import math
import types

import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import hall as hall_lib
from wm_abench.worlds.tabletop import dynamics, prop_pool
from wm_abench.worlds.tabletop import props as props_lib

BACKGROUNDS: tuple[str, ...] = hall_lib.NAMES
ACTIONS = ('wait',)


def _camera(name: str, x_m: float) -> protocol.Camera:
  return protocol.Camera(
    name, (x_m, -3.15, 1.35), (0.0, 0.0, 0.5), fovy_deg=48.0
  )


# x is to the right for all of them, y away.
CAMERAS: dict[str, protocol.Camera] = {
  c.name: c
  for c in (_camera('left', -0.9), _camera('front', 0.0), _camera('right', 0.9))
}


@dataclasses.dataclass(frozen=True)
class PhysicsScene(protocol.Scene):
  """Props that physics moves among blocks that nothing moves.

  Attributes:
    props: with unique names; paths are not for this environment.
    blocks: with unique names.
    turns: of props that do not start upright, by name; (w, x, y, z).
  """

  props: tuple[props_lib.Prop, ...] = ()
  blocks: tuple[hall_lib.Block, ...] = ()
  turns: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()


class IntuitivePhysics:
  """Halls 'playroom', 'workshop', 'classroom' and 'salon'.

  Without a renderer it can only be stepped.
  """

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._halls: dict[str, hall_lib.Hall] = {}
    self._scene: PhysicsScene | None = None
    self._dynamics: dynamics.Dynamics | None = None
    self._time_s = 0.0

  def reset(self, scene: PhysicsScene) -> protocol.State:
    """Puts the scene's props where they start.

    Raises:
      UserError: a hall, shape, colour or material that there is not; too many
        props or blocks, two of one name, an impossible size, a path, or the
        turn of a prop that is not there.
    """
    _check(scene)
    self._scene, self._time_s = scene, 0.0
    turns, starts = dict(scene.turns), {}
    for prop in scene.props:
      if prop.name in turns:
        start = dynamics.start(prop)
        starts[prop.name] = dataclasses.replace(
          start, quaternion=turns[prop.name]
        )
    self._dynamics = dynamics.Dynamics(
      scene.props, [b.fixed() for b in scene.blocks], starts=starts
    )
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Lets time pass: 'wait' with the seconds.

    Raises:
      UserError: an action that is none of ACTIONS, or a time that is not one.
    """
    if action.name not in ACTIONS:
      raise errors.unknown('action', action.name, ACTIONS)
    values = action.values
    if len(values) != 1 or not 0 <= values[0] < math.inf:
      raise errors.UserError(
        f"'wait' takes one number of seconds, not {values}"
      )
    self._time_s += values[0]
    self._dynamics.step(values[0])
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """A uint8 frame [H, W, 3].

    Raises:
      UserError: a camera that is mounted on something.
    """
    if camera.mount:
      raise errors.unknown('mount', camera.mount, ('',))
    scene = self._scene
    if scene.background not in self._halls:
      self._halls[scene.background] = hall_lib.Hall(scene.background)
    hall = self._halls[scene.background]
    bodies = self._dynamics.bodies()
    for mesh in hall.show(scene.props, bodies, scene.blocks):
      self._renderer.refresh(hall.model, mesh)
    return self._renderer.render(hall.model, hall.data, camera)

  def close(self) -> None:
    self._halls.clear()

  def _state(self) -> protocol.State:
    bodies = types.MappingProxyType(self._dynamics.bodies())
    return protocol.State(self._time_s, bodies)


def _check(scene: PhysicsScene) -> None:
  if scene.background not in BACKGROUNDS:
    raise errors.unknown('background', scene.background, BACKGROUNDS)
  for kind, things, most in (
    ('prop', scene.props, prop_pool.SLOTS),
    ('block', scene.blocks, hall_lib.BLOCKS),
  ):
    if len(things) > most:
      raise errors.UserError(
        f'{len(things)} {kind}s in one scene; at most {most}'
      )
    names = [t.name for t in things]
    for name in names:
      if names.count(name) > 1:
        raise errors.UserError(f'two {kind}s have the name {name!r}')
  for prop in scene.props:
    _check_prop(prop)
  for block in scene.blocks:
    if block.material not in hall_lib.MATERIALS:
      raise errors.unknown('material', block.material, hall_lib.MATERIALS)
    if min(block.half_m) <= 0:
      raise errors.UserError(
        f'half_m of block {block.name!r} is {block.half_m}; all three have to'
        ' be above 0'
      )
  for name, _ in scene.turns:
    if name not in [p.name for p in scene.props]:
      raise errors.unknown('prop', name, [p.name for p in scene.props])


def _check_prop(prop: props_lib.Prop) -> None:
  for what, value, choices in (
    ('shape', prop.shape, props_lib.SHAPES),
    ('color', prop.color or 'red', props_lib.COLORS),
    ('material', prop.material, props_lib.MATERIALS),
  ):
    if value not in choices:
      raise errors.unknown(what, value, choices)
  if prop.size_m <= 0:
    raise errors.UserError(
      f'size_m of prop {prop.name!r} is {prop.size_m}; it has to be above 0'
    )
  if not 0 < prop.hole < 1:
    raise errors.UserError(
      f'hole of prop {prop.name!r} is {prop.hole}; it has to be between 0 and 1'
    )
  if prop.path:
    raise errors.UserError(
      f'prop {prop.name!r} has a path; physics moves props here'
    )
