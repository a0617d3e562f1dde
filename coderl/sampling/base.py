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

from coderl import types
from coderl.distributed import processes, sharding
from coderl.models import load
from coderl.rl import packing
from coderl.sampling import sampler, sharded_sampler, stop_strings
from coderl.text import tokenization

# A response and its number: response g to prompt u is number u G + g.
Numbered = tuple[int, types.Rollout]

# Parts are handed over so many times in a longest response, or every so many
# tokens where that is less often.
_TURNS, _LEAST_STEPS = 32, 16


class Engine(Protocol):
  """What samples."""

  def sample(
    self,
    policy: load.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
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
  return stop_strings.table((*token_bytes, *unused), stops)


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
  each = packing.bucket(each, 2 ** max(each.bit_length() - 3, 0))
  longest = max(len(prompt.tokens) for prompt in prompts)
  return parts * each, packing.bucket(longest, bucket_len)


@dataclasses.dataclass(frozen=True)
class BuiltIn:
  """The sampler of sampler.py.

  bucket_len: prompts are padded to a multiple of it; a compilation for every
    `sample_shape`.
  mesh: prompts are dealt out over its data and fsdp axes; a process yields the
    rows of its own devices.
  """

  bucket_len: int
  mesh: jax.sharding.Mesh

  def sample(
    self,
    policy: load.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
  ) -> Iterator[list[Numbered]]:
    """See Engine."""
    parts = sharding.parts(self.mesh, sharding.BATCH[0])
    count, length = sample_shape(prompts, self.bucket_len, self.mesh)
    rows: list[Sequence[int]] = [()] * count
    index_U = np.full(count, -1, np.int32)
    for i in range(len(prompts)):
      at = i % parts * (count // parts) + i // parts
      rows[at], index_U[at] = prompts[i].tokens, i
    weights, prefilled, state = sharded_sampler.start(
      policy.params,
      *sharding.put((*packing.pad_left(rows, length), index_U), self.mesh),
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
      state, left = sharded_sampler.advance(
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
    at = processes.own_indices(state.samples.len_N)
    samples = jax.tree.map(processes.own_rows, state.samples)
    busy = _busy(state)
    found = []
    for i, row in enumerate(at):
      prompt = index_U[row // size]
      ended = samples.len_N[i] and not busy[i]
      if prompt >= 0 and ended and row not in given:
        given.add(int(row))
        response = slice(samples.len_N[i])
        one = rollout(
          policy.tokenizer,
          prompts[prompt],
          samples.tokens_NR[i, response].tolist(),
          samples.logprobs_NR[i, response].tolist(),
          samples.drawn_logprobs_NR[i, response].tolist(),
          bool(samples.finished_N[i]),
        )
        found.append((int(prompt) * size + int(row) % size, one))
    return found


def _busy(state: sampler.SamplingState) -> np.ndarray:
  """Of the own rows, whether a slot still samples them."""
  flags = [np.zeros(0, bool)]
  for slots, lens in zip(
    processes.own_parts(state.row_B),
    processes.own_parts(state.samples.len_N),
    strict=True,
  ):
    of_part = np.zeros(len(lens) + 1, bool)  # The last is of idle slots.
    of_part[slots] = True
    flags.append(of_part[:-1])
  return np.concatenate(flags)


def rollout(
  tokenizer: tokenization.Tokenizer,
  prompt: types.Prompt,
  tokens: Sequence[int],
  logprobs: Sequence[float],
  drawn_logprobs: Sequence[float],
  finished: bool,
) -> types.Rollout:
  """A response, as text too; see types.Rollout."""
  ended = tokens[-1] in tokenizer.stop_ids
  return types.Rollout(
    prompt=prompt,
    tokens=tuple(tokens),
    logprobs=tuple(logprobs),
    drawn_logprobs=tuple(drawn_logprobs),
    text=tokenizer.decode(tokens[:-1] if ended else tokens),
    finished=finished,
  )
