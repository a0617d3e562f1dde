"""CodeRL+ training (arXiv 2510.18471), in the loop's order.

  1. Prompts: problems in a seeded order, and from `alignment.start_step` on a
     fixed share of alignment tasks drawn from the replay buffer.
  2. Rollouts: G samples a prompt from the current policy.
  3. Rewards: programs by their hidden tests, inferences by what runs gave.
  4. Alignment: failed programs are traced and go to the replay buffer, which
     feeds the next steps. This is the only loop back.
  5. Update: advantages, then one optimiser step a minibatch.

A step is a function of the state, the buffer, the data position and the step's
number, from which all randomness is drawn; these are what is checkpointed, so
a run taken up again is the run that never stopped.
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
from functools import partial
import itertools
import json
import os
import pathlib
import signal
import time

from absl import logging
import jax
import ml_collections
import numpy as np
import optax
import tensorboardX
import tqdm

from coderl import (
  algorithms,
  alignment,
  checkpoint,
  errors,
  evaluate,
  records,
  report,
  rewards,
  rollout,
  sampling,
  sharding,
  train_step,
  types,
)
from coderl import metrics as metrics_lib
from coderl import replay as replay_lib
from coderl.data import tasks
from coderl.execution import sandbox
from coderl.models import hf

# May differ between the starts of one run.
_MAY_DIFFER = ('train.steps', 'checkpoint', 'log', 'mesh', 'sandbox.workers')


@dataclasses.dataclass
class Progress:
  """The host's side of a run; with the TrainState, all there is to save.

  step: training steps done. position: code prompts consumed. tokens:
  response tokens trained on. replay: alignment tasks.
  before: scores of the start, by evaluation.
  history: metrics of every step. samples: rollouts shown in the report.
  seconds: spent in steps.
  """

  replay: replay_lib.Replay
  step: int = 0
  position: int = 0
  tokens: int = 0
  before: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  history: list[dict[str, float]] = dataclasses.field(default_factory=list)
  samples: list[dict] = dataclasses.field(default_factory=list)
  seconds: float = 0.0

  def is_done(self, config: ml_collections.ConfigDict) -> bool:
    limit = config.train.max_tokens
    return self.step >= config.train.steps or 0 < limit <= self.tokens

  def state(self) -> dict:
    return vars(self) | {'replay': self.replay.state()}

  @classmethod
  def from_state(cls, state: dict) -> 'Progress':
    buffer = replay_lib.Replay.from_state(state['replay'])
    return cls(**state | {'replay': buffer})


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What stays fixed during a run."""

  config: ml_collections.ConfigDict
  start: rollout.Policy
  prompts: Sequence[types.Prompt]
  problems: dict[str, types.Problem]
  box: sandbox.Sandbox
  mesh: jax.sharding.Mesh
  objective: train_step.Objective
  layout: rollout.Layout

  def policy(self, state: types.TrainState) -> rollout.Policy:
    return dataclasses.replace(self.start, params=state.params['policy'])


