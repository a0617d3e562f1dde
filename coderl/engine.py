"""Where responses come from: the sampler of this package, on the mesh.

An engine hands responses over as they end, in parts, so that programs run while
others are still being written. remote.py has one that asks a server.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import functools
from typing import Protocol

import jax
import numpy as np

from coderl import (
  hosts,
  policies,
  sampling,
  sharding,
  stopping,
  tokenization,
  types,
)

# A response and its number: response g to prompt u is number u G + g.
Numbered = tuple[int, types.Rollout]

# Parts are handed over so many times in a longest response, or every so many
# tokens where that is less often.
_TURNS, _LEAST_STEPS = 32, 16


class Engine(Protocol):
  """What samples."""

  def sample(
    self,
    policy: policies.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampling.SamplingConfig,
  ) -> Iterator[list[Numbered]]:
    """Samples G rollouts to each prompt, and yields them as they end.

    Args:
      policy: what is sampled from.
      prompts: of any kind, all with the same stops; at least one.
      key: consumed.
      config: how to sample.

    Yields:
      Rollouts that have ended; all together, and on all processes together,
      each once.
    """


def bucket(length: int, multiple: int) -> int:
  """`length` rounded up to a multiple."""
  return -(-length // multiple) * multiple


def pad_left(rows: Sequence[Sequence[int]], length: int):
  """(tokens [N, length] int32, valid [N, length] bool)."""
  tokens = np.zeros((len(rows), length), np.int32)
  valid = np.zeros((len(rows), length), bool)
  for i, row in enumerate(rows):
    tokens[i, length - len(row) :] = row
    valid[i, length - len(row) :] = True
  return tokens, valid


@functools.lru_cache(maxsize=8)
def stop_table(
  tokenizer: tokenization.Tokenizer, vocab_size: int, stops: tuple[str, ...]
) -> np.ndarray | None:
  """The automaton of stop strings over the model's tokens; None without."""
  if not stops:
    return None
  # The two may differ by padding, either way.
  token_bytes = tokenizer.token_bytes()[:vocab_size]
  unused = (b'',) * (vocab_size - len(token_bytes))
  return stopping.table((*token_bytes, *unused), stops)


def stops_of(prompts: Sequence[types.Prompt]) -> tuple[str, ...]:
  """The stops that the prompts of one call have in common."""
  stops = prompts[0].stops
  if any(prompt.stops != stops for prompt in prompts):
    raise ValueError('prompts of one call want the same stops')
  return stops


def sample_shape(
  prompts: Sequence[types.Prompt], bucket_len: int, mesh: jax.sharding.Mesh
) -> tuple[int, int]:
  """(U, P), the shape that these prompts are sampled in; a compilation each.

  A run has max_prompt_len / bucket_len of P, and for each number of prompts
  one U: that number rounded up, by a quarter at most, to one of four an octave.
  """
  parts = sharding.parts(mesh, sharding.BATCH[0])
  each = -(-len(prompts) // parts)
  each = bucket(each, 2 ** max(each.bit_length() - 3, 0))
  longest = max(len(prompt.tokens) for prompt in prompts)
  return parts * each, bucket(longest, bucket_len)


@dataclasses.dataclass(frozen=True)
class BuiltIn:
  """The sampler of sampling.py.

  bucket_len: prompts are padded to a multiple of it; a compilation for every
    `sample_shape`.
  mesh: prompts are dealt out over its data and fsdp axes; a process yields the
    rows of its own devices.
  """

  bucket_len: int
  mesh: jax.sharding.Mesh

  def sample(
    self,
    policy: policies.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampling.SamplingConfig,
  ) -> Iterator[list[Numbered]]:
    """See Engine."""
    parts = sharding.parts(self.mesh, sharding.BATCH[0])
    count, length = sample_shape(prompts, self.bucket_len, self.mesh)
    rows: list[Sequence[int]] = [()] * count
    index_U = np.full(count, -1, np.int32)
    for i in range(len(prompts)):
      at = i % parts * (count // parts) + i // parts
      rows[at], index_U[at] = prompts[i].tokens, i
    weights, prefilled, state = sampling.start(
      policy.params,
      *sharding.put((*pad_left(rows, length), index_U), self.mesh),
      key,
      model=policy.model,
      config=config,
    )
    table = stop_table(
      policy.tokenizer, policy.model.vocab_size, stops_of(prompts)
    )
    turn = max(_LEAST_STEPS, -(-config.max_len_tokens // _TURNS))
    until, left, given = 0, True, set()
    while left:
      until += turn
      state, left = sampling.advance(
        weights,
        prefilled,
        state,
        np.int32(until),
        table,
        model=policy.model,
        config=config,
        stop_ids=policy.tokenizer.stop_ids,
        prompt_len=length,
      )
      left = bool(left)
      yield self._ended(policy, prompts, index_U, state, given, config)

  def _ended(
    self, policy, prompts, index_U, state, given, config
  ) -> list[Numbered]:
    """This process's rows that have ended and are not yet `given`."""
    size = config.group_size
    at = hosts.own_indices(state.samples.len_N)
    samples = jax.tree.map(hosts.own_rows, state.samples)
    busy = _busy(state)
    found = []
    for i, row in enumerate(at):
      prompt = index_U[row // size]
      ended = samples.len_N[i] and not busy[i]
      if prompt >= 0 and ended and row not in given:
        given.add(int(row))
        rollout = _rollout(policy.tokenizer, prompts[prompt], samples, i)
        found.append((int(prompt) * size + int(row) % size, rollout))
    return found


def _busy(state: sampling.SamplingState) -> np.ndarray:
  """Of the own rows, whether a slot still samples them."""
  flags = []
  shards = (
    [s for s in array.addressable_shards if s.replica_id == 0]
    for array in (state.row_B, state.samples.len_N)
  )
  pairs = sorted(
    zip(*shards, strict=True), key=lambda pair: pair[1].index[0].start or 0
  )
  for slots, rows in pairs:
    of_part = np.zeros(rows.data.shape[0] + 1, bool)
    of_part[np.asarray(slots.data)] = True
    flags.append(of_part[:-1])
  return np.concatenate([*flags, np.zeros(0, bool)])


def _rollout(
  tokenizer: tokenization.Tokenizer,
  prompt: types.Prompt,
  samples: sampling.Samples,
  row: int,
) -> types.Rollout:
  length = samples.len_N[row]
  tokens = tuple(samples.tokens_NR[row, :length].tolist())
  ended = tokens[-1] in tokenizer.stop_ids
  return types.Rollout(
    prompt=prompt,
    tokens=tokens,
    logprobs=tuple(samples.logprobs_NR[row, :length].tolist()),
    drawn_logprobs=tuple(samples.drawn_logprobs_NR[row, :length].tolist()),
    text=tokenizer.decode(tokens[:-1] if ended else tokens),
    finished=bool(samples.finished_N[row]),
  )
