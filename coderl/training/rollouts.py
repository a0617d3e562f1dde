"""What a step learns from: prompts, and rollouts with their rewards.

Code prompts come in a seeded order; from `alignment.start_step` on a fixed
share of a step's prompts are alignment tasks drawn from the replay buffer.
`begin` samples, `collect` waits for the rewards: between them a step's programs
run while the device does something else.
"""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

import jax
import numpy as np

from coderl import types
from coderl.alignment import tasks
from coderl.models import load
from coderl.rl import batching
from coderl.sampling import base, sampler
from coderl.training import async_rewards, setup


def code_prompts(
  prompts: Sequence[types.Prompt], seed: int, position: int, count: int
) -> list[types.Prompt]:
  """`count` prompts from `position` on; every epoch in an order of its own."""
  n = len(prompts)
  epochs = range(position // n, (position + count - 1) // n + 1)
  orders = [np.random.default_rng([seed, e]).permutation(n) for e in epochs]
  start = position % n
  return [prompts[i] for i in np.concatenate(orders)[start : start + count]]


def alignment_prompts(
  ex: setup.Experiment, progress: setup.Progress, step: int
) -> list[types.Prompt]:
  """The step's share of alignment prompts; none until there are enough."""
  c = ex.config
  count = int(c.train.prompts_per_step * c.alignment.ratio)
  if step < c.alignment.start_step or count == 0:
    return []
  rng = np.random.default_rng([c.seed, step, 1])
  drawn = progress.replay.sample(count, rng, step)
  # A full share or none: a batch of another size would compile anew.
  if len(drawn) < count:
    return []
  return [prompt for task in drawn if (prompt := ask(ex, task))]


def ask(ex: setup.Experiment, task: tasks.AlignmentTask) -> types.Prompt | None:
  """The task's prompt; None where it is too long."""
  return tasks.to_prompt(
    task,
    ex.problems[task.problem_id],
    ex.start.tokenizer,
    style=ex.config.data.prompt_style,
    max_prompt_len_tokens=ex.config.data.max_prompt_len_tokens,
  )


class Ahead(NamedTuple):
  """A step's rollouts, whose rewards may be on the way; align may be None."""

  code: async_rewards.Pending
  align: async_rewards.Pending | None


def begin(
  ex: setup.Experiment,
  policy: load.Policy,
  progress: setup.Progress,
  step: int,
) -> Ahead:
  """Samples a step's rollouts; advances the data position.

  With dynamic sampling (DAPO, arXiv 2503.14476), `oversampling` times as many
  code prompts are sampled as are trained on.
  """
  c = ex.config
  key = jax.random.fold_in(setup.keys(c.seed)[1], step)
  code_key, align_key = jax.random.split(key)
  asked = alignment_prompts(ex, progress, step)
  dynamic = ex.objective.algorithm.dynamic_sampling
  count = c.train.prompts_per_step - len(asked)
  count *= c.algorithm.oversampling if dynamic else 1
  drawn = code_prompts(ex.prompts, c.seed, progress.position, count)
  progress.position += count
  settings = sampler.SamplingConfig(**c.sampling)

  def sampled(prompts, key):
    shape = base.sample_shape(prompts, c.data.bucket_len_tokens, ex.mesh)
    progress.met('sample', *shape)
    return async_rewards.begin(
      ex.engine, policy, prompts, key, settings, ex.judge
    )

  code = sampled(drawn, code_key)
  return Ahead(code, sampled(asked, align_key) if asked else None)


def collect(
  ex: setup.Experiment, ahead: Ahead
) -> tuple[list[types.Rollout], list[types.Rollout]]:
  """The step's scored rollouts, groups whole.

  With dynamic sampling, groups whose rewards differ come first: the others have
  no gradient.

  Returns:
    All code rollouts, and those to train on, alignment rollouts last.
  """
  c = ex.config
  size = c.sampling.group_size
  rollouts = ahead.code.scored()
  aligned = ahead.align.scored() if ahead.align else []
  wanted = c.train.prompts_per_step - len(aligned) // size
  groups = [rollouts[i : i + size] for i in range(0, len(rollouts), size)]
  if ex.objective.algorithm.dynamic_sampling:
    useful = batching.informative(rollouts, size)
    groups = [
      groups[i] for i in sorted(range(len(groups)), key=lambda i: not useful[i])
    ]
  return rollouts, [*itertools.chain(*groups[:wanted]), *aligned]


def restored(ex: setup.Experiment, progress: setup.Progress) -> Ahead | None:
  """The rollouts that were sampled before the run was stopped."""
  if not progress.pending:
    return None
  pending = {
    name: async_rewards.restored(state, ex.problems, ex.judge)
    for name, state in progress.pending.items()
  }
  return Ahead(pending['code'], pending.get('align'))
