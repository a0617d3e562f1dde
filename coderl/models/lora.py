"""LoRA (arXiv 2106.09685): low-rank changes of frozen weights.

Adapters are a separate tree, {'layers': {'q_a': ..., 'q_b': ...}}. The blocks
of a model whose config has `lora` read them beside their weights.
"""

import functools

from flax import traverse_util
import jax
import jax.numpy as jnp

from coderl import types
from coderl.models import transformer


def init(key: jax.Array, config: transformer.ModelConfig) -> types.Params:
  """Returns boxed adapters that change nothing yet; consumes the key."""
  flat = traverse_util.flatten_dict(transformer.init(key, config))
  names = {f'{t}_{half}' for t in config.lora.targets for half in 'ab'}
  return traverse_util.unflatten_dict(
    {path: leaf for path, leaf in flat.items() if path[-1] in names}
  )


def attached(policy: types.Params, adapters: types.Params) -> types.Params:
  """Returns the tree that a model with `lora` reads; computes nothing."""
  return {**policy, 'layers': {**policy['layers'], **adapters['layers']}}


@functools.partial(jax.jit, static_argnames='config')
def merged(
  policy: types.Params,
  adapters: types.Params,
  config: transformer.ModelConfig,
) -> types.Params:
  """Returns the weights with the adapters added, for a model without LoRA."""
  layers = dict(policy['layers'])
  for name in config.lora.targets:
    a, b = (adapters['layers'][f'{name}_{half}'] for half in 'ab')
    change = jax.vmap(transformer.low_rank, (0, 0, None))(a, b, config.lora)
    layers[name] = layers[name] + change.astype(jnp.dtype(config.param_dtype))
  return {**policy, 'layers': layers}
