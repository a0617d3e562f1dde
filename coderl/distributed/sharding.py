"""Meshes, logical axis rules, and arrays between the host and the devices.

Weights carry logical axis names. RULES maps them to the mesh axes: data
(replicas of the weights), fsdp (shards of the weights) and tensor (shards
within a layer). The batch is sharded over data and fsdp.
"""

from collections.abc import Sequence
import math

import flax.linen as nn
import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np
import optax

from commons import errors

AXES = ('data', 'fsdp', 'tensor')
AXIS_TYPES = (AxisType.Auto,) * len(AXES)

RULES = (
  ('layers', None),
  ('vocab', 'tensor'),
  ('embed', 'fsdp'),
  ('heads', 'tensor'),
  ('kv', 'tensor'),
  ('head_dim', None),
  ('mlp', 'tensor'),
  ('norm', None),
  ('value', None),
)

BATCH = PartitionSpec(('data', 'fsdp'))
MICROBATCHES = PartitionSpec(None, *BATCH)


def make_mesh(shape: Sequence[int]) -> Mesh:
  """Returns a (data, fsdp, tensor) mesh over all devices; see `mesh_shape`."""
  shape = mesh_shape(shape, jax.device_count())
  return jax.make_mesh(shape, AXES, axis_types=AXIS_TYPES)


def mesh_shape(shape: Sequence[int], num_devices: int) -> tuple[int, ...]:
  """Returns the sizes of the mesh axes over a number of devices.

  Args:
    shape: the three sizes. One may be -1 and gets the remaining devices.
    num_devices: the number of devices.

  Raises:
    UserError: the product of the sizes is not the number of devices.
  """
  shape = list(shape)
  if (
    len(shape) != 3
    or shape.count(-1) > 1
    or any(s < 1 and s != -1 for s in shape)
  ):
    raise errors.UserError(f'mesh.shape={shape}: want three sizes, {AXES}')
  if -1 in shape:
    known = math.prod(s for s in shape if s != -1)
    rest = num_devices // known if num_devices % known == 0 else 0
    shape[shape.index(-1)] = rest
  if math.prod(shape) != num_devices:
    raise errors.UserError(
      f'mesh.shape={tuple(shape)} does not divide the {num_devices} devices'
      f' here; each axis must be one of {_divisors(num_devices)}, their product'
      f' {num_devices}'
    )
  return tuple(shape)


