"""Sampling with rewards overlapped: programs run while others are written.

`begin` samples and hands every response that has ended to the sandbox, in the
background; `Pending.scored` waits for the last reward. Between the two a caller
may have the device do something else. Each process scores the rollouts that it
sampled; all of them get all.
"""

import base64
from collections.abc import Mapping, Sequence
from concurrent import futures
import dataclasses
import time
from typing import Any

import jax
import numpy as np

from coderl import types
from coderl.distributed import processes
from coderl.models import load
from coderl.rewards import scoring, verdicts
from coderl.sampling import base, sampler
from coderl.sandbox import api

# Parts judged at a time; each has a batch of programs in the sandbox.
_THREADS = 32


@dataclasses.dataclass(frozen=True)
class Judge:
  """What scores. box: this process's own. reward: in answers.REWARDS."""

  box: api.Runner
  reward: str = 'paper'


class Pending:
  """Rollouts whose rewards are on the way.

  own: those sampled by this process, by number. waited_s: what `scored` had to
  wait for rewards.
  """

  def __init__(
    self, prompts: Sequence[types.Prompt], group_size: int, judge: Judge
  ):
    self._prompts, self._group_size = list(prompts), group_size
    self._judge = judge
    self._pool = futures.ThreadPoolExecutor(_THREADS)
    self._judged: dict[verdicts.Submission, futures.Future] = {}
    self.own: list[base.Numbered] = []
    self.waited_s = 0.0

  def add(self, part: Sequence[base.Numbered]) -> None:
    """Has a part's programs run."""
    self.own += part
    # Equal programs run once, whichever part they come in.
    items = dict.fromkeys(verdicts.submission(rollout) for _, rollout in part)
    new = [i for i in items if i is not None and i not in self._judged]
    ran = self._pool.submit(self._run, new)
    self._judged |= dict.fromkeys(new, ran)

  def _run(self, items):
    ran = verdicts.verify(items, self._judge.box)
    return dict(zip(items, ran, strict=True))

  def scored(self) -> list[types.Rollout]:
    """All rollouts of all processes, scored, in the order of their numbers.

    Raises:
      ServiceError: in all processes, where the sandbox of one failed.
    """
    began = time.monotonic()
    try:
      parts = processes.together(self._scored)
    finally:
      self._pool.shutdown(wait=False, cancel_futures=True)
      self.waited_s = time.monotonic() - began
    return _in_order(parts)

  def _scored(self) -> list[base.Numbered]:
    judged = {item: ran.result()[item] for item, ran in self._judged.items()}
    numbers, rollouts = zip(*self.own, strict=True) if self.own else ((), ())
    scored = scoring.score_verified(rollouts, judged, self._judge.reward)
    return list(zip(numbers, scored, strict=True))

  def state(self) -> dict[str, Any]:
    """As JSON, for `restored`; all processes call it."""
    rollouts = _in_order(processes.gather(self.own))
    return {
      'prompts': [_prompt_state(prompt) for prompt in self._prompts],
      'group_size': self._group_size,
      'rollouts': [_rollout_state(r) for r in rollouts],
    }


def _in_order(parts: Sequence[Sequence[base.Numbered]]):
  numbered = sorted(
    (pair for part in parts for pair in part), key=lambda pair: pair[0]
  )
  return [rollout for _, rollout in numbered]


def begin(
  source: base.Engine,
  policy: load.Policy,
  prompts: Sequence[types.Prompt],
  key: types.Array,
  config: sampler.SamplingConfig,
  judge: Judge,
) -> Pending:
  """Samples G rollouts to each prompt; returns once the last is written."""
  pending = Pending(prompts, config.group_size, judge)
  for part in source.sample(policy, prompts, key, config):
    pending.add(part)
  return pending


def restored(
  state: Mapping[str, Any], problems: Mapping[str, types.Problem], judge: Judge
) -> Pending:
  """Of `Pending.state`; each process scores a share."""
  prompts = [_prompt(said, problems) for said in state['prompts']]
  size = state['group_size']
  pending = Pending(prompts, size, judge)
  share = range(
    jax.process_index(), len(state['rollouts']), jax.process_count()
  )
  pending.add(
    [(i, _rollout(state['rollouts'][i], prompts[i // size])) for i in share]
  )
  return pending


_ARRAYS = {
  'tokens': np.int32,
  'logprobs': np.float32,
  'drawn_logprobs': np.float32,
}


def _rollout_state(r: types.Rollout) -> dict[str, Any]:
  text = lambda name, dtype: base64.b64encode(
    np.array(getattr(r, name), dtype).tobytes()
  ).decode('ascii')
  said = {name: text(name, dtype) for name, dtype in _ARRAYS.items()}
  return said | {'text': r.text, 'finished': r.finished}


def _rollout(said: Mapping[str, Any], prompt: types.Prompt) -> types.Rollout:
  arrays = {
    name: tuple(np.frombuffer(base64.b64decode(said[name]), dtype).tolist())
    for name, dtype in _ARRAYS.items()
  }
  return types.Rollout(prompt=prompt, **{**said, **arrays})


def _prompt_state(prompt: types.Prompt) -> dict[str, Any]:
  said = dataclasses.asdict(dataclasses.replace(prompt, problem=None))
  return said | {'problem': prompt.problem.id}


def _prompt(
  said: Mapping[str, Any], problems: Mapping[str, types.Problem]
) -> types.Prompt:
  found = {
    name: tuple(value) if isinstance(value, list | tuple) else value
    for name, value in said.items()
  }
  targets = tuple(types.Target(**target) for target in found['targets'])
  return types.Prompt(
    **{**found, 'targets': targets, 'problem': problems[found['problem']]}
  )