def make_objective(
  config: ml_collections.ConfigDict, policy: rollout.Policy
) -> train_step.Objective:
  """The loss that the config's sections describe."""
  settings = config.algorithm.to_dict()
  name = settings.pop('name')
  settings.pop('sampling_rounds')
  algorithm = algorithms.ALGORITHMS.get(name)
  if algorithm is None:
    raise errors.unknown('algorithm', name, algorithms.ALGORITHMS)
  return train_step.Objective(
    model=policy.model,
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


def make_experiment(
  config: ml_collections.ConfigDict,
  mesh: jax.sharding.Mesh,
  box: sandbox.Sandbox,
) -> Experiment:
  """Opens the policy and the problems, and checks what can be checked."""
  t = config.train
  rows = t.prompts_per_step * config.sampling.group_size
  name = 'train.prompts_per_step x sampling.group_size'
  sharding.check_batch(rows, name, mesh, t.minibatches * t.microbatches)
  policy = evaluate.open_policy(config.model.path)
  problems = tasks.load_problems(
    config.data.name,
    config.data.train_split,
    seed=config.data.seed,
    path=config.data.path or None,
    data_dir=config.data.dir or None,
  )
  limit = config.data.max_prompt_len_tokens
  prompts = rollout.generation_prompts(
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
    box=box,
    mesh=mesh,
    objective=make_objective(config, policy),
    layout=rollout.Layout(
      max_prompt_len=limit,
      max_response_len=config.sampling.max_len_tokens,
      bucket_len=t.bucket_len_tokens,
      max_variables=config.alignment.bounds.max_variables,
      max_value_len=config.trajectory.max_value_tokens,
    ),
  )


def code_prompts(
  prompts: Sequence[types.Prompt], seed: int, position: int, count: int
) -> list[types.Prompt]:
  """`count` prompts from `position` on; every epoch in an order of its own."""
  found = []
  for i in range(position, position + count):
    epoch, place = divmod(i, len(prompts))
    order = np.random.default_rng([seed, epoch]).permutation(len(prompts))
    found.append(prompts[order[place]])
  return found


def alignment_prompts(ex: Experiment, progress: Progress) -> list[types.Prompt]:
  """The step's share of alignment prompts; none until there are enough."""
  c = ex.config
  count = int(c.train.prompts_per_step * c.alignment.ratio)
  if progress.step < c.alignment.start_step or count == 0:
    return []
  rng = np.random.default_rng([c.seed, progress.step, 1])
  drawn = progress.replay.sample(count, rng, progress.step)
  prompts = [
    alignment.to_prompt(
      task,
      ex.problems[task.problem_id],
      ex.start.tokenizer,
      style=c.data.prompt_style,
      max_prompt_len_tokens=c.data.max_prompt_len_tokens,
    )
    for task in drawn
  ]
  fitting = [prompt for prompt in prompts if prompt is not None]
  # A full share or none: a batch of another size would compile anew.
  return fitting if len(fitting) == count else []


def sampled(
  ex: Experiment,
  policy: rollout.Policy,
  prompts: Sequence[types.Prompt],
  key: types.Array,
) -> list[types.Rollout]:
  """Scored rollouts, G to each prompt."""
  s = ex.config.sampling
  rollouts = rollout.sample(
    policy,
    prompts,
    key,
    config=sampling.SamplingConfig(**s),
    bucket_len=ex.layout.bucket_len,
    mesh=ex.mesh,
  )
  return rewards.score(
    rollouts, ex.box, alignment_reward=ex.config.alignment.reward
  )


def groups(
  rollouts: Sequence[types.Rollout], size: int
) -> list[list[types.Rollout]]:
  return [list(rollouts[i : i + size]) for i in range(0, len(rollouts), size)]


def collect(
  ex: Experiment, policy: rollout.Policy, progress: Progress
) -> list[types.Rollout]:
  """The step's rollouts, groups whole; advances the data position.

  With dynamic sampling (DAPO), code prompts are sampled for up to
  `sampling_rounds` rounds and groups whose rewards differ come first.
  """
  c = ex.config
  size = c.sampling.group_size
  key = jax.random.fold_in(jax.random.key(c.seed), progress.step)
  asked = alignment_prompts(ex, progress)
  wanted = c.train.prompts_per_step - len(asked)
  dynamic = ex.objective.algorithm.dynamic_sampling
  kept, spare = [], []
  for i in range(c.algorithm.sampling_rounds):
    drawn = code_prompts(ex.prompts, c.seed, progress.position, wanted)
    progress.position += wanted
    rollouts = sampled(ex, policy, drawn, jax.random.fold_in(key, i))
    useful = rollout.informative(rollouts, size)
    for group, good in zip(groups(rollouts, size), useful, strict=True):
      (kept if good or not dynamic else spare).append(group)
    if len(kept) >= wanted:
      break
  if asked:
    aligned = sampled(ex, policy, asked, jax.random.fold_in(key, -1))
  code = (kept + spare)[:wanted]
  return [*itertools.chain(*code), *(aligned if asked else [])]


def make_batch(
  ex: Experiment,
  rollouts: Sequence[types.Rollout],
  params: types.Params,
  reference: types.Params | None,
  score,
) -> types.RolloutBatch:
  """Arrays with everything the loss reads."""
  algorithm = ex.objective.algorithm
  batch = rollout.pack(rollouts, ex.layout, ex.start.tokenizer)
  if algorithm.uses_values:
    on_device = sharding.put_batch(batch, ex.mesh)
    batch = batch._replace(values_BR=np.asarray(score(params, on_device)[1]))
  if algorithm.kl_weight:
    on_device = sharding.put_batch(batch, ex.mesh)
    logprobs_BR = score({'policy': reference}, on_device)[0]
    batch = batch._replace(ref_logprobs_BR=np.asarray(logprobs_BR))
  return rollout.with_advantages(
    batch,
    rollout.shaped_rewards(
      rollouts, algorithm, ex.config.sampling.max_len_tokens
    ),
    np.array([r.masked for r in rollouts]),
    algorithm,
    ex.config.sampling.group_size,
  )


def one_step(ex: Experiment, state, progress: Progress, reference, step, score):
  """Steps 1 to 5; returns the state and the step's metrics."""
  c, began = ex.config, time.monotonic()
  rollouts = collect(ex, ex.policy(state), progress)
  rng = np.random.default_rng([c.seed, progress.step, 2])
  if c.alignment.ratio:
    found = alignment.collect(
      rollouts,
      ex.box,
      rng,
      step=progress.step,
      bounds=alignment.Bounds(**c.alignment.bounds),
    )
    progress.replay.add(found, progress.step)
  batch = make_batch(ex, rollouts, state.params, reference, score)
  size = c.sampling.group_size
  updates = []
  for part in rollout.minibatches(batch, c.train.minibatches, size, rng):
    state, update = step(state, sharding.put_batch(part, ex.mesh))
    updates.append(update)
  means = {
    name: float(np.mean([float(u[name]) for u in updates]))
    for name in updates[0]
  }
  seconds = time.monotonic() - began
  if progress.step % c.log.samples_every_steps == 0:
    progress.samples += records.samples(
      rollouts, ex.box, progress.step + 1, c.log.samples
    )
  progress.step += 1
  progress.seconds += seconds
  tokens = sum(len(r.tokens) for r in rollouts)
  progress.tokens += tokens
  record = records.rollout_metrics(rollouts, size) | means
  record |= {
    'step': progress.step,
    'replay_size': len(progress.replay),
    'seconds': seconds,
    'tokens': progress.tokens,
    'tokens_per_s': tokens / seconds,
  }
  progress.history.append(record)
  return state, record


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
  """A list that SIGINT or SIGTERM appends to, until the block ends.

  A second signal acts as it would have without this.
  """
  asked: list[int] = []
  kinds = (signal.SIGINT, signal.SIGTERM)
  old = {kind: signal.getsignal(kind) for kind in kinds}

  def ask(number, frame):
    del frame
    asked.append(number)
    signal.signal(number, old[number])

  for kind in kinds:
    signal.signal(kind, ask)
  try:
    yield asked
  finally:
    for kind in kinds:
      signal.signal(kind, old[kind])


def results(
  config: ml_collections.ConfigDict,
  progress: Progress,
  after: dict[str, list[float]],
) -> dict:
  """What the table and the page show: means, intervals, differences."""
  differences = {}
  for name, scores in after.items():
    mean, low, high = metrics_lib.paired_difference(
      np.asarray(progress.before[name]), np.asarray(scores), seed=0
    )
    differences[name] = {'difference': mean, 'low': low, 'high': high}
  summaries = {'before': progress.before, 'after': after}
  return {
    'steps': progress.step,
    'seconds': progress.seconds,
    'evaluations': {
      when: {name: evaluate.summary(s) for name, s in scores.items()}
      for when, scores in summaries.items()
    },
    'difference': differences,
    'settings': config.to_dict(),
  }


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains, or goes on with the training found in `workdir`.

  Leaves there: checkpoints, metrics.jsonl, TensorBoard events, rollouts.jsonl,
  results.json, report.html, and the trained policy in Hugging Face layout.
  """
  checkpoint.check_config(workdir, config, _MAY_DIFFER)
  mesh = sharding.make_mesh(config.mesh.shape)
  limits = sandbox.Limits(**config.sandbox.limits)
  workers = config.sandbox.workers or os.cpu_count()
  with sandbox.Sandbox(limits, workers=workers) as box, jax.set_mesh(mesh):
    ex = make_experiment(config, mesh, box)
    with stop_requests() as stop:
      train(ex, workdir, stop)


def train(ex: Experiment, workdir: str, stop: list[int]) -> None:
  """The loop, from the last checkpoint to the last step or a stop request."""
  c, folder = ex.config, pathlib.Path(workdir)
  optimizer = make_optimizer(c)
  state, layout = train_step.init_state(
    jax.random.key(c.seed), ex.objective, optimizer, ex.mesh
  )
  weights = jax.device_put(ex.start.params, layout.params['policy'])
  reference = weights if ex.objective.algorithm.kl_weight else None
  # A copy, since the state is donated and the reference stays.
  state = state.replace(
    params=state.params | {'policy': jax.tree.map(jax.numpy.copy, weights)}
  )
  step = train_step.compile_step(
    ex.objective, optimizer, c.train.microbatches, layout, ex.mesh
  )
  score = jax.jit(
    partial(
      train_step.score,
      objective=ex.objective,
      num_microbatches=c.train.microbatches * c.train.minibatches,
    )
  )
  progress = Progress(
    replay_lib.Replay(c.alignment.buffer_capacity, c.alignment.max_age_steps)
  )
  manager = checkpoint.manager(workdir, c.checkpoint.keep)
  restored = checkpoint.restore(manager, state)
  if restored:
    state, progress = restored.state, Progress.from_state(restored.host)
    logging.info('going on after step %d', restored.step)
  problems = evaluate.held_out_problems(c)
  suite = evaluate.make_suite(problems, ex.start.tokenizer, ex.box, c)
  measure = lambda: {
    name: evaluate.scores(answered)
    for name, answered in evaluate.evaluate(
      ex.policy(state), suite, ex.box, c, ex.mesh
    ).items()
  }
  if not progress.before:
    progress.before = measure()
    checkpoint.save(manager, 0, state, progress.state())

  records.write_lines(folder / 'metrics.jsonl', progress.history)
  writer = tensorboardX.SummaryWriter(
    str(folder / 'tensorboard'), purge_step=progress.step + 1
  )
  bar = tqdm.tqdm(total=c.train.steps, initial=progress.step, unit='step')
  while not progress.is_done(c) and not stop:
    state, record = one_step(ex, state, progress, reference, step, score)
    with (folder / 'metrics.jsonl').open('a') as f:
      f.write(json.dumps(record) + '\n')
    for name, value in record.items():
      writer.add_scalar(name, value, progress.step)
    bar.set_postfix_str(postfix(record))
    bar.update()
    if progress.step % c.checkpoint.every_steps == 0:
      checkpoint.save(manager, progress.step, state, progress.state())
  bar.close()
  checkpoint.save(manager, progress.step, state, progress.state())
  manager.close()
  writer.close()
  records.write_lines(folder / 'rollouts.jsonl', progress.samples)
  if not progress.is_done(c):
    print(
      f'Stopped and saved after step {progress.step} of {c.train.steps};'
      ' the same command goes on from there.'
    )
    return
  finish(ex, state, progress, measure(), folder)


def postfix(record: dict[str, float]) -> str:
  """The progress bar's figures."""
  text = f'pass {record["generate/passed"]:.2f}'
  if 'align/reward' in record:
    text += f' align {record["align/reward"]:.2f}'
    text += f' variables {record["align/variables"]:.2f}'
  return f'{text} {record["tokens_per_s"]:.0f} tok/s'


def finish(
  ex: Experiment,
  state: types.TrainState,
  progress: Progress,
  after: dict[str, list[float]],
  folder: pathlib.Path,
) -> None:
  """Exports the policy, writes the results and the page, prints the table."""
  hf.save(folder / 'policy', ex.start.model, state.params['policy'])
  ex.start.tokenizer.save(folder / 'policy')
  found = results(ex.config, progress, after)
  (folder / 'results.json').write_text(json.dumps(found, indent=2) + '\n')
  report.write(folder)
  print(report.table(found))
  print(f'Report: {folder / "report.html"}')
