"""Prints the losses of three steps on meshes of one, two and eight devices.

Runs in a separate process, because the number of devices is fixed at the first
use.
"""

import dataclasses
import json
import math

import jax
import optax

from coderl.distributed import sharding
from coderl.models import transformer
from coderl.rl import algorithms, train_step
from tests.coderl.rl import train_step_test

MESHES = ((1, 1, 1), (1, 2, 1), (8, 1, 1), (2, 2, 2), (1, 2, 4))


def losses(shape, objective, batch):
  optimizer = optax.adam(1e-2)
  devices = jax.devices()[: math.prod(shape)]
  mesh = jax.make_mesh(
    shape, sharding.AXES, devices=devices, axis_types=sharding.AXIS_TYPES
  )
  sharding.check_batch(len(batch.mask_BR), 'batch', mesh, 2)
  with jax.set_mesh(mesh):
    state, layout = train_step.init_state(
      jax.random.key(0), objective, optimizer, mesh
    )
    step = train_step.compile_step(objective, optimizer, layout, mesh)
    packed, _ = train_step_test.packed(batch, objective, 2)
    batch, out = sharding.put(packed, mesh, sharding.MICROBATCHES), []
    for _ in range(3):
      state, metrics = step(state, batch)
      out.append(float(metrics['loss']))
  return out


def main():
  jax.config.update('jax_num_cpu_devices', 8)
  objective = train_step.Objective(
    transformer.ModelConfig(**train_step_test.SIZES),
    dataclasses.replace(algorithms.ALGORITHMS['ppo'], kl_weight=0.1),
    trajectory_weight=0.3,
    max_value_tokens=train_step_test.C,
  )
  batch = train_step_test.random_batch(rows=16)
  print(json.dumps([losses(shape, objective, batch) for shape in MESHES]))


if __name__ == '__main__':
  main()
