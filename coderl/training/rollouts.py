"""What a step learns from: prompts, and rollouts with their rewards.

Code prompts come in a seeded order. From `alignment.start_step` on, a fixed
share of a step's prompts are alignment tasks drawn from the replay buffer.
`begin` samples and `collect` waits for the rewards; in between the step's
programs run while the device may do something else.
"""

from collections.abc import Callable, Sequence
import itertools
from typing import NamedTuple

import jax
import numpy as np

from coderl import types
from coderl.alignment import replay as replay_lib
from coderl.alignment import tasks
from coderl.models import load
from coderl.rl import batching
from coderl.sampling import local, sampler
from coderl.training import async_rewards, setup
from coderl.training import progress as progress_lib


def code_prompts(
  prompts: Sequence[types.Prompt], seed: int, position: int, count: int
) -> list[types.Prompt]:
  """Returns `count` prompts from `position` on; every epoch is reshuffled."""
  n = len(prompts)
  epochs = range(position // n, (position + count - 1) // n + 1)
  orders = [np.random.default_rng([seed, e]).permutation(n) for e in epochs]
  start = position % n
  return [prompts[i] for i in np.concatenate(orders)[start : start + count]]


def alignment_prompts(
  replay: replay_lib.Replay,
  count: int,
  *,
  step: int,
  start_step: int,
  rng: np.random.Generator,
  make_prompt: Callable[[tasks.AlignmentTask], types.Prompt | None],
) -> list[types.Prompt]:
  """Draws a step's alignment prompts from the replay buffer.

  Args:
    replay: the buffer; the draws are recorded in it.
    count: how many to draw; there are none if the buffer holds fewer.
    step: the training step, from 0 up.
    start_step: the first step that has alignment prompts.
    rng: breaks ties.
    make_prompt: returns a task's prompt, or None where it is too long.
  """
  if step < start_step or count == 0:
    return []
  prompts = map(make_prompt, replay.sample(count, rng, step))
  return [prompt for prompt in prompts if prompt is not None]


class PendingStep(NamedTuple):
  """A step's sampled rollouts, whose rewards are being computed.

  Attributes:
    code: rollouts of code prompts.
    align: rollouts of alignment prompts, if the step has any.
  """

  code: async_rewards.Pending
  align: async_rewards.Pending | None

  def state(self) -> dict:
    """Returns JSON data for `restore`; all processes must call it."""
    return {
      name: pending.state()
      for name, pending in self._asdict().items()
      if pending
    }


def begin(
  experiment: setup.Experiment,
  policy: load.Policy,
  progress: progress_lib.Progress,
  step: int,
) -> PendingStep:
  """Samples the rollouts of a step.

  With dynamic sampling (DAPO, arXiv 2503.14476), `algorithm.oversampling` times
  as many code prompts are sampled as are trained on.

  Args:
    experiment: what to sample from and how.
    policy: the policy that samples.
    progress: its data position, replay draws and shapes are updated.
    step: the step whose rollouts these are.
  """
  config = experiment.config
  key = jax.random.fold_in(setup.sampling_key(config.seed), step)
  code_key, align_key = jax.random.split(key)
  align = alignment_prompts(
    progress.replay,
    int(config.train.prompts_per_step * config.alignment.ratio),
    step=step,
    start_step=config.alignment.start_step,
    rng=np.random.default_rng([config.seed, step, 1]),
    make_prompt=experiment.alignment_prompt,
  )
  count = config.train.prompts_per_step - len(align)
  if experiment.objective.algorithm.dynamic_sampling:
    count *= config.algorithm.oversampling
  code = code_prompts(experiment.prompts, config.seed, progress.position, count)
  progress.position += count

  def sample(prompts, key):
    return _sample(experiment, policy, progress, prompts, key)

  return PendingStep(
    sample(code, code_key), sample(align, align_key) if align else None
  )


def _sample(
  experiment: setup.Experiment,
  policy: load.Policy,
  progress: progress_lib.Progress,
  prompts: Sequence[types.Prompt],
  key: types.Array,
) -> async_rewards.Pending:
  config = experiment.config
  shape = local.sample_shape(
    prompts, config.data.bucket_len_tokens, experiment.mesh
  )
  progress.add_shape('sample', shape)
  with experiment.compilations.announced('the sampler', '[U, P]', shape):
    return async_rewards.begin(
      experiment.sampler,
      policy,
      prompts,
      key,
      sampler.SamplingConfig(**config.sampling),
      experiment.reward_function,
    )


def collect(
  pending: PendingStep,
  *,
  group_size: int,
  prompts_per_step: int,
  dynamic_sampling: bool,
) -> tuple[list[types.Rollout], list[types.Rollout]]:
  """Waits for the rewards of a step.

  Returns:
    All code rollouts; and the rollouts to train on, `prompts_per_step` groups,
    alignment rollouts last.

  Raises:
    ServiceError: the sandbox failed.
  """
  code = pending.code.scored()
  align = pending.align.scored() if pending.align else []
  count = prompts_per_step - len(align) // group_size
  chosen = choose_groups(code, group_size, count, dynamic_sampling)
  return code, [*chosen, *align]


def choose_groups(
  rollouts: Sequence[types.Rollout],
  group_size: int,
  count: int,
  dynamic_sampling: bool,
) -> list[types.Rollout]:
  """Returns the first `count` groups of the rollouts.

  With dynamic sampling, groups whose rewards differ come first, since group
  advantages of equal rewards are zero; both sorts stay in order.
  """
  groups = [
    rollouts[i : i + group_size] for i in range(0, len(rollouts), group_size)
  ]
  if dynamic_sampling:
    informative = batching.informative(rollouts, group_size)
    order = sorted(range(len(groups)), key=lambda i: not informative[i])
    groups = [groups[i] for i in order]
  return list(itertools.chain(*groups[:count]))


def restore(
  experiment: setup.Experiment, progress: progress_lib.Progress
) -> PendingStep | None:
  """Restores the rollouts that were sampled ahead before the run stopped."""
  if not progress.pending:
    return None
  pending = {
    name: async_rewards.Pending.from_state(
      state, experiment.problems, experiment.reward_function
    )
    for name, state in progress.pending.items()
  }
  return PendingStep(pending['code'], pending.get('align'))
