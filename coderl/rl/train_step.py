"""The training step: one pure function of (state, batch).

  loss = policy gradient (generation and alignment rows, one objective)
       + kl_weight         x KL to the reference policy
       + trajectory_weight x cross-entropy of the trajectory head
       + value_weight      x value regression (PPO)

Every term is a weighted sum over tokens whose weights were fixed on the whole
batch before it was packed and split, so neither packing nor the number of
microbatches nor the mesh changes the loss.
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

# Tokens unembedded at a time on a device. Accelerators want large matmuls.
CHUNK_TOKENS = 2048
# On CPU their logits stay in the caches, and below the 32 MiB from which on
# malloc asks the kernel for zeroed memory every time.
_CPU_CHUNK_TOKENS = (128, 512)
_CPU_CHUNK_LOGITS = 2**22


@dataclasses.dataclass(frozen=True)
class Objective:
  """Everything static about the loss.

  temperature: that of sampling; it divides the logits here as well.
  trajectory_weight: of the trajectory head's loss; 0 does without the head.
  max_value_tokens: C of the trajectory head.
  chunk_len_tokens: positions unembedded at a time; 0 is as many as suit the
    devices (chunk_len).
  """

  model: transformer.ModelConfig
  algorithm: algorithms.Algorithm
  temperature: float = 1.0
  trajectory_weight: float = 0.0
  max_value_tokens: int = 16
  chunk_len_tokens: int = 0


def chunk_len(rows: int, objective: Objective) -> int:
  """Positions of `rows` rows to unembed at a time."""
  if objective.chunk_len_tokens:
    return objective.chunk_len_tokens
  tokens = CHUNK_TOKENS
  if jax.default_backend() == 'cpu':
    least, most = _CPU_CHUNK_TOKENS
    fitting = _CPU_CHUNK_LOGITS // objective.model.vocab_size
    tokens = min(max(fitting, least), most)
  mesh = jax.sharding.get_abstract_mesh()
  parts = 1 if mesh.empty else sharding.parts(mesh, sharding.BATCH[0])
  return max(1, tokens * parts // rows)


def hidden_states(
  params: types.Params, batch: types.PackedBatch, objective: Objective
) -> tuple[Array, Array]:
  """hidden_BTD of a microbatch, and hidden_BRD before its response tokens."""
  policy, model = params['policy'], objective.model
  if 'lora' in params:
    policy = lora.attached(policy, params['lora'])
  else:  # So is the reference, which has no adapters.
    model = dataclasses.replace(model, lora=None)
  hidden_BTD = transformer.hidden_states(
    policy, model, batch.tokens_BT, batch.segments_BT
  )
  hidden_BRD = jnp.take_along_axis(
    hidden_BTD, batch.before_BR[..., None], axis=1
  )
  return hidden_BTD, sharding.over_rows(hidden_BRD)


def values(params: types.Params, hidden_BRD: Array) -> Array:
  """values_BR: of the state before each response token; no policy gradient."""
  return heads.ValueHead().apply(
    {'params': params['value']}, jax.lax.stop_gradient(hidden_BRD)
  )


def trajectory_logprobs(
  params: types.Params,
  batch: types.PackedBatch,
  hidden_BTD: Array,
  objective: Objective,
) -> Array:
  """logprobs_BMC of the target values' tokens under the trajectory head."""
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
  """What each response token adds to the loss, by term, each [B, R]."""
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
  """Token means: how far the policy is from a point, and from its sampler."""
  means = {
    'entropy': entropy_BR,
    'kl_old': losses.kl_k3(logprobs_BR, old_logprobs_BR),
    'ratio_deviation': jnp.abs(jnp.expm1(logprobs_BR - old_logprobs_BR)),
  }
  return {name: jnp.sum(token_BR * each) for name, each in means.items()}


def loss_and_metrics(
  params: types.Params, batch: types.PackedBatch, objective: Objective
) -> tuple[Array, dict[str, Array]]:
  """The loss of a microbatch: its share of the batch's loss.

  Returns:
    The share, and shares of the metrics: summed over microbatches they are
    means over the batch's tokens.
  """
  algorithm = objective.algorithm
  hidden_BTD, hidden_BRD = hidden_states(params, batch, objective)
  old_BR, token_BR = batch.logprobs_BR, batch.token_weights_BR
  read = (
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
    *read,
    temperature=objective.temperature,
    chunk=chunk_len(old_BR.shape[0], objective),
  )
  terms = policy_terms(algorithm, logprobs_BR, *read)
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
  """The trees that updates change: with adapters, all but the policy's own."""
  frozen = {'policy'} if 'lora' in params else {}
  return {name: tree for name, tree in params.items() if name not in frozen}


def train_step(
  state: types.TrainState,
  batch: types.PackedBatch,
  *,
  objective: Objective,
  optimizer: optax.GradientTransformation,
) -> tuple[types.TrainState, dict[str, Array]]:
  """One optimiser update; pure.

  Args:
    state: donated by the caller's jit.
    batch: N microbatches; those without a token are skipped.
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
  """(logprobs_NBR, values_NBR) of a batch, for the reference policy and PPO.

  values_NBR is zero where `params` has no value head.
  """

  def one(microbatch):
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

  return jax.lax.map(one, batch)


def init_params(key: Array, objective: Objective) -> types.Params:
  """Boxed parameters of the policy and the heads the objective asks for.

  The policy's draw does not depend on which heads there are; key consumed.
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
  """A fresh state laid out on the mesh, and the tree of its shardings."""
  init = partial(_boxed_state, objective=objective, optimizer=optimizer)
  _, layout = state_shapes(objective, optimizer, mesh)
  state = jax.jit(lambda k: nn.unbox(init(k)), out_shardings=layout)(key)
  return state, layout


def state_shapes(
  objective: Objective,
  optimizer: optax.GradientTransformation,
  mesh: jax.sharding.Mesh,
) -> tuple[types.TrainState, types.TrainState]:
  """Shapes of the state, of which nothing is made, and their shardings."""
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
  """`train_step` jitted: state sharded by `layout` and donated."""
  rows = jax.sharding.NamedSharding(mesh, sharding.MICROBATCHES)
  return jax.jit(
    partial(train_step, objective=objective, optimizer=optimizer),
    in_shardings=(layout, rows),
    out_shardings=(layout, sharding.replicated(mesh)),
    donate_argnums=0,
  )
