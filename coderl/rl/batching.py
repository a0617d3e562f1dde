"""From problems to prompts, and from rollouts to batches, on the host.

In order: `generation_prompts` makes the prompts of problems, which
training/rollouts.py samples from; `padded` lays rollouts out as arrays;
`with_advantages` adds what the algorithm learns from; `minibatches` splits the
batch and `pack` makes the input of the training step.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from coderl import types
from coderl.rl import advantages, algorithms, losses, packing
from coderl.text import prompts as prompts_lib
from coderl.text import tokenization
from commons import errors


@dataclasses.dataclass(frozen=True)
class Layout:
  """Bounds of a batch's arrays.

  Attributes:
    bucket_len: lengths in tokens are rounded up to multiples of it, which
      bounds the number of shapes that are compiled.
    max_variables: M, target variables per prompt.
    max_value_len: C, tokens per value.
  """

  bucket_len: int
  max_variables: int
  max_value_len: int


def generation_prompts(
  problems: Sequence[types.Problem],
  tokenizer: tokenization.Tokenizer,
  style: str,
  max_prompt_len: int,
) -> list[types.Prompt]:
  """Returns one GENERATE prompt per problem; prompts too long are left out."""
  fitting = []
  for problem in problems:
    text = prompts_lib.generation(problem, style)
    prompt, _ = prompts_lib.make(
      types.GENERATE, text, problem, tokenizer, style
    )
    if len(prompt.tokens) <= max_prompt_len:
      fitting.append(prompt)
  return fitting


def padded(
  rollouts: Sequence[types.Rollout],
  layout: Layout,
  tokenizer: tokenization.Tokenizer,
) -> types.RolloutBatch:
  """Returns rollouts as arrays; advantages, values and reference are zero.

  The mask of a masked rollout is all False, so it gets no gradient.
  """
  longest = max(len(x.prompt.tokens) for x in rollouts)
  p = packing.bucket(longest, layout.bucket_len)
  r = packing.bucket(max(len(x.tokens) for x in rollouts), layout.bucket_len)
  b = len(rollouts)
  prompt_BP, prompt_valid_BP = packing.pad_left(
    [x.prompt.tokens for x in rollouts], p
  )
  response_BR = np.zeros((b, r), np.int32)
  valid_BR = np.zeros((b, r), bool)
  logprobs_BR, drawn_BR = np.zeros((2, b, r), np.float32)
  for i, x in enumerate(rollouts):
    n = len(x.tokens)
    response_BR[i, :n], valid_BR[i, :n] = x.tokens, True
    logprobs_BR[i, :n], drawn_BR[i, :n] = x.logprobs, x.drawn_logprobs
  queries_BM, values_BMC, values_mask_BMC = _targets(
    rollouts, p, layout, tokenizer
  )
  masked_B = np.array([x.masked for x in rollouts])
  zeros_BR = np.zeros((b, r), np.float32)
  return types.RolloutBatch(
    tokens_BT=np.concatenate([prompt_BP, response_BR], axis=1),
    valid_BT=np.concatenate([prompt_valid_BP, valid_BR], axis=1),
    mask_BR=valid_BR & ~masked_B[:, None],
    logprobs_BR=logprobs_BR,
    advantages_BR=zeros_BR,
    returns_BR=zeros_BR,
    values_BR=zeros_BR,
    ref_logprobs_BR=zeros_BR,
    drawn_logprobs_BR=drawn_BR,
    queries_BM=queries_BM,
    values_BMC=values_BMC,
    values_mask_BMC=values_mask_BMC,
  )


def _targets(
  rollouts: Sequence[types.Rollout],
  prompt_len: int,
  layout: Layout,
  tokenizer: tokenization.Tokenizer,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns queries_BM, values_BMC and values_mask_BMC; see RolloutBatch."""
  b, m, c = len(rollouts), layout.max_variables, layout.max_value_len
  queries_BM = np.zeros((b, m), np.int32)
  values_BMC = np.zeros((b, m, c), np.int32)
  values_mask_BMC = np.zeros((b, m, c), bool)
  for i, x in enumerate(rollouts):
    shift = prompt_len - len(x.prompt.tokens)
    pairs = zip(x.prompt.targets, x.prompt.queries, strict=True)
    for j, (target, query) in enumerate(pairs):
      # The end token tells the trajectory head where a value ends.
      value = [*tokenizer.encode_plain(target.value), tokenizer.eos_id][:c]
      queries_BM[i, j] = query + shift
      values_BMC[i, j, : len(value)] = value
      values_mask_BMC[i, j, : len(value)] = True
  return queries_BM, values_BMC, values_mask_BMC


