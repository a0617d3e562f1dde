"""This project's part of benchmarks/rl_step.py.

It calls the functions that training consists of. The first argument holds the
settings as JSON, the second is the command:

  steps  prints a JSON line for every step: rollout, reward on the host,
         advantages, the reference's log-probabilities, update
  gap    prints how far log-probabilities of sampling and of training differ
  rates  prints the floating-point operations per second of this host's matmuls
"""

from functools import partial
import json
import os
import sys
import time

os.environ['JAX_PLATFORMS'] = 'cpu'

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rl_step_work

from coderl import types
from coderl.distributed import sharding
from coderl.models import transformer
from coderl.rl import algorithms, batching, packing, train_step
from coderl.sampling import sampler, sharded_sampler

_REPEATS = 10
# An eighth of the batch at a time fits the caches better.
_MICROBATCHES = 8


def make_objective(
  work: rl_step_work.Work, dtype: str = 'float32'
) -> train_step.Objective:
  model = transformer.ModelConfig(
    vocab_size=work.vocab,
    num_layers=work.layers,
    d_model=work.d_model,
    num_heads=work.heads,
    num_kv_heads=work.kv_heads,
    head_dim=work.head_dim,
    mlp_dim=work.mlp_dim,
    dtype=dtype,
  )
  return train_step.Objective(
    model, algorithms.make('grpo', kl_weight=work.kl_weight)
  )


def sampled(
  params: types.Params,
  work: rl_step_work.Work,
  model: transformer.ModelConfig,
  mesh: jax.sharding.Mesh,
  step: int,
) -> tuple[np.ndarray, sampler.Samples]:
  """Samples the responses of a step; returns its prompts and the samples."""
  rng = np.random.default_rng(step)
  shape = (work.prompts, work.prompt_len)
  prompts_UP = rng.integers(0, 26, shape).astype(np.int32)
  arrays = (
    prompts_UP,
    np.ones(shape, bool),
    np.arange(work.prompts, dtype=np.int32),
  )
  samples, _ = sharded_sampler.generate(
    params,
    *sharding.put(arrays, mesh),
    jax.random.key(step),
    model=model,
    config=sampler.SamplingConfig(
      group_size=work.group, max_len_tokens=work.response_len
    ),
    stop_ids=(),
  )
  return prompts_UP, jax.device_get(samples)


def padded(
  prompts_UP: np.ndarray, samples: sampler.Samples, work: rl_step_work.Work
) -> types.RolloutBatch:
  """Returns a batch without advantages and reference log-probabilities."""
  prompts_BP = np.repeat(prompts_UP, work.group, axis=0)
  tokens_BT = np.concatenate([prompts_BP, samples.tokens_NR], axis=1)
  positions_R = np.arange(work.response_len)
  zeros_BR = np.zeros(samples.tokens_NR.shape, np.float32)
  return types.RolloutBatch(
    tokens_BT=tokens_BT,
    valid_BT=np.ones(tokens_BT.shape, bool),
    mask_BR=positions_R < samples.len_N[:, None],
    logprobs_BR=samples.logprobs_NR,
    advantages_BR=zeros_BR,
    returns_BR=zeros_BR,
    values_BR=zeros_BR,
    ref_logprobs_BR=zeros_BR,
    drawn_logprobs_BR=samples.logprobs_NR,
    queries_BM=np.zeros((work.rows, 0), np.int32),
    values_BMC=np.zeros((work.rows, 0, 1), np.int32),
    values_mask_BMC=np.zeros((work.rows, 0, 1), bool),
  )


def packed(
  batch: types.RolloutBatch,
  objective: train_step.Objective,
  mesh: jax.sharding.Mesh,
) -> tuple[types.PackedBatch, packing.Placement]:
  arrays, placement = batching.pack(
    batch, batching.Layout(8, 0, 1), objective.algorithm, _MICROBATCHES
  )
  return sharding.put(arrays, mesh, sharding.MICROBATCHES), placement


