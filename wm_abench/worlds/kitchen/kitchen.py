"""A kitchen counter along a tiled wall, with arms and wares on it.

The counter's top is at z = 0 and the free area's middle at the origin; x is to
the right and y is away for one who looks from the front. One model serves all
kitchens: what differs is which materials and colours its parts have and which
of its furnishings are in a group that is seen.
"""

from collections.abc import Sequence
import dataclasses
import itertools

import mujoco
import numpy as np

from wm_abench.worlds import assets
from wm_abench.worlds.kitchen import arms, objects

Color = tuple[float, float, float, float]

ARMS: dict[str, arms.Arm] = {
  'left': arms.Arm('left', (-0.52, 0.04, 0.0), 0.0),
  'right': arms.Arm('right', (0.52, 0.04, 0.0), 180.0),
}
PARKED_M = (0.0, 9.0, 5.0)  # Where wares wait that a scene does not have.

_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID
_HIDDEN = 4
_FRONT_M, _BACK_M, _HALF_M = -0.36, 0.62, 1.3  # The counter's edges.

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
  """A kitchen's materials and furnishings.

  Attributes:
    counter, wall: materials of _TEXTURES, or 'tile'.
    counter_rgba, wall_rgba, cabinet_rgba: what they are tinted with.
    furnishings: groups of parts on the counter and the wall that are seen.
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


def build(who: Sequence[str], kinds: Sequence[str]) -> mujoco.MjModel:
  """Compiles a kitchen.

  Args:
    who: of ARMS, which stand on the counter.
    kinds: of objects.KINDS, one ware each.
  """
  model = mujoco.MjSpec()
  _settle(model)
  _materials(model)
  _room(model)
  for name, furnish in _FURNISHINGS.items():
    furnish(_Set(model, name))
  for kind in kinds:
    objects.add(model, kind)
  for name in who:
    _stand(model, ARMS[name])
  return model.compile()


def dress(model: mujoco.MjModel, style: Style) -> None:
  """Gives a compiled kitchen the looks of a style."""
  dyes = {
    'counter': (style.counter, style.counter_rgba),
    'wall': (style.wall, style.wall_rgba),
    'cabinet': ('paint', style.cabinet_rgba),
  }
  for geom in range(model.ngeom):
    part = model.geom(geom).name.partition(':')[0]
    if part in dyes:
      material, rgba = dyes[part]
      model.geom_matid[geom] = model.material(material).id
      model.geom_rgba[geom] = rgba
    elif part in _FURNISHINGS:
      seen = part in style.furnishings
      model.geom_group[geom] = 1 if seen else _HIDDEN


def paint(
  model: mujoco.MjModel, kind: str, rgb: tuple[float, float, float]
) -> None:
  """Paints a ware of a compiled kitchen."""
  for geom in range(model.ngeom):
    if model.geom(geom).name.startswith(objects.painted(kind)):
      model.geom_rgba[geom] = (*rgb, 1.0)


def _settle(model: mujoco.MjSpec) -> None:
  option = model.option
  option.timestep = 0.002
  option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
  option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
  option.impratio = 10
  option.noslip_iterations = 4  # What is held must not creep.
  light = model.visual.headlight
  light.ambient, light.diffuse = (0.32,) * 3, (0.16,) * 3
  light.specular = (0.05,) * 3
  model.visual.map.znear, model.visual.map.zfar = 0.01, 20.0
  model.stat.extent, model.stat.center = 1.5, (0.0, 0.0, 0.2)
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


def _materials(model: mujoco.MjSpec) -> None:
  for name, (source, path, repeat) in _TEXTURES.items():
    file = str(assets.folder(source) / path)
    model.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=file)
    _material(model, name, repeat)
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
  tile = _material(model, 'tile', 1)
  tile.texrepeat, tile.specular, tile.shininess = (7.0, 14.0), 0.3, 0.5
  model.add_material(name='paint', specular=0.15, shininess=0.2)
  model.add_material(name='glaze', specular=0.35, shininess=0.5)


def _material(model, name, repeat):
  material = model.add_material(
    name=name,
    texrepeat=(repeat, repeat),
    texuniform=True,
    specular=0.1,
    shininess=0.1,
  )
  material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
  return material


class _Set:
  """Adds parts that are only seen, all of one name."""

  def __init__(self, model: mujoco.MjSpec, name: str):
    self._world, self._name = model.worldbody, name

  def add(self, shape, pos, size, rgba=None, material='paint', **more) -> None:
    count = len(self._world.geoms)
    self._world.add_geom(
      name=f'{self._name}:{count}',
      type=shape,
      pos=pos,
      size=size,
      group=1,
      rgba=rgba or (1, 1, 1, 1),
      material=material,
      contype=0,
      conaffinity=0,
      **more,
    )

  def box(self, low, high, rgba=None, material='paint') -> None:
    """A box given by two corners."""
    low, high = np.array(low), np.array(high)
    self.add(_BOX, (low + high) / 2, (high - low) / 2, rgba, material)

  def tube(self, a, b, radius_m, rgba, shape=_CYLINDER) -> None:
    """A round bar from one point to another."""
    self.add(shape, (0, 0, 0), (radius_m, 0, 0), rgba, fromto=(*a, *b))


def _room(model: mujoco.MjSpec) -> None:
  # A plane, for cylinders creep on a box.
  model.worldbody.add_geom(
    name='table',
    type=mujoco.mjtGeom.mjGEOM_PLANE,
    size=(1, 1, 1),
    group=3,
    friction=(0.35, 0.005, 1e-4),
    condim=3,
    solref=(0.008, 1.0),
  )
  _Set(model, 'counter').box(
    (-_HALF_M, _FRONT_M, -0.04), (_HALF_M, _BACK_M, 0.0)
  )
  # On its face, for a flat texture lies in a box's own x and y.
  _Set(model, 'wall').add(
    _BOX,
    (0, _BACK_M + 0.02, 0.45),
    (2.5, 1.35, 0.02),
    quat=(0.7071068, 0.7071068, 0, 0),
  )
  floor = _Set(model, 'floor')
  floor.box((-3, -3, -0.93), (3, 1, -0.9), (0.8, 0.75, 0.7, 1), 'grain')
  _cabinets(model)


def _cabinets(model: mujoco.MjSpec) -> None:
  cabinet, trim = _Set(model, 'cabinet'), _Set(model, 'trim')
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


def _microwave(s: _Set) -> None:
  s.box((0.20, 0.36, 0.012), (0.66, 0.60, 0.25), (0.80, 0.81, 0.82, 1))
  s.box((0.22, 0.352, 0.03), (0.53, 0.36, 0.235), objects.DARK)
  s.box((0.245, 0.350, 0.06), (0.505, 0.36, 0.205), (0.22, 0.24, 0.27, 1))
  s.box((0.55, 0.352, 0.03), (0.645, 0.36, 0.235), (0.25, 0.26, 0.27, 1))
  s.box((0.565, 0.350, 0.19), (0.63, 0.36, 0.22), (0.15, 0.55, 0.45, 1))
  for i in range(6):
    x, z = 0.575 + 0.03 * (i % 2), 0.06 + 0.04 * (i // 2)
    s.box((x, 0.350, z), (x + 0.02, 0.36, z + 0.025), (0.7, 0.7, 0.7, 1))
  s.tube((0.538, 0.335, 0.05), (0.538, 0.335, 0.215), 6e-3, objects.STEEL)


def _jars(s: _Set) -> None:
  for i, rgba in enumerate(
    ((0.82, 0.62, 0.38, 1), (0.45, 0.26, 0.14, 1), (0.9, 0.85, 0.72, 1))
  ):
    x, h = -0.30 + 0.13 * i, 0.16 - 0.025 * i
    s.tube((x, 0.52, 0), (x, 0.52, h), 0.045, rgba)
    s.tube((x, 0.52, h), (x, 0.52, h + 0.018), 0.047, (0.60, 0.44, 0.28, 1))


def _hood(s: _Set) -> None:
  s.tube((-0.42, 0.595, 0.47), (0.42, 0.595, 0.47), 6e-3, objects.STEEL)
  for i, length in enumerate((0.13, 0.16, 0.11, 0.15)):
    x = -0.30 + 0.17 * i
    s.tube((x, 0.59, 0.47), (x, 0.59, 0.47 - length), 4e-3, objects.STEEL)
    s.add(
      _ELLIPSOID, (x, 0.59, 0.46 - length), (0.028, 0.008, 0.035), objects.STEEL
    )


def _stove(s: _Set) -> None:
  s.box((-0.32, 0.33, 0), (0.22, 0.60, 0.008), (0.13, 0.13, 0.14, 1))
  for x in (-0.18, 0.08):
    s.tube((x, 0.47, 0.008), (x, 0.47, 0.014), 0.085, (0.05, 0.05, 0.05, 1))
    s.tube((x, 0.47, 0.014), (x, 0.47, 0.016), 0.055, (0.35, 0.12, 0.1, 1))
  pot = (0.62, 0.63, 0.65, 1)
  s.tube((0.08, 0.47, 0.016), (0.08, 0.47, 0.13), 0.085, pot)
  s.tube((0.08, 0.47, 0.13), (0.08, 0.47, 0.138), 0.089, objects.STEEL)
  s.add(_ELLIPSOID, (0.08, 0.47, 0.138), (0.08, 0.08, 0.022), pot)
  s.add(_ELLIPSOID, (0.08, 0.47, 0.17), (0.016, 0.016, 0.014), objects.DARK)
  for side in (-1, 1):
    x = 0.08 + side * 0.1
    s.box((x - 0.018, 0.455, 0.10), (x + 0.018, 0.485, 0.112), objects.DARK)


def _utensils(s: _Set) -> None:
  s.tube((0.42, 0.50, 0), (0.42, 0.50, 0.15), 0.06, (0.85, 0.82, 0.76, 1))
  wood = (0.66, 0.46, 0.27, 1)
  for dx, dy, rgba in (
    (-0.04, 0.01, wood),
    (0.03, 0.02, wood),
    (0.0, -0.02, objects.STEEL),
  ):
    top = (0.42 + 1.6 * dx, 0.50 + dy, 0.30)
    s.tube((0.42 + dx * 0.5, 0.50 + dy, 0.1), top, 5e-3, rgba)
    s.add(_ELLIPSOID, top, (0.024, 0.008, 0.035), rgba)


def _shelf(s: _Set) -> None:
  s.box((-0.45, 0.48, 0.37), (0.45, 0.62, 0.392), (0.58, 0.41, 0.25, 1))
  for i in range(7):
    x = -0.38 + 0.125 * i
    h = (0.10, 0.07, 0.12)[i % 3]
    rgba = ((0.9, 0.88, 0.84, 1), (0.55, 0.66, 0.72, 1), (0.8, 0.7, 0.5, 1))
    s.tube((x, 0.55, 0.392), (x, 0.55, 0.392 + h), 0.038, rgba[i % 3])


def _window(s: _Set) -> None:
  s.box((-0.45, 0.60, 0.19), (0.25, 0.62, 0.62), (0.95, 0.95, 0.95, 1))
  for x0, x1 in ((-0.42, -0.115), (-0.085, 0.22)):
    s.box((x0, 0.595, 0.22), (x1, 0.61, 0.60), (0.66, 0.83, 0.96, 1))
    s.box((x0, 0.594, 0.22), (x1, 0.61, 0.31), (0.45, 0.62, 0.38, 1))
  s.box((-0.47, 0.56, 0.175), (0.27, 0.62, 0.195), (0.95, 0.95, 0.95, 1))


def _faucet(s: _Set) -> None:
  s.box((-0.34, 0.35, 0), (0.14, 0.58, 0.004), objects.STEEL)
  s.box((-0.31, 0.37, 0), (0.11, 0.54, 0.006), (0.30, 0.31, 0.33, 1))
  capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
  path = [(0, 0), (0, 0.20), (-0.03, 0.245), (-0.09, 0.25), (-0.12, 0.21)]
  for (y0, z0), (y1, z1) in itertools.pairwise(path):
    s.tube(
      (-0.1, 0.565 + y0, z0),
      (-0.1, 0.565 + y1, z1),
      0.013,
      (0.85, 0.86, 0.88, 1),
      capsule,
    )
  s.tube((-0.03, 0.565, 0), (-0.03, 0.565, 0.07), 0.014, objects.STEEL)


def _boards(s: _Set) -> None:
  for i, (w, h, rgba) in enumerate(
    ((0.22, 0.30, (0.72, 0.52, 0.32, 1)), (0.17, 0.22, (0.50, 0.33, 0.2, 1)))
  ):
    x, y = -0.42 - 0.06 * i, 0.59 - 0.03 * i
    s.box((x - w / 2, y, 0), (x + w / 2, y + 0.02, h), rgba)


_FURNISHINGS = {
  'microwave': _microwave,
  'jars': _jars,
  'hood': _hood,
  'stove': _stove,
  'utensils': _utensils,
  'shelf': _shelf,
  'window': _window,
  'faucet': _faucet,
  'boards': _boards,
}


def _stand(model: mujoco.MjSpec, arm: arms.Arm) -> None:
  half = np.radians(arm.yaw_deg) / 2
  frame = model.worldbody.add_frame(
    pos=arm.base_m, quat=(np.cos(half), 0, 0, np.sin(half))
  )
  frame.attach_body(arms.spec().body('base'), arm.prefix, '')
  arms.actuate(model, arm.prefix)
