"""Packing: sequences of many lengths in rows of one length, on the host.

A padded batch has one row per response. Packing puts its sequences (a prompt
and its response) one after the other into rows of T tokens, by first-fit
decreasing, so that little is computed on padding. The rows are divided into
microbatches; microbatches that stay empty are skipped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coderl import types

# A row has room for 10 % more response tokens and values than its average
# share, so that few rows are opened for want of it.
_SLACK = 1.1


def bucket(length: int, multiple: int) -> int:
  """Returns `length` rounded up to a multiple."""
  return -(-length // multiple) * multiple


def pad_left(
  sequences: Sequence[Sequence[int]], length: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns (tokens [N, length] int32, valid [N, length] bool)."""
  tokens = np.zeros((len(sequences), length), np.int32)
  valid = np.zeros((len(sequences), length), bool)
  for i, sequence in enumerate(sequences):
    tokens[i, length - len(sequence) :] = sequence
    valid[i, length - len(sequence) :] = True
  return tokens, valid


class Weights(NamedTuple):
  """Weights of the per-token terms of the loss, over the whole batch.

  Attributes:
    policy_BR: of the policy-gradient and KL terms.
    token_BR: of token means; sums to one.
    value_token_BMC: of the tokens of target values; sums to one.
  """

  policy_BR: np.ndarray
  token_BR: np.ndarray
  value_token_BMC: np.ndarray


class Source(NamedTuple):
  """For each packed entry, its row and column in the padded batch.

  Attributes:
    row: int32; -1 for an unused entry.
    column: int32.
  """

  row: np.ndarray
  column: np.ndarray

  def gather(self, padded: np.ndarray) -> np.ndarray:
    """Packs an array [rows, columns, ...]; unused entries are zero."""
    packed = padded[self.row, self.column]
    packed[self.row < 0] = 0
    return packed


class Placement(NamedTuple):
  """Where each sequence of a padded batch lies in the packed rows.

  Attributes:
    tokens: [N, B, T], the source of each token.
    responses: [N, B, R], the source of each response token.
    values: [N, B, M], the source of each target value.
    segments_NBT: as in types.PackedBatch.
    before_NBR: the position in T from which a response token is predicted.
    query_NBM: the position in T of a value's query.
  """

  tokens: Source
  responses: Source
  values: Source
  segments_NBT: np.ndarray
  before_NBR: np.ndarray
  query_NBM: np.ndarray


def first_fit(sizes: np.ndarray, capacity: np.ndarray) -> list[list[int]]:
  """Packs vectors by first-fit decreasing; returns the items of each bin.

  Args:
    sizes: [items, kinds]; items are placed by the first kind, largest first.
    capacity: [kinds], of a bin; no item is larger.
  """
  bins: list[list[int]] = []
  free = np.empty((len(sizes), len(capacity)), np.int64)
  for i in np.argsort(-sizes[:, 0], kind='stable'):
    fitting = np.all(free[: len(bins)] >= sizes[i], axis=1)
    bin_index = int(np.argmax(fitting)) if fitting.any() else len(bins)
    if bin_index == len(bins):
      bins.append([])
      free[bin_index] = capacity
    bins[bin_index].append(int(i))
    free[bin_index] -= sizes[i]
  return bins


def sizes(batch: types.RolloutBatch) -> np.ndarray:
  """Returns [rows, 3]: tokens, response tokens and target values of each."""
  r = batch.mask_BR.shape[1]
  return np.stack(
    [
      batch.valid_BT.sum(axis=1),
      batch.valid_BT[:, -r:].sum(axis=1),
      batch.values_mask_BMC.any(axis=2).sum(axis=1),
    ],
    axis=1,
  )


