import pytest

from commons import errors
from wm_abench.simulators import habitat

FEET = (1.0, 2.0, 0.0)


def test_steps_go_along_the_heading_and_turns_are_on_the_spot():
  position, heading = habitat.moved(FEET, 90.0, 'forward', 0.5, 30.0)
  assert position == pytest.approx((1.0, 2.5, 0.0)) and heading == 90.0
  position, heading = habitat.moved(FEET, 180.0, 'backward', 0.5, 30.0)
  assert position == pytest.approx((1.5, 2.0, 0.0)) and heading == 180.0
  assert habitat.moved(FEET, 350.0, 'turn_left', 0.5, 30.0) == (FEET, 20.0)
  assert habitat.moved(FEET, 10.0, 'turn_right', 0.5, 30.0) == (FEET, 340.0)


def test_twelve_turns_of_thirty_degrees_lead_back():
  heading = 0.0
  for _ in range(12):
    position, heading = habitat.moved(FEET, heading, 'turn_left', 0.5, 30.0)
  assert (position, heading) == (FEET, 0.0)


def test_an_unknown_action_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match='backward, forward, turn_left'):
    habitat.moved(FEET, 0.0, 'jump', 0.5, 30.0)
