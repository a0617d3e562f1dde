"""Plans a run for a pod: does it fit in memory, and how fast is a step.

Nothing is trained and no weights are read. For TPUs, the real training step and
the real sampler are compiled on this machine for chips that are not present
(jax.experimental.topologies), and memory and collectives are those of XLA. XLA
compiles for a GPU only where one is present, so memory and collectives of GPUs
are estimated by arithmetic. For TPUs the estimates are printed beside XLA's
figures, to show how close they are.

Times follow the roofline model: matrix products at a share of the peak, memory
and links at their full rate, from full overlap to none.
"""

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
from coderl.planning import estimates, hardware, hlo_collectives, table
from coderl.planning import workload as workload_lib
from coderl.rl import train_step
from coderl.sampling import sampler, sharded_sampler
from coderl.training import checks, update
from coderl.training import progress as progress_lib
from commons import errors, files

_GB = 1e9


def make_workload(config: ml_collections.ConfigDict) -> workload_lib.Workload:
  """Checks the config and describes the run on the pod.

  Args:
    config: the config of coderl_plan. train.microbatches=0 means as many as
      leave one sequence per device and microbatch.

  Raises:
    UserError: the preset, the chip or its shape is unknown, or the mesh does
      not divide the devices, the sequences or the heads.
  """
  if config.model.preset not in presets.PRESETS:
    raise errors.unknown('model', config.model.preset, presets.PRESETS)
  pod = hardware.pod(config.plan.topology)
  mesh = _mesh(config, pod)
  shards = mesh.shape['data'] * mesh.shape['fsdp']
  sequences = config.train.prompts_per_step * config.sampling.group_size
  if not config.train.microbatches:
    config = config.copy_and_resolve_references()
    config.train.microbatches = max(
      1, sequences // (config.train.minibatches * shards)
    )
  checks.check_training(config)
  model = dataclasses.replace(
    presets.PRESETS[config.model.preset],
    **load.numerics(config.model, 'tpu' if pod.devices else 'gpu'),
  )
  sharding.check_heads(model.num_heads, mesh)
  name = 'train.prompts_per_step x sampling.group_size'
  pieces = config.train.minibatches * config.train.microbatches
  sharding.check_batch(sequences, name, mesh, pieces)
  chunk = max(1, train_step.CHUNK_TOKENS * shards // (sequences // pieces))
  objective = update.make_objective(config, model)
  return workload_lib.Workload(
    config,
    dataclasses.replace(objective, chunk_len_tokens=chunk),
    update.make_optimizer(**config.optimizer),
    mesh,
    pod,
  )


def _mesh(config: ml_collections.ConfigDict, pod: hardware.Pod):
  shape = sharding.mesh_shape(config.mesh.shape, pod.count)
  if not pod.devices:
    return jax.sharding.AbstractMesh(
      shape, sharding.AXES, axis_types=sharding.AXIS_TYPES
    )
  devices = mesh_utils.create_device_mesh(
    shape, devices=pod.devices, allow_split_physical_axes=True
  )
  return jax.sharding.Mesh(
    devices, sharding.AXES, axis_types=sharding.AXIS_TYPES
  )


def train_phase(workload: workload_lib.Workload) -> workload_lib.Phase:
  """Compiles or estimates one update: the training step on a minibatch."""
  progress_lib.announce('Counting the operations of an update ...')
  total = estimates.step_flops(workload, workload.objective)
  flops = total / workload.pod.count
  if not workload.pod.devices:
    return workload_lib.Phase(
      estimates.train_temporary_bytes(workload),
      flops,
      estimates.train_sent_bytes(workload),
    )
  state, layout = train_step.state_shapes(
    workload.objective, workload.optimizer, workload.mesh
  )
  step = train_step.compile_step(
    workload.objective, workload.optimizer, layout, workload.mesh
  )
  progress_lib.announce(
    f'Compiling the training step for {workload.pod.name} ...'
  )
  began = time.monotonic()
  with jax.set_mesh(workload.mesh):
    compiled = step.lower(state, workload_lib.batch_shapes(workload)).compile()
  memory = compiled.memory_analysis()
  return workload_lib.Phase(
    memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    flops,
    _sent_bytes(compiled.as_text()),
    compile_s=time.monotonic() - began,
  )


def _sent_bytes(hlo: str) -> dict[str, float]:
  """Returns the bytes that a device sends, by kind of collective."""
  sent: dict[str, float] = {}
  for collective in hlo_collectives.collectives(hlo):
    sent[collective.kind] = sent.get(collective.kind, 0.0) + collective.sent
  return sent


def decode_phase(workload: workload_lib.Workload) -> workload_lib.Phase:
  """Estimates the sampling of one step's responses.

  The memory is XLA's where the sampler can be compiled and
  `plan.compile_decode` is set.
  """
  phase = estimates.decode(workload)
  if not workload.pod.devices or not workload.config.plan.compile_decode:
    return phase
  progress_lib.announce(f'Compiling the sampler for {workload.pod.name} ...')
  began = time.monotonic()
  memory = _compile_decode(workload).memory_analysis()
  return dataclasses.replace(
    phase,
    temporaries=memory.temp_size_in_bytes + memory.generated_code_size_in_bytes,
    compile_s=time.monotonic() - began,
  )


def _compile_decode(workload: workload_lib.Workload):
  """Returns the compiled sampler, for one step's prompts at full length."""
  c = workload.config
  state, layout = train_step.state_shapes(
    workload.objective, workload.optimizer, workload.mesh
  )
  sharded = lambda array, to: jax.ShapeDtypeStruct(
    array.shape, array.dtype, sharding=to
  )
  params = jax.tree.map(
    sharded, state.params['policy'], layout.params['policy']
  )
  over_data = jax.sharding.NamedSharding(workload.mesh, sharding.BATCH)
  prompt = lambda shape, dtype: jax.ShapeDtypeStruct(
    shape, dtype, sharding=over_data
  )
  shards = workload.data_shards
  count = -(-c.train.prompts_per_step // shards) * shards
  p, _ = workload.lengths
  key = jax.eval_shape(lambda: jax.random.key(0))
  with jax.set_mesh(workload.mesh):
    return sharded_sampler.generate.lower(
      params,
      prompt((count, p), jnp.int32),
      prompt((count, p), bool),
      prompt((count,), jnp.int32),
      sharded(key, sharding.replicated(workload.mesh)),
      model=workload.model,
      config=sampler.SamplingConfig(**c.sampling),
      stop_ids=(0,),
    ).compile()


def make_plan(workload: workload_lib.Workload) -> dict[str, Any]:
  """Computes the plan, as JSON types; sizes in bytes per device.

  Returns:
    'model', 'pod', 'devices', 'mesh', 'lengths' and 'slots'; 'updates' per
    step, and 'rows' (sequences) and 'microbatches' of each update; 'resident':
    parameters, optimizer, reference; 'train' and 'decode': a Phase with its
    'seconds', in training also the 'activations', the 'mfu' and the estimates
    'by_arithmetic', in decoding the 'cache'; 'most': the peak memory, 'memory'
    of a chip, and whether it 'fits'; 'step_seconds'; and 'advice' where it does
    not fit. Seconds and MFU are pairs: with full overlap, and with none.
  """
  c, pod = workload.config, workload.pod
  resident = estimates.resident_bytes(workload)
  train, decode = train_phase(workload), decode_phase(workload)
  peak_bytes = sum(resident.values())
  peak_bytes += max(train.temporaries, decode.temporaries)
  fits = bool(peak_bytes <= pod.chip.memory_bytes)
  # MFU counts no operation twice, so nothing is recomputed here.
  without_remat = dataclasses.replace(
    workload.objective, model=dataclasses.replace(workload.model, remat='off')
  )
  model_flops = estimates.step_flops(workload, without_remat)
  return {
    'model': c.model.preset,
    'pod': pod.name,
    'devices': pod.count,
    'mesh': dict(workload.mesh.shape),
    'rows': workload.sequences_per_update,
    'updates': c.train.minibatches,
    'microbatches': c.train.microbatches,
    'lengths': workload.lengths,
    'slots': estimates.slots_per_device(workload),
    'resident': resident,
    'train': _train_as_json(workload, train, model_flops),
    'decode': _as_json(workload, decode)
    | {'cache': estimates.cache_bytes(workload)},
    'most': peak_bytes,
    'memory': pod.chip.memory_bytes,
    'fits': fits,
    'step_seconds': _step_seconds(workload, train, decode, model_flops),
    'advice': [] if fits else _advice(workload),
  }


def _as_json(
  workload: workload_lib.Workload, phase: workload_lib.Phase
) -> dict[str, Any]:
  return dataclasses.asdict(phase) | {'seconds': phase.seconds(workload.pod)}


def _train_as_json(
  workload: workload_lib.Workload,
  phase: workload_lib.Phase,
  model_flops: float,
) -> dict[str, Any]:
  peak_flops = workload.pod.chip.flops * workload.pod.count
  return _as_json(workload, phase) | {
    'by_arithmetic': {
      'temporaries': estimates.train_temporary_bytes(workload),
      'sent': estimates.train_sent_bytes(workload),
    },
    'activations': estimates.activation_bytes(workload),
    'mfu': [
      model_flops / (s * peak_flops) for s in phase.seconds(workload.pod)
    ],
  }


def _step_seconds(
  workload: workload_lib.Workload,
  train: workload_lib.Phase,
  decode: workload_lib.Phase,
  model_flops: float,
) -> list[float]:
  """Returns the seconds of sampling and of all updates of one step."""
  pod, updates = workload.pod, workload.config.train.minibatches
  seconds = np.array(decode.seconds(pod))
  seconds += updates * np.array(train.seconds(pod))
  if workload.objective.algorithm.kl_weight:
    # The reference policy runs a forward pass, a third of the operations.
    forward = model_flops / 3 / pod.count
    seconds += updates * forward / (workload_lib.MATMUL_SHARE * pod.chip.flops)
  return seconds.tolist()


def _advice(workload: workload_lib.Workload) -> list[str]:
  """Returns overrides with which the run fits, or what else would help."""
  progress_lib.announce('It does not fit; looking for a setting that does ...')
  if fields := estimates.fields_that_fit(workload):
    return [f'--config.{name}={value!r}' for name, value in fields.items()]
  state = sum(estimates.resident_bytes(workload).values())
  devices = math.ceil(
    workload.pod.count * state / workload.pod.chip.memory_bytes
  )
  return [
    'a smaller model, lora.rank=32 (the optimizer then holds only adapters) or'
    f' more devices (the train state alone fills {devices}): no choice of'
    ' mesh.shape, train.microbatches and sampling.slots fits'
  ]


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Prints the plan and writes `workdir/results.json`.

  Raises:
    UserError: a value of the config is wrong (see `make_workload`), or the run
      does not fit; the error says what would.
  """
  plan = make_plan(make_workload(config))
  files.write_text(
    pathlib.Path(workdir) / 'results.json', json.dumps(plan, indent=2) + '\n'
  )
  print(table.text(plan))
  if not plan['fits']:
    raise errors.UserError(
      f'{plan["model"]} does not fit on {plan["pod"]}: {plan["most"] / _GB:.1f}'
      f' of {plan["memory"] / _GB:.1f} GB per device;'
      f' try {" ".join(plan["advice"])}'
    )
