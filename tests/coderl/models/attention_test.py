"""All attention methods agree with the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from coderl.models import attention
from commons import errors

B, T, N, K, H = 2, 256, 4, 2, 64
RNG = np.random.default_rng(0)
QKV = [
  jnp.asarray(RNG.normal(size=(B, T, n, H)), jnp.float32) for n in (N, K, K)
]
# Three sequences and padding; two sequences.
SEGMENTS = jnp.asarray(
  [np.repeat([1, 2, 3, 0], [100, 80, 50, 26]), np.repeat([1, 2], [200, 56])]
)
REAL = (SEGMENTS > 0)[..., None, None]


def output_and_gradients(attend):
  """Returns the output and the gradients, without padding."""

  def total(*qkv):
    out = jnp.where(REAL, attend(*qkv), 0.0)
    return jnp.sum(jnp.sin(out)), out

  gradients, out = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(*QKV)
  return out, gradients


@pytest.mark.parametrize('window', [0, 17])
def test_splash_attention_equals_plain_attention(window):
  """The kernel is interpreted."""
  settings = dict(scale=0.3, window=window)
  plain = attention.plain(SEGMENTS, **settings)
  splash = attention.splash(SEGMENTS, **settings, interpret=True)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=5e-5),
    output_and_gradients(splash),
    output_and_gradients(plain),
  )


def test_windows_and_segments_limit_what_is_seen():
  seen = np.asarray(attention.mask(jnp.asarray([[1, 1, 1, 2, 2, 0]]), 2))[0]
  positions = [np.flatnonzero(row).tolist() for row in seen]
  assert positions == [[0], [0, 1], [1, 2], [3], [3, 4], [5]]


def test_splash_attention_names_an_unsupported_length():
  with pytest.raises(errors.UserError, match='multiple of 128 tokens, not 100'):
    attention.splash(SEGMENTS[:, :100], scale=1.0, window=0)


@pytest.mark.skipif(
  jax.default_backend() != 'gpu', reason='cuDNN is there on GPUs alone'
)
def test_cudnn_attention_equals_plain_attention():
  half = [x.astype(jnp.bfloat16) for x in QKV]
  out = [
    jnp.where(REAL, make(SEGMENTS, scale=0.3, window=0)(*half), 0)
    for make in (attention.cudnn, attention.plain)
  ]
  np.testing.assert_allclose(
    *(np.asarray(x, np.float32) for x in out), atol=0.05
  )
