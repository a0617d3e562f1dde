"""Local Hugging Face checkpoint folders <-> parameters of the transformer.

A model is never twice in memory: a device's part of a parameter is read on its
own, layer by layer, and files are written a piece of a tensor at a time. Every
tensor is accounted for.

hf_config.py has what config.json says, hf_names.py what the tensors are called
and hf_files.py how the files are read and written.
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
from commons import errors

CONFIG, WEIGHTS, INDEX = hf_files.CONFIG, hf_files.WEIGHTS, hf_files.INDEX

# Where more than one file is needed, none is larger.
_MAX_FILE_BYTES = 5 * 10**9


def read_config(folder: str) -> transformer.ModelConfig:
  """The config of a checkpoint folder, as `load` gives it and raises."""
  if not os.path.isdir(folder):
    raise errors.UserError(f'{str(folder)!r} is not a folder with a {CONFIG}')
  return hf_config.read(os.path.join(folder, CONFIG))


def load(
  folder: str, layout: Any = None, *, param_dtype: str = 'float32'
) -> tuple[transformer.ModelConfig, types.Params]:
  """Reads a checkpoint folder.

  Args:
    folder: has config.json and safetensors.
    layout: None, or the tree of shardings of the parameters: each device's part
      is then read on its own and sent as soon as it is read.
    param_dtype: to which the tensors are cast.

  Returns:
    The config, its other numerics (remat, dtype) at their defaults, and the
    parameters: numpy arrays, or jax arrays given a layout.

  Raises:
    UserError: not a checkpoint folder, a model or a file that cannot be read,
      or tensors that are missing, surplus, or of another shape or dtype. A tied
      model may have a matrix for the output too if it is the same as that for
      the input: `transformers` would not read it, nor say so.
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
      _read, hf_names.parts(config, name), tensors, jnp.dtype(param_dtype)
    )
    if layouts:
      params[name] = _spread(shape, layouts[name], read)
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
  """Writes a checkpoint folder that `transformers` loads too.

  Equal parameters give equal bytes, and those of `like` its bytes.

  Args:
    folder: made if need be, and its files replaced.
    config: the shape.
    params: unboxed, as `transformer.init` gives them.
    dtype: of the tensors in the files; None is that of `like`, or bfloat16.
    like: None, or a folder of the same model, of which the config.json, the
      division into files and the tensors' dtypes are kept.

  Raises:
    UserError: `like` holds another model, or no family has this config.
  """
  folder = os.fspath(folder)
  flat = traverse_util.flatten_dict(params, sep='/')
  shapes = {name: np.shape(value) for name, value in flat.items()}
  if shapes != hf_names.shapes(config):
    raise ValueError(f'params are not those of {config}: {shapes}')
  if like is None:
    said, weights = _planned(folder, config, dtype or 'bfloat16')
  else:
    said, weights = _like(folder, config, dtype, os.fspath(like))
  parts = {p.name: p for name in shapes for p in hf_names.parts(config, name)}
  if config.tied_embeddings:
    parts[hf_names.HEAD] = parts[hf_names.TABLE]
  os.makedirs(folder, exist_ok=True)
  for name, header in weights.headers.items():
    read = functools.partial(_pieces, parts, flat, header.tensors)
    hf_files.write(os.path.join(folder, name), header, read)
  texts = {CONFIG: said}
  if weights.index is not None:
    texts[INDEX] = weights.index
  for name, text in texts.items():
    with open(os.path.join(folder, name), 'wb') as f:
      f.write(text)
  hf_files.remove_others(folder, [*weights.headers, *texts])


def _planned(
  folder: str, config: transformer.ModelConfig, dtype: str
) -> tuple[bytes, hf_files.Weights]:
  """config.json and the files of a folder of our own making."""
  said = hf_config.to_json(config, dtype)
  parts = [
    p for name in hf_names.shapes(config) for p in hf_names.parts(config, name)
  ]
  files, total, room = [], 0, 0
  for part in sorted(parts, key=_in_order):
    size = math.prod(part.shape) * jnp.dtype(dtype).itemsize
    if not files or size > room:
      files.append({})
      room = _MAX_FILE_BYTES
    files[-1][part.name] = (dtype, part.their_shape)
    room -= size
    total += size
  if len(files) == 1:
    names = [WEIGHTS]
  else:
    names = [
      f'model-{i:05}-of-{len(files):05}.safetensors'
      for i in range(1, len(files) + 1)
    ]
  headers = {
    name: hf_files.new_header(
      os.path.join(folder, name), tensors, {'format': 'pt'}
    )
    for name, tensors in zip(names, files, strict=True)
  }
  where = {tensor: name for name in names for tensor in headers[name].tensors}
  index = {'metadata': {'total_size': total}, 'weight_map': where}
  return _json(said, sort_keys=True), hf_files.Weights(
    headers, _json(index, sort_keys=True) if len(files) > 1 else None
  )


def _in_order(part: hf_names.Part) -> list[str | int]:
  """Sorts layer 2 before layer 10."""
  return [int(s) if s.isdigit() else s for s in part.name.split('.')]


