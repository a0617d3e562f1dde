"""What a run is made of: what stays fixed, and what is saved.

`make` opens everything a config names and checks what can be checked before
anything slow begins.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import ml_collections
import optax

from coderl import types
from coderl.alignment import replay as replay_lib
from coderl.alignment import tasks
from coderl.distributed import processes, sharding
from coderl.evaluators import suite
from coderl.models import cache, load, lora, transformer
from coderl.problems import mixtures
from coderl.rewards import answers
from coderl.rl import algorithms, batching, train_step
from coderl.sampling import base
from coderl.sampling import remote as remote_sampler
from coderl.sandbox import api, sandbox
from coderl.sandbox.service import client, remote
from coderl.training import async_rewards
from commons import errors

_AT_LEAST = {
  'seed': 0,
  'train.steps': 1,
  'train.prompts_per_step': 1,
  'train.minibatches': 1,
  'train.microbatches': 1,
  'train.staleness': 0,
  'sampling.group_size': 1,
  'lora.rank': 0,
  'algorithm.oversampling': 1,
  'trajectory.max_value_tokens': 1,
  'data.bucket_len_tokens': 1,
  'checkpoint.every_steps': 1,
  'log.samples_every_steps': 1,
}
_EVALUATION_AT_LEAST = {
  'sampling.max_len_tokens': 1,
  'sampling.slots': 0,
  'eval.problems': 1,
  'eval.batch_size': 1,
}


@dataclasses.dataclass
class Progress:
  """The host's side of a run; with the TrainState, all there is to save.

  step: training steps done. position: code prompts consumed. tokens:
  response tokens trained on. replay: alignment tasks.
  before: scores of the start, by evaluation. pending: of rollouts that were
  sampled ahead (async_rewards.Pending.state), by 'code' and 'align'.
  history: metrics of every step. samples: rollouts shown in the report.
  shapes: what was compiled for, by function: [U, P] of the prompts sampled
  from, [T, R, M] of the rows trained on. seconds: spent in steps.
  """

  replay: replay_lib.Replay
  step: int = 0
  position: int = 0
  tokens: int = 0
  before: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  history: list[dict[str, float]] = dataclasses.field(default_factory=list)
  samples: list[dict] = dataclasses.field(default_factory=list)
  pending: dict = dataclasses.field(default_factory=dict)
  shapes: dict[str, list[list[int]]] = dataclasses.field(default_factory=dict)
  seconds: float = 0.0

  def is_done(self, config: ml_collections.ConfigDict) -> bool:
    limit = config.train.max_tokens
    return self.step >= config.train.steps or 0 < limit <= self.tokens

  def met(self, function: str, *shape: int) -> None:
    """Notes a shape that `function` is compiled for."""
    known = self.shapes.get(function, [])
    if list(shape) not in known:
      self.shapes[function] = sorted([*known, list(shape)])

  def state(self) -> dict:
    return vars(self) | {'replay': self.replay.state()}

  def copy(self) -> 'Progress':
    """Another, which stays as this is now."""
    return dataclasses.replace(
      self,
      replay=self.replay.copy(),
      history=list(self.history),
      samples=list(self.samples),
      shapes=dict(self.shapes),
    )

  @classmethod
  def from_state(cls, state: dict) -> 'Progress':
    buffer = replay_lib.Replay.from_state(state['replay'])
    return cls(**state | {'replay': buffer})


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What stays fixed during a run."""

  config: ml_collections.ConfigDict
  start: load.Policy
  prompts: Sequence[types.Prompt]
  problems: dict[str, types.Problem]
  engine: base.Engine
  box: api.Runner  # Of all processes together.
  judge: async_rewards.Judge
  mesh: jax.sharding.Mesh
  objective: train_step.Objective
  optimizer: optax.GradientTransformation
  layout: batching.Layout

  def policy(self, state: types.TrainState) -> load.Policy:
    """What is sampled from: the weights, adapters merged into them."""
    params = state.params['policy']
    if 'lora' in state.params:
      params = lora.merged(params, state.params['lora'], self.objective.model)
    return dataclasses.replace(self.start, params=params)


def open_sandbox(
  section: ml_collections.ConfigDict,
) -> sandbox.Sandbox | remote.Sandbox:
  """The config's sandbox: this host's workers, or the service at its `url`.

  The token of a service is read from the environment, so that no config holds
  it (client.token_from_environment).
  """
  limits = api.Limits(**section.limits)
  if section.url:
    token = client.token_from_environment()
    return remote.Sandbox(
      section.url, limits, token=token, require=section.require
    )
  return sandbox.Sandbox(
    limits, section.workers or None, require=section.require
  )


def samples_off_policy(config: ml_collections.ConfigDict) -> bool:
  """Whether another distribution draws than the policy that is updated."""
  s = config.sampling
  filtered = s.top_k > 0 or s.top_p < 1 or s.min_p > 0
  return bool(filtered or config.engine.url or config.train.staleness)


def make_engine(
  config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh
) -> base.Engine:
  """The config's engine: a server at its `url`, or the sampler here."""
  if config.engine.url:
    return remote_sampler.Remote(config.engine)
  return base.BuiltIn(config.data.bucket_len_tokens, mesh)


