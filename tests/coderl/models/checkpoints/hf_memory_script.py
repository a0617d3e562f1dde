"""Loads a sharded model and saves it; prints the memory that this takes.

huggingface_test.py runs it as a process, on a folder with a model of CONFIG.
"""

import json
import pathlib
import sys

import flax.linen as nn
import jax
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np

from coderl.distributed import sharding
from coderl.models import transformer
from coderl.models.checkpoints import huggingface

CONFIG = transformer.ModelConfig(
  vocab_size=2048,
  num_layers=12,
  d_model=768,
  num_heads=12,
  num_kv_heads=4,
  head_dim=64,
  mlp_dim=2048,
  param_dtype='bfloat16',
)


def _resident(field):
  """Returns the bytes in memory: VmRSS now, VmHWM since the last reset."""
  status = pathlib.Path('/proc/self/status').read_text()
  line = next(s for s in status.splitlines() if s.startswith(field))
  return int(line.split()[1]) * 1024


def growth(run):
  """Returns the result of `run` and the growth of the memory in bytes."""
  pathlib.Path('/proc/self/clear_refs').write_text('5')  # Resets VmHWM.
  before = _resident('VmRSS')
  result = run()
  return result, _resident('VmHWM') - before


def _other_layout(mesh, shapes):
  """Shards the axes that sharding.RULES replicates: first and last ones."""

  def shard(shape):
    spec = [None] * len(shape)
    spec[-1] = 'tensor' if shape[-1] % 2 == 0 else None
    spec[0] = 'fsdp' if shape[0] % 4 == 0 else None
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree.map(lambda s: shard(s.shape), nn.unbox(shapes))


def main(folder):
  jax.config.update('jax_num_cpu_devices', 8)
  mesh = sharding.make_mesh((1, 4, 2))
  shapes = jax.eval_shape(
    lambda key: transformer.init(key, CONFIG), jax.random.key(0)
  )
  layouts = [sharding.shardings(shapes, mesh), _other_layout(mesh, shapes)]
  (_, params), loaded = growth(
    lambda: huggingface.load(folder, layouts[0], param_dtype='bfloat16')
  )
  _, saved = growth(lambda: huggingface.save(folder / 'again', CONFIG, params))
  size = sum(a.nbytes for a in jax.tree.leaves(params))
  _, expected = huggingface.load(folder, param_dtype='bfloat16')
  equal = []
  for layout in layouts:
    _, params = huggingface.load(folder, layout, param_dtype='bfloat16')
    matches = jax.tree.map(
      lambda a, b, s: np.array_equal(a, b) and a.sharding == s,
      params,
      expected,
      layout,
    )
    equal.append(all(jax.tree.leaves(matches)))
  print(
    json.dumps(
      {
        'size': size,
        'loaded': loaded / size,
        'saved': saved / size,
        'equal': equal,
      }
    )
  )


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
