"""Laws of checkpoints: bit-identical, on any mesh, despite damage and kills."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from coderl import types
from coderl.training import checkpoint
from commons import errors

_HOST = {
  'position': 7,
  'rng': np.random.default_rng(3).bit_generator.state,
  'replay': [{'text': 'naïve\n', 'targets': [['x', '1']]}],
  'history': [0.1, 1e-300, None],
}


def _state(step=0):
  params = {
    'policy': {
      'w': jnp.arange(12.0).reshape(3, 4) / 7 + step,
      'half': jnp.linspace(-1, 1, 5).astype(jnp.bfloat16) * (step + 1),
      'deep': {'flag': jnp.array([True, False]), 'n': jnp.int32(step)},
    }
  }
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
  return types.TrainState(
    step=jnp.int32(step), params=params, opt_state=optimizer.init(params)
  )


def _assert_identical(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype
    assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def _save(workdir, steps, max_to_keep=3):
  with checkpoint.manager(str(workdir), max_to_keep) as manager:
    for step in steps:
      checkpoint.save(manager, step, _state(step), _HOST | {'position': step})


def _restore(workdir, target=None):
  with checkpoint.manager(str(workdir), 3) as manager:
    return checkpoint.restore(manager, target or _state())


def test_restored_is_bit_identical(tmp_path):
  _save(tmp_path, [5])
  restored = _restore(tmp_path)
  _assert_identical(restored.state, _state(5))
  assert restored.host == _HOST | {'position': 5}


def test_target_may_be_abstract(tmp_path):
  _save(tmp_path, [5])
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
    _state(),
  )
  _assert_identical(_restore(tmp_path, abstract).state, _state(5))


def test_without_a_checkpoint_there_is_nothing_to_restore(tmp_path):
  assert _restore(tmp_path) is None


def test_save_is_a_snapshot(tmp_path):
  """The state may be donated and the host's lists change after save."""
  update = jax.jit(
    lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0
  )
  state, host = {'w': jnp.zeros(1_000_000)}, {'history': [0] * 300_000}
  with checkpoint.manager(str(tmp_path), 3) as manager:
    checkpoint.save(manager, 1, state, host)
    host['history'].clear()
    for _ in range(3):
      state = update(state)
    manager.wait_until_finished()
    restored = checkpoint.restore(manager, state)
  assert len(restored.host['history']) == 300_000
  assert not np.any(restored.state['w'])


def test_keeps_the_latest_and_writes_no_step_twice(tmp_path):
  _save(tmp_path, [1, 2, 3], max_to_keep=2)
  _save(tmp_path, [3], max_to_keep=2)
  steps = {p.name for p in (tmp_path / 'checkpoints').iterdir()}
  assert steps == {'2', '3'}
  with pytest.raises(errors.UserError, match=r'checkpoint\.keep=1: must be 2'):
    checkpoint.manager(str(tmp_path), 1)


def _largest(directory):
  files = (p for p in directory.rglob('*') if p.is_file())
  return max(files, key=lambda p: p.stat().st_size)


def _truncate(directory):
  largest = _largest(directory / 'state')
  largest.write_bytes(largest.read_bytes()[:10])


def _delete(directory):
  _largest(directory / 'state').unlink()


