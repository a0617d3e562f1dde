"""Conversion of MuJoCo's materials and textures to those of Mitsuba.

MuJoCo has one reflection model for every material. Here words in the name of a
material (glass, metal, wood, ...) choose among Mitsuba's BSDFs, and the
material's attributes set the parameters. The variant of Mitsuba has to be set
before this module is used.
"""

import re

import mitsuba as mi
import mujoco
import numpy as np

# Prefixes of words in the name of a material.
_GLASS = ('glass', 'crystal')
_METAL = ('metal', 'steel', 'chrome', 'alumin', 'brass', 'copper', 'iron')
_MATT = (
  'fabric', 'cloth', 'carpet', 'rug', 'curtain', 'sofa', 'cushion', 'paper',
  'wall', 'ceiling', 'plaster', 'stone', 'brick', 'concrete', 'asphalt',
  'road', 'pavement', 'grass', 'leaf', 'leaves', 'rubber', 'soil',
)  # fmt: skip
# The largest albedo. No real surface reflects all light, and interreflection
# between white walls would add up.
_MAX_ALBEDO = 0.86
_RGB = mujoco.mjtTextureRole.mjTEXROLE_RGB
_CUBE = mujoco.mjtTexture.mjTEXTURE_CUBE


def linear(value: np.ndarray) -> np.ndarray:
  """Returns linear intensities in [0, 1] of sRGB values (IEC 61966-2-1)."""
  value = np.clip(value, 0.0, 1.0)
  bright = ((value + 0.055) / 1.055) ** 2.4
  return np.where(value <= 0.04045, value / 12.92, bright)


def texture_of(model: mujoco.MjModel, material: int) -> int:
  """Returns the index of a material's RGB texture, or -1 if it has none."""
  return int(model.mat_texid[material, _RGB]) if material >= 0 else -1


def is_cube(model: mujoco.MjModel, texture: int) -> bool:
  return bool(model.tex_type[texture] == _CUBE)


def pixels_of(model: mujoco.MjModel, texture: int) -> np.ndarray:
  """Returns the uint8 pixels [H, W, 3] of a texture.

  The faces of a cube map are one below another.
  """
  shape = [int(a[texture]) for a in (model.tex_height, model.tex_width)]
  channels = int(model.tex_nchannel[texture])
  start = int(model.tex_adr[texture])
  flat = model.tex_data[start : start + shape[0] * shape[1] * channels]
  pixels = flat.reshape(*shape, channels)
  return pixels[..., :3] if channels >= 3 else pixels[..., :1].repeat(3, -1)


class Materials:
  """The BSDFs of one model's geoms, each of which is created once."""

  def __init__(self, model: mujoco.MjModel):
    self._model = model
    self._bsdfs: dict[tuple, mi.BSDF] = {}

  def bsdf(self, geom: mujoco.MjvGeom, thin: bool) -> 'mi.BSDF':
    """Returns the BSDF of a geom's surface.

    Args:
      geom: from the scene that mjv_updateScene fills, with its final colour.
      thin: whether glass is a pane without thickness, which does not refract.
    """
    rgba = np.round(np.array(geom.rgba, np.float64), 4)
    looks = (geom.specular, geom.shininess, geom.reflectance)
    key = (geom.matid, *rgba, *np.round(looks, 4), thin)
    if key not in self._bsdfs:
      self._bsdfs[key] = mi.load_dict(self._describe(geom, rgba, thin))
    return self._bsdfs[key]

  def _describe(
    self, geom: mujoco.MjvGeom, rgba: np.ndarray, thin: bool
  ) -> dict:
    name = self._model.mat(geom.matid).name.lower() if geom.matid >= 0 else ''
    if rgba[3] < 1 or _has_word(name, _GLASS):
      return _glass(linear(rgba[:3]), min(rgba[3], 0.8), thin)
    color = self.color(geom.matid, rgba[:3])
    if _has_word(name, _METAL):
      bsdf = _mirror(color, roughness=0.16)
    elif geom.specular < 0.02 or _has_word(name, _MATT):
      bsdf = {'type': 'diffuse', 'reflectance': color}
    else:
      bsdf = _coated(color, geom.specular, geom.shininess)
    if geom.reflectance > 0:
      bsdf = {
        'type': 'blendbsdf',
        'weight': min(geom.reflectance, 1.0),
        'under': bsdf,
        'over': _mirror(rgb(np.ones(3)), roughness=0.0),
      }
    return {'type': 'twosided', 'bsdf': bsdf}

  def color(
    self, material: int, tint: np.ndarray, factor: float = _MAX_ALBEDO
  ) -> dict:
    """Returns a material's texture, if any, times an sRGB tint [3].

    The result is in linear intensities, scaled by `factor`.
    """
    texture = texture_of(self._model, material)
    if texture < 0:
      return rgb(linear(tint) * factor)
    tinted = np.clip(pixels_of(self._model, texture) / 255 * tint, 0, 1)
    pixels = np.ascontiguousarray(linear(tinted) * factor, np.float32)
    return {'type': 'bitmap', 'bitmap': mi.Bitmap(pixels), 'raw': True}


def _has_word(name: str, prefixes: tuple[str, ...]) -> bool:
  return any(w.startswith(prefixes) for w in re.findall('[a-z]+', name))


def rgb(value: np.ndarray) -> dict:
  """Returns intensities [3] in Mitsuba's form."""
  return {'type': 'rgb', 'value': [float(v) for v in value]}


def _glass(color: np.ndarray, opacity: float, thin: bool) -> dict:
  """Returns glass; light is coloured at each of the two surfaces it passes."""
  tint = rgb(1 - opacity * (1 - np.sqrt(color)))
  return {
    'type': 'thindielectric' if thin else 'dielectric',
    'int_ior': 1.5,
    'specular_transmittance': tint,
  }


def _mirror(color: dict, roughness: float) -> dict:
  rough = {'alpha': roughness} if roughness else {}
  return {
    'type': 'roughconductor' if roughness else 'conductor',
    'material': 'none',
    'specular_reflectance': color,
    **rough,
  }


def _coated(color: dict, specular: float, shininess: float) -> dict:
  """Returns a colour under a clear coat.

  Its roughness is that of Blinn's exponent 128 shininess.
  """
  alpha = np.sqrt(2 / (128 * shininess + 2))
  return {
    'type': 'roughplastic',
    'diffuse_reflectance': color,
    'specular_reflectance': min(2 * specular, 1.0),
    'alpha': float(np.clip(alpha, 0.05, 0.6)),
  }
