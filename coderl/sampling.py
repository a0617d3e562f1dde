"""Sampling: a state and a step.

Each prompt is prefilled once; its keys and values are shared by the G samples
of its group. The decode loop runs on the device and ends when every row has
stopped. The reported log-probabilities are those of the temperature-scaled
distribution *before* top-k and top-p, which is what the training forward
computes, so the importance ratio at the sampling policy is one.
"""

from collections.abc import Sequence
import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from coderl import types
from coderl.models import transformer

Array = types.Array


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """How to sample.

  group_size: G, samples a prompt. max_len_tokens: R, a response's length
  limit. temperature: 0 takes the most likely token. top_k: 0 keeps all.
  top_p: 1 keeps all.
  """

  group_size: int = 1
  max_len_tokens: int = 128
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0


class Samples(NamedTuple):
  """Responses, row b of prompt b // G.

  tokens_BR: int32, padded with 0 after the stop token.
  logprobs_BR: float32, 0 on padding.
  mask_BR: bool, True on sampled tokens, the stop token included.
  finished_B: bool, a stop token was sampled within the limit.
  """

  tokens_BR: Array
  logprobs_BR: Array
  mask_BR: Array
  finished_B: Array


class SamplingState(NamedTuple):
  """What a decode step changes."""

  cache: transformer.Cache
  logits_BV: Array
  samples: Samples


def filter_logits(logits_BV: Array, top_k: int, top_p: float) -> Array:
  """Minus infinity outside the top k and the nucleus of mass top_p."""
  if top_k:
    kept_BK, _ = jax.lax.top_k(logits_BV, min(top_k, logits_BV.shape[-1]))
    logits_BV = jnp.where(logits_BV < kept_BK[:, -1:], -jnp.inf, logits_BV)
  if top_p < 1:
    sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
    probs_BV = jax.nn.softmax(sorted_BV, axis=-1)
    # The first token past the mass is the last one kept.
    outside_BV = jnp.cumsum(probs_BV, axis=-1) - probs_BV >= top_p
    least_B1 = jnp.min(
      jnp.where(outside_BV, jnp.inf, sorted_BV), axis=-1, keepdims=True
    )
    logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
  return logits_BV


def sample_tokens(
  keys_B: Array, logits_BV: Array, config: SamplingConfig
) -> tuple[Array, Array]:
  """One token a row and its log-probability; the keys are consumed."""
  scaled_BV = logits_BV / (config.temperature or 1.0)
  if config.temperature == 0:
    token_B = jnp.argmax(scaled_BV, axis=-1)
  else:
    kept_BV = filter_logits(scaled_BV, config.top_k, config.top_p)
    token_B = jax.vmap(jax.random.categorical)(keys_B, kept_BV)
  logprob_B = jnp.take_along_axis(
    jax.nn.log_softmax(scaled_BV), token_B[:, None], axis=-1
  )[:, 0]
  return token_B.astype(jnp.int32), logprob_B


def next_logits(
  params: types.Params, model: transformer.ModelConfig, hidden_BD: Array
) -> Array:
  """logits_BV, summed and kept in float32 as in training."""
  return jnp.einsum(
    'bd,dv->bv',
    hidden_BD,
    transformer.unembedding(params, model),
    preferred_element_type=jnp.float32,
  )


def prefill(
  params: types.Params,
  model: transformer.ModelConfig,
  prompts_UP: Array,
  valid_UP: Array,
  config: SamplingConfig,
) -> SamplingState:
  """The state before the first token: U prompts, B = U x G rows."""
  u, p = prompts_UP.shape
  batch = u * config.group_size
  mask = jnp.tril(jnp.ones((p, p), bool)) & valid_UP[:, None, :]
  hidden_UPD, _, (k, v) = transformer.Transformer(model).apply(
    {'params': params},
    prompts_UP,
    transformer.positions(valid_UP),
    mask | jnp.eye(p, dtype=bool),
    keep_kv=True,
  )
  logits_UV = next_logits(params, model, hidden_UPD[:, -1])
  slots = (
    model.num_layers,
    batch,
    config.max_len_tokens,
    model.num_kv_heads,
    model.head_dim,
  )
  cache = transformer.Cache(
    k, v, valid_UP, jnp.zeros(slots, k.dtype), jnp.zeros(slots, v.dtype), 0
  )
  shape = (batch, config.max_len_tokens)
  samples = Samples(
    jnp.zeros(shape, jnp.int32),
    jnp.zeros(shape, jnp.float32),
    jnp.zeros(shape, bool),
    jnp.zeros((batch,), bool),
  )
  return SamplingState(
    cache._replace(length=jnp.int32(0)),
    jnp.repeat(logits_UV, config.group_size, axis=0),
    samples,
  )


def sample_step(
  state: SamplingState,
  params: types.Params,
  model: transformer.ModelConfig,
  keys_B: Array,
  prompt_len_B: Array,
  stop_ids: Array,
  config: SamplingConfig,
) -> SamplingState:
  """Samples one token a row and runs it through the policy."""
  step, old = state.cache.length, state.samples
  step_keys_B = jax.vmap(jax.random.fold_in, (0, None))(keys_B, step)
  token_B, logprob_B = sample_tokens(step_keys_B, state.logits_BV, config)
  alive_B = ~old.finished_B
  token_B = jnp.where(alive_B, token_B, 0)
  put = lambda a_BR, a_B: jax.lax.dynamic_update_slice(
    a_BR, a_B[:, None].astype(a_BR.dtype), (0, step)
  )
  samples = Samples(
    put(old.tokens_BR, token_B),
    put(old.logprobs_BR, jnp.where(alive_B, logprob_B, 0)),
    put(old.mask_BR, alive_B),
    old.finished_B | (alive_B & jnp.isin(token_B, stop_ids)),
  )
  hidden_B1D, cache, _ = transformer.Transformer(model).apply(
    {'params': params},
    token_B[:, None],
    (prompt_len_B + step)[:, None],
    cache=state.cache,
  )
  logits_BV = next_logits(params, model, hidden_B1D[:, 0])
  return SamplingState(cache, logits_BV, samples)


@partial(jax.jit, static_argnames=('model', 'config', 'stop_ids'))
def generate(
  params: types.Params,
  prompts_UP: Array,
  valid_UP: Array,
  key: Array,
  *,
  model: transformer.ModelConfig,
  config: SamplingConfig,
  stop_ids: Sequence[int],
) -> Samples:
  """Samples G responses to each of U prompts.

  Args:
    params: the policy's.
    prompts_UP: int32, left-padded.
    valid_UP: bool, False on padding.
    key: consumed. A row's samples depend on the key and the row's index, not
      on its neighbours.
    model, config: static.
    stop_ids: tokens that end a response; a tuple.

  Returns:
    Samples of B = U x G rows, the group of prompt u at rows u G to u G + G - 1.
  """
  state = prefill(params, model, prompts_UP, valid_UP, config)
  batch = state.logits_BV.shape[0]
  keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch))
  prompt_len_B = jnp.repeat(valid_UP.sum(1), config.group_size)
  stop = jnp.asarray(stop_ids)

  def unfinished(state):
    more = state.cache.length < config.max_len_tokens
    return more & ~jnp.all(state.samples.finished_B)

  def step(state):
    return sample_step(state, params, model, keys_B, prompt_len_B, stop, config)

  return jax.lax.while_loop(unfinished, step, state).samples
