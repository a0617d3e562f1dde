"""The photoreal renderer: Mitsuba traces paths of light in MuJoCo's scenes.

Takes any compiled model at the poses in its MjData, the same geoms from the
same camera as the fast renderer, and the same lights, but as light travels:
soft shadows, light from wall to wall, mirrors, glass that refracts. In order:
geoms become triangles (triangles.py) with a finish (mitsuba_materials.py), lights become
discs that shine, the sky becomes light from all around; then 36 paths a pixel,
from a fixed seed, one level of exposure for all frames, and sRGB.
"""

import collections
from collections.abc import Iterator
import dataclasses

import mitsuba as mi
import mujoco
import numpy as np

from wm_abench.rendering import mitsuba_materials, triangles
from wm_abench.worlds import protocol

_MODELS = 4  # Whose triangles and textures are kept.
_GEOMS = 20_000
_BOUNCES, _SURE = 7, 3  # At most, and those that no path ends before.
_SEED = 0
# The model's lights cast so much more than MuJoCo's sums of them give: a real
# surface takes some light where MuJoCo's takes none.
_EXPOSURE = 1.3
# Above so many times its second brightest neighbour a pixel is a speckle.
_SPECKLE = 1.5
# Light from wall to wall does part of what ambient light stands for.
_AMBIENT = 0.7
# A directional light is a disc of this half angle; the sun's is 0.27.
_SUN_DEG = 1.5
_BULB_M = 0.12  # A lamp's radius, where the model's is smaller.
_NEAR_M = 0.5  # Lamps are made no weaker than for this distance.
_THIN_M = 0.006  # Panes whose half thickness is below this do not refract.
_LIGHT = mujoco.mjtLightType
_DIRECTIONAL = _LIGHT.mjLIGHT_DIRECTIONAL
_SKYBOX = mujoco.mjtTexture.mjTEXTURE_SKYBOX


class MitsubaRenderer:
  """Frames of compiled models, traced: slow and true to light.

  Args:
    size_px: of the square frames.
    samples: paths a pixel; noise falls with the square root.
  """

  def __init__(self, size_px: int, samples: int = 36):
    mi.set_variant('scalar_rgb')
    mi.set_log_level(mi.LogLevel.Error)  # Else it warns that it rounds samples.
    self.size_px = size_px
    self._samples = samples
    # By the model's identity; it is kept alive beside what is made of it.
    self._kept: collections.OrderedDict[int, _Kept] = collections.OrderedDict()
    self._options = mujoco.MjvOption()
    self._free = mujoco.MjvCamera()

  @staticmethod
  def describe() -> str:
    """Returns one line on how frames are made."""
    return f'Mitsuba {mi.__version__} traces paths on the CPU'

  def render(
    self, model: mujoco.MjModel, data: mujoco.MjData, camera: protocol.Camera
  ) -> np.ndarray:
    """A uint8 frame [size_px, size_px, 3] of data as mj_forward left it.

    Geoms of the groups 0 to 2 are seen, those of 3 and above are not.

    Raises:
      ValueError: a height field, skin or flex is in view.
    """
    kept = self._keep(model)
    mujoco.mjv_updateScene(
      model,
      data,
      self._options,
      None,
      self._free,
      mujoco.mjtCatBit.mjCAT_ALL,
      kept.scene,
    )
    scene = mi.load_dict(
      {
        'type': 'scene',
        'integrator': {
          'type': 'path',
          'max_depth': _BOUNCES,
          'rr_depth': _SURE,
          # Else blocks, and so random numbers, depend on the count of cores.
          'block_size': 32,
        },
        'sensor': self._sensor(camera),
        **{f'geom_{i}': s for i, s in enumerate(kept.shapes())},
        **{f'light_{i}': e for i, e in enumerate(_lamps(model, kept.scene))},
        'sky': kept.sky or _ambient(model),
      }
    )
    light_HWC = np.array(mi.render(scene, spp=self._samples, seed=_SEED))
    return _develop(_EXPOSURE * _despeckle(light_HWC))

  def refresh(self, model: mujoco.MjModel, mesh: int) -> None:
    """Takes up a mesh whose vertices were changed in the model."""
    self._keep(model).forget(mesh)

  def close(self) -> None:
    self._kept.clear()

  def _keep(self, model: mujoco.MjModel) -> '_Kept':
    key = id(model)
    if key not in self._kept:
      while len(self._kept) >= _MODELS:
        self._kept.popitem(last=False)
      self._kept[key] = _Kept(model)
    self._kept.move_to_end(key)
    return self._kept[key]

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


