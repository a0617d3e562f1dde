"""Maps the transformer's parameters to the tensors of a Hugging Face folder.

A folder has one tensor per layer, and the tensor of a linear map is [out, in].
Here parameters are stacked over layers, and a linear map is [in..., out...].
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


class Rule(NamedTuple):
  """The form of a parameter in a Hugging Face folder.

  Attributes:
    name: the tensor's name; {} stands for the layer.
    num_inputs: the number of input axes of a linear map. They are the leading
      axes of the parameter (after the layer's), and are flattened to the last
      axis of the tensor. None means that the tensor has the same axes.
  """

  name: str
  num_inputs: int | None = None

  @property
  def is_stacked(self) -> bool:
    """Whether the parameter is stacked over layers."""
    return '{}' in self.name


_ATTENTION = 'model.layers.{}.self_attn.'
_MLP = 'model.layers.{}.mlp.'
NAMES: Mapping[str, Rule] = {
  'embedding': Rule('model.embed_tokens.weight'),
  'layers/attention_norm/scale': Rule('model.layers.{}.input_layernorm.weight'),
  'layers/q': Rule(_ATTENTION + 'q_proj.weight', 1),
  'layers/q_bias': Rule(_ATTENTION + 'q_proj.bias', 0),
  'layers/q_norm/scale': Rule(_ATTENTION + 'q_norm.weight'),
  'layers/k': Rule(_ATTENTION + 'k_proj.weight', 1),
  'layers/k_bias': Rule(_ATTENTION + 'k_proj.bias', 0),
  'layers/k_norm/scale': Rule(_ATTENTION + 'k_norm.weight'),
  'layers/v': Rule(_ATTENTION + 'v_proj.weight', 1),
  'layers/v_bias': Rule(_ATTENTION + 'v_proj.bias', 0),
  'layers/o': Rule(_ATTENTION + 'o_proj.weight', 2),
  'layers/gate': Rule(_MLP + 'gate_proj.weight', 1),
  'layers/up': Rule(_MLP + 'up_proj.weight', 1),
  'layers/down': Rule(_MLP + 'down_proj.weight', 1),
  'final_norm/scale': Rule('model.norm.weight'),
  'unembedding': Rule('lm_head.weight', 1),
}
# By config.post_norms, because one tensor name has two meanings.
_NORM_NAMES: Mapping[bool, Mapping[str, Rule]] = {
  False: {
    'layers/mlp_norm/scale': Rule(
      'model.layers.{}.post_attention_layernorm.weight'
    ),
  },
  True: {
    'layers/attention_post_norm/scale': Rule(
      'model.layers.{}.post_attention_layernorm.weight'
    ),
    'layers/mlp_norm/scale': Rule(
      'model.layers.{}.pre_feedforward_layernorm.weight'
    ),
    'layers/mlp_post_norm/scale': Rule(
      'model.layers.{}.post_feedforward_layernorm.weight'
    ),
  },
}
TABLE, HEAD = NAMES['embedding'].name, NAMES['unembedding'].name


class LayerTensor(NamedTuple):
  """A tensor of a folder: a parameter, or one layer of a parameter.

  Attributes:
    param: the parameter's name in the tree.
    rule: the parameter's form in a folder.
    shape: the parameter's shape, without the axis of the layers.
    layer: the layer, None if the parameter is not stacked.
  """

  param: str
  rule: Rule
  shape: tuple[int, ...]
  layer: int | None

  @property
  def name(self) -> str:
    """The tensor's name in the folder."""
    return self.rule.name.format(self.layer)

  @property
  def unflattened_shape(self) -> tuple[int, ...]:
    """The tensor's shape before its axes are flattened: [out..., in...]."""
    inputs = self.rule.num_inputs or 0
    return self.shape[inputs:] + self.shape[:inputs]

  @property
  def file_shape(self) -> tuple[int, ...]:
    """The tensor's shape in the folder."""
    if self.rule.num_inputs is None:
      return self.shape
    num_outputs = len(self.shape) - self.rule.num_inputs
    shape = self.unflattened_shape
    outs, ins = shape[:num_outputs], shape[num_outputs:]
    return (math.prod(outs), math.prod(ins)) if ins else (math.prod(outs),)

  def transposed(self, value: np.ndarray) -> np.ndarray:
    """Returns a view of the parameter's values as [out..., in...]."""
    inputs = self.rule.num_inputs or 0
    return value.transpose(*range(inputs, value.ndim), *range(inputs))


@functools.cache
def shapes(config: transformer.ModelConfig) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each parameter by its name in NAMES."""
  boxed = jax.eval_shape(
    lambda key: transformer.init(key, config), jax.random.key(0)
  )
  flat = traverse_util.flatten_dict(nn.unbox(boxed), sep='/')
  return {name: leaf.shape for name, leaf in flat.items()}


def tensors(config: transformer.ModelConfig, name: str) -> list[LayerTensor]:
  """Returns the tensors of a parameter, in the order of its layers."""
  rule = (NAMES | _NORM_NAMES[config.post_norms])[name]
  shape = shapes(config)[name]
  if not rule.is_stacked:
    return [LayerTensor(name, rule, shape, None)]
  return [LayerTensor(name, rule, shape[1:], i) for i in range(shape[0])]
