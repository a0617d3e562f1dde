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
import pathlib
import time
from typing import Any

import jax
from jax.experimental import mesh_utils
import jax.numpy as jnp
import ml_collections
import numpy as np

from coderl.distributed import sharding
from coderl.models import load, presets
from coderl.planning import estimates, hardware, hlo_collectives
from coderl.rl import train_step
from coderl.sampling import sampler, sharded_sampler
from coderl.training import setup
from commons import errors

_GB = 1e9


def make(config: ml_collections.ConfigDict) -> estimates.Work:
  """Checks the config and opens the pod.

  Args:
    config: of coderl_plan; train.microbatches=0 is as many as leave each device
      one row at a time.

  Raises:
    UserError: no such preset, chip or shape; a mesh that does not divide the
      devices, the rows or the heads.
  """
  if config.model.preset not in presets.PRESETS:
    raise errors.unknown('model', config.model.preset, presets.PRESETS)
  pod = hardware.pod(config.plan.topology)
  mesh = _mesh(config, pod)
  t = config.train
  rows = t.prompts_per_step * config.sampling.group_size
  if not t.microbatches:
    config = config.copy_and_resolve_references()
    t = config.train
    parts = mesh.shape['data'] * mesh.shape['fsdp']
    t.microbatches = max(1, rows // (t.minibatches * parts))
  setup.check_values(config)
  model = dataclasses.replace(
    presets.PRESETS[config.model.preset],
    **load.numerics(config.model, 'tpu' if pod.devices else 'gpu'),
  )
  sharding.check_heads(model.num_heads, mesh)
  name = 'train.prompts_per_step x sampling.group_size'
  sharding.check_batch(rows, name, mesh, t.minibatches * t.microbatches)
  objective = setup.make_objective(config, model)
  each = rows // (t.minibatches * t.microbatches)
  parts = mesh.shape['data'] * mesh.shape['fsdp']
  chunk = max(1, train_step.CHUNK_TOKENS * parts // each)
  return estimates.Work(
    config,
    dataclasses.replace(objective, chunk_len_tokens=chunk),
    setup.make_optimizer(config),
    mesh,
    pod,
  )


def _mesh(config: ml_collections.ConfigDict, pod: hardware.Pod):
  shape = sharding.sizes(config.mesh.shape, pod.count)
  if not pod.devices:
    return jax.sharding.AbstractMesh(
      shape, sharding.AXES, axis_types=sharding.KINDS
    )
  devices = mesh_utils.create_device_mesh(
    shape, devices=pod.devices, allow_split_physical_axes=True
  )
  return jax.sharding.Mesh(devices, sharding.AXES, axis_types=sharding.KINDS)


def train_phase(work: estimates.Work) -> estimates.Phase:
  """One update: the training step on a minibatch."""
  state, layout = train_step.state_shapes(
    work.objective, work.optimizer, work.mesh
  )
  batch = estimates.batch_shapes(work)
  step = train_step.compile_step(
    work.objective, work.optimizer, layout, work.mesh
  )
  total = estimates.step_flops(work, work.objective)
  each = total / work.pod.count
  if not work.pod.devices:
    return estimates.Phase(
      estimates.train_temporaries(work), each, estimates.train_sent(work)
    )
  began = time.monotonic()
  with jax.set_mesh(work.mesh):
    compiled = step.lower(state, batch).compile()
  memory = compiled.memory_analysis()
  return estimates.Phase(
    memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    each,
    _sent(compiled.as_text()),
    compile_s=time.monotonic() - began,
  )


def _sent(text: str) -> dict[str, float]:
  sent: dict[str, float] = {}
  for one in hlo_collectives.collectives(text):
    sent[one.kind] = sent.get(one.kind, 0.0) + one.sent
  return sent


def decode_phase(work: estimates.Work) -> estimates.Phase:
  """Sampling a step's responses; its memory is XLA's where that compiles."""
  found = estimates.decode(work)
  if not work.pod.devices or not work.config.plan.compile_decode:
    return found
  began = time.monotonic()
  memory = _compile_decode(work).memory_analysis()
  return dataclasses.replace(
    found,
    temporaries=memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    compile_s=time.monotonic() - began,
  )


def _compile_decode(work: estimates.Work):
  c = work.config
  state, layout = train_step.state_shapes(
    work.objective, work.optimizer, work.mesh
  )
  place = lambda shape, to: jax.ShapeDtypeStruct(
    shape.shape, shape.dtype, sharding=to
  )
  params = jax.tree.map(place, state.params['policy'], layout.params['policy'])
  rows = jax.sharding.NamedSharding(work.mesh, sharding.BATCH)
  count = -(-c.train.prompts_per_step // work.parts) * work.parts
  p, _ = work.lengths
  array = lambda shape, kind: jax.ShapeDtypeStruct(shape, kind, sharding=rows)
  key = jax.eval_shape(lambda: jax.random.key(0))
  with jax.set_mesh(work.mesh):
    return sharded_sampler.generate.lower(
      params,
      array((count, p), jnp.int32),
      array((count, p), bool),
      array((count,), jnp.int32),
      place(key, sharding.replicated(work.mesh)),
      model=work.model,
      config=sampler.SamplingConfig(**c.sampling),
      stop_ids=(0,),
    ).compile()


def plan(work: estimates.Work) -> dict[str, Any]:
  """The plan, as JSON's types; sizes in bytes, of each device.

  Returns:
    'model', 'pod', 'devices', 'mesh', 'rows' of an 'updates'-th part of a step,
    'microbatches', 'lengths' and 'slots'; 'resident' (parameters, optimizer,
    reference); 'train' and 'decode', a Phase each with its 'seconds', the
    'activations' and the 'cache' of its temporaries (by arithmetic), and of
    training its 'mfu' and what arithmetic says; 'most' bytes at once, 'memory'
    of a chip, 'fits', 'step_seconds', and 'advice' where it does not fit.
    Seconds and MFU are from all overlapped to nothing.
  """
  c = work.config
  resident = estimates.resident(work)
  train, decode = train_phase(work), decode_phase(work)
  most = sum(resident.values()) + max(train.temporaries, decode.temporaries)
  fits = bool(most <= work.pod.chip.memory_bytes)
  stored = dataclasses.replace(
    work.objective, model=dataclasses.replace(work.model, remat='off')
  )
  model_flops = estimates.step_flops(work, stored)
  updates = c.train.minibatches
  seconds = np.array(decode.seconds(work.pod))
  seconds += updates * np.array(train.seconds(work.pod))
  if work.objective.algorithm.kl_weight:
    forward = model_flops / 3 / work.pod.count
    seconds += (
      updates * forward / (estimates.MATMUL_SHARE * work.pod.chip.flops)
    )
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
    'slots': estimates.slots_of(work),
    'resident': resident,
    'train': _told(work, train)
    | {
      'by_arithmetic': {
        'temporaries': estimates.train_temporaries(work),
        'sent': estimates.train_sent(work),
      },
      'activations': estimates.activations(work),
      'mfu': [model_flops / (s * peak) for s in train.seconds(work.pod)],
    },
    'decode': _told(work, decode) | {'cache': estimates.cache(work)},
    'most': most,
    'memory': work.pod.chip.memory_bytes,
    'fits': fits,
    'step_seconds': seconds.tolist(),
    'advice': [] if fits else _advice(work),
  }


def _told(work: estimates.Work, phase: estimates.Phase) -> dict[str, Any]:
  return dataclasses.asdict(phase) | {'seconds': phase.seconds(work.pod)}


def _advice(work: estimates.Work) -> list[str]:
  """What would fit."""
  if found := estimates.fitting(work):
    return [f'--config.{name}={value!r}' for name, value in found.items()]
  needed = work.pod.count * sum(estimates.resident(work).values())
  needed = math.ceil(needed / work.pod.chip.memory_bytes)
  return [
    'a smaller model, lora.rank=32 (the optimizer then holds adapters alone) or'
    f' more devices, of which the state alone fills {needed}: no mesh,'
    ' microbatches and slots do'
  ]


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
    '  activations': train['activations'],
    'sampling': decode['temporaries'],
    '  cache': decode['cache'],
    'most at once': found['most'],
    'a chip has': found['memory'],
  }
  lines += [f'  {name:<16}{size / _GB:8.2f}' for name, size in rows.items()]
  for name, phase in (('an update', train), ('sampling', decode)):
    read = f', {phase["memory"] / _GB:,.0f} GB read' if phase['memory'] else ''
    sent = [f'{k} {v / _GB:,.2f} GB' for k, v in phase['sent'].items() if v]
    lines.append(
      f'{name}, each device: {phase["flops"] / 1e12:,.1f} TFLOP{read}; sent'
      f' {", ".join(sent) or "nothing"}'
    )
  spans = {
    'sampling': decode['seconds'],
    'an update': train['seconds'],
    'a step': found['step_seconds'],
  }
  for name, (low, high) in spans.items():
    lines.append(f'{name}: {low:,.1f} to {high:,.1f} s')
  high, low = train['mfu']
  lines.append(
    f'MFU of an update: {low:.2f} to {high:.2f}; all responses at their limit,'
    f' products at {estimates.MATMUL_SHARE} of the peak, memory and links at'
    ' full rate, overlapped or not'
  )
  lines.append('fits' if found['fits'] else 'DOES NOT FIT')
  return '\n'.join(lines)


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Prints the plan and writes `workdir/results.json`.

  Raises:
    UserError: as `make` does; and where it does not fit, with what would.
  """
  found = plan(make(config))
  path = pathlib.Path(workdir) / 'results.json'
  path.write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8')
  print(table(found))
  if not found['fits']:
    raise errors.UserError(
      f'{found["model"]} does not fit {found["pod"]}:'
      f' {found["most"] / _GB:.1f} GB of {found["memory"] / _GB:.1f} a device;'
      f' try {" ".join(found["advice"])}'
    )
