"""Operations of small programs, compared with counts by hand."""

import jax
import jax.numpy as jnp

from coderl.planning import matmul_flops

X = jax.ShapeDtypeStruct((8, 16), jnp.float32)
W_L = jax.ShapeDtypeStruct((4, 16, 16), jnp.float32)
PRODUCT = 2 * 8 * 16 * 16


def _layer(x, w):
  return jnp.tanh(x @ w), None


def _layers(block):
  return lambda x, w: jax.lax.scan(block, x, w)[0].sum()


def test_a_scan_counts_each_of_its_steps():
  assert matmul_flops.count(_layers(_layer), X, W_L) == 4 * PRODUCT


def test_a_gradient_costs_two_more_and_recomputing_a_third():
  assert (
    matmul_flops.count(jax.grad(_layers(_layer), (0, 1)), X, W_L)
    == 4 * 3 * PRODUCT
  )
  again = _layers(jax.checkpoint(_layer))
  assert matmul_flops.count(jax.grad(again, (0, 1)), X, W_L) == 4 * 4 * PRODUCT


def test_batched_products_count_every_batch():
  a = jax.ShapeDtypeStruct((3, 5, 7), jnp.float32)
  b = jax.ShapeDtypeStruct((3, 7, 2), jnp.float32)
  assert matmul_flops.count(jnp.matmul, a, b) == 2 * 3 * 5 * 7 * 2


def test_a_while_loop_counts_once_and_a_cond_its_most_expensive_branch():
  def loop(x, w):
    is_positive = lambda x: x.sum() > 0
    return jax.lax.while_loop(is_positive, lambda x: jnp.tanh(x @ w[0]), x)

  assert matmul_flops.count(loop, X, W_L) == PRODUCT
  twice = lambda x, w: x @ w[0] @ w[1]
  either = lambda x, w: jax.lax.cond(x.sum() > 0, twice, lambda x, w: x, x, w)
  assert matmul_flops.count(either, X, W_L) == 2 * PRODUCT
