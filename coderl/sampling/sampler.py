"""Sampling: a state and a step, in a loop that stays on the device.

Each prompt is prefilled once. Its G samples are rows; rows wait in a queue for
one of B slots, take it over when the row before them ends, and start from a
copy of the prompt's keys and values: a row that ends early holds up nobody. On
a mesh, each part of the rows has slots and a queue of its own
(sharded_sampler.py); this is what goes on in one.

Two log-probabilities are reported of a token: of the temperature-scaled
distribution *before* top-k, top-p and min-p, which is what the training forward
computes, so that the importance ratio at the sampling policy is one; and of the
distribution after them, which the token was drawn from.
"""

from collections.abc import Sequence
import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from coderl import types
from coderl.distributed import sharding
from coderl.models import cache as cache_lib
from coderl.models import transformer
from coderl.sampling import stop_strings, token_sampling

Array = types.Array

# Tokens of prompts that are prefilled at a time.
_PREFILL_LEN_TOKENS = 16384
# Places of the cache are read up to a bound, which doubles from here.
_LEAST_WIDTH = 256
# Slots are refilled once one in so many is idle.
_IDLE_SHARE = 16


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """How to sample.

  group_size: G, samples a prompt. max_len_tokens: R, a response's length
  limit. temperature: 0 takes the most likely token. top_k: 0 keeps all.
  top_p: 1 keeps all. min_p: keeps tokens at least so likely, as a share of the
  most likely; 0 keeps all. slots: B, rows decoded at once, on all devices
  together; 0 is all. cache_dtype: of cache.CACHE_DTYPES; '' is the model's.
  """

  group_size: int = 1
  max_len_tokens: int = 128
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  min_p: float = 0.0
  slots: int = 0
  cache_dtype: str = ''


class Samples(NamedTuple):
  """Responses, row n of prompt n // G.

  tokens_NR: int32, padded with 0 after the token that ends the response.
  logprobs_NR: float32, 0 on padding; before the filters.
  drawn_logprobs_NR: float32, 0 on padding; after them.
  len_N: int32, tokens of the response, the one that ends it included.
  finished_N: bool, it ended by a stop token or string within the limit.
  """

  tokens_NR: Array
  logprobs_NR: Array
  drawn_logprobs_NR: Array
  len_N: Array
  finished_N: Array


class SamplingState(NamedTuple):
  """What a step changes; all int32 but for the cache and hidden states.

  row_B: the row that a slot samples, N where it is idle.
  len_B: tokens sampled of that row. start_B: place of its prompt's first token.
  stop_B: state of the stop strings' automaton.
  next_row: the queue's head. steps: tokens decoded by each slot so far; both a
  scalar within a part of the mesh, [1] outside.
  """

  cache: cache_lib.Cache
  hidden_BD: Array
  row_B: Array
  len_B: Array
  start_B: Array
  stop_B: Array
  next_row: Array
  steps: Array
  samples: Samples


class Prompts(NamedTuple):
  """Prefilled prompts. hidden_UD: of their last tokens. start_U: first place.

  num_rows: U x G of the real prompts, which come first; a scalar within a part
  of the mesh, [1] outside.
  """

  cache: cache_lib.Cache
  hidden_UD: Array
  start_U: Array
  keys_N: Array
  num_rows: Array


