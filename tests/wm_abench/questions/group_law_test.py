import collections
import dataclasses

import numpy as np
import pytest

from wm_abench.core import dimensions
from wm_abench.questions import group_law
from wm_abench.worlds import protocol

TEXT = dimensions.CELLS['ms_apartment_table']
IMAGE = dimensions.CELLS['m_nav_indoor']


def _request(cell=TEXT, index=0, seed=0, attempt=0):
  return group_law.Request(cell, index, seed, attempt, simulate=None)


def _shot(name):
  scene = protocol.Scene(name, 0)
  camera = protocol.Camera('front', (0.0, -1.0, 1.0), (0.0, 0.0, 0.0))
  return protocol.Shot('tabletop', scene, (), camera)


def _group(request, options, **change):
  members = [
    {
      'prompt': 'Which?',
      'images': tuple(_shot(f'{i}{k}') for k in range(request.cell.images)),
      'factors': {'speed': i, 'background': 'study'},
    }
    for i in range(len(options))
  ]
  members[1] |= change
  return group_law.assemble(request, 'speed', options, members)


def test_an_assembled_group_keeps_the_law_and_the_keys_of_its_members():
  options = ('slower', 'the same', 'faster')
  orders = collections.Counter()
  for index in range(60):
    group = _group(_request(index=index), options)
    group_law.check(group)
    orders[group.drafts[0].options] += 1
    for draft in group.drafts:
      key = draft.options[draft.answer]
      assert options.index(key) == draft.factors['speed']
  assert len(orders) == 6  # All permutations of three options.


@pytest.mark.parametrize(
  'change',
  [
    {'factors': {'speed': 1, 'background': 'loft'}},  # Two factors differ.
    {'factors': {'speed': 0, 'background': 'study'}},  # No factor differs.
    {'factors': {'speed': 1}},
    {'images': ()},
  ],
)
def test_a_group_that_breaks_the_law_fails_the_check(change):
  group = _group(_request(), ('a', 'b', 'c'), **change)
  with pytest.raises(AssertionError, match='ms_apartment_table/0'):
    group_law.check(group)


def test_two_members_with_one_key_fail_the_check():
  group = _group(_request(), ('a', 'b', 'c'))
  draft = dataclasses.replace(group.drafts[0], answer=group.drafts[1].answer)
  broken = dataclasses.replace(group, drafts=(draft, *group.drafts[1:]))
  with pytest.raises(AssertionError):
    group_law.check(broken)


def test_each_round_of_groups_has_every_combination_of_levels_once():
  factors = {'color': 'rgb', 'size': (1, 2), 'background': tuple('abcd')}
  drawn = [
    tuple(_request(index=i).levels(**factors).values()) for i in range(48)
  ]
  assert set(collections.Counter(drawn).values()) == {2}
  assert drawn[:24] == drawn[24:]
  # The order depends on the seed.
  other = [
    tuple(_request(index=i, seed=1).levels(**factors).values())
    for i in range(24)
  ]
  assert sorted(other) == sorted(drawn[:24]) and other != drawn[:24]


def test_the_generator_depends_on_every_field_of_the_request():
  same = _request(index=3).rng.random(4)
  np.testing.assert_array_equal(_request(index=3).rng.random(4), same)
  for other in ({'index': 4}, {'attempt': 1}, {'seed': 1}, {'cell': IMAGE}):
    different = _request(**({'index': 3} | other)).rng.random(4)
    assert not np.array_equal(different, same)


def _frame(pixels, level):
  frame_HWC = np.zeros((100, 100, 3), np.uint8)
  frame_HWC.reshape(-1, 3)[:pixels] = (level, 0, 0)
  return frame_HWC


def test_frames_are_distinguishable_by_enough_pixels_that_differ_enough():
  blank = _frame(0, 0)
  assert group_law.distinguishable(blank, _frame(40, 25))
  assert not group_law.distinguishable(blank, _frame(39, 25))
  assert not group_law.distinguishable(blank, _frame(10_000, 24))
  assert group_law.distinguishable(_frame(40, 200), blank)


def test_options_and_members_that_look_alike_are_rejected():
  options = tuple(_shot(f'end {i}') for i in range(4))
  group = _group(_request(IMAGE), options)
  looks = {shot: _frame(100 * i, 99) for i, shot in enumerate(options)}
  queries = [d.images[0] for d in group.drafts]
  looks |= {shot: _frame(100 * i, 99) for i, shot in enumerate(queries)}
  group_law.check_frames(group, looks.get)
  with pytest.raises(group_law.Rejected, match='options'):
    group_law.check_frames(group, (looks | {options[1]: looks[options[2]]}).get)
  with pytest.raises(group_law.Rejected, match='members'):
    group_law.check_frames(group, (looks | {queries[1]: looks[queries[2]]}).get)
  # Members with different prompts may have images that look alike.
  reworded = dataclasses.replace(group.drafts[1], prompt='What then?')
  drafts = (group.drafts[0], reworded, *group.drafts[2:])
  group = group_law.Group(group.cell, group.index, group.varies, drafts)
  group_law.check_frames(group, (looks | {queries[1]: looks[queries[2]]}).get)
