"""The decoder: from words and pictures in order to a score of each option.

It is a prefix language model (arXiv 1910.10683) that points to one option of
the prompt (arXiv 1506.03134): an option's score is computed at the positions of
its own words or picture. Labels have no parameters, so that the model cannot
learn to prefer one.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from wm_abench.core import records
from wm_abench.policy import layers as layers_lib
from wm_abench.policy import vision

Array = layers_lib.Array
MAX_OPTIONS = len(records.LABELS)


class Batch(NamedTuple):
  """Padded conversations.

  words_BW: int32 buckets of words; 0 is padding.
  word_at_BW: int32 positions in the conversation, from 0.
  word_of_BW: int32 option that a word belongs to; -1 for none.
  pictures_BPYXC: uint8, the input of vision.Vision.
  picture_at_BP: int32 positions, as word_at_BW; -1 for padding.
  picture_of_BP: int32 options, as word_of_BW.
  """

  words_BW: np.ndarray
  word_at_BW: np.ndarray
  word_of_BW: np.ndarray
  pictures_BPYXC: np.ndarray
  picture_at_BP: np.ndarray
  picture_of_BP: np.ndarray


class Decoder(nn.Module):
  """Scores the options of conversations.

  Attributes:
    vocab_size: number of word buckets.
    width: D.
    vision_layers: number of layers of the picture tower.
    layers: number of layers of the decoder.
    heads: attention heads of both.
  """

  vocab_size: int
  width: int
  vision_layers: int
  layers: int
  heads: int

  @nn.compact
  def __call__(self, batch: Batch) -> tuple[Array, Array]:
    """Returns logits_BO and the picture tower's named_BPYXN.

    O is MAX_OPTIONS. Logits of options that do not exist are -inf.
    """
    tower = vision.Vision(
      self.width, self.vision_layers, self.heads, name='vision'
    )
    seen_BPKD, named_BPYXN = tower(batch.pictures_BPYXC)
    b, p, k, d = seen_BPKD.shape
    per_token = lambda x_BP: jnp.repeat(x_BP, k, axis=1)
    embed = nn.Embed(self.vocab_size, d, name='words')
    x_BSD = jnp.concatenate(
      [seen_BPKD.reshape(b, p * k, d), embed(batch.words_BW)], axis=1
    )
    join = lambda pictures_BP, words_BW: jnp.concatenate(
      [per_token(pictures_BP), words_BW], axis=1
    )
    at_BS = join(batch.picture_at_BP, batch.word_at_BW)
    exists_BS = join(batch.picture_at_BP >= 0, batch.words_BW > 0)
    of_BS = join(batch.picture_of_BP, batch.word_of_BW)
    for i in range(self.layers):
      x_BSD = layers_lib.Block(self.heads, name=f'layer_{i}')(
        x_BSD, at_BS, exists_BS
      )
    x_BSD = nn.RMSNorm(name='norm')(x_BSD)
    score_BS = nn.Dense(1, use_bias=False, name='score')(x_BSD)[..., 0]
    in_option_BSO = jax.nn.one_hot(of_BS, MAX_OPTIONS) * exists_BS[..., None]
    count_BO = in_option_BSO.sum(1)
    sum_BO = jnp.einsum('bs,bso->bo', score_BS, in_option_BSO)
    mean_BO = sum_BO / jnp.maximum(count_BO, 1)
    return jnp.where(count_BO > 0, mean_BO, -jnp.inf), named_BPYXN
