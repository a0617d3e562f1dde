"""The training step: one pure function of (state, batch).

  loss = policy gradient (of code and alignment responses alike)
       + kl_weight         x KL to the reference policy
       + trajectory_weight x cross-entropy of the trajectory head
       + value_weight      x value regression (PPO)

Every term is a weighted sum over tokens. The weights are computed on the whole
batch before it is packed and split, so the loss depends neither on packing nor
on the number of microbatches nor on the mesh.
"""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from coderl import types
from coderl.distributed import sharding
from coderl.models import heads, lora, transformer
from coderl.rl import algorithms, losses

Array = types.Array

# Tokens unembedded at once per device. Accelerators need large matmuls.
CHUNK_TOKENS = 2048
# (least, most) tokens on a CPU. A chunk's logits should stay in the caches and
# below 32 MiB, above which malloc gets zeroed memory from the kernel each time.
_CPU_CHUNK_TOKENS = (128, 512)
_CPU_CHUNK_LOGITS = 2**22


@dataclasses.dataclass(frozen=True)
class Objective:
  """The static parts of the loss.

  Attributes:
    model: the policy's architecture.
    algorithm: the RL algorithm.
    temperature: the sampling temperature; it divides the logits here as well.
    trajectory_weight: weight of the trajectory head's loss; at 0 there is no
      head.
    max_value_tokens: C of the trajectory head.
    chunk_len_tokens: positions unembedded at once; 0 lets `chunk_len` choose.
  """

  model: transformer.ModelConfig
  algorithm: algorithms.Algorithm
  temperature: float = 1.0
  trajectory_weight: float = 0.0
  max_value_tokens: int = 16
  chunk_len_tokens: int = 0


