"""MuJoCo models of homes: rooms, trim, furniture and surroundings.

Everything of one material is one mesh. Walls, floors and ceilings have separate
textures that contain the light of the day or of the evening.
"""

import collections
from collections.abc import Iterator
import dataclasses
import functools

import mujoco
import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.homes import (
  baking,
  catalog,
  decor,
  joinery,
  layout,
  styles,
  walls,
)

LIGHTS = ('day', 'evening')
_TEXELS_PER_M = 64  # Resolution of the textures of walls and floors.
_OUTSIDE_M = 30.0  # Radius of the ring that shows the surroundings.

_SLENDER = ('plant', 'floor_lamp')  # These cast no shadow on the wall.
# Light -> ambient and diffuse light of the headlight, and the diffuse light of
# both directional lights.
_LEVELS = {
  'day': ((0.56, 0.56, 0.56), 0.1, (0.36, 0.35, 0.33), (0.16, 0.17, 0.18)),
  'evening': ((0.46, 0.38, 0.29), 0.1, (0.36, 0.3, 0.22), (0.12, 0.1, 0.08)),
}


@dataclasses.dataclass(frozen=True)
class Interior:
  """The model of a home.

  Attributes:
    model: a static model.
    baked: the materials by light of each geom whose textures contain light.
  """

  model: mujoco.MjModel
  baked: dict[int, dict[str, int]]


def set_light(interior: Interior, light: str) -> None:
  """Sets the lights and textures of a model to one of LIGHTS."""
  model = interior.model
  ambient, diffuse, key, fill = _LEVELS[light]
  model.vis.headlight.ambient[:] = ambient
  model.vis.headlight.diffuse[:] = np.array(ambient) / max(ambient) * diffuse
  model.light_diffuse[:] = key, fill
  for geom, materials in interior.baked.items():
    model.geom_matid[geom] = materials[light]


def build(home: layout.Home) -> Interior:
  """Compiles the model of a home, which takes a second or two."""
  spec = _spec()
  style = styles.draw(home.seed)
  unbaked: dict[str, list[meshes.Mesh]] = collections.defaultdict(list)
  for part in _unbaked_parts(home):
    unbaked[part.material].append(part.mesh)
  for name, parts in unbaked.items():
    finish = style.finishes[name]
    mesh = meshes.join(parts)
    scaled = dataclasses.replace(mesh, uvs_V2=mesh.uvs_V2 / finish.tile_m)
    _add(spec, name, scaled, name)
    _paint(spec, name, finish.picture_HW3, finish.shine, finish.emission)
  names = []
  for i in range(len(home.rooms)):
    names += _room(spec, home, i, style)
  names.append(_outside(spec, home))
  model = spec.compile()
  baked = {
    model.geom(name).id: {
      light: model.material(f'{name}/{light}').id for light in LIGHTS
    }
    for name in names
  }
  return Interior(model, baked)


def _spec() -> mujoco.MjSpec:
  spec = mujoco.MjSpec()
  spec.stat.extent, spec.visual.map.znear, spec.visual.map.zfar = 10, 0.005, 10
  spec.visual.headlight.specular = [0.1] * 3
  directional = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
  for direction in ((0.35, 0.5, -0.8), (-0.6, -0.35, -0.2)):
    spec.worldbody.add_light(
      dir=direction,
      type=directional,
      castshadow=False,
      ambient=[0] * 3,
      specular=[0.1] * 3,
    )
  return spec


def _paint(spec, name, picture_HW3, shine=0.0, emission=0.0) -> None:
  pixels = (np.clip(picture_HW3, 0, 1) * 255).round().astype(np.uint8)
  meshes.add_material(
    spec, name, pixels, specular=shine, shininess=shine, emission=emission
  )


def _add(spec, name: str, mesh: meshes.Mesh, material: str) -> None:
  meshes.add_mesh(spec, name, mesh)
  spec.worldbody.add_geom(
    name=name,
    type=mujoco.mjtGeom.mjGEOM_MESH,
    meshname=name,
    material=material,
    contype=0,
    conaffinity=0,
  )


def _unbaked_parts(home: layout.Home) -> Iterator[joinery.Part]:
  """Yields the parts whose textures contain no light."""
  for placed in home.furniture:
    parts = placed.piece.parts
    yield from joinery.moved(parts, placed.x_m, placed.y_m, 0, placed.yaw_deg)
  for door in home.doors:
    yield from walls.door_frame(door)
  for window in home.windows:
    yield from walls.window_frame(window)
  for room in home.rooms:
    x0, y0, x1, y1 = room.ground
    lamp = [(0.0, -0.16), (0.2, -0.1), (0.24, 0.0)]
    middle = ((x0 + x1) / 2, (y0 + y1) / 2, layout.HEIGHT_M)
    yield joinery.turned('lampshade', lamp, 20).moved(*middle)
    for side in range(4):
      yield from walls.curtains(home, room, side)


def _room(spec, home: layout.Home, i: int, style) -> list[str]:
  """Adds the floor, ceiling and walls of a room; returns the geoms' names."""
  room, names = home.rooms[i], []
  x0, y0, x1, y1 = room.ground
  wide, deep = x1 - x0, y1 - y0
  u, v = _texels(wide, deep)
  shadow_HW = _floor_shadow(home, i, u, v)
  for name, z, up in (('floor', 0.0, 1), ('ceiling', layout.HEIGHT_M, -1)):
    points = np.stack([x0 + u * wide, y0 + v * deep, 0 * u + z], -1)
    shadow = shadow_HW if up > 0 else 0 * shadow_HW
    surface = baking.Surface(points, (0, 0, up), shadow)
    part = joinery.mat(name, x0, y0, x1, y1, z)
    mesh = part.mesh if up > 0 else meshes.inside_out(part.mesh)
    painted = style.floor(room.kind, i, points) if up > 0 else 0 * points + 0.93
    names.append(_baked(spec, f'{name}{i}', mesh, painted, home, i, surface))
  for side in range(4):
    names.append(_wall(spec, home, i, side, style))
  return names


