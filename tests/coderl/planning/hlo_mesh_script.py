"""Prints the collectives of a program compiled for four devices.

It runs in a separate process, since JAX fixes the number of devices when it is
first used.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from coderl.planning import hlo_collectives


def main():
  jax.config.update('jax_num_cpu_devices', 4)
  mesh = jax.make_mesh((4,), ('data',))

  def step(x, _):
    return jax.lax.psum(jnp.sin(x), 'data'), None

  def loop(x):
    return jax.lax.scan(step, x, None, length=5)[0]

  split = jax.shard_map(
    loop,
    mesh=mesh,
    in_specs=PartitionSpec(),
    out_specs=PartitionSpec(),
    check_vma=False,
  )
  text = jax.jit(split).lower(jnp.ones((8, 16))).compile().as_text()
  print(
    json.dumps(
      [dataclasses.asdict(c) for c in hlo_collectives.collectives(text)]
    )
  )


if __name__ == '__main__':
  main()
