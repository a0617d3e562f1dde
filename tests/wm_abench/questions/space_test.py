"""Tests that recompute the keys from the scenes and the cameras."""

import re

import numpy as np
import pytest

from wm_abench.core import dimensions


def _cells(dimension):
  names = [c.name for c in dimensions.select(dimension)]
  return pytest.mark.parametrize('name', names)


def _name(prop):
  return f'{prop.color} {"ring" if prop.shape == "torus" else prop.shape}'


def _relation(shot, of, to):
  """Returns the relation of a prop to another in the frame of the camera."""
  camera = shot.camera
  gap = np.subtract(of.position_m, to.position_m)
  if gap[2] > of.size_m / 2:
    return 'on top of'
  ahead = np.subtract(camera.target_m, camera.position_m)[:2]
  ahead /= np.linalg.norm(ahead)
  right = np.array([ahead[1], -ahead[0]])
  x, y = gap[:2] @ right, gap[:2] @ ahead
  assert max(abs(x), abs(y)) > 3 * min(abs(x), abs(y))
  if abs(x) > abs(y):
    return 'to the right of' if x > 0 else 'to the left of'
  return 'behind' if y > 0 else 'in front of'


@_cells('SR')
def test_the_key_is_the_relation_in_the_frame_of_the_camera(name, drafts):
  for draft in drafts(name):
    front, top = draft.images
    to, of = front.scene.props
    assert f'the {_name(of)}, ' in draft.prompt.replace(' as seen', ' ')
    answer = draft.options[draft.answer]
    assert answer == f'{_relation(front, of, to)} the {_name(to)}'
    # In the top view, ahead is up.
    ahead = np.subtract(front.camera.target_m, front.camera.position_m)[:2]
    assert ahead @ top.camera.up[:2] == pytest.approx(np.linalg.norm(ahead))


@_cells('SR')
def test_every_relation_is_left_out_about_as_often(name, groups):
  left = [g.drafts[0].factors['left_out'] for g in groups(name, 160)]
  assert {left.count(x) for x in set(left)} <= set(range(18, 47))
  assert len(set(left)) == 5


@_cells('SE-V')
def test_a_prop_fits_if_it_is_thinner_than_the_hole(name, drafts):
  for draft in drafts(name):
    ring, prop = draft.images[0].scene.props
    assert ring.shape == 'torus' and prop.shape in ('cylinder', 'sphere')
    hole_m = ring.hole * ring.size_m
    assert draft.options[draft.answer] == (
      'yes' if prop.size_m < hole_m else 'no'
    )
    margin = max(hole_m, prop.size_m) / min(hole_m, prop.size_m)
    assert margin > 1.199
    assert 0.2 < ring.hole < 0.81
    # The ring is always larger, so its size is no cue.
    assert ring.size_m > 1.1 * prop.size_m
    assert (_name(ring) in draft.prompt) and (_name(prop) in draft.prompt)


@_cells('SE-V')
def test_the_members_differ_in_one_size_only_and_each_of_both_varies(
  name, groups
):
  alike = {'hole': 0, 'prop': 0}
  for group in groups(name):
    a, b = (d.images[0].scene.props for d in group.drafts)
    assert a[0].size_m == b[0].size_m
    same = {'hole': a[0].hole == b[0].hole, 'prop': a[1].size_m == b[1].size_m}
    assert sum(same.values()) == 1
    alike = {k: alike[k] + same[k] for k in alike}
  assert min(alike.values()) >= 10


@_cells('SE-O')
def test_the_key_is_the_larger_prop_of_one_shape_at_any_distance(name, groups):
  for group in groups(name):
    nearer = []
    for draft in group.drafts:
      shot = draft.images[0]
      props = shot.scene.props
      larger = max(props, key=lambda p: p.size_m)
      assert draft.options[draft.answer] == f'the {_name(larger)}'
      assert len({p.shape for p in props}) == 1
      gaps = [
        np.linalg.norm(np.subtract(shot.camera.position_m, p.position_m))
        for p in (larger, *props)
      ]
      nearer.append(gaps[0] == min(gaps[1:]))
      ratio = larger.size_m / min(p.size_m for p in props)
      assert ratio == pytest.approx(draft.factors['ratio'], abs=0.002)
    # The larger prop is nearer in one member and farther in the other. If both
    # are equally far away, the heights of their centres may decide.
    assert sorted(nearer) == [False, True] or draft.factors['farther'] == 0


def _layout(shot):
  return {(p.shape, p.color, p.size_m, p.position_m) for p in shot.scene.props}


@_cells('SP')
def test_the_key_is_the_top_view_of_the_pictured_scene(name, drafts):
  for draft in drafts(name):
    front, left = draft.images
    same = [_layout(option) == _layout(front) for option in draft.options]
    assert [i for i, s in enumerate(same) if s] == [draft.answer]
    assert {o.camera.name for o in draft.options} == {'top'}
    assert len({o.camera for o in draft.options}) == 1
    # The camera of the left view is to the left of the front camera.
    ahead = np.subtract(front.camera.target_m, front.camera.position_m)[:2]
    x, y, _ = left.camera.position_m
    assert ahead[0] * y - ahead[1] * x > 0


@_cells('SP')
def test_the_option_most_similar_to_the_others_is_the_key_at_chance(
  name, drafts
):
  # A top view shows colours at positions. The option that shares most of them
  # with the others must not be the key more often than one time in four.
  hits = 0
  for draft in drafts(name):
    views = [
      {(p.color, *p.position_m[:2]) for p in o.scene.props}
      for o in draft.options
    ]
    shared = [sum(len(a & b) for b in views) for a in views]
    hits += int(np.argmax(shared)) == draft.answer
  assert hits == len(drafts(name)) / 4


@_cells('SE-V')
def test_prompts_state_the_views_in_their_order(name, drafts):
  for draft in drafts(name):
    order = re.findall('front|above|left', draft.prompt.split('. ')[0])
    names = [s.camera.name for s in draft.images]
    assert len(order) == len(names)
    assert names.index('top') == order.index('above')
