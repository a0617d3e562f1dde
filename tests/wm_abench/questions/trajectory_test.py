"""Tests that recompute the keys from the paths, sampled at the frames."""

import collections

import numpy as np
import pytest

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _name(prop):
  return f'the {prop.color} {"ring" if prop.shape == "torus" else prop.shape}'


def _turns_deg(track_T3):
  """Returns the unsigned change of direction at inner frames, [T - 2]."""
  steps = np.diff(track_T3, axis=0)
  angles = np.arctan2(steps[:, 1], steps[:, 0])
  return np.abs(np.degrees((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi))


# The changes of direction of each path: at corners, and 0 between them.
TURNS_DEG = {
  'a circle': {45},
  'a square': {0, 90},
  'a triangle': {0, 120},
  'a straight line, there and back': {0, 180},
}


@_cells('MT')
def test_paths_turn_like_the_figures_they_are_named_after(name, drafts, track):
  for draft in drafts(name):
    prop = draft.images[0].scene.props[0]
    assert f'does {_name(prop)} follow' in draft.prompt
    turns = _turns_deg(track(prop, draft.images))
    answer = draft.options[draft.answer]
    observed = {round(float(t)) for t in turns}
    expected = TURNS_DEG[answer]
    assert {min(expected, key=lambda x: abs(x - t)) for t in observed} == (
      expected
    )
    assert all(min(abs(x - t) for x in expected) <= 2 for t in observed)


@_cells('MT')
def test_all_paths_have_similar_widths_and_the_same_length(name, groups):
  for group in groups(name):
    lengths, widths = [], []
    for draft in group.drafts:
      prop = draft.images[0].scene.props[0]
      points = np.array([point[:2] for _, point in prop.path])
      lengths.append(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
      spread = np.linalg.norm(points[:, None] - points, axis=-1)
      widths.append(spread.max())
      assert prop.path[-1][0] == pytest.approx(0.5 * (len(draft.images) - 1))
    np.testing.assert_allclose(lengths, lengths[0], rtol=0.01)
    assert max(widths) < 1.6 * min(widths)


@_cells('MT')
def test_the_path_of_the_other_prop_is_uniform_and_independent_of_the_key(
  name, groups, drafts, step_lengths
):
  others = collections.Counter(
    g.drafts[0].factors['other_path'] for g in groups(name, 256)
  )
  assert set(others.values()) == {64}
  for draft in drafts(name):
    assert step_lengths(draft.images[0].scene.props[1], draft.images).all()
