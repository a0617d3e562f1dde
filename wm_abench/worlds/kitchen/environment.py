"""Panda arms at a kitchen counter: contact and friction move the objects.

The environment stands in for ManiSkill3 with RoboCasa's kitchens. Seen by the
camera 'front', x points right and y away; the top of the counter is z = 0. The
actions with their values in order are listed below, where `thing` is an index
into the things of the scene, and headings are in degrees: right (0), away (90),
left (180), towards the viewer (270).

    push(thing, heading, distance_m, over_m): the fingers go down behind the
      thing, push it by a distance along the heading, and go up. With over_m > 0
      they pass this far above its top instead.
    lift(thing, height_m, grips): the fingers go down around the thing, close if
      grips is 1, and go up by a height.
    turn(axis, angle_deg): the hand turns clockwise as seen from above (axis 0)
      or by the camera 'front' (axis 1).
    carry(x_m, y_m, z_m): the hand moves straight by a vector.
    release(): the fingers open.
    push_together(heading_left, heading_right, distance_m): both arms push the
      long thing of the scene at the same time, each at its end.
    lift_together(height_left_m, height_right_m, grips_left, grips_right): both
      hands go down around its ends, close or not, and go up.
    wait(seconds): time passes.

In the actions of one arm, the agent of the action names it, and the left arm is
the default. The bodies of a state are the things and the hands.
"""

import numpy as np

from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import scenes, simulation

CAMERAS: dict[str, protocol.Camera] = {
  name: protocol.Camera(name, position_m, (0.0, 0.02, target_z_m), fovy_deg)
  for name, position_m, target_z_m, fovy_deg in (
    ('front', (0.0, -1.22, 0.56), 0.17, 43.0),
    ('front_left', (-0.42, -1.14, 0.60), 0.16, 43.0),
    ('front_right', (0.42, -1.14, 0.60), 0.16, 43.0),
    ('high', (0.0, -1.02, 0.90), 0.09, 43.0),
  )
}


class Manipulation:
  """The environment; the module lists its actions.

  Args:
    renderer: None for an environment that is only stepped.
  """

  def __init__(self, renderer: protocol.Renderer | None = None):
    self._renderer = renderer
    self._simulations: dict[tuple[str, ...], simulation.Simulation] = {}
    self._simulation: simulation.Simulation | None = None

  def reset(self, scene: scenes.ManipulationScene) -> protocol.State:
    """Puts things and arms at their initial poses.

    Raises:
      UserError: see scenes.check.
    """
    scenes.check(scene)
    if scene.arms not in self._simulations:
      self._simulations[scene.arms] = simulation.Simulation(scene.arms)
    self._simulation = self._simulations[scene.arms]
    self._simulation.reset(scene)
    return self._simulation.state()

  def step(self, action: protocol.Action) -> protocol.State:
    """Performs an action until everything rests.

    Raises:
      UserError: the action, thing or arm is unknown, or a value is not valid.
      Unreachable: the arm cannot reach a pose of the action.
    """
    self._simulation.act(action)
    return self._simulation.state()

  def render(self, camera: protocol.Camera) -> np.ndarray:
    """Returns a uint8 frame [H, W, 3]."""
    return self._renderer.render(
      self._simulation.model, self._simulation.data, camera
    )

  def close(self) -> None:
    self._simulations.clear()
