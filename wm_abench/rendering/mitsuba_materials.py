"""MuJoCo's materials and textures as Mitsuba's.

A material's name says what it is made of (glass, metal, wood, ...), its gloss
and the rest say how it looks; where MuJoCo has one colour for everything, the
words below choose the law of reflection. Mitsuba's variant has to be set before
this is used.
"""

import re

import mitsuba as mi
import mujoco
import numpy as np

# What a word of a material's name begins with.
_GLASS = ('glass', 'crystal')
_METAL = ('metal', 'steel', 'chrome', 'alumin', 'brass', 'copper', 'iron')
_MATT = (
  'fabric', 'cloth', 'carpet', 'rug', 'curtain', 'sofa', 'cushion', 'paper',
  'wall', 'ceiling', 'plaster', 'stone', 'brick', 'concrete', 'asphalt',
  'road', 'pavement', 'grass', 'leaf', 'leaves', 'rubber', 'soil',
)  # fmt: skip
# No surface gives back all the light, and light between walls would add up.
_WHITEST = 0.86
_RGB = mujoco.mjtTextureRole.mjTEXROLE_RGB
_CUBE = mujoco.mjtTexture.mjTEXTURE_CUBE


def linear(value: np.ndarray) -> np.ndarray:
  """sRGB in [0, 1] as intensity in [0, 1] (IEC 61966-2-1)."""
  value = np.clip(value, 0.0, 1.0)
  bright = ((value + 0.055) / 1.055) ** 2.4
  return np.where(value <= 0.04045, value / 12.92, bright)


def texture_of(model: mujoco.MjModel, material: int) -> int:
  """The texture that colours a material; -1 if none does."""
  return int(model.mat_texid[material, _RGB]) if material >= 0 else -1


def is_cube(model: mujoco.MjModel, texture: int) -> bool:
  return bool(model.tex_type[texture] == _CUBE)


def picture(model: mujoco.MjModel, texture: int) -> np.ndarray:
  """A texture's uint8 pixels [height, width, 3]; a cube's faces in a column."""
  shape = [int(a[texture]) for a in (model.tex_height, model.tex_width)]
  channels = int(model.tex_nchannel[texture])
  start = int(model.tex_adr[texture])
  flat = model.tex_data[start : start + shape[0] * shape[1] * channels]
  pixels = flat.reshape(*shape, channels)
  return pixels[..., :3] if channels >= 3 else pixels[..., :1].repeat(3, -1)


class Finishes:
  """One model's, each made once."""

  def __init__(self, model: mujoco.MjModel):
    self._model = model
    self._made: dict[tuple, mi.BSDF] = {}

  def of(self, geom: mujoco.MjvGeom, thin: bool) -> 'mi.BSDF':
    """How a geom's surface scatters light.

    Args:
      geom: as mjv_updateScene lists it, with its colour settled.
      thin: whether light that enters leaves at once, as in a window's pane.
    """
    rgba = np.round(np.array(geom.rgba, np.float64), 4)
    looks = (geom.specular, geom.shininess, geom.reflectance)
    key = (geom.matid, *rgba, *np.round(looks, 4), thin)
    if key not in self._made:
      self._made[key] = mi.load_dict(self._bsdf(geom, rgba, thin))
    return self._made[key]

  def _bsdf(self, geom: mujoco.MjvGeom, rgba: np.ndarray, thin: bool) -> dict:
    name = self._model.mat(geom.matid).name.lower() if geom.matid >= 0 else ''
    if rgba[3] < 1 or _says(name, _GLASS):
      return _glass(linear(rgba[:3]), min(rgba[3], 0.8), thin)
    color = self.color(geom.matid, rgba[:3])
    if _says(name, _METAL):
      bsdf = _mirror(color, roughness=0.16)
    elif geom.specular < 0.02 or _says(name, _MATT):
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
    self, material: int, tint: np.ndarray, share: float = _WHITEST
  ) -> dict:
    """A share of a material's colour or picture, tinted by sRGB [3]."""
    texture = texture_of(self._model, material)
    if texture < 0:
      return rgb(linear(tint) * share)
    tinted = np.clip(picture(self._model, texture) / 255 * tint, 0, 1)
    pixels = np.ascontiguousarray(linear(tinted) * share, np.float32)
    return {'type': 'bitmap', 'bitmap': mi.Bitmap(pixels), 'raw': True}


def _says(name: str, words: tuple[str, ...]) -> bool:
  return any(w.startswith(words) for w in re.findall('[a-z]+', name))


def rgb(value: np.ndarray) -> dict:
  """Intensities [3] as Mitsuba writes them."""
  return {'type': 'rgb', 'value': [float(v) for v in value]}


def _glass(color: np.ndarray, share: float, thin: bool) -> dict:
  """Clear but for a share of the colour, at each of a thing's two surfaces."""
  tint = rgb(1 - share * (1 - np.sqrt(color)))
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
  """A clear coat on a colour, as rough as Blinn's exponent 128 shininess."""
  alpha = np.sqrt(2 / (128 * shininess + 2))
  return {
    'type': 'roughplastic',
    'diffuse_reflectance': color,
    'specular_reflectance': min(2 * specular, 1.0),
    'alpha': float(np.clip(alpha, 0.05, 0.6)),
  }
