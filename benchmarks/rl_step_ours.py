"""Our side of rl_step.py: the functions of training, in its order."""

from functools import partial
import sys
import time

import jax
import numpy as np
import optax
import rl_step_work

from coderl import advantages, algorithms, sampling, sharding, train_step, types
from coderl.models import transformer

MODEL = partial(
  transformer.ModelConfig,
  num_layers=rl_step_work.LAYERS,
  d_model=rl_step_work.D_MODEL,
  num_heads=rl_step_work.HEADS,
  num_kv_heads=rl_step_work.KV_HEADS,
  head_dim=rl_step_work.HEAD_DIM,
  mlp_dim=rl_step_work.MLP_DIM,
)
MICROBATCHES = 4


def draw_prompts(rng: np.random.Generator, work: rl_step_work.Work):
  shape = (work.prompts, rl_step_work.PROMPT_LEN)
  return rng.integers(0, work.vocab, shape).astype(np.int32)


def rewards(tokens_NR: np.ndarray) -> np.ndarray:
  return (tokens_NR < rl_step_work.REWARDED_IDS).mean(axis=1, dtype=np.float32)


def make_batch(
  prompts_UP: np.ndarray, samples: sampling.Samples
) -> types.RolloutBatch:
  """The batch of GRPO, the reference's log-probabilities still zero."""
  g, (n, r) = rl_step_work.GROUP, samples.tokens_NR.shape
  groups = rewards(samples.tokens_NR).reshape(-1, g)
  advantages_B = np.asarray(
    advantages.group_normalized(groups, np.ones_like(groups, bool))
  ).reshape(-1)
  tokens_BT = np.concatenate(
    [np.repeat(prompts_UP, g, 0), samples.tokens_NR], axis=1
  )
  zeros_BR = np.zeros((n, r), np.float32)
  return types.RolloutBatch(
    tokens_BT=tokens_BT,
    valid_BT=np.ones_like(tokens_BT, bool),
    mask_BR=np.ones((n, r), bool),
    logprobs_BR=samples.logprobs_NR,
    advantages_BR=np.repeat(advantages_B[:, None], r, 1),
    returns_BR=zeros_BR,
    values_BR=zeros_BR,
    ref_logprobs_BR=zeros_BR,
    queries_BM=np.zeros((n, 0), np.int32),
    values_BMC=np.zeros((n, 0, 1), np.int32),
    values_mask_BMC=np.zeros((n, 0, 1), bool),
  )


def logprob_gap(model, params, prompts_UP, key) -> dict[str, float]:
  """|sampled - trained| log-probabilities of the same tokens."""
  samples = rollout(model, params, prompts_UP, key)[0]
  batch = make_batch(prompts_UP, samples)
  objective = train_step.Objective(model, algorithms.ALGORITHMS['grpo'])
  trained, _ = jax.jit(
    partial(
      train_step.score, objective=objective, num_microbatches=MICROBATCHES
    )
  )({'policy': params}, batch)
  gap = np.abs(np.asarray(trained) - samples.logprobs_NR)
  return {'mean': float(gap.mean()), 'max': float(gap.max())}


def rollout(model, params, prompts_UP, key) -> tuple[sampling.Samples, float]:
  """The samples, on the host, and how long they took."""
  began = time.perf_counter()
  samples, _ = sampling.generate(
    params,
    prompts_UP,
    np.ones_like(prompts_UP, bool),
    np.arange(len(prompts_UP), dtype=np.int32),
    key,
    model=model,
    config=sampling.SamplingConfig(
      rl_step_work.GROUP, rl_step_work.RESPONSE_LEN
    ),
    stop_ids=(model.vocab_size,),  # None is ever drawn.
  )
  return jax.device_get(samples), time.perf_counter() - began


def main(argv):
  work = rl_step_work.parse_work(argv, __doc__)
  model = MODEL(vocab_size=work.vocab)
  mesh = sharding.make_mesh((1, -1, 1))
  objective = train_step.Objective(
    model, algorithms.make('grpo', kl_weight=work.kl_weight)
  )
  optimizer = optax.adamw(rl_step_work.LEARNING_RATE)
  rng, key = np.random.default_rng(0), jax.random.key(0)
  with jax.set_mesh(mesh):
    state, layout = train_step.init_state(key, objective, optimizer, mesh)
    update = train_step.compile_step(
      objective, optimizer, MICROBATCHES, layout, mesh
    )
    score = jax.jit(
      partial(
        train_step.score, objective=objective, num_microbatches=MICROBATCHES
      )
    )
    reference = jax.tree.map(np.array, state.params) if work.kl_weight else None
    clock, reward = rl_step_work.Clock(), []
    for step in range(work.steps):
      prompts_UP = draw_prompts(rng, work)
      samples, seconds = rollout(
        model, state.params['policy'], prompts_UP, jax.random.fold_in(key, step)
      )
      clock.rolled_out(seconds)
      batch = make_batch(prompts_UP, samples)
      if reference:
        logprobs_BR, _ = score(reference, batch)
        batch = batch._replace(ref_logprobs_BR=np.asarray(logprobs_BR))
      state, metrics = update(state, sharding.put_batch(batch, mesh))
      loss = float(metrics['loss'])
      clock.step(int(samples.len_N.sum()))
      assert np.isfinite(loss) and np.isfinite(samples.logprobs_NR).all()
      reward.append(float(rewards(samples.tokens_NR).mean()))
  clock.report(reward=reward)


def main_gap(argv):
  """Prints the gaps between sampler and training forward, by dtype."""
  work = rl_step_work.parse_work(argv, main_gap.__doc__)
  prompts_UP = draw_prompts(np.random.default_rng(0), work)
  mesh = sharding.make_mesh((1, -1, 1))
  gaps = {}
  for dtype in ('float32', 'bfloat16'):
    model = MODEL(vocab_size=work.vocab, dtype=dtype)
    objective = train_step.Objective(model, algorithms.ALGORITHMS['grpo'])
    with jax.set_mesh(mesh):
      state, _ = train_step.init_state(
        jax.random.key(0), objective, optax.sgd(0.0), mesh
      )
      gaps[dtype] = logprob_gap(
        model, state.params['policy'], prompts_UP, jax.random.key(1)
      )
  rl_step_work.Clock().report(gaps=gaps)


if __name__ == '__main__':
  if sys.argv[1:2] == ['gap']:
    main_gap(sys.argv[2:])
  else:
    main(sys.argv[1:])
