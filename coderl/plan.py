"""Will a run fit a pod, and how fast is it: its own steps, compiled for it.

Nothing is trained and no weights are read. For TPUs the real training step and
the real sampler are compiled on this machine for chips that are not here
(jax.experimental.topologies), and memory and collectives are what XLA says. For
GPUs, whose compiler wants one, memory and collectives come from arithmetic,
which stands beside XLA's figures for TPUs too, so that it can be judged.

Times are those of a roofline: matrix products at a share of the peak, memory
and links at their full rate, overlapped wholly or not at all.
"""

from collections.abc import Mapping
import dataclasses
import json
import math
import os
import pathlib
import time
from typing import Any

import jax
from jax.experimental import mesh_utils
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from coderl import (
  chips,
  experiment,
  flops,
  hlo,
  sampling,
  sharding,
  train_step,
  types,
)
from coderl.models import presets, transformer
from commons import errors

MATMUL_SHARE = 0.6  # Of the peak, that large matrix products reach.
_GB = 1e9


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
  pod: chips.Pod

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

  def seconds(self, pod: chips.Pod) -> tuple[float, float]:
    """Of one run: all overlapped, and nothing."""
    each = (
      self.flops / (MATMUL_SHARE * pod.chip.flops),
      self.memory / pod.chip.memory_rate,
      sum(self.sent.values()) / pod.link_rate,
    )
    return max(each), sum(each)


