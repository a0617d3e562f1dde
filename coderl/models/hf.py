"""Local Hugging Face checkpoint folders <-> parameters of the transformer.

A folder holds `config.json` and `model.safetensors`, or several safetensors
files and an index. NAMES says what each of our parameters is called there.
Theirs are one tensor a layer and, for a linear map, [out, in]; ours are
stacked over layers, and [in..., out...]. Every tensor is accounted for.
"""

from collections.abc import Iterable, Mapping
import json
import math
import os
from typing import Any, NamedTuple

from flax import traverse_util
import flax.linen as nn
import jax
import numpy as np
import safetensors
import safetensors.numpy

from coderl import errors, types
from coderl.models import transformer

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'

# model_type -> whether the projections to q, k and v have a bias.
FAMILIES = {'llama': False, 'qwen2': True}
_ARCHITECTURES = {'llama': 'LlamaForCausalLM', 'qwen2': 'Qwen2ForCausalLM'}

# Fields of ModelConfig that config.json must have, and their names there.
_SIZES = {
  'vocab_size': 'vocab_size',
  'num_layers': 'num_hidden_layers',
  'd_model': 'hidden_size',
  'num_heads': 'num_attention_heads',
  'mlp_dim': 'intermediate_size',
}

# What config.json may say of features that this transformer does not have.
_UNSUPPORTED = {
  'hidden_act': 'silu',
  'rope_scaling': None,
  'use_sliding_window': False,
  'attention_bias': False,
  'mlp_bias': False,
}


class Place(NamedTuple):
  """Where a parameter lies in a Hugging Face folder.

  name: of the tensor; {} is the layer.
  num_inputs: how many of our leading axes (after the layer's) the linear map
    reads: they are flattened to its last axis there. None: the same axes.
  """

  name: str
  num_inputs: int | None = None


_ATTENTION = 'model.layers.{}.self_attn.'
_MLP = 'model.layers.{}.mlp.'
NAMES: Mapping[str, Place] = {
  'embedding': Place('model.embed_tokens.weight'),
  'layers/attention_norm/scale': Place(
    'model.layers.{}.input_layernorm.weight'
  ),
  'layers/q': Place(_ATTENTION + 'q_proj.weight', 1),
  'layers/q_bias': Place(_ATTENTION + 'q_proj.bias', 0),
  'layers/k': Place(_ATTENTION + 'k_proj.weight', 1),
  'layers/k_bias': Place(_ATTENTION + 'k_proj.bias', 0),
  'layers/v': Place(_ATTENTION + 'v_proj.weight', 1),
  'layers/v_bias': Place(_ATTENTION + 'v_proj.bias', 0),
  'layers/o': Place(_ATTENTION + 'o_proj.weight', 2),
  'layers/mlp_norm/scale': Place(
    'model.layers.{}.post_attention_layernorm.weight'
  ),
  'layers/gate': Place(_MLP + 'gate_proj.weight', 1),
  'layers/up': Place(_MLP + 'up_proj.weight', 1),
  'layers/down': Place(_MLP + 'down_proj.weight', 1),
  'final_norm/scale': Place('model.norm.weight'),
  'unembedding': Place('lm_head.weight', 1),
}


def load(
  path: str, mesh_layout: Any = None
) -> tuple[transformer.ModelConfig, types.Params]:
  """Reads a checkpoint folder.

  Args:
    path: a folder with config.json and safetensors.
    mesh_layout: None, or the tree of shardings of the parameters, to which
      each is sent as soon as it is read.

  Returns:
    The config, its numerics (remat, dtype, param_dtype) at their defaults, and
    the parameters, float32: numpy arrays, or jax arrays given a layout.

  Raises:
    UserError: not a checkpoint folder, a model or a file that cannot be read,
      or tensors that are missing, surplus or of another shape.
  """
  config = read_config(path)
  shapes = _shapes(config)
  tensors = _open(path)
  _check(path, shapes, tensors)
  layouts = {}
  if mesh_layout is not None:
    layouts = traverse_util.flatten_dict(mesh_layout, sep='/')
  params = {}
  for name, shape in shapes.items():
    value = _read(name, shape, tensors)
    params[name] = jax.device_put(value, layouts[name]) if layouts else value
  return config, traverse_util.unflatten_dict(params, sep='/')