def _json(said: Mapping[str, Any], sort_keys: bool = False) -> bytes:
  return (json.dumps(said, indent=2, sort_keys=sort_keys) + '\n').encode()


def _like(
  folder: str, config: transformer.ModelConfig, dtype: str | None, like: str
) -> tuple[bytes, hf_files.Weights]:
  """config.json and the files of a folder made after another one."""
  differing = hf_config.differences(read_config(like), config)
  if differing:
    raise errors.UserError(
      f'{like!r} does not hold the model to be saved ({"; ".join(differing)})'
    )
  with open(os.path.join(like, CONFIG), 'rb') as f:
    said = f.read()
  weights = hf_files.open_weights(like)
  _check(like, config, weights.tensors())
  dtypes = {hf_files.DTYPES[t.dtype] for t in weights.tensors().values()}
  if dtype is None or dtypes == {dtype}:
    return said, weights
  told = json.loads(said)
  told |= dict.fromkeys(
    told.keys() & {'dtype', 'torch_dtype'} or ['dtype'], dtype
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
  return _json(told), hf_files.Weights(headers, index)


def _pieces(
  parts: Mapping[str, hf_names.Part],
  params: Mapping[str, Any],
  tensors: Mapping[str, hf_files.Tensor],
  name: str,
) -> Iterator[np.ndarray]:
  """A tensor to be written, of its dtype there."""
  part = parts[name]
  value = params[part.param]
  if part.layer is not None:
    value = value[part.layer]
  seen = part.seen(np.asarray(jax.device_get(value)))
  dtype = jnp.dtype(hf_files.DTYPES[tensors[name].dtype])
  for rows in hf_files.pieces(seen.shape, range(seen.shape[0])):
    yield seen[rows].astype(dtype, copy=False)


def _check(
  folder: str,
  config: transformer.ModelConfig,
  tensors: Mapping[str, hf_files.Tensor],
) -> None:
  """Raises UserError unless the tensors are those wanted, all and only."""
  wanted = {
    part.name: part.their_shape
    for name in hf_names.shapes(config)
    for part in hf_names.parts(config, name)
  }
  head, table = tensors.get(hf_names.HEAD), tensors.get(hf_names.TABLE)
  tied = config.tied_embeddings and head is not None and table is not None
  both = wanted.keys() & tensors.keys()
  misshaped = {n for n in both if tensors[n].shape != wanted[n]}
  mistyped = {n for n in both if tensors[n].dtype not in hf_files.DTYPES}
  found = {
    'missing': wanted.keys() - both,
    'surplus': tensors.keys() - both - ({hf_names.HEAD} if tied else set()),
    'of another shape': [
      f'{n} is {tensors[n].shape} and not {wanted[n]}' for n in misshaped
    ],
    f'of a dtype that is none of {", ".join(hf_files.DTYPES)}': [
      f'{n} is {tensors[n].dtype}' for n in mistyped
    ],
  }
  if tied and not mistyped and not hf_files.equal(head, table):
    found['not tied, as tie_word_embeddings says'] = [
      f'{hf_names.HEAD} is not equal to {hf_names.TABLE}'
    ]
  complaints = [
    f'{what}: {hf_files.listed(names)}'
    for what, names in found.items()
    if names
  ]
  if complaints:
    raise errors.UserError(
      f'the tensors in {folder!r} do not fit its {CONFIG}: '
      + '; '.join(complaints)
    )


def _read(
  parts: Sequence[hf_names.Part],
  tensors: Mapping[str, hf_files.Tensor],
  dtype: np.dtype,
  index: tuple[range, ...],
) -> np.ndarray:
  """The part of a parameter at the index, a range for each of its axes."""
  out = np.empty([len(axis) for axis in index], dtype)
  for part in parts:
    if part.layer is None:
      ours, within = out, index
    elif part.layer in index[0]:
      ours, within = out[index[0].index(part.layer)], index[1:]
    else:
      continue
    inputs = part.place.num_inputs or 0
    rows, *others = within[inputs:] + within[:inputs]
    others = [slice(axis.start, axis.stop) for axis in others]
    seen = part.seen(ours)
    for at, values in hf_files.read_rows(
      tensors[part.name], part.seen_shape, rows
    ):
      seen[at] = values[(slice(None), *others)]
  return out


def _spread(
  shape: tuple[int, ...],
  sharding: jax.sharding.Sharding,
  read: Callable[[tuple[range, ...]], np.ndarray],
) -> jax.Array:
  """A parameter of which each device gets its part."""
  read = functools.cache(read)  # Replicas are read once.

  def of_device(index: tuple[slice, ...]) -> np.ndarray:
    axes = zip(index, shape, strict=True)
    return read(tuple(range(*axis.indices(size)) for axis, size in axes))

  array = jax.make_array_from_callback(shape, sharding, of_device)
  # Otherwise reading could outrun the transfer, and fill the memory.
  return array.block_until_ready()
