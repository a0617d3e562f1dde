import collections
import itertools

import numpy as np
import pytest

from wm_abench.core import dimensions
from wm_abench.generation import render_cache
from wm_abench.questions import group_law, navigation
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.homes import environment

CELLS = ('m_nav_indoor', 't_nav_indoor', 'm_nav_street', 't_nav_street')


@pytest.fixture(scope='module')
def cache():
  cache = render_cache.RenderCache(rendering.MujocoRenderer(128))
  yield cache
  cache.close()


def _group(cache, name, index, attempt=0):
  cell = dimensions.CELLS[name]
  request = group_law.Request(cell, index, 0, attempt, cache.simulate)
  return navigation.MAKERS[cell.dimension](request)


def _drawn(cache, name, index):
  """Returns the group of the first attempt that is not rejected."""
  for attempt in range(8):
    try:
      return _group(cache, name, index, attempt)
    except group_law.Rejected:
      pass
  raise AssertionError(f'{name}/{index}: eight attempts were rejected')


def _varied(cache, name, varied, count):
  """Returns the first groups of a cell that vary this factor."""
  groups = (_drawn(cache, name, index) for index in itertools.count())
  chosen = (group for group in groups if group.varies == varied)
  return itertools.islice(chosen, count)


@pytest.mark.parametrize('name', CELLS)
def test_groups_keep_the_law_and_few_are_rejected(cache, name):
  rejected = 0
  for index in range(20):
    try:
      group_law.check(_group(cache, name, index))
    except group_law.Rejected:
      rejected += 1
  # Two moves from four starts have to be free, so some draws are rejected.
  assert rejected < 10


@pytest.mark.parametrize('name', CELLS)
def test_the_key_is_the_view_after_the_moves_of_the_member(cache, name):
  for index in range(3):
    for draft in _drawn(cache, name, index).drafts:
      key = draft.options[draft.answer]
      moves = tuple(map(protocol.Action, draft.factors['moves'].split(', ')))
      assert key.actions == moves and key.scene == draft.images[0].scene
      assert draft.images[0].actions == ()


@pytest.mark.parametrize('name', CELLS)
def test_ends_differ_from_each_other_and_from_the_start(cache, name):
  for index in range(6):
    draft = _drawn(cache, name, index).drafts[0]
    states = [
      cache.simulate(s.environment, s.scene, s.actions)
      for s in (*draft.images, *draft.options)
    ]
    assert not any(s.facts['collided'] for run in states for s in run)
    for a, b in itertools.combinations(states, 2):
      assert protocol.distance(a[-1], b[-1]) >= group_law.MIN_STATE_M


@pytest.mark.parametrize('name', CELLS)
def test_varied_starts_share_their_moves_and_every_distance_rank_of_the_key(
  cache, name
):
  group = next(_varied(cache, name, 'start', 1))
  assert len({d.prompt for d in group.drafts}) == 1
  assert len({d.factors['moves'] for d in group.drafts}) == 1
  starts = [d.images[0].scene for d in group.drafts]
  assert len(set(starts)) == 4
  moves = group.drafts[0].options[0].actions
  if len(moves) > 1 or moves[0].name.startswith('turn'):
    return
  ranks = set()
  for draft in group.drafts:
    shot = draft.images[0]
    start = cache.simulate(name.split('_')[-1], shot.scene, ())[0]
    ends = [
      cache.simulate(name.split('_')[-1], o.scene, o.actions)[-1]
      for o in draft.options
    ]
    distances_m = [protocol.distance(start, end) for end in ends]
    ranks.add(sorted(distances_m).index(distances_m[draft.answer]))
  assert ranks == {0, 1, 2, 3}


@pytest.mark.parametrize('name', CELLS[:2])
def test_frames_of_options_are_distinguishable(cache, name):
  rejected = 0
  for index in range(6):
    group = _drawn(cache, name, index)
    unique = dict.fromkeys(
      s for d in group.drafts for s in d.images + d.options
    )
    frames, _ = cache.render(tuple(unique))
    try:
      group_law.check_frames(group, frames.get)
    except group_law.Rejected:
      rejected += 1
  assert rejected <= 1


@pytest.mark.parametrize('design', navigation.DESIGNS.values())
def test_no_single_move_of_a_pair_determines_the_key(design):
  assert len(set(design)) == 4
  for i in (0, 1):
    counts = collections.Counter(moves[i] for moves in design)
    assert sorted(counts.values()) == [2, 2]


def test_most_designs_indoors_have_two_moves_in_both_orders(cache):
  designs = collections.Counter()
  for group in _varied(cache, 't_nav_indoor', 'moves', 40):
    designs[group.drafts[0].factors['design']] += 1
    pairs = {o.actions for o in group.drafts[0].options}
    both = {p for p in pairs if p[0] != p[1] and p[::-1] in pairs}
    assert len(both) == (
      2 if '_and_' in group.drafts[0].factors['design'] else 0
    )
  assert set(designs) == set(navigation.DESIGNS)


def test_prompts_differ_only_in_the_moves_and_state_their_size(cache):
  (group,) = _varied(cache, 'm_nav_indoor', 'moves', 1)
  scene = group.drafts[0].options[0].scene
  by_move = {d.factors['moves']: d.prompt for d in group.drafts}
  assert f'moves backward {scene.step_m:g} m' in by_move['backward']
  assert f'turns left by {scene.turn_deg:g} degrees' in by_move['turn_left']
  heads = {p.partition('Then')[0] for p in by_move.values()}
  assert len(heads) == 1 and len(set(by_move.values())) == 4
  (group,) = _varied(cache, 't_nav_street', 'moves', 1)
  pair = group.drafts[0]
  assert pair.prompt.count('the car') == 1 and ', then it ' in pair.prompt


def test_every_level_of_every_nuisance_factor_occurs(cache):
  levels_of = collections.defaultdict(set)
  for index in range(64):
    factors = _drawn(cache, 'm_nav_indoor', index).drafts[0].factors
    for name in ('background', *environment.FACTORS):
      levels_of[name].add(factors[name])
  assert levels_of['background'] == set(environment.BACKGROUNDS)
  for name, levels in environment.FACTORS.items():
    assert levels_of[name] == set(levels)


def test_the_key_of_a_move_is_at_every_position(cache):
  counts = np.zeros(4, int)
  for group in _varied(cache, 'm_nav_indoor', 'moves', 40):
    forward = [d for d in group.drafts if d.factors['moves'] == 'forward']
    counts[forward[0].answer] += 1
  assert counts.min() >= 3
