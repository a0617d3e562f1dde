"""Weather and the time of day: sky, sun, wet ground, fog and rain.

`add_to` adds every sky to a model once; `apply` then changes the model at run
time. Fog consists of translucent shells around the eye. Each shell hides a
little of what is behind it, so that fog grows with distance. A shell fades out
near the ground, because otherwise its rim would be visible on the road.
"""

import dataclasses
import itertools

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import meshes
from wm_abench.worlds.street import facades

WEATHERS = ('clear', 'cloudy', 'rain', 'fog')
LIGHTS = ('noon', 'sunset', 'dusk')

SHELLS_M = (4.0, 6.2, 8.8, 11.8, 15.2, 19.2, 24.0, 30.0, 38.0, 48.0, 60.0)
_EYE_M = 1.5  # Height of the eye above the road.
_SKY_M = 240.0  # Radius of the sky.
_SUN_M = 60.0  # Distance of the sun from the ground below the eye.


@dataclasses.dataclass(frozen=True)
class Look:
  """The look of a weather at a time of day; colours are in [0, 1].

  Attributes:
    toward_sun: the direction of the sun.
    sun, ambient: the colours of sunlight and ambient light.
    zenith, horizon, cloud: the colours of the sky.
    cover: the share of the sky with clouds.
    sight_m: the distance at which fog hides 1 - 1/e of the view; 0 for no fog.
    shadows: whether the sun casts shadows.
    wet: whether the ground is wet, and rain is visible.
    lit: whether lamps and windows are lit.
  """

  toward_sun: tuple[float, float, float]
  sun: tuple[float, float, float]
  ambient: tuple[float, float, float]
  zenith: tuple[float, float, float]
  horizon: tuple[float, float, float]
  cloud: tuple[float, float, float]
  cover: float
  sight_m: float
  shadows: bool
  wet: bool
  lit: bool


_TIMES = {
  'noon': {
    'toward_sun': (0.45, -0.55, 0.85),
    'sun': (0.82, 0.78, 0.68),
    'ambient': (0.50, 0.52, 0.56),
    'zenith': (0.24, 0.46, 0.78),
    'horizon': (0.76, 0.85, 0.92),
    'cloud': (0.97, 0.97, 0.98),
    'lit': False,
  },
  'sunset': {
    'toward_sun': (0.85, 0.42, 0.30),
    'sun': (0.80, 0.42, 0.16),
    'ambient': (0.44, 0.37, 0.40),
    'zenith': (0.27, 0.30, 0.52),
    'horizon': (0.98, 0.64, 0.36),
    'cloud': (0.93, 0.56, 0.46),
    'lit': False,
  },
  'dusk': {
    'toward_sun': (-0.3, 0.4, 0.9),
    'sun': (0.06, 0.07, 0.12),
    'ambient': (0.27, 0.29, 0.42),
    'zenith': (0.09, 0.13, 0.34),
    'horizon': (0.58, 0.38, 0.36),
    'cloud': (0.26, 0.22, 0.32),
    'lit': True,
  },
}
# Weather -> factor on the sunlight, factor on the ambient light, share of grey
# in the sky, brightness of the grey relative to the horizon, and other fields.
_AIRS = {
  'clear': (1.0, 1.0, 0.0, 1.0, {'cover': 0.28, 'sight_m': 0.0}),
  'cloudy': (0.22, 1.2, 0.88, 0.88, {'cover': 0.6, 'sight_m': 0.0}),
  'rain': (0.10, 0.95, 0.9, 0.66, {'cover': 0.6, 'sight_m': 0.0}),
  'fog': (0.12, 1.22, 0.95, 0.93, {'cover': 0.0, 'sight_m': 30.0}),
}


