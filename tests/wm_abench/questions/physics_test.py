import itertools

import numpy as np
import pytest

from wm_abench.core import dimensions
from wm_abench.questions import (
  group_law,
  physics,
  physics_kinds,
  physics_scenarios,
)
from wm_abench.worlds import protocol, registry

CELLS = [c for c in dimensions.CELLS.values() if c.dimension.endswith('-IP')]
WORLDS = {}


def simulate(environment, scene, actions=()):
  if environment not in WORLDS:
    WORLDS[environment] = registry.open_environment(environment, None)
  world = WORLDS[environment]
  states = [world.reset(scene)]
  return (*states, *(world.step(action) for action in actions))


def end_of(shot):
  return simulate(shot.environment, shot.scene, shot.actions)[-1]


def draft(cell, index):
  for attempt in range(20):
    request = group_law.Request(cell, index, 0, attempt, simulate)
    try:
      return physics.MAKERS[cell.dimension](request)
    except group_law.Rejected:
      continue
  raise AssertionError('rejected 20 times')


@pytest.fixture(scope='module')
def drafted():
  return {cell.name: [draft(cell, i) for i in range(12)] for cell in CELLS}


def groups_of(drafted, action):
  return drafted[f'm_ip_intuitive_physics_{action}']


@pytest.mark.parametrize('cell', [c.name for c in CELLS])
def test_groups_keep_the_law(drafted, cell):
  for group in drafted[cell]:
    group_law.check(group)


@pytest.mark.parametrize('cell', [c.name for c in CELLS])
def test_the_key_continues_the_pictures_of_its_member(drafted, cell):
  """All shots have the same scene, and each is one wait after the last one."""
  for group in drafted[cell]:
    for member in group.drafts:
      film = [*member.images, member.options[member.answer]]
      assert len({shot.scene for shot in film}) == 1
      waits = [b.actions[len(a.actions) :] for a, b in itertools.pairwise(film)]
      step = protocol.Action('wait', (member.factors['step_s'],))
      assert waits == [(step,)] * len(waits)


@pytest.mark.parametrize('cell', [c.name for c in CELLS])
def test_the_last_pictures_of_all_members_agree(drafted, cell):
  """The option that is most similar to it is the same for all members."""
  for group in drafted[cell]:
    lasts = [end_of(member.images[-1]) for member in group.drafts]
    firsts = [end_of(member.images[0]) for member in group.drafts]
    ends = [end_of(option) for option in group.drafts[0].options]
    for a, b in itertools.combinations(range(len(lasts)), 2):
      assert physics.moved_m(lasts[a], lasts[b]) < 0.012
      assert physics.moved_m(firsts[a], firsts[b]) > 0.02
      assert physics.moved_m(ends[a], ends[b]) >= physics.APART_M


def _ordered(group, factor, measure):
  """Returns a measurement of each outcome, in the order of the factor."""
  members = sorted(group.drafts, key=lambda d: d.factors[factor])
  return [measure(end_of(d.options[d.answer]), d) for d in members]


def _along(state, draft, name='mover'):
  """Returns the position along the direction of motion."""
  return draft.factors['way'] * state.bodies[name].position_m[0]


def _rising(values):
  return all(b > a for a, b in itertools.pairwise(values))


def test_objects_that_slide_from_higher_or_faster_get_farther(drafted):
  factors = {'ramp': 'rise_m', 'bench': 'speed_mps'}
  kinds = set()
  for group in groups_of(drafted, 'slide'):
    kind = group.drafts[0].factors['kind']
    kinds.add(kind)
    assert _rising(_ordered(group, factors[kind], _along))
  assert kinds == set(factors)


def test_objects_that_fell_farther_are_lower_unless_they_bounce(drafted):
  kinds = set()
  for group in groups_of(drafted, 'drop'):
    kind = group.drafts[0].factors['kind']
    kinds.add(kind)
    if kind == 'fall':
      heights = _ordered(
        group, 'fallen_m', lambda s, d: -s.bodies['mover'].position_m[2]
      )
      assert _rising(heights)
    if kind == 'flight':
      assert _rising(_ordered(group, 'sideways_mps', _along))
    if kind == 'bounce':
      speeds = _ordered(
        group, 'fallen_m', lambda s, d: s.bodies['mover'].velocity_mps[2]
      )
      assert speeds[-1] > max(speeds[0], 0.0)
  assert kinds == set(physics_kinds.KINDS['drop'])


def test_the_speed_of_a_fall_depends_only_on_its_height(drafted):
  """v = sqrt(2 g h), independent of material and size."""
  for group in groups_of(drafted, 'drop'):
    for member in group.drafts:
      if member.factors['kind'] != 'fall':
        continue
      state = end_of(member.images[-1])
      speed_mps = np.sqrt(2 * physics_scenarios.G * member.factors['fallen_m'])
      assert -state.bodies['mover'].velocity_mps[2] == pytest.approx(
        speed_mps, rel=0.02
      )


def test_a_faster_collision_moves_the_target_farther(drafted):
  kinds = set()
  for group in groups_of(drafted, 'collide'):
    kind = group.drafts[0].factors['kind']
    kinds.add(kind)
    if kind == 'head_on':
      target = _ordered(group, 'speed_mps', lambda s, d: _along(s, d, 'target'))
      assert _rising(target)
    else:
      # A target that is hit from one side leaves to the other side.
      target = _ordered(
        group, 'aim_deg', lambda s, d: s.bodies['target'].velocity_mps[0]
      )
      assert target[0] * target[-1] < 0
  assert kinds == {'head_on', 'aimed'}


def test_the_faster_of_two_spheres_pushes_the_target_its_way(drafted):
  for group in drafted['c_ip_tabletop']:
    shifts = {}
    for member in group.drafts:
      before, after = (
        end_of(s) for s in (member.images[0], member.options[member.answer])
      )
      left, right = (
        np.array(before.bodies[n].position_m[:2]) for n in ('left', 'right')
      )
      ahead = (right - left) / np.linalg.norm(right - left)
      moved = np.subtract(
        after.bodies['target'].position_m, before.bodies['target'].position_m
      )
      shifts[tuple(member.factors['paces'])] = float(moved[:2] @ ahead)
    assert shifts['fast', 'slow'] > 0.005 > -0.005 > shifts['slow', 'fast']
    for pace in ('slow', 'fast'):
      assert abs(shifts[pace, pace]) < shifts['fast', 'slow'] / 2
