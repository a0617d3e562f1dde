"""A training run that is planned, and what its programs take on a device."""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from coderl import types
from coderl.models import transformer
from coderl.planning import hardware
from coderl.rl import train_step

MATMUL_SHARE = 0.6  # Share of the peak that large matrix products reach.


@dataclasses.dataclass(frozen=True)
class Workload:
  """A training run on a pod.

  Attributes:
    config: the config of coderl_plan.
    objective: the loss, with chunks as long as on accelerators.
    optimizer: the optimizer.
    mesh: a mesh over the pod's devices; an abstract mesh of the same size where
      nothing is compiled.
    pod: the chips.
  """

  config: ml_collections.ConfigDict
  objective: train_step.Objective
  optimizer: optax.GradientTransformation
  mesh: Any
  pod: hardware.Pod

  @property
  def model(self) -> transformer.ModelConfig:
    return self.objective.model

  @property
  def data_shards(self) -> int:
    """Number of shards into which the sequences of a batch are split."""
    return self.mesh.shape['data'] * self.mesh.shape['fsdp']

  @property
  def sequences_per_update(self) -> int:
    """Number of sequences in one minibatch, on all devices together."""
    c = self.config
    sequences = c.train.prompts_per_step * c.sampling.group_size
    return sequences // c.train.minibatches

  @property
  def lengths(self) -> tuple[int, int]:
    """The longest prompt and the longest response, in tokens."""
    c = self.config
    return c.data.max_prompt_len_tokens, c.sampling.max_len_tokens


@dataclasses.dataclass(frozen=True)
class Phase:
  """What one run of a program takes on each device.

  Attributes:
    temporaries: bytes of memory beside the program's arguments.
    flops: floating point operations.
    sent: bytes sent, by kind of collective.
    memory: bytes read and written, where memory bandwidth limits the speed.
    compile_s: seconds of compilation; None where nothing was compiled.
  """

  temporaries: float
  flops: float
  sent: Mapping[str, float]
  memory: float = 0.0
  compile_s: float | None = None

  def seconds(self, pod: hardware.Pod) -> tuple[float, float]:
    """Returns the seconds of one run by the roofline model: (low, high).

    The low value assumes that computation, memory access and communication
    overlap fully, the high value that they do not overlap.
    """
    parts = (
      self.flops / (MATMUL_SHARE * pod.chip.flops),
      self.memory / pod.chip.memory_rate,
      sum(self.sent.values()) / pod.link_rate,
    )
    return max(parts), sum(parts)


def batch_shapes(workload: Workload) -> types.PackedBatch:
  """Returns the shapes of one minibatch, all sequences at full length."""
  p, r = workload.lengths
  n = workload.config.train.microbatches
  b = workload.sequences_per_update // n
  m = workload.config.alignment.bounds.max_variables
  c = workload.config.trajectory.max_value_tokens
  ints = lambda *shape: jax.ShapeDtypeStruct((n, b, *shape), jnp.int32)
  floats = lambda *shape: jax.ShapeDtypeStruct((n, b, *shape), jnp.float32)
  return types.PackedBatch(
    tokens_BT=ints(p + r),
    segments_BT=ints(p + r),
    before_BR=ints(r),
    targets_BR=ints(r),
    logprobs_BR=floats(r),
    advantages_BR=floats(r),
    returns_BR=floats(r),
    values_BR=floats(r),
    ref_logprobs_BR=floats(r),
    policy_weights_BR=floats(r),
    token_weights_BR=floats(r),
    queries_BM=ints(m),
    values_BMC=ints(m, c),
    value_weights_BMC=floats(m, c),
  )


def bytes_per_device(shapes: Any, layout: Any) -> int:
  """Returns the bytes of a tree of arrays on one device.

  Args:
    shapes: tree of shapes and dtypes.
    layout: tree of the same structure with the sharding of each array.
  """
  leaves = jax.tree.leaves(shapes)
  shardings = jax.tree.leaves(
    layout, is_leaf=lambda x: isinstance(x, jax.sharding.Sharding)
  )
  return sum(
    math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize
    for x, s in zip(leaves, shardings, strict=True)
  )
