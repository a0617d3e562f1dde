"""Laws of the training of the small policy."""

import json

import flax.serialization
import jax
import numpy as np
import pytest

from commons import errors
from configs import wm_abench_policy
from tests.wm_abench import synthetic
from wm_abench import train_policy
from wm_abench.policy import batches, policy, training


def _config(data='', steps=40, **train):
  config = wm_abench_policy.get_config(f'data={data},cells=V-C,steps={steps}')
  config.model = dict(
    vocab_size=64, width=16, vision_layers=1, layers=2, heads=2
  )
  config.optimizer.warmup_steps = 5
  config.train.update(rows=24, **train)
  return config


class _Interrupted(list):
  """Groups; the 40th access raises KeyboardInterrupt."""

  reads = 0

  def __getitem__(self, i):
    self.reads += 1
    if self.reads == 40:
      raise KeyboardInterrupt
    return super().__getitem__(i)


@pytest.mark.slow
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path):
  groups = synthetic.grouped(synthetic.colored(6))
  config = _config(steps=10, save_every_steps=4)
  whole = training.fit(config, groups, tmp_path / 'whole')
  kept = tmp_path / 'kept'
  with pytest.raises(KeyboardInterrupt):
    training.fit(config, _Interrupted(groups), kept)
  state = flax.serialization.msgpack_restore(kept.read_bytes())
  assert int(state['step']) in (4, 8)
  again = training.fit(config, groups, kept)
  jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)


@pytest.mark.slow
def test_it_learns_visible_colours_and_reports_its_accuracy(tmp_path, capsys):
  data = tmp_path / 'data'
  items = [*synthetic.colored(40)]
  synthetic.write_cell(data, items)
  run = tmp_path / 'run'
  train_policy.run(_config(data, steps=150), str(run))
  results = json.loads((run / 'results.json').read_text())
  score = results['models']['policy']['dimensions']['V-C']
  assert score['items'] == 8 * 4 and results['groups'] == 32
  assert score['accuracy'] > 0.6 and score['p'] < 1e-3
  assert f'{score["accuracy"]:.3f}' in capsys.readouterr().out
  # The saved policy has the accuracy that is reported.
  learned = policy.load(run / 'policy')
  held = batches.split(items, 5)[1]
  replies = train_policy.answer(learned, held, seed=0)
  right = sum(r.right for r in replies) / len(replies)
  assert right == pytest.approx(score['accuracy'])


@pytest.mark.parametrize(
  'arguments, message',
  [
    ('steps=50', 'the folder of items is missing'),
    ('data=nowhere', 'nowhere'),
    ('steps=100,data=x', 'must be more than optimizer.warmup_steps=100'),
  ],
)
def test_bad_settings_are_reported(arguments, message, tmp_path):
  config = wm_abench_policy.get_config(arguments)
  if 'steps=50' in arguments:
    config.optimizer.warmup_steps = 5
  with pytest.raises(errors.UserError, match=message):
    train_policy.run(config, str(tmp_path / 'run'))


def test_a_workdir_of_another_run_is_refused(tmp_path):
  data = tmp_path / 'data'
  synthetic.write(data, ['v_c_tabletop'], groups=6)
  train_policy.run(_config(data, steps=6), str(tmp_path / 'run'))
  with pytest.raises(errors.UserError, match='holds a policy with config='):
    train_policy.run(_config(data, steps=7), str(tmp_path / 'run'))