def _flip_a_bit(directory):
  data = bytearray(_largest(directory / 'state').read_bytes())
  data[len(data) // 2] ^= 0x10
  _largest(directory / 'state').write_bytes(data)


def _lose_host(directory):
  (directory / 'host' / 'metadata').unlink()


def _half_host(directory):
  (directory / 'host' / 'metadata').write_text('{"host": ')


@pytest.mark.parametrize(
  'damage', [_truncate, _delete, _flip_a_bit, _lose_host, _half_host]
)
def test_damaged_step_falls_back_with_a_warning(tmp_path, caplog, damage):
  values = np.random.default_rng(0).normal(size=4096)
  with checkpoint.manager(str(tmp_path), 3) as manager:
    for step in (1, 2):
      state = {'w': jnp.asarray(values * step, jnp.float32)}
      checkpoint.save(manager, step, state, {'position': step})
  damage(tmp_path / 'checkpoints' / '2')
  with checkpoint.manager(str(tmp_path), 3) as manager:
    restored = checkpoint.restore(manager, state)
    assert restored.host == {'position': 1}
    np.testing.assert_array_equal(
      restored.state['w'], values.astype(np.float32)
    )
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 1
    assert f'{tmp_path}/checkpoints/2 is damaged' in warnings[0]
    checkpoint.save(
      manager, 2, state, {'position': 2}
    )  # The run reaches it again.
  assert (tmp_path / 'checkpoints' / 'damaged-2').is_dir()
  with checkpoint.manager(str(tmp_path), 3) as manager:
    assert checkpoint.restore(manager, state).host == {'position': 2}


def test_a_step_may_be_damaged_twice(tmp_path):
  _save(tmp_path, [1, 2])
  for _ in range(2):
    _lose_host(tmp_path / 'checkpoints' / '2')
    assert _restore(tmp_path).host['position'] == 1
    _save(tmp_path, [2])
  assert _restore(tmp_path).host['position'] == 2


def test_half_written_directories_are_skipped(tmp_path):
  _save(tmp_path, [1])
  (tmp_path / 'checkpoints' / '2').mkdir()
  (tmp_path / 'checkpoints' / '3.orbax-checkpoint-tmp-0').mkdir()
  assert _restore(tmp_path).host['position'] == 1
  _save(tmp_path, [2, 3])
  assert _restore(tmp_path).host['position'] == 3


def test_every_step_damaged_is_an_error(tmp_path):
  _save(tmp_path, [1])
  _lose_host(tmp_path / 'checkpoints' / '1')
  with pytest.raises(errors.UserError, match=r'damaged: steps \[1\]'):
    _restore(tmp_path)
  assert (tmp_path / 'checkpoints' / '1').is_dir()


def test_another_structure_is_an_error_not_damage(tmp_path):
  _save(tmp_path, [1])
  other = _state()
  other.params['policy']['w'] = jnp.zeros((3, 5))
  with pytest.raises(
    errors.UserError,
    match=r'params\.policy\.w: float32\[3, 4\] -> float32\[3, 5\]',
  ):
    _restore(tmp_path, other)


def test_a_killed_run_keeps_the_last_complete_step(tmp_path):
  program = textwrap.dedent("""
    import sys
    import jax.numpy as jnp
    from coderl.training import checkpoint
    with checkpoint.manager(sys.argv[1], 3) as manager:
      for step in range(1, 10_000):
        checkpoint.save(
          manager, step, {'w': jnp.full(2_000_000, float(step))}, {'at': step}
        )
        if step > 1:
          print(step - 1, flush=True)  # This save waited for that step.
  """)
  child = subprocess.Popen(
    [sys.executable, '-c', program, str(tmp_path)],
    stdout=subprocess.PIPE,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
  )
  done = [int(child.stdout.readline()) for _ in range(4)][-1]
  child.send_signal(signal.SIGKILL)
  child.wait()
  restored = _restore(tmp_path, {'w': jnp.zeros(2_000_000)})
  assert restored.host['at'] >= done
  np.testing.assert_array_equal(restored.state['w'], restored.host['at'])
  assert not list((tmp_path / 'checkpoints').glob('damaged-*'))


def test_restores_onto_another_mesh():
  program = textwrap.dedent("""
    import tempfile
    import jax
    jax.config.update('jax_num_cpu_devices', 8)
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec as P
    import numpy as np
    from coderl.training import checkpoint

    def put(tree, shape, specs):
      mesh = jax.make_mesh(shape, ('data', 'fsdp', 'tensor'))
      return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)),
        tree, specs)

    tree = {
      'w': jnp.arange(64.0).reshape(8, 8).astype(jnp.bfloat16) / 3,
      'step': jnp.int32(4),
    }
    one = {'w': P('fsdp', 'tensor'), 'step': P()}
    two = {'w': P('tensor', 'data'), 'step': P()}
    saved = put(tree, (2, 2, 2), one)
    target = put(jax.tree.map(jnp.zeros_like, tree), (4, 1, 2), two)
    with tempfile.TemporaryDirectory() as workdir:
      with checkpoint.manager(workdir, 2) as manager:
        checkpoint.save(manager, 4, saved, {})
        manager.wait_until_finished()
        state = checkpoint.restore(manager, target).state
    for name in tree:
      assert state[name].sharding == target[name].sharding, name
      assert np.asarray(state[name]).tobytes() == (
        np.asarray(tree[name]).tobytes()), name
  """)
  subprocess.run(
    [sys.executable, '-c', program],
    check=True,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
  )


def _config(learning_rate=1e-3, steps=10, **extra):
  return ml_collections.ConfigDict(
    {'optimizer': {'learning_rate': learning_rate}, 'steps': steps} | extra
  )


def test_config_mismatch_lists_the_fields(tmp_path):
  checkpoint.write_config(str(tmp_path), _config(shape=(1, 2)))
  checkpoint.check_config(str(tmp_path), _config(shape=(1, 2)))
  with pytest.raises(errors.UserError) as e:
    checkpoint.check_config(str(tmp_path), _config(3e-3, seed=None))
  assert str(tmp_path) in str(e.value)
  assert 'optimizer.learning_rate: 0.001 -> 0.003' in str(e.value)
  assert 'seed: absent -> None' in str(e.value)
  assert 'shape: [1, 2] -> absent' in str(e.value)
  assert 'steps' not in str(e.value)


def test_config_fields_that_may_differ(tmp_path):
  path = str(tmp_path)
  checkpoint.write_config(path, _config())
  checkpoint.check_config(path, _config(steps=20), may_differ=['steps'])
  checkpoint.check_config(path, _config(1), may_differ=['optimizer'])
  with pytest.raises(errors.UserError, match='steps: 10 -> 30'):
    checkpoint.check_config(path, _config(1, 30), may_differ=['step', 'st'])


def test_checking_a_config_writes_nothing(tmp_path):
  path = str(tmp_path)
  checkpoint.check_config(path, _config())
  assert not list(tmp_path.iterdir())
  checkpoint.write_config(path, _config())
  checkpoint.check_config(path, _config(steps=20), may_differ=['steps'])
  assert json.loads((tmp_path / 'config.json').read_text())['steps'] == 10
  checkpoint.write_config(path, _config(steps=20))
  assert json.loads((tmp_path / 'config.json').read_text())['steps'] == 20


def test_unreadable_config_is_a_user_error(tmp_path):
  pathlib.Path(tmp_path, 'config.json').write_text('{')
  with pytest.raises(errors.UserError, match='cannot be read'):
    checkpoint.check_config(str(tmp_path), _config())
