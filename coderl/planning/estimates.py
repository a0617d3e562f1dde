"""Memory, operations and communication of a training step, by arithmetic.

All sizes are in bytes and for one device, unless stated otherwise.
"""

from collections.abc import Mapping
import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from coderl import types
from coderl.distributed import sharding
from coderl.models import attention, transformer
from coderl.planning import matmul_flops
from coderl.planning import workload as workload_lib
from coderl.rl import train_step

_MEMORY_SHARE = 0.9  # Share of the memory that an estimate may fill.
_SLOTS = (64, 32, 16, 8, 4, 2, 1)  # Sequences decoded at once on a device.


def step_flops(
  workload: workload_lib.Workload, objective: train_step.Objective
) -> int:
  """Returns the operations of one update on all devices together.

  Attention counts every pair of tokens, as the plain implementation does.
  """
  model = dataclasses.replace(objective.model, attention=attention.PLAIN)
  objective = dataclasses.replace(objective, model=model)
  state, _ = train_step.state_shapes(
    objective, workload.optimizer, workload.mesh
  )
  return matmul_flops.count(
    lambda state, batch: train_step.train_step(
      state,
      batch,
      objective=objective,
      optimizer=workload.optimizer,
    ),
    state,
    workload_lib.batch_shapes(workload),
  )


def resident_bytes(workload: workload_lib.Workload) -> dict[str, int]:
  """Returns what stays in memory between programs, by name."""
  state, layout = _state(workload)
  policy = workload_lib.bytes_per_device(
    state.params['policy'], layout.params['policy']
  )
  return {
    'parameters': workload_lib.bytes_per_device(state.params, layout.params),
    'optimizer': workload_lib.bytes_per_device(
      state.opt_state, layout.opt_state
    ),
    'reference': policy if workload.objective.algorithm.kl_weight else 0,
  }


def _state(
  workload: workload_lib.Workload,
) -> tuple[types.TrainState, types.TrainState]:
  """Returns the shapes and the shardings of the train state."""
  return train_step.state_shapes(
    workload.objective, workload.optimizer, workload.mesh
  )


def _activation_itemsize(workload: workload_lib.Workload) -> int:
  """Returns the bytes of one element of an activation."""
  return jnp.dtype(workload.model.dtype).itemsize


def train_temporary_bytes(workload: workload_lib.Workload) -> float:
  """Returns the memory of the training step beside the train state.

  It is the sum of: activations; the gathered weights of a layer and of both
  vocabulary matrices, with their gradients; a chunk of logits and its gradient;
  and three copies of the gradients (accumulated, of one microbatch, and as the
  optimizer transforms them).
  """
  m, tensor = workload.model, workload.mesh.shape['tensor']
  vocab = m.vocab_size / tensor
  gathered = 2 * _layer_size(m) / tensor + 4 * vocab * m.d_model
  logits = train_step.CHUNK_TOKENS * vocab * (4 + 4)
  gradients = 3 * workload_lib.bytes_per_device(
    *(train_step.trained(x.params) for x in _state(workload))
  )
  return (
    activation_bytes(workload)
    + gathered * _activation_itemsize(workload)
    + logits
    + gradients
  )


