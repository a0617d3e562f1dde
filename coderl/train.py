"""CodeRL+ training (arXiv 2510.18471).

A step, in order:

  1. Prompts: problems in a seeded order, and from `alignment.start_step` on a
     fixed share of alignment tasks drawn from the replay buffer.
  2. Rollouts: G samples per prompt from the current policy.
  3. Rewards: programs by their hidden tests, answers by what the runs gave.
  4. Alignment: failed programs are traced and go to the replay buffer, which
     feeds the next steps. This is the only loop back.
  5. Update: advantages, then one optimizer update per minibatch.

A step is a function of the train state, the replay buffer, the data position
and the step's number, from which all randomness is derived. These are saved, so
a resumed run equals one that never stopped. If the sandbox fails during a step,
the step is rolled back.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import signal
import time

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import orbax.checkpoint as ocp

from coderl import types
from coderl.alignment import replay as replay_lib
from coderl.alignment import tasks
from coderl.distributed import processes, sharding
from coderl.evaluators import held_out
from coderl.evaluators import suite as suite_lib
from coderl.rl import batching, packing, train_step
from coderl.training import checkpoint, metrics, results, setup
from coderl.training import progress as progress_lib
from coderl.training import rollouts as rollouts_lib
from coderl.training import update as update_lib
from commons import errors

# Fields that may differ between the starts of one run.
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


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains, or resumes the training found in `workdir`.

  Writes there: checkpoints, metrics.jsonl, TensorBoard events, rollouts.jsonl,
  results.json, report.html, and the trained policy in Hugging Face layout.
  """
  checkpoint.check_config(workdir, config, _MAY_DIFFER)
  with processes.session(config.hosts):
    mesh = sharding.make_mesh(config.mesh.shape)
    with (
      stop_requests() as stop,
      setup.open_sandbox(config.sandbox) as sandbox,
      jax.set_mesh(mesh),
    ):
      experiment = setup.make(config, mesh, sandbox)
      checkpoint.write_config(workdir, config)
      train(experiment, workdir, stop)


def train(experiment: setup.Experiment, workdir: str, stop: list[int]) -> None:
  """Runs the loop from the last checkpoint to the last step or a stop request.

  Args:
    experiment: what to train.
    workdir: the run's directory.
    stop: true once the run is to stop; see `stop_requests`.

  Raises:
    ServiceError: the sandbox failed. The steps before are saved.
  """
  config, folder = experiment.config, pathlib.Path(workdir)
  manager = checkpoint.manager(workdir, config.checkpoint.keep)
  state, layout, progress = restore_or_init(experiment, manager)
  update = make_update(experiment, layout)
  suite = make_suite(experiment)
  if not progress.before:
    progress_lib.announce('Evaluating before training ...')
    progress.before = evaluate(experiment, state, suite)
    save(manager, state, progress, None)
  pending, outage = rollouts_lib.restore(experiment, progress), None
  writer = metrics.make_writer(folder, progress.history, config.train.steps)
  with contextlib.closing(writer):
    while not progress.is_done(config) and not stop_requested(stop):
      try:
        state, progress, pending = run_step(
          experiment, update, state, progress, pending
        )
      except errors.ServiceError as error:
        outage = error
        break
      writer.write_scalars(progress.step, progress.history[-1])
      if progress.step % config.checkpoint.every_steps == 0:
        save(manager, state, progress, pending)
  save(manager, state, progress, pending)
  manager.close()
  if processes.is_first():
    metrics.write_lines(folder / 'rollouts.jsonl', progress.samples)
  if progress.is_done(config):
    progress_lib.announce('Evaluating after training ...')
    after = evaluate(experiment, state, suite)
    results.export(experiment.policy(state), folder / 'policy')
    results.write(folder, config, progress, after)
  elif processes.is_first():
    print(
      f'Stopped and saved after step {progress.step} of {config.train.steps};'
      ' the same command resumes the run.'
    )
  if outage:
    raise outage


