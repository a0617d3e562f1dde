"""Laws of prompts: order, labels, rotations and what blind prompts lack."""

import dataclasses
import itertools

import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.core import records
from wm_abench.evaluation import prompts


def _item(cell, member=0):
  return synthetic.items(cell, 2)[member]


def _pictures(parts):
  return [part for part in parts if isinstance(part, records.Picture)]


@pytest.mark.parametrize('protocol', prompts.PROTOCOLS)
def test_pictures_are_in_order_and_options_follow_their_labels(protocol):
  item = _item('m_nav_street')
  order = (2, 0, 3, 1)
  parts = prompts.parts(item, order, protocol)
  options = tuple(item.options[i] for i in order)
  assert tuple(_pictures(parts)) == item.images + options
  labels = prompts.labels_of(item, protocol)
  for label, option in zip(labels, options, strict=True):
    assert parts[parts.index(option) - 1] == f'{label}.'


def test_phrases_are_listed_in_the_order_shown():
  item = _item('sr_tabletop')
  parts = prompts.parts(item, (1, 3, 0, 2), prompts.STRICT)
  lines = 'A. choice b\nB. choice d\nC. choice a\nD. choice c'
  assert lines in parts and item.prompt in parts


def test_the_papers_protocol_asks_for_a_number_a_letter_or_yes_or_no():
  last = {
    cell: prompts.parts(
      item := _item(cell), range(len(item.options)), prompts.PAPER
    )
    for cell in ('m_nav_street', 'sr_tabletop', 'se_v_tabletop')
  }
  assert '1, 2, 3 or 4' in last['m_nav_street'][-1]
  assert any('last four' in p for p in last['m_nav_street'][:-1] if str(p) == p)
  assert 'A, B, C or D' in last['sr_tabletop'][-1]
  assert 'yes or no' in last['se_v_tabletop'][-1]
  assert not any(str(p).startswith('A.') for p in last['se_v_tabletop'])


def test_blind_prompts_show_the_options_alone():
  item = _item('m_nav_street')
  seen = prompts.parts(item, range(4), prompts.STRICT)
  blind = prompts.parts(item, range(4), prompts.STRICT, blind=True)
  assert seen[len(item.images) :] == blind
  assert _pictures(blind) == list(item.options)


def test_rotations_put_every_option_in_every_position_once():
  item = _item('sr_tabletop')
  rotations = [prompts.order_of(item, 3, turn) for turn in range(4)]
  for position in range(4):
    assert sorted(order[position] for order in rotations) == [0, 1, 2, 3]


def test_an_order_depends_on_the_seed_and_is_shared_by_a_group():
  orders = [
    [prompts.order_of(_item('sr_tabletop', m), seed) for m in members]
    for seed, members in itertools.product(
      (0, 1, 0), ((0, 1, 2, 3), (4, 5, 6, 7))
    )
  ]
  assert all(len(set(group)) == 1 for group in orders)
  assert orders[:2] == orders[4:] and orders[:2] != orders[2:4]


def test_orders_are_balanced():
  item = _item('sr_tabletop')
  counts = [[0] * 4 for _ in range(4)]
  for i in range(2000):
    order = prompts.order_of(dataclasses.replace(item, group=f'g/{i}'), 0)
    for position, option in enumerate(order):
      counts[position][option] += 1
  # Four standard deviations of a binomial of 2000 at 1/4.
  assert all(abs(n - 500) < 78 for row in counts for n in row)


def test_an_unknown_protocol_is_answered_with_the_choices():
  with pytest.raises(errors.UserError, match='choices: paper, strict'):
    prompts.labels_of(_item('sr_tabletop'), 'loose')
