"""Loads and saves checkpoint folders in Hugging Face's layout.

A model is never twice in memory. Each device's shard of a parameter is read
separately, layer by layer, and files are written in small chunks. Every tensor
of a folder must belong to a parameter.

hf_config.py converts config.json, hf_names.py maps parameters to tensors and
hf_files.py reads and writes the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import json
import math
import os
from typing import Any

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from coderl import types
from coderl.models import transformer
from coderl.models.checkpoints import hf_config, hf_files, hf_names
from commons import errors, files

CONFIG, WEIGHTS, INDEX = hf_files.CONFIG, hf_files.WEIGHTS, hf_files.INDEX

# The size limit of a file where there are several.
_MAX_FILE_BYTES = 5 * 10**9


def read_config(folder: str) -> transformer.ModelConfig:
  """Returns the config of a checkpoint folder; see `load`."""
  if not os.path.isdir(folder):
    raise errors.UserError(f'{str(folder)!r} is not a folder with a {CONFIG}')
  return hf_config.read(os.path.join(folder, CONFIG))


def load(
  folder: str, layout: Any = None, *, param_dtype: str = 'float32'
) -> tuple[transformer.ModelConfig, types.Params]:
  """Reads a checkpoint folder.

  Args:
    folder: a folder with config.json and safetensors files.
    layout: the tree of the parameters' shardings, or None. With a layout, each
      device's shard is read separately and sent as soon as it is read.
    param_dtype: the dtype to which the tensors are cast.

  Returns:
    The config, with its other numerics (remat, dtype) at their defaults, and
    the parameters: numpy arrays, or jax arrays if there is a layout.

  Raises:
    UserError: the folder, the model or a file cannot be read, or tensors are
      missing, unexpected, or of another shape or dtype. A tied model may have
      an output matrix only if it equals the input matrix, because
      `transformers` would silently ignore it.
  """
  folder = os.fspath(folder)
  config = read_config(folder)
  config = dataclasses.replace(config, param_dtype=param_dtype)
  tensors = hf_files.open_weights(folder).tensors()
  _check(folder, config, tensors)
  layouts = {}
  if layout is not None:
    layouts = traverse_util.flatten_dict(layout, sep='/')
  params = {}
  for name, shape in hf_names.shapes(config).items():
    read = functools.partial(
      _read, hf_names.tensors(config, name), tensors, jnp.dtype(param_dtype)
    )
    if layouts:
      params[name] = _sharded(shape, layouts[name], read)
    else:
      params[name] = read(tuple(range(size) for size in shape))
  return config, traverse_util.unflatten_dict(params, sep='/')


def save(
  folder: str,
  config: transformer.ModelConfig,
  params: types.Params,
  dtype: str | None = None,
  like: str | None = None,
) -> None:
  """Writes a checkpoint folder that `transformers` can load.

  Equal parameters give equal bytes; the parameters of `like` give its bytes.

  Args:
    folder: the folder; created if absent, its files are replaced.
    config: the model's shape.
    params: the parameters, unboxed, in the tree of `transformer.init`.
    dtype: the dtype in the files; None means that of `like`, or bfloat16.
    like: a folder of the same model, or None. Its config.json, its division
      into files and its dtypes are kept.

  Raises:
    UserError: `like` holds another model, or no family has this config.
  """
  folder = os.fspath(folder)
  flat = traverse_util.flatten_dict(params, sep='/')
  shapes = {name: np.shape(value) for name, value in flat.items()}
  if shapes != hf_names.shapes(config):
    raise ValueError(f'params are not those of {config}: {shapes}')
  if like is None:
    config_text, weights = _new_files(folder, config, dtype or 'bfloat16')
  else:
    config_text, weights = _files_like(folder, config, dtype, os.fspath(like))
  layer_tensors = {
    t.name: t for name in shapes for t in hf_names.tensors(config, name)
  }
  if config.tied_embeddings:
    layer_tensors[hf_names.HEAD] = layer_tensors[hf_names.TABLE]
  os.makedirs(folder, exist_ok=True)
  for name, header in weights.headers.items():
    read = functools.partial(_chunks, layer_tensors, flat, header.tensors)
    hf_files.write(os.path.join(folder, name), header, read)
  texts = {CONFIG: config_text}
  if weights.index is not None:
    texts[INDEX] = weights.index
  for name, text in texts.items():
    with files.replacing(os.path.join(folder, name)) as unfinished:
      unfinished.write_bytes(text)
  hf_files.remove_others(folder, [*weights.headers, *texts])


def _new_files(
  folder: str, config: transformer.ModelConfig, dtype: str
) -> tuple[bytes, hf_files.Weights]:
  """Returns config.json and the headers and index of a new folder."""
  layer_tensors = [
    tensor
    for name in hf_names.shapes(config)
    for tensor in hf_names.tensors(config, name)
  ]
  contents, total, free = [], 0, 0
  for tensor in sorted(layer_tensors, key=_layer_order):
    size = math.prod(tensor.shape) * jnp.dtype(dtype).itemsize
    if not contents or size > free:
      contents.append({})
      free = _MAX_FILE_BYTES
    contents[-1][tensor.name] = (dtype, tensor.file_shape)
    free -= size
    total += size
  if len(contents) == 1:
    names = [WEIGHTS]
  else:
    names = [
      f'model-{i:05}-of-{len(contents):05}.safetensors'
      for i in range(1, len(contents) + 1)
    ]
  headers = {
    name: hf_files.new_header(
      os.path.join(folder, name), tensors, {'format': 'pt'}
    )
    for name, tensors in zip(names, contents, strict=True)
  }
  weight_map = {tensor: n for n in names for tensor in headers[n].tensors}
  index = {'metadata': {'total_size': total}, 'weight_map': weight_map}
  weights = hf_files.Weights(
    headers, _json(index, sort_keys=True) if len(names) > 1 else None
  )
  return _json(hf_config.to_json(config, dtype), sort_keys=True), weights


def _layer_order(tensor: hf_names.LayerTensor) -> list[str | int]:
  """Returns a sort key that puts layer 2 before layer 10."""
  return [int(s) if s.isdigit() else s for s in tensor.name.split('.')]


def _json(value: Mapping[str, Any], sort_keys: bool = False) -> bytes:
  return (json.dumps(value, indent=2, sort_keys=sort_keys) + '\n').encode()


def _files_like(
  folder: str, config: transformer.ModelConfig, dtype: str | None, like: str
) -> tuple[bytes, hf_files.Weights]:
  """Returns config.json and the headers and index of a folder like another."""
  differing = hf_config.differences(read_config(like), config)
  if differing:
    raise errors.UserError(
      f'{like!r} does not hold the model to be saved ({"; ".join(differing)})'
    )
  with open(os.path.join(like, CONFIG), 'rb') as f:
    config_text = f.read()
  weights = hf_files.open_weights(like)
  _check(like, config, weights.tensors())
  dtypes = {hf_files.DTYPES[t.dtype] for t in weights.tensors().values()}
  if dtype is None or dtypes == {dtype}:
    return config_text, weights
  fields = json.loads(config_text)
  fields |= dict.fromkeys(
    fields.keys() & {'dtype', 'torch_dtype'} or ['dtype'], dtype
  )
  headers = {
    name: hf_files.new_header(
      os.path.join(folder, name),
      {n: (dtype, t.shape) for n, t in header.tensors.items()},
      hf_files.metadata(header),
    )
    for name, header in weights.headers.items()
  }
  index = weights.index
  if index is not None:
    index = json.loads(index)
    size = jnp.dtype(dtype).itemsize
    total = sum(math.prod(t.shape) for t in weights.tensors().values()) * size
    index['metadata'] = index.get('metadata', {}) | {'total_size': total}
    index = _json(index)
  return _json(fields), hf_files.Weights(headers, index)


def _chunks(
  layer_tensors: Mapping[str, hf_names.LayerTensor],
  params: Mapping[str, Any],
  tensors: Mapping[str, hf_files.Tensor],
  name: str,
) -> Iterator[np.ndarray]:
  """Yields the chunks of a tensor to be written, in its dtype."""
  tensor = layer_tensors[name]
  value = params[tensor.param]
  if tensor.layer is not None:
    value = value[tensor.layer]
  value = tensor.transposed(np.asarray(jax.device_get(value)))
  dtype = jnp.dtype(hf_files.DTYPES[tensors[name].dtype])
  for rows in hf_files.chunks(value.shape, range(value.shape[0])):
    yield value[rows].astype(dtype, copy=False)


def _check(
  folder: str,
  config: transformer.ModelConfig,
  tensors: Mapping[str, hf_files.Tensor],
) -> None:
  """Raises UserError unless the tensors are exactly those of the config."""
  shapes = {
    tensor.name: tensor.file_shape
    for name in hf_names.shapes(config)
    for tensor in hf_names.tensors(config, name)
  }
  head, table = tensors.get(hf_names.HEAD), tensors.get(hf_names.TABLE)
  tied = config.tied_embeddings and head is not None and table is not None
  both = shapes.keys() & tensors.keys()
  misshaped = {n for n in both if tensors[n].shape != shapes[n]}
  mistyped = {n for n in both if tensors[n].dtype not in hf_files.DTYPES}
  faults = {
    'missing': shapes.keys() - both,
    'surplus': tensors.keys() - both - ({hf_names.HEAD} if tied else set()),
    'of another shape': [
      f'{n} is {tensors[n].shape} and not {shapes[n]}' for n in misshaped
    ],
    f'of a dtype that is not one of {", ".join(hf_files.DTYPES)}': [
      f'{n} is {tensors[n].dtype}' for n in mistyped
    ],
  }
  if tied and not mistyped and not hf_files.equal(head, table):
    faults['not tied, as tie_word_embeddings says'] = [
      f'{hf_names.HEAD} is not equal to {hf_names.TABLE}'
    ]
  messages = [
    f'{fault}: {hf_files.join_first(names)}'
    for fault, names in faults.items()
    if names
  ]
  if messages:
    raise errors.UserError(
      f'the tensors in {folder!r} do not fit its {CONFIG}: '
      + '; '.join(messages)
    )


def _read(
  layer_tensors: Sequence[hf_names.LayerTensor],
  tensors: Mapping[str, hf_files.Tensor],
  dtype: np.dtype,
  index: tuple[range, ...],
) -> np.ndarray:
  """Returns a shard of a parameter.

  Args:
    layer_tensors: the parameter's tensors.
    tensors: all tensors of the folder.
    dtype: the shard's dtype.
    index: the shard's range along each axis of the parameter.
  """
  out = np.empty([len(axis) for axis in index], dtype)
  for tensor in layer_tensors:
    if tensor.layer is None:
      target, target_index = out, index
    elif tensor.layer in index[0]:
      target = out[index[0].index(tensor.layer)]
      target_index = index[1:]
    else:
      continue
    inputs = tensor.rule.num_inputs or 0
    rows, *others = target_index[inputs:] + target_index[:inputs]
    others = [slice(axis.start, axis.stop) for axis in others]
    target = tensor.transposed(target)
    for chunk, values in hf_files.read_rows(
      tensors[tensor.name], tensor.unflattened_shape, rows
    ):
      target[chunk] = values[(slice(None), *others)]
  return out


def _sharded(
  shape: tuple[int, ...],
  sharding: jax.sharding.Sharding,
  read: Callable[[tuple[range, ...]], np.ndarray],
) -> jax.Array:
  """Returns a parameter that is read shard by shard onto the devices."""
  read = functools.cache(read)  # Replicas are read once.

  def read_shard(index: tuple[slice, ...]) -> np.ndarray:
    axes = zip(index, shape, strict=True)
    return read(tuple(range(*axis.indices(size)) for axis, size in axes))

  array = jax.make_array_from_callback(shape, sharding, read_shard)
  # Without waiting, reading could outrun the transfers and fill the memory.
  return array.block_until_ready()
