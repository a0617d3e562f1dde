import dataclasses

import numpy as np
import pytest

from wm_abench.core import records
from wm_abench.statistics import psychometrics

LEVELS = (0.5, 1.0, 2.0, 3.0, 4.0)
SCALE, SLOPE, GUESS = 2.0, 2.0, 1 / 3
STEPS = psychometrics.Difference('steps', 'steps')


def _replies(groups, seed=0):
  rng = np.random.default_rng(seed)
  for g in range(groups):
    x = LEVELS[g % len(LEVELS)]
    p = psychometrics.weibull(np.array(x), GUESS, SCALE, SLOPE, 0.0)
    for m in range(3):
      yield records.Reply(
        item=f'{g}/{m}',
        cell='ms_tabletop',
        group=str(g),
        order=(0, 1, 2),
        turn=0,
        answer=m,
        chosen=m if rng.random() < p else (m + 1) % 3,
        status=records.ANSWERED,
        factors={'steps': x},
      )


def test_a_curve_starts_at_a_guess_and_ends_below_all_by_its_lapses():
  ends = psychometrics.weibull(np.array([0.0, 1e9]), 0.25, 2.0, 3.0, 0.1)
  assert ends == pytest.approx([0.25, 0.9])
  half = psychometrics.threshold(2.0, 3.0)
  middle = psychometrics.weibull(np.array(half), 0.25, 2.0, 3.0, 0.1)
  assert middle == pytest.approx((0.25 + 0.9) / 2)


def test_a_fit_recovers_the_curve_that_made_the_replies():
  curve = psychometrics.curve([*_replies(1500)], STEPS, 0)
  true = psychometrics.threshold(SCALE, SLOPE)
  assert curve['threshold'] == pytest.approx(true, rel=0.1)
  assert [p['x'] for p in curve['points']] == list(LEVELS)
  assert sum(p['items'] for p in curve['points']) == 4500
  for point in curve['points']:
    assert point['low'] <= point['accuracy'] <= point['high']


def test_intervals_mostly_cover_the_truth():
  true, hits = psychometrics.threshold(SCALE, SLOPE), 0
  for seed in range(8):
    curve = psychometrics.curve([*_replies(300, seed)], STEPS, 0)
    hits += curve['low'] < true < curve['high']
  assert hits >= 6


def test_more_replies_give_narrower_intervals():
  few = psychometrics.curve([*_replies(100)], STEPS, 0)
  many = psychometrics.curve([*_replies(1600)], STEPS, 0)
  assert many['high'] - many['low'] < few['high'] - few['low']


def test_one_difference_makes_no_curve():
  replies = [r for r in _replies(50) if r.factors['steps'] == 2.0]
  assert psychometrics.curve(replies, STEPS, 0) is None
  other = psychometrics.Difference('ratio', '')
  assert psychometrics.curve([*_replies(20)], other, 0) is None


def test_the_harder_of_two_ratios_is_the_one_nearer_to_one():
  def at(ratio, groups):
    for r in _replies(groups):
      yield dataclasses.replace(r, factors={'ratio': ratio})

  ratio = psychometrics.Difference('ratio', '', ratio=True)
  curve = psychometrics.curve([*at(0.5, 40), *at(1.25, 30)], ratio, 0)
  x = [p['x'] for p in curve['points']]
  assert x == pytest.approx([np.log(1.25), np.log(2)], abs=1e-4)
  assert [p['items'] for p in curve['points']] == [90, 120]


def test_always_answering_that_all_is_alike_gains_nothing():
  def alike(reply):
    level = 'both' if reply.answer == 2 else f'the {reply.answer}'
    return dataclasses.replace(
      reply, chosen=2, varies='more', factors={**reply.factors, 'more': level}
    )

  curve = psychometrics.curve([alike(r) for r in _replies(50)], STEPS, 0)
  assert [p['accuracy'] for p in curve['points']] == [0] * len(LEVELS)
  assert curve['alike'] == 1
  # The curve never rises, so the threshold is the largest difference.
  assert curve['threshold'] == LEVELS[-1]
