"""A kitchen counter along a wall, with arms and objects on it.

The top of the counter is z = 0 and the centre of its free area is the origin.
Seen by the camera 'front', x points right and y away. One model serves all
kitchens; they differ in the materials and colours of its parts, and in which
furnishings are visible.
"""

from collections.abc import Sequence
import dataclasses

import mujoco
import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.kitchen import arms, furnishings, objects

Color = tuple[float, float, float, float]

ARMS: dict[str, arms.Arm] = {
  'left': arms.Arm('left', (-0.52, 0.04, 0.0), 0.0),
  'right': arms.Arm('right', (0.52, 0.04, 0.0), 180.0),
}
PARKED_M = (0.0, 9.0, 5.0)  # Position of objects that are not in the scene.

_VISIBLE, _HIDDEN = 1, 4  # Groups of geoms.
# Edges of the counter in y, and half its width.
_FRONT_M, _BACK_M, _HALF_M = -0.36, 0.62, 1.3

# Material -> source, path and texrepeat of the texture.
_TEXTURES = {
  'pine': ('libero', 'textures/table_light_wood.png', 2),
  'marble': ('libero', 'textures/white_marble_floor.png', 2),
  'slate': ('libero', 'textures/dark_gray_plaster.png', 2),
  'oak': ('robosuite', 'textures/wood-varnished-panels.png', 3),
  'brick': ('robosuite', 'textures/white-bricks.png', 3),
  'stone': ('libero', 'textures/brown_ceramic_tile.png', 5),
  'linen': ('libero', 'textures/light_gray_plaster.png', 2),
  'grain': ('robosuite', 'textures/gray-woodgrain.png', 2),
}


@dataclasses.dataclass(frozen=True)
class Style:
  """The materials and furnishings of one kitchen.

  Attributes:
    counter, wall: materials of _TEXTURES, or 'tile'.
    counter_rgba, wall_rgba, cabinet_rgba: their tints.
    furnishings: the visible ones of furnishings.FURNISHINGS.
  """

  counter: str
  wall: str
  counter_rgba: Color
  wall_rgba: Color
  cabinet_rgba: Color
  furnishings: tuple[str, ...]


STYLES: dict[str, Style] = {
  'scandinavian': Style(
    'pine', 'tile', (1, 1, 1, 1), (0.92, 0.93, 0.92, 1), (0.93, 0.93, 0.9, 1),
    ('microwave', 'jars', 'hood'),
  ),
  'farmhouse': Style(
    'marble', 'brick', (1, 1, 1, 1), (1, 0.98, 0.95, 1), (0.52, 0.62, 0.52, 1),
    ('stove', 'utensils', 'shelf'),
  ),
  'modern': Style(
    'slate', 'tile', (0.9, 0.9, 0.95, 1), (0.62, 0.74, 0.80, 1),
    (0.16, 0.22, 0.33, 1), ('window', 'faucet', 'jars'),
  ),
  'rustic': Style(
    'oak', 'stone', (0.85, 0.8, 0.75, 1), (1.0, 0.97, 0.92, 1),
    (0.62, 0.43, 0.27, 1), ('stove', 'boards', 'microwave'),
  ),
}  # fmt: skip


def build(arm_names: Sequence[str], kinds: Sequence[str]) -> mujoco.MjModel:
  """Compiles a kitchen.

  Args:
    arm_names: keys of ARMS, which stand on the counter.
    kinds: keys of objects.KINDS; the model gets one object of each.
  """
  model = mujoco.MjSpec()
  _set_options(model)
  _add_lights(model)
  _add_materials(model)
  _add_room(model)
  for name, add in furnishings.FURNISHINGS.items():
    add(furnishings.Parts(model, name))
  for kind in kinds:
    objects.add_object(model, kind)
  for name in arm_names:
    _add_arm(model, ARMS[name])
  return model.compile()


def set_style(model: mujoco.MjModel, style: Style) -> None:
  """Sets the materials, colours and visible furnishings of a kitchen."""
  surfaces = {
    'counter': (style.counter, style.counter_rgba),
    'wall': (style.wall, style.wall_rgba),
    'cabinet': ('paint', style.cabinet_rgba),
  }
  for geom in range(model.ngeom):
    part = model.geom(geom).name.partition(':')[0]
    if part in surfaces:
      material, rgba = surfaces[part]
      model.geom_matid[geom] = model.material(material).id
      model.geom_rgba[geom] = rgba
    elif part in furnishings.FURNISHINGS:
      visible = part in style.furnishings
      model.geom_group[geom] = _VISIBLE if visible else _HIDDEN


def set_color(
  model: mujoco.MjModel, kind: str, rgb: tuple[float, float, float]
) -> None:
  """Sets the colour of an object."""
  for geom in range(model.ngeom):
    if model.geom(geom).name.startswith(objects.colored_prefix(kind)):
      model.geom_rgba[geom] = (*rgb, 1.0)


def _set_options(model: mujoco.MjSpec) -> None:
  option = model.option
  option.timestep = 0.002
  option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
  option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
  option.impratio = 10
  option.noslip_iterations = 4  # A held object must not slip slowly.
  model.visual.map.znear, model.visual.map.zfar = 0.01, 20.0
  model.stat.extent, model.stat.center = 1.5, (0.0, 0.0, 0.2)