class _Kept:
  """What one model's frames share.

  Attributes:
    scene: MuJoCo's list of what is to be drawn.
    sky: the model's own, a Mitsuba emitter; None if it has none.
  """

  def __init__(self, model: mujoco.MjModel):
    self._model = model
    self.scene = mujoco.MjvScene(model, _GEOMS)
    skies = np.flatnonzero(model.tex_type == _SKYBOX)
    self.sky = mi.load_dict(_sky(model, skies[0])) if len(skies) else None
    self._finishes = mitsuba_materials.Finishes(model)
    self._solids: dict[tuple, triangles.Solid] = {}
    self._shapes: dict[tuple, mi.Shape] = {}

  def forget(self, mesh: int) -> None:
    for made in (self._solids, self._shapes):
      for key in [k for k in made if k[:2] == _mesh_key(mesh)]:
        del made[key]

  def shapes(self) -> list['mi.Shape']:
    """The scene's geoms; one that is as it was last time is used again."""
    drawn = {}
    for geom in self.scene.geoms[: self.scene.ngeom]:
      solid = _solid_key(geom)
      looks = (*geom.rgba, geom.specular, geom.shininess, geom.emission)
      place = (geom.pos.tobytes(), geom.mat.tobytes())
      key = (*solid, geom.matid, geom.reflectance, *looks, *place)
      while key in drawn:  # Two that are one and the same.
        key = (*key, 'again')
      drawn[key] = self._shapes.get(key) or self._shape(geom, solid)
    self._shapes = drawn
    return list(drawn.values())

  def _shape(self, geom: mujoco.MjvGeom, key: tuple) -> 'mi.Shape':
    key = (*key, geom.matid)
    if key not in self._solids:
      self._solids[key] = self._textured(geom)
    properties = mi.Properties()
    properties['bsdf'] = self._finishes.of(geom, _is_thin(geom))
    if geom.emission > 0:
      # Large ones as a rule (a window's view, a lit wall), which paths find by
      # themselves; to aim at each of them would cost more than it gives.
      properties['emitter'] = mi.load_dict(
        {
          'type': 'area',
          'radiance': self._finishes.color(
            geom.matid, geom.rgba[:3], geom.emission
          ),
          'sampling_weight': 0.0,
        }
      )
    return _place(self._solids[key], geom, properties)

  def _textured(self, geom: mujoco.MjvGeom) -> triangles.Solid:
    model, material = self._model, geom.matid
    if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
      solid = triangles.mesh(model, geom.dataid // 2)
    else:
      endless_m = model.vis.map.zfar * model.stat.extent
      solid = triangles.shape(geom.type, geom.size, endless_m)
    texture = mitsuba_materials.texture_of(model, material)
    if texture < 0 or (geom.texcoord and solid.texcoords_V2 is not None):
      return solid
    uniform = bool(model.mat_texuniform[material])
    if not mitsuba_materials.is_cube(model, texture):
      repeat = model.mat_texrepeat[material]
      return triangles.project(solid, geom.size, repeat, uniform)
    # The classic renderer looks up a unit shape's points, a mesh's own.
    own = uniform or geom.type == mujoco.mjtGeom.mjGEOM_MESH
    scale = np.ones(3) if own else np.where(geom.size > 0, geom.size, 1.0)
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


def _place(
  solid: triangles.Solid, geom: mujoco.MjvGeom, properties: 'mi.Properties'
) -> 'mi.Mesh':
  """The solid in the world."""
  turn = geom.mat.reshape(3, 3).astype(np.float64)
  shape = mi.Mesh(
    'geom',
    len(solid.vertices_V3),
    len(solid.faces_F3),
    props=properties,
    has_vertex_normals=True,
    has_vertex_texcoords=solid.texcoords_V2 is not None,
  )
  arrays = mi.traverse(shape)
  arrays['vertex_positions'] = _flat(solid.vertices_V3 @ turn.T + geom.pos)
  arrays['vertex_normals'] = _flat(solid.normals_V3 @ turn.T)
  arrays['faces'] = np.ascontiguousarray(solid.faces_F3, np.uint32).ravel()
  if solid.texcoords_V2 is not None:
    arrays['vertex_texcoords'] = _flat(solid.texcoords_V2)
  arrays.update()
  return shape


def _flat(array: np.ndarray) -> np.ndarray:
  return np.ascontiguousarray(array, np.float32).ravel()


def _ambient(model: mujoco.MjModel) -> dict:
  """The same light from all around."""
  head = model.vis.headlight
  level = head.ambient + head.diffuse / 2 if head.active else np.zeros(3)
  return {
    'type': 'constant',
    'radiance': mitsuba_materials.rgb(_AMBIENT * level),
  }


def _sky(model: mujoco.MjModel, texture: int) -> dict:
  """The picture of a sky, as light from all around."""
  picture = mitsuba_materials.picture(model, texture)
  side = picture.shape[1]
  cube = picture.reshape(6, side, side, 3)
  around = mitsuba_materials.linear(triangles.panorama(cube, 2 * side) / 255)
  # The sky's own y is the world's z; its -z is the world's y.
  stand = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
  pixels = np.ascontiguousarray(around, np.float32)
  return {'type': 'envmap', 'bitmap': mi.Bitmap(pixels), 'to_world': stand}


@dataclasses.dataclass(frozen=True)
class _Disc:
  """A lamp: one side of a disc."""

  centre_m: np.ndarray
  towards: np.ndarray
  radius_m: float
  radiance: np.ndarray


def _lamps(
  model: mujoco.MjModel, scene: mujoco.MjvScene
) -> Iterator[dict[str, object]]:
  for light in scene.lights[: scene.nlight]:
    if light.headlight or not np.any(light.diffuse):
      continue
    disc = (
      _sun(model, light) if light.type == _DIRECTIONAL else _lamp(model, light)
    )
    side = np.eye(3)[np.abs(disc.towards).argmin()]
    aim = mi.ScalarTransform4f().look_at(
      list(disc.centre_m), list(disc.centre_m + disc.towards), list(side)
    )
    yield {
      'type': 'disk',
      'to_world': aim
      @ mi.ScalarTransform4f().scale([float(disc.radius_m)] * 3),
      # It is not in the way of what is behind it.
      'bsdf': {'type': 'null'},
      'emitter': {
        'type': 'area',
        'radiance': mitsuba_materials.rgb(disc.radiance),
      },
    }


def _sun(model: mujoco.MjModel, light: mujoco.MjvLight) -> _Disc:
  """Far away; a white floor right below it is as bright as its diffuse says."""
  towards = np.array(light.dir, np.float64)
  far_m = 40 * model.stat.extent
  spread = np.sin(np.radians(_SUN_DEG))
  return _Disc(
    model.stat.center - far_m * towards,
    towards,
    far_m * np.tan(np.radians(_SUN_DEG)),
    np.asarray(light.diffuse) / spread**2,
  )


def _lamp(model: mujoco.MjModel, light: mujoco.MjvLight) -> _Disc:
  """In its place; as bright as its diffuse says at the model's centre.

  MuJoCo's lamps are as bright far away as near, unless told otherwise; real
  ones are not, so that the two agree at one distance.
  """
  position = np.array(light.pos, np.float64)
  away_m = max(np.linalg.norm(model.stat.center - position), _NEAR_M)
  radius_m = max(float(light.bulbradius), _BULB_M)
  radiance = np.asarray(light.diffuse) * (away_m / radius_m) ** 2
  return _Disc(position, np.array(light.dir, np.float64), radius_m, radiance)


def _despeckle(light_HWC: np.ndarray) -> np.ndarray:
  """Without single pixels that one rare path made far brighter than all around.

  Such a pixel gets the median of its eight neighbours.
  """
  height, width, _ = light_HWC.shape
  wide = np.pad(light_HWC, ((1, 1), (1, 1), (0, 0)), mode='edge')
  around_8HWC = np.stack(
    [
      wide[y : y + height, x : x + width]
      for y in range(3)
      for x in range(3)
      if (y, x) != (1, 1)
    ]
  )
  level_8HW = np.sort(around_8HWC.sum(-1), axis=0)
  second_HW1 = level_8HW[-2][..., None]
  own_HW1 = light_HWC.sum(-1, keepdims=True)
  median_HWC = np.median(around_8HWC, axis=0)
  return np.where(own_HW1 > _SPECKLE * second_HW1, median_HWC, light_HWC)


def _develop(light_HWC: np.ndarray) -> np.ndarray:
  """Intensities as a uint8 sRGB picture; bright ones are bent, not cut."""
  knee = 0.7
  over = np.tanh((light_HWC - knee) / (1 - knee))
  bent = np.where(light_HWC > knee, knee + (1 - knee) * over, light_HWC)
  srgb = np.where(
    bent <= 0.0031308, 12.92 * bent, 1.055 * bent.clip(0) ** (1 / 2.4) - 0.055
  )
  return np.round(255 * srgb.clip(0, 1)).astype(np.uint8)
