"""The fast renderer: MuJoCo's own, through EGL or in software through OSMesa.

One OpenGL context serves all models; what a model uploads to it (meshes,
textures) is kept for the few models used last. A camera's vectors are set
straight into the scene, so that any roll is possible, right below a thing too.
"""

import collections
import functools
import importlib
import os
import subprocess
import sys

import mujoco
import numpy as np

from commons import errors
from wm_abench.worlds import protocol

BACKENDS = ('egl', 'osmesa')

_PROBE = 'import mujoco.{0} as gl; gl.GLContext(8, 8).make_current()'
_CONTEXTS = 6  # Models whose meshes and textures stay uploaded.
_GEOMS = 20_000


@functools.cache
def backend() -> str:
  """The way to OpenGL that this host has, one of BACKENDS.

  MUJOCO_GL, where the user has set it, is the only one that is tried. Each is
  tried in a process of its own: a library that fails can take it along.

  Raises:
    UserError: none works; it says what to install.
  """
  asked = os.environ.get('MUJOCO_GL')
  if asked and asked not in BACKENDS:
    raise errors.unknown('MUJOCO_GL', asked, BACKENDS)
  said = ''
  for name in (asked,) if asked else BACKENDS:
    ran = subprocess.run(
      [sys.executable, '-c', _PROBE.format(name)],
      env={**os.environ, 'PYOPENGL_PLATFORM': name},
      capture_output=True,
      text=True,
    )
    if ran.returncode == 0:
      return name
    said = ran.stderr.strip().rpartition('\n')[2] or f'exit {ran.returncode}'
  raise errors.UserError(
    f'this host has no way to render ({asked or ", ".join(BACKENDS)}: {said});'
    ' install libegl1 and libgl1-mesa-dri, or libosmesa6 (Debian: apt-get'
    ' install libegl1 libgl1-mesa-dri)'
  )


class MujocoRenderer:
  """Frames of compiled models.

  Args:
    size_px: of the square frames.
    shadow_px: of the shadow map.
    samples: of each pixel, against jagged edges.
  """

  def __init__(self, size_px: int, shadow_px: int = 2048, samples: int = 4):
    self.size_px = size_px
    self._shadow_px, self._samples = shadow_px, samples
    os.environ['PYOPENGL_PLATFORM'] = name = backend()
    library = importlib.import_module(f'mujoco.{name}')
    self._gl = library.GLContext(size_px, size_px)
    self._gl.make_current()
    # By the model's identity; it is kept alive beside what is made of it.
    self._uploaded: collections.OrderedDict[int, _Uploaded] = (
      collections.OrderedDict()
    )
    self._free = mujoco.MjvCamera()
    self._options = mujoco.MjvOption()

  @staticmethod
  def describe() -> str:
    """Returns one line on how frames are made; see `backend` for errors."""
    return f'MuJoCo {mujoco.__version__} renders through {backend()}'

  def render(
    self, model: mujoco.MjModel, data: mujoco.MjData, camera: protocol.Camera
  ) -> np.ndarray:
    """A uint8 frame [size_px, size_px, 3] of data as mj_forward left it.

    Geoms of the groups 0 to 2 are seen, those of 3 and above are not.
    """
    self._gl.make_current()
    uploaded = self._upload(model)
    scene, context = uploaded.scene, uploaded.context
    mujoco.mjv_updateScene(
      model,
      data,
      self._options,
      None,
      self._free,
      mujoco.mjtCatBit.mjCAT_ALL,
      scene,
    )
    aim(scene, camera, near_m=model.vis.map.znear * model.stat.extent)
    area = mujoco.MjrRect(0, 0, self.size_px, self.size_px)
    # Each context has a buffer of its own; the last one made is the one in use.
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    mujoco.mjr_render(area, scene, context)
    frame_HWC = np.empty((self.size_px, self.size_px, 3), np.uint8)
    mujoco.mjr_readPixels(frame_HWC, None, area, context)
    return frame_HWC[::-1].copy()

  def refresh(self, model: mujoco.MjModel, mesh: int) -> None:
    """Takes up a mesh whose vertices were changed in the model."""
    self._gl.make_current()
    mujoco.mjr_uploadMesh(model, self._upload(model).context, mesh)

  def close(self) -> None:
    self._gl.make_current()
    for uploaded in self._uploaded.values():
      uploaded.context.free()
    self._uploaded.clear()
    self._gl.free()

  def _upload(self, model: mujoco.MjModel) -> '_Uploaded':
    key = id(model)
    if key in self._uploaded:
      self._uploaded.move_to_end(key)
      return self._uploaded[key]
    while len(self._uploaded) >= _CONTEXTS:
      self._uploaded.popitem(last=False)[1].context.free()
    model.vis.global_.offwidth = model.vis.global_.offheight = self.size_px
    model.vis.quality.offsamples = self._samples
    model.vis.quality.shadowsize = self._shadow_px
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    uploaded = _Uploaded(model, mujoco.MjvScene(model, _GEOMS), context)
    self._uploaded[key] = uploaded
    return uploaded


_Uploaded = collections.namedtuple('_Uploaded', ['model', 'scene', 'context'])


def aim(scene: mujoco.MjvScene, camera: protocol.Camera, near_m: float) -> None:
  """Sets both of a scene's eyes; near_m is where the view's frustum begins."""
  position = np.array(camera.position_m)
  forward = np.array(camera.target_m) - position
  forward = forward / np.linalg.norm(forward)
  right = np.cross(forward, camera.up)
  up = np.cross(right / np.linalg.norm(right), forward)
  half = near_m * np.tan(np.radians(camera.fovy_deg) / 2)
  for eye in scene.camera:
    eye.pos[:], eye.forward[:], eye.up[:] = position, forward, up
    eye.frustum_near = near_m
    eye.frustum_bottom, eye.frustum_top = -half, half
    eye.frustum_center, eye.frustum_width = 0.0, half
