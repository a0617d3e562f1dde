"""Tests that recompute the keys from the scenes and the prompts."""

import collections

import pytest
from scipy import stats

from wm_abench.worlds.tabletop import props as props_lib


def _word(prop):
  return 'ring' if prop.shape == 'torus' else prop.shape


@pytest.mark.parametrize('name', ['v_c_apartment_table', 'v_c_tabletop'])
def test_the_key_is_the_colour_of_the_only_prop_of_the_shape(name, drafts):
  alone = 0
  for draft in drafts(name):
    props = draft.images[0].scene.props
    (prop,) = [p for p in props if draft.prompt.endswith(f'{_word(p)}?')]
    assert draft.options[draft.answer] == prop.color
    # Knowing which colours are present is therefore not enough.
    assert {p.color for p in props} <= set(draft.options)
    alone += len(props) == 1
  assert 0.2 < alone / len(drafts(name)) < 0.5


def test_the_key_is_the_shape_of_the_only_prop_of_the_colour(drafts):
  for draft in drafts('v_s_tabletop'):
    props = draft.images[0].scene.props
    (prop,) = [p for p in props if f'the {p.color} object' in draft.prompt]
    assert draft.options[draft.answer] == f'a {_word(prop)}'
    assert {f'a {_word(p)}' for p in props} <= set(draft.options)


def test_materials_are_the_same_if_the_key_is_yes(drafts):
  for draft in drafts('v_m_tabletop'):
    a, b = draft.images[0].scene.props
    same = a.material == b.material
    assert draft.options[draft.answer] == ('yes' if same else 'no')
    assert a.color == b.color and a.shape != b.shape
    assert {a.material, b.material} <= set(props_lib.MATERIALS)
    assert f'the {_word(a)} and the {_word(b)}' in draft.prompt


def test_neither_material_nor_tint_predicts_the_key(groups):
  # The first material is the same in both members. Over 30 pairs x 4 rooms x 2
  # tints, each second material is equally frequent with both keys.
  second = {'yes': collections.Counter(), 'no': collections.Counter()}
  tints = collections.Counter()
  for group in groups('v_m_tabletop', 240):
    for draft in group.drafts:
      prop = draft.images[0].scene.props[1]
      second[draft.options[draft.answer]][prop.material] += 1
      tints[prop.color != ''] += 1
  for counts in second.values():
    assert set(counts.values()) == {40}
  assert tints[True] == tints[False]


@pytest.mark.parametrize(
  'name', ['v_c_apartment_table', 'v_c_tabletop', 'v_s_tabletop']
)
def test_all_options_are_about_equally_frequent(name, groups):
  offered = collections.Counter(
    option for g in groups(name, 160) for option in g.drafts[0].options
  )
  assert len(offered) == (5 if name == 'v_s_tabletop' else 10)
  assert stats.chisquare([*offered.values()]).pvalue > 1e-4
