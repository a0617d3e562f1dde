import numpy as np
import pytest

from commons import errors
from wm_abench.simulators import coordinates, physion
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import dynamics, props

BALL = props.Prop('ball', 'sphere', 'red', 0.2, (9.0, 9.0, 9.0))
CUBE_BELOW = props.Prop('below', 'cube', 'green', 0.4, (0.0, 0.0, 0.0))
CUBE = props.Prop('cube', 'cube', 'blue', 0.3, (9.0, 9.0, 9.0))


def _run(scene, seconds):
  """Simulates a scene in MuJoCo; returns its first and last bodies."""
  turns = dict(scene.turns)
  starts = {
    p.name: protocol.Body(
      p.position_m, turns.get(p.name, coordinates.yaw(0)), p.velocity_mps
    )
    for p in scene.props
  }
  world = dynamics.Dynamics(scene.props, scene.boxes, initial=starts)
  first = world.bodies()
  world.step(seconds)
  return first, world.bodies()


@pytest.mark.parametrize('mover', [BALL, CUBE])
def test_a_slider_comes_down_the_ramp_and_hits_the_target(mover):
  target = props.Prop('target', 'cube', 'green', 0.2, (0.0, 0.0, 0.0))
  scene = physion.scene('slide', mover, target, angle_deg=35.0)
  first, last = _run(scene, 2.0)
  assert first[mover.name].position_m[2] > 0.5
  assert last[mover.name].position_m[2] < 0.3
  assert last['target'].position_m[0] - first['target'].position_m[0] > 0.01


def test_a_slider_starts_on_the_surface_of_the_ramp():
  scene = physion.scene('slide', CUBE, BALL)
  first, soon = _run(scene, 0.02)
  moved_m = np.subtract(soon['cube'].position_m, first['cube'].position_m)
  # Less than in a free fall, or if a contact force expelled the cube.
  assert np.linalg.norm(moved_m) < 0.003
  assert np.linalg.norm(soon['cube'].velocity_mps) < 0.2


def test_a_dropped_object_lands_on_the_target():
  scene = physion.scene('drop', CUBE, CUBE_BELOW)
  first, last = _run(scene, 2.0)
  assert first['cube'].position_m[2] == pytest.approx(0.4 + 0.8 + 0.15)
  assert last['cube'].position_m[2] == pytest.approx(0.55, abs=0.01)


def test_a_collision_moves_the_target():
  scene = physion.scene('collide', BALL, CUBE, speed_mps=3.0)
  first, last = _run(scene, 1.0)
  assert first['ball'].velocity_mps == (3.0, 0.0, 0.0)
  assert last['cube'].position_m[0] > first['cube'].position_m[0] + 0.02


def test_an_unknown_scenario_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match='collide, drop, slide'):
    physion.scene('drape', BALL, CUBE)
