"""Meshes, logical axis rules, and putting host arrays on devices.

Weights carry logical axis names; RULES maps them to mesh axes:
data (replicas), fsdp (weights sharded, batch too), tensor (within a layer).
"""

from collections.abc import Sequence
import math

import flax.linen as nn
import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np
import optax

from commons import errors

AXES = ('data', 'fsdp', 'tensor')
KINDS = (AxisType.Auto,) * len(AXES)

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
  """A (data, fsdp, tensor) mesh over all devices.

  Args:
    shape: as `sizes` takes it.

  Raises:
    UserError: the shape does not multiply to the number of devices.
  """
  shape = sizes(shape, jax.device_count())
  return jax.make_mesh(shape, AXES, axis_types=KINDS)


def sizes(shape: Sequence[int], devices: int) -> tuple[int, ...]:
  """Sizes of the axes of a mesh over so many devices.

  Args:
    shape: sizes of the three axes; one may be -1, meaning what is left.
    devices: how many there are.

  Raises:
    UserError: the shape does not multiply to their number.
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
    shape[shape.index(-1)] = devices // known if devices % known == 0 else 0
  if math.prod(shape) != devices:
    raise errors.UserError(
      f'mesh.shape={tuple(shape)} does not divide the {devices} devices here;'
      f' each axis must be one of {_divisors(devices)}, their product {devices}'
    )
  return tuple(shape)


def check_batch(rows: int, name: str, mesh: Mesh, microbatches: int) -> None:
  """Raises UserError unless `rows` split over microbatches and the mesh."""
  over_mesh = parts(mesh, BATCH[0])
  equal = over_mesh * microbatches
  if rows % equal == 0:
    return
  if rows % over_mesh:
    fitting = f'data x fsdp must be one of {_divisors(rows)}'
  else:
    each = _divisors(rows // over_mesh)
    fitting = f'on this mesh minibatches x microbatches must be one of {each}'
  raise errors.UserError(
    f'{name} gives {rows} rows, which do not divide into'
    f' data x fsdp x minibatches x microbatches = {mesh.shape["data"]} x'
    f' {mesh.shape["fsdp"]} x {microbatches} = {equal} equal parts; {fitting}'
  )


def check_heads(heads: int, mesh: Mesh) -> None:
  """Raises UserError unless a layer's heads split over `tensor`."""
  tensor = mesh.shape['tensor']
  if heads % tensor:
    raise errors.UserError(
      f'mesh.shape: {tensor} parts of a layer (tensor) do not divide the'
      f" model's {heads} heads; one of {_divisors(heads)}"
    )


def _divisors(number: int) -> list[int]:
  return [d for d in range(1, number + 1) if number % d == 0]


def shardings(boxed, mesh: Mesh):
  """NamedSharding tree of a tree of boxed (or plain) shapes.

  An axis whose size its mesh axes do not divide is replicated: two KV heads on
  a tensor axis of four.
  """
  layout = nn.logical_to_mesh_sharding(
    nn.get_partition_spec(boxed), mesh, list(RULES)
  )
  return jax.tree.map(_divided, layout, nn.unbox(boxed))


def _divided(sharding: NamedSharding, array):
  if isinstance(array, optax.MaskedNode):  # A leaf that has no such statistic.
    return array
  spec = [
    axes if size % parts(sharding.mesh, axes) == 0 else None
    for size, axes in zip(array.shape, sharding.spec, strict=False)
  ]
  return NamedSharding(sharding.mesh, PartitionSpec(*spec))


def parts(mesh: Mesh, axes: str | Sequence[str] | None) -> int:
  """How many parts an array's axis is split into over these mesh axes."""
  axes = (axes,) if isinstance(axes, str) else axes or ()
  return math.prod(mesh.shape[axis] for axis in axes)


def over_rows(x):
  """Asks that rows lie over data and fsdp, every other axis whole.

  Without it, XLA may lay activations out like the weights and then
  rematerialise them. Asks nothing where no mesh is set, rows do not divide, or
  a shard_map has split them already.
  """
  mesh = jax.sharding.get_abstract_mesh()
  split = set(BATCH[0]) & set(mesh.manual_axes)
  if mesh.empty or split or x.shape[0] % parts(mesh, BATCH[0]):
    return x
  return jax.lax.with_sharding_constraint(x, BATCH)


def over_vocabulary(x, axis: int):
  """Asks that the axis of tokens lie over `tensor`, every other axis whole.

  Of a table of embeddings at its use: left split over fsdp as it is stored,
  XLA gathers it at the lookup by rematerialising it. Asks nothing where no mesh
  is set or the tokens do not divide.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or x.shape[axis] % parts(mesh, 'tensor'):
    return x
  spec = [None] * x.ndim
  spec[axis] = 'tensor'
  return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))


def unsplit(x):
  """Asks that an array lie whole on every device of a part of the rows.

  Within a shard_map over rows, parts go through loops of their own, where one
  must not wait for another: XLA's permutes over `tensor` may be of all devices.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  return jax.lax.with_sharding_constraint(x, PartitionSpec())


def put(batch, mesh: Mesh, spec: PartitionSpec = BATCH):
  """Puts a tree of host arrays on the mesh, as rows or as microbatches.

  Every process has the same whole arrays, and puts its devices' parts.
  """
  place = NamedSharding(mesh, spec)
  return jax.tree.map(
    lambda a: jax.make_array_from_callback(
      a.shape, place, lambda part: np.asarray(a)[part]
    ),
    batch,
  )


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())
