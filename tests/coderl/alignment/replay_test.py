"""The buffer: bounded, seeded, without replacement, restored as it was."""

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


def test_a_draw_holds_no_task_twice_and_may_be_short():
  drawn = draw(filled(10), 6)
  assert len(set(drawn)) == len(drawn) == 6
  assert len(draw(filled(4), 6)) == 4
  assert draw(replay.Replay(3, 3), 6) == []


def test_the_generator_decides():
  assert draw(filled(), 5, seed=1) == draw(filled(), 5, seed=1)
  assert draw(filled(), 5, seed=1) != draw(filled(), 5, seed=2)


def test_every_task_has_its_turn_before_one_comes_again():
  buffer = filled(10)
  drawn = draw(buffer, 5) + draw(buffer, 5)
  assert len(set(drawn)) == 10
  assert len(draw(buffer, 5)) == 5


def test_recent_ones_come_first_among_the_undrawn():
  buffer = filled(10)
  buffer.add([task(i, step=2) for i in range(20, 23)], step=2)
  drawn = draw(buffer, 4, step=2)
  assert set(drawn[:3]) == {'print(20)', 'print(21)', 'print(22)'}


def test_capacity_drops_the_oldest():
  buffer = filled(5, capacity=3)
  assert len(buffer) == 3
  assert set(draw(buffer, 9)) == {'print(2)', 'print(3)', 'print(4)'}


def test_a_known_task_is_renewed_not_doubled():
  buffer = filled(3, capacity=3)
  buffer.add([task(0, step=1), task(9, step=1)], step=1)
  assert len(buffer) == 3
  assert set(draw(buffer, 9)) == {'print(2)', 'print(0)', 'print(9)'}


def test_tasks_age_out():
  buffer = filled(3, max_age_steps=2)
  assert len(draw(buffer, 9, step=2)) == 3
  assert draw(buffer, 9, step=3) == []
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
