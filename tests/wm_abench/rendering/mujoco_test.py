import hashlib
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from commons import errors
from wm_abench.rendering import mujoco as renderers
from wm_abench.worlds import protocol

SIZE_PX = 128
FRONT = protocol.Camera('front', (0.2, -3.0, 1.0), (0.0, 0.0, 0.3), fovy_deg=40)
ROOM = (
  '<light pos="0 0 3"/><geom type="plane" size="2 2 .1"/>'
  '<geom type="box" size=".2 .3 .4" pos=".3 0 .4" rgba="1 0 0 1"/>'
)


def _scene(body, asset=''):
  model = mujoco.MjModel.from_xml_string(
    '<mujoco><visual><headlight ambient="1 1 1" diffuse="0 0 0"'
    f' specular="0 0 0"/></visual><asset>{asset}</asset>'
    f'<worldbody>{body}</worldbody></mujoco>'
  )
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  return model, data


def _ball(x, y, z, rgba='1 1 1 1', attributes=''):
  return (
    f'<geom type="sphere" size=".03" pos="{x} {y} {z}" rgba="{rgba}"'
    f' {attributes}/>'
  )


def _centre(mask_HW):
  """Returns the centre of a mask as (column, row), in pixels."""
  rows, columns = np.nonzero(mask_HW)
  return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


@pytest.fixture(scope='module')
def renderer():
  renderer = renderers.MujocoRenderer(SIZE_PX)
  yield renderer
  renderer.close()


_RENDER = """
import hashlib, sys, mujoco
from wm_abench.rendering import mujoco as renderers
from wm_abench.worlds import protocol
model = mujoco.MjModel.from_binary_path(sys.argv[1])
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = renderers.MujocoRenderer(int(sys.argv[2]))
frame = renderer.render(model, data, eval('protocol.' + sys.argv[3]))
print(hashlib.sha256(frame.tobytes()).hexdigest())
"""


def test_pixels_are_the_same_again_and_in_another_process(renderer, tmp_path):
  model, data = _scene(ROOM)
  frame = renderer.render(model, data, FRONT)
  assert frame.shape == (SIZE_PX, SIZE_PX, 3) and frame.dtype == np.uint8
  assert len(np.unique(frame)) > 20
  np.testing.assert_array_equal(frame, renderer.render(model, data, FRONT))
  path = str(tmp_path / 'room.mjb')
  mujoco.mj_saveModel(model, path)
  process = subprocess.run(
    [sys.executable, '-c', _RENDER, path, str(SIZE_PX), repr(FRONT)],
    capture_output=True,
    text=True,
    check=True,
  )
  assert process.stdout.strip() == hashlib.sha256(frame.tobytes()).hexdigest()


# Pinhole projection: for a point at x to the right and z ahead of the camera,
# the column is (1 + x / (z tan(fovy / 2))) / 2 of the width.
@pytest.mark.parametrize(
  ('camera', 'forward', 'right', 'up'),
  [
    (
      protocol.Camera('front', (0.0, -2.0, 0.0), (0.0, 0.0, 0.0), fovy_deg=40),
      (0, 1, 0),
      (1, 0, 0),
      (0, 0, 1),
    ),
    (
      protocol.Camera('left', (-2.0, 0.0, 0.0), (0.0, 0.0, 0.0), fovy_deg=60),
      (1, 0, 0),
      (0, -1, 0),
      (0, 0, 1),
    ),
    (
      protocol.Camera(
        'top', (0.0, 0.0, 2.0), (0.0, 0.0, 0.0), 50, up=(0, 1, 0)
      ),
      (0, 0, -1),
      (1, 0, 0),
      (0, 1, 0),
    ),
    (
      protocol.Camera(
        'top', (0.0, 0.0, 2.0), (0.0, 0.0, 0.0), 50, up=(1, 0, 0)
      ),
      (0, 0, -1),
      (0, -1, 0),
      (1, 0, 0),
    ),
    (
      protocol.Camera(
        'roll', (0.0, -2.0, 0.0), (0.0, 0.0, 0.0), 50, up=(1, 0, 0)
      ),
      (0, 1, 0),
      (0, 0, -1),
      (1, 0, 0),
    ),
  ],
)
def test_a_point_is_at_its_pinhole_projection(
  renderer, camera, forward, right, up
):
  point = np.array([0.21, -0.13, 0.34])
  model, data = _scene(_ball(*point))
  frame = renderer.render(model, data, camera)
  offset = point - camera.position_m
  depth = offset @ forward * np.tan(np.radians(camera.fovy_deg) / 2)
  column = SIZE_PX / 2 * (1 + offset @ right / depth)
  row = SIZE_PX / 2 * (1 - offset @ up / depth)
  centre = _centre(frame[..., 0] > 128)
  np.testing.assert_allclose(centre, [column, row], atol=0.5)


def test_more_models_than_are_cached_keep_their_frames(renderer):
  levels = [round(0.1 * i, 1) for i in range(1, 9)]
  scenes = [_scene(_ball(0, 0, 0.3, f'{v} 0 0 1')) for v in levels]
  for _ in range(2):
    for level, (model, data) in zip(levels, scenes, strict=True):
      peak = renderer.render(model, data, FRONT)[..., 0].max()
      assert peak == pytest.approx(255 * level, abs=1)


def test_only_groups_0_to_2_are_visible(renderer):
  for group in range(6):
    model, data = _scene(_ball(0, 0, 0.3, attributes=f'group="{group}"'))
    is_visible = renderer.render(model, data, FRONT).any()
    assert is_visible == (group <= 2)


def test_a_changed_mesh_is_drawn_after_refresh(renderer):
  model, data = _scene(
    '<geom type="mesh" mesh="m" contype="0" conaffinity="0"/>',
    '<mesh name="m" vertex="0 0 0 .3 0 0 0 .3 0 0 0 .3"/>',
  )
  before = (renderer.render(model, data, FRONT) > 0).sum()
  model.mesh_vert[:] *= 2
  renderer.refresh(model, 0)
  after = (renderer.render(model, data, FRONT) > 0).sum()
  assert after / before == pytest.approx(4, rel=0.25)


def test_an_unknown_backend_is_reported_with_the_choices(monkeypatch):
  monkeypatch.setenv('MUJOCO_GL', 'glx')
  renderers.backend.cache_clear()
  try:
    with pytest.raises(errors.UserError, match=r"MUJOCO_GL 'glx'.*egl, osmesa"):
      renderers.backend()
  finally:
    renderers.backend.cache_clear()
