"""Tests that recompute the keys from the paths, sampled at the frames."""

import collections
import re

import numpy as np
import pytest

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _track(prop, shots):
  """Returns the positions of a prop in the frames, [T, 2]."""
  if not prop.path:
    return np.array([prop.position_m[:2]] * len(shots))
  times, points = zip(*prop.path, strict=True)
  frames_s = [sum(a.values[0] for a in s.actions) for s in shots]
  x, y, z = zip(*points, strict=True)
  assert len(set(z)) == 1
  return np.stack([np.interp(frames_s, times, axis) for axis in (x, y)], axis=1)


def _name(prop):
  return f'the {prop.color} {"ring" if prop.shape == "torus" else prop.shape}'


def _steps(prop, shots):
  return np.linalg.norm(np.diff(_track(prop, shots), axis=0), axis=1)


@_cells('MI')
def test_only_the_key_moves_and_the_motion_is_the_same_in_all_members(
  name, groups
):
  for group in groups(name):
    motions = []
    for draft in group.drafts:
      props = draft.images[0].scene.props
      (mover,) = [p for p in props if _steps(p, draft.images).any()]
      assert draft.options[draft.answer] == _name(mover)
      assert {*map(_name, props)} == {*draft.options}
      track = _track(mover, draft.images)
      motions.append(np.diff(track, axis=0))
    for motion in motions[1:]:
      np.testing.assert_allclose(motion, motions[0], atol=1e-4)


@_cells('MS')
def test_the_faster_covers_more_in_a_step(name, drafts):
  for draft in drafts(name):
    props = draft.images[0].scene.props
    a, b = (_steps(p, draft.images).max() for p in props)
    answer = draft.options[draft.answer]
    if answer == 'both are equally fast':
      assert a == pytest.approx(b, rel=1e-3)
    else:
      assert answer == _name(props[int(a < b)])
      assert max(a, b) / min(a, b) > 1.49


@_cells('MS')
def test_neither_distance_nor_time_determines_which_prop_is_faster(
  name, drafts
):
  counts = collections.Counter()
  for draft in drafts(name):
    if 'both' in draft.options[draft.answer]:
      continue
    steps = [_steps(p, draft.images) for p in draft.images[0].scene.props]
    same = {
      'distance': steps[0].sum() == pytest.approx(steps[1].sum(), abs=1e-3),
      'time': np.count_nonzero(steps[0]) == np.count_nonzero(steps[1]),
    }
    assert sum(same.values()) == 1
    counts.update(k for k, v in same.items() if v)
  assert min(counts['distance'], counts['time']) >= 20


@_cells('MD')
def test_the_motion_points_at_the_key_and_at_no_other_target(name, drafts):
  for draft in drafts(name):
    mover, *targets = draft.images[0].scene.props
    assert f'does {_name(mover)} move' in draft.prompt
    assert not any(_steps(p, draft.images).any() for p in targets)
    track = _track(mover, draft.images)
    ahead = (track[-1] - track[0]) / np.linalg.norm(track[-1] - track[0])
    gaps = np.array([np.subtract(t.position_m[:2], track[0]) for t in targets])
    cosines = gaps @ ahead / np.linalg.norm(gaps, axis=1)
    order = np.argsort(-cosines)
    assert draft.options[draft.answer] == _name(targets[order[0]])
    # All other targets are at least 40 degrees away from the direction.
    assert cosines[order[0]] > 0.9999
    assert cosines[order[1]] < np.cos(np.radians(40))


def _turns_deg(track):
  """Returns the unsigned change of direction at inner frames, [T - 2]."""
  steps = np.diff(track, axis=0)
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
def test_paths_turn_like_the_figures_they_are_named_after(name, drafts):
  for draft in drafts(name):
    prop = draft.images[0].scene.props[0]
    assert f'does {_name(prop)} follow' in draft.prompt
    turns = _turns_deg(_track(prop, draft.images))
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
  name, groups, drafts
):
  others = collections.Counter(
    g.drafts[0].factors['other_path'] for g in groups(name, 256)
  )
  assert set(others.values()) == {64}
  for draft in drafts(name):
    assert _steps(draft.images[0].scene.props[1], draft.images).all()


@_cells('MI,MS,MD,MT')
def test_prompts_state_the_number_of_frames_and_the_view(name, drafts):
  words = {4: 'Four', 6: 'Six', 7: 'Seven', 8: 'Eight'}
  for draft in drafts(name):
    assert draft.prompt.startswith(f'{words[len(draft.images)]} pictures show')
    (view,) = re.findall(r'from (the front|straight above)', draft.prompt)
    top = draft.images[0].camera.name == 'top'
    assert top == (view == 'straight above')
