"""Exact probabilities, by hand or by enumerating every permutation."""

import itertools

import numpy as np
import pytest

from wm_abench.statistics import group_permutations


def test_two_items_of_a_group_are_one_trial():
  """Three groups of two, all right: 1 permutation of 8, two tails."""
  key = np.array([0, 1] * 3)
  blocks = group_permutations.blocks([0, 0, 1, 1, 2, 2], key)
  credit = np.eye(2)[key]
  assert group_permutations.p_value(credit, key, blocks) == pytest.approx(2 / 8)
  assert group_permutations.p_value(1 - credit, key, blocks) == pytest.approx(
    2 / 8
  )
  assert group_permutations.p_value(np.full((6, 2), 0.5), key, blocks) == 1.0


def test_one_reply_to_all_items_is_no_evidence():
  key = np.arange(4).repeat(50).reshape(4, 50).T.ravel()
  blocks = group_permutations.blocks(np.arange(50).repeat(4), key)
  credit = np.eye(4)[np.full(200, 2)]
  assert group_permutations.credit_of_keys(credit, key).mean() == 0.25
  assert group_permutations.p_value(credit, key, blocks) == 1.0


def test_p_is_that_of_all_permutations():
  rng = np.random.default_rng(0)
  key = np.array([*rng.permutation(4), *rng.permutation(4), 1])
  blocks = group_permutations.blocks([0] * 4 + [1] * 4 + [2], key)
  assert [len(block) for block in blocks] == [4, 4, 1]
  credit = np.eye(4)[[*key[:5], *rng.integers(0, 4, 4)]]
  hits = group_permutations.credit_of_keys(credit, key).sum()
  sums = np.array(
    [
      sum(credit[range(9), [*a, *b, c]])
      for a in itertools.permutations(range(4))
      for b in itertools.permutations(range(4))
      for c in range(4)
    ]
  )
  tails = (sums >= hits).mean(), (sums <= hits).mean()
  assert group_permutations.p_value(credit, key, blocks) == pytest.approx(
    min(1, 2 * min(tails))
  )


def test_a_key_that_occurs_twice_starts_a_second_block():
  blocks = group_permutations.blocks(['a', 'a', 'a', 'b'], [0, 1, 0, 0])
  assert [block.tolist() for block in blocks] == [[0, 1], [2], [3]]


def test_items_may_have_two_or_three_options():
  """Both are right with probability 1/2 * 1/3, two-sided twice that."""
  key = np.array([0, 2])
  credit = np.array([[1, 0, np.nan], [0, 0, 1]])
  blocks = group_permutations.blocks([0, 1], key)
  assert group_permutations.p_value(credit, key, blocks) == pytest.approx(2 / 6)
