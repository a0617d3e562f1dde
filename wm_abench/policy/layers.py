"""The layer that the picture tower and the decoder consist of.

Dimension key of this package: B conversations, P pictures, K tokens per
picture, W words, S all tokens, O options, D width, N heads, H head size.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
_THETA = 100.0  # Positions are few: a picture has one, like a word.


def rotate(x_BSNH: Array, positions_BS: Array) -> Array:
  """Applies rotary positions (arXiv 2104.09864), halves convention."""
  half = x_BSNH.shape[-1] // 2
  frequency_H = _THETA ** (-jnp.arange(half) / half)
  angle_BS1H = positions_BS[:, :, None, None] * frequency_H
  cos, sin = jnp.cos(angle_BS1H), jnp.sin(angle_BS1H)
  a, b = jnp.split(x_BSNH, 2, axis=-1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


class Block(nn.Module):
  """A pre-norm layer: attention with rotary positions, then SwiGLU.

  Norms are RMSNorm (arXiv 1910.07467); the MLP is from arXiv 2002.05202.

  Attributes:
    heads: number of attention heads; a divisor of the width.
  """

  heads: int

  @nn.compact
  def __call__(self, x_BSD: Array, positions_BS: Array, seen_BS: Array):
    """Returns the layer's output, with the shape of x_BSD.

    Args:
      x_BSD: float32.
      positions_BS: positions of the tokens in the conversation, from 0.
      seen_BS: False for padding, to which no token attends.
    """
    width = x_BSD.shape[-1]
    split = (*x_BSD.shape[:2], self.heads, width // self.heads)
    dense = lambda size, name: nn.Dense(size, use_bias=False, name=name)
    y_BSD = nn.RMSNorm(name='attention_norm')(x_BSD)
    q_BSNH, k_BSNH, v_BSNH = (
      dense(width, name)(y_BSD).reshape(split) for name in 'qkv'
    )
    att_BSNH = jax.nn.dot_product_attention(
      rotate(nn.RMSNorm(name='q_norm')(q_BSNH), positions_BS),
      rotate(nn.RMSNorm(name='k_norm')(k_BSNH), positions_BS),
      v_BSNH,
      mask=seen_BS[:, None, None, :],
    )
    x_BSD += dense(width, 'o')(att_BSNH.reshape(x_BSD.shape))
    y_BSD = nn.RMSNorm(name='mlp_norm')(x_BSD)
    gated = nn.silu(dense(2 * width, 'gate')(y_BSD))
    return x_BSD + dense(width, 'down')(gated * dense(2 * width, 'up')(y_BSD))
