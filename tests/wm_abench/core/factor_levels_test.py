"""Levels of factors, and the names of colours."""

from wm_abench.core import factor_levels
from wm_abench.worlds.tabletop import props


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


def test_every_named_colour_has_an_rgb_value_and_the_same_position():
  assert (*props.COLORS,) == factor_levels.COLOR_NAMES


def test_numbers_with_many_values_are_binned_at_their_quartiles():
  rows = [{'size_m': float(i)} for i in range(9)]
  ((name, levels),) = factor_levels.levels(rows, set())
  assert name == 'size_m'
  assert levels == ['0', '0', '0', '1', '1', '2', '2', '3', '3']


def test_a_list_is_split_and_a_missing_factor_is_empty():
  rows = [{'colors': ['red', 'blue']}, {'varied': 1}]
  levels = dict(factor_levels.levels(rows, {'varied'}))
  assert levels == {
    'colors[0]': ['"red"', '""'],
    'colors[1]': ['"blue"', '""'],
  }
