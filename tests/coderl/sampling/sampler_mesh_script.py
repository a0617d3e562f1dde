"""Prints the samples of one seed on several meshes of eight devices.

Runs in a process with JAX_NUM_CPU_DEVICES=8 in its environment, because the
number of devices is fixed at the first use.
"""

import json

import flax.linen as nn
import jax
import numpy as np

from coderl.distributed import sharding
from coderl.models import transformer
from coderl.sampling import sampler, sharded_sampler
from tests.coderl.sampling import sampler_test

MESHES = ((1, 8, 1), (8, 1, 1), (2, 2, 2), (1, 2, 4), (1, 1, 8))
PROMPTS = 8


def samples(shape, slots):
  mesh = sharding.make_mesh(shape)
  model = sampler_test.CONFIG
  boxed = jax.eval_shape(
    lambda key: transformer.init(key, model), jax.random.key(0)
  )
  layout = sharding.shardings(boxed, mesh)
  params = jax.device_put(sampler_test.PARAMS, layout)
  assert jax.tree.structure(nn.unbox(boxed)) == jax.tree.structure(params)
  rng = np.random.default_rng(1)
  prompts = rng.integers(0, model.vocab_size, (PROMPTS, 5)).astype(np.int32)
  valid = np.arange(5) >= rng.integers(0, 4, (PROMPTS, 1))
  index = np.arange(PROMPTS, dtype=np.int32)
  with jax.set_mesh(mesh):
    drawn, steps = sharded_sampler.generate(
      params,
      *sharding.put((prompts, valid, index), mesh),
      jax.random.key(0),
      model=model,
      config=sampler.SamplingConfig(3, 9, slots=slots),
      stop_ids=(6,),
    )
  return {
    'tokens': np.asarray(drawn.tokens_NR).tolist(),
    'len': np.asarray(drawn.len_N).tolist(),
    'logprobs': np.asarray(drawn.logprobs_NR, np.float64).tolist(),
    'shards': len(steps),
  }


def main():
  by_mesh = {f'{shape}': samples(shape, 0) for shape in MESHES}
  by_mesh['slots'] = samples((2, 2, 2), 8)
  print(json.dumps(by_mesh))


if __name__ == '__main__':
  main()
