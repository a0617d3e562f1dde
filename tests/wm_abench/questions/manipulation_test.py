import itertools

import numpy as np
import pytest

from wm_abench.core import dimensions
from wm_abench.generation import render_cache
from wm_abench.questions import group_law, manipulation, manipulation_acts
from wm_abench.rendering import mujoco as rendering
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import arms, objects, scenes

CELLS = [
  c for c in dimensions.CELLS.values() if c.environment == 'manipulation'
]


@pytest.fixture(scope='module')
def cache():
  cache = render_cache.RenderCache(rendering.MujocoRenderer(192))
  yield cache
  cache.close()


def _group(cache, cell, index):
  """Returns the first group that is not rejected, and its attempt."""
  for attempt in range(3):
    request = group_law.Request(cell, index, 1, attempt, cache.simulate)
    try:
      return manipulation.MAKERS[cell.dimension](request), attempt
    except group_law.Rejected:
      continue
  raise AssertionError(f'{cell.name}/{index} was rejected three times')


@pytest.mark.parametrize('cell', CELLS, ids=lambda c: c.name)
def test_groups_keep_the_law_and_few_draws_are_rejected(cache, cell):
  rejected = 0
  for index in range(5):
    group, attempts = _group(cache, cell, index)
    rejected += attempts
    group_law.check(group)
  assert rejected <= 1


def _varied(cache, cell, varied):
  """Returns the first group of a cell that varies this factor."""
  for index in range(20):
    group, _ = _group(cache, cell, index)
    if group.varies == varied:
      return group
  raise AssertionError(f'{cell.name}: no group varies {varied}')


@pytest.mark.parametrize('cell', CELLS, ids=lambda c: c.name)
def test_members_with_one_start_differ_only_in_their_prompts(cache, cell):
  group = _varied(cache, cell, 'action')
  assert len({d.images for d in group.drafts}) == 1
  assert group.drafts[0].images[0].actions == ()
  assert len({d.prompt for d in group.drafts}) == 4
  for option in group.drafts[0].options:
    assert option.scene == group.drafts[0].images[0].scene


@pytest.mark.parametrize(
  'cell',
  [c for c in CELLS if c.action in ('push', 'drop', 'push_pick')],
  ids=lambda c: c.name,
)
def test_varied_starts_share_the_act_and_every_distance_rank_of_the_key(
  cache, cell
):
  group = _varied(cache, cell, 'start_m')
  assert len({d.prompt for d in group.drafts}) == 1
  kind = group.drafts[0].factors['object_type']
  ranks = set()
  for draft in group.drafts:
    (query,) = draft.images
    key = draft.options[draft.answer]
    assert key.scene == query.scene and query.actions == ()
    start = cache.simulate(query.environment, query.scene, ())[0]
    ends = [
      cache.simulate(o.environment, o.scene, o.actions)[-1]
      for o in draft.options
    ]
    start_m, *ends_m = (
      np.array(s.bodies[kind].position_m[:2]) for s in (start, *ends)
    )
    distances_m = [np.linalg.norm(end_m - start_m) for end_m in ends_m]
    ranks.add(sorted(distances_m).index(distances_m[draft.answer]))
  # Therefore no rule about the distance from the start beats chance.
  assert ranks == {0, 1, 2, 3}


@pytest.mark.parametrize('cell', CELLS, ids=lambda c: c.name)
def test_outcomes_differ_in_state_and_in_picture(cache, cell):
  for index in (1, 2):
    group, _ = _group(cache, cell, index)
    options = group.drafts[0].options
    queries = dict.fromkeys(d.images[0] for d in group.drafts)
    frames, states = cache.render([*queries, *options])
    for a, b in itertools.combinations(options, 2):
      assert protocol.distance(states[a], states[b]) >= group_law.MIN_STATE_M
    group_law.check_frames(group, frames.get)


@pytest.mark.parametrize('cell', CELLS, ids=lambda c: c.name)
def test_the_same_request_gives_the_same_group(cache, cell):
  assert _group(cache, cell, 3) == _group(cache, cell, 3)


def _acts(design, kinds=('can', 'mug', 'bowl')):
  things = tuple(
    scenes.Thing(kind, color, (0.0, 0.0))
    for kind, color in zip(kinds, ('red', 'blue', 'green'), strict=False)
  )
  levels = {'design': 'upright'}
  draw = manipulation_acts.Draw(levels, things, np.random.default_rng(0))
  return design(draw)


@pytest.mark.parametrize(
  'design',
  [
    manipulation_acts.push_then_pick,
    manipulation_acts.push_one_pick_one,
    manipulation_acts.pick_then_turn,
  ],
)
def test_neither_of_two_actions_determines_the_outcome(design):
  acts = _acts(design)
  for step in (0, 1):
    actions = [a.actions[step] for a in acts]
    assert all(actions.count(action) == 2 for action in actions)
  assert len({a.actions for a in acts}) == 4


@pytest.mark.parametrize(
  'design', [manipulation_acts.push_ends, manipulation_acts.push_inward]
)
def test_the_action_of_one_arm_does_not_determine_the_outcome(design):
  acts = _acts(design, ('beam',))
  for arm in (0, 1):
    headings = [a.actions[0].values[arm] for a in acts]
    assert all(headings.count(heading) == 2 for heading in headings)


def test_the_instruction_names_the_object_of_the_action():
  for act in _acts(manipulation_acts.lift_which):
    thing = ('red soup can', 'blue mug')[int(act.actions[0].values[0])]
    assert thing in act.words
    other = {'red soup can': 'blue mug', 'blue mug': 'red soup can'}[thing]
    assert other not in act.words


def test_every_small_object_fits_between_the_fingers():
  for kind in objects.SMALL.values():
    assert kind.size_m[0] < 2 * arms.OPEN_M - 5e-3
