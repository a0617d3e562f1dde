"""Tests that recompute the keys from the paths, sampled at the frames."""

import collections
import re

import numpy as np
import pytest

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _name(prop):
  return f'the {prop.color} {"ring" if prop.shape == "torus" else prop.shape}'


@_cells('MI')
def test_only_the_key_moves_and_the_motion_is_the_same_in_all_members(
  name, groups, track, step_lengths
):
  for group in groups(name):
    motions = []
    for draft in group.drafts:
      props = draft.images[0].scene.props
      (mover,) = [p for p in props if step_lengths(p, draft.images).any()]
      assert draft.options[draft.answer] == _name(mover)
      assert {*map(_name, props)} == {*draft.options}
      motions.append(np.diff(track(mover, draft.images), axis=0))
    for motion in motions[1:]:
      np.testing.assert_allclose(motion, motions[0], atol=1e-4)


@_cells('MS')
def test_the_faster_covers_more_in_a_step(name, drafts, step_lengths):
  for draft in drafts(name):
    props = draft.images[0].scene.props
    a, b = (step_lengths(p, draft.images).max() for p in props)
    answer = draft.options[draft.answer]
    if answer == 'both are equally fast':
      assert a == pytest.approx(b, rel=1e-3)
    else:
      assert answer == _name(props[int(a < b)])
      assert max(a, b) / min(a, b) > 1.49


@_cells('MS')
def test_neither_distance_nor_time_determines_which_prop_is_faster(
  name, drafts, step_lengths
):
  counts = collections.Counter()
  for draft in drafts(name):
    if 'both' in draft.options[draft.answer]:
      continue
    steps = [step_lengths(p, draft.images) for p in draft.images[0].scene.props]
    same = {
      'distance': steps[0].sum() == pytest.approx(steps[1].sum(), abs=1e-3),
      'time': np.count_nonzero(steps[0]) == np.count_nonzero(steps[1]),
    }
    assert sum(same.values()) == 1
    counts.update(k for k, v in same.items() if v)
  assert min(counts['distance'], counts['time']) >= 20


@_cells('MD')
def test_the_motion_points_at_the_key_and_at_no_other_target(
  name, drafts, track, step_lengths
):
  for draft in drafts(name):
    mover, *targets = draft.images[0].scene.props
    assert f'does {_name(mover)} move' in draft.prompt
    assert not any(step_lengths(p, draft.images).any() for p in targets)
    points = track(mover, draft.images)[:, :2]
    ahead = (points[-1] - points[0]) / np.linalg.norm(points[-1] - points[0])
    gaps = np.array([np.subtract(t.position_m[:2], points[0]) for t in targets])
    cosines = gaps @ ahead / np.linalg.norm(gaps, axis=1)
    order = np.argsort(-cosines)
    assert draft.options[draft.answer] == _name(targets[order[0]])
    # All other targets are at least 40 degrees away from the direction.
    assert cosines[order[0]] > 0.9999
    assert cosines[order[1]] < np.cos(np.radians(40))


@_cells('MI,MS,MD,MT')
def test_prompts_state_the_number_of_frames_and_the_view(name, drafts):
  words = {4: 'Four', 6: 'Six', 7: 'Seven', 8: 'Eight'}
  for draft in drafts(name):
    assert draft.prompt.startswith(f'{words[len(draft.images)]} pictures show')
    (view,) = re.findall(r'from (the front|straight above)', draft.prompt)
    top = draft.images[0].camera.name == 'top'
    assert top == (view == 'straight above')
