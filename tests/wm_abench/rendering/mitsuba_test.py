import io
import subprocess
import sys

import mujoco
import numpy as np
from PIL import Image
import pytest

from wm_abench.worlds import protocol

pytest.importorskip('mitsuba')
renderers = pytest.importorskip('wm_abench.rendering.mitsuba')
materials = pytest.importorskip('wm_abench.rendering.mitsuba_materials')
fast_renderers = pytest.importorskip('wm_abench.rendering.mujoco')

SIZE_PX = 96
FRONT = protocol.Camera('front', (0.0, -3.0, 1.2), (0.0, 0.0, 0.4), fovy_deg=40)
FLOOR = '<geom type="plane" size="3 3 .1" rgba=".8 .8 .8 1" material="wall"/>'
# Red on the left, green on the right, blue above.
SOLIDS = (
  '<geom type="box" size=".2 .2 .25" pos="-.5 0 .25" rgba=".9 .05 .05 1"/>'
  '<geom type="cylinder" size=".2 .25" pos=".5 0 .25" rgba=".05 .7 .05 1"/>'
  '<geom type="sphere" size=".2" pos="0 0 .9" rgba=".05 .1 .9 1"/>'
)
# An emitting material, whose outlines are sharp.
LIT = '<material name="lit" emission="1"/>'
SUN = '<light directional="true" dir="0 0 -1" diffuse=".5 .5 .5"/>'


def _scene(body, asset='', ambient='.3 .3 .3', assets=None):
  model = mujoco.MjModel.from_xml_string(
    f'<mujoco><visual><headlight ambient="{ambient}" diffuse="0 0 0"'
    ' specular="0 0 0"/></visual><statistic center="0 0 0" extent="2"/>'
    f'<asset><material name="wall" specular="0"/>{asset}</asset>'
    f'<worldbody>{body}</worldbody></mujoco>',
    assets,
  )
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  return model, data


def _centre(mask_HW):
  rows, columns = np.nonzero(mask_HW)
  return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def _dominated(frame_HWC, channel):
  """Returns the mask of pixels where one channel clearly exceeds the others."""
  others = np.delete(frame_HWC.astype(float), channel, axis=-1)
  return frame_HWC[..., channel] > 1.3 * others.max(-1) + 20


def _level(frame_HWC):
  """Returns the mean linear intensity of the centre of a frame."""
  return float(materials.linear(frame_HWC[40:56, 40:56] / 255).mean())


@pytest.fixture(scope='module')
def renderer():
  renderer = renderers.MitsubaRenderer(SIZE_PX, samples=16)
  yield renderer
  renderer.close()


@pytest.fixture(scope='module')
def fast():
  renderer = fast_renderers.MujocoRenderer(SIZE_PX)
  yield renderer
  renderer.close()


_RENDER = """
import os, sys, mujoco
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from wm_abench.rendering import mitsuba as renderers
from wm_abench.worlds import protocol
model = mujoco.MjModel.from_binary_path(sys.argv[1])
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = renderers.MitsubaRenderer(int(sys.argv[2]), 16)
frame = renderer.render(model, data, eval('protocol.' + sys.argv[3]))
sys.stdout.buffer.write(frame.tobytes())
"""


def test_pixels_are_the_same_again_and_on_one_core_of_another_process(
  renderer, tmp_path
):
  model, data = _scene(SUN + FLOOR + SOLIDS)
  frame = renderer.render(model, data, FRONT)
  assert frame.shape == (SIZE_PX, SIZE_PX, 3) and frame.dtype == np.uint8
  renderer.render(*_scene(SOLIDS), FRONT)
  np.testing.assert_array_equal(frame, renderer.render(model, data, FRONT))
  path = tmp_path / 'room.mjb'
  mujoco.mj_saveModel(model, str(path))
  process = subprocess.run(
    [sys.executable, '-c', _RENDER, str(path), str(SIZE_PX), repr(FRONT)],
    capture_output=True,
    check=True,
  )
  assert process.stdout == frame.tobytes()