def steps(work: rl_step_work.Work, mesh: jax.sharding.Mesh) -> None:
  """Runs the steps and prints their times."""
  objective = make_objective(work)
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0), optax.adamw(work.learning_rate)
  )
  state, layout = train_step.init_state(
    jax.random.key(0), objective, optimizer, mesh
  )
  update = train_step.compile_step(objective, optimizer, layout, mesh)
  score = jax.jit(partial(train_step.score, objective=objective))
  # A copy, because the update donates the state.
  reference = jax.tree.map(jnp.copy, state.params) if work.kl_weight else None
  meter, finite = rl_step_work.Meter(), True
  for step in range(work.steps):
    with meter.rollout():
      prompts_UP, samples = sampled(
        state.params['policy'], work, objective.model, mesh, step
      )
    responses = [
      row[:length].tolist()
      for row, length in zip(samples.tokens_NR, samples.len_N, strict=True)
    ]
    rewards = [rl_step_work.reward(response) for response in responses]
    meter.rewarded(responses, rewards)
    batch = padded(prompts_UP, samples, work)
    if work.kl_weight:
      arrays, placement = packed(batch, objective, mesh)
      logprobs_NBR, _ = score(reference, arrays)
      batch = batch._replace(
        ref_logprobs_BR=packing.unpack(
          np.asarray(logprobs_NBR), placement, batch.mask_BR.shape
        )
      )
    batch = batching.with_advantages(
      batch,
      np.array(rewards, np.float32),
      np.zeros(work.rows, bool),
      objective.algorithm,
      work.group,
    )
    arrays, _ = packed(batch, objective, mesh)
    state, metrics = update(state, arrays)
    finite &= bool(np.isfinite(samples.logprobs_NR).all())
    finite &= all(np.isfinite(jax.device_get(list(metrics.values()))))
  leaves = jax.tree.leaves(state.params)
  rl_step_work.finish(finite and all(jnp.isfinite(a).all() for a in leaves))


def gap(work: rl_step_work.Work, mesh: jax.sharding.Mesh) -> None:
  """Prints how far log-probabilities of sampling and training differ."""
  gaps = {}
  for dtype in 'float32', 'bfloat16':
    objective = make_objective(work, dtype)
    state, _ = train_step.init_state(
      jax.random.key(0), objective, optax.sgd(0.0), mesh
    )
    samples = sampled(
      state.params['policy'], work, objective.model, mesh, step=0
    )
    batch = padded(*samples, work)
    arrays, placement = packed(batch, objective, mesh)
    trained_NBR, _ = train_step.score(state.params, arrays, objective=objective)
    trained_BR = packing.unpack(
      np.asarray(trained_NBR), placement, batch.mask_BR.shape
    )
    gap_BR = np.abs(trained_BR - samples[1].logprobs_NR)
    gaps[dtype] = {
      'mean': float(gap_BR.mean()),
      'max': float(gap_BR.max()),
    }
  print(json.dumps(gaps))


def rates(work: rl_step_work.Work) -> None:
  """Prints the best rates of the matmuls of the MLP and the unembedding."""
  best_rates = {}
  w = work
  for rows, inner, columns in (
    (w.rows * (w.prompt_len + w.response_len), w.d_model, w.mlp_dim),
    (4096, w.d_model, w.mlp_dim),
    (4096, w.mlp_dim, w.d_model),
    (512, w.d_model, w.vocab),
    (128, w.d_model, w.vocab),
  ):
    a = jnp.ones((rows, inner))
    b = jnp.ones((inner, columns))
    count = max(1, 2**33 // (2 * rows * inner * columns))
    matmul = jax.jit(jnp.matmul)
    jax.block_until_ready(matmul(a, b))
    best_s = best_cpu_s = float('inf')
    for _ in range(_REPEATS):
      start = time.perf_counter(), rl_step_work.cpu_s()
      for _ in range(count):
        out = matmul(a, b)
      jax.block_until_ready(out)
      best_s = min(best_s, time.perf_counter() - start[0])
      best_cpu_s = min(best_cpu_s, rl_step_work.cpu_s() - start[1])
    flops = 2 * rows * inner * columns * count
    best_rates[f'[{rows},{inner}]x[{inner},{columns}]'] = {
      'per_s': flops / best_s,
      'per_cpu_s': flops / best_cpu_s,
    }
  print(json.dumps(best_rates))


def main() -> None:
  work = rl_step_work.work_from_argv()
  command = sys.argv[2]
  if command == 'rates':
    rates(work)
    return
  mesh = sharding.make_mesh((-1, 1, 1))
  with jax.set_mesh(mesh):
    {'steps': steps, 'gap': gap}[command](work, mesh)


if __name__ == '__main__':
  main()
