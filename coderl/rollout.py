"""Prompts to rollouts to optimisation batches, on the host.

In order: `generation_prompts` asks problems, `sample` runs the policy (device
to host), rewards.score judges, `padded` lays rollouts out as arrays,
`with_advantages` adds what the algorithm learns from, `minibatches` splits them
and `pack` makes of each what an update is computed on.
"""

from collections.abc import Sequence
import dataclasses
import functools

import jax
import numpy as np

from coderl import (
  advantages,
  algorithms,
  losses,
  packing,
  policies,
  sampling,
  sharding,
  stopping,
  tokenization,
  types,
)
from coderl import prompts as prompts_lib
from commons import errors


@dataclasses.dataclass(frozen=True)
class Layout:
  """Bounds of a batch's arrays, in tokens but for max_variables.

  Lengths are rounded up to multiples of `bucket_len`, so that a run compiles a
  handful of shapes.
  """

  bucket_len: int
  max_variables: int
  max_value_len: int


def bucket(length: int, multiple: int) -> int:
  """`length` rounded up to a multiple."""
  return -(-length // multiple) * multiple


def generation_prompts(
  problems: Sequence[types.Problem],
  tokenizer: tokenization.Tokenizer,
  style: str,
  max_prompt_len: int,
) -> list[types.Prompt]:
  """One GENERATE prompt a problem; those that are too long are left out."""
  found = []
  for problem in problems:
    text = prompts_lib.generation(problem, style)
    prompt, _ = prompts_lib.make(
      types.GENERATE, text, problem, tokenizer, style
    )
    if len(prompt.tokens) <= max_prompt_len:
      found.append(prompt)
  return found


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


def sample(
  policy: policies.Policy,
  prompts: Sequence[types.Prompt],
  key: types.Array,
  *,
  config: sampling.SamplingConfig,
  bucket_len: int,
  mesh: jax.sharding.Mesh,
) -> list[types.Rollout]:
  """G rollouts to each prompt, group by group in the prompts' order.

  Compiles once for every `sample_shape`.

  Args:
    policy: what is sampled from.
    prompts: of any kind, all with the same stops; at least one.
    key: consumed.
    config: how to sample.
    bucket_len: prompts are padded to a multiple of it.
    mesh: prompts are dealt out over its data and fsdp axes.
  """
  stops = prompts[0].stops
  if any(prompt.stops != stops for prompt in prompts):
    raise ValueError('prompts of one call want the same stops')
  parts = sharding.parts(mesh, sharding.BATCH[0])
  count, length = sample_shape(prompts, bucket_len, mesh)
  place = [
    i % parts * (count // parts) + i // parts for i in range(len(prompts))
  ]
  rows: list[Sequence[int]] = [()] * count
  index_U = np.full(count, -1, np.int32)
  for i, at in enumerate(place):
    rows[at], index_U[at] = prompts[i].tokens, i
  arrays = pad_left(rows, length)
  samples, _ = sampling.generate(
    policy.params,
    *sharding.put((*arrays, index_U), mesh),
    key,
    stop_table(policy.tokenizer, policy.model.vocab_size, stops),
    model=policy.model,
    config=config,
    stop_ids=policy.tokenizer.stop_ids,
  )
  samples = jax.device_get(samples)
  size = config.group_size
  return [
    _rollout(policy.tokenizer, prompts[i], samples, at * size + g)
    for i, at in enumerate(place)
    for g in range(size)
  ]


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
    text=tokenizer.decode(tokens[:-1] if ended else tokens),
    finished=bool(samples.finished_N[row]),
  )


def padded(
  rollouts: Sequence[types.Rollout],
  layout: Layout,
  tokenizer: tokenization.Tokenizer,
) -> types.RolloutBatch:
  """Rollouts as arrays; advantages, values and reference are still zero.

  A masked rollout's mask is all False: it carries no gradient.
  """
  longest = max(len(r.prompt.tokens) for r in rollouts)
  p = bucket(longest, layout.bucket_len)
  r = bucket(max(len(x.tokens) for x in rollouts), layout.bucket_len)
  b, m, c = len(rollouts), layout.max_variables, layout.max_value_len
  prompt_BP, prompt_valid_BP = pad_left([x.prompt.tokens for x in rollouts], p)
  response_BR = np.zeros((b, r), np.int32)
  valid_BR = np.zeros((b, r), bool)
  logprobs_BR = np.zeros((b, r), np.float32)
  queries_BM = np.zeros((b, m), np.int32)
  values_BMC = np.zeros((b, m, c), np.int32)
  values_mask_BMC = np.zeros((b, m, c), bool)
  for i, x in enumerate(rollouts):
    n = len(x.tokens)
    response_BR[i, :n], valid_BR[i, :n] = x.tokens, True
    logprobs_BR[i, :n] = x.logprobs
    shift = p - len(x.prompt.tokens)
    pairs = zip(x.prompt.targets, x.prompt.queries, strict=True)
    for j, (target, query) in enumerate(pairs):
      # The end token tells the trajectory head where a value ends.
      value = [*tokenizer.encode_plain(target.value), tokenizer.eos_id][:c]
      queries_BM[i, j] = query + shift
      values_BMC[i, j, : len(value)] = value
      values_mask_BMC[i, j, : len(value)] = True
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
    queries_BM=queries_BM,
    values_BMC=values_BMC,
    values_mask_BMC=values_mask_BMC,
  )


def shaped_rewards(
  rollouts: Sequence[types.Rollout],
  algorithm: algorithms.Algorithm,
  max_len_tokens: int,
) -> np.ndarray:
  """Rewards [B] with DAPO's penalty on length where the algorithm has it."""
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
  """The batch with the algorithm's advantages and returns."""
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
  """For each group, whether its rewards differ (advantages' definition)."""
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
  """Weights of every term, from the masks of the whole batch."""
  mean = lambda mask: np.asarray(losses.token_mean(mask), np.float32)
  return packing.Weights(
    np.asarray(algorithm.aggregation(batch.mask_BR), np.float32),
    mean(batch.mask_BR),
    mean(batch.values_mask_BMC),
  )


def pack(
  batch: types.RolloutBatch,
  layout: Layout,
  algorithm: algorithms.Algorithm,
  microbatches: int,
) -> tuple[types.PackedBatch, packing.Places]:
  """What an update is computed on, and where it lies in `batch`."""
  places = packing.places(
    batch,
    microbatches,
    (layout.bucket_len, layout.bucket_len, layout.max_variables),
  )
  weights = token_weights(batch, algorithm)
  return packing.pack(batch, weights, places), places


def minibatches(
  batch: types.RolloutBatch,
  count: int,
  group_size: int,
  rng: np.random.Generator,
) -> list[types.RolloutBatch]:
  """Equal parts of a batch, whole groups in each, in an order drawn by rng.

  Raises:
    UserError: the groups do not divide into `count` parts.
  """
  groups = rng.permutation(batch.mask_BR.shape[0] // group_size)
  if len(groups) % count:
    raise errors.UserError(
      f'train.prompts_per_step={len(groups)} does not divide into'
      f' train.minibatches={count}'
    )
  rows = (groups[:, None] * group_size + np.arange(group_size)).reshape(-1)
  return [
    types.RolloutBatch(*(np.asarray(field)[part] for field in batch))
    for part in np.split(rows, count)
  ]