def save(
  path: str,
  config: transformer.ModelConfig,
  params: types.Params,
  dtype: str = 'bfloat16',
) -> None:
  """Writes a checkpoint folder that `transformers` loads too.

  Equal parameters give equal bytes.

  Args:
    path: the folder; made if need be, and its files replaced.
    config: the shape.
    params: unboxed, as `transformer.init` gives them.
    dtype: of the tensors in the file.
  """
  os.makedirs(path, exist_ok=True)
  flat = traverse_util.flatten_dict(params, sep='/')
  tensors = {}
  for name, shape in _shapes(config).items():
    value = np.asarray(jax.device_get(flat[name])).astype(dtype)
    place = NAMES[name]
    parts = value if _stacked(place) else value[None]
    their_shape = _their_shape(place, shape)
    for full_name, part in zip(_full_names(name, shape), parts, strict=True):
      if place.num_inputs is not None:
        inputs = math.prod(part.shape[: place.num_inputs])
        part = part.reshape(inputs, -1).T.reshape(their_shape)
      # The writer takes the buffer as it lies, whatever the strides.
      tensors[full_name] = np.ascontiguousarray(part)
  safetensors.numpy.save_file(
    tensors, os.path.join(path, WEIGHTS), metadata={'format': 'pt'}
  )
  with open(os.path.join(path, CONFIG), 'w', encoding='utf-8') as f:
    json.dump(_config_json(config, dtype), f, indent=2, sort_keys=True)
    f.write('\n')


def _config_json(config, dtype) -> dict[str, Any]:
  family = next(k for k, bias in FAMILIES.items() if bias == config.qkv_bias)
  sizes = {theirs: getattr(config, ours) for ours, theirs in _SIZES.items()}
  return sizes | {
    'architectures': [_ARCHITECTURES[family]],
    'model_type': family,
    'num_key_value_heads': config.num_kv_heads,
    'head_dim': config.head_dim,
    'rms_norm_eps': config.norm_eps,
    'rope_theta': config.rope_theta,
    'tie_word_embeddings': config.tied_embeddings,
    'hidden_act': 'silu',
    'max_position_embeddings': 32768,
    'torch_dtype': dtype,
  }


def read_config(folder: str) -> transformer.ModelConfig:
  """The config of a checkpoint folder, as `load` gives it and raises."""
  if not os.path.isdir(folder):
    raise errors.UserError(f'{folder!r} is not a folder with a {CONFIG}')
  path = os.path.join(folder, CONFIG)
  said = _read_json(path)
  family = said.get('model_type')
  if family not in FAMILIES:
    raise errors.unknown(f'model_type in {path!r},', str(family), FAMILIES)
  unsaid = [n for n in _SIZES.values() if not isinstance(said.get(n), int)]
  if unsaid:
    raise errors.UserError(f'{path!r} lacks the number {", ".join(unsaid)}')
  for name, only in _UNSUPPORTED.items():
    if said.get(name, only) != only:
      raise errors.UserError(
        f'{path!r}: {name}={said[name]!r} is not supported, only {only!r}'
      )
  # Newer versions of transformers nest what concerns the rotary embedding.
  rope = said.get('rope_parameters') or {}
  if rope.get('rope_type', 'default') != 'default':
    raise errors.UserError(
      f'{path!r}: rope_type={rope["rope_type"]!r} is not supported, only'
      " 'default'"
    )
  sizes = {ours: said[theirs] for ours, theirs in _SIZES.items()}
  heads = said['num_attention_heads']
  return transformer.ModelConfig(
    **sizes,
    num_kv_heads=said.get('num_key_value_heads') or heads,
    head_dim=said.get('head_dim') or said['hidden_size'] // heads,
    rope_theta=float(said.get('rope_theta', rope.get('rope_theta', 1e4))),
    norm_eps=said.get('rms_norm_eps', 1e-6),
    qkv_bias=FAMILIES[family],
    tied_embeddings=said.get('tie_word_embeddings', False),
  )


