"""What a step needs, by arithmetic: bytes, operations, what devices send.

Of each device. A Work says what is planned; a Phase is one of its programs.
"""

from collections.abc import Mapping
import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from coderl import types
from coderl.distributed import sharding
from coderl.models import attention, transformer
from coderl.planning import hardware, matmul_flops
from coderl.rl import train_step

MATMUL_SHARE = 0.6  # Of the peak, that large matrix products reach.
_MARGIN = 0.9  # Of the memory, that arithmetic may fill.
_SLOTS = (64, 32, 16, 8, 4, 2, 1)  # Rows decoded at once on a device.


@dataclasses.dataclass(frozen=True)
class Work:
  """What is planned.

  Attributes:
    config: of coderl_plan.
    objective: its loss, chunks as on accelerators.
    optimizer: its optimizer.
    mesh: over the pod's devices, or over as many that nothing is compiled for.
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
  def parts(self) -> int:
    """Of the rows."""
    return self.mesh.shape['data'] * self.mesh.shape['fsdp']

  @property
  def rows(self) -> int:
    """Of an update."""
    c = self.config
    rows = c.train.prompts_per_step * c.sampling.group_size
    return rows // c.train.minibatches

  @property
  def lengths(self) -> tuple[int, int]:
    """Tokens of a prompt and of a response, at most."""
    c = self.config
    return c.data.max_prompt_len_tokens, c.sampling.max_len_tokens


@dataclasses.dataclass(frozen=True)
class Phase:
  """One program, by device.

  Attributes:
    temporaries: bytes, beside its arguments.
    flops: of one run.
    sent: bytes by kind of collective, of one run.
    memory: bytes read and written in one run, where that is what limits it.
    compile_s: how long the compilation took; None where none was.
  """

  temporaries: float
  flops: float
  sent: Mapping[str, float]
  memory: float = 0.0
  compile_s: float | None = None

  def seconds(self, pod: hardware.Pod) -> tuple[float, float]:
    """Of one run: all overlapped, and nothing."""
    each = (
      self.flops / (MATMUL_SHARE * pod.chip.flops),
      self.memory / pod.chip.memory_rate,
      sum(self.sent.values()) / pod.link_rate,
    )
    return max(each), sum(each)


def batch_shapes(work: Work) -> types.PackedBatch:
  """Of one update, every row as long as may be."""
  p, r = work.lengths
  n = work.config.train.microbatches
  b, m = work.rows // n, work.config.alignment.bounds.max_variables
  c = work.config.trajectory.max_value_tokens
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


def bytes_of(shapes: Any, layout: Any) -> int:
  """Of a tree of arrays, on each device."""
  leaves = jax.tree.leaves(shapes)
  places = jax.tree.leaves(
    layout, is_leaf=lambda x: isinstance(x, jax.sharding.Sharding)
  )
  return sum(
    math.prod(place.shard_shape(x.shape)) * x.dtype.itemsize
    for x, place in zip(leaves, places, strict=True)
  )


def step_flops(work: Work, objective: train_step.Objective) -> int:
  """Of one update on all devices; attention counts every pair of tokens."""
  model = dataclasses.replace(objective.model, attention=attention.PLAIN)
  objective = dataclasses.replace(objective, model=model)
  state, _ = train_step.state_shapes(objective, work.optimizer, work.mesh)
  return matmul_flops.of(
    lambda state, batch: train_step.train_step(
      state,
      batch,
      objective=objective,
      optimizer=work.optimizer,
    ),
    state,
    batch_shapes(work),
  )


def resident(work: Work) -> dict[str, int]:
  """Bytes on a device that stay: parameters, optimizer, reference."""
  state, layout = _state(work)
  policy = bytes_of(state.params['policy'], layout.params['policy'])
  return {
    'parameters': bytes_of(state.params, layout.params),
    'optimizer': bytes_of(state.opt_state, layout.opt_state),
    'reference': policy if work.objective.algorithm.kl_weight else 0,
  }


def _state(work: Work) -> tuple[types.TrainState, types.TrainState]:
  """Shapes and layout."""
  return train_step.state_shapes(work.objective, work.optimizer, work.mesh)


def _width(work: Work) -> int:
  """Bytes of an activation."""
  return jnp.dtype(work.model.dtype).itemsize


def train_temporaries(work: Work) -> float:
  """Bytes on a device beside the state, by arithmetic.

  Activations, the weights of a layer, both tables of the vocabulary and their
  gradients gathered, logits of a chunk and their gradient, and gradients three
  times: summed, of a microbatch and as the optimizer changes them.
  """
  m, tensor = work.model, work.mesh.shape['tensor']
  vocab = m.vocab_size / tensor
  gathered = 2 * _layer_size(m) / tensor + 4 * vocab * m.d_model
  logits = train_step.CHUNK_TOKENS * vocab * (4 + 4)
  gradients = 3 * bytes_of(
    *(train_step.trained(x.params) for x in _state(work))
  )
  return activations(work) + gathered * _width(work) + logits + gradients


def activations(work: Work) -> float:
  """Bytes on a device: what is stored of every layer, and one in the making."""
  m, wide = work.model, _width(work)
  tensor = work.mesh.shape['tensor']
  rows = max(1, work.rows // work.config.train.microbatches // work.parts)
  tokens = rows * sum(work.lengths)
  heads = m.num_heads * m.head_dim / tensor
  projected = heads + 2 * m.num_kv_heads * m.head_dim / tensor
  mlp = m.mlp_dim / tensor
  # Of a token, in elements: before and after rotation; gate, its activation's
  # two factors, up and their product; two norms.
  inside = 2 * (projected + heads) + 5 * mlp + 6 * m.d_model
  inside = tokens * inside * wide + _pairs(work, rows)
  stored = {
    'off': inside,
    'full': 0,
    'dots': tokens * (projected + 2 * mlp + 2 * m.d_model) * wide,
    'attention': tokens * heads * wide,
  }[m.remat]
  return m.num_layers * (tokens * m.d_model * wide + stored) + inside


def _pairs(work: Work, rows: int) -> float:
  """Bytes of what a layer's attention holds for each pair of tokens."""
  wide, pairs = _width(work), rows * sum(work.lengths) ** 2
  each = {
    # Scores and their gradient in float32, probabilities as activations are.
    attention.PLAIN: work.model.num_heads
    / work.mesh.shape['tensor']
    * (4 + 4 + wide),
    attention.CUDNN: 1 + wide,  # Its mask, and that as what is added.
    attention.SPLASH: 0,
  }[work.model.attention]
  return pairs * each