def chunk_len(rows: int, objective: Objective) -> int:
  """Returns how many positions of `rows` packed rows to unembed at once."""
  if objective.chunk_len_tokens:
    return objective.chunk_len_tokens
  tokens = CHUNK_TOKENS
  if jax.default_backend() == 'cpu':
    least, most = _CPU_CHUNK_TOKENS
    cached = _CPU_CHUNK_LOGITS // objective.model.vocab_size
    tokens = min(max(cached, least), most)
  mesh = jax.sharding.get_abstract_mesh()
  shards = 1 if mesh.empty else sharding.num_shards(mesh, sharding.BATCH[0])
  return max(1, tokens * shards // rows)


def hidden_states(
  params: types.Params, batch: types.PackedBatch, objective: Objective
) -> tuple[Array, Array]:
  """Runs the policy on a microbatch.

  Returns:
    hidden_BTD, and hidden_BRD at the positions that predict response tokens.
  """
  policy, model = params['policy'], objective.model
  if 'lora' in params:
    policy = lora.attached(policy, params['lora'])
  else:  # The reference policy has no adapters.
    model = dataclasses.replace(model, lora=None)
  hidden_BTD = transformer.hidden_states(
    policy, model, batch.tokens_BT, batch.segments_BT
  )
  hidden_BRD = jnp.take_along_axis(
    hidden_BTD, batch.before_BR[..., None], axis=1
  )
  return hidden_BTD, sharding.shard_batch(hidden_BRD)


def values(params: types.Params, hidden_BRD: Array) -> Array:
  """Returns values_BR, the value head's output before each response token.

  The hidden states are detached, so the value loss does not move the policy.
  """
  return heads.ValueHead().apply(
    {'params': params['value']}, jax.lax.stop_gradient(hidden_BRD)
  )


def trajectory_logprobs(
  params: types.Params,
  batch: types.PackedBatch,
  hidden_BTD: Array,
  objective: Objective,
) -> Array:
  """Returns logprobs_BMC of the target values' tokens (trajectory head)."""
  policy = params['policy']
  out_BMCD = heads.trajectory_states(
    params['trajectory'],
    policy,
    objective.model,
    hidden_BTD,
    batch.queries_BM,
    batch.values_BMC,
  )
  b, m, c, d = out_BMCD.shape
  logprobs, _ = losses.token_logprobs(
    out_BMCD.reshape(b, m * c, d),
    jax.lax.stop_gradient(transformer.unembedding(policy, objective.model)),
    batch.values_BMC.reshape(b, m * c),
    temperature=1.0,
    chunk=chunk_len(b, objective),
  )
  return logprobs.reshape(b, m, c)


def policy_terms(
  algorithm: algorithms.Algorithm,
  logprobs_BR: Array,
  old_logprobs_BR: Array,
  advantages_BR: Array,
  ref_logprobs_BR: Array,
  weights_BR: Array,
) -> dict[str, Array]:
  """Returns the weighted policy and KL terms of the loss, each [B, R]."""
  surrogate_BR = algorithm.policy_loss(
    logprobs_BR, old_logprobs_BR, advantages_BR
  )
  terms = {'policy': weights_BR * surrogate_BR}
  if algorithm.kl_weight:
    kl_BR = algorithm.kl(logprobs_BR, ref_logprobs_BR)
    terms['kl'] = algorithm.kl_weight * weights_BR * kl_BR
  return terms


def distances(
  logprobs_BR: Array, old_logprobs_BR: Array, entropy_BR: Array, token_BR: Array
) -> dict[str, Array]:
  """Returns token means of the entropy and of distances to the old policy.

  kl_old is k3 of the KL, ratio_deviation is |pi / pi_old - 1|.
  """
  means = {
    'entropy': entropy_BR,
    'kl_old': losses.kl_k3(logprobs_BR, old_logprobs_BR),
    'ratio_deviation': jnp.abs(jnp.expm1(logprobs_BR - old_logprobs_BR)),
  }
  return {name: jnp.sum(token_BR * x_BR) for name, x_BR in means.items()}


def loss_and_metrics(
  params: types.Params, batch: types.PackedBatch, objective: Objective
) -> tuple[Array, dict[str, Array]]:
  """Returns a microbatch's share of the batch's loss and of its metrics.

  Summed over microbatches, the shares are the loss of the batch and means over
  its tokens.
  """
  algorithm = objective.algorithm
  hidden_BTD, hidden_BRD = hidden_states(params, batch, objective)
  old_BR, token_BR = batch.logprobs_BR, batch.token_weights_BR
  inputs = (
    old_BR,
    batch.advantages_BR,
    batch.ref_logprobs_BR,
    batch.policy_weights_BR,
  )
  loss, logprobs_BR, entropy_BR = losses.token_loss(
    lambda *arrays: sum(policy_terms(algorithm, *arrays).values()),
    hidden_BRD,
    transformer.unembedding(params['policy'], objective.model),
    batch.targets_BR,
    *inputs,
    temperature=objective.temperature,
    chunk=chunk_len(old_BR.shape[0], objective),
  )
  terms = policy_terms(algorithm, logprobs_BR, *inputs)
  metrics = {'policy_loss': jnp.sum(terms['policy'])}
  metrics |= distances(logprobs_BR, old_BR, entropy_BR, token_BR)
  if algorithm.kl_weight:
    metrics['kl_reference'] = jnp.sum(terms['kl']) / algorithm.kl_weight
  if objective.trajectory_weight:
    logprobs_BMC = trajectory_logprobs(params, batch, hidden_BTD, objective)
    metrics['trajectory_loss'] = -jnp.sum(
      batch.value_weights_BMC * logprobs_BMC
    )
    loss += objective.trajectory_weight * metrics['trajectory_loss']
  if algorithm.uses_values:
    error_BR = algorithm.value_loss(
      values(params, hidden_BRD), batch.values_BR, batch.returns_BR
    )
    metrics['value_loss'] = jnp.sum(token_BR * error_BR)
    loss += algorithm.value_weight * metrics['value_loss']
  return loss, metrics | {'loss': loss}


def trained(params: types.Params) -> types.Params:
  """Returns the trees that updates change: with adapters, not the policy."""
  frozen = {'policy'} if 'lora' in params else {}
  return {name: tree for name, tree in params.items() if name not in frozen}


def train_step(
  state: types.TrainState,
  batch: types.PackedBatch,
  *,
  objective: Objective,
  optimizer: optax.GradientTransformation,
) -> tuple[types.TrainState, dict[str, Array]]:
  """Does one optimizer update; a pure function.

  Args:
    state: donated by `compile_step`.
    batch: N microbatches; empty ones are skipped.
    objective, optimizer: static.

  Returns:
    The next state, and the metrics of the batch (token means).
  """
  params = trained(state.params)

  @partial(jax.value_and_grad, has_aux=True)
  def gradient(params, microbatch):
    return loss_and_metrics(state.params | params, microbatch, objective)

  def add(total, microbatch):
    (_, metrics), grads = gradient(params, microbatch)
    return jax.tree.map(jnp.add, total, (grads, metrics))

  def accumulate(total, microbatch):
    used = jnp.any(microbatch.segments_BT > 0)
    skip = lambda total, _: total
    return jax.lax.cond(used, add, skip, total, microbatch), None

  first = jax.tree.map(lambda a: a[0], batch)
  shapes = jax.eval_shape(gradient, params, first)
  zeros = lambda tree: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tree)
  (grads, metrics), _ = jax.lax.scan(
    accumulate, (zeros(shapes[1]), zeros(shapes[0][1])), batch
  )
  updates, opt_state = optimizer.update(grads, state.opt_state, params)
  metrics['grad_norm'] = optax.tree.norm(grads)
  return types.TrainState(
    step=state.step + 1,
    params=state.params | optax.apply_updates(params, updates),
    opt_state=opt_state,
  ), metrics