def run_step(
  experiment: setup.Experiment,
  update: update_lib.Update,
  state: types.TrainState,
  progress: progress_lib.Progress,
  pending: rollouts_lib.PendingStep | None,
) -> tuple[
  types.TrainState, progress_lib.Progress, rollouts_lib.PendingStep | None
]:
  """Runs one step and returns what the next one starts from.

  All that needs the sandbox runs before the update, which donates `state` and
  cannot be undone. With `train.staleness` 1 the rollouts of the next step are
  sampled before the update, while the sandbox still runs programs of this one.

  Args:
    experiment, update: the run and its compiled functions.
    state, progress: before the step; `state` is donated, `progress` is kept.
    pending: the rollouts of this step, if they were sampled ahead.

  Raises:
    ServiceError: the sandbox failed; `state` is then not yet donated.
  """
  config, start = experiment.config, time.monotonic()
  progress, step = progress.copy(), progress.step
  policy, staleness = experiment.policy(state), int(pending is not None)
  pending = pending or rollouts_lib.begin(experiment, policy, progress, step)
  ahead = None
  if config.train.staleness and step + 1 < config.train.steps:
    ahead = rollouts_lib.begin(experiment, policy, progress, step + 1)
  wait_start = time.monotonic()
  code, rollouts = rollouts_lib.collect(
    pending,
    group_size=config.sampling.group_size,
    prompts_per_step=config.train.prompts_per_step,
    dynamic_sampling=experiment.objective.algorithm.dynamic_sampling,
  )
  rng = np.random.default_rng([config.seed, step, 2])
  add_alignment_tasks(experiment, code, progress, rng)
  waited_s = time.monotonic() - wait_start
  add_samples(experiment, rollouts, progress)
  state, update_metrics = update_policy(
    experiment, update, state, rollouts, progress, rng
  )
  progress.finish_step(
    metrics.rollout_metrics(code, rollouts) | update_metrics,
    tokens=sum(len(r.tokens) for r in rollouts),
    seconds=time.monotonic() - start,
    waited_s=waited_s,
    staleness=staleness,
  )
  return state, progress, ahead


def add_alignment_tasks(
  experiment: setup.Experiment,
  code: list[types.Rollout],
  progress: progress_lib.Progress,
  rng: np.random.Generator,
) -> None:
  """Traces the failed programs of a step and adds them to the replay buffer."""
  config = experiment.config.alignment
  if not config.ratio:
    return
  traced = tasks.collect(
    code,
    experiment.sandbox,
    rng,
    step=progress.step,
    bounds=tasks.Bounds(**config.bounds),
  )
  fitting = [task for task in traced if experiment.alignment_prompt(task)]
  progress.replay.add(fitting, progress.step)


def add_samples(
  experiment: setup.Experiment,
  rollouts: list[types.Rollout],
  progress: progress_lib.Progress,
) -> None:
  """Adds rollouts for the report, every `log.samples_every_steps` steps."""
  config = experiment.config.log
  if progress.step % config.samples_every_steps == 0:
    progress.samples += metrics.samples(
      rollouts, experiment.sandbox, progress.step + 1, config.samples
    )


