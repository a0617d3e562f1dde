"""Exact chances, worked out by hand or by going through every deal."""

import itertools

import numpy as np
import pytest

from wm_abench.statistics import group_permutations


def test_two_members_of_a_group_are_one_trial():
  """Two options, three groups, all six right: one deal of eight, two tails."""
  which = np.array([0, 1] * 3)
  lots = group_permutations.blocks([0, 0, 1, 1, 2, 2], which)
  credit = np.eye(2)[which]
  assert group_permutations.p_value(credit, which, lots) == pytest.approx(2 / 8)
  assert group_permutations.p_value(1 - credit, which, lots) == pytest.approx(
    2 / 8
  )
  assert group_permutations.p_value(np.full((6, 2), 0.5), which, lots) == 1.0


def test_one_reply_to_all_members_is_no_evidence():
  which = np.arange(4).repeat(50).reshape(4, 50).T.ravel()
  lots = group_permutations.blocks(np.arange(50).repeat(4), which)
  credit = np.eye(4)[np.full(200, 2)]
  assert group_permutations.credit_of_keys(credit, which).mean() == 0.25
  assert group_permutations.p_value(credit, which, lots) == 1.0


def test_p_is_that_of_every_deal():
  rng = np.random.default_rng(0)
  which = np.array([*rng.permutation(4), *rng.permutation(4), 1])
  lots = group_permutations.blocks([0] * 4 + [1] * 4 + [2], which)
  assert [len(lot) for lot in lots] == [4, 4, 1]
  credit = np.eye(4)[[*which[:5], *rng.integers(0, 4, 4)]]
  hits = group_permutations.credit_of_keys(credit, which).sum()
  sums = np.array(
    [
      sum(credit[range(9), [*a, *b, c]])
      for a in itertools.permutations(range(4))
      for b in itertools.permutations(range(4))
      for c in range(4)
    ]
  )
  tails = (sums >= hits).mean(), (sums <= hits).mean()
  assert group_permutations.p_value(credit, which, lots) == pytest.approx(
    min(1, 2 * min(tails))
  )


def test_an_answer_that_comes_twice_makes_a_second_lot():
  lots = group_permutations.blocks(['a', 'a', 'a', 'b'], [0, 1, 0, 0])
  assert [lot.tolist() for lot in lots] == [[0, 1], [2], [3]]


def test_items_of_two_options_stand_beside_items_of_three():
  """Both right by chance: 1 / 2 * 1 / 3, twice."""
  which = np.array([0, 2])
  credit = np.array([[1, 0, np.nan], [0, 0, 1]])
  lots = group_permutations.blocks([0, 1], which)
  assert group_permutations.p_value(credit, which, lots) == pytest.approx(2 / 6)
