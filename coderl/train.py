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

from collections.abc import Iterator
import contextlib
import json
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
from coderl.models.checkpoints import huggingface
from coderl.reporting import report
from coderl.rl import batching, packing, train_step
from coderl.training import checkpoint, journal, setup, update
from coderl.training import metrics as metrics_lib
from coderl.training import rollouts as rollouts_lib
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


def one_step(
  ex: setup.Experiment,
  state: types.TrainState,
  progress: setup.Progress,
  compiled: update.Updates,
  ahead: rollouts_lib.Ahead | None,
) -> tuple[types.TrainState, dict[str, float], rollouts_lib.Ahead | None]:
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
  ahead = ahead or rollouts_lib.begin(ex, policy, progress, progress.step)
  following = None
  if c.train.staleness and progress.step + 1 < c.train.steps:
    following = rollouts_lib.begin(ex, policy, progress, progress.step + 1)
  waiting = time.monotonic()
  code, rollouts = rollouts_lib.collect(ex, ahead)
  rng = np.random.default_rng([c.seed, progress.step, 2])
  if c.alignment.ratio:
    traced = tasks.collect(
      code,
      ex.box,
      rng,
      step=progress.step,
      bounds=tasks.Bounds(**c.alignment.bounds),
    )
    fitting = [task for task in traced if rollouts_lib.ask(ex, task)]
    progress.replay.add(fitting, progress.step)
  waited_s = time.monotonic() - waiting
  if progress.step % c.log.samples_every_steps == 0:
    progress.samples += metrics_lib.samples(
      rollouts, ex.box, progress.step + 1, c.log.samples
    )
  batch = update.make_batch(ex, rollouts, state.params, compiled)
  size = c.sampling.group_size
  losses = []
  for part in batching.minibatches(batch, c.train.minibatches, size, rng):
    packed, places = batching.pack(
      part, ex.layout, ex.objective.algorithm, c.train.microbatches
    )
    sizes = (packed.tokens_BT, packed.before_BR, packed.queries_BM)
    progress.met('train_step', *(a.shape[-1] for a in sizes))
    state, metrics = compiled.step(state, packed)
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
  record = metrics_lib.rollout_metrics(code, rollouts) | means
  if ex.objective.algorithm.importance_cap:
    record |= metrics_lib.importance_metrics(batch, ex.objective.algorithm)
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
  progress: setup.Progress,
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
      when: {name: suite_lib.summary(s) for name, s in scores.items()}
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
  with processes.session(config.hosts):
    mesh = sharding.make_mesh(config.mesh.shape)
    with (
      stop_requests() as stop,
      setup.open_sandbox(config.sandbox) as box,
      jax.set_mesh(mesh),
    ):
      ex = setup.make(config, mesh, box)
      checkpoint.write_config(workdir, config)
      train(ex, workdir, stop)


def begin(
  ex: setup.Experiment, manager: ocp.CheckpointManager
) -> tuple[types.TrainState, types.TrainState, setup.Progress]:
  """The state to go on from, its layout on the mesh, and the progress."""
  c = ex.config
  state, layout = train_step.init_state(
    setup.keys(c.seed)[0], ex.objective, ex.optimizer, ex.mesh
  )
  # A copy: the state is donated, the start may stay as the reference.
  weights = jax.tree.map(jnp.copy, ex.start.params)
  state = state.replace(params=state.params | {'policy': weights})
  restored = checkpoint.restore(manager, state)
  if restored:
    progress = setup.Progress.from_state(restored.host)
    if processes.is_first():
      print(f'Going on after step {progress.step}.')
    return restored.state, layout, progress
  buffer = replay_lib.Replay(
    c.alignment.buffer_capacity, c.alignment.max_age_steps
  )
  return state, layout, setup.Progress(buffer)


def train(ex: setup.Experiment, workdir: str, stop: list[int]) -> None:
  """The loop, from the last checkpoint to the last step or a stop request.

  Raises: ServiceError, where the sandbox fails, once the steps are saved.
  """
  c, folder = ex.config, pathlib.Path(workdir)
  manager = checkpoint.manager(workdir, c.checkpoint.keep)
  state, layout, progress = begin(ex, manager)
  compiled = update.Updates(ex, layout)
  suite = suite_lib.make_suite(
    held_out.load_problems(c), ex.start.tokenizer, ex.box, c
  )

  def measure():
    answered = suite_lib.evaluate(
      ex.engine, ex.policy(state), suite, ex.judge, c
    )
    return suite_lib.scores(answered)

  def save(ahead):
    if progress.step in manager.all_steps():
      return
    pending = ahead._asdict().items() if ahead else ()
    progress.pending = {name: p.state() for name, p in pending if p}
    checkpoint.save(manager, progress.step, state, progress.state())

  if not progress.before:
    progress.before = measure()
    save(None)
  ahead = rollouts_lib.restored(ex, progress)
  outage, finished = None, (progress, ahead)
  with journal.Journal(folder, c, progress) as written:
    while not progress.is_done(c) and not any(processes.gather(bool(stop))):
      finished = progress.copy(), ahead
      try:
        state, record, ahead = one_step(ex, state, progress, compiled, ahead)
      except errors.ServiceError as error:
        outage, (progress, ahead) = error, finished
        break
      written.tell(record)
      if progress.step % c.checkpoint.every_steps == 0:
        save(ahead)
  save(ahead)
  manager.close()
  if processes.is_first():
    metrics_lib.write_lines(folder / 'rollouts.jsonl', progress.samples)
  if progress.is_done(c):
    finish(ex, state, progress, measure(), folder)
  elif processes.is_first():
    print(
      f'Stopped and saved after step {progress.step} of {c.train.steps};'
      ' the same command goes on from there.'
    )
  if outage:
    raise outage


def finish(
  ex: setup.Experiment,
  state: types.TrainState,
  progress: setup.Progress,
  after: dict[str, list[float]],
  folder: pathlib.Path,
) -> None:
  """Exports the policy, writes the results and the page, prints the table."""
  # At full precision: what was evaluated is what is exported.
  model = ex.start.model
  params = jax.tree.map(processes.whole, ex.policy(state).params)
  if not processes.is_first():
    return
  huggingface.save(folder / 'policy', model, params, dtype=model.param_dtype)
  ex.start.tokenizer.save(folder / 'policy')
  found = results(ex.config, progress, after)
  (folder / 'results.json').write_text(json.dumps(found, indent=2) + '\n')
  report.write(folder)
  print(report.table(found))
  print(f'Report: {folder / "report.html"}')
