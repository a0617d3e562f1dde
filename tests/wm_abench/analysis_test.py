import json

import numpy as np
import pytest

from wm_abench import analysis, types


def _group(cell, group, levels, chosen, varies='level', **factors):
  """A group whose i-th option is the answer at levels[i]."""
  options = len(levels)
  return [
    types.Reply(
      item=f'{cell}/{group}/{i}',
      cell=cell,
      group=f'{cell}/{group}',
      order=tuple(range(options)),
      turn=0,
      answer=i,
      chosen=chosen[i],
      status=types.ANSWERED if chosen[i] is not None else types.UNPARSED,
      varies=varies,
      factors={varies: levels[i], **factors},
    )
    for i in range(options)
  ]


def test_errors_tell_which_outcome_was_chosen():
  ways = ('forward', 'backward', 'turn_left', 'turn_right')
  replies = _group('m_nav_street', 0, ways, (0, 0, 3, None), 'moves')
  found = analysis.errors(replies)['moves']
  assert found['chosen'] == {
    '"forward"': {'"forward"': 1},
    '"backward"': {'"forward"': 1},
    '"turn_left"': {'"turn_right"': 1},
  }
  assert 'shift' not in found


def test_errors_of_numbers_tell_too_little_from_too_much():
  replies = [
    *_group(
      'm_ip_intuitive_physics_drop', 0, (0.3, 0.1, 0.4, 0.2), (0, 3, 0, 0)
    ),
    *_group(
      'm_ip_intuitive_physics_drop', 1, (3.0, 1.0, 4.0, 2.0), (1, 1, 1, 1)
    ),
  ]
  found = analysis.errors(replies)['level']
  # Right three times; 0.1 -> 0.2, 0.4 -> 0.3, 0.2 -> 0.3; 3, 4 and 2 -> 1.
  assert found['shift'] == {'-3': 1, '-2': 1, '-1': 2, '0': 2, '1': 2}


def test_a_colour_that_is_favoured_is_found():
  rng, replies = np.random.default_rng(0), []
  for g in range(60):
    levels = ('the blue cube', 'the green cone', 'neither')
    chosen = [0 if rng.random() < 0.7 else int(rng.integers(3)) for _ in levels]
    replies += _group('ms_tabletop', g, levels, chosen, 'faster')
  found = analysis.colours(replies)
  assert set(found) == {'blue', 'green'}
  assert found['blue']['favour'] > 0.3 and found['blue']['p'] < 1e-6
  assert found['green']['favour'] < -0.1
  assert found['blue']['groups'] == 60


def test_who_is_always_right_favours_no_colour():
  replies = []
  for g in range(10):
    levels = ('the blue cube', 'the green cone', 'neither')
    replies += _group('ms_tabletop', g, levels, (0, 1, 2), 'faster')
  assert all(
    (t['favour'], t['p']) == (0, 1) for t in analysis.colours(replies).values()
  )


def _yes_no(rng, groups, p):
  for g in range(groups):
    right = rng.random(2) < p
    chosen = [m if r else 1 - m for m, r in enumerate(right)]
    yield from _group('cq_tabletop', g, ('x', 'y'), chosen)


def test_two_models_are_compared_on_the_items_of_both():
  first = [*_yes_no(np.random.default_rng(0), 100, 0.6)]
  second = [*_yes_no(np.random.default_rng(1), 120, 0.9)]
  found = analysis.compare(first, second, 0)
  assert found['items'] == 200
  right = [np.array([r.right for r in side]) for side in (first, second[:200])]
  gap = right[1].mean() - right[0].mean()
  assert found['difference'] == pytest.approx(gap)
  assert 0 < found['low'] < gap < found['high']
  assert found['only_first'] == (right[0] & ~right[1]).sum()
  assert found['only_second'] == (~right[0] & right[1]).sum()
  assert found['p'] < 1e-4
  same = analysis.compare(first, first, 0)
  assert (same['difference'], same['p'], same['high']) == (0, 1, 0)
  assert analysis.compare(first, [], 0) == {'items': 0}


def test_stages_are_means_of_scores_above_chance():
  replies = [
    *_group('cq_tabletop', 0, ('x', 'y'), (0, 1)),
    *_group('c_ip_tabletop', 0, tuple('abcd'), (0, 0, 0, 0)),
    *_group('m_nav_street', 0, tuple('abcd'), (0, 1, 2, 3)),
  ]
  found = analysis.stages(replies, 0)
  assert found['all']['perception']['score'] == 1
  assert found['all']['prediction']['score'] == pytest.approx(0.5)
  assert found['tabletop']['gap']['score'] == pytest.approx(1)
  assert 'gap' not in found['street']


def test_everything_is_jsons_and_of_the_seed():
  replies = [*_yes_no(np.random.default_rng(0), 30, 0.7)]
  first = analysis.analyse({'a': replies, 'b': replies[::-1]}, 0)
  assert json.loads(json.dumps(first)) == first
  assert analysis.analyse({'a': replies, 'b': replies[::-1]}, 0) == first