def widths(prompt_len: int, config: SamplingConfig) -> list[int]:
  """Bounds up to which the cache is read, ascending; a compiled step each."""
  whole = prompt_len + config.max_len_tokens
  bounds = [whole]
  while bounds[0] > 2 * max(_LEAST_WIDTH, prompt_len):
    bounds.insert(0, -(-bounds[0] // 2))
  return bounds


def prefill(
  weights: cache_lib.Weights,
  prompts_UP: Array,
  valid_UP: Array,
  index_U: Array,
  key: Array,
  model: transformer.ModelConfig,
  config: SamplingConfig,
) -> Prompts:
  """Runs every prompt once."""

  def one(row):
    prompt_P, valid_P = row
    hidden_1D, cache = cache_lib.prefill(
      weights,
      model,
      prompt_P[None],
      valid_P[None],
      config.cache_dtype or model.dtype,
    )
    return jax.tree.map(lambda a: a[0], (hidden_1D, cache))

  u, p = prompts_UP.shape
  at_once = min(u, max(1, _PREFILL_LEN_TOKENS // p))
  hidden_UD, cache = jax.lax.map(
    one, (prompts_UP, valid_UP), batch_size=at_once
  )
  g = config.group_size
  row_N = (index_U[:, None] * g + jnp.arange(g)).reshape(-1)
  return Prompts(
    cache,
    hidden_UD,
    p - valid_UP.sum(axis=1, dtype=jnp.int32),
    jax.vmap(jax.random.fold_in, (None, 0))(key, row_N),
    g * jnp.sum(index_U >= 0, dtype=jnp.int32),
  )


def refill(
  state: SamplingState, prompts: Prompts, config: SamplingConfig
) -> SamplingState:
  """Gives idle slots the next rows of the queue."""
  rows = state.samples.len_N.shape[0]
  idle_B = state.row_B == rows
  row_B = state.next_row + jnp.cumsum(idle_B) - 1
  taken_B = idle_B & (row_B < prompts.num_rows)
  row_B = jnp.where(taken_B, row_B, state.row_B)
  prompt_B = jnp.minimum(row_B // config.group_size, len(prompts.start_U) - 1)
  count = jnp.sum(taken_B, dtype=jnp.int32)
  # The slots taken come first.
  slots_B = jnp.argsort(~taken_B, stable=True)

  def copy(i, cache):
    slot = slots_B[i]
    return cache_lib.fill(cache, slot, prompts.cache, prompt_B[slot])

  pick = lambda new, old: jnp.where(
    taken_B.reshape(-1, *[1] * (old.ndim - 1)), new, old
  )
  return state._replace(
    cache=jax.lax.fori_loop(0, count, copy, state.cache),
    hidden_BD=pick(prompts.hidden_UD[prompt_B], state.hidden_BD),
    row_B=row_B.astype(jnp.int32),
    len_B=pick(0, state.len_B),
    start_B=pick(prompts.start_U[prompt_B], state.start_B),
    stop_B=pick(stop_strings.START, state.stop_B),
    next_row=state.next_row + count,
  )


def sample_step(
  state: SamplingState,
  weights: cache_lib.Weights,
  prompts: Prompts,
  stop_ids: Sequence[int],
  stop_table_SV: Array | None,
  model: transformer.ModelConfig,
  config: SamplingConfig,
  prompt_len: int,
  width: int,
) -> SamplingState:
  """Samples one token a slot and runs it through the policy."""
  old, row_B, len_B = state.samples, state.row_B, state.len_B
  rows, limit = old.tokens_NR.shape
  active_B = row_B < rows
  keys_B = jax.vmap(jax.random.fold_in)(
    prompts.keys_N[jnp.minimum(row_B, rows - 1)], len_B
  )
  token_B, logprob_B, drawn_B = token_sampling.token(
    keys_B,
    sharding.unsplit(cache_lib.logits(weights, state.hidden_BD)),
    temperature=config.temperature,
    top_k=config.top_k,
    top_p=config.top_p,
    min_p=config.min_p,
  )
  stop_B = state.stop_B
  stopped_B = jnp.isin(token_B, jnp.asarray(stop_ids, jnp.int32))
  if stop_table_SV is not None:
    stop_B = stop_table_SV[stop_B, token_B]
    stopped_B |= stop_B == stop_table_SV.shape[0] - 1
  # Writes of idle slots fall off the end.
  put = lambda a, x, *at: a.at[(row_B, *at)].set(x, mode='drop')
  samples = Samples(
    put(old.tokens_NR, token_B, len_B),
    put(old.logprobs_NR, logprob_B, len_B),
    put(old.drawn_logprobs_NR, drawn_B, len_B),
    put(old.len_N, len_B + 1),
    put(old.finished_N, stopped_B),
  )
  hidden_BD, cache = cache_lib.step(
    weights,
    model,
    token_B,
    state.start_B,
    jnp.minimum(prompt_len + len_B, width - 1),
    state.cache,
    width,
  )
  len_B = jnp.where(active_B, len_B + 1, len_B)
  ended_B = stopped_B | (len_B == limit)
  return state._replace(
    cache=cache,
    hidden_BD=hidden_BD,
    row_B=jnp.where(ended_B, rows, row_B),
    len_B=len_B,
    stop_B=stop_B,
    steps=state.steps + 1,
    samples=samples,
  )


def _begin(
  prompts: Prompts,
  slots: int,
  prompt_len: int,
  model: transformer.ModelConfig,
  config: SamplingConfig,
) -> SamplingState:
  """Every slot idle, every row in the queue."""
  rows, limit = prompts.keys_N.shape[0], config.max_len_tokens
  zeros_B = jnp.zeros(slots, jnp.int32)
  cache = cache_lib.empty(
    slots, prompt_len + limit, model, config.cache_dtype or model.dtype
  )
  return SamplingState(
    cache=cache,
    hidden_BD=jnp.zeros((slots, model.d_model), prompts.hidden_UD.dtype),
    row_B=jnp.full(slots, rows, jnp.int32),
    len_B=zeros_B,
    start_B=zeros_B,
    stop_B=zeros_B,
    next_row=jnp.int32(0),
    steps=jnp.int32(0),
    samples=Samples(
      jnp.zeros((rows, limit), jnp.int32),
      jnp.zeros((rows, limit), jnp.float32),
      jnp.zeros((rows, limit), jnp.float32),
      jnp.zeros(rows, jnp.int32),
      jnp.zeros(rows, bool),
    ),
  )


def start(
  weights: cache_lib.Weights,
  prompts_UP: Array,
  valid_UP: Array,
  index_U: Array,
  key: Array,
  *,
  model: transformer.ModelConfig,
  config: SamplingConfig,
  slots: int,
) -> tuple[Prompts, SamplingState]:
  """One part's prompts, prefilled, and its rows, all waiting."""
  prompts = prefill(weights, prompts_UP, valid_UP, index_U, key, model, config)
  rows = prompts.keys_N.shape[0]
  slots = min(slots or rows, rows)
  return prompts, _begin(prompts, slots, prompts_UP.shape[1], model, config)


def unfinished(state: SamplingState, prompts: Prompts) -> Array:
  """Whether a row waits or is being sampled."""
  rows = state.samples.len_N.shape[0]
  busy = jnp.any(state.row_B < rows)
  return busy | (state.next_row < prompts.num_rows)


def advance(
  weights: cache_lib.Weights,
  prompts: Prompts,
  state: SamplingState,
  until: Array | None,
  stop_table_SV: Array | None,
  *,
  model: transformer.ModelConfig,
  config: SamplingConfig,
  stop_ids: Sequence[int],
  prompt_len: int,
) -> SamplingState:
  """Decodes one part's rows, up to `until` steps, or to the end."""
  rows, slots = state.samples.len_N.shape[0], state.row_B.shape[0]
  bounds = widths(prompt_len, config)

  def in_time(state):
    return True if until is None else state.steps < until

  def go_on(state):
    """Whether to decode: some slot is busy, and not too many wait for rows."""
    idle = jnp.sum(state.row_B == rows)
    waiting = state.next_row < prompts.num_rows
    refillable = waiting & (idle * _IDLE_SHARE >= slots)
    return (idle < slots) & ~refillable & in_time(state)

  def fits(state, low, high):
    busy_B = state.row_B < rows
    need = prompt_len + jnp.max(jnp.where(busy_B, state.len_B, 0)) + 1
    return (need > low) & (need <= high)

  def turn(state):
    state = refill(state, prompts, config)
    for low, high in zip([0, *bounds], bounds, strict=False):
      step = partial(
        sample_step,
        weights=weights,
        prompts=prompts,
        stop_ids=stop_ids,
        stop_table_SV=stop_table_SV,
        model=model,
        config=config,
        prompt_len=prompt_len,
        width=high,
      )
      state = jax.lax.while_loop(
        lambda s, low=low, high=high: go_on(s) & fits(s, low, high),
        step,
        state,
      )
    return state

  return jax.lax.while_loop(
    lambda state: unfinished(state, prompts) & in_time(state), turn, state
  )
