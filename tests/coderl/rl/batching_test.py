"""Laws of the way from prompts to batches."""

import numpy as np
import pytest

from coderl import types
from coderl.rl import batching
from coderl.text import tokenization
from commons import errors

TOKENIZER = tokenization.train_bpe(['total = 12\n'], 300)
EOS = TOKENIZER.eos_id
PROBLEM = types.Problem(id='p', statement='', tests=())


def answer(prompt=(1, 2), tokens=(3,), targets=(), **fields):
  prompt = types.Prompt(
    types.ALIGN,
    '',
    tuple(prompt),
    PROBLEM,
    targets=tuple(types.Target('x', value) for value in targets),
    queries=tuple(range(len(targets))),
  )
  logprobs, drawn = (-0.5,) * len(tokens), (-0.25,) * len(tokens)
  return types.Rollout(
    prompt, tuple(tokens), logprobs, drawn, '', True, **fields
  )


def padded(rollouts, bucket_len=4, max_variables=2, max_value_len=4):
  layout = batching.Layout(bucket_len, max_variables, max_value_len)
  return batching.padded(rollouts, layout, TOKENIZER)


def test_prompts_end_where_responses_begin():
  batch = padded([answer((5,), (6, 7, 8, 9, 10)), answer((5, 6), (7,))])
  np.testing.assert_array_equal(
    batch.tokens_BT,
    [
      [0, 0, 0, 5, 6, 7, 8, 9, 10, 0, 0, 0],
      [0, 0, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0],
    ],
  )
  np.testing.assert_array_equal(batch.valid_BT, batch.tokens_BT > 0)
  np.testing.assert_array_equal(batch.mask_BR, batch.tokens_BT[:, 4:] > 0)
  np.testing.assert_array_equal(batch.logprobs_BR, -0.5 * batch.mask_BR)
  np.testing.assert_array_equal(batch.drawn_logprobs_BR, -0.25 * batch.mask_BR)


def test_a_masked_row_carries_no_gradient():
  batch = padded([answer(), answer(masked=True)])
  assert batch.mask_BR.any(axis=1).tolist() == [True, False]


def test_a_value_is_plain_text_and_its_end():
  mark = TOKENIZER.decode([EOS])
  batch = padded([answer(targets=('1', mark))], max_value_len=30)
  for value, row, mask in zip(
    ('1', mark), batch.values_BMC[0], batch.values_mask_BMC[0], strict=True
  ):
    *text, end = row[mask].tolist()
    assert (TOKENIZER.decode(text), end) == (value, EOS)
    assert EOS not in text
  # The query moves with the padding: its prompt begins at position 2.
  assert batch.queries_BM[0].tolist() == [2, 3]


def test_a_value_cut_short_has_no_end():
  batch = padded([answer(targets=('1 2 3 4 5 6',))], max_value_len=3)
  assert batch.values_mask_BMC[0].tolist() == [[True] * 3, [False] * 3]
  assert EOS not in batch.values_BMC


def test_minibatches_hold_whole_groups():
  batch = padded([answer((g + 1,)) for g in range(6) for _ in range(2)])
  parts = batching.minibatches(batch, 3, 2, np.random.default_rng(0))
  seen = [part.tokens_BT[:, 3].tolist() for part in parts]
  assert all(a == b and c == d for a, b, c, d in seen)
  np.testing.assert_array_equal(
    np.sort(seen, axis=None), np.repeat(range(1, 7), 2)
  )
  with pytest.raises(
    errors.UserError,
    match=r'train.prompts_per_step=6 does .* train.minibatches=4',
  ):
    batching.minibatches(batch, 4, 2, np.random.default_rng(0))
