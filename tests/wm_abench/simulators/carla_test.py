"""Tests of moves along lanes, on a map with one crossing.

The streets meet at the origin, and lanes are in the middle of the streets. Lane
implements what the moves need of carla.Waypoint: next, previous, is_junction
and transform.
"""

import dataclasses
import math
import types

import pytest

from commons import errors
from wm_abench.simulators import carla

_CROSSING_M = 8.0  # Half the width of the crossing.
_END_M = 60.0


@dataclasses.dataclass(frozen=True)
class Lane:
  """A point on a straight lane, in Unreal's system (y to the right)."""

  x: float
  y: float
  yaw: float

  @property
  def transform(self):
    return types.SimpleNamespace(
      location=types.SimpleNamespace(x=self.x, y=self.y, z=0.0),
      rotation=types.SimpleNamespace(pitch=0.0, yaw=self.yaw, roll=0.0),
    )

  @property
  def is_junction(self) -> bool:
    return max(abs(self.x), abs(self.y)) < _CROSSING_M

  def _shifted(self, distance_m: float) -> 'Lane':
    angle = math.radians(self.yaw)
    return Lane(
      round(self.x + distance_m * math.cos(angle), 6),
      round(self.y + distance_m * math.sin(angle), 6),
      self.yaw,
    )

  def next(self, distance_m: float) -> list['Lane']:
    after = self._shifted(distance_m)
    if max(abs(after.x), abs(after.y)) > _END_M:
      return []
    if (
      after.is_junction and not self.is_junction
    ):  # Three ways through the crossing.
      return [after] + [
        Lane(0.0, 0.0, self.yaw + turn)._shifted(_CROSSING_M - 2)
        for turn in (-90, 90)
      ]
    return [after]

  def previous(self, distance_m: float) -> list['Lane']:
    return self._shifted(-distance_m)._list_if_inside()

  def _list_if_inside(self) -> list['Lane']:
    return [self] if max(abs(self.x), abs(self.y)) <= _END_M else []


START = Lane(-30.0, 0.0, 0.0)


def test_forward_and_backward_undo_each_other():
  ahead = carla.moved(START, 'forward')
  assert (ahead.x, ahead.y) == (-22.0, 0.0)
  assert carla.moved(ahead, 'backward') == START


def test_forward_at_a_crossing_goes_straight_on():
  after = carla.moved(Lane(-12.0, 0.0, 0.0), 'forward')
  assert after == Lane(-4.0, 0.0, 0.0)


@pytest.mark.parametrize(
  ('action', 'yaw', 'side'), [('turn_left', -90, -1), ('turn_right', 90, 1)]
)
def test_a_turn_leaves_the_crossing_on_its_side(action, yaw, side):
  after = carla.moved(START, action)
  assert after.yaw == yaw and after.x == pytest.approx(0.0, abs=1e-6)
  assert side * after.y > _CROSSING_M and not after.is_junction


def test_a_move_off_the_lane_or_without_a_near_crossing_is_impossible():
  assert carla.moved(Lane(56.0, 0.0, 0.0), 'forward') is None
  assert carla.moved(Lane(-56.0, 0.0, 0.0), 'backward') is None
  assert carla.moved(Lane(-58.0, 0.0, 0.0), 'turn_left') is None
  assert carla.moved(Lane(20.0, 0.0, 0.0), 'turn_left') is None
  assert carla.moved(Lane(0.0, 0.0, 0.0), 'turn_left') is None


def test_an_unknown_action_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match='backward, forward, turn_left'):
    carla.moved(START, 'fly')


def test_the_constructor_fails_at_once_without_a_server():
  pytest.importorskip('carla')
  with pytest.raises(errors.UserError, match=r'localhost:17172.*CarlaUE4'):
    carla.Carla(64, port=17172)