@pytest.mark.parametrize(
  'camera',
  [
    FRONT,
    protocol.Camera('side', (-1.5, -2.2, 0.6), (0.0, 0.0, 0.4), fovy_deg=32),
    protocol.Camera(
      'top', (0, 0.1, 3.5), (0, 0.1, 0), fovy_deg=40, up=(0, 1, 0)
    ),
    protocol.Camera(
      'roll', (0, -3.0, 0.6), (0, 0, 0.5), fovy_deg=40, up=(1, 0, 0)
    ),
  ],
)
def test_both_renderers_draw_solids_at_the_same_pixels(renderer, fast, camera):
  solids = SOLIDS.replace('rgba', 'material="lit" rgba')
  model, data = _scene(solids, LIT, ambient='0 0 0')
  traced = renderer.render(model, data, camera)
  quick = fast.render(model, data, camera)
  for channel in range(3):
    a, b = (_dominated(frame, channel) for frame in (traced, quick))
    assert b.sum() > 100 and (a & b).sum() / (a | b).sum() > 0.9
    np.testing.assert_allclose(_centre(a), _centre(b), atol=0.5)


def test_shapes_and_meshes_have_the_outlines_of_the_fast_renderer(
  renderer, fast
):
  body = (
    '<geom type="capsule" size=".12 .2" pos="-.5 0 .5" euler="20 40 0"'
    ' rgba="1 0 0 1"/>'
    '<geom type="ellipsoid" size=".1 .2 .3" pos="0 0 .5" euler="0 50 0"'
    ' rgba="0 1 0 1"/>'
    '<geom type="mesh" mesh="m" pos=".3 0 .3" euler="0 0 30" rgba="0 0 1 1"/>'
  )
  mesh = '<mesh name="m" vertex="0 0 0 .5 0 0 0 .5 0 0 0 .5"/>'
  lit = body.replace('rgba', 'material="lit" rgba')
  model, data = _scene(lit, LIT + mesh, ambient='0 0 0')
  traced = renderer.render(model, data, FRONT)
  quick = fast.render(model, data, FRONT)
  for channel in range(3):
    a, b = (_dominated(frame, channel) for frame in (traced, quick))
    assert b.sum() > 100 and (a & b).sum() / (a | b).sum() > 0.9


def _png(pixels_HWC):
  memory = io.BytesIO()
  Image.fromarray(np.asarray(pixels_HWC, np.uint8)).save(memory, 'png')
  return memory.getvalue()


