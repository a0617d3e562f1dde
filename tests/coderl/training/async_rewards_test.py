"""Rewards that come while others are still being written."""

import dataclasses
import json
import threading

import numpy as np
import pytest

from coderl import types
from coderl.rewards import scoring
from coderl.sandbox import sandbox
from coderl.training import async_rewards
from commons import errors

PROBLEM = types.Problem(
  id='twice',
  statement='',
  tests=(types.Test('3\n', '6\n'), types.Test('4\n', '8\n')),
)
RIGHT = 'print(2 * int(input()))'
PROGRAMS = (RIGHT, 'print(6)', RIGHT, '1 / 0', 'print(2 * int(input())) ')
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


def rollout(prompt, text, seed=0):
  rng = np.random.default_rng(seed)
  tokens = tuple(rng.integers(0, 99, 3).tolist())
  logprobs, drawn = rng.normal(size=(2, 3)).astype(np.float32).tolist()
  return types.Rollout(
    prompt, tokens, tuple(logprobs), tuple(drawn), text, True
  )


def numbered():
  texts = [f'```python\n{source}\n```' for source in PROGRAMS]
  rows = [rollout(PROMPTS[0], text, i) for i, text in enumerate(texts)]
  answers = ['{"total": 3, "output": "6"}', 'none', '{}', '', '{"total": 3}']
  rows += [rollout(PROMPTS[1], text, 9) for text in answers]
  return list(enumerate(rows))


class Scripted:
  """An engine whose parts are given; waits before the last of them."""

  def __init__(self, parts, before_last=lambda: None):
    self.parts, self.before_last = parts, before_last

  def sample(self, policy, prompts, key, config):
    del policy, prompts, key, config
    yield from self.parts[:-1]
    self.before_last()
    yield self.parts[-1]


class Config:
  group_size = 5


def begin(box, parts, before_last=lambda: None):
  source = Scripted(parts, before_last)
  judge = async_rewards.Judge(box, 'official')
  return async_rewards.begin(source, None, PROMPTS, None, Config, judge)


def told(scored):
  """Without how long the runs took."""
  return [
    (
      dataclasses.replace(r, executions=()),
      [(e.status, e.stdout) for e in r.executions],
    )
    for r in scored
  ]


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox(workers=2) as opened:
    yield opened


class Watched:
  """A sandbox that says when it has run something, and what."""

  def __init__(self, box):
    self.box, self.ran, self.programs = box, threading.Event(), []

  def run(self, programs):
    found = self.box.run(programs)
    self.programs += programs
    self.ran.set()
    return found


def test_scores_are_those_of_all_at_once_in_order(box):
  rows = numbered()
  shuffled = [rows[7:], rows[3:5], [], rows[5:7], rows[:3]]
  scored = begin(box, shuffled).scored()
  at_once = [r for _, r in rows]
  assert told(scored) == told(
    scoring.score(at_once, box, alignment_reward='official')
  )
  assert [r.reward for r in scored[:5]] == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_programs_run_while_others_are_written_and_equal_ones_once(box):
  rows, watched = numbered(), Watched(box)

  def before_last():
    assert watched.ran.wait(timeout=30)  # Nothing was asked for yet.

  pending = begin(watched, [rows[:2], rows[2:]], before_last)
  pending.scored()
  # Two tests of two programs that pass the first, one of the other two; the
  # first program once, though its part was not the only one it came in.
  assert len(watched.programs) == 2 + 2 + 1 + 2


class Broken:
  def run(self, programs):
    raise errors.ServiceError('the sandbox is gone')


def test_a_sandbox_that_fails_is_told_and_the_rollouts_are_kept(box):
  pending = begin(Broken(), [numbered()])
  with pytest.raises(errors.ServiceError, match='is gone'):
    pending.scored()
  state = json.loads(json.dumps(pending.state()))
  judge = async_rewards.Judge(box, 'official')
  again = async_rewards.restored(state, {PROBLEM.id: PROBLEM}, judge)
  assert again.own == numbered()
  at_once = begin(box, [numbered()]).scored()
  assert told(again.scored()) == told(at_once)