def _read_json(path: str) -> dict[str, Any]:
  try:
    with open(path, encoding='utf-8') as f:
      said = json.load(f)
  except (OSError, ValueError) as e:
    raise errors.UserError(f'{path!r} cannot be read: {e}') from e
  if not isinstance(said, dict):
    raise errors.UserError(f'{path!r} is not a JSON object')
  return said


def _open(path: str) -> dict[str, Any]:
  """The tensors of a folder by name, open but not read."""
  index = os.path.join(path, INDEX)
  files = [WEIGHTS]
  if os.path.exists(index):
    weight_map = _read_json(index).get('weight_map')
    if not isinstance(weight_map, dict):
      raise errors.UserError(f'{index!r} has no weight_map')
    files = sorted(set(weight_map.values()))
  tensors = {}
  for file in files:
    file = os.path.join(path, file)
    try:
      opened = safetensors.safe_open(file, framework='np')
    except (OSError, safetensors.SafetensorError) as e:
      raise errors.UserError(f'{file!r} cannot be read: {e}') from e
    tensors |= {name: opened for name in opened.keys()}  # noqa: SIM118
  return tensors


def _shapes(config: transformer.ModelConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each of our parameters by its name in NAMES."""
  boxed = jax.eval_shape(
    lambda key: transformer.init(key, config), jax.random.key(0)
  )
  flat = traverse_util.flatten_dict(nn.unbox(boxed), sep='/')
  return {name: leaf.shape for name, leaf in sorted(flat.items())}


def _stacked(place: Place) -> bool:
  return '{}' in place.name


def _full_names(name: str, shape: tuple[int, ...]) -> list[str]:
  """The tensors a parameter consists of, in the order of its layers."""
  place = NAMES[name]
  layers = shape[0] if _stacked(place) else 1
  return [place.name.format(layer) for layer in range(layers)]


def _their_shape(place: Place, shape: tuple[int, ...]) -> tuple[int, ...]:
  """The shape of one tensor there, from our parameter's."""
  shape = shape[1:] if _stacked(place) else shape
  if place.num_inputs is None:
    return shape
  ins, outs = shape[: place.num_inputs], shape[place.num_inputs :]
  return (math.prod(outs), math.prod(ins)) if ins else (math.prod(outs),)


def _check(
  path: str, shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Any]
) -> None:
  """Raises UserError unless the tensors are those wanted, all and only."""
  wanted = {
    full_name: _their_shape(NAMES[name], shape)
    for name, shape in shapes.items()
    for full_name in _full_names(name, shape)
  }
  bad = []
  for name in sorted(wanted.keys() & tensors.keys()):
    shape = tuple(tensors[name].get_slice(name).get_shape())
    if shape != wanted[name]:
      bad.append(f'{name} is {shape} and not {wanted[name]}')
  complaints = [
    f'{what}: {_listed(names)}'
    for what, names in (
      ('missing', wanted.keys() - tensors.keys()),
      ('surplus', tensors.keys() - wanted.keys()),
      ('of another shape', bad),
    )
    if names
  ]
  if complaints:
    raise errors.UserError(
      f'the tensors in {path!r} do not fit its {CONFIG}: '
      + '; '.join(complaints)
    )


def _listed(names: Iterable[str], most: int = 8) -> str:
  names = sorted(names)
  more = f' and {len(names) - most} more' if len(names) > most else ''
  return ', '.join(names[:most]) + more


def _read(
  name: str, shape: tuple[int, ...], tensors: Mapping[str, Any]
) -> np.ndarray:
  """One of our parameters, float32."""
  place, parts = NAMES[name], []
  for full_name in _full_names(name, shape):
    part = tensors[full_name].get_tensor(full_name).astype(np.float32)
    parts.append(part if place.num_inputs is None else part.T)
  return np.stack(parts).reshape(shape)
