"""The built-in sampler: sharded_sampler.py, driven from the host in chunks."""

from collections.abc import Iterator, Sequence
import dataclasses
import functools

import jax
import numpy as np

from coderl import types
from coderl.distributed import sharding
from coderl.models import load
from coderl.rl import packing
from coderl.sampling import base, sampler, sharded_sampler, stop_strings
from coderl.text import tokenization

# Ended responses are read this many times while the longest response is
# decoded, but at least this many steps apart.
_CHUNKS, _LEAST_STEPS = 32, 16


def sample_shape(
  prompts: Sequence[types.Prompt], bucket_len: int, mesh: jax.sharding.Mesh
) -> tuple[int, int]:
  """Returns [U, P], the shape in which these prompts are sampled.

  Each shape is compiled once. U is the number of prompts per shard, rounded up
  to one of four values per octave (by a quarter at most), times the number of
  shards. P is the longest prompt, rounded up to a multiple of `bucket_len`.
  """
  shards = sharding.num_shards(mesh, sharding.BATCH[0])
  per_shard = -(-len(prompts) // shards)
  per_shard = packing.bucket(per_shard, 2 ** max(per_shard.bit_length() - 3, 0))
  longest = max(len(prompt.tokens) for prompt in prompts)
  return shards * per_shard, packing.bucket(longest, bucket_len)


@functools.lru_cache(maxsize=8)
def stop_table(
  tokenizer: tokenization.Tokenizer, vocab_size: int, stops: tuple[str, ...]
) -> np.ndarray | None:
  """Returns the automaton of `stops` over the model's tokens; None without."""
  if not stops:
    return None
  # The vocabularies of model and tokenizer may differ by padding, either way.
  token_bytes = tokenizer.token_bytes()[:vocab_size]
  unused = (b'',) * (vocab_size - len(token_bytes))
  return stop_strings.table((*token_bytes, *unused), stops)


@dataclasses.dataclass(frozen=True)
class LocalSampler:
  """Samples on the mesh of this run.

  Prompts are distributed over the data and fsdp axes; each process yields the
  sequences of its devices.

  Attributes:
    bucket_len: prompts are padded to a multiple of it, in tokens.
    mesh: the mesh that holds the policy.
  """

  bucket_len: int
  mesh: jax.sharding.Mesh

  def sample(
    self,
    policy: load.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
  ) -> Iterator[list[base.NumberedRollout]]:
    """See base.Sampler."""
    index_U, arrays = self._arrays(prompts)
    weights, prefilled, state = sharded_sampler.start(
      policy.params,
      *sharding.put(arrays, self.mesh),
      key,
      model=policy.model,
      config=config,
    )
    table = stop_table(
      policy.tokenizer, policy.model.vocab_size, base.common_stops(prompts)
    )
    steps_per_chunk = max(_LEAST_STEPS, -(-config.max_len_tokens // _CHUNKS))
    until_step, unfinished, yielded = 0, True, set()
    while unfinished:
      until_step += steps_per_chunk
      state, unfinished = sharded_sampler.advance(
        weights,
        prefilled,
        state,
        np.int32(until_step),
        table,
        model=policy.model,
        config=config,
        stop_ids=policy.tokenizer.stop_ids,
        prompt_len=arrays[0].shape[1],
      )
      unfinished = bool(unfinished)
      yield _ended(policy, prompts, index_U, state, yielded, config)

  def _arrays(
    self, prompts: Sequence[types.Prompt]
  ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Returns index_U and (prompts_UP, valid_UP, index_U); see `generate`.

    Prompt i goes to shard i modulo the number of shards.
    """
    shards = sharding.num_shards(self.mesh, sharding.BATCH[0])
    count, length = sample_shape(prompts, self.bucket_len, self.mesh)
    token_ids: list[Sequence[int]] = [()] * count
    index_U = np.full(count, -1, np.int32)
    for i, prompt in enumerate(prompts):
      position = i % shards * (count // shards) + i // shards
      token_ids[position], index_U[position] = prompt.tokens, i
    return index_U, (*packing.pad_left(token_ids, length), index_U)


def _ended(
  policy: load.Policy,
  prompts: Sequence[types.Prompt],
  index_U: np.ndarray,
  state: sampler.SamplingState,
  yielded: set[int],
  config: sampler.SamplingConfig,
) -> list[base.NumberedRollout]:
  """Returns this process's sequences that ended and are not yet `yielded`."""
  size = config.group_size
  samples = jax.tree.map(sharding.local_values, state.samples)
  busy = _is_busy(state)
  rollouts = []
  for i, n in enumerate(sharding.local_indices(state.samples.len_N)):
    prompt = index_U[n // size]
    length = samples.len_N[i]
    if prompt < 0 or not length or busy[i] or n in yielded:
      continue
    yielded.add(int(n))
    # Copies, so that a rollout does not keep the arrays of all sequences alive.
    rollout = base.make_rollout(
      policy.tokenizer,
      prompts[prompt],
      samples.tokens_NR[i, :length].copy(),
      samples.logprobs_NR[i, :length].copy(),
      samples.drawn_logprobs_NR[i, :length].copy(),
      bool(samples.finished_N[i]),
    )
    rollouts.append((int(prompt) * size + int(n) % size, rollout))
  return rollouts


def _is_busy(state: sampler.SamplingState) -> np.ndarray:
  """Returns for each sequence of this process whether a slot decodes it."""
  flags = [np.zeros(0, bool)]
  for slots, lens in zip(
    sharding.local_shards(state.sequence_B),
    sharding.local_shards(state.samples.len_N),
    strict=True,
  ):
    shard_flags = np.zeros(len(lens) + 1, bool)  # The last is for idle slots.
    shard_flags[slots] = True
    flags.append(shard_flags[:-1])
  return np.concatenate(flags)
