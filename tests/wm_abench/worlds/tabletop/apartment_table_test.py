import dataclasses

import numpy as np
import pytest

from commons import errors
from wm_abench.questions import stage_layout
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

SURFACE = surfaces.SURFACES['apartment_table']
CONE = stage_layout.stand('cone', 'cone', 'orange', 0.08, (0.0, 0.1))
END = (0.2, 0.1, CONE.position_m[2])
MOVER = dataclasses.replace(CONE, path=((0.0, CONE.position_m), (2.0, END)))


def _scene(*props, background='dining'):
  return props_lib.PropScene(background, 0, props)


def test_a_prop_follows_its_path_in_the_picture():
  renderer = rendering.MujocoRenderer(96, shadow_px=512)
  world = protocol.make('apartment_table', renderer)
  camera = SURFACE.cameras['top']
  world.reset(_scene())
  empty = world.render(camera).astype(int)
  state = world.reset(_scene(MOVER))
  for step in range(3):
    if step:
      state = world.step(protocol.Action('wait', (1.0,)))
    x_m, y_m, _ = state.bodies['cone'].position_m
    assert (x_m, y_m) == pytest.approx((0.1 * step, 0.1))
    frame = world.render(camera).astype(int)
    orange = frame[..., 0] > 2 * frame[..., 2] + 40
    orange &= np.abs(frame - empty).sum(axis=-1) > 40
    middle = np.argwhere(orange).mean(axis=0)
    right, up = stage_layout.project(camera, (x_m, y_m, 0.03))
    expected = 48 * (1 - up), 48 * (1 + right)
    np.testing.assert_allclose(middle, expected, atol=2.0)
  world.close()
  renderer.close()


def test_its_rooms_are_its_own():
  world = protocol.make('apartment_table', None)
  for background in SURFACE.backgrounds:
    state = world.reset(_scene(CONE, background=background))
    assert state.bodies['cone'].position_m == CONE.position_m
  with pytest.raises(errors.UserError, match='sunroom'):
    world.reset(_scene(CONE, background='loft'))
