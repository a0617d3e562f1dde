import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.rl import losses


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype('f4')


def _mask_BR():
  return np.arange(5) < np.array([5, 2, 0, 3])[:, None]


# Policy losses.


def test_policy_gradient_is_that_of_the_expected_reward():
  # Exactly, over all actions of a bandit weighted by their probabilities.
  logits, rewards = _normal(0, 1, 4), _normal(1, 1, 4)

  def loss(logits):
    logprobs = jax.nn.log_softmax(logits)
    probs = jax.lax.stop_gradient(jnp.exp(logprobs))
    return jnp.sum(probs * losses.policy_gradient(logprobs, logprobs, rewards))

  def expected_reward(logits):
    return jnp.sum(jax.nn.softmax(logits) * rewards)

  np.testing.assert_allclose(
    jax.jit(jax.grad(loss))(logits),
    -jax.grad(expected_reward)(logits),
    atol=1e-6,
  )


def test_clipped_surrogate_is_worked_out_by_hand():
  # Ratios 1.5 and 0.5 with advantages of both signs; clipped to 0.8..1.28.
  old_BR = np.full((1, 4), -1.0, 'f4')
  logprobs_BR = old_BR + np.log(np.array([[1.5, 1.5, 0.5, 0.5]], 'f4'))
  advantages_BR = np.array([[2.0, -2.0, 2.0, -2.0]], 'f4')
  surrogate = functools.partial(
    losses.clipped_surrogate, clip_low=0.2, clip_high=0.28
  )
  got = jax.jit(surrogate)(logprobs_BR, old_BR, advantages_BR)
  np.testing.assert_allclose(got, [[-2.56, 3.0, -1.0, 1.6]], rtol=1e-5)
  bounded = surrogate(logprobs_BR, old_BR, advantages_BR, dual_clip=1.25)
  np.testing.assert_allclose(bounded, [[-2.56, 2.5, -1.0, 1.6]], rtol=1e-5)
  # No gradient where the clip binds: pushed up above, pushed down below.
  grad = jax.grad(lambda x: jnp.sum(surrogate(x, old_BR, advantages_BR)))(
    logprobs_BR
  )
  np.testing.assert_allclose(grad, [[0, 3.0, -1.0, 0]], rtol=1e-5)


@pytest.mark.parametrize('dual_clip', [None, 3.0])
def test_at_ratio_one_the_surrogate_has_the_policy_gradient(dual_clip):
  logprobs_BR, advantages_BR = -abs(_normal(0, 3, 5)), _normal(1, 3, 5)

  def gradient(loss):
    return jax.jit(
      jax.grad(lambda x: jnp.sum(loss(x, logprobs_BR, advantages_BR)))
    )(logprobs_BR)

  surrogate = functools.partial(
    losses.clipped_surrogate,
    clip_low=0.2,
    clip_high=0.28,
    dual_clip=dual_clip,
  )
  np.testing.assert_allclose(
    gradient(surrogate),
    gradient(losses.policy_gradient),
    rtol=1e-6,
  )


def test_absurd_ratios_stay_finite_under_a_weight_of_zero():
  logprobs_BR, old_BR = np.zeros((1, 2), 'f4'), np.full((1, 2), -1e4, 'f4')
  advantages_BR = np.array([[1.0, -1.0]], 'f4')
  for loss in (
    lambda x: losses.clipped_surrogate(x, old_BR, advantages_BR, 0.2, 0.2),
    lambda x: losses.kl_k3(old_BR, x),
  ):
    value, grad = jax.value_and_grad(lambda x, f=loss: jnp.sum(0.0 * f(x)))(
      logprobs_BR
    )
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


def test_importance_weights_are_ratios_truncated_at_the_cap():
  logprobs_BR = np.log(np.array([[0.1, 0.4, 0.9, 0.5]], 'f4'))
  drawn_BR = np.log(np.array([[0.4, 0.4, 0.1, 0.25]], 'f4'))
  got = jax.jit(losses.importance_weights)(logprobs_BR, drawn_BR, 2.0)
  np.testing.assert_allclose(got, [[0.25, 1.0, 2.0, 2.0]], rtol=1e-5)


