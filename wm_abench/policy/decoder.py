"""Words and pictures in order, to a score of each option.

A prefix language model (arXiv 1910.10683) whose reply is one token out of those
that the prompt itself offers, so it points to it (arXiv 1506.03134): an option
is scored by what stands at its own words or picture. A letter has no weight of
its own, and no letter can be learned by heart.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from wm_abench.policy import layers as layers_lib
from wm_abench.policy import vision

Array = layers_lib.Array
MAX_OPTIONS = 6


class Batch(NamedTuple):
  """Conversations, padded.

  words_BW: int32, buckets of words; 0 is padding.
  word_at_BW: int32 place in the conversation, from 0.
  word_of_BW: int32, the option that a word is of; -1: of none.
  pictures_BPYXC: uint8, as vision.Vision takes them.
  picture_at_BP: int32, as word_at_BW; -1: padding.
  picture_of_BP: int32, as word_of_BW.
  """

  words_BW: np.ndarray
  word_at_BW: np.ndarray
  word_of_BW: np.ndarray
  pictures_BPYXC: np.ndarray
  picture_at_BP: np.ndarray
  picture_of_BP: np.ndarray


class Decoder(nn.Module):
  """Scores of options.

  Attributes:
    vocab_size: buckets of words.
    width: D.
    vision_layers, layers: of the tower and of the decoder.
    heads: of both.
  """

  vocab_size: int
  width: int
  vision_layers: int
  layers: int
  heads: int

  @nn.compact
  def __call__(self, batch: Batch) -> tuple[Array, Array]:
    """logits_BO, O = MAX_OPTIONS, and named_BPYXN, as vision.Vision gives them.

    Those of options that are not there are -inf.
    """
    tower = vision.Vision(
      self.width, self.vision_layers, self.heads, name='vision'
    )
    seen_BPKD, named_BPYXN = tower(batch.pictures_BPYXC)
    b, p, k, d = seen_BPKD.shape
    of_token = lambda x_BP: jnp.repeat(x_BP, k, axis=1)
    embed = nn.Embed(self.vocab_size, d, name='words')
    x_BSD = jnp.concatenate(
      [seen_BPKD.reshape(b, p * k, d), embed(batch.words_BW)], axis=1
    )
    join = lambda pictures_BP, words_BW: jnp.concatenate(
      [of_token(pictures_BP), words_BW], axis=1
    )
    at_BS = join(batch.picture_at_BP, batch.word_at_BW)
    there_BS = join(batch.picture_at_BP >= 0, batch.words_BW > 0)
    of_BS = join(batch.picture_of_BP, batch.word_of_BW)
    for i in range(self.layers):
      x_BSD = layers_lib.Block(self.heads, name=f'layer_{i}')(
        x_BSD, at_BS, there_BS
      )
    x_BSD = nn.RMSNorm(name='norm')(x_BSD)
    score_BS = nn.Dense(1, use_bias=False, name='score')(x_BSD)[..., 0]
    own_BSO = jax.nn.one_hot(of_BS, MAX_OPTIONS) * there_BS[..., None]
    count_BO = own_BSO.sum(1)
    sum_BO = jnp.einsum('bs,bso->bo', score_BS, own_BSO)
    mean_BO = sum_BO / jnp.maximum(count_BO, 1)
    return jnp.where(count_BO > 0, mean_BO, -jnp.inf), named_BPYXN