def make(config: ml_collections.ConfigDict) -> Work:
  """Checks the config and opens the pod.

  Args:
    config: of coderl_plan; train.microbatches=0 is as many as leave each device
      one row at a time.

  Raises:
    UserError: no such preset, chip or shape; a mesh that does not divide the
      devices, the rows or the heads.
  """
  pod = chips.pod(config.plan.topology)
  if config.model.preset not in presets.PRESETS:
    raise errors.unknown('model', config.model.preset, presets.PRESETS)
  mesh = _mesh(config, pod)
  t = config.train
  rows = t.prompts_per_step * config.sampling.group_size
  if not t.microbatches:
    config = config.copy_and_resolve_references()
    t = config.train
    parts = mesh.shape['data'] * mesh.shape['fsdp']
    t.microbatches = max(1, rows // (t.minibatches * parts))
  experiment.check_values(config)
  model = dataclasses.replace(
    presets.PRESETS[config.model.preset],
    dtype=config.model.dtype,
    remat=config.model.remat,
  )
  tensor = mesh.shape['tensor']
  if model.num_heads % tensor:
    fitting = [n for n in range(1, 65) if model.num_heads % n == 0]
    raise errors.UserError(
      f'mesh.shape: {tensor} parts of a layer do not divide the'
      f' {model.num_heads} heads of {config.model.preset}; one of {fitting}'
    )
  name = 'train.prompts_per_step x sampling.group_size'
  sharding.check_batch(rows, name, mesh, t.minibatches * t.microbatches)
  objective = experiment.make_objective(config, model)
  each = rows // (t.minibatches * t.microbatches)
  parts = mesh.shape['data'] * mesh.shape['fsdp']
  chunk = max(1, train_step.CHUNK_TOKENS * parts // each)
  return Work(
    config,
    dataclasses.replace(objective, chunk_len_tokens=chunk),
    experiment.make_optimizer(config),
    mesh,
    pod,
  )


def _mesh(config: ml_collections.ConfigDict, pod: chips.Pod):
  shape = sharding.sizes(config.mesh.shape, pod.count)
  if not pod.devices:
    return jax.sharding.AbstractMesh(
      shape, sharding.AXES, axis_types=sharding.KINDS
    )
  devices = mesh_utils.create_device_mesh(
    shape, devices=pod.devices, allow_split_physical_axes=True
  )
  return jax.sharding.Mesh(devices, sharding.AXES, axis_types=sharding.KINDS)


def batch_shapes(work: Work) -> types.RolloutBatch:
  """Of one update, every row as long as may be."""
  p, r = work.lengths
  b, m = work.rows, work.config.alignment.bounds.max_variables
  c = work.config.trajectory.max_value_tokens
  array = jax.ShapeDtypeStruct
  of_response = array((b, r), jnp.float32)
  return types.RolloutBatch(
    tokens_BT=array((b, p + r), jnp.int32),
    valid_BT=array((b, p + r), bool),
    mask_BR=array((b, r), bool),
    logprobs_BR=of_response,
    advantages_BR=of_response,
    returns_BR=of_response,
    values_BR=of_response,
    ref_logprobs_BR=of_response,
    queries_BM=array((b, m), jnp.int32),
    values_BMC=array((b, m, c), jnp.int32),
    values_mask_BMC=array((b, m, c), bool),
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


def train_phase(work: Work) -> Phase:
  """One update: the training step on a minibatch."""
  state, layout = train_step.state_shapes(
    work.objective, work.optimizer, work.mesh
  )
  batch = batch_shapes(work)
  step = train_step.compile_step(
    work.objective,
    work.optimizer,
    work.config.train.microbatches,
    layout,
    work.mesh,
  )
  total = step_flops(work, work.objective)
  each = total / work.pod.count
  if not work.pod.devices:
    return Phase(train_temporaries(work), each, train_sent(work))
  began = time.monotonic()
  with jax.set_mesh(work.mesh):
    compiled = step.lower(state, batch).compile()
  memory = compiled.memory_analysis()
  return Phase(
    memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    each,
    _sent(compiled.as_text()),
    compile_s=time.monotonic() - began,
  )


def step_flops(work: Work, objective: train_step.Objective) -> int:
  """Of one update on all devices."""
  state, _ = train_step.state_shapes(objective, work.optimizer, work.mesh)
  return flops.of(
    lambda state, batch: train_step.train_step(
      state,
      batch,
      objective=objective,
      optimizer=work.optimizer,
      num_microbatches=work.config.train.microbatches,
    ),
    state,
    batch_shapes(work),
  )


def _sent(text: str) -> dict[str, float]:
  sent: dict[str, float] = {}
  for one in hlo.collectives(text):
    sent[one.kind] = sent.get(one.kind, 0.0) + one.sent
  return sent


def _params(work: Work) -> tuple[Any, Any]:
  """Shapes and layout of the policy's parameters."""
  state, layout = train_step.state_shapes(
    work.objective, work.optimizer, work.mesh
  )
  return state.params['policy'], layout.params['policy']


def _width(work: Work) -> int:
  """Bytes of an activation."""
  return jnp.dtype(work.model.dtype).itemsize


def train_temporaries(work: Work) -> float:
  """Bytes on a device beside the state, by arithmetic.

  The input of each layer that is kept for the backward pass, one layer's
  activations and attention scores, its weights and the unembedding gathered,
  logits of a chunk, and gradients twice: summed, and of a microbatch.
  """
  m, c = work.model, work.config.train
  tensor, wide = work.mesh.shape['tensor'], _width(work)
  rows = max(1, work.rows // c.microbatches // work.parts)
  tokens = rows * sum(work.lengths)
  kept = m.num_layers * tokens * m.d_model * wide
  heads = m.num_heads / tensor
  # Scores and their gradient in float32, probabilities as activations are.
  scores = heads * tokens * sum(work.lengths) * (4 + 4 + wide)
  mlp = 4 * tokens * m.mlp_dim / tensor * wide
  vocab = m.vocab_size / tensor
  gathered = _layer_size(m) / tensor * wide * 2 + vocab * m.d_model * (wide + 4)
  logits = train_step.CHUNK_TOKENS * vocab * 4 * 3
  gradients = 2 * bytes_of(*_params(work))
  return kept + scores + mlp + gathered + logits + gradients


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


def slots_of(work: Work) -> int:
  """Rows that a device's part decodes at once."""
  c = work.config
  rows = -(-c.train.prompts_per_step // work.parts) * c.sampling.group_size
  return min(rows, -(-c.sampling.slots // work.parts) or rows)


def decode_phase(work: Work) -> Phase:
  """Sampling a step's responses, every one as long as may be."""
  c, m = work.config, work.model
  p, r = work.lengths
  slots, tensor = slots_of(work), work.mesh.shape['tensor']
  rows = -(-c.train.prompts_per_step // work.parts) * c.sampling.group_size
  steps = -(-rows // slots) * r
  weights = (m.num_layers * _layer_size(m) + m.vocab_size * m.d_model) / tensor
  cache = _cache(work, slots)
  # A step reads all weights and, on average, what half the responses fill.
  read = weights * _width(work) + cache * (p + r / 2) / (p + r)
  context = 4 * m.num_layers * m.num_heads * m.head_dim * (p + r / 2) / tensor
  operations = slots * (2 * weights + context)
  summed = 2 * (tensor - 1) / tensor * slots * m.d_model * _width(work)
  sent = {'all-reduce': steps * 2 * m.num_layers * summed}
  found = Phase(
    weights * _width(work) + cache,
    steps * operations,
    sent,
    steps * read,
  )
  if not work.pod.devices or not c.plan.compile_decode:
    return found
  began = time.monotonic()
  compiled = _compile_decode(work)
  memory = compiled.memory_analysis()
  return dataclasses.replace(
    found,
    temporaries=memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    compile_s=time.monotonic() - began,
  )


def _cache(work: Work, slots: int) -> float:
  """Bytes of keys and values of so many rows on a device."""
  m = work.model
  kind = work.config.sampling.cache_dtype or m.dtype
  tensor = work.mesh.shape['tensor']
  heads = m.num_kv_heads / (tensor if m.num_kv_heads % tensor == 0 else 1)
  token = 2 * m.num_layers * heads * m.head_dim * jnp.dtype(kind).itemsize
  return slots * sum(work.lengths) * token


def _compile_decode(work: Work):
  c = work.config
  shapes, layout = _params(work)
  place = lambda shape, to: jax.ShapeDtypeStruct(
    shape.shape, shape.dtype, sharding=to
  )
  params = jax.tree.map(place, shapes, layout)
  rows = jax.sharding.NamedSharding(work.mesh, sharding.BATCH)
  count = -(-c.train.prompts_per_step // work.parts) * work.parts
  p, _ = work.lengths
  array = lambda shape, kind: jax.ShapeDtypeStruct(shape, kind, sharding=rows)
  key = jax.eval_shape(lambda: jax.random.key(0))
  with jax.set_mesh(work.mesh):
    return sampling.generate.lower(
      params,
      array((count, p), jnp.int32),
      array((count, p), bool),
      array((count,), jnp.int32),
      place(key, sharding.replicated(work.mesh)),
      model=work.model,
      config=sampling.SamplingConfig(**c.sampling),
      stop_ids=(0,),
    ).compile()


def plan(work: Work) -> dict[str, Any]:
  """The plan, as JSON's types; sizes in bytes, of each device.

  Returns:
    'pod', 'mesh', 'rows' and 'lengths'; 'resident' (parameters, optimizer,
    reference), 'train' and 'decode' (a Phase each, with its 'seconds' and, of
    training, what arithmetic says), 'most' bytes at once, 'memory' of a chip,
    'fits', 'step_seconds' and 'mfu', both from all overlapped to nothing, and
    'advice', where it does not fit.
  """
  c = work.config
  state, layout = train_step.state_shapes(
    work.objective, work.optimizer, work.mesh
  )
  resident = {
    'parameters': bytes_of(state.params, layout.params),
    'optimizer': bytes_of(state.opt_state, layout.opt_state),
    'reference': 0,
  }
  if work.objective.algorithm.kl_weight:
    resident['reference'] = bytes_of(*_params(work))
  train, decode = train_phase(work), decode_phase(work)
  most = sum(resident.values()) + max(train.temporaries, decode.temporaries)
  stored = dataclasses.replace(
    work.objective, model=dataclasses.replace(work.model, remat=False)
  )
  model_flops = step_flops(work, stored)
  updates = c.train.minibatches
  seconds = np.array(decode.seconds(work.pod))
  seconds += updates * np.array(train.seconds(work.pod))
  if work.objective.algorithm.kl_weight:
    forward = model_flops / 3 / work.pod.count
    seconds += updates * forward / (MATMUL_SHARE * work.pod.chip.flops)
  peak = work.pod.chip.flops * work.pod.count
  return {
    'model': c.model.preset,
    'pod': work.pod.name,
    'devices': work.pod.count,
    'mesh': dict(work.mesh.shape),
    'rows': work.rows,
    'updates': updates,
    'microbatches': c.train.microbatches,
    'lengths': work.lengths,
    'slots': slots_of(work),
    'resident': resident,
    'train': _told(work, train)
    | {
      'by_arithmetic': {
        'temporaries': train_temporaries(work),
        'sent': train_sent(work),
      },
      'mfu': [model_flops / (s * peak) for s in train.seconds(work.pod)],
    },
    'decode': _told(work, decode),
    'most': most,
    'memory': work.pod.chip.memory_bytes,
    'fits': bool(most <= work.pod.chip.memory_bytes),
    'step_seconds': seconds.tolist(),
    'advice': _advice(work, resident, train, decode),
  }


def _told(work: Work, phase: Phase) -> dict[str, Any]:
  return dataclasses.asdict(phase) | {'seconds': phase.seconds(work.pod)}


def _advice(
  work: Work, resident: Mapping[str, int], train: Phase, decode: Phase
) -> list[str]:
  """What to change, most useful first; nothing where it fits."""
  room = work.pod.chip.memory_bytes - sum(resident.values())
  if room <= 0:
    needed = work.pod.count * sum(resident.values())
    needed = math.ceil(needed / work.pod.chip.memory_bytes)
    return [
      f'more than {needed} devices over fsdp and tensor, or a smaller model:'
      ' the state alone is too large'
    ]
  advice = []
  if room < train.temporaries:
    each = work.rows // work.config.train.microbatches // work.parts
    if each > 1:
      most = work.rows // work.parts
      advice.append(
        f'train.microbatches={most}: one row of {each} at a time on a device'
      )
    else:
      advice.append(
        'mesh.shape with more parts over tensor: one row is already too long'
      )
    if not work.model.remat:
      advice.append('model.remat=True')
  if room < decode.temporaries:
    fitting = max(1, int(slots_of(work) * room / decode.temporaries))
    advice.append(
      f'sampling.slots={max(1, fitting // 2) * work.parts}, and'
      " sampling.cache_dtype='int8'"
    )
  return advice


def table(found: Mapping[str, Any]) -> str:
  """What `plan` gave, as plain text."""
  p, r = found['lengths']
  mesh = ' '.join(f'{axis}={size}' for axis, size in found['mesh'].items())
  train, decode = found['train'], found['decode']
  by = 'compiled' if train['compile_s'] is not None else 'by arithmetic'
  lines = [
    f'{found["model"]} on {found["pod"]}: {found["devices"]} devices, {mesh}',
    f'{found["updates"]} updates a step of {found["rows"]:,} rows of {p:,} +'
    f' {r:,} tokens, {found["microbatches"]} microbatches each;'
    f' {found["slots"]} rows decoded at once on a device',
    f'GB of each device (training {by}):',
  ]
  rows = {
    **found['resident'],
    'training': train['temporaries'],
    '  by arithmetic': train['by_arithmetic']['temporaries'],
    'sampling': decode['temporaries'],
    'most at once': found['most'],
    'a chip has': found['memory'],
  }
  lines += [f'  {name:<16}{size / _GB:8.2f}' for name, size in rows.items()]
  lines.append(
    f'an update, each device: {train["flops"] / 1e12:,.1f} TFLOP; sent'
    + ''.join(f', {k} {v / _GB:.2f} GB' for k, v in train['sent'].items() if v)
  )
  spans = {
    'sampling': decode['seconds'],
    'an update': train['seconds'],
    'a step': found['step_seconds'],
  }
  for name, (low, high) in spans.items():
    lines.append(f'{name}: {low:,.1f} to {high:,.1f} s')
  high, low = train['mfu']
  lines.append(f'MFU of an update: {low:.2f} to {high:.2f}')
  lines.append('fits' if found['fits'] else 'DOES NOT FIT; try')
  return '\n'.join(lines + [f'  {a}' for a in found['advice']])


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Prints the plan and writes `workdir/results.json`.

  Raises:
    UserError: as `make` does.
  """
  # Else libtpu looks for a TPU's host for minutes.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  found = plan(make(config))
  path = pathlib.Path(workdir) / 'results.json'
  path.write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8')
  print(table(found))
