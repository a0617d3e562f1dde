"""The MuJoCo model of a town, built after a district, and the cars in it.

Static parts of one material are one mesh. Cars are mocap bodies from a pool
with equally many of each kind; a scene places some of them, and the others are
hidden.
"""

import collections
import dataclasses

import mujoco
import numpy as np

from wm_abench.worlds import meshes
from wm_abench.worlds.street import (
  buildings,
  cars,
  districts,
  facades,
  lanes,
  roadside,
  weather,
)

DISTRICTS = districts.DISTRICTS
CARS_PER_KIND = 7
# Name of a car's paint -> RGB in [0, 1].
PAINTS: dict[str, tuple[float, float, float]] = {
  'white': (0.86, 0.86, 0.85),
  'silver': (0.58, 0.60, 0.62),
  'black': (0.06, 0.06, 0.07),
  'red': (0.62, 0.05, 0.05),
  'blue': (0.07, 0.16, 0.46),
  'green': (0.08, 0.27, 0.16),
  'yellow': (0.85, 0.66, 0.06),
}

# Cars are hidden if they are farther away than _VISIBLE_M, or if they are
# farther away than _NEAR_M and outside a cone around the view.
_VISIBLE_M = 75.0
_CONE, _NEAR_M = np.cos(np.radians(58.0)), 12.0
_SHADE_M = 0.02  # Height of the shade below a car, above the lines on the road.
_PAVEMENT_M = 0.14


@dataclasses.dataclass(frozen=True)
class Standing:
  """A car at rest.

  Attributes:
    kind: one of cars.KINDS.
    color: one of PAINTS.
    x_m, y_m: the point midway between its axles.
    yaw_deg: its heading, anticlockwise from x.
  """

  kind: str
  color: str
  x_m: float
  y_m: float
  yaw_deg: float


@dataclasses.dataclass(frozen=True)
class Town:
  """A compiled town. Weather, light and cars are set in the model.

  Attributes:
    model, data: the model and its data in MuJoCo.
    day_night: the materials by day and by night of the geoms that have both.
  """

  model: mujoco.MjModel
  data: mujoco.MjData
  day_night: dict[int, tuple[int, int]]


def build(name: str) -> Town:
  """Builds the town of a district, the same town every time."""
  district = DISTRICTS[name]
  rng = np.random.default_rng([17, list(DISTRICTS).index(name)])
  spec = mujoco.MjSpec()
  _set_scales(spec)
  weather.add_to(spec)
  parts = _ground(district)
  for part in (buildings.plan(district, rng), roadside.plan(district, rng)):
    for material, pieces in part.items():
      parts[material] += pieces
  _add_materials(spec, district, rng)
  for material, pieces in sorted(parts.items()):
    meshes.add_mesh(spec, f'town/{material}', meshes.join(pieces))
    meshes.add_geom(spec.worldbody, f'town/{material}', material)
  _add_car_pool(spec)
  model = spec.compile()
  # MuJoCo blends a texture with alpha only if the geom is not quite opaque.
  for geom in range(model.ngeom):
    if model.geom(geom).name.endswith(('/shade', '/glow')):
      model.geom_rgba[geom] = (1, 1, 1, 0.99)
  day_night = {
    model.geom(f'town/{m}').id: (
      model.material(m).id,
      model.material(f'{m}/night').id,
    )
    for m in parts
    if m.startswith(('upper', 'ground', 'lamp'))
  }
  return Town(model, mujoco.MjData(model), day_night)


def _set_scales(spec: mujoco.MjSpec) -> None:
  """Sets the extent, and the clipping distances as shares of it."""
  spec.stat.extent, spec.stat.center = 50.0, (0.0, 0.0, 0.0)
  spec.visual.map.znear, spec.visual.map.zfar = 0.005, 10.0
  spec.visual.map.shadowclip = 0.9


def _ground(district: districts.District) -> dict[str, list[meshes.Mesh]]:
  """Returns pavements, kerbs, lawns and lines, by material."""
  parts = collections.defaultdict(list)
  half = lanes.BLOCK_M / 2 - lanes.KERB_M
  for x, y in ((x, y) for x in buildings.BLOCKS for y in buildings.BLOCKS):
    x, y = x * lanes.BLOCK_M, y * lanes.BLOCK_M
    edges = (x - half, y - half, x + half, y + half)
    parts['pavement'].append(meshes.patch(*edges, _PAVEMENT_M, 2.4))
    parts['kerb'].append(meshes.walls(*edges, 0.0, _PAVEMENT_M))
    if district.lawn:
      inner = half - (lanes.PLOT_M - lanes.KERB_M)
      edges = (x - inner, y - inner, x + inner, y + inner)
      parts['lawn'].append(meshes.patch(*edges, _PAVEMENT_M + 0.02, 4.0))
  parts['white'] += roadside.white_lines()
  parts['yellow'] += roadside.yellow_lines()
  return parts


