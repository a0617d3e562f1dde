"""Laws of the way from rollouts to batches."""

import numpy as np
import pytest

from coderl import types
from coderl.rl import algorithms, batching
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
  return types.Rollout(
    prompt,
    np.array(tokens, np.int32),
    np.full(len(tokens), -0.5, np.float32),
    np.full(len(tokens), -0.25, np.float32),
    '',
    True,
    **fields,
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


def test_a_masked_rollout_gets_no_gradient():
  batch = padded([answer(), answer(masked=True)])
  assert batch.mask_BR.any(axis=1).tolist() == [True, False]


def test_a_value_is_plain_text_and_an_end_token():
  end_text = TOKENIZER.decode([EOS])
  batch = padded([answer(targets=('1', end_text))], max_value_len=30)
  for value, row, mask in zip(
    ('1', end_text), batch.values_BMC[0], batch.values_mask_BMC[0], strict=True
  ):
    *text, end = row[mask].tolist()
    assert (TOKENIZER.decode(text), end) == (value, EOS)
    assert EOS not in text
  # Queries are shifted by the padding: the prompt begins at position 2.
  assert batch.queries_BM[0].tolist() == [2, 3]


def test_a_value_cut_short_has_no_end():
  batch = padded([answer(targets=('1 2 3 4 5 6',))], max_value_len=3)
  assert batch.values_mask_BMC[0].tolist() == [[True] * 3, [False] * 3]
  assert EOS not in batch.values_BMC


def test_minibatches_hold_whole_groups():
  batch = padded([answer((g + 1,)) for g in range(6) for _ in range(2)])
  split = batching.minibatches(batch, 3, 2, np.random.default_rng(0))
  tokens = [minibatch.tokens_BT[:, 3].tolist() for minibatch in split]
  assert all(a == b and c == d for a, b, c, d in tokens)
  np.testing.assert_array_equal(
    np.sort(tokens, axis=None), np.repeat(range(1, 7), 2)
  )
  with pytest.raises(
    errors.UserError,
    match=r'train.prompts_per_step=6 is not .* train.minibatches=4',
  ):
    batching.minibatches(batch, 4, 2, np.random.default_rng(0))


def test_the_length_penalty_is_added_to_the_reward():
  # Penalised are the last 4 of 8 tokens: 6 tokens cost 1/2, 8 cost 1.
  rollouts = [answer(tokens=(3,) * n, reward=0.5) for n in (4, 6, 8)]
  dapo = algorithms.make('dapo', overlong_buffer_len_tokens=4)
  np.testing.assert_allclose(
    batching.shaped_rewards(rollouts, dapo, 8), [0.5, 0.0, -0.5]
  )
  grpo = algorithms.make('grpo')
  np.testing.assert_allclose(batching.shaped_rewards(rollouts, grpo, 8), 0.5)


def test_importance_ratios_multiply_the_policys_weights_up_to_the_cap():
  # Three tokens of weight 1/3 each; their ratios are e^-1, 1 and e.
  batch = padded([answer(tokens=(3, 4, 5))], bucket_len=1)._replace(
    logprobs_BR=np.array([[-2.0, -1.0, 0.0]], 'f4'),
    drawn_logprobs_BR=np.full((1, 3), -1.0, 'f4'),
  )
  corrected = batching.token_weights(
    batch, algorithms.make('grpo', importance_cap=2.0)
  )
  np.testing.assert_allclose(
    corrected.policy_BR, [[np.exp(-1) / 3, 1 / 3, 2 / 3]], rtol=1e-6
  )
  uncorrected = batching.token_weights(batch, algorithms.make('grpo'))
  np.testing.assert_allclose(uncorrected.policy_BR, 1 / 3, rtol=1e-6)
  # Token means, such as the entropy's, are not corrected.
  np.testing.assert_allclose(corrected.token_BR, 1 / 3, rtol=1e-6)


def test_groups_are_informative_if_their_rewards_differ():
  pairs = [(1, 1), (1, 0), (0, 0)]
  rollouts = [answer(reward=reward) for pair in pairs for reward in pair]
  assert batching.informative(rollouts, 2) == [False, True, False]
  masked = [answer(reward=1), answer(reward=0, masked=True)]
  assert batching.informative(masked, 2) == [False]


def test_masked_rollouts_enter_no_advantage():
  rollouts = [
    answer(reward=1.0),
    answer(reward=0.0),
    answer(reward=0.0, masked=True),
  ]
  batch = batching.with_advantages(
    padded(rollouts, bucket_len=1),
    np.array([r.reward for r in rollouts], np.float32),
    np.array([r.masked for r in rollouts]),
    algorithms.make('dr_grpo'),
    group_size=3,
  )
  np.testing.assert_allclose(batch.advantages_BR, [[0.5], [-0.5], [0]])