_HUES = 255 * np.array(
  [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
)


def _hues_agree(a_HWC, b_HWC):
  """Returns the fraction of lit pixels that have the same bright channels."""
  bits = [f > f.max(-1, keepdims=True) / 2 for f in (a_HWC, b_HWC)]
  lit = (b_HWC.max(-1) > 60) & (a_HWC.max(-1) > 60)
  return (bits[0] == bits[1]).all(-1)[lit].mean()


def test_an_image_on_a_plane_and_on_a_mesh_has_the_same_orientation(
  renderer, fast
):
  assets = {
    'q.png': _png(
      _HUES[:4].reshape(2, 2, 3).repeat(32, axis=0).repeat(32, axis=1)
    )
  }
  asset = (
    '<texture name="q" type="2d" file="q.png"/>'
    '<material name="q" texture="q" texrepeat="1 1" specular="0"/>'
    '<mesh name="m" vertex="-1 0 -1 1 0 -1 1 0 1 -1 0 1 0 1 0"'
    ' face="0 1 2 0 2 3 1 0 4 2 1 4 3 2 4 0 3 4"'
    ' texcoord="0 0 1 0 1 1 0 1 0 0"/>'
  )
  camera = protocol.Camera('front', (0.0, -3.0, 3.0), (0, 0, 0), fovy_deg=40)
  for body in (
    '<geom type="plane" size="1 1 .1" material="q"/>',
    '<geom type="mesh" mesh="m" material="q"/>',
  ):
    model, data = _scene(body, asset, assets=assets, ambient='.8 .8 .8')
    traced = renderer.render(model, data, camera)
    quick = fast.render(model, data, camera)
    assert len(np.unique(quick.reshape(-1, 3) > 60, axis=0)) >= 4
    assert _hues_agree(traced, quick) > 0.93


def test_a_cube_map_on_a_box_has_the_same_orientation(renderer, fast):
  sides = ('right', 'left', 'up', 'down', 'front', 'back')
  assets, files = {}, ''
  for i, side in enumerate(sides):
    # A corner of another hue detects a rotated or mirrored face.
    face = np.tile(_HUES[i], (32, 32, 1))
    face[:12, :12] = _HUES[(i + 1) % 6]
    assets[f'{side}.png'] = _png(face)
    files += f' file{side}="{side}.png"'
  asset = (
    f'<texture name="c" type="cube"{files}/>'
    '<material name="c" texture="c" specular="0"/>'
  )
  model, data = _scene(
    '<geom type="box" size=".5 .4 .3" material="c"/>',
    asset,
    assets=assets,
    ambient='.8 .8 .8',
  )
  for position_m in ((2.0, -2.0, 1.5), (-2.0, 2.0, -1.5)):
    camera = protocol.Camera('corner', position_m, (0, 0, 0), fovy_deg=35)
    traced = renderer.render(model, data, camera)
    quick = fast.render(model, data, camera)
    assert _hues_agree(traced, quick) > 0.93


def test_a_diffuse_floor_follows_lamberts_law(renderer):
  down = protocol.Camera('top', (0, 0, 2.0), (0, 0, 0), up=(0, 1, 0))
  floor = '<geom type="plane" size="3 3 .1" rgba=".7 .7 .7 1" material="wall"/>'
  levels = {}
  for tilt_deg in (0, 60):
    dir_x = np.sin(np.radians(tilt_deg))
    sun = (
      f'<light directional="true" dir="{dir_x} 0 -{np.sqrt(1 - dir_x**2)}"'
      ' diffuse=".5 .5 .5"/>'
    )
    frame = renderer.render(*_scene(sun + floor, ambient='0 0 0'), down)
    levels[tilt_deg] = _level(frame)
  # Exposure 1.3, light 0.5, largest albedo 0.86, and the floor's albedo.
  expected = 1.3 * 0.5 * 0.86 * materials.linear(np.array(0.7))
  assert levels[0] == pytest.approx(expected, rel=0.03)
  assert levels[60] / levels[0] == pytest.approx(np.cos(np.pi / 3), rel=0.03)


def test_a_lamp_of_any_height_is_as_bright_as_a_sun_at_the_centre(
  renderer,
):
  down = protocol.Camera(
    'top', (0, 0, 2.0), (0, 0, 0), fovy_deg=5, up=(0, 1, 0)
  )
  levels = [
    _level(renderer.render(*_scene(light + FLOOR, ambient='0 0 0'), down))
    for light in (
      SUN,
      '<light pos="0 0 2.5" dir="0 0 -1" diffuse=".5 .5 .5"/>',
      '<light pos="0 0 1.5" dir="0 0 -1" diffuse=".5 .5 .5"/>',
    )
  ]
  np.testing.assert_allclose(levels[1:], levels[0], rtol=0.04)


def test_the_shadow_of_a_higher_object_is_softer(renderer):
  down = protocol.Camera('top', (0, 0, 4), (0, 0, 0), fovy_deg=20, up=(0, 1, 0))
  lamp = '<light pos="0 0 3" dir="0 0 -1" diffuse=".5 .5 .5" bulbradius=".4"/>'
  half_lit = []
  for height in (0.1, 1.0):
    plate = (
      f'<geom type="box" size=".3 .3 .01" pos="-.3 0 {height}"'
      ' rgba="0 0 0 1" material="wall"/>'
    )
    frame = renderer.render(
      *_scene(lamp + FLOOR + plate, ambient='0 0 0'), down
    )
    row = materials.linear(frame[46:50].mean((0, 2)) / 255)
    half_lit.append(((row > 0.2 * row.max()) & (row < 0.8 * row.max())).sum())
  assert half_lit[1] > 2 * half_lit[0]


def test_a_mirror_shows_what_is_behind_the_camera(renderer):
  red = '<geom type="sphere" size=".5" pos="0 -5 .6" rgba=".9 0 0 1"/>'
  wall = '<geom type="box" size="1 .02 1" pos="0 1 .6" material="{}"/>'
  asset = '<material name="mirror" reflectance="1" rgba=".1 .1 .1 1"/>'
  camera = protocol.Camera('front', (0, -2, 0.6), (0, 0, 0.6), fovy_deg=40)
  red_pixels = [
    _dominated(
      renderer.render(*_scene(red + wall.format(name), asset), camera), 0
    ).sum()
    for name in ('mirror', 'wall')
  ]
  assert red_pixels[0] > 50 and red_pixels[1] == 0


def test_glass_transmits_the_light_behind_it(renderer):
  lit = '<geom type="box" size="2 .02 2" pos="0 1 0" material="lit"/>'
  ball = '<geom type="sphere" size=".4" rgba=".8 .8 .8 {}" material="{}"/>'
  asset = (
    '<material name="lit" emission=".7"/><material name="clear_glass"/>'
    '<material name="bare"/>'
  )
  camera = protocol.Camera('front', (0, -3, 0), (0, 0, 0), fovy_deg=40)
  opaque, named, thin = (
    _level(
      renderer.render(
        *_scene(lit + ball.format(alpha, name), asset, ambient='0 0 0'), camera
      )
    )
    for alpha, name in ((1, 'bare'), (1, 'clear_glass'), (0.3, 'bare'))
  )
  assert min(named, thin) > 3 * opaque


def test_hidden_groups_and_transparent_geoms_are_not_drawn(renderer):
  ball = '<geom type="sphere" size=".3" pos="0 0 .4" rgba="1 0 0 {}" {}/>'
  for alpha, group, visible in ((1, 2, True), (1, 3, False), (0, 0, False)):
    model, data = _scene(ball.format(alpha, f'group="{group}"'))
    frame = renderer.render(model, data, FRONT)
    assert _dominated(frame, 0).any() == visible


def test_a_geom_that_moves_and_changes_colour_is_drawn_anew(renderer):
  model, data = _scene(
    '<body name="b" mocap="true" pos="-.5 0 .4">'
    '<geom type="sphere" size=".2" rgba=".9 0 0 1"/></body>'
  )
  first = _centre(_dominated(renderer.render(model, data, FRONT), 0))
  data.mocap_pos[0, 0] = 0.5
  model.geom_rgba[0] = (0, 0.8, 0, 1)
  mujoco.mj_forward(model, data)
  frame = renderer.render(model, data, FRONT)
  assert not _dominated(frame, 0).any()
  second = _centre(_dominated(frame, 1))
  assert first[0] + second[0] == pytest.approx(SIZE_PX, abs=1)
  assert second[0] - first[0] > 20


def test_a_changed_mesh_is_drawn_after_refresh(renderer):
  model, data = _scene(
    '<geom type="mesh" mesh="m" rgba="1 0 0 1" pos="0 0 .3"/>',
    '<mesh name="m" vertex="0 0 0 .3 0 0 0 .3 0 0 0 .3"/>',
  )
  before = _dominated(renderer.render(model, data, FRONT), 0).sum()
  model.mesh_vert[:] *= 2
  renderer.refresh(model, 0)
  after = _dominated(renderer.render(model, data, FRONT), 0).sum()
  assert after / before == pytest.approx(4, rel=0.25)


def test_a_sky_has_the_orientation_of_the_fast_renderer(renderer, fast):
  sides = ('right', 'left', 'up', 'down', 'front', 'back')
  assets = {
    f'{s}.png': _png(np.tile(hue, (32, 32, 1)))
    for s, hue in zip(sides, _HUES, strict=True)
  }
  files = ''.join(f' file{s}="{s}.png"' for s in sides)
  asset = f'<texture name="sky" type="skybox"{files}/>'
  model, data = _scene(SOLIDS, asset, assets=assets)
  for aim in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0.1, 1)):
    position_m = np.array([0.0, 0.0, 4.0])
    camera = protocol.Camera(
      'sky', tuple(position_m), tuple(position_m + aim), 80
    )
    traced = renderer.render(model, data, camera)
    quick = fast.render(model, data, camera)
    assert _hues_agree(traced, quick) > 0.95
