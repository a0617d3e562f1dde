"""The replay buffer: bounded, seeded, without replacement, restorable."""

import json

import numpy as np
import pytest

from coderl import types
from coderl.alignment import replay, tasks


def task(i, step=0):
  targets = (types.Target('x', str(i)), types.Target('f.y', "'é'"))
  return tasks.AlignmentTask(
    'p', f'print({i})', '1\n', f'{i}\n', targets, 1, step
  )


def filled(n=10, capacity=100, max_age_steps=5):
  buffer = replay.Replay(capacity, max_age_steps)
  buffer.add([task(i) for i in range(n)], step=0)
  return buffer


def draw(buffer, n, seed=0, step=0):
  return [
    t.program for t in buffer.sample(n, np.random.default_rng(seed), step)
  ]


def test_a_draw_contains_no_task_twice():
  drawn = draw(filled(10), 6)
  assert len(set(drawn)) == len(drawn) == 6


@pytest.mark.parametrize(('fresh', 'n'), [(0, 1), (4, 6), (50, 51)])
def test_fewer_than_n_fresh_tasks_give_none_and_record_no_draw(fresh, n):
  buffer = filled(fresh)
  state = buffer.state()
  assert draw(buffer, n) == []
  assert buffer.state() == state
  assert len(draw(buffer, fresh)) == fresh


def test_tasks_beyond_the_age_limit_do_not_count_as_available():
  buffer = filled(3, max_age_steps=2)
  buffer.add([task(7, step=1)], step=1)
  assert draw(buffer, 2, step=3) == []
  assert draw(buffer, 1, step=3) == ['print(7)']


def test_ties_are_broken_by_the_generator():
  assert draw(filled(), 5, seed=1) == draw(filled(), 5, seed=1)
  assert draw(filled(), 5, seed=1) != draw(filled(), 5, seed=2)


def test_every_task_is_drawn_before_any_is_drawn_again():
  buffer = filled(10)
  drawn = draw(buffer, 5) + draw(buffer, 5)
  assert len(set(drawn)) == 10
  assert len(draw(buffer, 5)) == 5


def test_the_most_recent_tasks_come_first_among_the_undrawn():
  buffer = filled(10)
  buffer.add([task(i, step=2) for i in range(20, 23)], step=2)
  drawn = draw(buffer, 4, step=2)
  assert set(drawn[:3]) == {'print(20)', 'print(21)', 'print(22)'}


def test_capacity_drops_the_oldest():
  buffer = filled(5, capacity=3)
  assert len(buffer) == 3
  assert set(draw(buffer, 3)) == {'print(2)', 'print(3)', 'print(4)'}


def test_a_known_task_replaces_the_old_one():
  buffer = filled(3, capacity=3)
  buffer.add([task(0, step=1), task(9, step=1)], step=1)
  assert len(buffer) == 3
  assert set(draw(buffer, 3)) == {'print(2)', 'print(0)', 'print(9)'}


def test_tasks_age_out():
  buffer = filled(3, max_age_steps=2)
  assert len(draw(buffer, 3, step=2)) == 3
  assert draw(buffer, 1, step=3) == []
  buffer.add([task(7, step=3)], step=3)
  assert len(buffer) == 1


def test_a_restored_buffer_draws_the_same():
  buffer = filled(10)
  draw(buffer, 4)
  restored = replay.Replay.from_state(json.loads(json.dumps(buffer.state())))
  assert restored.state() == buffer.state()
  assert len(restored) == len(buffer)
  for seed in range(3):
    rngs = np.random.default_rng(seed), np.random.default_rng(seed)
    assert buffer.sample(4, rngs[0], 1) == restored.sample(4, rngs[1], 1)


@pytest.mark.parametrize('sizes', [(0, 1), (1, 0)])
def test_sizes_must_be_positive(sizes):
  with pytest.raises(ValueError, match='is 0'):
    replay.Replay(*sizes)
