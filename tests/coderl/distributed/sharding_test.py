"""Meshes and layouts; larger meshes than the devices here are abstract."""

import flax.linen as nn
import jax
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
import numpy as np
import pytest

from coderl.distributed import sharding
from coderl.models import transformer
from coderl.rl import algorithms, train_step
from commons import errors

CONFIG = transformer.ModelConfig(
  vocab_size=8,
  num_layers=2,
  d_model=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=12,
)


def specs(shape):
  mesh = AbstractMesh(shape, sharding.AXES, axis_types=(AxisType.Auto,) * 3)
  shapes = jax.eval_shape(
    lambda key: transformer.init(key, CONFIG), jax.random.key(0)
  )
  layout = sharding.shardings(shapes, mesh)
  return jax.tree.map(lambda s: s.spec, layout)


def test_layout_follows_the_rules():
  tree = specs((2, 2, 2))
  assert tree['layers']['q'] == PartitionSpec(None, 'fsdp', 'tensor', None)
  assert tree['layers']['k'] == PartitionSpec(None, 'fsdp', 'tensor', None)
  assert tree['layers']['down'] == PartitionSpec(None, 'tensor', 'fsdp')
  assert tree['embedding'] == PartitionSpec('tensor', 'fsdp')
  assert tree['final_norm']['scale'] == PartitionSpec(None)


def test_the_rules_name_exactly_the_axes_that_there_are():
  objective = train_step.Objective(
    CONFIG, algorithms.ALGORITHMS['ppo'], trajectory_weight=1.0
  )
  shapes = jax.eval_shape(
    lambda key: train_step.init_params(key, objective), jax.random.key(0)
  )
  specs = jax.tree.leaves(
    nn.get_partition_spec(shapes),
    is_leaf=lambda x: isinstance(x, PartitionSpec),
  )
  names = {name for spec in specs for name in spec if name is not None}
  assert names == {name for name, _ in sharding.RULES}


def test_an_axis_that_does_not_divide_is_replicated():
  tree = specs((1, 1, 4))
  assert tree['layers']['q'] == PartitionSpec(None, 'fsdp', 'tensor', None)
  assert tree['layers']['k'] == PartitionSpec(None, 'fsdp', None, None)
  assert tree['layers']['k_bias'] == PartitionSpec(None, None, None)
  assert specs((1, 3, 1))['layers']['q'][1] is None


@pytest.mark.parametrize(
  'shape', [(1, 1), (-1, -1, 1), (0, 1, 1), (1, 1, -2), (1, 1, 1, 1)]
)
def test_a_mesh_needs_three_sizes(shape):
  with pytest.raises(errors.UserError, match=r'mesh.shape=.*three sizes'):
    sharding.make_mesh(shape)


def test_a_mesh_takes_all_devices():
  devices = jax.device_count()
  mesh = sharding.make_mesh((-1, 1, 1))
  assert dict(mesh.shape) == {'data': devices, 'fsdp': 1, 'tensor': 1}
  for shape in ((devices + 1, 1, 1), (-1, devices + 1, 1)):
    with pytest.raises(errors.UserError, match=f'{devices} devices'):
      sharding.make_mesh(shape)


def test_a_batch_must_divide_over_mesh_and_microbatches():
  """The error names the sizes that would divide."""
  mesh = AbstractMesh((2, 2, 2), sharding.AXES)
  sharding.check_batch(24, 'batch', mesh, 3)
  with pytest.raises(errors.UserError, match=r'20 sequences.* 12 .*\[1, 5\]'):
    sharding.check_batch(20, 'train.batch', mesh, 3)
  with pytest.raises(errors.UserError, match=r'data x fsdp .*\[1, 2, 3, 6\]'):
    sharding.check_batch(6, 'train.batch', mesh, 3)


def test_heads_must_divide_over_the_mesh():
  mesh = AbstractMesh((2, 2, 2), sharding.AXES)
  sharding.check_heads(6, mesh)
  with pytest.raises(errors.UserError, match=r'9 heads; one of \[1, 3, 9\]'):
    sharding.check_heads(9, mesh)


def test_a_batch_keeps_its_values():
  mesh = sharding.make_mesh((-1, 1, 1))
  batch = {'a': np.arange(8 * jax.device_count())}
  put = sharding.put(batch, mesh)
  assert put['a'].sharding.spec == sharding.BATCH
  np.testing.assert_array_equal(put['a'], batch['a'])
