"""Halls in which solids slide, fall and collide, as MuJoCo models.

A hall is a room of worlds/rooms that also has blocks: immovable boxes, such as
ramps and benches. Their material determines friction and restitution.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import functools

import mujoco
import numpy as np

from wm_abench.worlds import meshes, protocol
from wm_abench.worlds.homes import decor
from wm_abench.worlds.physics_hall import plans
from wm_abench.worlds.rooms import room
from wm_abench.worlds.tabletop import dynamics, prop_pool
from wm_abench.worlds.tabletop import props as props_lib

NAMES: tuple[str, ...] = tuple(plans.PLANS)
BLOCKS = 8  # The largest number of blocks in a scene.
_VISIBLE, _HIDDEN = 1, 4  # Groups of geoms.

# The appearance of each material: source and name of a texture, mean colour,
# fraction of the texture's contrast, metres of one repeat, and specular and
# shininess.
_LOOKS: dict[str, tuple[str, str, protocol.Vector, float, float, float]] = {
  'wood': ('miniworld', 'wood_2', (0.76, 0.60, 0.40), 1.0, 0.8, 0.15),
  'metal': ('robosuite', 'steel-brushed', (0.66, 0.68, 0.71), 0.8, 0.7, 0.7),
  'stone': ('libero', 'gray_plaster', (0.52, 0.51, 0.49), 1.6, 0.5, 0.03),
  'fabric': ('robosuite', 'gray-felt', (0.30, 0.40, 0.34), 1.4, 0.3, 0.0),
}
MATERIALS: tuple[str, ...] = tuple(_LOOKS)


@dataclasses.dataclass(frozen=True)
class Block:
  """An immovable box.

  Attributes:
    name: unique among the blocks.
    material: one of MATERIALS, with the coefficients of dynamics.MATTER.
    position_m: of the centre; the floor is z = 0.
    half_m: half sizes along the axes of the box.
    quaternion: rotation of the box, (w, x, y, z).
  """

  name: str
  material: str
  position_m: protocol.Vector
  half_m: protocol.Vector
  quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

  def fixed(self) -> dynamics.Fixed:
    """Returns the block as an obstacle for the physics."""
    matter = dynamics.MATTER[self.material]
    return dynamics.Fixed(
      self.name,
      self.position_m,
      self.half_m,
      self.quaternion,
      matter.friction,
      matter.restitution,
    )


class Hall:
  """The compiled model of one hall, with a pool of props and of blocks.

  Args:
    name: one of NAMES.

  Attributes:
    model, data: the MjModel and its MjData.
  """

  def __init__(self, name: str):
    spec = room.specify(plans.PLANS[name])
    _add_blocks(spec)
    self.model = spec.compile()
    self.data = mujoco.MjData(self.model)
    self._pool = prop_pool.Pool(self.model)
    self._blocks = [self.model.geom(_slot(i)).id for i in range(BLOCKS)]

  def show(
    self,
    props: Sequence[props_lib.Prop],
    bodies: Mapping[str, protocol.Body],
    blocks: Sequence[Block],
  ) -> list[int]:
    """Shows exactly these props and blocks.

    Args:
      props: at most prop_pool.SLOTS.
      bodies: the pose of each prop by its name.
      blocks: at most BLOCKS.

    Returns:
      Indices of the meshes that have changed, which the renderer must refresh.
    """
    model, data = self.model, self.data
    changed = self._pool.show(data, props, bodies)
    for i, geom in enumerate(self._blocks):
      model.geom_group[geom] = _VISIBLE if i < len(blocks) else _HIDDEN
      if i < len(blocks):
        block = blocks[i]
        mocap = model.body_mocapid[model.geom_bodyid[geom]]
        model.geom_size[geom] = block.half_m
        model.geom_rbound[geom] = np.linalg.norm(block.half_m)
        model.geom_matid[geom] = model.material(_material(block.material)).id
        data.mocap_pos[mocap] = block.position_m
        data.mocap_quat[mocap] = block.quaternion
    mujoco.mj_forward(model, data)
    return changed


def _add_blocks(spec: mujoco.MjSpec) -> None:
  """Adds the pool of blocks and their materials to a specification."""
  for name, (*_, tile_m, shine) in _LOOKS.items():
    material = {'specular': shine, 'shininess': shine, 'texuniform': True}
    repeat = (1 / tile_m, 1 / tile_m)
    meshes.add_material(
      spec, _material(name), _texture(name), texrepeat=repeat, **material
    )
  for i in range(BLOCKS):
    body = spec.worldbody.add_body(name=_slot(i), mocap=True)
    body.add_geom(
      name=_slot(i),
      type=mujoco.mjtGeom.mjGEOM_BOX,
      size=(0.1, 0.1, 0.1),
      material=_material('wood'),
      contype=0,
      conaffinity=0,
    )


@functools.cache
def _texture(name: str) -> np.ndarray:
  """Returns the texture of a material of blocks, uint8 [H, W, 3]."""
  source, texture, color, contrast, *_ = _LOOKS[name]
  texture_HW3 = decor.tinted(decor.texture(source, texture), color, contrast)
  return (texture_HW3 * 255).round().astype(np.uint8)


def _material(name: str) -> str:
  return f'block {name}'


def _slot(i: int) -> str:
  return f'block{i}'