def _add_materials(
  spec: mujoco.MjSpec, district: districts.District, rng: np.random.Generator
) -> None:
  """Adds the road and all materials; the order fixes the random textures."""
  _add_road(spec, rng)
  _add_ground_materials(spec, rng)
  meshes.add_material(
    spec, 'roof', facades.tiles(rng, district.roof), specular=0.05
  )
  _add_facades(spec, district, rng)
  for name, picture_HW3 in roadside.signs().items():
    meshes.add_material(spec, name, picture_HW3, specular=0.05, emission=0.1)
  glow_HW4 = facades.blot((255, 214, 150), 110, 0.0)
  meshes.add_material(spec, 'glow', glow_HW4, emission=1.0, specular=0.0)
  lamp_HW3 = np.full((4, 4, 3), (255, 232, 180), np.uint8)
  meshes.add_material(spec, 'lamp', lamp_HW3 // 2 + 90)
  meshes.add_material(spec, 'lamp/night', lamp_HW3, emission=1.0)


def _add_road(spec: mujoco.MjSpec, rng: np.random.Generator) -> None:
  dry_HW3 = facades.speckled(rng, (100, 100, 102), 256, -0.5, 6.0)
  wet_HW3 = facades.speckled(rng, (40, 42, 46), 256, -1.4, 7.0)
  tiling = {'texrepeat': (30, 30), 'specular': 0.1}
  meshes.add_material(spec, 'asphalt', dry_HW3, **tiling)
  meshes.add_material(spec, 'asphalt/wet', wet_HW3, reflectance=0.28, **tiling)
  spec.worldbody.add_geom(
    name='road',
    type=mujoco.mjtGeom.mjGEOM_PLANE,
    size=(130, 130, 1),
    material='asphalt',
    contype=0,
    conaffinity=0,
  )


def _add_ground_materials(
  spec: mujoco.MjSpec, rng: np.random.Generator
) -> None:
  paving_HW3 = facades.paving(rng, (166, 163, 156))
  meshes.add_material(spec, 'pavement', paving_HW3, specular=0.05)
  plain = {
    'kerb': (188, 186, 180),
    'white': (196, 196, 191),
    'yellow': (222, 172, 40),
    'trunk': (84, 66, 50),
    'post': (56, 62, 64),
    'metal': (150, 154, 158),
  }
  for name, rgb in plain.items():
    meshes.add_material(spec, name, facades.speckled(rng, rgb, 64, -0.4, 5.0))
  lawn_HW3 = facades.speckled(rng, (86, 122, 54), 256, -0.35, 16.0)
  meshes.add_material(spec, 'lawn', lawn_HW3, specular=0.0)
  for i, rgb in enumerate(roadside.LEAVES):
    leaves_HW3 = facades.speckled(rng, rgb, 128, -0.3, 24.0)
    meshes.add_material(spec, f'leaves_{i}', leaves_HW3, specular=0.0)


def _add_facades(
  spec: mujoco.MjSpec, district: districts.District, rng: np.random.Generator
) -> None:
  for i, style in enumerate(district.styles):
    for level, draw in (
      ('upper', facades.facade),
      ('ground', facades.street_level),
    ):
      day_HW3, night_HW3 = draw(style, rng)
      shine = 0.35 if style.pattern == 'glass' else 0.05
      meshes.add_material(spec, f'{level}_{i}', day_HW3, specular=shine)
      night = f'{level}_{i}/night'
      meshes.add_material(spec, night, night_HW3, emission=0.75, specular=0.0)


def lane_slots() -> list[tuple[float, float, float]]:
  """Returns x, y (m) and yaw (degrees) of possible cars on lanes."""
  slots = []
  for crossing in ((x, y) for x in lanes.CROSSINGS for y in lanes.CROSSINGS):
    for heading in range(4):
      for before_m in (-20.0, -12.0, 12.0, 20.0):
        pose = lanes.approach(crossing, heading, before_m)
        slots.append((pose.x_m, pose.y_m, 90.0 * heading))
  return slots


def kerb_slots() -> list[tuple[float, float, float]]:
  """Returns x, y (m) and yaw (degrees) of possible parked cars."""
  slots = []
  for crossing in ((x, y) for x in lanes.CROSSINGS for y in lanes.CROSSINGS):
    for heading in range(4):
      for before_m in (-21.3, -15.8, 15.8, 21.3):
        pose = lanes.approach(crossing, heading, before_m)
        right_m = pose.right_m + lanes.PARKED_M - lanes.LANE_M
        pose = lanes.pose_at(heading, pose.along_m, right_m)
        slots.append((pose.x_m, pose.y_m, 90.0 * heading))
  return slots


def _add_car_pool(spec: mujoco.MjSpec) -> None:
  meshes.add_material(
    spec, 'shade', facades.blot((8, 8, 10), 200, 0.6), specular=0.0
  )
  for kind in cars.KINDS:
    car = cars.load(kind)
    x_m, y_m = car.length_m / 2 + 0.25, car.width_m / 2 + 0.3
    shade = meshes.decal(-x_m, -y_m, x_m, y_m, _SHADE_M)
    meshes.add_mesh(spec, f'shade/{kind}', shade)
    meshes.add_material(spec, f'trim/{kind}', car.palette_PP3, specular=0.4)
    spec.add_material(name=f'paint/{kind}', specular=0.6, shininess=0.7)
    meshes.add_mesh(spec, f'trim/{kind}', car.trim)
    if len(car.paint.triangles_T3):
      meshes.add_mesh(spec, f'paint/{kind}', car.paint)
    for i in range(CARS_PER_KIND):
      body = spec.worldbody.add_body(name=f'{kind}/{i}', mocap=True)
      meshes.add_geom(body, f'trim/{kind}', f'trim/{kind}', f'{kind}/{i}/trim')
      meshes.add_geom(body, f'shade/{kind}', 'shade', f'{kind}/{i}/shade')
      if len(car.paint.triangles_T3):
        meshes.add_geom(
          body, f'paint/{kind}', f'paint/{kind}', f'{kind}/{i}/paint'
        )


def place_cars(
  town: Town, placed: tuple[Standing, ...], eye_3, ahead_3
) -> None:
  """Places the cars of a scene, and hides all others and those out of view.

  Args:
    town: is changed in place; the caller runs mj_forward afterwards.
    placed: at most CARS_PER_KIND cars of each kind.
    eye_3: the position of the camera.
    ahead_3: the direction of its view.
  """
  model, data = town.model, town.data
  free = {kind: iter(range(CARS_PER_KIND)) for kind in cars.KINDS}
  level_2 = np.array(ahead_3[:2]) / max(np.linalg.norm(ahead_3[:2]), 1e-9)
  for car in placed:
    body = f'{car.kind}/{next(free[car.kind])}'
    mocap = model.body(body).mocapid[0]
    offset_2 = np.array([car.x_m, car.y_m]) - eye_3[:2]
    distance_m, ahead_m = np.linalg.norm(offset_2), offset_2 @ level_2
    in_view = ahead_m > _CONE * distance_m and distance_m < _VISIBLE_M
    yaw = np.radians(car.yaw_deg)
    data.mocap_pos[mocap] = car.x_m, car.y_m, 0.0
    data.mocap_quat[mocap] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
    _show_car(model, body, distance_m < _NEAR_M or in_view)
    if len(cars.load(car.kind).paint.triangles_T3):
      rgb = PAINTS[car.color]
      model.geom_rgba[model.geom(f'{body}/paint').id] = (*rgb, 1)
  for kind, rest in free.items():
    for i in rest:
      _show_car(model, f'{kind}/{i}', False)


def _show_car(model: mujoco.MjModel, body: str, visible: bool) -> None:
  first = model.body(body).geomadr[0]
  number = model.body(body).geomnum[0]
  model.geom_group[first : first + number] = 0 if visible else 3


def apply_look(town: Town, look: weather.Look) -> None:
  """Sets windows, lamps and the road to those of a weather and light."""
  model = town.model
  for geom, (day, night) in town.day_night.items():
    model.geom_matid[geom] = night if look.lit else day
  model.geom_group[model.geom('town/glow').id] = 0 if look.lit else 3
  road = model.material('asphalt/wet' if look.wet else 'asphalt').id
  model.geom_matid[model.geom('road').id] = road
