"""Laws of the sampler."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl import algorithms, losses, sampling, train_step, types
from coderl.models import transformer

# These programs take long to compile and no time to run.
jax.config.update('jax_disable_most_optimizations', True)

CONFIG = transformer.ModelConfig(
  vocab_size=7,
  num_layers=2,
  d_model=16,
  num_heads=4,
  num_kv_heads=2,
  head_dim=4,
  mlp_dim=24,
)
SAMPLING = sampling.SamplingConfig(
  group_size=3, max_len_tokens=6, temperature=0.7
)
P = 5
PROMPTS = np.random.default_rng(0).integers(0, 7, (2, P))
VALID = np.arange(P)[None] >= np.array([[2], [0]])


def random_params(seed=0):
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, CONFIG)), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.1, 0.5, s.shape).astype(np.float32), shapes
  )


PARAMS = random_params()


def generate(
  prompts=PROMPTS,
  valid=VALID,
  seed=0,
  params=PARAMS,
  model=CONFIG,
  config=SAMPLING,
  stop_ids=(6,),
):
  samples = sampling.generate(
    params,
    prompts,
    valid,
    jax.random.key(seed),
    model=model,
    config=config,
    stop_ids=stop_ids,
  )
  return jax.tree.map(np.asarray, samples)


# In bfloat16 a cached step rounds other hidden states than the whole forward:
# of logits up to 8 in size, 2^-8 each, over a temperature of 0.7.
@pytest.mark.parametrize(
  'dtype, atol', [('float32', 1e-4), ('bfloat16', 8 / 2**8 / 0.7)]
)
def test_logprobs_are_those_of_the_training_forward(dtype, atol):
  model = dataclasses.replace(CONFIG, dtype=dtype)
  samples = generate(model=model)
  g, (b, r) = SAMPLING.group_size, samples.tokens_BR.shape
  zeros = np.zeros((b, r), np.float32)
  batch = types.RolloutBatch(
    tokens_BT=np.concatenate(
      [np.repeat(PROMPTS, g, 0), samples.tokens_BR], axis=1
    ),
    valid_BT=np.concatenate([np.repeat(VALID, g, 0), samples.mask_BR], axis=1),
    mask_BR=samples.mask_BR,
    logprobs_BR=samples.logprobs_BR,
    advantages_BR=zeros,
    returns_BR=zeros,
    values_BR=zeros,
    ref_logprobs_BR=zeros,
    queries_BM=np.zeros((b, 1), np.int32),
    values_BMC=np.zeros((b, 1, 1), np.int32),
    values_mask_BMC=np.zeros((b, 1, 1), bool),
  )
  objective = train_step.Objective(
    model, algorithms.ALGORITHMS['grpo'], SAMPLING.temperature
  )
  scored = jax.jit(
    lambda policy, batch: train_step.forward(
      {'policy': policy}, batch, objective
    )
  )(PARAMS, batch).logprobs_BR
  masked = np.where(samples.mask_BR, scored, 0)
  np.testing.assert_allclose(samples.logprobs_BR, masked, atol=atol)


def test_logits_are_not_rounded_to_bfloat16():
  model = dataclasses.replace(CONFIG, dtype='bfloat16')
  state = jax.eval_shape(
    lambda: sampling.prefill(PARAMS, model, PROMPTS, VALID, SAMPLING)
  )
  assert state.logits_BV.dtype == jnp.float32
  hidden_BD = jax.random.normal(jax.random.key(0), (64, 16), jnp.bfloat16)
  tokens_B = jnp.arange(64) % 7
  logits_BV = sampling.next_logits(PARAMS, model, hidden_BD)
  trained, _ = losses.token_logprobs(
    hidden_BD[None],
    transformer.unembedding(PARAMS, model),
    tokens_B[None],
    temperature=1.0,
    chunk=64,
  )
  sampled = jax.nn.log_softmax(logits_BV)[jnp.arange(64), tokens_B]
  np.testing.assert_allclose(sampled, trained[0], atol=1e-5)


def test_sharing_a_prompt_in_a_group_changes_nothing():
  g = SAMPLING.group_size
  alone = dataclasses.replace(SAMPLING, group_size=1)
  shared = generate()
  separate = generate(
    np.repeat(PROMPTS, g, 0), np.repeat(VALID, g, 0), config=alone
  )
  np.testing.assert_array_equal(shared.tokens_BR, separate.tokens_BR)
  np.testing.assert_allclose(
    shared.logprobs_BR, separate.logprobs_BR, atol=1e-5
  )


def test_samples_follow_the_softmax():
  rows = 8192
  config = sampling.SamplingConfig(rows, max_len_tokens=1, temperature=0.7)
  samples = generate(PROMPTS[:1], VALID[:1], config=config)
  observed = np.bincount(samples.tokens_BR[:, 0], minlength=7)
  hidden = transformer.hidden_states(PARAMS, CONFIG, PROMPTS[:1], VALID[:1])
  logits = hidden[0, -1] @ transformer.unembedding(PARAMS, CONFIG)
  # Ever so slightly hotter, the test below must tell.
  chi_square = {}
  for temperature in (0.7, 0.8):
    expected = rows * np.asarray(jax.nn.softmax(logits / temperature))
    assert expected.min() > 5
    chi_square[temperature] = np.sum((observed - expected) ** 2 / expected)
  # The 1 - 1e-4 quantile of chi-square with 6 degrees of freedom is 27.9.
  assert chi_square[0.7] < 27.9 < chi_square[0.8]


def slow_support(logits, top_k, top_p):
  """The kept ids of one row: the k most likely, then the nucleus of those."""
  ids = sorted(range(len(logits)), key=lambda i: -logits[i])
  ids = ids[: top_k or None]
  weights = np.exp(np.array([logits[i] for i in ids], np.float64))
  kept, mass = set(), 0.0
  for i, share in zip(ids, weights / weights.sum(), strict=True):
    if mass >= top_p:
      break
    kept.add(i)
    mass += share
  return kept


@pytest.mark.parametrize(
  'top_k, top_p', [(0, 1.0), (3, 1.0), (99, 1.0), (0, 0.6), (4, 0.8), (0, 0.01)]
)
def test_support_of_top_k_and_top_p(top_k, top_p):
  logits_BV = np.random.default_rng(0).normal(0, 2, (50, 9)).astype(np.float32)
  kept_BV = sampling.filter_logits(jnp.asarray(logits_BV), top_k, top_p)
  for logits, kept in zip(logits_BV, np.asarray(kept_BV), strict=True):
    support = set(np.flatnonzero(np.isfinite(kept)))
    assert support == slow_support(logits, top_k, top_p)
    np.testing.assert_array_equal(kept[list(support)], logits[list(support)])


def test_samples_stay_in_the_support():
  logits = np.array([2.0, 1.0, 0.5, 0.0, -1.0], np.float32)
  config = sampling.SamplingConfig(temperature=0.5, top_k=4, top_p=0.95)
  keys = jax.random.split(jax.random.key(0), 500)
  tokens, logprobs = sampling.sample_tokens(
    keys, jnp.tile(logits, (500, 1)), config
  )
  assert set(np.asarray(tokens)) == slow_support(logits / 0.5, 4, 0.95)
  # Of the whole distribution: what the training forward computes.
  whole = np.asarray(jax.nn.log_softmax(logits / 0.5))
  np.testing.assert_allclose(logprobs, whole[tokens], rtol=1e-5)


GREEDY = dataclasses.replace(SAMPLING, group_size=1, temperature=0.0)


def test_greedy_takes_the_most_likely_token_each_time():
  samples = generate(config=GREEDY, stop_ids=(99,))
  forward = jax.jit(transformer.hidden_states, static_argnums=1)
  whole = forward(
    PARAMS,
    CONFIG,
    np.concatenate([PROMPTS, samples.tokens_BR], axis=1),
    np.concatenate([VALID, samples.mask_BR], axis=1),
  )[:, P - 1 : -1]
  logits = np.asarray(whole @ transformer.unembedding(PARAMS, CONFIG))
  np.testing.assert_array_equal(samples.tokens_BR, logits.argmax(-1))
  assert samples.mask_BR.all() and not samples.finished_B.any()


def test_a_stop_token_ends_its_row_and_padding_follows():
  free = generate(stop_ids=(99,))
  stopped = generate(stop_ids=(4, 6))
  ends = set()
  for b, tokens in enumerate(free.tokens_BR):
    at = np.flatnonzero(np.isin(tokens, (4, 6)))
    length = at[0] + 1 if len(at) else len(tokens)
    ends.add(length)
    np.testing.assert_array_equal(
      stopped.mask_BR[b], np.arange(len(tokens)) < length
    )
    assert stopped.finished_B[b] == bool(len(at))
    np.testing.assert_array_equal(
      stopped.tokens_BR[b], np.where(stopped.mask_BR[b], tokens, 0)
    )
    np.testing.assert_array_equal(
      stopped.logprobs_BR[b],
      np.where(stopped.mask_BR[b], free.logprobs_BR[b], 0),
    )
  assert len(ends) > 1  # Rows did end at different times.


def test_a_row_does_not_depend_on_its_neighbours():
  g = SAMPLING.group_size
  other = PROMPTS.copy()
  other[0] = (other[0] + 1) % 7
  a, b = generate(), generate(other)
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[g:], y[g:]), a, b)
  assert np.any(a.tokens_BR[:g] != b.tokens_BR[:g])


def test_the_key_decides():
  once, twice, other = generate(seed=0), generate(seed=0), generate(seed=1)
  jax.tree.map(np.testing.assert_array_equal, once, twice)
  assert np.any(once.tokens_BR != other.tokens_BR)


def test_samples_of_a_group_differ():
  tokens = generate().tokens_BR.reshape(2, SAMPLING.group_size, -1)
  assert all(len({tuple(row) for row in group}) > 1 for group in tokens)


def test_samples_with_the_weights_it_is_given():
  before, after = generate(), generate(params=random_params(1))
  assert np.any(before.logprobs_BR[:, 0] != after.logprobs_BR[:, 0])
