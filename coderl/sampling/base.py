"""The interface of samplers, and what all of them share.

A sampler yields responses in chunks as they end, so that programs run while
other responses are still being written. local.py samples on the mesh of this
run, remote.py asks a server.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from coderl import types
from coderl.models import load
from coderl.sampling import sampler
from coderl.text import tokenization

# A response and its number: response g to prompt u has number u G + g.
NumberedRollout = tuple[int, types.Rollout]


class Sampler(Protocol):
  """Samples responses from a policy."""

  def sample(
    self,
    policy: load.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
  ) -> Iterator[list[NumberedRollout]]:
    """Samples G rollouts for each prompt and yields them as they end.

    Args:
      policy: the policy to sample from.
      prompts: at least one; of any kind, all with the same stop strings.
      key: consumed.
      config: how to sample.

    Yields:
      Chunks of rollouts that have ended. Over all chunks of all processes,
      each rollout comes once.
    """


def common_stops(prompts: Sequence[types.Prompt]) -> tuple[str, ...]:
  """Returns the stop strings of the prompts; ValueError where they differ."""
  stops = prompts[0].stops
  if any(prompt.stops != stops for prompt in prompts):
    raise ValueError('all prompts of one call must have the same stop strings')
  return stops


def make_rollout(
  tokenizer: tokenization.Tokenizer,
  prompt: types.Prompt,
  tokens: np.ndarray,
  logprobs: np.ndarray,
  drawn_logprobs: np.ndarray,
  finished: bool,
) -> types.Rollout:
  """Returns the rollout of a response, its text decoded; see types.Rollout."""
  token_ids = tokens.tolist()
  if token_ids[-1] in tokenizer.stop_ids:
    token_ids = token_ids[:-1]
  return types.Rollout(
    prompt=prompt,
    tokens=tokens,
    logprobs=logprobs,
    drawn_logprobs=drawn_logprobs,
    text=tokenizer.decode(token_ids),
    finished=finished,
  )
