"""The photorealistic renderer: Mitsuba traces paths in MuJoCo's scenes.

It draws any compiled model at the poses in its MjData: the same geoms, camera
and lights as the fast renderer, with soft shadows, interreflection, mirrors and
refraction. The steps are: geoms become triangles (triangles.py) with a BSDF
(mitsuba_materials.py), lights become emitting discs, and the sky becomes an
environment map; then 36 paths are traced per pixel from a fixed seed, and the
intensities become pixels (tone_mapping.py) with one exposure for all frames.
"""

import collections
from collections.abc import Iterator
import dataclasses

import mitsuba as mi
import mujoco
import numpy as np

from wm_abench.rendering import mitsuba_materials, tone_mapping, triangles
from wm_abench.worlds import protocol

_MODELS = 4  # The triangles and textures of so many models are cached.
_GEOMS = 20_000
# The longest path, and the depth from which Russian roulette may end it.
_MAX_DEPTH, _ROULETTE_DEPTH = 7, 3
_SEED = 0
# Makes up for the light that surfaces absorb here and do not in MuJoCo.
_EXPOSURE = 1.3
# Interreflection provides a part of what ambient light stands for in MuJoCo.
_AMBIENT = 0.7
# Half the angle of the disc that stands for a directional light. The sun's is
# 0.27.
_SUN_DEG = 1.5
_MIN_BULB_M = 0.12  # The least radius of a lamp.
_MIN_DISTANCE_M = 0.5  # The least distance for which a lamp is calibrated.
_THIN_M = 0.006  # Panes whose half thickness is below this do not refract.
_LIGHT = mujoco.mjtLightType
_DIRECTIONAL = _LIGHT.mjLIGHT_DIRECTIONAL
_SKYBOX = mujoco.mjtTexture.mjTEXTURE_SKYBOX


class MitsubaRenderer:
  """Traces frames of compiled models.

  Args:
    size_px: width and height of a frame.
    samples: paths per pixel; the noise falls with the square root.
  """

  def __init__(self, size_px: int, samples: int = 36):
    mi.set_variant('scalar_rgb')
    # A warning would report that the number of samples is rounded.
    mi.set_log_level(mi.LogLevel.Error)
    self.size_px = size_px
    self._samples = samples
    # By the id of the model, which stays alive as part of the entry.
    self._models: collections.OrderedDict[int, _Model] = (
      collections.OrderedDict()
    )
    self._options = mujoco.MjvOption()
    self._free = mujoco.MjvCamera()

  @staticmethod
  def describe() -> str:
    """Returns one line on how frames are made."""
    return f'Mitsuba {mi.__version__} traces paths on the CPU'

  def render(
    self, model: mujoco.MjModel, data: mujoco.MjData, camera: protocol.Camera
  ) -> np.ndarray:
    """Returns a uint8 frame [size_px, size_px, 3].

    Args:
      model: its geoms of the groups 0 to 2 are visible, the others are not.
      data: after mj_forward.
      camera: without a mount.

    Raises:
      ValueError: the model has a height field, skin or flex.
    """
    cached = self._cached(model)
    mujoco.mjv_updateScene(
      model,
      data,
      self._options,
      None,
      self._free,
      mujoco.mjtCatBit.mjCAT_ALL,
      cached.scene,
    )
    scene = mi.load_dict(
      {
        'type': 'scene',
        'integrator': {
          'type': 'path',
          'max_depth': _MAX_DEPTH,
          'rr_depth': _ROULETTE_DEPTH,
          # The default depends on the number of cores, and with it the random
          # numbers.
          'block_size': 32,
        },
        'sensor': self._sensor(camera),
        **{f'geom_{i}': s for i, s in enumerate(cached.shapes())},
        **{
          f'light_{i}': e for i, e in enumerate(_emitters(model, cached.scene))
        },
        'sky': cached.sky or _ambient(model),
      }
    )
    light_HWC = np.array(mi.render(scene, spp=self._samples, seed=_SEED))
    return tone_mapping.tone_map(
      _EXPOSURE * tone_mapping.remove_fireflies(light_HWC)
    )

  def refresh(self, model: mujoco.MjModel, mesh: int) -> None:
    """Converts a mesh again, after its vertices have changed in the model."""
    self._cached(model).forget(mesh)

  def close(self) -> None:
    self._models.clear()

  def _cached(self, model: mujoco.MjModel) -> '_Model':
    key = id(model)
    if key not in self._models:
      while len(self._models) >= _MODELS:
        self._models.popitem(last=False)
      self._models[key] = _Model(model)
    self._models.move_to_end(key)
    return self._models[key]

  def _sensor(self, camera: protocol.Camera) -> dict:
    look_at = mi.ScalarTransform4f().look_at
    return {
      'type': 'perspective',
      'fov': camera.fovy_deg,
      'fov_axis': 'y',
      'near_clip': 0.01,
      'far_clip': 1e4,
      'to_world': look_at(
        list(camera.position_m), list(camera.target_m), list(camera.up)
      ),
      'film': {
        'type': 'hdrfilm',
        'width': self.size_px,
        'height': self.size_px,
        'rfilter': {'type': 'box'},
        'pixel_format': 'rgb',
      },
      'sampler': {'type': 'multijitter', 'sample_count': self._samples},
    }


