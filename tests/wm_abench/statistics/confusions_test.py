import numpy as np
import pytest

from tests.wm_abench import synthetic
from wm_abench.statistics import confusions

_group = synthetic.replies


def test_errors_count_which_outcome_was_chosen():
  ways = ('forward', 'backward', 'turn_left', 'turn_right')
  replies = _group('m_nav_street', 0, ways, (0, 0, 3, None), 'moves')
  result = confusions.errors(replies)['moves']
  assert result['chosen'] == {
    '"forward"': {'"forward"': 1},
    '"backward"': {'"forward"': 1},
    '"turn_left"': {'"turn_right"': 1},
  }
  assert 'shift' not in result


def test_errors_of_numbers_count_by_how_many_ranks():
  replies = [
    *_group(
      'm_ip_intuitive_physics_drop', 0, (0.3, 0.1, 0.4, 0.2), (0, 3, 0, 0)
    ),
    *_group(
      'm_ip_intuitive_physics_drop', 1, (3.0, 1.0, 4.0, 2.0), (1, 1, 1, 1)
    ),
  ]
  result = confusions.errors(replies)['level']
  # Right three times; 0.1 -> 0.2, 0.4 -> 0.3, 0.2 -> 0.3; 3, 4 and 2 -> 1.
  assert result['shift'] == {'-3': 1, '-2': 1, '-1': 2, '0': 2, '1': 2}


def test_errors_of_two_moves_count_which_of_them_is_wrong():
  moves = ('forward, left', 'forward, right', 'backward, left')
  moves += ('backward, right',)
  replies = [
    *_group('t_nav_street', 0, moves, (0, 0, 0, 0), 'moves'),
    *_group('t_nav_street', 1, moves, (1, 1, None, 1), 'moves'),
    # These levels differ in one part only, so they are not counted.
    *_group('t_nav_street', 2, ('a, x', 'b, x', 'c, x', 'd, x'), (0,) * 4),
  ]
  result = confusions.errors(replies)
  assert result['moves']['parts'] == {
    'neither': 2,
    'first': 2,
    'second': 2,
    'both': 1,
  }
  assert 'parts' not in result['level']


def test_a_favoured_colour_is_significant():
  rng, replies = np.random.default_rng(0), []
  for g in range(60):
    levels = ('the blue cube', 'the green cone', 'neither')
    chosen = [0 if rng.random() < 0.7 else int(rng.integers(3)) for _ in levels]
    replies += _group('ms_tabletop', g, levels, chosen, 'faster')
  result = confusions.colours(replies)
  assert set(result) == {'blue', 'green'}
  assert result['blue']['favour'] > 0.3 and result['blue']['p'] < 1e-6
  assert result['green']['favour'] < -0.1
  assert result['blue']['groups'] == 60 and result['blue']['found']
  assert result['blue']['right'] == pytest.approx(1 / 3)
  assert result['blue']['chosen'] > 0.6


def test_a_guess_favours_colours_as_rarely_as_it_should():
  rng, results = np.random.default_rng(1), []
  for _ in range(200):
    replies = []
    for g in range(20):
      levels = ('the blue cube', 'the green cone', 'neither')
      replies += _group('ms_tabletop', g, levels, rng.integers(3, size=3))
    results.append(confusions.colours(replies))
  assert np.mean([f['blue']['p'] <= 0.05 for f in results]) < 0.05 + 0.047
  # A false finding is any of the two colours.
  false = [any(test['found'] for test in f.values()) for f in results]
  assert np.mean(false) < 0.05 + 0.047


def test_a_model_that_is_always_right_favours_no_colour():
  replies = []
  for g in range(10):
    levels = ('the blue cube', 'the green cone', 'neither')
    replies += _group('ms_tabletop', g, levels, (0, 1, 2), 'faster')
  assert all(
    (t['favour'], t['p']) == (0, 1)
    for t in confusions.colours(replies).values()
  )
