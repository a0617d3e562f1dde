"""The picture tower: a convolutional stem and a compact ViT.

The input is each picture and its difference from the previous one, in which
motion is visible in single pixels. The stem replaces patch embeddings, as in
"Early Convolutions Help Transformers See Better" (arXiv 2106.14881).
"""

import flax.linen as nn
import jax.numpy as jnp

from wm_abench.policy import layers as layers_lib
from wm_abench.worlds.tabletop import props

Array = layers_lib.Array
SIZE_PX = 64
SIDE = SIZE_PX // 8  # Squares per side of the grid that the ViT sees.
# Names of an object: its look, and its direction of motion.
NAMES = (*props.COLORS, *props.SHAPES, 'left', 'right', 'up', 'down')
_COLOURS = 16


class Vision(nn.Module):
  """Encodes each picture of conversations as K = SIDE^2 / 4 tokens.

  It also predicts the names of the objects whose centres are in each square of
  the grid, which is an auxiliary target in training.

  Attributes:
    width: D.
    layers: number of layers of the ViT, over SIDE x SIDE tokens.
    heads: its attention heads.
  """

  width: int
  layers: int
  heads: int

  @nn.compact
  def __call__(self, pictures_BPYXC: Array) -> tuple[Array, Array]:
    """Returns tokens_BPKD, and logits_BPYXN of NAMES over the grid.

    Args:
      pictures_BPYXC: uint8, Y = X = SIZE_PX.
    """
    x = pictures_BPYXC.astype(jnp.float32) / 127.5 - 1
    # The first picture has no previous one: its difference is 0.
    before = jnp.concatenate([x[:, :1], x[:, :-1]], axis=1)
    x = jnp.concatenate([x, x - before], axis=-1)
    b, p = x.shape[:2]
    x = x.reshape(b * p, *x.shape[2:])
    # Features of single pixels first, then of 4 x 4 and of 8 x 8 pixels.
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
    # The bias makes names rare at first, because most squares are empty.
    few = nn.initializers.constant(-4.0)
    named = nn.Dense(len(NAMES), bias_init=few, name='names')(x)
    # Four neighbouring squares are merged into one token.
    x = nn.Dense(self.width, name='merge')(_blocks(x, 2))
    return (
      x.reshape(b, p, -1, self.width),
      named.reshape(b, p, SIDE, SIDE, len(NAMES)),
    )


def _blocks(x_BYXC: Array, side: int) -> Array:
  """Returns each square of side x side as one vector.

  A dense layer on them is a strided convolution, whose gradient as a matrix
  product is several times faster on a CPU.
  """
  b, y, x, c = x_BYXC.shape
  x = x_BYXC.reshape(b, y // side, side, x // side, side, c)
  return x.swapaxes(2, 3).reshape(b, y // side, -1, side * side * c)
