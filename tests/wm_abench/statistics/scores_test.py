import dataclasses
import itertools

import numpy as np
import pytest

from wm_abench.core import dimensions, records
from wm_abench.statistics import scores as scores_lib

FOUR, TWO = 'sr_tabletop', 'se_v_tabletop'


def _reply(cell, group, member, chosen, turn=0, order=None):
  options = dimensions.CELLS[cell].of.options
  order = order or tuple(np.roll(range(options), -turn).tolist())
  return records.Reply(
    item=f'{cell}/{group}/{member}',
    cell=cell,
    group=f'{cell}/{group}',
    order=order,
    turn=turn,
    answer=member,
    chosen=chosen,
    status=records.UNPARSED if chosen is None else records.ANSWERED,
  )


def _group(cell, group, rights):
  """Returns replies to a group, right, wrong, or unparsed where None."""
  options = dimensions.CELLS[cell].of.options
  return [
    _reply(cell, group, m, None if r is None else m if r else (m + 1) % options)
    for m, r in enumerate(rights)
  ]


def test_scores_of_a_cell_by_hand():
  replies = [
    *_group(FOUR, 0, (True, True, True, True)),
    *_group(FOUR, 1, (True, True, False, False)),
    *_group(FOUR, 2, (False, None, False, True)),
  ]
  score = scores_lib.summarise({'m': replies}, 0)['m']['cells'][FOUR]
  assert score['items'] == 12 and score['accuracy'] == pytest.approx(7 / 12)
  assert score['corrected'] == pytest.approx((7 / 12 - 1 / 4) / (3 / 4))
  # The paper's rule leaves out the reply that names no option.
  assert score['answered'] == 11
  assert score['answered_accuracy'] == pytest.approx(7 / 11)
  # Each group has six pairs: all, one, and none of them are right.
  assert score['pairs'] == pytest.approx(7 / 18)
  assert score['groups'] == pytest.approx(1 / 3)
  assert score['pairs_chance'] == 1 / 16 and score['groups_chance'] == 1 / 256
  assert score['wilson'][0] < 7 / 12 < score['wilson'][1]


def test_p_permutes_the_keys_of_each_group():
  """Four items all right are 1 permutation of 24; two are 1 of 2."""
  replies = [
    *_group(FOUR, 0, (True,) * 4),
    *_group(FOUR, 1, (True,) * 4),
    *_group(TWO, 0, (True,) * 2),
  ]
  scores = scores_lib.summarise({'m': replies}, 0)['m']
  assert scores['cells'][FOUR]['p'] == pytest.approx(1 / 24**2)
  assert scores['dimensions']['SE-V']['p'] == pytest.approx(1 / 2)
  assert scores['all']['p'] == pytest.approx(1 / (24**2 * 2))
  same = [_reply(FOUR, g, m, 2) for g in range(9) for m in range(4)]
  assert scores_lib.summarise({'m': same}, 0)['m']['all']['p'] == 1.0


def test_averages_are_plain_means_over_cells_of_corrected_scores():
  replies = [
    *itertools.chain.from_iterable(
      _group(FOUR, g, (True, False, False, False)) for g in range(9)
    ),
    *_group(TWO, 0, (True, True)),
  ]
  summary = scores_lib.summarise({'m': replies}, 0)['m']
  assert summary['all']['accuracy'] == pytest.approx((1 / 4 + 1) / 2)
  assert summary['all']['corrected'] == pytest.approx((0 + 1) / 2)
  assert summary['dimensions']['SR']['corrected'] == pytest.approx(0)
  assert summary['categories']['space']['cells'] == 2
  assert summary['stages'][dimensions.PERCEPTION] == summary['all']
  # All groups are equal, so the interval has no width.
  assert summary['all']['low'] == summary['all']['high'] == 5 / 8


def test_statuses_and_tokens_are_counted():
  replies = _group(TWO, 0, (True, None))
  replies[1] = dataclasses.replace(replies[1], status=records.REFUSED)
  replies = [
    dataclasses.replace(r, input_tokens=7, output_tokens=2) for r in replies
  ]
  summary = scores_lib.summarise({'m': replies}, 0)['m']
  assert summary['statuses'] == dict.fromkeys(records.STATUSES, 0) | {
    records.ANSWERED: 1,
    records.REFUSED: 1,
  }
  assert summary['tokens'] == {'input': 14, 'output': 4}


def test_rotations_are_averaged_and_must_all_be_right_to_count_as_always():
  def rotations(member, rights):
    return [
      _reply(TWO, 0, member, member if right else 1 - member, turn)
      for turn, right in enumerate(rights)
    ]

  replies = [*rotations(0, (True, True)), *rotations(1, (True, False))]
  score = scores_lib.summarise({'m': replies}, 0)['m']['cells'][TWO]
  assert (score['items'], score['accuracy'], score['always']) == (2, 0.75, 0.5)
  assert score['pairs'] == 0


def test_always_answering_a_is_a_position_bias_and_scores_chance():
  replies = []
  for g in range(50):
    order = tuple(np.random.default_rng(g).permutation(4).tolist())
    replies += [_reply(FOUR, g, m, order[0], order=order) for m in range(4)]
  summary = scores_lib.summarise({'m': replies}, 0)['m']
  assert summary['cells'][FOUR]['accuracy'] == 0.25
  assert summary['cells'][FOUR]['pairs'] == 0
  positions = summary['positions']
  assert positions['chosen'] == {'A': 200, 'B': 0, 'C': 0, 'D': 0}
  assert positions['right'] == {label: 50 for label in 'ABCD'}
  assert positions['p'] < 1e-6


def test_labels_of_cells_with_fewer_options_are_expected_less():
  replies = [*_group(TWO, 0, (True, True)), *_group(FOUR, 0, (True,) * 4)]
  positions = scores_lib.positions(replies)
  assert positions['even'] == {'A': 2, 'B': 2, 'C': 1, 'D': 1}
  assert positions['chi_square'] == 0 and positions['p'] == 1


def _random(rng, groups, ability):
  """Returns replies of a model whose ability varies between groups."""
  replies = []
  for g in range(groups):
    p = rng.beta(2 * ability, 2 * (1 - ability))
    replies += _group(FOUR, g, rng.random(4) < p)
  return replies


def test_intervals_have_their_nominal_coverage():
  rng, hits, wilson = np.random.default_rng(0), 0, 0
  for _ in range(200):
    table = scores_lib.summarise({'m': _random(rng, 60, 0.6)}, 1)['m']
    score = table['cells'][FOUR]
    hits += score['low'] <= 0.6 <= score['high']
    wilson += score['wilson'][0] <= 0.6 <= score['wilson'][1]
  # 95% +- 3 standard deviations; Wilson's interval ignores the groups.
  assert 180 <= hits <= 199
  assert wilson < hits


def test_the_same_seed_gives_the_same_scores_whatever_the_order_of_models():
  rng = np.random.default_rng(3)
  a, b = _random(rng, 10, 0.5), _random(rng, 10, 0.5)
  first = scores_lib.summarise({'a': a, 'b': b}, 7)
  assert first == scores_lib.summarise({'b': b, 'a': a}, 7)
  assert first['a'] != scores_lib.summarise({'a': a}, 8)['a']