class _Model:
  """The data that the frames of one model share.

  Attributes:
    scene: MuJoCo's list of the geoms and lights to draw.
    sky: Mitsuba's emitter for the model's sky; None if it has no sky.
  """

  def __init__(self, model: mujoco.MjModel):
    self._model = model
    self.scene = mujoco.MjvScene(model, _GEOMS)
    skies = np.flatnonzero(model.tex_type == _SKYBOX)
    self.sky = mi.load_dict(_sky(model, skies[0])) if len(skies) else None
    self._materials = mitsuba_materials.Materials(model)
    self._solids: dict[tuple, triangles.Solid] = {}
    self._shapes: dict[tuple, mi.Shape] = {}

  def forget(self, mesh: int) -> None:
    """Drops what was converted from a mesh."""
    for cache in (self._solids, self._shapes):
      for key in [k for k in cache if k[:2] == _mesh_key(mesh)]:
        del cache[key]

  def shapes(self) -> list['mi.Shape']:
    """Returns the geoms of the scene; unchanged ones come from the cache."""
    shapes = {}
    for geom in self.scene.geoms[: self.scene.ngeom]:
      solid = _solid_key(geom)
      looks = (*geom.rgba, geom.specular, geom.shininess, geom.emission)
      pose = (geom.pos.tobytes(), geom.mat.tobytes())
      key = (*solid, geom.matid, geom.reflectance, *looks, *pose)
      while key in shapes:  # Two geoms can be equal.
        key = (*key, 'again')
      shapes[key] = self._shapes.get(key) or self._shape(geom, solid)
    self._shapes = shapes
    return list(shapes.values())

  def _shape(self, geom: mujoco.MjvGeom, key: tuple) -> 'mi.Shape':
    key = (*key, geom.matid)
    if key not in self._solids:
      self._solids[key] = self._textured(geom)
    properties = mi.Properties()
    properties['bsdf'] = self._materials.bsdf(geom, _is_thin(geom))
    if geom.emission > 0:
      # Such geoms are usually large (the view from a window, a lit wall). Paths
      # hit them by chance, so that sampling them explicitly is not worth it.
      properties['emitter'] = mi.load_dict(
        {
          'type': 'area',
          'radiance': self._materials.color(
            geom.matid, geom.rgba[:3], geom.emission
          ),
          'sampling_weight': 0.0,
        }
      )
    return _mesh(self._solids[key], geom, properties)

  def _textured(self, geom: mujoco.MjvGeom) -> triangles.Solid:
    """Returns the triangles of a geom with its texture coordinates."""
    model, material = self._model, geom.matid
    if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
      solid = triangles.mesh(model, geom.dataid // 2)
    else:
      infinite_m = model.vis.map.zfar * model.stat.extent
      solid = triangles.shape(geom.type, geom.size, infinite_m)
    texture = mitsuba_materials.texture_of(model, material)
    if texture < 0 or (geom.texcoord and solid.texcoords_V2 is not None):
      return solid
    uniform = bool(model.mat_texuniform[material])
    if not mitsuba_materials.is_cube(model, texture):
      repeat = model.mat_texrepeat[material]
      return triangles.project(solid, geom.size, repeat, uniform)
    # MuJoCo takes directions from the vertices of a mesh, or of a primitive
    # scaled to unit size.
    unscaled = uniform or geom.type == mujoco.mjtGeom.mjGEOM_MESH
    scale = np.ones(3) if unscaled else np.where(geom.size > 0, geom.size, 1.0)
    return triangles.wrap(solid, scale, int(model.tex_width[texture]))


def _mesh_key(mesh: int) -> tuple:
  return (int(mujoco.mjtGeom.mjGEOM_MESH), 2 * mesh)


def _solid_key(geom: mujoco.MjvGeom) -> tuple:
  return (geom.type, geom.dataid, geom.size.tobytes())


def _is_thin(geom: mujoco.MjvGeom) -> bool:
  if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
    return True
  box = geom.type == mujoco.mjtGeom.mjGEOM_BOX
  return box and min(geom.size) < _THIN_M


def _mesh(
  solid: triangles.Solid, geom: mujoco.MjvGeom, properties: 'mi.Properties'
) -> 'mi.Mesh':
  """Returns a solid at the pose of its geom."""
  rotation_33 = geom.mat.reshape(3, 3).astype(np.float64)
  shape = mi.Mesh(
    'geom',
    len(solid.vertices_V3),
    len(solid.faces_F3),
    props=properties,
    has_vertex_normals=True,
    has_vertex_texcoords=solid.texcoords_V2 is not None,
  )
  arrays = mi.traverse(shape)
  arrays['vertex_positions'] = _flat(
    solid.vertices_V3 @ rotation_33.T + geom.pos
  )
  arrays['vertex_normals'] = _flat(solid.normals_V3 @ rotation_33.T)
  arrays['faces'] = np.ascontiguousarray(solid.faces_F3, np.uint32).ravel()
  if solid.texcoords_V2 is not None:
    arrays['vertex_texcoords'] = _flat(solid.texcoords_V2)
  arrays.update()
  return shape


def _flat(array: np.ndarray) -> np.ndarray:
  return np.ascontiguousarray(array, np.float32).ravel()


def _ambient(model: mujoco.MjModel) -> dict:
  """Returns uniform light from all directions, as the headlight gives."""
  head = model.vis.headlight
  level = head.ambient + head.diffuse / 2 if head.active else np.zeros(3)
  return {
    'type': 'constant',
    'radiance': mitsuba_materials.rgb(_AMBIENT * level),
  }


def _sky(model: mujoco.MjModel, texture: int) -> dict:
  """Returns the environment map of a sky."""
  faces = mitsuba_materials.pixels_of(model, texture)
  side = faces.shape[1]
  cube = faces.reshape(6, side, side, 3)
  panorama = mitsuba_materials.linear(triangles.panorama(cube, 2 * side) / 255)
  # The y of a cube map is the world's z, and its -z is the world's y.
  to_world = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
  pixels = np.ascontiguousarray(panorama, np.float32)
  return {'type': 'envmap', 'bitmap': mi.Bitmap(pixels), 'to_world': to_world}


@dataclasses.dataclass(frozen=True)
class _Disc:
  """A disc that emits light on the side of its direction."""

  centre_m: np.ndarray
  direction: np.ndarray
  radius_m: float
  radiance: np.ndarray


def _emitters(
  model: mujoco.MjModel, scene: mujoco.MjvScene
) -> Iterator[dict[str, object]]:
  """Yields a disc for each light except the headlight."""
  for light in scene.lights[: scene.nlight]:
    if light.headlight or not np.any(light.diffuse):
      continue
    disc = (
      _sun(model, light) if light.type == _DIRECTIONAL else _lamp(model, light)
    )
    side = np.eye(3)[np.abs(disc.direction).argmin()]
    aim = mi.ScalarTransform4f().look_at(
      list(disc.centre_m), list(disc.centre_m + disc.direction), list(side)
    )
    yield {
      'type': 'disk',
      'to_world': aim
      @ mi.ScalarTransform4f().scale([float(disc.radius_m)] * 3),
      # Invisible to other light.
      'bsdf': {'type': 'null'},
      'emitter': {
        'type': 'area',
        'radiance': mitsuba_materials.rgb(disc.radiance),
      },
    }


def _sun(model: mujoco.MjModel, light: mujoco.MjvLight) -> _Disc:
  """Returns a distant disc with the light's diffuse value as irradiance."""
  direction = np.array(light.dir, np.float64)
  distance_m = 40 * model.stat.extent
  sine = np.sin(np.radians(_SUN_DEG))
  return _Disc(
    model.stat.center - distance_m * direction,
    direction,
    distance_m * np.tan(np.radians(_SUN_DEG)),
    np.asarray(light.diffuse) / sine**2,
  )


def _lamp(model: mujoco.MjModel, light: mujoco.MjvLight) -> _Disc:
  """Returns a disc with the diffuse value as irradiance at the model's centre.

  By default MuJoCo's lamps do not fall off with distance. Light does, so that
  the two can agree at one distance only.
  """
  position = np.array(light.pos, np.float64)
  distance_m = np.linalg.norm(model.stat.center - position)
  distance_m = max(distance_m, _MIN_DISTANCE_M)
  radius_m = max(float(light.bulbradius), _MIN_BULB_M)
  radiance = np.asarray(light.diffuse) * (distance_m / radius_m) ** 2
  return _Disc(position, np.array(light.dir, np.float64), radius_m, radiance)
