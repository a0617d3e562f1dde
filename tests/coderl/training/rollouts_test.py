"""Laws of the choice of prompts and of the groups to train on."""

import itertools

import numpy as np
import pytest

from coderl import types
from coderl.alignment import replay as replay_lib
from coderl.alignment import tasks
from coderl.training import rollouts as rollouts_lib

PROBLEM = types.Problem(id='p', statement='', tests=())
PROMPTS = [
  types.Prompt(types.GENERATE, str(i), (i,), PROBLEM) for i in range(12)
]


def make_replay(count):
  replay = replay_lib.Replay(capacity=100, max_age_steps=100)
  replay.add(
    [
      tasks.AlignmentTask('p', f'print({i})', '', f'{i}\n', (), 1, step=0)
      for i in range(count)
    ],
    step=0,
  )
  return replay


def align_prompt(task):
  return types.Prompt(types.ALIGN, task.program, (), PROBLEM)


def alignment_prompts(replay, count, step, start_step=3, make=align_prompt):
  return rollouts_lib.alignment_prompts(
    replay,
    count,
    step=step,
    start_step=start_step,
    rng=np.random.default_rng(0),
    make_prompt=make,
  )


def flatten(lists):
  return list(itertools.chain(*lists))


def make_group(*rewards, masked=()):
  return [
    types.Rollout(
      PROMPTS[0], (), (), (), '', True, reward=reward, masked=i in masked
    )
    for i, reward in enumerate(rewards)
  ]


def test_every_epoch_has_every_prompt_once_in_a_new_order():
  epochs = [
    rollouts_lib.code_prompts(PROMPTS, 0, 12 * epoch, 12) for epoch in range(4)
  ]
  texts = [[prompt.text for prompt in epoch] for epoch in epochs]
  for epoch in texts:
    assert sorted(epoch) == sorted(prompt.text for prompt in PROMPTS)
  assert len({tuple(epoch) for epoch in texts}) == 4


def test_the_order_depends_on_the_seed_and_not_on_the_counts():
  expected = rollouts_lib.code_prompts(PROMPTS, 1, 0, 30)
  chunks = [
    rollouts_lib.code_prompts(PROMPTS, 1, position, 5)
    for position in range(0, 30, 5)
  ]
  assert flatten(chunks) == expected
  assert rollouts_lib.code_prompts(PROMPTS, 2, 0, 30) != expected


@pytest.mark.parametrize(('step', 'drawn'), [(0, 0), (2, 0), (3, 4), (9, 4)])
def test_alignment_prompts_begin_at_the_start_step(step, drawn):
  prompts = alignment_prompts(make_replay(6), 4, step)
  assert len(prompts) == drawn
  assert all(prompt.kind == types.ALIGN for prompt in prompts)
  assert len({prompt.text for prompt in prompts}) == drawn


def test_a_buffer_with_too_few_tasks_gives_none():
  assert alignment_prompts(make_replay(3), 4, step=3) == []
  assert len(alignment_prompts(make_replay(4), 4, step=3)) == 4
  assert alignment_prompts(make_replay(4), 0, step=3) == []


def test_tasks_whose_prompt_is_too_long_are_left_out():
  def make(task):
    return None if task.program == 'print(0)' else align_prompt(task)

  assert len(alignment_prompts(make_replay(4), 4, step=3, make=make)) == 3


# Groups of two: no, yes, no (the other reward is masked), yes, no gradient.
GROUPS = [
  make_group(1, 1),
  make_group(1, 0),
  make_group(1, 0, masked=(1,)),
  make_group(0, 0.5),
  make_group(0, 0),
]


@pytest.mark.parametrize(
  ('dynamic_sampling', 'count', 'expected'),
  [
    (False, 2, [0, 1]),
    (False, 5, [0, 1, 2, 3, 4]),
    (True, 1, [1]),
    (True, 2, [1, 3]),
    (True, 4, [1, 3, 0, 2]),  # Filled up in order.
  ],
)
def test_dynamic_sampling_prefers_groups_whose_rewards_differ(
  dynamic_sampling, count, expected
):
  chosen = rollouts_lib.choose_groups(
    flatten(GROUPS), 2, count, dynamic_sampling
  )
  assert chosen == flatten(GROUPS[i] for i in expected)


class Scored:
  """Rollouts whose rewards are known."""

  def __init__(self, rollouts):
    self._rollouts = rollouts

  def scored(self):
    return self._rollouts


def test_alignment_rollouts_replace_code_groups_and_come_last():
  align = make_group(0.1, 0.2)
  pending = rollouts_lib.PendingStep(Scored(flatten(GROUPS)), Scored(align))
  code, trained = rollouts_lib.collect(
    pending, group_size=2, prompts_per_step=3, dynamic_sampling=True
  )
  assert code == flatten(GROUPS)
  assert trained == [*GROUPS[1], *GROUPS[3], *align]
  pending = rollouts_lib.PendingStep(Scored(GROUPS[0]), None)
  assert rollouts_lib.collect(
    pending, group_size=2, prompts_per_step=1, dynamic_sampling=False
  ) == (GROUPS[0], GROUPS[0])
