"""A step whose sandbox fails is a step that was not begun."""

import jax
import orbax.checkpoint as ocp
import pytest

from coderl import train
from coderl.distributed import sharding
from coderl.sandbox import sandbox
from coderl.training import checkpoint, setup
from commons import errors
from configs import coderl_train


@pytest.fixture(autouse=True)
def quick_to_compile():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


class Failing(sandbox.Sandbox):
  """A sandbox that fails at one of the calls of the second step."""

  def __init__(self, folder, call):
    super().__init__(workers=1)
    self._metrics, self._call = folder / 'metrics.jsonl', call
    self.calls = 0

  def run(self, programs):
    if self._metrics.exists() and self._metrics.read_text().count('\n') == 1:
      self.calls += 1
      if self.calls == self._call:
        raise errors.ServiceError('no answer')
    return super().run(programs)


def _config(**changes):
  config = coderl_train.get_config()
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
  """A request to stop that comes during the first step."""

  def __init__(self, folder):
    self._metrics = folder / 'metrics.jsonl'

  def __bool__(self):
    return bool(self._metrics.read_text())


def _train(folder, call=None, stop=(), **changes):
  """Trains; returns how often the second step asked the sandbox."""
  mesh = sharding.make_mesh((1, -1, 1))
  config = _config(**changes)
  folder.mkdir(exist_ok=True)
  checkpoint.write_config(str(folder), config)
  with Failing(folder, call) as box, jax.set_mesh(mesh):
    ex = setup.make(config, mesh, box)
    train.train(ex, str(folder), stop)
  return box.calls


def _saved(folder, step):
  """A checkpoint's host side and checksums of arrays, without its times."""
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
  # The sampler has the weights that an update begins with, after each of them.
  deviations = [
    metrics['ratio_deviation']
    for metrics in _saved(straight, 2)['host']['history']
  ]
  assert len(deviations) == 2 and max(deviations) < 1e-5
  for call in (1, calls):
    folder = tmp_path / f'broken-{call}'
    with pytest.raises(errors.ServiceError, match='no answer'):
      _train(folder, call)
    assert _saved(folder, 1) == expected
    assert 'saved after step 1 of 2' in capsys.readouterr().out


def test_rollouts_sampled_ahead_are_saved_and_trained_on(tmp_path, capsys):
  """Each step but the first learns from what its predecessor's policy drew."""
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
  # What drew the first is what was trained; then it was behind by an update.
  apart = [abs(metrics['importance'] - 1) for metrics in history]
  assert apart[0] < min(apart[1:])
