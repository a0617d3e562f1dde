"""From scored rollouts to the update: batches, and the compiled functions."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from coderl import types
from coderl.distributed import sharding
from coderl.rl import batching, packing, train_step
from coderl.training import setup


class Updates:
  """The compiled functions of the update."""

  def __init__(self, ex: setup.Experiment, layout: types.TrainState):
    t = ex.config.train
    self._step = train_step.compile_step(
      ex.objective, ex.optimizer, layout, ex.mesh
    )
    self._score = jax.jit(
      partial(train_step.score, objective=ex.objective),
      out_shardings=sharding.replicated(ex.mesh),
    )
    self._ex, self._microbatches = ex, t.microbatches * t.minibatches

  def step(
    self, state: types.TrainState, packed: types.PackedBatch
  ) -> tuple[types.TrainState, dict[str, types.Array]]:
    """One update; see train_step.train_step. The state's memory is taken."""
    return self._step(state, self._put(packed))

  def score(
    self, params: types.Params, batch: types.RolloutBatch
  ) -> tuple[np.ndarray, np.ndarray]:
    """(logprobs_BR, values_BR) by these params; see train_step.score."""
    packed, places = batching.pack(
      batch, self._ex.layout, self._ex.objective.algorithm, self._microbatches
    )
    scored = self._score(params, self._put(packed))
    return tuple(
      packing.unpack(np.asarray(x_NBR), places, batch.mask_BR.shape)
      for x_NBR in scored
    )

  def _put(self, packed: types.PackedBatch) -> types.PackedBatch:
    return sharding.put(packed, self._ex.mesh, sharding.MICROBATCHES)


def make_batch(
  ex: setup.Experiment,
  rollouts: Sequence[types.Rollout],
  params: types.Params,
  compiled: Updates,
) -> types.RolloutBatch:
  """Arrays with everything the loss reads."""
  algorithm = ex.objective.algorithm
  batch = batching.padded(rollouts, ex.layout, ex.start.tokenizer)
  if algorithm.uses_values or algorithm.importance_cap:
    logprobs_BR, values_BR = compiled.score(params, batch)
    batch = batch._replace(values_BR=values_BR)
    if algorithm.importance_cap:
      batch = batch._replace(logprobs_BR=logprobs_BR)
  if algorithm.kl_weight:
    logprobs_BR, _ = compiled.score({'policy': ex.start.params}, batch)
    batch = batch._replace(ref_logprobs_BR=logprobs_BR)
  return batching.with_advantages(
    batch,
    batching.shaped_rewards(
      rollouts, algorithm, ex.config.sampling.max_len_tokens
    ),
    np.array([r.masked for r in rollouts]),
    algorithm,
    ex.config.sampling.group_size,
  )