def _wall(spec, home: layout.Home, i: int, side: int, style) -> str:
  room = home.rooms[i]
  wall = walls.wall_of(home, room, side)
  length, high = wall.length_m, layout.HEIGHT_M
  u, v = _texels(length, high)
  across, up = length / 2 - u * length, v * high
  turn = np.radians(wall.yaw_deg)
  points = np.stack(
    [
      wall.x_m + across * np.cos(turn),
      wall.y_m + across * np.sin(turn),
      up,
    ],
    -1,
  )
  normal = (-round(np.sin(turn)), round(np.cos(turn)), 0)
  shadow = _wall_shadow(home, i, wall, across, up)
  surface = baking.Surface(points, normal, shadow)
  painted = style.wall(room.kind, i, side, across, up)
  patches = [
    joinery.sheet(
      '',
      a,
      b,
      z0,
      z1,
      0.0,
      (0.5 - b / length, z0 / high, 0.5 - a / length, z1 / high),
    )
    for a, b, z0, z1 in walls.patches(wall)
  ]
  mesh = meshes.join(part.mesh for part in wall.put(patches))
  return _baked(spec, f'wall{i}/{side}', mesh, painted, home, i, surface)


def _baked(spec, name, mesh, painted, home, i, surface) -> str:
  """Adds a geom with one texture per light; returns its name."""
  for light in LIGHTS:
    shade = baking.light(home, i, surface, light == 'evening')
    # Row 0 of a picture is its top; row 0 of a surface is at v = 0.
    picture = (painted * shade)[::-1]
    _paint(spec, f'{name}/{light}', picture, emission=0.46)
  _add(spec, name, mesh, f'{name}/{LIGHTS[0]}')
  return name


def _texels(wide_m: float, high_m: float) -> tuple[np.ndarray, np.ndarray]:
  """Returns the texture coordinates u and v of a surface's texels [H, W]."""
  wide, high = (int(np.ceil(m * _TEXELS_PER_M)) for m in (wide_m, high_m))
  return np.meshgrid(
    (np.arange(wide) + 0.5) / wide, (np.arange(high) + 0.5) / high
  )


def _floor_shadow(home, i: int, u, v) -> np.ndarray:
  x0, y0, x1, y1 = home.rooms[i].ground
  x, y = x0 + u * (x1 - x0), y0 + v * (y1 - y0)
  under = np.zeros_like(u)
  for placed in home.furniture:
    if placed.room == i:
      for a, b, c, d in placed.solids():
        under[(a < x) & (x < c) & (b < y) & (y < d)] = 1.0
  return decor.blurred(under, 0.1 * _TEXELS_PER_M)


def _wall_shadow(home, i: int, wall: walls.Wall, across, up) -> np.ndarray:
  """Returns the shadow [H, W] of the furniture at a wall, in [0, 1]."""
  behind = np.zeros_like(up)
  for placed in home.furniture:
    if placed.room != i or placed.yaw_deg != wall.yaw_deg:
      continue
    if placed.piece.kind in _SLENDER:
      continue
    offset = (placed.x_m - wall.x_m, placed.y_m - wall.y_m)
    turn = np.radians(wall.yaw_deg)
    depth = -offset[0] * np.sin(turn) + offset[1] * np.cos(turn)
    x = offset[0] * np.cos(turn) + offset[1] * np.sin(turn)
    if depth > 0.1:
      continue
    hangs = not placed.piece.solids
    half, top = placed.piece.width_m / 2, placed.piece.height_m
    bottom = 2 * 1.55 - top - 0.05 if hangs else 0.0
    inside = (np.abs(across - x) < half) & (bottom < up) & (up < top)
    behind[inside] = 0.6 if hangs else 0.8
  return decor.blurred(behind, 0.07 * _TEXELS_PER_M)


def _outside(spec, home: layout.Home) -> str:
  """Adds a ring that shows the surroundings; returns its geom's name."""
  x, y = np.max([room.ground[2:] for room in home.rooms], axis=0) / 2
  angles = np.linspace(0, 2 * np.pi, 49)
  ring = np.stack([np.cos(angles), np.sin(angles)], -1) * _OUTSIDE_M + [x, y]
  faces, uvs = [], []
  for k in range(48):
    (ax, ay), (bx, by) = ring[k + 1], ring[k]
    z0, z1 = -6.0, 16.0
    faces.append([(ax, ay, z0), (bx, by, z0), (bx, by, z1), (ax, ay, z1)])
    u0, u1 = 1 - (k + 1) / 48, 1 - k / 48
    uvs.append([(u0, 0), (u1, 0), (u1, 1), (u0, 1)])
  mesh = meshes.quads(np.array(faces), np.array(uvs))
  for light in LIGHTS:
    rng = np.random.default_rng([home.seed, 2])
    picture = decor.panorama(rng, light == 'evening')
    _paint(spec, f'outside/{light}', picture, emission=0.75)
  _add(spec, 'outside', mesh, 'outside/day')
  return 'outside'


@functools.lru_cache(maxsize=6)
def interior(name: str) -> Interior:
  """Returns the model of one of catalog.NAMES."""
  return build(catalog.home(name))
