import dataclasses
import itertools
import pathlib

import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.data import picture_files
from wm_abench.evaluation import prompts


def _question(cell, tmp_path, member=0):
  return picture_files.question(synthetic.items(cell, 2)[member], tmp_path)


def _pictures(parts):
  return [p.source for p in parts if isinstance(p, prompts.Picture)]


@pytest.mark.parametrize('protocol', prompts.PROTOCOLS)
def test_pictures_come_in_order_and_options_behind_their_labels(
  protocol, tmp_path
):
  question = _question('m_nav_street', tmp_path)
  order = (2, 0, 3, 1)
  parts = prompts.parts(question, order, protocol)
  options = tuple(question.options[i] for i in order)
  assert tuple(_pictures(parts)) == question.images + options
  labels = prompts.labels_of(question, protocol)
  for label, option in zip(labels, options, strict=True):
    place = parts.index(prompts.Picture(option))
    assert parts[place - 1] == f'{label}.'


def test_worded_options_are_listed_in_the_order_shown(tmp_path):
  question = _question('sr_tabletop', tmp_path)
  parts = prompts.parts(question, (1, 3, 0, 2), prompts.STRICT)
  lines = 'A. choice b\nB. choice d\nC. choice a\nD. choice c'
  assert lines in parts and question.prompt in parts


def test_the_papers_protocol_asks_for_a_number_a_letter_or_yes_or_no(tmp_path):
  last = {
    cell: prompts.parts(
      q := _question(cell, tmp_path), range(len(q.options)), prompts.PAPER
    )
    for cell in ('m_nav_street', 'sr_tabletop', 'se_v_tabletop')
  }
  assert '1, 2, 3 or 4' in last['m_nav_street'][-1]
  assert any('last four' in p for p in last['m_nav_street'][:-1] if str(p) == p)
  assert 'A, B, C or D' in last['sr_tabletop'][-1]
  assert 'yes or no' in last['se_v_tabletop'][-1]
  assert not any(str(p).startswith('A.') for p in last['se_v_tabletop'])


def test_blind_prompts_show_the_options_alone(tmp_path):
  question = _question('m_nav_street', tmp_path)
  seen = prompts.parts(question, range(4), prompts.STRICT)
  blind = prompts.parts(question, range(4), prompts.STRICT, blind=True)
  assert seen[len(question.images) :] == blind
  assert _pictures(blind) == list(question.options)


def test_rotations_put_every_option_everywhere_once(tmp_path):
  question = _question('sr_tabletop', tmp_path)
  turns = [prompts.order_of(question, 3, t) for t in range(4)]
  for place in range(4):
    assert sorted(order[place] for order in turns) == [0, 1, 2, 3]


def test_an_order_is_of_the_seed_and_alike_in_a_group(tmp_path):
  orders = [
    [prompts.order_of(_question('sr_tabletop', tmp_path, m), seed) for m in ms]
    for seed, ms in itertools.product((0, 1, 0), ((0, 1, 2, 3), (4, 5, 6, 7)))
  ]
  assert all(len(set(group)) == 1 for group in orders)
  assert orders[:2] == orders[4:] and orders[:2] != orders[2:4]


def test_orders_are_balanced(tmp_path):
  question = _question('sr_tabletop', tmp_path)
  counts = [[0] * 4 for _ in range(4)]
  for i in range(2000):
    order = prompts.order_of(dataclasses.replace(question, group=f'g/{i}'), 0)
    for place, option in enumerate(order):
      counts[place][option] += 1
  # Four standard deviations of a binomial of 2000 at 1/4.
  assert all(abs(n - 500) < 78 for row in counts for n in row)


def test_an_unknown_protocol_is_told(tmp_path):
  with pytest.raises(errors.UserError, match='choices: paper, strict'):
    prompts.labels_of(_question('sr_tabletop', tmp_path), 'loose')


def test_pictures_are_named_where_they_are(tmp_path):
  question = _question('sp_tabletop', tmp_path)
  assert all(pathlib.Path(p).is_file() for p in question.options)