def capacity(sizes: np.ndarray, multiples: Sequence[int]) -> np.ndarray:
  """Returns [T, R, M] of a packed row.

  T is the longest sequence. R and M are those of the largest sequence, or of
  the average row plus _SLACK, if that is more.

  Args:
    sizes: from `sizes`.
    multiples: T, R and M are rounded up to multiples of these, which bounds
      the number of shapes that are compiled.
  """

  def round_up(n, multiple):
    return max(multiple, bucket(int(np.ceil(n)), max(multiple, 1)))

  longest, total = sizes.max(axis=0), sizes.sum(axis=0)
  t = round_up(longest[0], multiples[0])
  rows = -(-total[0] // t)
  others = [
    round_up(max(most, _SLACK * sum_ / rows), multiple)
    for most, sum_, multiple in zip(
      longest[1:], total[1:], multiples[1:], strict=True
    )
  ]
  return np.array([t, *others])


def place(
  batch: types.RolloutBatch,
  microbatches: int,
  multiples: Sequence[int],
) -> Placement:
  """Assigns the sequences of a padded batch to packed rows.

  Args:
    batch: prompts left-padded, responses right-padded; the number of its rows
      is divisible by `microbatches`.
    microbatches: N. Each has B = rows / N packed rows.
    multiples: as in `capacity`.
  """
  n, b = microbatches, len(batch.mask_BR) // microbatches
  row_sizes = sizes(batch)
  limits = capacity(row_sizes, multiples)
  t, r, m = map(int, limits)
  placement = Placement(
    *(_unused((n, b, length)) for length in (t, r, m)),
    segments_NBT=np.zeros((n, b, t), np.int32),
    before_NBR=np.zeros((n, b, r), np.int32),
    query_NBM=np.zeros((n, b, m), np.int32),
  )
  for i, rows in enumerate(first_fit(row_sizes, limits)):
    used = np.zeros(3, np.int64)
    for segment, row in enumerate(rows, start=1):
      _place_row(
        placement, batch, row_sizes[row], row, (i // b, i % b), used, segment
      )
      used += row_sizes[row]
  return placement


def _unused(shape: Sequence[int]) -> Source:
  return Source(np.full(shape, -1, np.int32), np.full(shape, -1, np.int32))


def _place_row(
  placement: Placement,
  batch: types.RolloutBatch,
  size: np.ndarray,
  row: int,
  packed_row: tuple[int, int],
  used: np.ndarray,
  segment: int,
) -> None:
  """Places row `row` of the batch behind the `used` entries of a packed row.

  Args:
    placement: filled in.
    batch: the padded batch.
    size: tokens, response tokens and target values of the row.
    row: the index in the batch.
    packed_row: its microbatch and its row in it.
    used: tokens, response tokens and target values already placed there.
    segment: the number of the sequence in the packed row, from 1 up.
  """
  length, response_len, _ = size
  prompt_len = length - response_len
  first_column = batch.tokens_BT.shape[1] - batch.mask_BR.shape[1] - prompt_len

  def put(source, offset, columns):
    entries = (*packed_row, slice(offset, offset + len(columns)))
    source.row[entries], source.column[entries] = row, columns
    return entries

  columns = np.arange(first_column, first_column + length)
  placement.segments_NBT[put(placement.tokens, used[0], columns)] = segment
  entries = put(placement.responses, used[1], np.arange(response_len))
  before = used[0] + prompt_len - 1
  placement.before_NBR[entries] = np.arange(before, before + response_len)
  values = np.flatnonzero(batch.values_mask_BMC[row].any(axis=1))
  entries = put(placement.values, used[2], values)
  queries = batch.queries_BM[row, values]
  placement.query_NBM[entries] = queries - first_column + used[0]


def pack(
  batch: types.RolloutBatch, weights: Weights, placement: Placement
) -> types.PackedBatch:
  """Returns the padded batch in packed rows."""
  r = batch.mask_BR.shape[1]
  gather = placement.responses.gather
  return types.PackedBatch(
    tokens_BT=placement.tokens.gather(batch.tokens_BT),
    segments_BT=placement.segments_NBT,
    before_BR=placement.before_NBR,
    targets_BR=gather(batch.tokens_BT[:, -r:]),
    logprobs_BR=gather(batch.logprobs_BR),
    advantages_BR=gather(batch.advantages_BR),
    returns_BR=gather(batch.returns_BR),
    values_BR=gather(batch.values_BR),
    ref_logprobs_BR=gather(batch.ref_logprobs_BR),
    policy_weights_BR=gather(weights.policy_BR),
    token_weights_BR=gather(weights.token_BR),
    queries_BM=placement.query_NBM,
    values_BMC=placement.values.gather(batch.values_BMC),
    value_weights_BMC=placement.values.gather(weights.value_token_BMC),
  )


def packed_shape(packed: types.PackedBatch) -> tuple[int, int, int]:
  """Returns [T, R, M]; each new one compiles the training step once more."""
  return (
    packed.tokens_BT.shape[-1],
    packed.before_BR.shape[-1],
    packed.queries_BM.shape[-1],
  )


def unpack(
  x_NBR: np.ndarray, placement: Placement, shape: Sequence[int]
) -> np.ndarray:
  """Returns x_BR: an array over packed response tokens, padded again."""
  x_BR = np.zeros(shape, x_NBR.dtype)
  used = placement.responses.row >= 0
  rows, columns = (index[used] for index in placement.responses)
  x_BR[rows, columns] = np.asarray(x_NBR)[used]
  return x_BR


def padding(placement: Placement) -> float:
  """Returns the positions computed on, divided by the tokens."""
  used_NBT = placement.segments_NBT > 0
  microbatches = np.count_nonzero(used_NBT.any(axis=(1, 2)))
  return microbatches * used_NBT[0].size / np.count_nonzero(used_NBT)