# Aggregations.


def test_aggregations_are_worked_out_by_hand():
  mask_BR = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
  loss_BR = np.array([[1, 2, 3, 9], [6, 9, 9, 9], [9, 9, 9, 9]], 'f4')
  for aggregation, expected in [
    (losses.token_mean, (6 + 6) / 4),
    (losses.sequence_mean_token_mean, (2 + 6) / 2),
    (losses.sequence_mean_token_sum_norm, (6 / 4 + 6 / 4) / 2),
  ]:
    got = jnp.sum(jax.jit(aggregation)(mask_BR) * loss_BR)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
  got = losses.sequence_mean_token_sum_norm(mask_BR, max_len_tokens=8)
  np.testing.assert_allclose(jnp.sum(got * loss_BR), 12 / 8 / 2, rtol=1e-6)


@pytest.mark.parametrize('name', losses.AGGREGATIONS)
def test_the_loss_and_its_gradient_do_not_depend_on_microbatches(name):
  weights_BR = losses.AGGREGATIONS[name](_mask_BR())
  logprobs_BR, old_BR, advantages_BR = (_normal(i, 4, 5) for i in range(3))

  def share(logprobs, rows):
    loss = losses.clipped_surrogate(
      logprobs[rows], old_BR[rows], advantages_BR[rows], 0.2, 0.2
    )
    return jnp.sum(weights_BR[rows] * loss)

  expected = jax.value_and_grad(share)(logprobs_BR, slice(0, 4))
  for size in (1, 2):
    shares = [
      jax.value_and_grad(share)(logprobs_BR, slice(i, i + size))
      for i in range(0, 4, size)
    ]
    total = jax.tree.map(lambda *x: sum(x), *shares)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), expected, total
    )


@pytest.mark.parametrize('name', losses.AGGREGATIONS)
def test_masked_tokens_weigh_nothing(name):
  aggregation = losses.AGGREGATIONS[name]
  weights_BR = aggregation(_mask_BR())
  np.testing.assert_array_equal(weights_BR > 0, _mask_BR())
  np.testing.assert_array_equal(aggregation(np.zeros((2, 3), bool)), 0)
  # A batch with more rows that are masked altogether has the same loss.
  padded = aggregation(np.pad(_mask_BR(), ((0, 3), (0, 0))))
  np.testing.assert_allclose(padded[:4], weights_BR, rtol=1e-6)


# KL estimators.


def test_kl_estimators_are_worked_out_by_hand():
  # pi = 1/2, ref = 1/4: log r = -log 2.
  logprobs_BR = np.full((1, 1), np.log(0.5), 'f4')
  ref_BR = np.full((1, 1), np.log(0.25), 'f4')
  for name, expected in [
    ('k1', np.log(2)),
    ('k2', np.log(2) ** 2 / 2),
    ('k3', 0.5 - 1 + np.log(2)),
  ]:
    got = jax.jit(losses.KL_ESTIMATORS[name])(logprobs_BR, ref_BR)
    np.testing.assert_allclose(got, [[expected]], rtol=1e-5)


def test_k1_and_k3_are_unbiased_and_k2_has_the_gradient():
  # The expectation over all tokens of a vocabulary, exactly.
  logits, ref_BR = _normal(0, 1, 6), jax.nn.log_softmax(_normal(1, 1, 6))

  def kl(logits):
    logprobs_BR = jax.nn.log_softmax(logits)
    return jnp.sum(jnp.exp(logprobs_BR) * (logprobs_BR - ref_BR))

  def expected(estimator, logits):
    logprobs_BR = jax.nn.log_softmax(logits)
    chances_BR = jax.lax.stop_gradient(jnp.exp(logprobs_BR))
    return jnp.sum(chances_BR * estimator(logprobs_BR, ref_BR))

  for estimator in (losses.kl_k1, losses.kl_k3):
    np.testing.assert_allclose(
      expected(estimator, logits), kl(logits), rtol=1e-5
    )
  gradient = jax.grad(functools.partial(expected, losses.kl_k2))(logits)
  np.testing.assert_allclose(gradient, jax.grad(kl)(logits), atol=1e-6)


