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
a run taken up again is the run that never stopped. A step whose sandbox fails
is a step that was not begun.
"""

from collections.abc import Iterator, Sequence
import contextlib
from functools import partial
import itertools
import json
import pathlib
import signal
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import orbax.checkpoint as ocp
import tensorboardX
import tqdm

from coderl import (
  alignment,
  checkpoint,
  engine,
  evaluate,
  experiment,
  hosts,
  packing,
  pipeline,
  policies,
  records,
  report,
  rollout,
  sampling,
  sharding,
  train_step,
  types,
)
from coderl import replay as replay_lib
from coderl.models import hf
from commons import errors, estimates

# May differ between the starts of one run.
_MAY_DIFFER = (
  'train.steps',
  'checkpoint',
  'engine',
  'hosts',
  'log',
  'mesh',
  'sandbox.workers',
  'sandbox.url',
  'sandbox.require',
)


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
  ex: experiment.Experiment, progress: experiment.Progress, step: int
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


def ask(
  ex: experiment.Experiment, task: alignment.AlignmentTask
) -> types.Prompt | None:
  """The task's prompt; None where it is too long."""
  return alignment.to_prompt(
    task,
    ex.problems[task.problem_id],
    ex.start.tokenizer,
    style=ex.config.data.prompt_style,
    max_prompt_len_tokens=ex.config.data.max_prompt_len_tokens,
  )


class Ahead(NamedTuple):
  """A step's rollouts, whose rewards may be on the way; align may be None."""

  code: pipeline.Pending
  align: pipeline.Pending | None


def begin_step(
  ex: experiment.Experiment,
  policy: policies.Policy,
  progress: experiment.Progress,
  step: int,
) -> Ahead:
  """Samples a step's rollouts; advances the data position.

  With dynamic sampling (DAPO, arXiv 2503.14476), `oversampling` times as many
  code prompts are sampled as are trained on.
  """
  c = ex.config
  key = jax.random.fold_in(experiment.keys(c.seed)[1], step)
  code_key, align_key = jax.random.split(key)
  asked = alignment_prompts(ex, progress, step)
  dynamic = ex.objective.algorithm.dynamic_sampling
  count = c.train.prompts_per_step - len(asked)
  count *= c.algorithm.oversampling if dynamic else 1
  drawn = code_prompts(ex.prompts, c.seed, progress.position, count)
  progress.position += count
  settings = sampling.SamplingConfig(**c.sampling)

  def sampled(prompts, key):
    shape = engine.sample_shape(prompts, c.data.bucket_len_tokens, ex.mesh)
    progress.met('sample', *shape)
    return pipeline.begin(ex.engine, policy, prompts, key, settings, ex.judge)

  code = sampled(drawn, code_key)
  return Ahead(code, sampled(asked, align_key) if asked else None)


