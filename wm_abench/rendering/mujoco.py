"""The fast renderer: that of MuJoCo, through EGL or in software through OSMesa.

One OpenGL context serves all models. It keeps the uploaded meshes and textures
of the models that were used last. The vectors of a camera are written into the
scene directly, so that any roll is possible, also for a camera straight above.
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
from wm_abench.worlds import cameras, protocol

BACKENDS = ('egl', 'osmesa')

_PROBE = 'import mujoco.{0} as gl; gl.GLContext(8, 8).make_current()'
_CONTEXTS = 6  # So many models stay uploaded.
_GEOMS = 20_000


@functools.cache
def backend() -> str:
  """Returns the first of BACKENDS that works on this host.

  If the user has set MUJOCO_GL, only that one is tried. Each is tried in a
  separate process, because a library that fails can crash it.

  Raises:
    UserError: MUJOCO_GL is unknown, or no backend works.
  """
  requested = os.environ.get('MUJOCO_GL')
  if requested and requested not in BACKENDS:
    raise errors.unknown('MUJOCO_GL', requested, BACKENDS)
  message = ''
  for name in (requested,) if requested else BACKENDS:
    probe = subprocess.run(
      [sys.executable, '-c', _PROBE.format(name)],
      env={**os.environ, 'PYOPENGL_PLATFORM': name},
      capture_output=True,
      text=True,
    )
    if probe.returncode == 0:
      return name
    message = probe.stderr.strip().rpartition('\n')[2]
    message = message or f'exit {probe.returncode}'
  raise errors.UserError(
    f'this host cannot render with {requested or " or ".join(BACKENDS)}'
    f' ({message}); install libegl1 and libgl1-mesa-dri, or libosmesa6 (Debian:'
    ' apt-get install libegl1 libgl1-mesa-dri)'
  )


class MujocoRenderer:
  """Draws frames of compiled models.

  Args:
    size_px: width and height of a frame.
    shadow_px: width and height of the shadow map.
    samples: per pixel, for anti-aliasing.
  """

  def __init__(self, size_px: int, shadow_px: int = 2048, samples: int = 4):
    self.size_px = size_px
    self._shadow_px, self._samples = shadow_px, samples
    os.environ['PYOPENGL_PLATFORM'] = name = backend()
    library = importlib.import_module(f'mujoco.{name}')
    self._gl = library.GLContext(size_px, size_px)
    self._gl.make_current()
    # By the id of the model, which stays alive as part of the entry.
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
    """Returns a uint8 frame [size_px, size_px, 3].

    Args:
      model: its geoms of the groups 0 to 2 are visible, the others are not.
      data: after mj_forward.
      camera: without a mount.
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
    # Each MjrContext has its own buffer; the last one created is active.
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    mujoco.mjr_render(area, scene, context)
    frame_HWC = np.empty((self.size_px, self.size_px, 3), np.uint8)
    mujoco.mjr_readPixels(frame_HWC, None, area, context)
    return frame_HWC[::-1].copy()

  def refresh(self, model: mujoco.MjModel, mesh: int) -> None:
    """Uploads a mesh again, after its vertices have changed in the model."""
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
  """Sets both eyes of a scene to a camera with its near plane at near_m."""
  _, up, forward = cameras.axes(camera)
  half = near_m * np.tan(np.radians(camera.fovy_deg) / 2)
  for eye in scene.camera:
    eye.pos[:], eye.forward[:], eye.up[:] = camera.position_m, forward, up
    eye.frustum_near = near_m
    eye.frustum_bottom, eye.frustum_top = -half, half
    eye.frustum_center, eye.frustum_width = 0.0, half