def test_k2_and_k3_are_never_negative_and_zero_at_equality():
  logprobs_BR, ref_BR = _normal(0, 8, 8), _normal(1, 8, 8)
  for estimator in (losses.kl_k2, losses.kl_k3):
    assert jnp.all(estimator(logprobs_BR, ref_BR) > 0)
    np.testing.assert_array_equal(estimator(ref_BR, ref_BR), 0)


# Value head.


def test_value_loss_is_worked_out_by_hand():
  # Return 1, old value 0, clip 0.2: moved within, too far towards, away.
  values_BR = np.array([[0.1, 0.7, -0.5]], 'f4')
  zeros_BR, ones_BR = np.zeros((1, 3), 'f4'), np.ones((1, 3), 'f4')

  def loss(values_BR):
    return losses.value_loss(values_BR, zeros_BR, ones_BR, 0.2)

  got = jax.jit(loss)(values_BR)
  np.testing.assert_allclose(got, [[0.405, 0.32, 1.125]], rtol=1e-5)
  grad = jax.grad(lambda v: jnp.sum(loss(v)))(values_BR)
  np.testing.assert_allclose(grad, [[-0.9, 0, -1.5]], rtol=1e-5)


# Token log-probabilities.

B, T, D, V = 2, 50, 16, 1024


def _inputs(dtype=jnp.float32):
  targets_BT = np.random.default_rng(2).integers(V, size=(B, T), dtype='i4')
  hidden_BTD, unembed_DV = _normal(0, B, T, D), _normal(1, D, V)
  return hidden_BTD.astype(dtype), unembed_DV.astype(dtype), targets_BT


def _whole(hidden_BTD, unembed_DV, targets_BT, temperature):
  """Computes the same with the logits of all positions."""
  logits_BTV = jnp.einsum(
    'btd,dv->btv',
    hidden_BTD,
    unembed_DV,
    preferred_element_type=jnp.float32,
  )
  logprobs_BTV = jax.nn.log_softmax(logits_BTV / temperature)
  entropy_BT = -jnp.sum(jnp.exp(logprobs_BTV) * logprobs_BTV, -1)
  picked = jnp.take_along_axis(logprobs_BTV, targets_BT[..., None], -1)
  return picked[..., 0], entropy_BT


def _chunked(hidden_BTD, unembed_DV, targets_BT, temperature, chunk=8):
  return losses.token_logprobs(
    hidden_BTD,
    unembed_DV,
    targets_BT,
    temperature=temperature,
    chunk=chunk,
  )


def _gradient(function):
  """Returns the gradients of a loss that weighs positions differently."""
  weights_BT = _normal(3, B, T)
  return jax.jit(
    jax.grad(
      lambda h, u, t: jnp.sum(weights_BT * function(h, u, t, 0.7)[0]), (0, 1)
    )
  )


@pytest.mark.parametrize('chunk', [1, 8, 50, 64])
def test_chunks_change_nothing(chunk):
  inputs = _inputs()
  got = jax.jit(functools.partial(_chunked, chunk=chunk, temperature=0.7))(
    *inputs
  )
  expected = _whole(*inputs, 0.7)
  np.testing.assert_allclose(got[0], expected[0], atol=1e-4)
  np.testing.assert_allclose(got[1], expected[1], atol=1e-4)


def test_chunks_change_no_gradient():
  inputs = _inputs()
  got, expected = _gradient(_chunked)(*inputs), _gradient(_whole)(*inputs)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), got, expected
  )


def test_bfloat16_logits_are_summed_in_float32():
  inputs = _inputs(jnp.bfloat16)
  logprobs_BT, entropy_BT = _chunked(*inputs, temperature=1.0)
  assert logprobs_BT.dtype == entropy_BT.dtype == jnp.float32
  exact = [x.astype(jnp.float32) for x in inputs[:2]]
  expected = _whole(*exact, inputs[2], 1.0)
  np.testing.assert_allclose(logprobs_BT, expected[0], atol=1e-3)


