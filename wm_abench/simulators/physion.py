"""Physion's slide, drop and collide on ThreeDWorld, which Physion runs on.

Physion's own generators (tdw_physics) are no package; these are scenes of the
three scenarios of its that the paper uses. What is needed is what tdw.py needs.
"""

import dataclasses
import math

import numpy as np

from commons import errors
from wm_abench.simulators import tdw
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import dynamics, props

BACKGROUND = 'box_room_2018'
CAMERA = protocol.Camera('front', (0.0, -3.2, 1.3), (0.0, 0.0, 0.35))

_RAMP_HALF_M = (0.7, 0.35, 0.02)
_FALL_M = 0.8
_RUN_M = 1.2


class Physion(tdw.ThreeDWorld):
  """ThreeDWorld, for scenes that `scene` makes; see tdw.py."""


def scene(
  scenario: str,
  mover: props.Prop,
  target: props.Prop,
  seed: int = 0,
  angle_deg: float = 25.0,
  speed_mps: float = 2.0,
) -> tdw.BoxedScene:
  """A scene of one of SCENARIOS, just before it happens.

  What moves, moves to the right for one who looks from CAMERA.

  Args:
    scenario: the mover slides down a ramp towards the target, drops onto it, or
      collides with it on the floor.
    mover, target: what they look like; where they are is the scenario's.
    seed: of the scene.
    angle_deg: of the ramp.
    speed_mps: of a mover that collides.

  Raises:
    UserError: no such scenario.
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
  """The ramp's foot is where the target stands, less a mover's width."""
  mover, target = start.props
  angle = math.radians(angle_deg)
  half = angle / 2
  turn = (math.cos(half), 0.0, math.sin(half), 0.0)  # Its right end goes down.
  down = np.array([math.cos(angle), 0.0, -math.sin(angle)])
  out = np.array([math.sin(angle), 0.0, math.cos(angle)])
  length, _, thick = _RAMP_HALF_M
  foot = np.array([-target.size_m / 2 - mover.size_m, 0.0, 0.0])
  middle = foot - length * down - thick * out
  at = foot - (2 * length - mover.size_m) * down
  at = at + tdw.height_m(mover) / 2 * out
  ramp = dynamics.Fixed(
    'ramp', tuple(middle.tolist()), _RAMP_HALF_M, turn, friction=0.1
  )
  mover = dataclasses.replace(mover, position_m=tuple(at.tolist()))
  return dataclasses.replace(
    start, props=(mover, target), boxes=(ramp,), turns=((mover.name, turn),)
  )


def _drop(start: tdw.BoxedScene, *_) -> tdw.BoxedScene:
  mover, target = start.props
  height = tdw.height_m(target) + _FALL_M + tdw.height_m(mover) / 2
  mover = dataclasses.replace(mover, position_m=(0.0, 0.0, height))
  return dataclasses.replace(start, props=(mover, target))


def _collide(start: tdw.BoxedScene, _, speed_mps: float) -> tdw.BoxedScene:
  mover, target = start.props
  mover = dataclasses.replace(
    _standing(mover, -_RUN_M), velocity_mps=(float(speed_mps), 0.0, 0.0)
  )
  return dataclasses.replace(start, props=(mover, target))


def _standing(prop: props.Prop, x_m: float) -> props.Prop:
  place = (x_m, 0.0, tdw.height_m(prop) / 2)
  return dataclasses.replace(prop, position_m=place)


_MAKERS = {'slide': _slide, 'drop': _drop, 'collide': _collide}
SCENARIOS: tuple[str, ...] = tuple(_MAKERS)
