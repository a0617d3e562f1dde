import json

import numpy as np
import pytest

from tests.wm_abench import synthetic
from wm_abench.statistics import comparisons

_group = synthetic.replies


def _yes_no(rng, groups, p):
  for g in range(groups):
    right = rng.random(2) < p
    chosen = [m if r else 1 - m for m, r in enumerate(right)]
    yield from _group('cq_tabletop', g, ('x', 'y'), chosen)


def test_two_models_are_compared_on_the_items_of_both():
  first = [*_yes_no(np.random.default_rng(0), 100, 0.6)]
  second = [*_yes_no(np.random.default_rng(1), 120, 0.9)]
  found = comparisons.compare(first, second, 0)
  assert found['items'] == 200
  right = [np.array([r.right for r in side]) for side in (first, second[:200])]
  gap = right[1].mean() - right[0].mean()
  assert found['difference'] == pytest.approx(gap)
  assert 0 < found['low'] < gap < found['high']
  assert found['only_first'] == (right[0] & ~right[1]).sum()
  assert found['only_second'] == (~right[0] & right[1]).sum()
  assert found['p'] < 1e-4
  same = comparisons.compare(first, first, 0)
  assert (same['difference'], same['p'], same['high']) == (0, 1, 0)
  assert comparisons.compare(first, [], 0) == {'items': 0}


def test_stages_are_means_of_scores_above_chance():
  replies = [
    *_group('cq_tabletop', 0, ('x', 'y'), (0, 1)),
    *_group('c_ip_tabletop', 0, tuple('abcd'), (0, 0, 0, 0)),
    *_group('m_nav_street', 0, tuple('abcd'), (0, 1, 2, 3)),
  ]
  found = comparisons.stages(replies, 0)
  assert found['all']['perception']['score'] == 1
  assert found['all']['prediction']['score'] == pytest.approx(0.5)
  assert found['tabletop']['gap']['score'] == pytest.approx(1)
  assert 'gap' not in found['street']


def test_everything_is_jsons_and_of_the_seed():
  replies = [*_yes_no(np.random.default_rng(0), 30, 0.7)]
  first = comparisons.analyse({'a': replies, 'b': replies[::-1]}, 0)
  assert json.loads(json.dumps(first)) == first
  assert comparisons.analyse({'a': replies, 'b': replies[::-1]}, 0) == first


def test_prediction_counts_by_how_likely_its_things_are_named_right():
  colours = ('red', 'blue', 'green', 'white')
  shapes = ('cube', 'cone', 'torus', 'sphere')
  by_cell = {
    # Red is named right, blue never, green half of the time; cubes always.
    'v_c_tabletop': [
      *_group('v_c_tabletop', 0, colours, (0, 0, 2, 3), 'color'),
      *_group('v_c_tabletop', 1, colours, (0, 0, 0, 3), 'color'),
    ],
    'v_s_tabletop': _group('v_s_tabletop', 0, shapes, (0, 0, 0, 0), 'shape'),
    'm_ip_intuitive_physics_drop': [
      *_group(
        'm_ip_intuitive_physics_drop',
        0,
        tuple('abcd'),
        (0, 1, 2, 3),
        colors=['red'],
        shapes=['cube'],
      ),
      *_group(
        'm_ip_intuitive_physics_drop',
        1,
        tuple('abcd'),
        (0, 0, 0, 0),
        colors=['green'],
        shapes=['cube'],
      ),
      *_group(
        'm_ip_intuitive_physics_drop',
        2,
        tuple('abcd'),
        (0, 0, 0, 0),
        colors=['red', 'blue'],
        shapes=['cube'],
      ),
    ],
    'm_nav_street': _group('m_nav_street', 0, tuple('abcd'), (0, 1, 2, 3)),
  }
  found = comparisons.given(by_cell, 0)
  # Of a street's moves no thing has looks that perception asks of.
  assert set(found) == {'m_ip_intuitive_physics_drop'}
  own = found['m_ip_intuitive_physics_drop']
  assert own['accuracy'] == pytest.approx(6 / 12)
  # Weights 1, 1/2 and 0, of 4, 1 and 1 of four.
  assert own['given'] == pytest.approx((4 + 0.5) / (4 + 2))
  assert own['change'] == pytest.approx(4.5 / 6 - 6 / 12)
  assert own['weight'] == pytest.approx(0.5) and own['items'] == 12


def test_perception_that_is_always_right_changes_nothing():
  rng = np.random.default_rng(0)
  looks = ('red', 'blue', 'green', 'white')
  by_cell = {
    'v_c_tabletop': _group('v_c_tabletop', 0, looks, (0, 1, 2, 3), 'color'),
    'c_ip_tabletop': [
      r
      for g in range(30)
      for r in _group(
        'c_ip_tabletop',
        g,
        tuple('abcd'),
        rng.integers(4, size=4).tolist(),
        colors=[looks[g % 4]],
      )
    ],
  }
  own = comparisons.given(by_cell, 0)['c_ip_tabletop']
  assert own['change'] == own['low'] == own['high'] == 0
