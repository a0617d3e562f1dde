"""Laws of packing."""

import hypothesis
from hypothesis import strategies as st
import numpy as np

from coderl import types
from coderl.rl import packing

P, R, M, C = 6, 7, 3, 2


def padded(lens, targets):
  """Returns a batch of these (prompt, response) lengths; all tokens differ."""
  rows = len(lens)
  prompt, response = np.array(lens).T[:, :, None]
  valid_BR = np.arange(R) < response
  valid_BT = np.concatenate([np.arange(P) >= P - prompt, valid_BR], axis=1)
  numbers = lambda *shape: 1 + np.arange(np.prod(shape)).reshape(shape)
  response_fields = [numbers(rows, R) * 10.0**i * valid_BR for i in range(6)]
  return types.RolloutBatch(
    numbers(rows, P + R) * valid_BT,
    valid_BT,
    valid_BR,
    *response_fields,
    queries_BM=np.full((rows, M), P - 1),
    values_BMC=numbers(rows, M, C),
    values_mask_BMC=(np.arange(M) < np.array(targets)[:, None])[:, :, None]
    & np.ones(C, bool),
  )


batches = st.lists(
  st.tuples(st.integers(1, P), st.integers(1, R), st.integers(0, M)),
  min_size=4,
  max_size=12,
).map(lambda rows: rows[: len(rows) // 4 * 4])


@hypothesis.given(batches)
@hypothesis.settings(max_examples=60, deadline=None)
def test_every_token_and_value_is_packed_once_and_comes_back(rows):
  lens, targets = [row[:2] for row in rows], [row[2] for row in rows]
  batch = padded(lens, targets)
  weights = packing.Weights(
    batch.logprobs_BR, batch.returns_BR, batch.values_BMC * 1.0
  )
  placement = packing.place(batch, 4, (1, 1, 1))
  packed = packing.pack(batch, weights, placement)
  nonzero = lambda a: sorted(a[a > 0].tolist())
  assert nonzero(packed.tokens_BT) == nonzero(batch.tokens_BT)
  assert packed.tokens_BT.shape[:2] == (4, len(rows) // 4)
  np.testing.assert_array_equal(packed.tokens_BT > 0, packed.segments_BT > 0)
  for name in ('advantages', 'returns', 'values', 'ref_logprobs'):
    back = packing.unpack(
      getattr(packed, f'{name}_BR'), placement, batch.mask_BR.shape
    )
    np.testing.assert_array_equal(back, getattr(batch, f'{name}_BR'))
  # A response's token follows the one before it, in the same sequence.
  take = np.take_along_axis
  real = packed.targets_BR > 0
  for name in ('tokens_BT', 'segments_BT'):
    a = getattr(packed, name)
    before, after = (take(a, packed.before_BR + i * real, 2) for i in (0, 1))
    if name == 'tokens_BT':
      np.testing.assert_array_equal(after[real], packed.targets_BR[real])
      np.testing.assert_array_equal(after[real], before[real] + 1)
    else:
      np.testing.assert_array_equal(after[real], before[real])
  # A value's query is the last token of its prompt.
  used = packed.value_weights_BMC[..., 0] > 0
  assert used.sum() == sum(targets)
  token = take(packed.tokens_BT, packed.queries_BM, 2)[used]
  row = (packed.values_BMC[..., 0][used] - 1) // (M * C)
  np.testing.assert_array_equal(token, batch.tokens_BT[row, P - 1])


def test_no_bin_exceeds_its_capacity_and_no_two_could_be_one():
  rng = np.random.default_rng(0)
  sizes = rng.integers(1, 50, (200, 2))
  capacity = np.array([60, 70])
  bins = packing.first_fit(sizes, capacity)
  assert sorted(i for items in bins for i in items) == list(range(200))
  totals = np.array([sizes[items].sum(axis=0) for items in bins])
  assert np.all(totals <= capacity)
  too_large = [
    np.any(a + b > capacity) for i, a in enumerate(totals) for b in totals[:i]
  ]
  assert all(too_large)


def test_padding_counts_rows_of_nonempty_microbatches():
  # Sequences of 8, 8, 4 and 4 tokens fill three rows of 8 of the four rows in
  # two microbatches.
  batch = padded([(4, 4), (4, 4), (2, 2), (2, 2)], [0] * 4)
  placement = packing.place(batch, 2, (8, 1, 1))
  assert packing.padding(placement) == 4 * 8 / 24