def check_batch(
  num_sequences: int, name: str, mesh: Mesh, microbatches: int
) -> None:
  """Raises UserError unless a batch divides over microbatches and the mesh.

  Args:
    num_sequences: the size of the batch.
    name: the config field that sets it, for the error message.
    mesh: the mesh.
    microbatches: the number of microbatches.
  """
  batch_shards = num_shards(mesh, BATCH[0])
  divisor = batch_shards * microbatches
  if num_sequences % divisor == 0:
    return
  if num_sequences % batch_shards:
    choices = f'data x fsdp must be one of {_divisors(num_sequences)}'
  else:
    factors = _divisors(num_sequences // batch_shards)
    choices = (
      f'on this mesh minibatches x microbatches must be one of {factors}'
    )
  raise errors.UserError(
    f'{name} gives {num_sequences} sequences, which do not divide into'
    f' data x fsdp x minibatches x microbatches = {mesh.shape["data"]} x'
    f' {mesh.shape["fsdp"]} x {microbatches} = {divisor} equal shards;'
    f' {choices}'
  )


def check_heads(heads: int, mesh: Mesh) -> None:
  """Raises UserError unless a layer's heads divide over `tensor`."""
  tensor = mesh.shape['tensor']
  if heads % tensor:
    raise errors.UserError(
      f'mesh.shape: tensor={tensor} does not divide the'
      f" model's {heads} heads; one of {_divisors(heads)}"
    )


def _divisors(number: int) -> list[int]:
  return [d for d in range(1, number + 1) if number % d == 0]


def shardings(boxed, mesh: Mesh):
  """Returns the NamedShardings of a tree of boxed (or plain) shapes.

  An axis whose size its mesh axes do not divide is replicated: two KV heads on
  a tensor axis of four.
  """
  layout = nn.logical_to_mesh_sharding(
    nn.get_partition_spec(boxed), mesh, list(RULES)
  )
  return jax.tree.map(_divided, layout, nn.unbox(boxed))


def _divided(sharding: NamedSharding, array):
  """Returns the sharding without the axes that do not divide."""
  if isinstance(array, optax.MaskedNode):  # This leaf has no such statistic.
    return array
  spec = [
    axes if size % num_shards(sharding.mesh, axes) == 0 else None
    for size, axes in zip(array.shape, sharding.spec, strict=False)
  ]
  return NamedSharding(sharding.mesh, PartitionSpec(*spec))


def num_shards(mesh: Mesh, axes: str | Sequence[str] | None) -> int:
  """Returns the number of shards of an array axis over these mesh axes."""
  axes = (axes,) if isinstance(axes, str) else axes or ()
  return math.prod(mesh.shape[axis] for axis in axes)


def shard_batch(x):
  """Constrains the first axis to data and fsdp and replicates the others.

  Without the constraint XLA may lay activations out like the weights and then
  rematerialise them. It is skipped if no mesh is set, if the axis does not
  divide, or inside a shard_map over the batch.
  """
  mesh = jax.sharding.get_abstract_mesh()
  is_sharded = set(BATCH[0]) & set(mesh.manual_axes)
  if mesh.empty or is_sharded or x.shape[0] % num_shards(mesh, BATCH[0]):
    return x
  return jax.lax.with_sharding_constraint(x, BATCH)


def shard_vocabulary(x, axis: int):
  """Constrains the vocabulary axis to `tensor` and replicates the others.

  An embedding table needs it where it is used: if the table stays sharded over
  fsdp as it is stored, XLA gathers it by rematerialisation at the lookup. The
  constraint is skipped if no mesh is set or the axis does not divide.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or x.shape[axis] % num_shards(mesh, 'tensor'):
    return x
  spec = [None] * x.ndim
  spec[axis] = 'tensor'
  return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))


def replicate(x):
  """Constrains an array to be replicated, if a mesh is set.

  Inside a shard_map over the batch each shard runs its own loop, so a
  collective over several shards would deadlock. A replicated array keeps XLA
  from inserting one: its permutes over `tensor` may span all devices.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  return jax.lax.with_sharding_constraint(x, PartitionSpec())


def put(batch, mesh: Mesh, spec: PartitionSpec = BATCH):
  """Puts a tree of host arrays on the mesh.

  Args:
    batch: arrays; every process passes the same ones and puts the shards of its
      own devices.
    mesh: the mesh.
    spec: BATCH or MICROBATCHES.
  """
  sharding = NamedSharding(mesh, spec)
  return jax.tree.map(
    lambda a: jax.make_array_from_callback(
      a.shape, sharding, lambda index: np.asarray(a)[index]
    ),
    batch,
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of an array that every device holds."""
  return NamedSharding(mesh, PartitionSpec())


def fetch(array: jax.Array) -> np.ndarray:
  """Returns all of an array; all processes must call it."""
  if array.is_fully_addressable or array.is_fully_replicated:
    return np.asarray(array)
  return multihost_utils.process_allgather(array, tiled=True)


def local_shards(array: jax.Array) -> list[np.ndarray]:
  """Returns the shards [n, ...] that this process answers for, in order.

  The first axis of the array is the sharded one. Of replicas the first counts,
  so that every shard belongs to exactly one process.
  """
  return [np.asarray(shard.data) for _, shard in _sorted_shards(array)]


def local_values(array: jax.Array) -> np.ndarray:
  """Returns `local_shards` concatenated along the first axis."""
  none = np.zeros((0, *array.shape[1:]), array.dtype)
  return np.concatenate([*local_shards(array), none])


def local_indices(array: jax.Array) -> np.ndarray:
  """Returns the indices of `local_values` along the array's first axis."""
  indices = np.arange(array.shape[0])
  shards = [indices[shard.index[0]] for _, shard in _sorted_shards(array)]
  return np.concatenate([*shards, indices[:0]])


def _sorted_shards(array: jax.Array):
  shards = [s for s in array.addressable_shards if s.replica_id == 0]
  starts = [s.index[0].start or 0 for s in shards]
  return sorted(zip(starts, shards, strict=True), key=lambda pair: pair[0])