def _layer_size(m: transformer.ModelConfig) -> int:
  """Weights of one layer."""
  heads = m.num_heads + m.num_kv_heads
  return m.d_model * (2 * heads * m.head_dim + 3 * m.mlp_dim)


def train_sent(work: Work) -> dict[str, float]:
  """Bytes that a device sends in one update, by arithmetic.

  Weights are gathered for each microbatch forward and again backward, and
  gradients are scattered, in the activations' type; over `tensor`, activations
  are summed twice a layer either way.
  """
  m, mesh = work.model, work.mesh
  others = lambda axis: (mesh.shape[axis] - 1) / mesh.shape[axis]
  turns = work.config.train.microbatches
  size = (m.num_layers * _layer_size(m) + 2 * m.vocab_size * m.d_model) / (
    mesh.shape['tensor']
  )
  whole = size * _width(work)
  tokens = work.rows // turns // work.parts * sum(work.lengths)
  summed = 2 * others('tensor') * tokens * m.d_model * _width(work)
  return {
    'all-gather': 2 * turns * others('fsdp') * whole,
    'reduce-scatter': turns * others('fsdp') * whole,
    'all-reduce': turns * 6 * m.num_layers * summed
    + 2 * others('data') * size / mesh.shape['fsdp'] * 4,
  }


def decode(work: Work) -> Phase:
  """Sampling a step's responses, every one as long as may be.

  The weights are held twice, stacked and layer by layer. A step reads them all
  and, on average, what half of each response fills of the cache.
  """
  m = work.model
  p, r = work.lengths
  slots, tensor = slots_of(work), work.mesh.shape['tensor']
  steps = -(-_rows_to_decode(work) // slots) * r
  weights = m.num_layers * _layer_size(m) + m.vocab_size * m.d_model
  weights, held = weights / tensor, cache(work)
  filled = (p + r / 2) / (p + r)
  context = 4 * m.num_layers * m.num_heads * m.head_dim * (p + r / 2) / tensor
  summed = 2 * (tensor - 1) / tensor * slots * m.d_model * _width(work)
  return Phase(
    temporaries=2 * weights * _width(work) + held,
    flops=steps * slots * (2 * weights + context),
    sent={'all-reduce': steps * 2 * m.num_layers * summed},
    memory=steps * (weights * _width(work) + held * filled),
  )


def slots_of(work: Work) -> int:
  """Rows that a device's part decodes at once."""
  slots = -(-work.config.sampling.slots // work.parts)
  return min(_rows_to_decode(work), slots or _rows_to_decode(work))


def _rows_to_decode(work: Work) -> int:
  """Of a device's part, in a step."""
  c = work.config
  return -(-c.train.prompts_per_step // work.parts) * c.sampling.group_size


def cache(work: Work) -> float:
  """Bytes on a device of keys and values of the rows that are decoded."""
  m = work.model
  kind = work.config.sampling.cache_dtype or m.dtype
  tensor = work.mesh.shape['tensor']
  heads = m.num_kv_heads / (tensor if m.num_kv_heads % tensor == 0 else 1)
  token = 2 * m.num_layers * heads * m.head_dim * jnp.dtype(kind).itemsize
  return slots_of(work) * sum(work.lengths) * token


def fitting(work: Work) -> dict[str, Any]:
  """Fields of the config with which it fits, by arithmetic; {} where none do.

  The first of: one row at a time, fewer slots, a smaller cache, and only then
  layers split over more devices.
  """
  c, count = work.config, work.pod.count
  given = {
    'mesh.shape': tuple(work.mesh.shape.values()),
    'train.microbatches': c.train.microbatches,
    'sampling.slots': c.sampling.slots,
    'sampling.cache_dtype': c.sampling.cache_dtype,
  }

  def tried(**fields):
    config = c.copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    shape = fields['mesh.shape']
    mesh = jax.sharding.AbstractMesh(
      shape, sharding.AXES, axis_types=sharding.KINDS
    )
    return dataclasses.replace(work, config=config, mesh=mesh)

  together = math.gcd(work.model.num_heads, count)
  for tensor in range(work.mesh.shape['tensor'], together + 1):
    parts = count // tensor
    if together % tensor or work.rows % parts:
      continue
    fields = given | {
      'mesh.shape': (1, parts, tensor),
      'train.microbatches': work.rows // parts,
    }
    one = tried(**fields)
    room = _MARGIN * work.pod.chip.memory_bytes - sum(resident(one).values())
    if train_temporaries(one) > room:
      continue
    fewer = [n * parts for n in _SLOTS if n < slots_of(one)]
    for slots, kind in itertools.product(
      (given['sampling.slots'], *fewer), (given['sampling.cache_dtype'], 'int8')
    ):
      fields |= {'sampling.slots': slots, 'sampling.cache_dtype': kind}
      if decode(tried(**fields)).temporaries <= room:
        return {n: v for n, v in fields.items() if v != given[n]}
  return {}