def score(
  params: types.Params, batch: types.PackedBatch, *, objective: Objective
) -> tuple[Array, Array]:
  """Returns (logprobs_NBR, values_NBR) of a batch under `params`.

  values_NBR is zero if `params` has no value head.
  """

  def score_microbatch(microbatch):
    _, hidden_BRD = hidden_states(params, microbatch, objective)
    logprobs_BR, _ = losses.token_logprobs(
      hidden_BRD,
      transformer.unembedding(params['policy'], objective.model),
      microbatch.targets_BR,
      temperature=objective.temperature,
      chunk=chunk_len(hidden_BRD.shape[0], objective),
    )
    if 'value' not in params:
      return logprobs_BR, jnp.zeros_like(logprobs_BR)
    return logprobs_BR, values(params, hidden_BRD)

  return jax.lax.map(score_microbatch, batch)


def init_params(key: Array, objective: Objective) -> types.Params:
  """Draws boxed parameters of the policy and of the objective's heads.

  The policy's parameters do not depend on which heads there are. The key is
  consumed.
  """
  model = objective.model
  without = dataclasses.replace(model, lora=None)
  params = {'policy': transformer.init(jax.random.fold_in(key, 0), without)}
  if model.lora:
    params['lora'] = lora.init(jax.random.fold_in(key, 3), model)
  if objective.trajectory_weight:
    params['trajectory'] = heads.init_trajectory(
      jax.random.fold_in(key, 1),
      heads.HeadConfig(model.d_model, objective.max_value_tokens),
    )
  if objective.algorithm.uses_values:
    params['value'] = heads.init_value(
      jax.random.fold_in(key, 2), model.d_model
    )
  return params


def init_state(
  key: Array,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  mesh: jax.sharding.Mesh,
) -> tuple[types.TrainState, types.TrainState]:
  """Draws a state sharded over the mesh; returns it and its shardings."""
  init = partial(_boxed_state, objective=objective, optimizer=optimizer)
  _, layout = state_shapes(objective, optimizer, mesh)
  state = jax.jit(lambda k: nn.unbox(init(k)), out_shardings=layout)(key)
  return state, layout


def state_shapes(
  objective: Objective,
  optimizer: optax.GradientTransformation,
  mesh: jax.sharding.Mesh,
) -> tuple[types.TrainState, types.TrainState]:
  """Returns the shapes of the state and its shardings; allocates nothing."""
  init = partial(_boxed_state, objective=objective, optimizer=optimizer)
  boxed = jax.eval_shape(init, jax.random.key(0))
  return nn.unbox(boxed), sharding.shardings(boxed, mesh)


def _boxed_state(key, objective, optimizer) -> types.TrainState:
  params = init_params(key, objective)
  return types.TrainState(
    jnp.zeros((), jnp.int32), params, optimizer.init(trained(params))
  )


def compile_step(
  objective: Objective,
  optimizer: optax.GradientTransformation,
  layout: types.TrainState,
  mesh: jax.sharding.Mesh,
):
  """Returns `train_step` jitted; the state is sharded by `layout`, donated."""
  rows = jax.sharding.NamedSharding(mesh, sharding.MICROBATCHES)
  return jax.jit(
    partial(train_step, objective=objective, optimizer=optimizer),
    in_shardings=(layout, rows),
    out_shardings=(layout, sharding.replicated(mesh)),
    donate_argnums=0,
  )
