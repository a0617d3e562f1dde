"""Compares the memory of a training step with its plan.

  python benchmarks/memory.py --json memory.json

The training step of the embedded policy runs on one CPU device. Its memory is
planned as for a pod, by XLA's analysis of the compiled step (coderl/plan.py)
and by the arithmetic of coderl/planning/estimates.py. The measured memory is
the growth of the process's resident memory. The plan must be within 15% of it.
"""

import argparse
from collections.abc import Sequence
import ctypes
import gc
import json
import pathlib
import sys

import jax
import jax.numpy as jnp

from coderl import plan
from coderl.distributed import sharding
from coderl.models import presets
from coderl.planning import estimates, hardware, workload
from coderl.rl import train_step
from coderl.training import update
from configs import coderl_plan

_STATUS = pathlib.Path('/proc/self/status')
_RESET_PEAK = '5'  # Written to clear_refs.
_STEPS = 2


def resident(field: str) -> int:
  """Returns the resident bytes: VmRSS is the present, VmHWM the peak."""
  for line in _STATUS.read_text().splitlines():
    name, _, size = line.partition(':')
    if name == field:
      return int(size.split()[0]) * 1024
  raise KeyError(field)


def peak_of(run) -> int:
  """Returns the peak growth of the resident bytes while `run` runs."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  before = resident('VmRSS')
  pathlib.Path('/proc/self/clear_refs').write_text(_RESET_PEAK)
  run()
  return resident('VmHWM') - before


def cpu_workload(prompts: int) -> workload.Workload:
  """Returns the update of the embedded policy by the shipped config."""
  config = coderl_plan.get_config('model=tiny')
  config.train.prompts_per_step = prompts
  config.train.microbatches = 1
  mesh = sharding.make_mesh((1, -1, 1))
  chip = hardware.Chip('cpu', 16e9, 1e11, 1e10, 1e10)
  objective = update.make_objective(config, presets.PRESETS['tiny'])
  return workload.Workload(
    config,
    objective,
    update.make_optimizer(**config.optimizer),
    mesh,
    hardware.Pod('cpu:1', chip, 1, tuple(jax.devices())),
  )


def main(argv: Sequence[str]) -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--prompts', type=int, default=16)
  parser.add_argument('--json')
  args = parser.parse_args(argv)
  work = cpu_workload(args.prompts)
  shapes = workload.batch_shapes(work)
  _, layout = train_step.state_shapes(work.objective, work.optimizer, work.mesh)
  step = train_step.compile_step(
    work.objective, work.optimizer, layout, work.mesh
  )

  def run():
    state, _ = train_step.init_state(
      jax.random.key(0), work.objective, work.optimizer, work.mesh
    )
    # Every packed sequence is one segment.
    batch = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), shapes)
    batch = sharding.put(batch, work.mesh, sharding.MICROBATCHES)
    for _ in range(_STEPS):
      state, metrics = step(state, batch)
    jax.block_until_ready((state, metrics))

  with jax.set_mesh(work.mesh):
    compiled = plan.train_phase(work).temporaries
    run()  # Compiles.
    measured = peak_of(run)
  state = sum(estimates.resident_bytes(work).values())
  batch = sum(s.size * s.dtype.itemsize for s in jax.tree.leaves(shapes))
  rest = {
    'compiled': compiled,
    'by_arithmetic': estimates.train_temporary_bytes(work),
  }
  planned = {name: state + batch + size for name, size in rest.items()}
  print(f'{"measured":<16}{measured / 1e6:9.1f} MB')
  for name, size in planned.items():
    print(f'{name:<16}{size / 1e6:9.1f} MB {size / measured:6.3f}')
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as f:
      json.dump({'measured': measured, **planned}, f, indent=2)
  assert abs(planned['compiled'] / measured - 1) <= 0.15


if __name__ == '__main__':
  main(sys.argv[1:])
