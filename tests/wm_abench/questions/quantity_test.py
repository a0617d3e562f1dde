"""Tests that recompute the keys from the scenes and the prompts."""

import collections
import re

import numpy as np
import pytest
from scipy import stats

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _props(draft):
  return draft.images[0].scene.props


def _area(draft, color):
  return sum(p.size_m**2 for p in _props(draft) if p.color == color)


@_cells('DQ')
def test_the_key_is_the_number_of_props_of_the_colour(name, groups):
  for group in groups(name):
    for draft in group.drafts:
      (color,) = re.findall(r'objects are (\w+)\?', draft.prompt)
      number = sum(p.color == color for p in _props(draft))
      assert draft.options[draft.answer] == str(number)
    numbers = sorted(map(int, group.drafts[0].options))
    assert numbers == [*range(numbers[0], numbers[0] + 4)] and numbers[0] > 0


@_cells('RQ')
def test_the_key_is_the_colour_with_more_props(name, groups):
  for group in groups(name):
    for draft in group.drafts:
      pair = re.findall(r'more (\w+)', draft.prompt)
      a, b = (sum(p.color == c for p in _props(draft)) for c in pair)
      answer = draft.options[draft.answer]
      if a == b:
        assert answer == 'there are as many of both'
      else:
        assert answer == f'the {pair[a < b]} ones'


@_cells('DQ,RQ')
def test_props_are_recoloured_and_never_added_or_moved(name, groups):
  for group in groups(name):
    bare = {
      tuple((p.shape, p.size_m, p.position_m, p.yaw_deg) for p in _props(d))
      for d in group.drafts
    }
    assert len(bare) == 1
    # Some props have another colour, so subtraction from the total fails.
    for draft in group.drafts:
      colors = re.findall(r'(?:are|more) (\w+)', draft.prompt)
      assert any(p.color not in colors for p in _props(draft))


@_cells('DQ')
def test_the_total_does_not_predict_the_number(name, groups):
  table = collections.defaultdict(collections.Counter)
  for group in groups(name, 240):
    for draft in group.drafts:
      table[len(_props(draft))][draft.options[draft.answer]] += 1
  # 4 totals x 5 ranges of numbers, with 12 groups of each combination.
  counts = [tuple(table[t][str(k)] for k in range(1, 9)) for t in table]
  assert len(counts) == 4 and set(counts) == {
    tuple(12 * min(k, 4, 9 - k, 5) for k in range(1, 9))
  }


@_cells('RQ')
def test_the_larger_area_has_more_props_in_half_of_the_groups(name, groups):
  larger = collections.Counter()
  for group in groups(name, 96):
    for draft in group.drafts:
      pair = re.findall(r'more (\w+)', draft.prompt)
      answer = draft.options[draft.answer]
      if 'both' not in answer:
        by_area = max(pair, key=lambda c: _area(draft, c))
        larger[answer == f'the {by_area} ones'] += 1
  assert larger[True] == larger[False] == 96


@_cells('RQ')
def test_the_sum_of_both_colours_does_not_predict_equality(name, groups):
  gaps = []
  for group in groups(name, 96):
    both, other = 0, 0
    for draft in group.drafts:
      pair = re.findall(r'more (\w+)', draft.prompt)
      n = sum(p.color in pair for p in _props(draft))
      if 'both' in draft.options[draft.answer]:
        both = n
      else:
        other = n
    gaps.append(both - other)
  assert np.mean(gaps) == 0 and np.mean(np.equal(gaps, 0)) == 1 / 3


def test_the_key_is_the_darker_prop_and_both_have_one_hue(groups):
  first = collections.Counter()
  for group in groups('cq_tabletop', 200):
    for draft in group.drafts:
      props = _props(draft)
      deeper = min(props, key=lambda p: p.shade)
      word = 'ring' if deeper.shape == 'torus' else deeper.shape
      assert draft.options[draft.answer] == f'the {word}'
      assert len({p.color for p in props}) == 1
      assert len({p.shape for p in props}) == 2
      assert deeper.shade / max(p.shade for p in props) < 0.7
    left = min(_props(group.drafts[0]), key=lambda p: p.position_m[0])
    first[group.drafts[0].options.index(f'the {_word(left)}')] += 1
  assert stats.chisquare([first[0], first[1]]).pvalue > 1e-4


def _word(prop):
  return 'ring' if prop.shape == 'torus' else prop.shape
