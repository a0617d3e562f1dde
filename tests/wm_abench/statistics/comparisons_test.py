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
  result = comparisons.compare(first, second, 0)
  assert result['items'] == 200
  right = [np.array([r.right for r in side]) for side in (first, second[:200])]
  gap = right[1].mean() - right[0].mean()
  assert result['difference'] == pytest.approx(gap)
  assert 0 < result['low'] < gap < result['high']
  assert result['only_first'] == (right[0] & ~right[1]).sum()
  assert result['only_second'] == (~right[0] & right[1]).sum()
  assert result['p'] < 1e-4
  same = comparisons.compare(first, first, 0)
  assert (same['difference'], same['p'], same['high']) == (0, 1, 0)
  assert comparisons.compare(first, [], 0) == {'items': 0}


def test_stages_are_means_of_scores_above_chance():
  replies = [
    *_group('cq_tabletop', 0, ('x', 'y'), (0, 1)),
    *_group('c_ip_tabletop', 0, tuple('abcd'), (0, 0, 0, 0)),
    *_group('m_nav_street', 0, tuple('abcd'), (0, 1, 2, 3)),
  ]
  result = comparisons.stages(replies, 0)
  assert result['all']['perception']['score'] == 1
  assert result['all']['prediction']['score'] == pytest.approx(0.5)
  assert result['tabletop']['gap']['score'] == pytest.approx(1)
  assert 'gap' not in result['street']


def test_analyses_are_json_and_depend_on_the_seed_alone():
  replies = [*_yes_no(np.random.default_rng(0), 30, 0.7)]
  first = comparisons.analyse({'a': replies, 'b': replies[::-1]}, 0)
  assert json.loads(json.dumps(first)) == first
  assert comparisons.analyse({'a': replies, 'b': replies[::-1]}, 0) == first


def test_prediction_is_weighted_by_how_likely_its_objects_are_named():
  colours = ('red', 'blue', 'green', 'white')
  shapes = ('cube', 'cone', 'torus', 'sphere')
  by_cell = {
    # Accuracy: red 1, blue 0, green 1/2; cube 1.
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
  result = comparisons.given(by_cell, 0)
  # Street items have no object whose colour perception asks for.
  assert set(result) == {'m_ip_intuitive_physics_drop'}
  cell = result['m_ip_intuitive_physics_drop']
  assert cell['accuracy'] == pytest.approx(6 / 12)
  # The groups have weights 1, 1/2 and 0, and 4, 1 and 1 right of 4.
  assert cell['given'] == pytest.approx((4 + 0.5) / (4 + 2))
  assert cell['change'] == pytest.approx(4.5 / 6 - 6 / 12)
  assert cell['weight'] == pytest.approx(0.5) and cell['items'] == 12


def test_perception_that_is_always_right_changes_nothing():
  rng = np.random.default_rng(0)
  colours = ('red', 'blue', 'green', 'white')
  by_cell = {
    'v_c_tabletop': _group('v_c_tabletop', 0, colours, (0, 1, 2, 3), 'color'),
    'c_ip_tabletop': [
      r
      for g in range(30)
      for r in _group(
        'c_ip_tabletop',
        g,
        tuple('abcd'),
        rng.integers(4, size=4).tolist(),
        colors=[colours[g % 4]],
      )
    ],
  }
  cell = comparisons.given(by_cell, 0)['c_ip_tabletop']
  assert cell['change'] == cell['low'] == cell['high'] == 0