def look(weather: str, light: str) -> Look:
  """Returns the look of a weather and light.

  Raises:
    UserError: the weather or light is unknown.
  """
  if weather not in WEATHERS:
    raise errors.unknown('weather', weather, WEATHERS)
  if light not in LIGHTS:
    raise errors.unknown('light', light, LIGHTS)
  time = _TIMES[light]
  sun, brighter, grey, tone, others = _AIRS[weather]
  grey_3 = np.mean(time['horizon']) * np.array([0.96, 1.0, 1.06])
  grey_3 = tone * (0.88 * grey_3 + 0.12 * np.array(time['horizon']))
  skies = {
    name: tuple((1 - grey) * np.array(time[name]) + grey * share * grey_3)
    for name, share in (('zenith', 0.56), ('horizon', 1.0), ('cloud', 1.0))
  }
  # Under clouds the ambient light loses the colour of the time of day as well.
  ambient_3 = np.array(time['ambient'])
  ambient_3 = (1 - 0.7 * grey) * ambient_3 + 0.7 * grey * ambient_3.mean()
  return Look(
    toward_sun=time['toward_sun'],
    sun=tuple(sun * np.array(time['sun'])),
    ambient=tuple(brighter * ambient_3),
    shadows=weather == 'clear' and light != 'dusk',
    wet=weather == 'rain',
    lit=time['lit'],
    **skies,
    **others,
  )


def add_to(spec: mujoco.MjSpec) -> None:
  """Adds all skies, the sun, the shells of the fog, and the rain to a model."""
  spec.worldbody.add_light(
    name='sun', type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=True
  )
  dome = meshes.inside_out(meshes.ball(rows=12, columns=24))
  for weather, light in itertools.product(WEATHERS, LIGHTS):
    look_, name = look(weather, light), f'{weather}/{light}'
    meshes.add_material(
      spec, f'sky/{name}', _sky(look_), emission=1.0, specular=0.0
    )
    haze_HW4 = np.full((64, 4, 4), (*_rgb(look_.horizon), 255), np.uint8)
    haze_HW4[..., 3] = np.linspace(255, 0, 64)[:, None]
    meshes.add_material(
      spec, f'haze/{name}', haze_HW4, emission=1.0, specular=0.0
    )
  air = spec.worldbody.add_body(name='air', mocap=True)
  meshes.add_mesh(spec, 'sky', dome.moved((0, 0, 0), scale=_SKY_M))
  meshes.add_geom(air, 'sky', 'sky/clear/noon')
  for i, radius_m in enumerate(SHELLS_M, start=1):
    meshes.add_mesh(spec, f'shell_{i}', _shell(radius_m))
    meshes.add_geom(air, f'shell_{i}', 'haze/clear/noon')
  meshes.add_mesh(spec, 'streaks', _streaks())
  meshes.add_material(
    spec, 'streaks', np.full((4, 4, 3), 205, np.uint8), emission=0.6
  )
  meshes.add_geom(air, 'streaks', 'streaks')


def _rgb(color) -> tuple[int, ...]:
  return tuple(round(255 * min(c, 1.0)) for c in color)


def _sky(look_: Look) -> np.ndarray:
  """Returns the texture of the sky; its lower half repeats the horizon."""
  hills = 0.72 * np.array(look_.horizon) + 0.28 * np.array(look_.zenith) * 0.6
  above_HW3 = facades.sky(
    np.random.default_rng(7),
    *map(_rgb, (look_.zenith, look_.horizon, look_.cloud)),
    look_.cover,
    _rgb(hills),
  )
  below_HW3 = np.broadcast_to(above_HW3[-1:], above_HW3.shape)
  return np.concatenate([above_HW3, below_HW3])


def _shell(radius_m: float) -> meshes.Mesh:
  """Returns a shell of fog, from the ring where it meets the road upwards.

  v is its opacity. It grows from 0 at the road to 1 at the elevation at which
  the road is seen at 1.5 times the radius.
  """
  columns = 48
  rim, opaque = (-np.arcsin(_EYE_M / (s * radius_m)) for s in (0.97, 1.5))
  elevation_R = np.array([rim, opaque, 0.2, 0.5, 0.9, np.pi / 2])
  ball = meshes.ball(len(elevation_R) - 1, columns)
  azimuth_N = np.linspace(0, 2 * np.pi, columns + 1)
  elevation_RN, azimuth_RN = np.meshgrid(elevation_R, azimuth_N, indexing='ij')
  points_V3 = np.stack(
    [
      np.cos(elevation_RN) * np.cos(azimuth_RN),
      np.cos(elevation_RN) * np.sin(azimuth_RN),
      np.sin(elevation_RN),
    ],
    -1,
  ).reshape(-1, 3)
  v_V = np.repeat([0.02] + [0.98] * (len(elevation_R) - 1), columns + 1)
  uvs_V2 = np.stack([0 * v_V + 0.5, v_V], -1)
  shell = meshes.Mesh(
    radius_m * points_V3, points_V3, uvs_V2, ball.triangles_T3
  )
  return meshes.inside_out(shell)