def _add_lights(model: mujoco.MjSpec) -> None:
  light = model.visual.headlight
  light.ambient, light.diffuse = (0.32,) * 3, (0.16,) * 3
  light.specular = (0.05,) * 3
  model.worldbody.add_light(
    type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    pos=(-0.7, -1.0, 2.2),
    dir=(0.35, 0.55, -1.0),
    diffuse=(0.55, 0.53, 0.50),
    specular=(0.2,) * 3,
    castshadow=True,
  )
  model.worldbody.add_light(
    type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    pos=(1, -1, 2),
    dir=(-0.6, 0.5, -0.6),
    diffuse=(0.16, 0.17, 0.19),
    specular=(0, 0, 0),
    castshadow=False,
  )


def _add_materials(model: mujoco.MjSpec) -> None:
  for name, (source, path, repeat) in _TEXTURES.items():
    file = str(assets.folder(source) / path)
    model.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=file)
    _add_material(model, name, repeat)
  model.add_texture(
    name='tile',
    type=mujoco.mjtTexture.mjTEXTURE_2D,
    width=128,
    height=64,
    builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
    rgb1=(1, 1, 1),
    mark=mujoco.mjtMark.mjMARK_EDGE,
    markrgb=(0.62, 0.62, 0.6),
  )
  tile = _add_material(model, 'tile', 1)
  tile.texrepeat, tile.specular, tile.shininess = (7.0, 14.0), 0.3, 0.5
  model.add_material(name='paint', specular=0.15, shininess=0.2)
  model.add_material(name='glaze', specular=0.35, shininess=0.5)


def _add_material(
  model: mujoco.MjSpec, name: str, repeat: float
) -> mujoco.MjsMaterial:
  """Adds a material that shows the texture of the same name."""
  material = model.add_material(
    name=name,
    texrepeat=(repeat, repeat),
    texuniform=True,
    specular=0.1,
    shininess=0.1,
  )
  material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
  return material


def _add_room(model: mujoco.MjSpec) -> None:
  # A plane, because cylinders creep on a box.
  model.worldbody.add_geom(
    name='table',
    type=mujoco.mjtGeom.mjGEOM_PLANE,
    size=(1, 1, 1),
    group=3,
    friction=(0.35, 0.005, 1e-4),
    condim=3,
    solref=(0.008, 1.0),
  )
  furnishings.Parts(model, 'counter').box(
    (-_HALF_M, _FRONT_M, -0.04), (_HALF_M, _BACK_M, 0.0)
  )
  # Rotated, because a 2D texture is projected onto the x-y plane of a box.
  furnishings.Parts(model, 'wall').add(
    furnishings.BOX,
    (0, _BACK_M + 0.02, 0.45),
    (2.5, 1.35, 0.02),
    quat=(0.7071068, 0.7071068, 0, 0),
  )
  floor = furnishings.Parts(model, 'floor')
  floor.box((-3, -3, -0.93), (3, 1, -0.9), (0.8, 0.75, 0.7, 1), 'grain')
  _add_cabinets(model)


def _add_cabinets(model: mujoco.MjSpec) -> None:
  cabinet, trim = (
    furnishings.Parts(model, 'cabinet'),
    furnishings.Parts(model, 'trim'),
  )
  cabinet.box((-_HALF_M, _FRONT_M + 0.03, -0.9), (_HALF_M, _BACK_M, -0.04))
  cabinet.box((-_HALF_M, 0.34, 0.60), (_HALF_M, _BACK_M, 1.25))
  for i in range(5):
    low, high = -_HALF_M + 0.52 * i + 0.01, -_HALF_M + 0.52 * (i + 1) - 0.01
    for y, z0, z1 in ((_FRONT_M + 0.03, -0.85, -0.06), (0.34, 0.61, 1.24)):
      cabinet.box((low, y - 0.012, z0), (high, y, z1))
      cabinet.box(
        (low + 0.06, y - 0.018, z0 + 0.06), (high - 0.06, y, z1 - 0.06)
      )
    x = high - 0.04
    steel = objects.STEEL
    trim.tube(
      (x, _FRONT_M - 0.01, -0.25), (x, _FRONT_M - 0.01, -0.12), 6e-3, steel
    )
    trim.tube((x, 0.305, 0.64), (x, 0.305, 0.74), 6e-3, steel)
  trim.box(
    (-_HALF_M, _BACK_M - 0.012, 0),
    (_HALF_M, _BACK_M, 0.03),
    (0.85, 0.84, 0.82, 1),
  )


def _add_arm(model: mujoco.MjSpec, arm: arms.Arm) -> None:
  half = np.radians(arm.yaw_deg) / 2
  frame = model.worldbody.add_frame(
    pos=arm.base_m, quat=(np.cos(half), 0, 0, np.sin(half))
  )
  frame.attach_body(arms.specification().body('base'), arm.prefix, '')
  arms.add_motors(model, arm.prefix)
