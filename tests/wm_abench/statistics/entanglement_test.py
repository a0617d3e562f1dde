import numpy as np
import pytest

from wm_abench.core import records
from wm_abench.statistics import entanglement


def _items(rng, groups, effect):
  """Returns groups of four; level 'b' lowers the accuracy by `effect`."""
  levels = np.array(['a', 'b'])[rng.integers(0, 2, groups)]
  p = 0.7 - effect * (levels == 'b')
  right = (rng.random((groups, 4)) < p[:, None]).astype(float)
  group = np.repeat(np.arange(groups), 4)
  return right.ravel(), group, np.repeat(levels, 4).tolist()


def test_the_relative_effect_is_that_of_the_paper():
  # |0.9 - 0.6| and |0.3 - 0.6|, over 0.6.
  effect = entanglement.relative_effect(np.array([0.9, 0.3]), np.array(0.6))
  assert effect == pytest.approx(0.5)


def test_an_effect_by_hand():
  right = np.repeat([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 2)
  group = np.repeat(np.arange(10), 2)
  measured = entanglement.measure(right, group, ['x'] * 10 + ['y'] * 10, 0)
  assert measured['accuracy'] == {'x': 1, 'y': 0} and measured['effect'] == 1
  # Two of the 252 ways to choose five groups of ten are as extreme.
  assert 0.001 < measured['p'] < 0.02
  assert 0 < measured['floor'] < 0.5


def test_p_values_are_uniform_without_an_effect():
  rng = np.random.default_rng(0)
  p = [
    entanglement.measure(*_items(rng, 40, 0.0), seed)['p']
    for seed in range(300)
  ]
  # The tolerances are three standard deviations.
  assert abs(np.mean(p) - 0.5) < 0.05 + 0.03
  assert np.mean(np.array(p) <= 0.05) < 0.05 + 0.04


def test_an_effect_is_found_above_its_floor():
  measured = entanglement.measure(
    *_items(np.random.default_rng(1), 80, 0.4), seed=0
  )
  assert measured['p'] < 0.01 and measured['effect'] > 2 * measured['floor']


def test_rare_levels_are_left_out():
  right, group, levels = _items(np.random.default_rng(2), 20, 0.0)
  assert entanglement.measure(right, group, ['a'] * 80, 0) is None
  levels[:4] = ['rare'] * 4
  measured = entanglement.measure(right, group, levels, 0)
  assert set(measured['accuracy']) == {'a', 'b'}


def test_significance_is_by_holms_procedure():
  tests = [{'p': p} for p in (0.024, 0.012, 0.02, 0.9)]
  entanglement.mark_found(tests)
  # 0.012 <= 0.05/4, 0.02 > 0.05/3, and so not 0.024 <= 0.05/2 either.
  assert [t['found'] for t in tests] == [False, True, False, False]


def _replies(rng, groups):
  for g in range(groups):
    hard = g % 2
    for m in range(4):
      right = rng.random() < (0.3 if hard else 0.9)
      yield records.Reply(
        item=f'v_s_tabletop/{g}/{m}',
        cell='v_s_tabletop',
        group=f'v_s_tabletop/{g}',
        order=(0, 1, 2, 3),
        turn=0,
        answer=m,
        chosen=m if right else (m + 1) % 4,
        status=records.ANSWERED,
        varies='shape',
        factors={
          'shape': m,
          'colors': ['red' if hard else 'blue', 'green'],
          'background': str(rng.integers(3)),
          'left_out': 'cone',
        },
      )


def test_only_the_factor_with_an_effect_is_significant():
  replies = [*_replies(np.random.default_rng(3), 60)]
  measured = entanglement.of_cell(replies, 0)
  assert {n for n, t in measured.items() if t['found']} == {'colors[0]'}
  assert measured['colors[0]']['accuracy']['"blue"'] > 0.8
  # The varied factor and factors of no family are not tested.
  assert set(measured) == {'colors[0]', 'background'}
  strongest = entanglement.matrix({'v_s_tabletop': measured})['V-S']
  assert strongest['colour']['factor'] == 'colors[0]'
