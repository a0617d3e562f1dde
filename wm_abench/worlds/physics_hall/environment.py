"""Solids that slide, fall and collide in furnished halls.

The environment stands in for Physion. Gravity and contacts move the props;
blocks, such as ramps and benches, are immovable. The only action is to wait.
"""

import dataclasses
import types

import numpy as np

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.physics_hall import hall as hall_lib
from wm_abench.worlds.tabletop import dynamics, prop_pool
from wm_abench.worlds.tabletop import environment as tabletop
from wm_abench.worlds.tabletop import props as props_lib

BACKGROUNDS: tuple[str, ...] = hall_lib.NAMES
ACTIONS = tabletop.ACTIONS


def _camera(name: str, x_m: float) -> protocol.Camera:
  return protocol.Camera(
    name, (x_m, -3.15, 1.35), (0.0, 0.0, 0.5), fovy_deg=48.0
  )


# All of them look along y, away from the viewer, with x to the right.
CAMERAS: dict[str, protocol.Camera] = {
  c.name: c
  for c in (_camera('left', -0.9), _camera('front', 0.0), _camera('right', 0.9))
}


@dataclasses.dataclass(frozen=True)
class PhysicsScene(protocol.Scene):
  """Props that physics moves among immovable blocks.

  Attributes:
    props: with unique names and without paths.
    blocks: with unique names.
    turns: (name, quaternion (w, x, y, z)) of the props that do not start
      upright.
  """

  props: tuple[props_lib.Prop, ...] = ()
  blocks: tuple[hall_lib.Block, ...] = ()
  turns: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()


class IntuitivePhysics:
  """The environment; its halls are playroom, workshop, classroom and salon.

  Args:
    renderer: None for an environment that is only stepped.
  """

  def __init__(self, renderer: protocol.Renderer | None):
    self._renderer = renderer
    self._halls: dict[str, hall_lib.Hall] = {}
    self._scene: PhysicsScene | None = None
    self._dynamics: dynamics.Dynamics | None = None
    self._time_s = 0.0

  def reset(self, scene: PhysicsScene) -> protocol.State:
    """Puts the props of a scene at their initial poses.

    Raises:
      UserError: the hall is unknown; there are too many props or blocks, or two
        of one name; a prop or block is not valid; `turns` names an unknown
        prop.
    """
    _check(scene)
    self._scene, self._time_s = scene, 0.0
    quaternions = dict(scene.turns)
    initial = {
      prop.name: dataclasses.replace(
        dynamics.initial_body(prop), quaternion=quaternions[prop.name]
      )
      for prop in scene.props
      if prop.name in quaternions
    }
    self._dynamics = dynamics.Dynamics(
      scene.props, [b.fixed() for b in scene.blocks], initial=initial
    )
    return self._state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Lets time pass: 'wait', with the number of seconds as its only value.

    Raises:
      UserError: another action, or not one finite number of at least 0.
    """
    seconds = tabletop.wait_seconds(action)
    self._time_s += seconds
    self._dynamics.step(seconds)
    return self._state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [H, W, 3].

    Raises:
      UserError: the camera has a mount.
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
  for kind, solids, maximum in (
    ('prop', scene.props, prop_pool.SLOTS),
    ('block', scene.blocks, hall_lib.BLOCKS),
  ):
    if len(solids) > maximum:
      raise errors.UserError(
        f'{len(solids)} {kind}s in one scene; at most {maximum}'
      )
    names = [s.name for s in solids]
    for name in names:
      if names.count(name) > 1:
        raise errors.UserError(f'two {kind}s have the name {name!r}')
  for prop in scene.props:
    props_lib.check(prop, dynamic=True)
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
