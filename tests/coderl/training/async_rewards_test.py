"""Laws of rewards that are computed while other responses are sampled."""

import dataclasses
import json
import threading

import numpy as np
import pytest

from coderl import types
from coderl.rewards import scoring
from coderl.sandbox import sandbox as sandbox_lib
from coderl.training import async_rewards
from commons import errors

PROBLEM = types.Problem(
  id='twice',
  statement='',
  tests=(types.Test('3\n', '6\n'), types.Test('4\n', '8\n')),
)
CORRECT = 'print(2 * int(input()))'
PROGRAMS = (CORRECT, 'print(6)', CORRECT, '1 / 0', 'print(2 * int(input())) ')
TARGETS = (types.Target('total', '3'),)
PROMPTS = [
  types.Prompt(types.GENERATE, 'twice', (1, 2), PROBLEM, stops=('x',)),
  types.Prompt(
    types.ALIGN,
    'what',
    (3,),
    PROBLEM,
    program='print(6)',
    expected='6\n',
    targets=TARGETS,
    queries=(0,),
  ),
]


def make_rollout(prompt, text, seed=0):
  rng = np.random.default_rng(seed)
  tokens = rng.integers(0, 99, 3).astype(np.int32)
  logprobs, drawn = rng.normal(size=(2, 3)).astype(np.float32)
  return types.Rollout(prompt, tokens, logprobs, drawn, text, True)


def numbered_rollouts():
  texts = [f'```python\n{source}\n```' for source in PROGRAMS]
  rollouts = [make_rollout(PROMPTS[0], text, i) for i, text in enumerate(texts)]
  answers = ['{"total": 3, "output": "6"}', 'none', '{}', '', '{"total": 3}']
  rollouts += [make_rollout(PROMPTS[1], text, 9) for text in answers]
  return list(enumerate(rollouts))


class ScriptedSampler:
  """Yields the chunks it was made with; calls a hook before the last one."""

  def __init__(self, chunks, before_last=lambda: None):
    self.chunks, self.before_last = chunks, before_last

  def sample(self, policy, prompts, key, config):
    del policy, prompts, key, config
    yield from self.chunks[:-1]
    self.before_last()
    yield self.chunks[-1]


class Config:
  group_size = 5


def begin(sandbox, chunks, before_last=lambda: None):
  sampler = ScriptedSampler(chunks, before_last)
  reward_function = async_rewards.RewardFunction(sandbox, 'official')
  return async_rewards.begin(
    sampler, None, PROMPTS, None, Config, reward_function
  )


def comparable(rollouts):
  """Returns the rollouts as plain data, without the times of executions."""
  return [
    {
      field.name: np.asarray(value).tolist()
      if isinstance(value := getattr(r, field.name), np.ndarray)
      else value
      for field in dataclasses.fields(r)
      if field.name != 'executions'
    }
    | {'statuses': [(e.status, e.stdout) for e in r.executions]}
    for r in rollouts
  ]


@pytest.fixture(scope='module')
def sandbox():
  with sandbox_lib.Sandbox(workers=2) as opened:
    yield opened


class RecordingSandbox:
  """Records the programs it runs, and sets an event after the first batch."""

  def __init__(self, sandbox):
    self.sandbox, self.ran, self.programs = sandbox, threading.Event(), []

  def run(self, programs):
    executions = self.sandbox.run(programs)
    self.programs += programs
    self.ran.set()
    return executions


def test_scores_equal_those_of_one_batch_in_order(sandbox):
  numbered = numbered_rollouts()
  shuffled = [numbered[7:], numbered[3:5], [], numbered[5:7], numbered[:3]]
  scored = begin(sandbox, shuffled).scored()
  expected = scoring.score(
    [r for _, r in numbered], sandbox, alignment_reward='official'
  )
  assert comparable(scored) == comparable(expected)
  assert [r.reward for r in scored[:5]] == [1.0, 0.0, 1.0, 0.0, 1.0]
  assert [r.passed for r in scored[:5]] == [True, False, True, False, True]


def test_programs_run_while_others_are_sampled_and_equal_programs_once(sandbox):
  numbered, recording = numbered_rollouts(), RecordingSandbox(sandbox)

  def before_last():
    assert recording.ran.wait(timeout=30)  # Nobody has asked for rewards yet.

  pending = begin(recording, [numbered[:2], numbered[2:]], before_last)
  pending.scored()
  # The first tests of two programs and then of two others; the second tests of
  # the two that passed. The first program comes in both chunks but runs once.
  assert len(recording.programs) == 2 + 2 + 1 + 2


class BrokenSandbox:
  def run(self, programs):
    raise errors.ServiceError('the sandbox is gone')


def test_a_failing_sandbox_raises_and_the_rollouts_are_kept(sandbox):
  pending = begin(BrokenSandbox(), [numbered_rollouts()])
  with pytest.raises(errors.ServiceError, match='is gone'):
    pending.scored()
  state = json.loads(json.dumps(pending.state()))
  restored = async_rewards.Pending.from_state(
    state,
    {PROBLEM.id: PROBLEM},
    async_rewards.RewardFunction(sandbox, 'official'),
  )
  numbers, rollouts = zip(*restored.rollouts, strict=True)
  expected_numbers, expected = zip(*numbered_rollouts(), strict=True)
  assert numbers == expected_numbers
  assert comparable(rollouts) == comparable(expected)  # To the last bit.
  assert rollouts[0].tokens.dtype == np.int32
  assert rollouts[0].logprobs.dtype == np.float32
  scored = begin(sandbox, [numbered_rollouts()]).scored()
  assert comparable(restored.scored()) == comparable(scored)


def test_rollouts_compare_by_identity():
  """Arrays have no truth value, so a comparison by fields would raise."""
  first, second = make_rollout(PROMPTS[0], ''), make_rollout(PROMPTS[0], '')
  assert first == first and first != second
  assert len({first, second}) == 2