def collect(
  ex: experiment.Experiment, ahead: Ahead
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
    useful = rollout.informative(rollouts, size)
    groups = [
      groups[i] for i in sorted(range(len(groups)), key=lambda i: not useful[i])
    ]
  return rollouts, [*itertools.chain(*groups[:wanted]), *aligned]


def put(
  ex: experiment.Experiment, packed: types.PackedBatch
) -> types.PackedBatch:
  return sharding.put(packed, ex.mesh, sharding.MICROBATCHES)


class Updates:
  """The compiled functions of the update."""

  def __init__(self, ex: experiment.Experiment, layout: types.TrainState):
    t = ex.config.train
    self.step = train_step.compile_step(
      ex.objective, ex.optimizer, layout, ex.mesh
    )
    self._score = jax.jit(
      partial(train_step.score, objective=ex.objective),
      out_shardings=sharding.replicated(ex.mesh),
    )
    self._ex, self._microbatches = ex, t.microbatches * t.minibatches

  def score(
    self, params: types.Params, batch: types.RolloutBatch
  ) -> tuple[np.ndarray, np.ndarray]:
    """(logprobs_BR, values_BR) by these params; see train_step.score."""
    packed, places = rollout.pack(
      batch, self._ex.layout, self._ex.objective.algorithm, self._microbatches
    )
    scored = self._score(params, put(self._ex, packed))
    return tuple(
      packing.unpack(np.asarray(x_NBR), places, batch.mask_BR.shape)
      for x_NBR in scored
    )


def make_batch(
  ex: experiment.Experiment,
  rollouts: Sequence[types.Rollout],
  params: types.Params,
  updates: Updates,
) -> types.RolloutBatch:
  """Arrays with everything the loss reads."""
  algorithm = ex.objective.algorithm
  batch = rollout.padded(rollouts, ex.layout, ex.start.tokenizer)
  if algorithm.uses_values or algorithm.importance_cap:
    logprobs_BR, values_BR = updates.score(params, batch)
    batch = batch._replace(values_BR=values_BR)
    if algorithm.importance_cap:
      batch = batch._replace(logprobs_BR=logprobs_BR)
  if algorithm.kl_weight:
    logprobs_BR, _ = updates.score({'policy': ex.start.params}, batch)
    batch = batch._replace(ref_logprobs_BR=logprobs_BR)
  return rollout.with_advantages(
    batch,
    rollout.shaped_rewards(
      rollouts, algorithm, ex.config.sampling.max_len_tokens
    ),
    np.array([r.masked for r in rollouts]),
    algorithm,
    ex.config.sampling.group_size,
  )


def one_step(
  ex: experiment.Experiment,
  state: types.TrainState,
  progress: experiment.Progress,
  updates: Updates,
  ahead: Ahead | None,
) -> tuple[types.TrainState, dict[str, float], Ahead | None]:
  """Steps 1 to 5; returns the state, the step's metrics and the next rollouts.

  With `train.staleness` 1, the next step's rollouts are sampled before this
  one's update, while the sandbox still runs this one's programs.

  Args:
    ahead: this step's rollouts, where they were sampled before.

  What may fail for want of the sandbox comes before the update, which takes
  the state's memory. Raises: ServiceError; the state is then as it was.
  """
  c, began = ex.config, time.monotonic()
  policy, staleness = ex.policy(state), int(ahead is not None)
  ahead = ahead or begin_step(ex, policy, progress, progress.step)
  following = None
  if c.train.staleness and progress.step + 1 < c.train.steps:
    following = begin_step(ex, policy, progress, progress.step + 1)
  waiting = time.monotonic()
  code, rollouts = collect(ex, ahead)
  rng = np.random.default_rng([c.seed, progress.step, 2])
  if c.alignment.ratio:
    traced = alignment.collect(
      code,
      ex.box,
      rng,
      step=progress.step,
      bounds=alignment.Bounds(**c.alignment.bounds),
    )
    fitting = [task for task in traced if ask(ex, task)]
    progress.replay.add(fitting, progress.step)
  waited_s = time.monotonic() - waiting
  if progress.step % c.log.samples_every_steps == 0:
    progress.samples += records.samples(
      rollouts, ex.box, progress.step + 1, c.log.samples
    )
  batch = make_batch(ex, rollouts, state.params, updates)
  size = c.sampling.group_size
  losses = []
  for part in rollout.minibatches(batch, c.train.minibatches, size, rng):
    packed, places = rollout.pack(
      part, ex.layout, ex.objective.algorithm, c.train.microbatches
    )
    sizes = (packed.tokens_BT, packed.before_BR, packed.queries_BM)
    progress.met('train_step', *(a.shape[-1] for a in sizes))
    state, metrics = updates.step(state, put(ex, packed))
    losses.append(metrics | {'padding': packing.padding(places)})
  losses = jax.device_get(losses)
  means = {
    name: float(np.mean([m[name] for m in losses])) for name in losses[0]
  }
  seconds = time.monotonic() - began
  progress.step += 1
  progress.seconds += seconds
  tokens = sum(len(r.tokens) for r in rollouts)
  progress.tokens += tokens
  record = records.rollout_metrics(code, rollouts) | means
  if ex.objective.algorithm.importance_cap:
    record |= records.importance_metrics(batch, ex.objective.algorithm)
  record |= {
    'step': progress.step,
    'replay_size': len(progress.replay),
    'staleness': staleness,
    'seconds': seconds,
    'sandbox_wait_share': waited_s / seconds,
    'tokens': progress.tokens,
    'tokens_per_s': tokens / seconds,
  }
  progress.history.append(record)
  return state, record, following


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
  progress: experiment.Progress,
  after: dict[str, list[float]],
) -> dict:
  """What the table and the page show: means, intervals, differences."""
  differences = {}
  for name, scores in after.items():
    mean, low, high = estimates.paired_difference(
      np.asarray(progress.before[name]), np.asarray(scores), seed=0
    )
    differences[name] = {'difference': mean, 'low': low, 'high': high}
  summaries = {'before': progress.before, 'after': after}
  return {
    'steps': progress.step,
    'tokens': progress.tokens,
    'seconds': progress.seconds,
    'evaluations': {
      when: {name: evaluate.summary(s) for name, s in scores.items()}
      for when, scores in summaries.items()
    },
    'difference': differences,
    'shapes': progress.shapes,
    'settings': config.to_dict(),
  }


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains, or goes on with the training found in `workdir`.

  Leaves there: checkpoints, metrics.jsonl, TensorBoard events, rollouts.jsonl,
  results.json, report.html, and the trained policy in Hugging Face layout.
  """
  checkpoint.check_config(workdir, config, _MAY_DIFFER)
  with hosts.session(config.hosts):
    mesh = sharding.make_mesh(config.mesh.shape)
    with (
      stop_requests() as stop,
      experiment.open_sandbox(config.sandbox) as box,
      jax.set_mesh(mesh),
    ):
      ex = experiment.make(config, mesh, box)
      checkpoint.write_config(workdir, config)
      train(ex, workdir, stop)


def begin(
  ex: experiment.Experiment, manager: ocp.CheckpointManager
) -> tuple[types.TrainState, types.TrainState, experiment.Progress]:
  """The state to go on from, its layout on the mesh, and the progress."""
  c = ex.config
  state, layout = train_step.init_state(
    experiment.keys(c.seed)[0], ex.objective, ex.optimizer, ex.mesh
  )
  # A copy: the state is donated, the start may stay as the reference.
  weights = jax.tree.map(jnp.copy, ex.start.params)
  state = state.replace(params=state.params | {'policy': weights})
  restored = checkpoint.restore(manager, state)
  if restored:
    progress = experiment.Progress.from_state(restored.host)
    if hosts.is_first():
      print(f'Going on after step {progress.step}.')
    return restored.state, layout, progress
  buffer = replay_lib.Replay(
    c.alignment.buffer_capacity, c.alignment.max_age_steps
  )
  return state, layout, experiment.Progress(buffer)


def train(ex: experiment.Experiment, workdir: str, stop: list[int]) -> None:
  """The loop, from the last checkpoint to the last step or a stop request.

  Raises: ServiceError, where the sandbox fails, once the steps are saved.
  """
  c, folder = ex.config, pathlib.Path(workdir)
  manager = checkpoint.manager(workdir, c.checkpoint.keep)
  state, layout, progress = begin(ex, manager)
  updates = Updates(ex, layout)
  suite = evaluate.make_suite(
    evaluate.held_out_problems(c), ex.start.tokenizer, ex.box, c
  )

  def measure():
    answered = evaluate.evaluate(
      ex.engine, ex.policy(state), suite, ex.judge, c
    )
    return evaluate.scores(answered)

  def save(ahead):
    if progress.step in manager.all_steps():
      return
    pending = ahead._asdict().items() if ahead else ()
    progress.pending = {name: p.state() for name, p in pending if p}
    checkpoint.save(manager, progress.step, state, progress.state())

  if not progress.before:
    progress.before = measure()
    save(None)
  ahead = restored_ahead(ex, progress)
  outage, finished = None, (progress, ahead)
  with Journal(folder, c, progress) as journal:
    while not progress.is_done(c) and not any(hosts.gather(bool(stop))):
      finished = progress.copy(), ahead
      try:
        state, record, ahead = one_step(ex, state, progress, updates, ahead)
      except errors.ServiceError as error:
        outage, (progress, ahead) = error, finished
        break
      journal.tell(record)
      if progress.step % c.checkpoint.every_steps == 0:
        save(ahead)
  save(ahead)
  manager.close()
  if hosts.is_first():
    records.write_lines(folder / 'rollouts.jsonl', progress.samples)
  if progress.is_done(c):
    finish(ex, state, progress, measure(), folder)
  elif hosts.is_first():
    print(
      f'Stopped and saved after step {progress.step} of {c.train.steps};'
      ' the same command goes on from there.'
    )
  if outage:
    raise outage


def restored_ahead(
  ex: experiment.Experiment, progress: experiment.Progress
) -> Ahead | None:
  """The rollouts that were sampled before the run was stopped."""
  if not progress.pending:
    return None
  pending = {
    name: pipeline.restored(state, ex.problems, ex.judge)
    for name, state in progress.pending.items()
  }
  return Ahead(pending['code'], pending.get('align'))


class Journal:
  """What the first process writes down of every step, and shows."""

  def __init__(
    self,
    folder: pathlib.Path,
    config: ml_collections.ConfigDict,
    progress: experiment.Progress,
  ):
    self._lines, self._writer, self._bar = folder / 'metrics.jsonl', None, None
    if hosts.is_first():
      records.write_lines(self._lines, progress.history)
      self._writer = tensorboardX.SummaryWriter(
        str(folder / 'tensorboard'), purge_step=progress.step + 1
      )
      self._bar = tqdm.tqdm(
        total=config.train.steps, initial=progress.step, unit='step'
      )

  def __enter__(self) -> 'Journal':
    return self

  def __exit__(self, *_) -> None:
    if self._writer:
      self._bar.close()
      self._writer.close()

  def tell(self, record: dict[str, float]) -> None:
    """Writes a step's metrics down and shows them."""
    if not self._writer:
      return
    with self._lines.open('a') as f:
      f.write(json.dumps(record) + '\n')
    for name, value in record.items():
      self._writer.add_scalar(name, value, record['step'])
    self._bar.set_postfix_str(postfix(record))
    self._bar.update()


def postfix(record: dict[str, float]) -> str:
  """The progress bar's figures."""
  text = f'reward {record["generate/reward"]:.2f}'
  text += f' pass {record["generate/passed"]:.2f}'
  if 'align/reward' in record:
    text += f' align {record["align/reward"]:.2f}'
    text += f' variables {record["align/variables"]:.2f}'
  return f'{text} {record["tokens_per_s"]:.0f} tok/s'


def finish(
  ex: experiment.Experiment,
  state: types.TrainState,
  progress: experiment.Progress,
  after: dict[str, list[float]],
  folder: pathlib.Path,
) -> None:
  """Exports the policy, writes the results and the page, prints the table."""
  # At full precision: what was evaluated is what is exported.
  model = ex.start.model
  params = jax.tree.map(hosts.whole, ex.policy(state).params)
  if not hosts.is_first():
    return
  hf.save(folder / 'policy', model, params, dtype=model.param_dtype)
  ex.start.tokenizer.save(folder / 'policy')
  found = results(ex.config, progress, after)
  (folder / 'results.json').write_text(json.dumps(found, indent=2) + '\n')
  report.write(folder)
  print(report.table(found))
  print(f'Report: {folder / "report.html"}')
