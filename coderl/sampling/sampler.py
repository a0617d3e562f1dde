"""The decoding loop of one shard: a state and a step, all on the device.

Each prompt is prefilled once. Its G samples are sequences; they wait in a queue
for one of B slots. A slot takes the next sequence once its last one has ended,
and starts it from a copy of the prompt's keys and values, so that a short
sequence delays no other. On a mesh, each shard of the sequences has separate
slots and a separate queue (sharded_sampler.py).

Each token is reported with two log-probabilities: under the temperature-scaled
distribution *before* top-k, top-p and min-p, as the training forward pass
computes it, so that the importance ratio of the sampling policy is one; and
under the distribution after these filters, from which the token was drawn.
"""

from collections.abc import Sequence
import dataclasses
from functools import partial
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from coderl import types
from coderl.distributed import sharding
from coderl.models import cache as cache_lib
from coderl.models import transformer
from coderl.sampling import stop_strings, token_sampling

Array = types.Array

# Prompt tokens that are prefilled at once.
_PREFILL_LEN_TOKENS = 16384
# Attention reads the cache up to a bound, which doubles from this width.
_LEAST_WIDTH = 256
# Slots are refilled once one in this many is idle.
_IDLE_SHARE = 16


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """How to sample.

  Attributes:
    group_size: G, samples per prompt.
    max_len_tokens: R, the length limit of a response.
    temperature: divides the logits; 0 takes the most likely token.
    top_k: keeps the k most likely tokens; 0 keeps all.
    top_p: keeps the nucleus of this mass; 1 keeps all.
    min_p: keeps tokens at least this likely, as a share of the most likely; 0
      keeps all.
    slots: B, sequences decoded at once, over all devices; 0 is all of them.
    cache_dtype: one of cache.CACHE_DTYPES; '' is the model's dtype.
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
  """N = U x G responses; sequence n responds to prompt n // G.

  Attributes:
    tokens_NR: int32, padded with 0 after the token that ends the response.
    logprobs_NR: float32, before the filters; 0 on padding.
    drawn_logprobs_NR: float32, after the filters; 0 on padding.
    len_N: int32, length in tokens, the token that ends the response included.
    finished_N: bool, it ended by a stop token or string within the limit.
  """

  tokens_NR: Array
  logprobs_NR: Array
  drawn_logprobs_NR: Array
  len_N: Array
  finished_N: Array


class SamplingState(NamedTuple):
  """The state of the loop; all int32 but the cache and the hidden states.

  `next_sequence` and `steps` are scalars within a shard and have shape [1]
  outside (sharded_sampler.py).

  Attributes:
    cache: keys and values of the slots.
    hidden_BD: the hidden state from which a slot's next token is drawn.
    sequence_B: index of the sequence that a slot decodes; N where it is idle.
    len_B: tokens sampled of that sequence.
    start_B: position of the first token of its prompt.
    stop_B: state of the automaton of stop strings.
    next_sequence: the head of the queue.
    steps: tokens that each slot has decoded.
    samples: the output.
  """

  cache: cache_lib.Cache
  hidden_BD: Array
  sequence_B: Array
  len_B: Array
  start_B: Array
  stop_B: Array
  next_sequence: Array
  steps: Array
  samples: Samples


class Prompts(NamedTuple):
  """Prefilled prompts.

  Attributes:
    cache: keys and values of the prompts.
    hidden_UD: the hidden state of each prompt's last token.
    start_U: position of each prompt's first token.
    keys_N: one random key per sequence.
    num_sequences: U x G of the real prompts, which come first; a scalar within
      a shard, [1] outside.
  """

  cache: cache_lib.Cache
  hidden_UD: Array
  start_U: Array
  keys_N: Array
  num_sequences: Array


def cache_widths(prompt_len: int, config: SamplingConfig) -> list[int]:
  """Returns the bounds up to which the cache is read, ascending.

  A step is compiled for each bound.
  """
  widths = [prompt_len + config.max_len_tokens]
  while widths[0] > 2 * max(_LEAST_WIDTH, prompt_len):
    widths.insert(0, -(-widths[0] // 2))
  return widths


def prefill(
  weights: cache_lib.Weights,
  prompts_UP: Array,
  valid_UP: Array,
  index_U: Array,
  key: Array,
  model: transformer.ModelConfig,
  config: SamplingConfig,
) -> Prompts:
  """Runs every prompt through the policy once."""

  def prefill_prompt(prompt_and_valid):
    prompt_P, valid_P = prompt_and_valid
    hidden_1D, cache = cache_lib.prefill(
      weights,
      model,
      prompt_P[None],
      valid_P[None],
      config.cache_dtype or model.dtype,
    )
    return jax.tree.map(lambda a: a[0], (hidden_1D, cache))

  u, p = prompts_UP.shape
  batch_size = min(u, max(1, _PREFILL_LEN_TOKENS // p))
  hidden_UD, cache = jax.lax.map(
    prefill_prompt, (prompts_UP, valid_UP), batch_size=batch_size
  )
  g = config.group_size
  sequence_N = (index_U[:, None] * g + jnp.arange(g)).reshape(-1)
  return Prompts(
    cache,
    hidden_UD,
    p - valid_UP.sum(axis=1, dtype=jnp.int32),
    jax.vmap(jax.random.fold_in, (None, 0))(key, sequence_N),
    g * jnp.sum(index_U >= 0, dtype=jnp.int32),
  )


def refill(
  state: SamplingState, prompts: Prompts, config: SamplingConfig
) -> SamplingState:
  """Gives idle slots the next sequences of the queue."""
  n = state.samples.len_N.shape[0]
  idle_B = state.sequence_B == n
  next_B = state.next_sequence + jnp.cumsum(idle_B) - 1
  refilled_B = idle_B & (next_B < prompts.num_sequences)
  sequence_B = jnp.where(refilled_B, next_B, state.sequence_B)
  prompt_B = jnp.minimum(
    sequence_B // config.group_size, len(prompts.start_U) - 1
  )
  count = jnp.sum(refilled_B, dtype=jnp.int32)
  # The refilled slots come first.
  slots_B = jnp.argsort(~refilled_B, stable=True)

  def copy_prompt(i, cache):
    slot = slots_B[i]
    return cache_lib.fill(cache, slot, prompts.cache, prompt_B[slot])

  pick = lambda new, old: jnp.where(
    refilled_B.reshape(-1, *[1] * (old.ndim - 1)), new, old
  )
  return state._replace(
    cache=jax.lax.fori_loop(0, count, copy_prompt, state.cache),
    hidden_BD=pick(prompts.hidden_UD[prompt_B], state.hidden_BD),
    sequence_B=sequence_B.astype(jnp.int32),
    len_B=pick(0, state.len_B),
    start_B=pick(prompts.start_U[prompt_B], state.start_B),
    stop_B=pick(stop_strings.START, state.stop_B),
    next_sequence=state.next_sequence + count,
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
  """Draws one token per slot and runs it through the policy."""
  n, limit = state.samples.tokens_NR.shape
  len_B, stop_B = state.len_B, state.stop_B
  token_B, logprob_B, drawn_B = _draw(state, weights, prompts, config)
  stopped_B = jnp.isin(token_B, jnp.asarray(stop_ids, jnp.int32))
  if stop_table_SV is not None:
    stop_B = stop_table_SV[stop_B, token_B]
    stopped_B |= stop_B == stop_table_SV.shape[0] - 1
  samples = _record(state, token_B, logprob_B, drawn_B, stopped_B)
  hidden_BD, cache = cache_lib.step(
    weights,
    model,
    token_B,
    state.start_B,
    jnp.minimum(prompt_len + len_B, width - 1),
    state.cache,
    width,
  )
  len_B = jnp.where(state.sequence_B < n, len_B + 1, len_B)
  ended_B = stopped_B | (len_B == limit)
  return state._replace(
    cache=cache,
    hidden_BD=hidden_BD,
    sequence_B=jnp.where(ended_B, n, state.sequence_B),
    len_B=len_B,
    stop_B=stop_B,
    steps=state.steps + 1,
    samples=samples,
  )


def _draw(
  state: SamplingState,
  weights: cache_lib.Weights,
  prompts: Prompts,
  config: SamplingConfig,
) -> tuple[Array, Array, Array]:
  """Draws each slot's next token; returns as token_sampling.sample.

  The key is a function of the sequence and the token's position in it, so
  slots and neighbours do not change what is drawn.
  """
  n = state.samples.len_N.shape[0]
  keys_B = jax.vmap(jax.random.fold_in)(
    prompts.keys_N[jnp.minimum(state.sequence_B, n - 1)], state.len_B
  )
  return token_sampling.sample(
    keys_B,
    sharding.replicate(cache_lib.logits(weights, state.hidden_BD)),
    temperature=config.temperature,
    top_k=config.top_k,
    top_p=config.top_p,
    min_p=config.min_p,
  )


def _record(
  state: SamplingState,
  token_B: Array,
  logprob_B: Array,
  drawn_B: Array,
  stopped_B: Array,
) -> Samples:
  """Writes the tokens just drawn into the samples."""
  old, len_B = state.samples, state.len_B

  # Idle slots have the index N, which is out of bounds and not written.
  def put(array, value_B, *position):
    index = (state.sequence_B, *position)
    return array.at[index].set(value_B, mode='drop')

  return Samples(
    put(old.tokens_NR, token_B, len_B),
    put(old.logprobs_NR, logprob_B, len_B),
    put(old.drawn_logprobs_NR, drawn_B, len_B),
    put(old.len_N, len_B + 1),
    put(old.finished_N, stopped_B),
  )


def _initial_state(
  prompts: Prompts,
  slots: int,
  prompt_len: int,
  model: transformer.ModelConfig,
  config: SamplingConfig,
) -> SamplingState:
  """Returns the state with every slot idle and every sequence in the queue."""
  n, limit = prompts.keys_N.shape[0], config.max_len_tokens
  zeros_B = jnp.zeros(slots, jnp.int32)
  cache = cache_lib.empty(
    slots, prompt_len + limit, model, config.cache_dtype or model.dtype
  )
  return SamplingState(
    cache=cache,
    hidden_BD=jnp.zeros((slots, model.d_model), prompts.hidden_UD.dtype),
    sequence_B=jnp.full(slots, n, jnp.int32),
    len_B=zeros_B,
    start_B=zeros_B,
    stop_B=zeros_B,
    next_sequence=jnp.int32(0),
    steps=jnp.int32(0),
    samples=Samples(
      jnp.zeros((n, limit), jnp.int32),
      jnp.zeros((n, limit), jnp.float32),
      jnp.zeros((n, limit), jnp.float32),
      jnp.zeros(n, jnp.int32),
      jnp.zeros(n, bool),
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
  """Prefills the prompts of one shard and puts its sequences in the queue."""
  prompts = prefill(weights, prompts_UP, valid_UP, index_U, key, model, config)
  n = prompts.keys_N.shape[0]
  slots = min(slots or n, n)
  prompt_len = prompts_UP.shape[1]
  return prompts, _initial_state(prompts, slots, prompt_len, model, config)


def unfinished(state: SamplingState, prompts: Prompts) -> Array:
  """Returns whether a sequence waits or is being decoded."""
  n = state.samples.len_N.shape[0]
  busy = jnp.any(state.sequence_B < n)
  return busy | (state.next_sequence < prompts.num_sequences)


def advance(
  weights: cache_lib.Weights,
  prompts: Prompts,
  state: SamplingState,
  until_step: Array | None,
  stop_table_SV: Array | None,
  *,
  model: transformer.ModelConfig,
  config: SamplingConfig,
  stop_ids: Sequence[int],
  prompt_len: int,
) -> SamplingState:
  """Decodes the sequences of one shard up to `until_step`, or to the end.

  Each round refills the idle slots and then decodes until enough slots are
  idle again, with one loop per width of the cache.
  """
  widths = [0, *cache_widths(prompt_len, config)]

  def in_time(state):
    return True if until_step is None else state.steps < until_step

  def keep_decoding(state, low, high):
    ready = _should_decode(state, prompts) & in_time(state)
    return ready & _fits(state, prompt_len, low, high)

  def decode_round(state):
    state = refill(state, prompts, config)
    for low, high in itertools.pairwise(widths):
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
        partial(keep_decoding, low=low, high=high), step, state
      )
    return state

  return jax.lax.while_loop(
    lambda state: unfinished(state, prompts) & in_time(state),
    decode_round,
    state,
  )


def _should_decode(state: SamplingState, prompts: Prompts) -> Array:
  """Returns whether a slot is busy and too few are idle for a refill."""
  n, slots = state.samples.len_N.shape[0], state.sequence_B.shape[0]
  idle = jnp.sum(state.sequence_B == n)
  waiting = state.next_sequence < prompts.num_sequences
  refillable = waiting & (idle * _IDLE_SHARE >= slots)
  return (idle < slots) & ~refillable


def _fits(state: SamplingState, prompt_len: int, low: int, high: int) -> Array:
  """Returns whether the longest busy slot needs a width in (low, high]."""
  busy_B = state.sequence_B < state.samples.len_N.shape[0]
  width = prompt_len + jnp.max(jnp.where(busy_B, state.len_B, 0)) + 1
  return (width > low) & (width <= high)