def make_objective(
  config: ml_collections.ConfigDict, model: transformer.ModelConfig
) -> train_step.Objective:
  """The loss that the config's sections describe."""
  settings = config.algorithm.to_dict()
  name = settings.pop('name')
  settings.pop('oversampling')
  if not samples_off_policy(config):
    settings['importance_cap'] = 0.0
  adapters = config.lora
  if adapters.rank:
    for target in adapters.targets:
      if target not in transformer.WEIGHTS:
        raise errors.unknown(
          'target of lora.targets', target, transformer.WEIGHTS
        )
    model = dataclasses.replace(
      model,
      lora=transformer.Lora(
        adapters.rank, adapters.alpha, tuple(adapters.targets)
      ),
    )
  return train_step.Objective(
    model=model,
    algorithm=algorithms.make(
      name, max_len_tokens=config.sampling.max_len_tokens, **settings
    ),
    temperature=config.sampling.temperature,
    trajectory_weight=config.trajectory.weight,
    max_value_tokens=config.trajectory.max_value_tokens,
  )


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """AdamW after clipping, the rate constant after a linear warm-up."""
  c = config.optimizer
  schedule = optax.linear_schedule(
    c.learning_rate / (c.warmup_steps + 1), c.learning_rate, c.warmup_steps
  )
  return optax.chain(
    optax.clip_by_global_norm(c.max_grad_norm),
    optax.adamw(schedule, c.b1, c.b2, weight_decay=c.weight_decay),
  )


def keys(seed: int) -> tuple[types.Array, types.Array]:
  """Of the parameters' draw, and of the samples'."""
  init, samples = jax.random.split(jax.random.key(seed))
  return init, samples


def check_evaluation(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for what makes no sense in an evaluation."""
  _check_at_least(config, _EVALUATION_AT_LEAST)
  dtype = config.sampling.cache_dtype
  if dtype not in ('', *cache.CACHE_DTYPES):
    raise errors.unknown('sampling.cache_dtype', dtype, cache.CACHE_DTYPES)
  suite.check_names(config.eval.questions)


def check_values(config: ml_collections.ConfigDict) -> None:
  """Raises UserError for what makes no sense in training."""
  check_evaluation(config)
  _check_at_least(config, _AT_LEAST)
  for name in ('alignment.ratio', 'sampling.min_p'):
    if not 0 <= _field(config, name) < 1:
      raise errors.UserError(
        f'{name}={_field(config, name)}: must be in [0, 1)'
      )
  if config.sampling.temperature <= 0:
    raise errors.UserError(
      f'sampling.temperature={config.sampling.temperature}: must be above 0'
    )
  if config.train.staleness > 1:
    raise errors.UserError(
      f'train.staleness={config.train.staleness}: must be 0 or 1'
    )
  if config.algorithm.importance_cap <= 0:
    raise errors.UserError(
      f'algorithm.importance_cap={config.algorithm.importance_cap}: must be'
      ' above 0'
    )
  buffer = config.algorithm.overlong_buffer_len_tokens or 0
  if buffer > config.sampling.max_len_tokens:
    raise errors.UserError(
      f'algorithm.overlong_buffer_len_tokens={buffer} is more than'
      f' sampling.max_len_tokens={config.sampling.max_len_tokens}'
    )


def _check_at_least(config: ml_collections.ConfigDict, bounds) -> None:
  for name, least in bounds.items():
    value = _field(config, name)
    if value < least:
      raise errors.UserError(f'{name}={value}: must be {least} or more')


def _field(config: ml_collections.ConfigDict, name: str) -> Any:
  return functools.reduce(lambda c, key: c[key], name.split('.'), config)


def make(
  config: ml_collections.ConfigDict,
  mesh: jax.sharding.Mesh,
  box: api.Runner,
) -> Experiment:
  """Opens the policy and the problems, and checks what can be checked."""
  t = config.train
  rows = t.prompts_per_step * config.sampling.group_size
  name = 'train.prompts_per_step x sampling.group_size'
  sharding.check_batch(rows, name, mesh, t.minibatches * t.microbatches)
  check_values(config)
  tasks.Bounds(**config.alignment.bounds)
  if config.alignment.reward not in answers.REWARDS:
    raise errors.unknown(
      'alignment reward', config.alignment.reward, answers.REWARDS
    )
  policy = load.open_policy(config.model, mesh)
  load.check_lengths(policy.model, config)
  problems = mixtures.load_mixture(
    config.data.name.split('+'),
    config.data.train_split,
    policy.tokenizer,
    style=config.data.prompt_style,
    seed=config.data.seed,
    path=config.data.path or None,
    data_dir=config.data.dir or None,
  )
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
    start=policy,
    prompts=prompts,
    problems={problem.id: problem for problem in problems},
    engine=make_engine(config, mesh),
    box=processes.Runner(box),
    judge=async_rewards.Judge(box, config.alignment.reward),
    mesh=mesh,
    objective=make_objective(config, policy.model),
    optimizer=make_optimizer(config),
    layout=batching.Layout(
      bucket_len=config.data.bucket_len_tokens,
      max_variables=config.alignment.bounds.max_variables,
      max_value_len=config.trajectory.max_value_tokens,
    ),
  )