def shaped_rewards(
  rollouts: Sequence[types.Rollout],
  algorithm: algorithms.Algorithm,
  max_len_tokens: int,
) -> np.ndarray:
  """Returns rewards_B, with DAPO's length penalty if the algorithm has it."""
  rewards_B = np.array([r.reward for r in rollouts], np.float32)
  if not algorithm.overlong_buffer_len_tokens:
    return rewards_B
  lens_B = np.array([len(r.tokens) for r in rollouts])
  return rewards_B + np.asarray(
    advantages.overlong_penalty(
      lens_B, max_len_tokens, algorithm.overlong_buffer_len_tokens
    )
  )


def with_advantages(
  batch: types.RolloutBatch,
  rewards_B: np.ndarray,
  masked_B: np.ndarray,
  algorithm: algorithms.Algorithm,
  group_size: int,
) -> types.RolloutBatch:
  """Returns the batch with the algorithm's advantages and returns."""
  advantages_BR, returns_BR = algorithms.token_advantages(
    algorithm,
    rewards_B.reshape(-1, group_size),
    ~masked_B.reshape(-1, group_size),
    batch.values_BR,
    batch.mask_BR,
  )
  return batch._replace(
    advantages_BR=np.asarray(advantages_BR), returns_BR=np.asarray(returns_BR)
  )


def informative(
  rollouts: Sequence[types.Rollout], group_size: int
) -> list[bool]:
  """Returns whether each group's rewards differ; see advantages."""
  rewards_BG = np.array([r.reward for r in rollouts], np.float32)
  masked_BG = np.array([r.masked for r in rollouts])
  return np.asarray(
    advantages.informative_groups(
      rewards_BG.reshape(-1, group_size), ~masked_BG.reshape(-1, group_size)
    )
  ).tolist()


def token_weights(
  batch: types.RolloutBatch, algorithm: algorithms.Algorithm
) -> packing.Weights:
  """Returns the weights of every term, from the masks of the whole batch.

  With `importance_cap`, the policy's weights are multiplied by the truncated
  importance ratio of tokens that another distribution drew.
  """
  mean = lambda mask: np.asarray(losses.token_mean(mask), np.float32)
  policy_BR = np.asarray(algorithm.aggregation(batch.mask_BR), np.float32)
  if algorithm.importance_cap:
    policy_BR = policy_BR * np.asarray(
      losses.importance_weights(
        batch.logprobs_BR, batch.drawn_logprobs_BR, algorithm.importance_cap
      )
    )
  return packing.Weights(
    policy_BR,
    mean(batch.mask_BR),
    mean(batch.values_mask_BMC),
  )


def pack(
  batch: types.RolloutBatch,
  layout: Layout,
  algorithm: algorithms.Algorithm,
  microbatches: int,
) -> tuple[types.PackedBatch, packing.Placement]:
  """Returns the input of the training step, and where `batch` lies in it."""
  placement = packing.place(
    batch,
    microbatches,
    (layout.bucket_len, layout.bucket_len, layout.max_variables),
  )
  weights = token_weights(batch, algorithm)
  return packing.pack(batch, weights, placement), placement


def minibatches(
  batch: types.RolloutBatch,
  count: int,
  group_size: int,
  rng: np.random.Generator,
) -> list[types.RolloutBatch]:
  """Splits a batch into equal minibatches of whole groups, shuffled by rng.

  Raises:
    UserError: the number of groups is not divisible by `count`.
  """
  groups = rng.permutation(batch.mask_BR.shape[0] // group_size)
  if len(groups) % count:
    raise errors.UserError(
      f'train.prompts_per_step={len(groups)} is not divisible by'
      f' train.minibatches={count}'
    )
  rows = (groups[:, None] * group_size + np.arange(group_size)).reshape(-1)
  return [
    types.RolloutBatch(*(np.asarray(field)[indices] for field in batch))
    for indices in np.split(rows, count)
  ]