def _streaks() -> meshes.Mesh:
  """Returns rain: thin vertical rectangles that face the eye."""
  rng = np.random.default_rng(3)
  n = 420
  azimuth_N = rng.uniform(0, 2 * np.pi, n)
  distance_N = rng.uniform(1.5, 9.0, n)
  centre_N3 = np.stack(
    [
      distance_N * np.cos(azimuth_N),
      distance_N * np.sin(azimuth_N),
      distance_N * rng.uniform(-0.35, 0.75, n),
    ],
    -1,
  )
  zero_N = 0 * distance_N
  side_N3 = np.stack([-np.sin(azimuth_N), np.cos(azimuth_N), zero_N], -1)
  side_N3 = side_N3 * 0.0022 * (1 + 0.25 * distance_N)[:, None]
  up_N3 = np.stack([zero_N, zero_N, 0.16 + 0.05 * distance_N], -1)
  corners = [centre_N3 - side_N3 - up_N3, centre_N3 + side_N3 - up_N3]
  corners += [centre_N3 + side_N3 + up_N3, centre_N3 - side_N3 + up_N3]
  corners_N43 = np.stack(corners[::-1], axis=1)
  return meshes.quads(corners_N43, np.full((n, 4, 2), 0.5))


def apply(
  model: mujoco.MjModel, data: mujoco.MjData, weather: str, light: str, eye_3
) -> Look:
  """Sets the sky, light, fog and rain of a model.

  Args:
    model, data: a model to which `add_to` has been applied, and its data; the
      caller runs mj_forward afterwards.
    weather: one of WEATHERS.
    light: one of LIGHTS.
    eye_3: the position of the camera in metres; the sky moves with it.

  Returns:
    The look. The caller sets the ground and the windows accordingly.
  """
  look_ = look(weather, light)
  data.mocap_pos[model.body('air').mocapid[0]] = eye_3
  toward_3 = np.array(look_.toward_sun) / np.linalg.norm(look_.toward_sun)
  sun = model.light('sun').id
  model.light_dir[sun] = -toward_3
  model.light_pos[sun] = np.array([eye_3[0], eye_3[1], 0.0]) + _SUN_M * toward_3
  model.light_diffuse[sun] = look_.sun
  model.light_ambient[sun] = 0.0
  model.light_specular[sun] = 0.2 * np.array(look_.sun)
  model.light_castshadow[sun] = look_.shadows
  model.vis.headlight.ambient[:] = look_.ambient
  model.vis.headlight.diffuse[:] = 0.25 * np.array(look_.ambient)
  model.vis.headlight.specular[:] = 0.0
  name = f'{weather}/{light}'
  model.geom_matid[model.geom('sky').id] = model.material(f'sky/{name}').id
  steps_m = np.diff(SHELLS_M, prepend=0.0)
  for i, step_m in enumerate(steps_m, start=1):
    shell = model.geom(f'shell_{i}').id
    model.geom_matid[shell] = model.material(f'haze/{name}').id
    model.geom_group[shell] = 0 if look_.sight_m else 3
    if look_.sight_m:
      hidden = 1 - np.exp(-step_m / look_.sight_m)
      model.geom_rgba[shell] = (1, 1, 1, hidden)
  streaks = model.geom('streaks').id
  model.geom_rgba[streaks] = (1, 1, 1, 0.28)
  model.geom_group[streaks] = 0 if look_.wet else 3
  return look_
