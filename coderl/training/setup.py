"""Opens what a training run is made of, all of it named by the config.

`make` checks what can be checked before anything slow begins.
"""

from collections.abc import Sequence
import dataclasses

import jax
import ml_collections
import optax

from coderl import types
from coderl.alignment import tasks
from coderl.distributed import processes, sharding
from coderl.models import load, lora
from coderl.problems import mixtures
from coderl.rewards import answers
from coderl.rl import batching, train_step
from coderl.sampling import base, local
from coderl.sampling import remote as remote_sampler
from coderl.sandbox import api
from coderl.sandbox import sandbox as sandbox_lib
from coderl.sandbox.service import client, remote
from coderl.training import async_rewards, checks, update
from coderl.training import progress as progress_lib
from commons import errors


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What stays fixed during a run.

  Attributes:
    config: the config.
    initial: the policy before training; also the reference policy of KL.
    prompts: the code prompts, one per problem whose prompt fits.
    problems: all problems by their id.
    sampler: samples responses.
    sandbox: runs programs on all processes together.
    reward_function: scores the rollouts of this process.
    mesh: the mesh of all devices.
    objective: the loss.
    optimizer: the optimizer.
    layout: bounds of the batches' arrays.
    compilations: announces the shapes that this process compiles.
  """

  config: ml_collections.ConfigDict
  initial: load.Policy
  prompts: Sequence[types.Prompt]
  problems: dict[str, types.Problem]
  sampler: base.Sampler
  sandbox: api.Runner
  reward_function: async_rewards.RewardFunction
  mesh: jax.sharding.Mesh
  objective: train_step.Objective
  optimizer: optax.GradientTransformation
  layout: batching.Layout
  compilations: progress_lib.Compilations

  def policy(self, state: types.TrainState) -> load.Policy:
    """Returns the policy of a state, with the adapters merged into it."""
    params = state.params['policy']
    if 'lora' in state.params:
      params = lora.merged(params, state.params['lora'], self.objective.model)
    return dataclasses.replace(self.initial, params=params)

  def alignment_prompt(self, task: tasks.AlignmentTask) -> types.Prompt | None:
    """Returns the prompt of a task; None where it is too long."""
    return tasks.to_prompt(
      task,
      self.problems[task.problem_id],
      self.initial.tokenizer,
      style=self.config.data.prompt_style,
      max_prompt_len_tokens=self.config.data.max_prompt_len_tokens,
    )


def open_sandbox(
  section: ml_collections.ConfigDict,
) -> sandbox_lib.Sandbox | remote.Sandbox:
  """Opens the config's sandbox: workers of this host, or the service at `url`.

  The token of a service is read from the environment, so that no config holds
  it (client.token_from_environment).
  """
  limits = api.Limits(**section.limits)
  if section.url:
    token = client.token_from_environment()
    return remote.Sandbox(
      section.url, limits, token=token, require=section.require
    )
  return sandbox_lib.Sandbox(
    limits, section.workers or None, require=section.require
  )


def make_sampler(
  config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh
) -> base.Sampler:
  """Returns the sampler: the server at `engine.url`, or the one on the mesh."""
  if config.engine.url:
    return remote_sampler.RemoteSampler(config.engine)
  return local.LocalSampler(config.data.bucket_len_tokens, mesh)


def initial_key(seed: int) -> types.Array:
  """Returns the key from which parameters are drawn."""
  return jax.random.split(jax.random.key(seed))[0]


def sampling_key(seed: int) -> types.Array:
  """Returns the key from which the keys of all steps' samples are derived."""
  return jax.random.split(jax.random.key(seed))[1]


def load_problems(
  config: ml_collections.ConfigDict, policy: load.Policy
) -> list[types.Problem]:
  """Reads the training problems."""
  return mixtures.load_mixture(
    config.data.name.split('+'),
    config.data.train_split,
    policy.tokenizer,
    style=config.data.prompt_style,
    seed=config.data.seed,
    path=config.data.path or None,
    data_dir=config.data.dir or None,
  )


def make(
  config: ml_collections.ConfigDict,
  mesh: jax.sharding.Mesh,
  sandbox: api.Runner,
) -> Experiment:
  """Opens the policy and the problems.

  Raises:
    UserError: a value of the config is out of range, names nothing, or does
      not fit the policy or the mesh.
  """
  _check(config, mesh)
  progress_lib.announce('Loading the policy ...')
  policy = load.open_policy(config.model, mesh)
  load.check_lengths(policy.model, config)
  progress_lib.announce(f'Reading the problems of {config.data.name} ...')
  problems = load_problems(config, policy)
  limit = config.data.max_prompt_len_tokens
  prompts = batching.generation_prompts(
    problems, policy.tokenizer, config.data.prompt_style, limit
  )
  if not prompts:
    raise errors.UserError(
      f'no prompt of {config.data.name} fits data.max_prompt_len_tokens={limit}'
    )
  return Experiment(
    config=config,
    initial=policy,
    prompts=prompts,
    problems={problem.id: problem for problem in problems},
    sampler=make_sampler(config, mesh),
    sandbox=processes.Runner(sandbox),
    reward_function=async_rewards.RewardFunction(
      sandbox, config.alignment.reward
    ),
    mesh=mesh,
    objective=update.make_objective(config, policy.model),
    optimizer=update.make_optimizer(**config.optimizer),
    layout=batching.Layout(
      bucket_len=config.data.bucket_len_tokens,
      max_variables=config.alignment.bounds.max_variables,
      max_value_len=config.trajectory.max_value_tokens,
    ),
    compilations=progress_lib.Compilations(),
  )


def _check(config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh) -> None:
  """Raises UserError for values that are wrong whatever the policy is."""
  t = config.train
  rows = t.prompts_per_step * config.sampling.group_size
  name = 'train.prompts_per_step x sampling.group_size'
  sharding.check_batch(rows, name, mesh, t.minibatches * t.microbatches)
  checks.check_training(config)
  tasks.Bounds(**config.alignment.bounds)
  if config.alignment.reward not in answers.REWARDS:
    raise errors.unknown(
      'alignment reward', config.alignment.reward, answers.REWARDS
    )
