"""Samples rollouts and scores them while others are still being written.

`begin` samples, and passes every response that has ended to the sandbox in the
background; `Pending.scored` waits for the last reward. In between the caller
may use the device for something else. Each process scores the rollouts that it
sampled; `scored` returns those of all processes to each of them.
"""

from collections.abc import Mapping, Sequence
from concurrent import futures
import dataclasses
from typing import Any

import jax
import numpy as np

from coderl import types
from coderl.distributed import processes
from coderl.models import load
from coderl.rewards import scoring, verdicts
from coderl.sampling import base
from coderl.sampling import sampler as sampler_lib
from coderl.sandbox import api

# Chunks verified at the same time; each is one batch of programs.
_THREADS = 32


@dataclasses.dataclass(frozen=True)
class RewardFunction:
  """How rollouts are scored.

  Attributes:
    sandbox: runs the programs of this process.
    alignment_reward: the reward of alignment answers, a name in
      answers.REWARDS.
  """

  sandbox: api.Runner
  alignment_reward: str = 'paper'


class Pending:
  """Sampled rollouts whose rewards are being computed.

  Attributes:
    rollouts: the rollouts that this process sampled, numbered, unscored.
  """

  def __init__(
    self,
    prompts: Sequence[types.Prompt],
    group_size: int,
    reward_function: RewardFunction,
  ):
    self._prompts, self._group_size = list(prompts), group_size
    self._reward_function = reward_function
    self._pool = futures.ThreadPoolExecutor(_THREADS)
    self._executions: dict[verdicts.Submission, futures.Future] = {}
    self.rollouts: list[base.NumberedRollout] = []

  def submit(self, chunk: Sequence[base.NumberedRollout]) -> None:
    """Starts running the programs of a chunk."""
    self.rollouts += chunk
    # Equal programs run once, even if they come in different chunks.
    submissions = dict.fromkeys(verdicts.submission(r) for _, r in chunk)
    new = [
      s for s in submissions if s is not None and s not in self._executions
    ]
    future = self._pool.submit(self._verify, new)
    self._executions |= dict.fromkeys(new, future)

  def _verify(self, submissions):
    executions = verdicts.verify(submissions, self._reward_function.sandbox)
    return dict(zip(submissions, executions, strict=True))

  def scored(self) -> list[types.Rollout]:
    """Waits for the rewards; returns the scored rollouts of all processes.

    They are in the order of their numbers, so groups are contiguous.

    Raises:
      ServiceError: in all processes, if the sandbox of one failed.
    """
    try:
      by_process = processes.call_and_gather(self._scored)
    finally:
      self._pool.shutdown(wait=False, cancel_futures=True)
    return _in_order(by_process)

  def _scored(self) -> list[base.NumberedRollout]:
    verified = {s: future.result()[s] for s, future in self._executions.items()}
    numbers = [number for number, _ in self.rollouts]
    scored = scoring.score_verified(
      [rollout for _, rollout in self.rollouts],
      verified,
      self._reward_function.alignment_reward,
    )
    return list(zip(numbers, scored, strict=True))

  def state(self) -> dict[str, Any]:
    """Returns JSON data for `from_state`; all processes must call it."""
    rollouts = _in_order(processes.gather(self.rollouts))
    return {
      'prompts': [_prompt_state(prompt) for prompt in self._prompts],
      'group_size': self._group_size,
      'rollouts': [_rollout_state(r) for r in rollouts],
    }

  @classmethod
  def from_state(
    cls,
    state: Mapping[str, Any],
    problems: Mapping[str, types.Problem],
    reward_function: RewardFunction,
  ) -> 'Pending':
    """Restores `state`; each process scores a share of the rollouts.

    Args:
      state: what `state` returned.
      problems: all problems by their id.
      reward_function: scores the rollouts.
    """
    prompts = [_prompt(fields, problems) for fields in state['prompts']]
    size = state['group_size']
    pending = cls(prompts, size, reward_function)
    share = range(
      jax.process_index(), len(state['rollouts']), jax.process_count()
    )
    pending.submit(
      [(i, _rollout(state['rollouts'][i], prompts[i // size])) for i in share]
    )
    return pending


def _in_order(
  by_process: Sequence[Sequence[base.NumberedRollout]],
) -> list[types.Rollout]:
  """Merges the rollouts of all processes in the order of their numbers."""
  numbered = sorted(
    (pair for pairs in by_process for pair in pairs), key=lambda pair: pair[0]
  )
  return [rollout for _, rollout in numbered]


def begin(
  sampler: base.Sampler,
  policy: load.Policy,
  prompts: Sequence[types.Prompt],
  key: types.Array,
  config: sampler_lib.SamplingConfig,
  reward_function: RewardFunction,
) -> Pending:
  """Samples G rollouts for each prompt; returns once the last one has ended.

  Args:
    sampler: samples the responses.
    policy: the policy to sample from.
    prompts: as in base.Sampler.sample.
    key: consumed.
    config: how to sample; G is its group_size.
    reward_function: scores the rollouts in the background.
  """
  pending = Pending(prompts, config.group_size, reward_function)
  for chunk in sampler.sample(policy, prompts, key, config):
    pending.submit(chunk)
  return pending


_ARRAYS = {
  'tokens': np.int32,
  'logprobs': np.float32,
  'drawn_logprobs': np.float32,
}


def _rollout_state(r: types.Rollout) -> dict[str, Any]:
  """Returns the unscored rollout as JSON data; float32 survives the text."""
  arrays = {name: getattr(r, name).tolist() for name in _ARRAYS}
  return arrays | {'text': r.text, 'finished': r.finished}


def _rollout(state: Mapping[str, Any], prompt: types.Prompt) -> types.Rollout:
  arrays = {name: np.array(state[name], t) for name, t in _ARRAYS.items()}
  return types.Rollout(prompt=prompt, **{**state, **arrays})


def _prompt_state(prompt: types.Prompt) -> dict[str, Any]:
  fields = dataclasses.asdict(dataclasses.replace(prompt, problem=None))
  return fields | {'problem': prompt.problem.id}


def _prompt(
  state: Mapping[str, Any], problems: Mapping[str, types.Problem]
) -> types.Prompt:
  fields = {
    name: tuple(value) if isinstance(value, list | tuple) else value
    for name, value in state.items()
  }
  targets = tuple(types.Target(**target) for target in fields['targets'])
  problem = problems[fields['problem']]
  return types.Prompt(**{**fields, 'targets': targets, 'problem': problem})
