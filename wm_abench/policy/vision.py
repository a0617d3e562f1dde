"""Pictures to tokens: a convolutional stem and a compact ViT.

A picture comes with its difference from the one before it: what moved is then
a matter of single pixels. Convolutions stand in for patches, after "Early
Convolutions Help Transformers See Better" (arXiv 2106.14881).
"""

import flax.linen as nn
import jax.numpy as jnp

from wm_abench.policy import layers as layers_lib
from wm_abench.worlds.tabletop import props

Array = layers_lib.Array
SIZE_PX = 64
SIDE = SIZE_PX // 8  # Of the grid that the ViT sees.
# What is said of a thing: how it looks, and which way it moved.
NAMES = (*props.COLORS, *props.SHAPES, 'left', 'right', 'up', 'down')
_COLOURS = 16


class Vision(nn.Module):
  """Conversations' pictures, each to K = SIDE^2 / 4 tokens.

  It also says what stands where, which it is told in training: names of the
  things whose centre is in a square of the grid.

  Attributes:
    width: D.
    layers: of the ViT, over SIDE x SIDE tokens.
    heads: of its attention.
  """

  width: int
  layers: int
  heads: int

  @nn.compact
  def __call__(self, pictures_BPYXC: Array) -> tuple[Array, Array]:
    """Tokens_BPKD, and logits of NAMES_BPYXN over the grid.

    Args:
      pictures_BPYXC: uint8, Y = X = SIZE_PX.
    """
    x = pictures_BPYXC.astype(jnp.float32) / 127.5 - 1
    # The first is compared with itself.
    before = jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)
    x = jnp.concatenate([x, x - before], axis=-1)
    b, p = x.shape[:2]
    x = x.reshape(b * p, *x.shape[2:])
    # Kinds of colour and of change, a pixel at a time, then strokes of them.
    x = nn.gelu(nn.Dense(_COLOURS, name='colours')(x))
    x = nn.gelu(nn.Dense(self.width, name='strokes')(_blocks(x, 4)))
    x = nn.Dense(self.width, name='patches')(_blocks(x, 2))
    x += self.param(
      'places', nn.initializers.normal(0.3), (SIDE, SIDE, self.width)
    )
    x = x.reshape(b * p, SIDE**2, self.width)
    still = jnp.zeros(x.shape[:2])
    for i in range(self.layers):
      block = layers_lib.Block(self.heads, name=f'layer_{i}')
      x = block(x, still, jnp.ones(x.shape[:2], bool))
    x = x.reshape(b * p, SIDE, SIDE, self.width)
    # Nearly all squares are empty.
    few = nn.initializers.constant(-4.0)
    named = nn.Dense(len(NAMES), bias_init=few, name='names')(x)
    # Four neighbours make a token.
    x = nn.Dense(self.width, name='merge')(_blocks(x, 2))
    return (
      x.reshape(b, p, -1, self.width),
      named.reshape(b, p, SIDE, SIDE, len(NAMES)),
    )


def _blocks(x_BYXC: Array, side: int) -> Array:
  """Squares of side x side as one vector: all that a strided convolution does.

  As a matrix product its gradient is several times as fast on a CPU.
  """
  b, y, x, c = x_BYXC.shape
  x = x_BYXC.reshape(b, y // side, side, x // side, side, c)
  return x.swapaxes(2, 3).reshape(b, y // side, -1, side * side * c)
