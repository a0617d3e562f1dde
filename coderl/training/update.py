"""The update: objective, optimizer, batch and compiled functions."""

from collections.abc import Callable, Sequence
import dataclasses
from functools import partial

import jax
import ml_collections
import numpy as np
import optax

from coderl import types
from coderl.distributed import sharding
from coderl.models import transformer
from coderl.rl import algorithms, batching, packing, train_step
from coderl.training import progress as progress_lib
from commons import errors

# (params, batch) -> (logprobs_BR, values_BR); see train_step.score.
Score = Callable[
  [types.Params, types.RolloutBatch], tuple[np.ndarray, np.ndarray]
]


def draws_off_policy(config: ml_collections.ConfigDict) -> bool:
  """Returns whether tokens come from another distribution than the policy's.

  That is so with filters (top-k, top-p, min-p), with a server, whose numerics
  differ, and with rollouts sampled a step ahead.
  """
  s = config.sampling
  filtered = s.top_k > 0 or s.top_p < 1 or s.min_p > 0
  return bool(filtered or config.engine.url or config.train.staleness)


def make_objective(
  config: ml_collections.ConfigDict, model: transformer.ModelConfig
) -> train_step.Objective:
  """Returns the objective that the config describes for this model.

  Raises:
    UserError: an unknown algorithm, setting or target of lora.targets.
  """
  settings = config.algorithm.to_dict()
  name = settings.pop('name')
  settings.pop('oversampling')
  if not draws_off_policy(config):
    settings['importance_cap'] = 0.0
  adapters = config.lora
  if adapters.rank:
    for target in adapters.targets:
      if target not in transformer.WEIGHTS:
        raise errors.unknown(
          'target of lora.targets', target, transformer.WEIGHTS
        )
    model = dataclasses.replace(
      model,
      lora=transformer.Lora(
        adapters.rank, adapters.alpha, tuple(adapters.targets)
      ),
    )
  return train_step.Objective(
    model=model,
    algorithm=algorithms.make(
      name, max_len_tokens=config.sampling.max_len_tokens, **settings
    ),
    temperature=config.sampling.temperature,
    trajectory_weight=config.trajectory.weight,
    max_value_tokens=config.trajectory.max_value_tokens,
  )


def make_optimizer(
  *,
  learning_rate: float,
  warmup_steps: int,
  max_grad_norm: float,
  weight_decay: float,
  b1: float,
  b2: float,
) -> optax.GradientTransformation:
  """Returns AdamW with gradient clipping and a linear warm-up.

  Args:
    learning_rate: constant after the warm-up.
    warmup_steps: updates before `learning_rate` is reached; update n, from 0
      up, has the rate learning_rate (n + 1) / (warmup_steps + 1).
    max_grad_norm: the gradient is scaled down to this global norm.
    weight_decay: decoupled (arXiv 1711.05101).
    b1, b2: decay rates of the moments.
  """
  schedule = optax.linear_schedule(
    learning_rate / (warmup_steps + 1), learning_rate, warmup_steps
  )
  return optax.chain(
    optax.clip_by_global_norm(max_grad_norm),
    optax.adamw(schedule, b1, b2, weight_decay=weight_decay),
  )


class Update:
  """The compiled functions of the update.

  Args:
    objective, optimizer: static parts of the training step.
    state_layout: shardings of the TrainState.
    mesh: the mesh of the run.
    layout: bounds of the packed arrays.
    score_microbatches: microbatches of `score`.
    compilations: announces new shapes.
  """

  def __init__(
    self,
    objective: train_step.Objective,
    optimizer: optax.GradientTransformation,
    state_layout: types.TrainState,
    mesh: jax.sharding.Mesh,
    layout: batching.Layout,
    score_microbatches: int,
    compilations: progress_lib.Compilations,
  ):
    self._step = train_step.compile_step(
      objective, optimizer, state_layout, mesh
    )
    self._score = jax.jit(
      partial(train_step.score, objective=objective),
      out_shardings=sharding.replicated(mesh),
    )
    self._algorithm, self._mesh, self._layout = (
      objective.algorithm,
      mesh,
      layout,
    )
    self._score_microbatches = score_microbatches
    self._compilations = compilations

  def step(
    self, state: types.TrainState, packed: types.PackedBatch
  ) -> tuple[types.TrainState, dict[str, types.Array]]:
    """Runs train_step.train_step; `state` is donated."""
    with self._announced('train_step', packed):
      return self._step(state, self._put(packed))

  def score(
    self, params: types.Params, batch: types.RolloutBatch
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns (logprobs_BR, values_BR) under `params`; see train_step.score."""
    packed, placement = batching.pack(
      batch, self._layout, self._algorithm, self._score_microbatches
    )
    with self._announced('score', packed):
      scored = self._score(params, self._put(packed))
    return tuple(
      packing.unpack(np.asarray(x_NBR), placement, batch.mask_BR.shape)
      for x_NBR in scored
    )

  def _announced(self, function: str, packed: types.PackedBatch):
    return self._compilations.announced(
      function, '[T, R, M]', packing.packed_shape(packed)
    )

  def _put(self, packed: types.PackedBatch) -> types.PackedBatch:
    return sharding.put(packed, self._mesh, sharding.MICROBATCHES)


def make_batch(
  batch: types.RolloutBatch,
  rollouts: Sequence[types.Rollout],
  algorithm: algorithms.Algorithm,
  *,
  group_size: int,
  max_len_tokens: int,
  score: Score,
  params: types.Params,
  reference: types.Params,
) -> types.RolloutBatch:
  """Completes a padded batch with all that the loss reads.

  Adds, where the algorithm needs them, values and log-probabilities under
  `params` at the start of the update and log-probabilities under `reference`;
  then rewards with the length penalty become advantages and returns.

  Args:
    batch: the rollouts as arrays, from batching.padded.
    rollouts: scored, whole groups of `group_size` one after the other.
    algorithm: the algorithm.
    group_size: G, responses per prompt.
    max_len_tokens: the length limit of a response.
    score: computes log-probabilities and values.
    params: parameters of the policy before the update.
    reference: parameters of the reference policy; read with KL only.
  """
  if algorithm.uses_values or algorithm.importance_cap:
    logprobs_BR, values_BR = score(params, batch)
    batch = batch._replace(values_BR=values_BR)
    if algorithm.importance_cap:
      batch = batch._replace(logprobs_BR=logprobs_BR)
  if algorithm.kl_weight:
    logprobs_BR, _ = score(reference, batch)
    batch = batch._replace(ref_logprobs_BR=logprobs_BR)
  return batching.with_advantages(
    batch,
    batching.shaped_rewards(rollouts, algorithm, max_len_tokens),
    np.array([r.masked for r in rollouts]),
    algorithm,
    group_size,
  )