def update_policy(
  experiment: setup.Experiment,
  update: update_lib.Update,
  state: types.TrainState,
  rollouts: list[types.Rollout],
  progress: progress_lib.Progress,
  rng: np.random.Generator,
) -> tuple[types.TrainState, dict[str, float]]:
  """Runs one optimizer update per minibatch.

  Args:
    experiment, update: the run and its compiled functions.
    state: donated.
    rollouts: the rollouts to train on.
    progress: new shapes are added to it.
    rng: shuffles the groups into minibatches.

  Returns:
    The state after the updates, and the means of their metrics.
  """
  config, algorithm = experiment.config, experiment.objective.algorithm
  size = config.sampling.group_size
  batch = update_lib.make_batch(
    batching.padded(rollouts, experiment.layout, experiment.initial.tokenizer),
    rollouts,
    algorithm,
    group_size=size,
    max_len_tokens=config.sampling.max_len_tokens,
    score=update.score,
    params=state.params,
    reference={'policy': experiment.initial.params},
  )
  records = []
  for minibatch in batching.minibatches(
    batch, config.train.minibatches, size, rng
  ):
    packed, placement = batching.pack(
      minibatch, experiment.layout, algorithm, config.train.microbatches
    )
    progress.add_shape('train_step', packing.packed_shape(packed))
    state, step_metrics = update.step(state, packed)
    records.append(step_metrics | {'padding': packing.padding(placement)})
  records = jax.device_get(records)
  means = {
    name: float(np.mean([r[name] for r in records])) for name in records[0]
  }
  if algorithm.importance_cap:
    means |= metrics.importance_metrics(batch, algorithm)
  return state, means


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
  """Yields a list to which SIGINT and SIGTERM are appended during the block.

  A second signal acts as it would without this.
  """
  received: list[int] = []
  numbers = (signal.SIGINT, signal.SIGTERM)
  old = {number: signal.getsignal(number) for number in numbers}

  def handle(number, frame):
    del frame
    received.append(number)
    signal.signal(number, old[number])

  for number in numbers:
    signal.signal(number, handle)
  try:
    yield received
  finally:
    for number in numbers:
      signal.signal(number, old[number])


def stop_requested(stop: list[int]) -> bool:
  """Returns whether any process was asked to stop; all processes call it."""
  return any(processes.gather(bool(stop)))


def restore_or_init(
  experiment: setup.Experiment, manager: ocp.CheckpointManager
) -> tuple[types.TrainState, types.TrainState, progress_lib.Progress]:
  """Returns the state to start from, its shardings, and the progress."""
  config = experiment.config
  state, layout = train_step.init_state(
    setup.initial_key(config.seed),
    experiment.objective,
    experiment.optimizer,
    experiment.mesh,
  )
  # A copy, because the state is donated and KL reads the initial policy.
  params = jax.tree.map(jnp.copy, experiment.initial.params)
  state = state.replace(params=state.params | {'policy': params})
  restored = checkpoint.restore(manager, state)
  if restored:
    progress = progress_lib.Progress.from_state(restored.host)
    if processes.is_first():
      print(f'Resuming after step {progress.step}.')
    return restored.state, layout, progress
  replay = replay_lib.Replay(
    config.alignment.buffer_capacity, config.alignment.max_age_steps
  )
  return state, layout, progress_lib.Progress(replay)


def save(
  manager: ocp.CheckpointManager,
  state: types.TrainState,
  progress: progress_lib.Progress,
  pending: rollouts_lib.PendingStep | None,
) -> None:
  """Saves a checkpoint of the step, with the rollouts sampled ahead."""
  if progress.step not in manager.all_steps():
    progress.pending = pending.state() if pending else {}
    checkpoint.save(manager, progress.step, state, progress.state())


def make_update(
  experiment: setup.Experiment, layout: types.TrainState
) -> update_lib.Update:
  """Returns the compiled functions of the update."""
  config = experiment.config.train
  return update_lib.Update(
    experiment.objective,
    experiment.optimizer,
    layout,
    experiment.mesh,
    experiment.layout,
    config.microbatches * config.minibatches,
    experiment.compilations,
  )


def make_suite(experiment: setup.Experiment) -> suite_lib.Suite:
  """Makes the prompts of the evaluation from the held-out problems."""
  return suite_lib.make_suite(
    held_out.load_problems(experiment.config),
    experiment.initial.tokenizer,
    experiment.sandbox,
    experiment.config,
  )


def evaluate(
  experiment: setup.Experiment,
  state: types.TrainState,
  suite: suite_lib.Suite,
) -> dict[str, list[float]]:
  """Returns the scores of the state's policy, by figure of the evaluation."""
  rollouts = suite_lib.evaluate(
    experiment.sampler,
    experiment.policy(state),
    suite,
    experiment.reward_function,
    experiment.config,
  )
  return suite_lib.scores(rollouts)
