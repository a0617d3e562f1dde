"""Laws of the sampler."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.models import cache, transformer
from coderl.rl import losses
from coderl.sampling import (
  sampler,
  sharded_sampler,
  stop_strings,
  token_sampling,
)

# These programs take long to compile but not to run.
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
SAMPLING = sampler.SamplingConfig(
  group_size=3, max_len_tokens=6, temperature=0.7
)
P = 5
PROMPTS = np.random.default_rng(0).integers(0, 7, (2, P))
VALID = np.arange(P)[None] >= np.array([[2], [0]])
MANY = np.random.default_rng(1).integers(0, 7, (6, P))
MANY_VALID = np.arange(P) >= np.array([[2], [0], [4], [1], [0], [3]])


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
  index=None,
  seed=0,
  params=PARAMS,
  model=CONFIG,
  config=SAMPLING,
  stop_ids=(6,),
  stop_table=None,
):
  samples, _ = sharded_sampler.generate(
    params,
    prompts,
    valid,
    np.arange(len(prompts), dtype=np.int32) if index is None else index,
    jax.random.key(seed),
    stop_table,
    model=model,
    config=config,
    stop_ids=stop_ids,
  )
  return jax.tree.map(np.asarray, samples)


def mask(samples):
  return np.arange(samples.tokens_NR.shape[1]) < samples.len_N[:, None]


def assert_same(a, b):
  """The same tokens; log-probabilities up to the order of sums."""
  np.testing.assert_array_equal(a.tokens_NR, b.tokens_NR)
  np.testing.assert_array_equal(a.len_N, b.len_N)
  np.testing.assert_array_equal(a.finished_N, b.finished_N)
  np.testing.assert_allclose(a.logprobs_NR, b.logprobs_NR, atol=1e-5)
  np.testing.assert_allclose(
    a.drawn_logprobs_NR, b.drawn_logprobs_NR, atol=1e-5
  )


# In bfloat16 a cached step rounds other hidden states than the full forward
# pass: logits up to 8 in size differ by 2^-8 each, over a temperature of 0.7.
@pytest.mark.parametrize(
  'dtype, atol', [('float32', 1e-4), ('bfloat16', 8 / 2**8 / 0.7)]
)
def test_logprobs_are_those_of_the_training_forward(dtype, atol):
  model = dataclasses.replace(CONFIG, dtype=dtype)
  samples = generate(model=model)
  mask_BR = mask(samples)
  repeated = lambda a: np.repeat(a, SAMPLING.group_size, 0)
  tokens_BT = np.concatenate([repeated(PROMPTS), samples.tokens_NR], axis=1)
  valid_BT = np.concatenate([repeated(VALID), mask_BR], axis=1)

  @jax.jit
  def score(params):
    hidden_BTD = transformer.hidden_states(params, model, tokens_BT, valid_BT)
    return losses.token_logprobs(
      hidden_BTD[:, PROMPTS.shape[1] - 1 : -1],
      transformer.unembedding(params, model),
      samples.tokens_NR,
      temperature=SAMPLING.temperature,
      chunk=64,
    )[0]

  masked = np.where(mask_BR, score(PARAMS), 0)
  np.testing.assert_allclose(samples.logprobs_NR, masked, atol=atol)


def test_logits_are_not_rounded_to_bfloat16():
  model = dataclasses.replace(CONFIG, dtype='bfloat16')
  weights = cache.prepare(PARAMS, model)
  hidden_BD = jax.random.normal(jax.random.key(0), (64, 16), jnp.bfloat16)
  tokens_B = jnp.arange(64) % 7
  logits_BV = cache.logits(weights, hidden_BD)
  assert logits_BV.dtype == jnp.float32
  trained, _ = losses.token_logprobs(
    hidden_BD[None],
    transformer.unembedding(PARAMS, model),
    tokens_B[None],
    temperature=1.0,
    chunk=64,
  )
  sampled = jax.nn.log_softmax(logits_BV)[jnp.arange(64), tokens_B]
  np.testing.assert_allclose(sampled, trained[0], atol=1e-5)


@jax.jit
def slow_logits(params, tokens, valid):
  hidden = transformer.hidden_states(params, CONFIG, tokens, valid)
  return hidden[:, -1] @ transformer.unembedding(params, CONFIG)


def slow_generate(prompts, valid, config, stop_ids=(6,)):
  """Samples one token at a time, running the whole text each time."""
  width = prompts.shape[1] + config.max_len_tokens
  responses = []
  for u, (prompt, real) in enumerate(zip(prompts, valid, strict=True)):
    for g in range(config.group_size):
      key = jax.random.fold_in(jax.random.key(0), u * config.group_size + g)
      text, response = prompt[real].tolist(), []
      while len(response) < config.max_len_tokens:
        padded = np.zeros((1, width), np.int32)
        padded[0, width - len(text) :] = text
        valid = np.arange(width)[None] >= width - len(text)
        logits = slow_logits(PARAMS, padded, valid)
        token, *_ = token_sampling.sample(
          jax.random.fold_in(key, len(response))[None],
          logits,
          temperature=config.temperature,
          top_k=config.top_k,
          top_p=config.top_p,
          min_p=config.min_p,
        )
        response.append(int(token[0]))
        text.append(response[-1])
        if response[-1] in stop_ids:
          break
      responses.append(response)
  return responses


@pytest.mark.parametrize('slots', [0, 1, 4])
def test_equals_a_slow_and_obvious_sampler(slots):
  expected = slow_generate(MANY, MANY_VALID, SAMPLING, stop_ids=(4, 6))
  assert len({len(row) for row in expected}) > 1  # Some end early.
  config = dataclasses.replace(SAMPLING, slots=slots)
  samples = generate(MANY, MANY_VALID, config=config, stop_ids=(4, 6))
  pairs = zip(samples.tokens_NR, samples.len_N, strict=True)
  assert [tokens[:n].tolist() for tokens, n in pairs] == expected


def test_sharing_a_prompt_in_a_group_changes_nothing():
  g = SAMPLING.group_size
  alone = dataclasses.replace(SAMPLING, group_size=1)
  separate = generate(
    np.repeat(PROMPTS, g, 0), np.repeat(VALID, g, 0), config=alone
  )
  assert_same(generate(), separate)


@pytest.mark.parametrize('slots', [1, 2, 5, 17])
def test_refilling_slots_changes_nothing(slots):
  long = dataclasses.replace(SAMPLING, max_len_tokens=20)
  few = dataclasses.replace(long, slots=slots)
  expected = generate(MANY, MANY_VALID, config=long)
  assert_same(generate(MANY, MANY_VALID, config=few), expected)


def test_refilling_saves_steps():
  """A sequence that ends early frees its slot."""
  long = dataclasses.replace(SAMPLING, max_len_tokens=20, slots=2)
  index = np.arange(6, dtype=np.int32)
  samples, steps = sharded_sampler.generate(
    PARAMS,
    MANY,
    MANY_VALID,
    index,
    jax.random.key(0),
    model=CONFIG,
    config=long,
    stop_ids=(6,),
  )
  lens = np.asarray(samples.len_N)
  # Without refilling, two slots would take as long as the longer of each pair.
  pairs = lens.reshape(-1, 2).max(axis=1).sum()
  assert lens.sum() / 2 <= steps[0] <= lens.sum() / 2 + lens.max() < pairs


def test_positions_without_a_prompt_are_skipped():
  index = np.array([0, 1, -1, -1], np.int32)
  more = np.concatenate([PROMPTS, PROMPTS])
  samples = generate(more, np.concatenate([VALID, VALID]), index=index)
  n = len(PROMPTS) * SAMPLING.group_size
  assert_same(sampler.Samples(*(a[:n] for a in samples)), generate())
  assert not samples.len_N[n:].any()


def test_a_long_cache_is_read_up_to_growing_widths(monkeypatch):
  long = dataclasses.replace(SAMPLING, max_len_tokens=40, slots=4)
  expected = generate(MANY, MANY_VALID, config=long, stop_ids=(99,))
  assert sampler.cache_widths(P, long) == [45]
  monkeypatch.setattr(sampler, '_LEAST_WIDTH', 6)
  assert sampler.cache_widths(P, long) == [12, 23, 45]
  sharded_sampler.generate.clear_cache()
  widened = generate(MANY, MANY_VALID, config=long, stop_ids=(99,))
  sharded_sampler.generate.clear_cache()
  assert_same(widened, expected)


@pytest.mark.parametrize('dtype, atol', [('bfloat16', 0.1), ('int8', 0.1)])
def test_a_small_cache_is_close(dtype, atol):
  small = dataclasses.replace(SAMPLING, cache_dtype=dtype)
  exact, close = generate(), generate(config=small)
  first = exact.logprobs_NR[:, 0]
  # The first token is drawn after the prefill, which reads no cache.
  np.testing.assert_allclose(close.logprobs_NR[:, 0], first, atol=1e-6)
  same = (close.tokens_NR == exact.tokens_NR).all(axis=1)
  assert same.any()
  difference = np.abs(close.logprobs_NR - exact.logprobs_NR)[same]
  assert 0 < difference.max() < atol


def test_same_samples_on_any_mesh():
  script = pathlib.Path(__file__).with_name('sampler_mesh_script.py')
  run = subprocess.run(
    [sys.executable, '-m', f'tests.coderl.sampling.{script.stem}'],
    cwd=script.parents[3],
    env=os.environ | {'JAX_NUM_CPU_DEVICES': '8'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert run.returncode == 0, run.stderr
  by_mesh = json.loads(run.stdout.splitlines()[-1])
  assert {f['shards'] for f in by_mesh.values()} == {1, 2, 4, 8}
  first, *others = by_mesh.values()
  assert len(set(first['len'])) > 1
  for other in others:
    assert other['tokens'] == first['tokens']
    np.testing.assert_allclose(other['logprobs'], first['logprobs'], atol=1e-5)


def test_samples_follow_the_softmax():
  n = 8192
  config = sampler.SamplingConfig(n, max_len_tokens=1, temperature=0.7)
  samples = generate(PROMPTS[:1], VALID[:1], config=config)
  observed = np.bincount(samples.tokens_NR[:, 0], minlength=7)
  hidden = transformer.hidden_states(PARAMS, CONFIG, PROMPTS[:1], VALID[:1])
  logits = hidden[0, -1] @ transformer.unembedding(PARAMS, CONFIG)
  # The test must reject a slightly higher temperature.
  chi_square = {}
  for temperature in (0.7, 0.8):
    expected = n * np.asarray(jax.nn.softmax(logits / temperature))
    assert expected.min() > 5
    chi_square[temperature] = np.sum((observed - expected) ** 2 / expected)
  # The 1 - 1e-4 quantile of chi-square with 6 degrees of freedom is 27.9.
  assert chi_square[0.7] < 27.9 < chi_square[0.8]


GREEDY = dataclasses.replace(SAMPLING, group_size=1, temperature=0.0)


def test_temperature_zero_takes_the_most_likely_token():
  samples = generate(config=GREEDY, stop_ids=(99,))
  forward = jax.jit(transformer.hidden_states, static_argnums=1)
  hidden = forward(
    PARAMS,
    CONFIG,
    np.concatenate([PROMPTS, samples.tokens_NR], axis=1),
    np.concatenate([VALID, mask(samples)], axis=1),
  )[:, P - 1 : -1]
  logits = np.asarray(hidden @ transformer.unembedding(PARAMS, CONFIG))
  np.testing.assert_array_equal(samples.tokens_NR, logits.argmax(-1))
  assert mask(samples).all() and not samples.finished_N.any()


def assert_cut(stopped, free, ends):
  """Asserts that `stopped` is `free` cut at `ends` (None: the length limit)."""
  limit = free.tokens_NR.shape[1]
  lens = np.array([end or limit for end in ends])
  np.testing.assert_array_equal(stopped.len_N, lens)
  finished = [end is not None for end in ends]
  np.testing.assert_array_equal(stopped.finished_N, finished)
  kept = np.arange(limit) < lens[:, None]
  np.testing.assert_array_equal(
    stopped.tokens_NR, np.where(kept, free.tokens_NR, 0)
  )
  np.testing.assert_array_equal(
    stopped.logprobs_NR, np.where(kept, free.logprobs_NR, 0)
  )
  assert len(set(ends)) > 1  # Sequences end at different times.


def test_a_stop_token_ends_its_sequence_and_padding_follows():
  free = generate(stop_ids=(99,))
  ends = [
    next((i + 1 for i, t in enumerate(row) if t in (4, 6)), None)
    for row in free.tokens_NR
  ]
  assert_cut(generate(stop_ids=(4, 6)), free, ends)


def test_a_stop_string_ends_its_sequence_wherever_token_borders_lie():
  token_bytes = (b'a', b'b', b'ab', b'ba', b'', b'bb', b'aab')
  stops = ('abb', 'bab')
  free = generate(MANY, MANY_VALID, stop_ids=(99,))
  ends = []
  for row in free.tokens_NR:
    texts = [
      b''.join(token_bytes[t] for t in row[: n + 1]).decode()
      for n in range(len(row))
    ]
    hits = (
      n + 1 for n, text in enumerate(texts) if any(s in text for s in stops)
    )
    ends.append(next(hits, None))
  stopped = generate(
    MANY,
    MANY_VALID,
    stop_ids=(99,),
    stop_table=stop_strings.table(token_bytes, stops),
  )
  assert_cut(stopped, free, ends)


def test_a_sequence_does_not_depend_on_its_neighbours():
  g = SAMPLING.group_size
  other = PROMPTS.copy()
  other[0] = (other[0] + 1) % 7
  a, b = generate(), generate(other)
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[g:], y[g:]), a, b)
  assert np.any(a.tokens_NR[:g] != b.tokens_NR[:g])


def test_the_key_decides():
  once, twice, other = generate(seed=0), generate(seed=0), generate(seed=1)
  jax.tree.map(np.testing.assert_array_equal, once, twice)
  assert np.any(once.tokens_NR != other.tokens_NR)


def test_samples_of_a_group_differ():
  tokens = generate().tokens_NR.reshape(2, SAMPLING.group_size, -1)
  assert all(len({tuple(row) for row in group}) > 1 for group in tokens)


def test_samples_depend_on_the_weights():
  before, after = generate(), generate(params=random_params(1))
  assert np.any(before.logprobs_NR[:, 0] != after.logprobs_NR[:, 0])
