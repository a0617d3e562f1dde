"""Motion is read off the scenes' paths as the frames show them."""

import collections
import re

import numpy as np
import pytest

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _track(prop, shots):
  """Where a prop is in each frame, [T, 2]."""
  if not prop.path:
    return np.array([prop.position_m[:2]] * len(shots))
  times, places = zip(*prop.path, strict=True)
  at = [sum(a.values[0] for a in s.actions) for s in shots]
  x, y, z = zip(*places, strict=True)
  assert len(set(z)) == 1
  return np.stack([np.interp(at, times, axis) for axis in (x, y)], axis=1)


def _said(prop):
  return f'the {prop.color} {"ring" if prop.shape == "torus" else prop.shape}'


def _steps(prop, shots):
  return np.linalg.norm(np.diff(_track(prop, shots), axis=0), axis=1)


@_cells('MI')
def test_the_answer_is_the_only_prop_that_moves_and_all_move_alike(name, drawn):
  for group in drawn(name):
    ways = []
    for draft in group.drafts:
      props = draft.images[0].scene.props
      (mover,) = [p for p in props if _steps(p, draft.images).any()]
      assert draft.options[draft.answer] == _said(mover)
      assert {*map(_said, props)} == {*draft.options}
      track = _track(mover, draft.images)
      ways.append(np.diff(track, axis=0))
    for way in ways[1:]:
      np.testing.assert_allclose(way, ways[0], atol=1e-4)


@_cells('MS')
def test_the_faster_covers_more_in_a_step(name, drafts):
  for draft in drafts(name):
    props = draft.images[0].scene.props
    a, b = (_steps(p, draft.images).max() for p in props)
    answer = draft.options[draft.answer]
    if answer == 'both are equally fast':
      assert a == pytest.approx(b, rel=1e-3)
    else:
      assert answer == _said(props[int(a < b)])
      assert max(a, b) / min(a, b) > 1.49


@_cells('MS')
def test_neither_distance_nor_time_tells_which_is_faster(name, drafts):
  held = collections.Counter()
  for draft in drafts(name):
    if 'both' in draft.options[draft.answer]:
      continue
    steps = [_steps(p, draft.images) for p in draft.images[0].scene.props]
    same = {
      'distance': steps[0].sum() == pytest.approx(steps[1].sum(), abs=1e-3),
      'time': np.count_nonzero(steps[0]) == np.count_nonzero(steps[1]),
    }
    assert sum(same.values()) == 1
    held.update(k for k, v in same.items() if v)
  assert min(held['distance'], held['time']) >= 20


@_cells('MD')
def test_it_moves_towards_the_target_and_away_from_no_clearer_one(name, drafts):
  for draft in drafts(name):
    mover, *targets = draft.images[0].scene.props
    assert f'does {_said(mover)} move' in draft.prompt
    assert not any(_steps(p, draft.images).any() for p in targets)
    track = _track(mover, draft.images)
    way = (track[-1] - track[0]) / np.linalg.norm(track[-1] - track[0])
    gaps = np.array([np.subtract(t.position_m[:2], track[0]) for t in targets])
    cosines = gaps @ way / np.linalg.norm(gaps, axis=1)
    order = np.argsort(-cosines)
    assert draft.options[draft.answer] == _said(targets[order[0]])
    # Right towards it, and at least 40 degrees off any other.
    assert cosines[order[0]] > 0.9999
    assert cosines[order[1]] < np.cos(np.radians(40))


def _turns_deg(track):
  """Unsigned turn of the way at each inner frame, [T - 2]."""
  ways = np.diff(track, axis=0)
  angles = np.arctan2(ways[:, 1], ways[:, 0])
  return np.abs(np.degrees((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi))


# The turns that tell a path: at corners, and none between.
TURNS_DEG = {
  'a circle': {45},
  'a square': {0, 90},
  'a triangle': {0, 120},
  'a straight line, there and back': {0, 180},
}


@_cells('MT')
def test_paths_turn_as_their_names_say(name, drafts):
  for draft in drafts(name):
    prop = draft.images[0].scene.props[0]
    assert f'does {_said(prop)} follow' in draft.prompt
    turns = _turns_deg(_track(prop, draft.images))
    answer = draft.options[draft.answer]
    seen = {round(float(t)) for t in turns}
    assert {min(TURNS_DEG[answer], key=lambda x: abs(x - t)) for t in seen} == (
      TURNS_DEG[answer]
    )
    assert all(min(abs(x - t) for x in TURNS_DEG[answer]) <= 2 for t in seen)


@_cells('MT')
def test_paths_are_as_wide_and_followed_at_one_speed(name, drawn):
  for group in drawn(name):
    lengths, widths = [], []
    for draft in group.drafts:
      prop = draft.images[0].scene.props[0]
      places = np.array([at[:2] for _, at in prop.path])
      lengths.append(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
      spread = np.linalg.norm(places[:, None] - places, axis=-1)
      widths.append(spread.max())
      assert prop.path[-1][0] == pytest.approx(0.5 * (len(draft.images) - 1))
    np.testing.assert_allclose(lengths, lengths[0], rtol=0.01)
    assert max(widths) < 1.6 * min(widths)


@_cells('MT')
def test_the_other_props_path_is_each_as_often_whatever_the_answer(
  name, drawn, drafts
):
  others = collections.Counter(
    g.drafts[0].factors['other_path'] for g in drawn(name, 256)
  )
  assert set(others.values()) == {64}
  for draft in drafts(name):
    assert _steps(draft.images[0].scene.props[1], draft.images).all()


@_cells('MI,MS,MD,MT')
def test_prompts_say_how_many_frames_there_are_and_from_where(name, drafts):
  words = {4: 'Four', 6: 'Six', 7: 'Seven', 8: 'Eight'}
  for draft in drafts(name):
    assert draft.prompt.startswith(f'{words[len(draft.images)]} pictures show')
    (view,) = re.findall(r'from (the front|straight above)', draft.prompt)
    top = draft.images[0].camera.name == 'top'
    assert top == (view == 'straight above')
