"""Physion's scenarios slide, drop and collide on ThreeDWorld.

Physion's generators (tdw_physics) cannot be installed as a package. This module
builds scenes of the three scenarios that the paper uses. For requirements see
tdw.py.
"""

import dataclasses

import numpy as np
from scipy.spatial import transform

from commons import errors
from wm_abench.simulators import coordinates, tdw
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import dynamics, props

BACKGROUND = 'box_room_2018'
CAMERA = protocol.Camera('front', (0.0, -3.2, 1.3), (0.0, 0.0, 0.35))

_RAMP_HALF_M = (0.7, 0.35, 0.02)
_FALL_M = 0.8  # Height of a fall.
_RUN_M = 1.2  # Distance from a colliding mover to its target.


class Physion(tdw.ThreeDWorld):
  """ThreeDWorld, for scenes that `scene` returns; see tdw.py."""


def scene(
  scenario: str,
  mover: props.Prop,
  target: props.Prop,
  seed: int = 0,
  angle_deg: float = 25.0,
  speed_mps: float = 2.0,
) -> tdw.BoxedScene:
  """Returns the start of a scenario.

  Motion is to the right in the view of CAMERA.

  Args:
    scenario: one of SCENARIOS. The mover slides down a ramp towards the target,
      drops onto it, or collides with it on the floor.
    mover: the moving prop; its position is ignored.
    target: the prop at rest; its position is ignored.
    seed: the seed of the scene.
    angle_deg: the angle of the ramp.
    speed_mps: the speed of a mover that collides.

  Raises:
    UserError: the scenario is unknown.
  """
  if scenario not in _MAKERS:
    raise errors.unknown('scenario', scenario, SCENARIOS)
  target = _standing(target, 0.0)
  return _MAKERS[scenario](
    tdw.BoxedScene(BACKGROUND, seed, (mover, target), True),
    angle_deg,
    speed_mps,
  )


def _slide(start: tdw.BoxedScene, angle_deg: float, _) -> tdw.BoxedScene:
  """Puts the mover on a ramp that ends a mover's width before the target."""
  mover, target = start.props
  rotation = transform.Rotation.from_euler('y', angle_deg, degrees=True)
  down, normal = rotation.apply([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
  half_length, _, half_thickness = _RAMP_HALF_M
  foot = np.array([-target.size_m / 2 - mover.size_m, 0.0, 0.0])
  middle = foot - half_length * down - half_thickness * normal
  position = foot - (2 * half_length - mover.size_m) * down
  position = position + props.height_m(mover) / 2 * normal
  turn = coordinates.quaternion(rotation)
  ramp = dynamics.Fixed(
    'ramp', tuple(middle.tolist()), _RAMP_HALF_M, turn, friction=0.1
  )
  mover = dataclasses.replace(mover, position_m=tuple(position.tolist()))
  return dataclasses.replace(
    start, props=(mover, target), boxes=(ramp,), turns=((mover.name, turn),)
  )


def _drop(start: tdw.BoxedScene, *_) -> tdw.BoxedScene:
  mover, target = start.props
  height = props.height_m(target) + _FALL_M + props.height_m(mover) / 2
  mover = dataclasses.replace(mover, position_m=(0.0, 0.0, height))
  return dataclasses.replace(start, props=(mover, target))


def _collide(start: tdw.BoxedScene, _, speed_mps: float) -> tdw.BoxedScene:
  mover, target = start.props
  mover = dataclasses.replace(
    _standing(mover, -_RUN_M), velocity_mps=(float(speed_mps), 0.0, 0.0)
  )
  return dataclasses.replace(start, props=(mover, target))


def _standing(prop: props.Prop, x_m: float) -> props.Prop:
  position_m = (x_m, 0.0, props.height_m(prop) / 2)
  return dataclasses.replace(prop, position_m=position_m)


_MAKERS = {'slide': _slide, 'drop': _drop, 'collide': _collide}
SCENARIOS: tuple[str, ...] = tuple(_MAKERS)