def test_gradients_of_float32_weights_add_up_in_float32_over_chunks():
  # A bfloat16 sum of equal numbers would come to a halt at 256 of them.
  hidden_BTD, unembed_DV = _normal(0, 1, 1, 4), _normal(1, 4, 8)

  def gradient(times):
    hidden = jnp.tile(hidden_BTD, (1, times, 1)).astype(jnp.bfloat16)
    targets = jnp.zeros((1, times), jnp.int32)
    return jax.grad(
      lambda u: jnp.sum(_chunked(hidden, u, targets, 1.0, chunk=1)[0])
    )(unembed_DV)

  np.testing.assert_allclose(gradient(600), 600 * gradient(1), rtol=1e-3)


def test_entropy_has_no_gradient():
  grad = jax.grad(lambda h, u, t: jnp.sum(_chunked(h, u, t, 1.0)[1]))(
    *_inputs()
  )
  np.testing.assert_array_equal(grad, 0)


def test_no_pass_holds_the_logits_of_all_positions():
  whole_logits_bytes = B * T * V * 4

  def temp_bytes(function):
    compiled = _gradient(function).lower(*_inputs()).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temp_bytes(_whole) >= whole_logits_bytes  # The measure can fail.
  assert temp_bytes(_chunked) < whole_logits_bytes


def test_token_logprobs_names_bad_settings():
  with pytest.raises(ValueError, match='temperature=0'):
    _chunked(*_inputs(), temperature=0.0)
  with pytest.raises(ValueError, match='chunk=0'):
    _chunked(*_inputs(), temperature=1.0, chunk=0)


def _clipped(logprobs, old, advantages, weights):
  surrogate = losses.clipped_surrogate(logprobs, old, advantages, 0.2, 0.3)
  return weights * (surrogate + 0.1 * losses.kl_k3(logprobs, old))


def _read():
  """Old log-probabilities near the policy's: some ratios are clipped."""
  old_BT = _whole(*_inputs(), 0.7)[0] + 0.3 * _normal(4, B, T)
  return old_BT, _normal(5, B, T), jnp.abs(_normal(6, B, T))


def _in_one_pass(h, u, t, chunk=8):
  return losses.token_loss(
    _clipped, h, u, t, *_read(), temperature=0.7, chunk=chunk
  )


def _in_two_passes(h, u, t):
  logprobs, entropy = _whole(h, u, t, 0.7)
  return jnp.sum(_clipped(logprobs, *_read())), logprobs, entropy


@pytest.mark.parametrize('chunk', [1, 8, 50, 64])
def test_a_loss_in_one_pass_is_that_of_the_log_probabilities(chunk):
  got = jax.jit(functools.partial(_in_one_pass, chunk=chunk))(*_inputs())
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    got,
    _in_two_passes(*_inputs()),
  )


@pytest.mark.parametrize('chunk', [1, 8, 50])
def test_the_gradient_made_in_the_forward_pass_is_that_of_the_loss(chunk):
  # The gradient of twice the loss shows whether the cotangent is used.
  gradient = lambda f: jax.jit(jax.grad(lambda *x: 2 * f(*x)[0], (0, 1)))
  got = gradient(functools.partial(_in_one_pass, chunk=chunk))(*_inputs())
  expected = gradient(_in_two_passes)(*_inputs())
  for a, b in zip(got, expected, strict=True):
    assert np.abs(b).max() > 0.1
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_only_the_loss_has_a_gradient():
  for i in (1, 2):
    grad = jax.grad(lambda *x, i=i: jnp.sum(_in_one_pass(*x)[i]))(*_inputs())
    np.testing.assert_array_equal(grad, 0)


def test_a_loss_in_one_pass_holds_no_logits_of_all_positions():
  gradient = jax.jit(jax.grad(lambda *x: _in_one_pass(*x)[0], (0, 1)))
  compiled = gradient.lower(*_inputs()).compile()
  held = compiled.memory_analysis().temp_size_in_bytes
  assert held < B * T * V * 4
