"""Laws of the loop: what a step reads, and what an outage or a stop leaves."""

import json

import jax
import orbax.checkpoint as ocp
import pytest

from coderl import train
from coderl.distributed import sharding
from coderl.sandbox import sandbox as sandbox_lib
from coderl.training import checkpoint, setup
from commons import errors
from configs import coderl_train


@pytest.fixture(autouse=True)
def quick_to_compile():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


class FailingSandbox(sandbox_lib.Sandbox):
  """Fails at call number `failing_call` of the second step, if it is given."""

  def __init__(self, folder, failing_call):
    super().__init__(workers=1)
    self._metrics = folder / 'metrics.jsonl'
    self._failing_call = failing_call
    self.calls = 0

  def run(self, programs):
    if self._metrics.exists() and self._metrics.read_text().count('\n') == 1:
      self.calls += 1
      if self.calls == self._failing_call:
        raise errors.ServiceError('no answer')
    return super().run(programs)


def _config(arg='', **changes):
  config = coderl_train.get_config(arg)
  config.update_from_flattened_dict(
    {
      'train.steps': 2,
      'train.prompts_per_step': 4,
      'train.minibatches': 1,
      'train.microbatches': 1,
      'data.bucket_len_tokens': 160,
      'sampling.group_size': 2,
      'sampling.max_len_tokens': 80,
      'alignment.ratio': 0.25,
      'alignment.start_step': 1,
      'eval.problems': 4,
      'eval.batch_size': 4,
      'log.samples_every_steps': 1,
    }
    | changes
  )
  return config


class AfterOneStep:
  """A stop request that comes during the first step."""

  def __init__(self, folder):
    self._metrics = folder / 'metrics.jsonl'

  def __bool__(self):
    return bool(self._metrics.read_text())


def _train(folder, failing_call=None, stop=(), arg='', **changes):
  """Trains; returns how many times the second step called the sandbox."""
  mesh = sharding.make_mesh((1, -1, 1))
  config = _config(arg, **changes)
  folder.mkdir(exist_ok=True)
  checkpoint.write_config(str(folder), config)
  with FailingSandbox(folder, failing_call) as sandbox, jax.set_mesh(mesh):
    experiment = setup.make(config, mesh, sandbox)
    train.train(experiment, str(folder), stop)
  return sandbox.calls


def _history(folder):
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def _saved(folder, step):
  """Returns a checkpoint's host state and checksums, without times."""
  with checkpoint.manager(str(folder), 3) as manager:
    record = manager.restore(
      step, args=ocp.args.Composite(host=ocp.args.JsonRestore())
    ).host
  del record['host']['seconds']
  for metrics in record['host']['history']:
    for name in ('seconds', 'sandbox_wait_share', 'tokens_per_s'):
      del metrics[name]
  return record


def test_an_outage_saves_the_last_finished_step(tmp_path, capsys):
  straight = tmp_path / 'straight'
  calls = _train(straight, **{'checkpoint.every_steps': 1})
  assert calls >= 3  # Rewards, traces, samples.
  expected = _saved(straight, 1)
  assert expected['host']['step'] == 1
  assert expected['host']['replay']['tasks']
  # The sampler has the weights that each update begins with.
  deviations = [metrics['ratio_deviation'] for metrics in _history(straight)]
  assert len(deviations) == 2 and max(deviations) < 1e-5
  for failing_call in (1, calls):
    folder = tmp_path / f'broken-{failing_call}'
    with pytest.raises(errors.ServiceError, match='no answer'):
      _train(folder, failing_call)
    assert _saved(folder, 1) == expected
    assert 'saved after step 1 of 2' in capsys.readouterr().out


def test_rollouts_sampled_ahead_are_saved_and_trained_on(tmp_path, capsys):
  """Each step but the first learns from samples of the policy before."""
  changes = {'train.staleness': 1, 'train.steps': 3}
  straight, stopped = tmp_path / 'straight', tmp_path / 'stopped'
  _train(straight, **changes)
  _train(stopped, stop=AfterOneStep(stopped), **changes)
  assert 'saved after step 1 of 3' in capsys.readouterr().out
  assert _saved(stopped, 1)['host']['pending']['code']['rollouts']
  _train(stopped, **changes)
  expected = _saved(straight, 3)
  assert _saved(stopped, 3) == expected
  history = expected['host']['history']
  assert [metrics['staleness'] for metrics in history] == [0, 1, 1]
  # The policy of the first step drew its samples; later ones are an update old.
  deviations = [abs(metrics['importance'] - 1) for metrics in history]
  assert deviations[0] < min(deviations[1:])


def test_a_step_reads_reference_sampler_critic_and_replay_buffer(
  tmp_path, capsys
):
  _train(
    tmp_path,
    arg='algo=ppo',
    **{
      'train.steps': 3,
      'algorithm.kl_weight': 0.1,
      'sampling.top_p': 0.9,
      'alignment.start_step': 2,
    },
  )
  history = _history(tmp_path)
  # KL is to the initial policy, from which the policy moves away.
  assert history[0]['kl_reference'] < 1e-6
  assert min(metrics['kl_reference'] for metrics in history[1:]) > 1e-6
  # Top-p makes every token likelier than under the policy.
  assert all(metrics['importance'] < 1 for metrics in history)
  assert all('value_loss' in metrics for metrics in history)
  # The buffer has tasks after the first step, which wait for the start step.
  assert history[0]['replay_size'] > 0
  align = ['align/reward' in metrics for metrics in history]
  assert align == [False, False, True]
  # Every stage that takes long was reported.
  lines = capsys.readouterr().err
  for stage in (
    'Loading the policy',
    'Reading the problems of embedded',
    'Evaluating before training',
    'Compiling the sampler for [U, P]',
    'Compiling score for [T, R, M]',
    'Compiling train_step for [T, R, M]',
    'Evaluating after training',
  ):
    assert stage in lines
