"""Greedy evaluation on held-out problems: one prompt per problem and evaluator.

`EVALUATORS` is the table of evaluators; `eval.questions` of the config names
those that run. Each is a module with two functions: `prompts(source)` makes its
prompts, and `scores(rollouts)` turns scored rollouts into figures. In order:
`make_suite` makes all prompts, `evaluate` samples and scores one greedy rollout
for each, `scores` collects the figures, and `summary` is one line of the table.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

import jax
import ml_collections
import numpy as np

from coderl import types
from coderl.evaluators import (
  code_reasoning,
  inputs,
  output_prediction,
  pass_at_1,
  variable_inference,
)
from coderl.models import load
from coderl.sampling import base
from coderl.sampling import sampler as sampler_lib
from coderl.sandbox import api
from coderl.text import tokenization
from coderl.training import async_rewards
from coderl.training import progress as progress_lib
from commons import errors, estimates

# In the order of the table.
EVALUATORS: Mapping[str, ModuleType] = {
  module.NAME: module
  for module in (
    pass_at_1,
    code_reasoning,
    output_prediction,
    variable_inference,
  )
}

Suite = Mapping[str, Sequence[types.Prompt]]


def check_names(names: Iterable[str]) -> None:
  """Raises UserError unless `eval.questions` names evaluators, at least one."""
  names = tuple(names)
  if not names:
    raise errors.UserError(
      f'eval.questions=(): name some of {tuple(EVALUATORS)}'
    )
  for name in names:
    if name not in EVALUATORS:
      raise errors.unknown('question of eval.questions', name, EVALUATORS)


def make_suite(
  problems: Sequence[types.Problem],
  tokenizer: tokenization.Tokenizer,
  sandbox: api.Runner,
  config: ml_collections.ConfigDict,
) -> Suite:
  """Makes the prompts of each evaluator that `eval.questions` names.

  Args:
    problems: the held-out problems.
    tokenizer: the policy's tokenizer.
    sandbox: runs the reference solutions, where an evaluator needs them.
    config: its sections `data`, `alignment.bounds` and `eval` are read.

  Returns:
    Evaluator -> prompts, in the order of EVALUATORS. Prompts longer than
    `data.max_prompt_len_tokens` are left out.
  """
  source = inputs.Inputs(problems, tokenizer, sandbox, config)
  limit = source.max_prompt_len_tokens
  return {
    name: [p for p in module.prompts(source) if len(p.tokens) <= limit]
    for name, module in EVALUATORS.items()
    if name in config.eval.questions
  }


def evaluate(
  sampler: base.Sampler,
  policy: load.Policy,
  suite: Suite,
  reward_function: async_rewards.RewardFunction,
  config: ml_collections.ConfigDict,
) -> dict[str, list[types.Rollout]]:
  """Samples and scores one greedy rollout for each prompt of the suite.

  Args:
    sampler: samples the responses.
    policy: the policy that is evaluated.
    suite: the prompts, from `make_suite`.
    reward_function: runs the programs and scores the rollouts.
    config: its sections `eval` and `sampling` are read.

  Returns:
    Evaluator -> rollouts in the order of its prompts; an evaluator without
    prompts is left out.
  """
  rollouts = {}
  for name, prompts in suite.items():
    if prompts:
      progress_lib.announce(f'Evaluating {name}: {len(prompts)} prompts ...')
      rollouts[name] = _sample(
        sampler, policy, prompts, reward_function, config
      )
  return rollouts


def _sample(
  sampler: base.Sampler,
  policy: load.Policy,
  prompts: Sequence[types.Prompt],
  reward_function: async_rewards.RewardFunction,
  config: ml_collections.ConfigDict,
) -> list[types.Rollout]:
  """Returns one greedy, scored rollout per prompt, in the prompts' order."""
  size = config.eval.batch_size
  greedy = sampler_lib.SamplingConfig(
    max_len_tokens=config.sampling.max_len_tokens,
    temperature=0.0,
    slots=config.sampling.slots,
    cache_dtype=config.sampling.cache_dtype,
  )
  # Prompts of similar length share a batch, so that little of it is padding.
  order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].tokens))
  batches = []
  for start in range(0, len(order), size):
    indices = order[start : start + size]
    batch = [prompts[i] for i in indices]
    # Every batch has the same number of prompts, so that one shape compiles.
    batch += batch[-1:] * (size - len(batch))
    key = jax.random.key(0)  # Greedy decoding never uses it.
    pending = async_rewards.begin(
      sampler, policy, batch, key, greedy, reward_function
    )
    batches.append((indices, pending))
  rollouts = {}
  for indices, pending in batches:
    rollouts |= zip(indices, pending.scored(), strict=False)
  return [rollouts[i] for i in range(len(prompts))]


def scores(
  rollouts_by_name: Mapping[str, Sequence[types.Rollout]],
) -> dict[str, list[float]]:
  """Returns the scores of each figure, one in [0, 1] per rollout.

  Args:
    rollouts_by_name: evaluator -> scored rollouts, from `evaluate`.
  """
  figures: dict[str, list[float]] = {}
  for name, rollouts in rollouts_by_name.items():
    figures |= EVALUATORS[name].scores(rollouts)
  return figures


def summary(values: Sequence[float]) -> dict[str, float]:
  """Returns the mean of one figure and its 95 % interval.

  The interval is Wilson's where all values are 0 or 1, else the bootstrap's.
  Without values it is all of [0, 1].
  """
  n = len(values)
  if not n:
    return {'accuracy': 0.0, 'low': 0.0, 'high': 1.0, 'n': 0}
  if set(values) <= {0.0, 1.0}:
    low, high = estimates.wilson_interval(sum(values), n)
  else:
    low, high = estimates.bootstrap_interval(np.asarray(values), seed=0)
  return {
    'accuracy': float(np.mean(values)),
    'low': float(low),
    'high': float(high),
    'n': n,
  }
