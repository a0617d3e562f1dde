"""Tests that recompute the keys from the paths, sampled at the frames."""

import collections

import numpy as np
import pytest
from scipy import stats

from wm_abench.core import dimensions
from wm_abench.questions import timing
from wm_abench.worlds.tabletop import surfaces

NAMES = [c.name for d in ('TP', 'TE') for c in dimensions.select(d)]
every_cell = pytest.mark.parametrize('name', NAMES)


def _answer(draft, numbers):
  """Returns the option of the prop with the lower number, or of equality."""
  props = draft.images[0].scene.props
  words = [
    f'the {p.color} {"ring" if p.shape == "torus" else p.shape}' for p in props
  ]
  if numbers[0] == numbers[1]:
    (both,) = set(draft.options) - set(words)
    return both
  return words[int(np.argmin(numbers))]


@every_cell
def test_keys_agree_with_the_frames(name, groups, step_lengths):
  for group in groups(name):
    for draft in group.drafts:
      still = [
        step_lengths(p, draft.images) for p in draft.images[0].scene.props
      ]
      assert all(m.any() for m in still)
      if name.startswith('tp'):
        numbers = [int(np.flatnonzero(m)[0]) for m in still]
      else:
        numbers = [-int(np.count_nonzero(m)) for m in still]
      assert draft.options[draft.answer] == _answer(draft, numbers)


@every_cell
def test_props_move_without_pause_at_a_constant_visible_speed(
  name, groups, step_lengths
):
  for group in groups(name):
    for draft in group.drafts:
      for prop in draft.images[0].scene.props:
        steps = step_lengths(prop, draft.images)
        on = np.flatnonzero(steps)
        assert (np.diff(on) == 1).all()
        np.testing.assert_allclose(steps[on], steps[on[0]], rtol=1e-3)
        assert steps[on[0]] > 0.4 * prop.size_m


@pytest.mark.parametrize('name', [n for n in NAMES if n.startswith('tp')])
def test_first_and_last_frames_are_the_same_for_all_members(
  name, groups, track
):
  for group in groups(name):
    tracks = [
      [track(p, d.images) for p in d.images[0].scene.props]
      for d in group.drafts
    ]
    for props in tracks[1:]:
      for a, b in zip(tracks[0], props, strict=True):
        np.testing.assert_allclose(a[[0, -1]], b[[0, -1]])
        # The durations agree as well.
        assert (
          np.diff(a, axis=0).any(1).sum() == np.diff(b, axis=0).any(1).sum()
        )


@pytest.mark.parametrize('name', [n for n in NAMES if n.startswith('te')])
def test_neither_distance_nor_speed_determines_which_prop_moves_longer(
  name, groups, step_lengths
):
  counts = collections.Counter()
  for group in groups(name):
    unlike = next(d for d in group.drafts if 'both' not in d.options[d.answer])
    steps = [
      step_lengths(p, unlike.images) for p in unlike.images[0].scene.props
    ]
    distance, speed = [s.sum() for s in steps], [s.max() for s in steps]
    same = {
      'distance': distance[0] == pytest.approx(distance[1], abs=1e-3),
      'speed': speed[0] == pytest.approx(speed[1], abs=1e-3),
    }
    assert sum(same.values()) == 1
    counts.update(k for k, v in same.items() if v)
    starts = {
      tuple(
        int(np.flatnonzero(step_lengths(p, d.images))[0])
        for p in d.images[0].scene.props
      )
      for d in group.drafts
    }
    assert len(starts) == 1
  assert min(counts['distance'], counts['speed']) >= 10


@every_cell
def test_every_order_of_the_options_is_equally_frequent(name, groups):
  listed = collections.Counter()
  for group in groups(name, 200):
    draft = group.drafts[0]
    left = min(draft.images[0].scene.props, key=lambda p: p.position_m[0])
    is_left = [left.color in option.split() for option in draft.options]
    is_both = ['both' in option for option in draft.options]
    listed[is_left.index(True), is_both.index(True)] += 1
  # All orders of the three options are equally frequent.
  assert len(listed) == 6
  assert stats.chisquare([*listed.values()]).pvalue > 1e-4


def test_a_path_starts_and_ends_at_the_frames_of_its_move():
  surface = surfaces.SURFACES['tabletop']
  lanes = timing.draw_lanes(np.random.default_rng(0), surface, 'across', 0.6)
  prop = timing.with_path(lanes.props[0], timing.Move(1, 2, 0.6), (0.0, 1.0))
  x, y, z = prop.position_m
  # Frames are 0.5 s apart: the move starts at 0.5 s and ends at 1.5 s.
  assert prop.path == (
    (0.0, (x, y, z)),
    (0.5, (x, y, z)),
    (1.5, (x, pytest.approx(y + 0.6), z)),
  )