def activation_bytes(workload: workload_lib.Workload) -> float:
  """Returns the activations stored of all layers, and all those of one."""
  m, itemsize = workload.model, _activation_itemsize(workload)
  tensor = workload.mesh.shape['tensor']
  per_microbatch = (
    workload.sequences_per_update // workload.config.train.microbatches
  )
  sequences = max(1, per_microbatch // workload.data_shards)
  tokens = sequences * sum(workload.lengths)
  heads = m.num_heads * m.head_dim / tensor
  projected = heads + 2 * m.num_kv_heads * m.head_dim / tensor
  mlp = m.mlp_dim / tensor
  # Elements per token: queries, keys, values and heads before and after the
  # rotation; gate, two factors of its activation, up, and their product; two
  # norms.
  elements = 2 * (projected + heads) + 5 * mlp + 6 * m.d_model
  layer = tokens * elements * itemsize + _attention_bytes(workload, sequences)
  stored = {
    'off': layer,
    'full': 0,
    'dots': tokens * (projected + 2 * mlp + 2 * m.d_model) * itemsize,
    'attention': tokens * heads * itemsize,
  }[m.remat]
  return m.num_layers * (tokens * m.d_model * itemsize + stored) + layer


def _attention_bytes(workload: workload_lib.Workload, sequences: int) -> float:
  """Returns what the attention of a layer holds for all pairs of tokens."""
  itemsize = _activation_itemsize(workload)
  pairs = sequences * sum(workload.lengths) ** 2
  bytes_per_pair = {
    # Scores and their gradients in float32, probabilities as activations.
    attention.PLAIN: workload.model.num_heads
    / workload.mesh.shape['tensor']
    * (4 + 4 + itemsize),
    # The mask, as booleans and as a bias.
    attention.CUDNN: 1 + itemsize,
    attention.SPLASH: 0,
  }[workload.model.attention]
  return pairs * bytes_per_pair


def _layer_size(m: transformer.ModelConfig) -> int:
  """Returns the number of weights of one layer."""
  heads = m.num_heads + m.num_kv_heads
  return m.d_model * (2 * heads * m.head_dim + 3 * m.mlp_dim)


def train_sent_bytes(workload: workload_lib.Workload) -> dict[str, float]:
  """Returns what a device sends in one update, by kind of collective.

  For each microbatch, weights are gathered in the forward pass and again in the
  backward pass, and gradients are scattered, in the dtype of activations. Over
  the `tensor` axis, activations are summed twice per layer in each pass.
  """
  m, mesh = workload.model, workload.mesh
  others = lambda axis: (mesh.shape[axis] - 1) / mesh.shape[axis]
  microbatches = workload.config.train.microbatches
  size = (m.num_layers * _layer_size(m) + 2 * m.vocab_size * m.d_model) / (
    mesh.shape['tensor']
  )
  weights = size * _activation_itemsize(workload)
  sequences = (
    workload.sequences_per_update // microbatches // workload.data_shards
  )
  tokens = sequences * sum(workload.lengths)
  summed = (
    2 * others('tensor') * tokens * m.d_model * _activation_itemsize(workload)
  )
  return {
    'all-gather': 2 * microbatches * others('fsdp') * weights,
    'reduce-scatter': microbatches * others('fsdp') * weights,
    'all-reduce': microbatches * 6 * m.num_layers * summed
    + 2 * others('data') * size / mesh.shape['fsdp'] * 4,
  }


def decode(workload: workload_lib.Workload) -> workload_lib.Phase:
  """Estimates the sampling of one step's responses, all at full length.

  The weights are held twice, stacked and layer by layer. A decoding step reads
  all of them and, on average, the part of the cache that half of each response
  fills.
  """
  m = workload.model
  p, r = workload.lengths
  slots, tensor = slots_per_device(workload), workload.mesh.shape['tensor']
  steps = -(-_responses_per_device(workload) // slots) * r
  itemsize = _activation_itemsize(workload)
  weights = m.num_layers * _layer_size(m) + m.vocab_size * m.d_model
  weights, cache = weights / tensor, cache_bytes(workload)
  filled = (p + r / 2) / (p + r)
  context = 4 * m.num_layers * m.num_heads * m.head_dim * (p + r / 2) / tensor
  summed = 2 * (tensor - 1) / tensor * slots * m.d_model * itemsize
  return workload_lib.Phase(
    temporaries=2 * weights * itemsize + cache,
    flops=steps * slots * (2 * weights + context),
    sent={'all-reduce': steps * 2 * m.num_layers * summed},
    memory=steps * (weights * itemsize + cache * filled),
  )


def slots_per_device(workload: workload_lib.Workload) -> int:
  """Returns the sequences that a device decodes at once."""
  slots = -(-workload.config.sampling.slots // workload.data_shards)
  responses = _responses_per_device(workload)
  return min(responses, slots or responses)


def _responses_per_device(workload: workload_lib.Workload) -> int:
  """Returns the responses that a device samples in one step."""
  c = workload.config
  prompts = -(-c.train.prompts_per_step // workload.data_shards)
  return prompts * c.sampling.group_size


def cache_bytes(workload: workload_lib.Workload) -> float:
  """Returns the size of the keys and values of all slots."""
  m = workload.model
  dtype = workload.config.sampling.cache_dtype or m.dtype
  tensor = workload.mesh.shape['tensor']
  heads = m.num_kv_heads / (tensor if m.num_kv_heads % tensor == 0 else 1)
  per_token = 2 * m.num_layers * heads * m.head_dim * jnp.dtype(dtype).itemsize
  return slots_per_device(workload) * sum(workload.lengths) * per_token


def fields_that_fit(workload: workload_lib.Workload) -> dict[str, Any]:
  """Returns fields of the config with which the run fits, by estimate.

  Microbatches of one sequence per device come first, then fewer slots, then a
  smaller cache, and only then layers split over more devices.

  Returns:
    Changed fields by dotted name; {} where no choice fits.
  """
  c, devices = workload.config, workload.pod.count
  current = {
    'mesh.shape': tuple(workload.mesh.shape.values()),
    'train.microbatches': c.train.microbatches,
    'sampling.slots': c.sampling.slots,
    'sampling.cache_dtype': c.sampling.cache_dtype,
  }
  largest = math.gcd(workload.model.num_heads, devices)
  for tensor in range(workload.mesh.shape['tensor'], largest + 1):
    shards = devices // tensor
    if largest % tensor or workload.sequences_per_update % shards:
      continue
    fields = current | {
      'mesh.shape': (1, shards, tensor),
      'train.microbatches': workload.sequences_per_update // shards,
    }
    candidate = _with_fields(workload, fields)
    free = _MEMORY_SHARE * workload.pod.chip.memory_bytes
    free -= sum(resident_bytes(candidate).values())
    if train_temporary_bytes(candidate) > free:
      continue
    fewer = [n * shards for n in _SLOTS if n < slots_per_device(candidate)]
    for slots, dtype in itertools.product(
      (current['sampling.slots'], *fewer),
      (current['sampling.cache_dtype'], 'int8'),
    ):
      fields |= {'sampling.slots': slots, 'sampling.cache_dtype': dtype}
      if decode(_with_fields(workload, fields)).temporaries <= free:
        return {n: v for n, v in fields.items() if v != current[n]}
  return {}


def _with_fields(
  workload: workload_lib.Workload, fields: Mapping[str, Any]
) -> workload_lib.Workload:
  """Returns the workload with other fields, on an abstract mesh."""
  config = workload.config.copy_and_resolve_references()
  config.update_from_flattened_dict(fields)
  mesh = jax.sharding.AbstractMesh(
    fields['mesh.shape'], sharding.AXES, axis_types=sharding.AXIS_TYPES
  )
  return dataclasses.replace(workload, config=config, mesh=mesh)
