"""Laws of drawing a token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.sampling import token_sampling


def test_tokens_are_drawn_in_proportion():
  """Across blocks of the vocabulary and within them; never of weight zero."""
  size, rows = 2 * token_sampling._BLOCK + 3, 40000
  rng = np.random.default_rng(0)
  weights = np.where(rng.random(size) < 0.1, rng.exponential(size=size), 0)
  weights[-1] = weights[0] = 5.0
  keys = jax.random.split(jax.random.key(0), rows)
  drawn = token_sampling.categorical(
    keys, jnp.tile(weights.astype(np.float32), (rows, 1))
  )
  observed = np.bincount(drawn, minlength=size)
  assert not observed[weights == 0].any()
  expected = rows * weights / weights.sum()
  big = expected > 5
  chi_square = np.sum((observed - expected)[big] ** 2 / expected[big])
  freedom = big.sum() - 1
  # The mean of chi-square plus six standard deviations.
  assert chi_square < freedom + 6 * np.sqrt(2 * freedom)
  # The test must reject a shift by one token.
  shifted = np.sum((np.roll(observed, 1) - expected)[big] ** 2 / expected[big])
  assert shifted > freedom + 6 * np.sqrt(2 * freedom)


def slow_support(logits, top_k, top_p, min_p=0.0):
  """Returns the ids that the filters keep, by sorting."""
  ids = sorted(range(len(logits)), key=lambda i: -logits[i])
  ids = ids[: top_k or None]
  weights = np.exp(np.array([logits[i] for i in ids], np.float64))
  kept, mass = set(), 0.0
  for i, share in zip(ids, weights / weights.sum(), strict=True):
    if mass >= top_p:
      break
    if np.exp(logits[i] - logits[ids[0]]) >= min_p:
      kept.add(i)
    mass += share
  return kept


@pytest.mark.parametrize(
  'top_k, top_p, min_p',
  [
    (0, 1.0, 0.0),
    (3, 1.0, 0.0),
    (99, 1.0, 0.0),
    (0, 0.6, 0.0),
    (4, 0.8, 0.0),
    (0, 0.01, 0.0),
    (0, 1.0, 0.2),
    (0, 1.0, 0.999),
    (5, 0.9, 0.1),
  ],
)
def test_support_of_the_filters(top_k, top_p, min_p):
  logits_BV = np.random.default_rng(0).normal(0, 2, (50, 9)).astype(np.float32)
  kept_BV = token_sampling.filter_logits(
    jnp.asarray(logits_BV), top_k, top_p, min_p
  )
  for logits, kept in zip(logits_BV, np.asarray(kept_BV), strict=True):
    support = set(np.flatnonzero(np.isfinite(kept)))
    assert support == slow_support(logits, top_k, top_p, min_p)
    np.testing.assert_array_equal(kept[list(support)], logits[list(support)])


def test_ties_stay_together():
  logits = jnp.array([[1.0, 0.0, 0.0, -0.0, -1.0]])
  kept = np.isfinite(token_sampling.filter_logits(logits, 2, 1.0))[0]
  assert kept.tolist() == [True, True, True, True, False]


def test_samples_stay_in_the_support():
  logits = np.array([2.0, 1.0, 0.5, 0.0, -1.0], np.float32)
  keys = jax.random.split(jax.random.key(0), 500)
  tokens, logprobs, drawn = token_sampling.sample(
    keys,
    jnp.tile(logits, (500, 1)),
    temperature=0.5,
    top_k=4,
    top_p=0.95,
    min_p=0.0,
  )
  assert set(np.asarray(tokens)) == slow_support(logits / 0.5, 4, 0.95)
  # Before the filters, as the training forward pass computes it.
  full = np.asarray(jax.nn.log_softmax(logits / 0.5))
  np.testing.assert_allclose(logprobs, full[tokens], rtol=1e-5)
  # After the filters: renormalised over the support.
  kept = slow_support(logits / 0.5, 4, 0.95)
  mass = np.log(np.exp(full[sorted(kept)]).sum())
  np.testing.assert_allclose(drawn, full[tokens] - mass, rtol=1e-5)
