"""Levels of factors: lists are split, many numbers are binned."""

from wm_abench.core import factor_levels


def test_lists_are_split_into_elements():
  rows = [{'at': [1, [2, 3]], 'room': 'attic'}, {'at': [4, [5, 6]]}]
  levels = dict(factor_levels.levels(rows, set()))
  assert levels == {
    'at[0]': ['1', '4'],
    'at[1][0]': ['2', '5'],
    'at[1][1]': ['3', '6'],
    'room': ['"attic"', '""'],
  }


def test_a_number_with_many_values_is_binned_at_its_quartiles():
  rows = [{'size': i / 10, 'few': i % 8} for i in range(40)]
  levels = dict(factor_levels.levels(rows, set()))
  assert [levels['size'].count(str(i)) for i in range(4)] == [10] * 4
  assert len(set(levels['few'])) == 8


def test_factors_are_left_out_with_their_elements():
  rows = [{'at': [1, 2], 'room': 'attic'}]
  assert [n for n, _ in factor_levels.levels(rows, {'at'})] == ['room']
