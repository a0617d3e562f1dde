"""Packing: responses of many lengths in rows of one, on the host.

A padded batch has a row for each response. Its sequences (a prompt and its
response) are laid one after the other into rows of T tokens, decreasing first
fit, so that hardly anything but tokens is computed on. Rows are dealt out to
microbatches; those that are left without one are skipped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coderl import types

_SLACK = 1.1  # Of what rows hold of responses beside the mean.


def bucket(length: int, multiple: int) -> int:
  """`length` rounded up to a multiple."""
  return -(-length // multiple) * multiple


def pad_left(
  rows: Sequence[Sequence[int]], length: int
) -> tuple[np.ndarray, np.ndarray]:
  """(tokens [N, length] int32, valid [N, length] bool)."""
  tokens = np.zeros((len(rows), length), np.int32)
  valid = np.zeros((len(rows), length), bool)
  for i, row in enumerate(rows):
    tokens[i, length - len(row) :] = row
    valid[i, length - len(row) :] = True
  return tokens, valid


class Weights(NamedTuple):
  """Weights of the per-token terms; they sum to one over the whole batch."""

  policy_BR: np.ndarray
  token_BR: np.ndarray
  value_token_BMC: np.ndarray


class Source(NamedTuple):
  """Where things lie in the padded batch; row -1 where there is nothing."""

  row: np.ndarray
  column: np.ndarray

  def pick(self, padded: np.ndarray) -> np.ndarray:
    """Of an array [rows, columns, ...], in this order; zeros for nothing."""
    found = padded[self.row, self.column]
    nothing = self.row < 0
    found[nothing] = 0
    return found


class Places(NamedTuple):
  """A layout. tokens: [N, B, T]. responses: [N, B, R]. values: [N, B, M].

  segments_NBT: as in types.PackedBatch. before_NBR, query_NBM: positions in T,
  of the token before a response's, and of a value's query.
  """

  tokens: Source
  responses: Source
  values: Source
  segments_NBT: np.ndarray
  before_NBR: np.ndarray
  query_NBM: np.ndarray


def first_fit(sizes: np.ndarray, capacity: np.ndarray) -> list[list[int]]:
  """Decreasing first fit of vectors: the items of each bin.

  Args:
    sizes: [items, kinds]; items go by the first kind, largest first.
    capacity: [kinds], of a bin; no item is larger.
  """
  bins: list[list[int]] = []
  rooms = np.empty((len(sizes), len(capacity)), np.int64)
  for i in np.argsort(-sizes[:, 0], kind='stable'):
    fitting = np.all(rooms[: len(bins)] >= sizes[i], axis=1)
    at = int(np.argmax(fitting)) if fitting.any() else len(bins)
    if at == len(bins):
      bins.append([])
      rooms[at] = capacity
    bins[at].append(int(i))
    rooms[at] -= sizes[i]
  return bins


def sizes(batch: types.RolloutBatch) -> np.ndarray:
  """[rows, 3]: tokens, response tokens, target values of each."""
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
  """T, R and M of a row: as many as the longest, and the mean row, want.

  Args:
    sizes: of `sizes`.
    multiples: that T, R and M are rounded up to, so that a run compiles a
      handful of shapes; and the least that they are.
  """

  def up(n, multiple):
    return max(multiple, bucket(int(np.ceil(n)), max(multiple, 1)))

  longest, total = sizes.max(axis=0), sizes.sum(axis=0)
  t = up(longest[0], multiples[0])
  rows = -(-total[0] // t)
  most = [
    up(max(long, _SLACK * all_ / rows), multiple)
    for long, all_, multiple in zip(
      longest[1:], total[1:], multiples[1:], strict=True
    )
  ]
  return np.array([t, *most])


def places(
  batch: types.RolloutBatch,
  microbatches: int,
  multiples: Sequence[int],
) -> Places:
  """A layout for a padded batch.

  Args:
    batch: prompts left-padded, responses right-padded; its rows divide by
      `microbatches`.
    microbatches: N. Each has B = rows / N rows of its own.
    multiples: of `capacity`.
  """
  rows, r = batch.mask_BR.shape
  n, b = microbatches, rows // microbatches
  of_row = sizes(batch)
  room = capacity(of_row, multiples)
  t = int(room[0])

  def nowhere(length):
    return Source(*(np.full((n, b, length), -1, np.int32) for _ in range(2)))

  tokens, responses, values = map(nowhere, room)
  segments_NBT = np.zeros((n, b, t), np.int32)
  before_NBR = np.zeros((n, b, int(room[1])), np.int32)
  query_NBM = np.zeros((n, b, int(room[2])), np.int32)
  prompt_len = batch.tokens_BT.shape[1] - r

  def put(source, at, start, row, columns):
    span = (*at, slice(start, start + len(columns)))
    source.row[span], source.column[span] = row, columns
    return span

  for i, packed in enumerate(first_fit(of_row, room)):
    at, used = (i // b, i % b), np.zeros(3, np.int64)
    for number, row in enumerate(packed, start=1):
      length, response, targets = of_row[row]
      start, from_ = used[0], prompt_len - (length - response)
      segments_NBT[
        put(tokens, at, start, row, np.arange(from_, from_ + length))
      ] = number
      span = put(responses, at, used[1], row, np.arange(response))
      first = start + length - response - 1
      before_NBR[span] = np.arange(first, first + response)
      which = np.flatnonzero(batch.values_mask_BMC[row].any(axis=1))
      span = put(values, at, used[2], row, which)
      query_NBM[span] = batch.queries_BM[row, which] - from_ + start
      used += (length, response, targets)
  return Places(tokens, responses, values, segments_NBT, before_NBR, query_NBM)


def pack(
  batch: types.RolloutBatch, weights: Weights, places: Places
) -> types.PackedBatch:
  """The padded batch in the layout."""
  r = batch.mask_BR.shape[1]
  of_response = places.responses.pick
  return types.PackedBatch(
    tokens_BT=places.tokens.pick(batch.tokens_BT),
    segments_BT=places.segments_NBT,
    before_BR=places.before_NBR,
    targets_BR=of_response(batch.tokens_BT[:, -r:]),
    logprobs_BR=of_response(batch.logprobs_BR),
    advantages_BR=of_response(batch.advantages_BR),
    returns_BR=of_response(batch.returns_BR),
    values_BR=of_response(batch.values_BR),
    ref_logprobs_BR=of_response(batch.ref_logprobs_BR),
    policy_weights_BR=of_response(weights.policy_BR),
    token_weights_BR=of_response(weights.token_BR),
    queries_BM=places.query_NBM,
    values_BMC=places.values.pick(batch.values_BMC),
    value_weights_BMC=places.values.pick(weights.value_token_BMC),
  )


def unpack(x_NBR: np.ndarray, places: Places, shape: Sequence[int]):
  """What was computed of response tokens, padded again to [rows, R]."""
  x_BR = np.zeros(shape, x_NBR.dtype)
  real = places.responses.row >= 0
  at = places.responses.row[real], places.responses.column[real]
  x_BR[at] = np.asarray(x_NBR)[real]
  return x_BR


def padding(places: Places) -> float:
  """Tokens computed on over tokens there are."""
  real_NBT = places.segments_NBT > 0
  used = np.count_nonzero(real_NBT.any(axis=(1, 2)))
  return used * real_NBT[0].size / np.count_nonzero(real_NBT)
