"""A test has whole groups, spread over it, and shows nothing but the item."""

import itertools
import json

import pytest

from tests.wm_abench import synthetic
from wm_abench.evaluation import prompts
from wm_abench.people import test_plan as plan_lib

CELLS = ('sr_tabletop', 'm_nav_street', 'se_v_tabletop')


def _items():
  return [synthetic.items(cell, 6) for cell in CELLS]


@pytest.mark.parametrize('count', [0, 1, 10, 1000])
def test_groups_stay_whole_and_cells_take_turns(count):
  picked = plan_lib.pick(_items(), count)
  total = sum(map(len, _items()))
  assert min(count or total, total) <= len(picked)
  assert len(picked) < count + 4 or len(picked) == total
  groups = [group for group, _ in itertools.groupby(i.group for i in picked)]
  assert len(set(groups)) == len(groups)
  first = [group.split('/')[0] for group in groups[:3]]
  assert tuple(first) == CELLS[: len(first)]


def test_items_of_a_group_are_spread_over_the_test():
  items = [item for items in _items() for item in items]
  test = plan_lib.plan(items, 0)
  assert sorted(i.name for i in test) == sorted(i.name for i in items)
  assert all(a.group != b.group for a, b in itertools.pairwise(test))
  positions = {}
  for position, item in enumerate(test):
    positions.setdefault(item.group, []).append(position / len(test))
  for times in positions.values():
    # Less than half a part may be lost where neighbours are exchanged.
    least = 0.5 / len(times) - 2 / len(test)
    assert min(b - a for a, b in itertools.pairwise(times)) >= least


def test_a_test_depends_on_its_seed_alone():
  items = _items()[0]
  assert plan_lib.plan(items, 1) == plan_lib.plan(items, 1)
  digests = {
    plan_lib.digest(plan_lib.plan(items, seed), seed) for seed in range(4)
  }
  assert len(digests) == 4


@pytest.mark.parametrize('cell', CELLS)
def test_what_is_shown_lacks_name_key_and_factors(cell):
  for item in synthetic.items(cell, 2):
    shown = json.dumps(plan_lib.shown(item, 0))
    assert item.name not in shown and item.group not in shown
    assert '"answer"' not in shown and 'level' not in shown


def test_an_answer_is_an_option_as_it_was_shown():
  item = synthetic.items('sr_tabletop', 1)[1]
  order = prompts.order_of(item, 3)
  for position in range(4):
    reply = plan_lib.reply(item, 3, position, 1.5)
    assert reply.chosen == order[position] and reply.text == 'ABCD'[position]
    shown = plan_lib.shown(item, 3)['options'][position]
    assert shown == item.options[reply.chosen]
