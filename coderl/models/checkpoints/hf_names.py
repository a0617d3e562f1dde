"""What our parameters are called in a Hugging Face folder.

Theirs are one tensor a layer and, for a linear map, [out, in]; ours are stacked
over layers, and [in..., out...].
"""

from collections.abc import Mapping
import functools
import math
from typing import NamedTuple

from flax import traverse_util
import flax.linen as nn
import jax
import numpy as np

from coderl.models import transformer


class Place(NamedTuple):
  """Where a parameter lies in a Hugging Face folder.

  name: of the tensor; {} is the layer.
  num_inputs: how many of our leading axes (after the layer's) the linear map
    reads: they are flattened to its last axis there. None: the same axes.
  """

  name: str
  num_inputs: int | None = None

  @property
  def stacked(self) -> bool:
    return '{}' in self.name


_ATTENTION = 'model.layers.{}.self_attn.'
_MLP = 'model.layers.{}.mlp.'
NAMES: Mapping[str, Place] = {
  'embedding': Place('model.embed_tokens.weight'),
  'layers/attention_norm/scale': Place(
    'model.layers.{}.input_layernorm.weight'
  ),
  'layers/q': Place(_ATTENTION + 'q_proj.weight', 1),
  'layers/q_bias': Place(_ATTENTION + 'q_proj.bias', 0),
  'layers/q_norm/scale': Place(_ATTENTION + 'q_norm.weight'),
  'layers/k': Place(_ATTENTION + 'k_proj.weight', 1),
  'layers/k_bias': Place(_ATTENTION + 'k_proj.bias', 0),
  'layers/k_norm/scale': Place(_ATTENTION + 'k_norm.weight'),
  'layers/v': Place(_ATTENTION + 'v_proj.weight', 1),
  'layers/v_bias': Place(_ATTENTION + 'v_proj.bias', 0),
  'layers/o': Place(_ATTENTION + 'o_proj.weight', 2),
  'layers/gate': Place(_MLP + 'gate_proj.weight', 1),
  'layers/up': Place(_MLP + 'up_proj.weight', 1),
  'layers/down': Place(_MLP + 'down_proj.weight', 1),
  'final_norm/scale': Place('model.norm.weight'),
  'unembedding': Place('lm_head.weight', 1),
}
# By config.post_norms: one name stands for two things.
_NORM_NAMES: Mapping[bool, Mapping[str, Place]] = {
  False: {
    'layers/mlp_norm/scale': Place(
      'model.layers.{}.post_attention_layernorm.weight'
    ),
  },
  True: {
    'layers/attention_post_norm/scale': Place(
      'model.layers.{}.post_attention_layernorm.weight'
    ),
    'layers/mlp_norm/scale': Place(
      'model.layers.{}.pre_feedforward_layernorm.weight'
    ),
    'layers/mlp_post_norm/scale': Place(
      'model.layers.{}.post_feedforward_layernorm.weight'
    ),
  },
}
TABLE, HEAD = NAMES['embedding'].name, NAMES['unembedding'].name


class Part(NamedTuple):
  """What a tensor is to us: a parameter or a layer of one.

  param: its name in the tree.
  place: of the parameter.
  shape: of the part: ours, without the layers' axis.
  layer: None if the parameter is not stacked.
  """

  param: str
  place: Place
  shape: tuple[int, ...]
  layer: int | None

  @property
  def name(self) -> str:
    return self.place.name.format(self.layer)

  @property
  def seen_shape(self) -> tuple[int, ...]:
    """Of the tensor with none of our axes flattened: [out..., in...]."""
    inputs = self.place.num_inputs or 0
    return self.shape[inputs:] + self.shape[:inputs]

  @property
  def their_shape(self) -> tuple[int, ...]:
    if self.place.num_inputs is None:
      return self.shape
    outputs = len(self.shape) - self.place.num_inputs
    ins, outs = self.seen_shape[outputs:], self.seen_shape[:outputs]
    return (math.prod(outs), math.prod(ins)) if ins else (math.prod(outs),)

  def seen(self, ours: np.ndarray) -> np.ndarray:
    """Our values as the tensor has them, [out..., in...]; a view."""
    inputs = self.place.num_inputs or 0
    return ours.transpose(*range(inputs, ours.ndim), *range(inputs))


@functools.cache
def shapes(config: transformer.ModelConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each of our parameters by its name in NAMES."""
  boxed = jax.eval_shape(
    lambda key: transformer.init(key, config), jax.random.key(0)
  )
  flat = traverse_util.flatten_dict(nn.unbox(boxed), sep='/')
  return {name: leaf.shape for name, leaf in flat.items()}


def parts(config: transformer.ModelConfig, name: str) -> list[Part]:
  """The tensors a parameter consists of, in the order of its layers."""
  place = (NAMES | _NORM_NAMES[config.post_norms])[name]
  shape = shapes(config)[name]
  if not place.stacked:
    return [Part(name, place, shape, None)]
  return [Part(name, place, shape[1:], layer) for layer in range(shape[0])]
