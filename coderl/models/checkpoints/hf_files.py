"""Reads and writes the files of a Hugging Face folder in small chunks.

The tensors are in model.safetensors, or in several files with an index. The
package safetensors validates the files, but writes a file only from tensors
that are all in memory, and a model may be about as large as the memory. So
files are written here, from a header and chunks. Reading shares that header: a
seek and a read are no longer than the package's get_slice, which maps the file
and so counts all that was read as resident memory.

A file is the length of its header (8 bytes), the header (JSON: the dtype, shape
and byte range of each tensor), and the tensors end to end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import json
import math
import os
import re
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors

from commons import errors, files

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'

# The supported dtypes by their names in a header.
DTYPES = {
  'F64': 'float64',
  'F32': 'float32',
  'F16': 'float16',
  'BF16': 'bfloat16',
}
_CODES = {name: code for code, name in DTYPES.items()}
_METADATA = '__metadata__'
_SAVED = re.compile(r'model(-\d{5}-of-\d{5})?\.safetensors')
# The size of a chunk.
_CHUNK_BYTES = 2**20


class Tensor(NamedTuple):
  """The location of a tensor.

  Attributes:
    file: the path of the file.
    dtype: the dtype's name in the header; may be unsupported.
    shape: the shape.
    start: the offset of the tensor's first byte in the file.
  """

  file: str
  dtype: str
  shape: tuple[int, ...]
  start: int


class Header(NamedTuple):
  """The header of a file, with its tensors in the order of their bytes."""

  text: bytes
  tensors: dict[str, Tensor]


class Weights(NamedTuple):
  """The headers of a folder's files by file name, and its index or None."""

  headers: dict[str, Header]
  index: bytes | None

  def tensors(self) -> dict[str, Tensor]:
    """Returns the tensors of all files by name."""
    return {
      name: tensor
      for header in self.headers.values()
      for name, tensor in header.tensors.items()
    }


def read_json(path: str) -> dict[str, Any]:
  """Returns the JSON object in a file.

  Raises:
    UserError: the file cannot be read or holds something else.
  """
  try:
    with open(path, encoding='utf-8') as f:
      value = json.load(f)
  except (OSError, ValueError) as e:
    raise errors.UserError(f'{path!r} cannot be read: {e}') from e
  if not isinstance(value, dict):
    raise errors.UserError(f'{path!r} is not a JSON object')
  return value


def open_weights(folder: str) -> Weights:
  """Returns the headers of a folder's files without reading the tensors.

  As in `transformers`, model.safetensors takes precedence over an index.

  Raises:
    UserError: a file is absent or broken, or the index contradicts the files.
  """
  index = os.path.join(folder, INDEX)
  single = os.path.join(folder, WEIGHTS)
  if os.path.exists(single) or not os.path.exists(index):
    return Weights({WEIGHTS: _read_header(single)}, None)
  weight_map = _weight_map(index)
  headers = {
    file: _read_header(os.path.join(folder, file))
    for file in sorted(set(weight_map.values()))
  }
  present = {
    (name, file) for file, header in headers.items() for name in header.tensors
  }
  faults = [
    f'{name} is not in {file!r}, where the index says'
    for name, file in sorted(weight_map.items() - present)
  ] + [
    f'{name} is in {file!r}, where the index does not say'
    for name, file in sorted(present - weight_map.items())
  ]
  if faults:
    raise errors.UserError(
      f'{index!r} does not fit its files: {join_first(faults)}'
    )
  with open(index, 'rb') as f:
    return Weights(headers, f.read())


def _weight_map(index: str) -> dict[str, str]:
  """Returns the file name of each tensor by an index."""
  weight_map = read_json(index).get('weight_map')
  if not isinstance(weight_map, dict) or not weight_map:
    raise errors.UserError(f'{index!r} has no weight_map')
  for name, file in weight_map.items():
    if not isinstance(file, str) or file != os.path.basename(file) or not file:
      raise errors.UserError(
        f'{index!r}: {name} is in {file!r}, which is not the name of a file'
      )
  return weight_map


def join_first(texts: Iterable[str], most: int = 8) -> str:
  """Returns the first texts in sorted order and the number of the others."""
  texts = sorted(texts)
  more = f' and {len(texts) - most} more' if len(texts) > most else ''
  return ', '.join(texts[:most]) + more


def _read_header(file: str) -> Header:
  try:
    # safe_open raises if the header is invalid or the tensors do not fill the
    # file.
    with safetensors.safe_open(file, framework='np'), open(file, 'rb') as f:
      length = f.read(8)
      return _header(length + f.read(int.from_bytes(length, 'little')), file)
  except (OSError, safetensors.SafetensorError) as e:
    message = ' '.join(str(e).split())
    raise errors.UserError(f'{file!r} cannot be read: {message}') from e


def _header(text: bytes, file: str) -> Header:
  """Parses the first bytes of a file, the length included."""
  tensors = {
    name: Tensor(
      file,
      entry['dtype'],
      tuple(entry['shape']),
      len(text) + entry['data_offsets'][0],
    )
    for name, entry in json.loads(text[8:]).items()
    if name != _METADATA
  }
  # An empty tensor starts at the same byte as the next one.
  in_order = sorted(tensors.items(), key=lambda t: (t[1].start, t[0]))
  return Header(text, dict(in_order))


def new_header(
  file: str,
  tensors: Mapping[str, tuple[str, tuple[int, ...]]],
  metadata: Mapping[str, str],
) -> Header:
  """Returns the header of a new file, equal to that of the package safetensors.

  Args:
    file: the path to be written.
    tensors: dtype (numpy's name) and shape by tensor name.
    metadata: the file's metadata, may be empty.
  """
  content = {_METADATA: dict(metadata)} if metadata else {}
  end = 0
  # Wider dtypes come first, so that every tensor is aligned.
  width = lambda name: jnp.dtype(tensors[name][0]).itemsize
  for name in sorted(tensors, key=lambda n: (-width(n), n)):
    dtype, shape = tensors[name]
    start, end = end, end + width(name) * math.prod(shape)
    content[name] = {
      'dtype': _CODES[dtype],
      'shape': list(shape),
      'data_offsets': [start, end],
    }
  text = json.dumps(content, separators=(',', ':'), ensure_ascii=False).encode()
  text += b' ' * (-len(text) % 8)
  return _header(len(text).to_bytes(8, 'little') + text, file)


def metadata(header: Header) -> dict[str, str]:
  """Returns the metadata of a file."""
  return json.loads(header.text[8:]).get(_METADATA, {})


def chunks(shape: Sequence[int], rows: range) -> Iterator[slice]:
  """Cuts rows of an array of this shape into chunks of about a megabyte."""
  row_bytes = 4 * math.prod(shape[1:])
  step = max(1, _CHUNK_BYTES // max(1, row_bytes))
  for start in range(rows.start, rows.stop, step):
    yield slice(start, min(start + step, rows.stop))


def read_rows(
  tensor: Tensor, shape: Sequence[int], rows: range
) -> Iterator[tuple[slice, np.ndarray]]:
  """Reads rows of a tensor in chunks.

  Args:
    tensor: the tensor.
    shape: the shape as which its bytes are read.
    rows: indices of the first axis of `shape`.

  Yields:
    The slice of a chunk within `rows`, and its values.
  """
  dtype = jnp.dtype(DTYPES[tensor.dtype])
  row_size = math.prod(shape[1:])
  with open(tensor.file, 'rb') as f:
    f.seek(tensor.start + rows.start * row_size * dtype.itemsize)
    for chunk in chunks(shape, rows):
      count = chunk.stop - chunk.start
      values = np.fromfile(f, dtype, count * row_size)
      yield (
        slice(chunk.start - rows.start, chunk.stop - rows.start),
        values.reshape(count, *shape[1:]),
      )


def equal(a: Tensor, b: Tensor) -> bool:
  """Returns whether two tensors have the same dtype, shape and bytes."""
  if (a.dtype, a.shape) != (b.dtype, b.shape):
    return False
  rows = range(a.shape[0])
  return all(
    x.tobytes() == y.tobytes()
    for (_, x), (_, y) in zip(
      read_rows(a, a.shape, rows), read_rows(b, b.shape, rows), strict=True
    )
  )


def write(
  file: str,
  header: Header,
  read: Callable[[str], Iterable[np.ndarray]],
) -> None:
  """Writes a file, whole or not at all.

  Args:
    file: its path.
    header: its header.
    read: returns a tensor's values by name, in chunks of the header's dtype.
  """
  with files.replacing(file) as unfinished, unfinished.open('wb') as f:
    f.write(header.text)
    for name in header.tensors:
      for chunk in read(name):
        np.ascontiguousarray(chunk).tofile(f)


def remove_others(folder: str, kept: Iterable[str]) -> None:
  """Removes the weights of an earlier model, except for the files `kept`."""
  kept = set(kept)
  for name in os.listdir(folder):
    if (name == INDEX or _SAVED.fullmatch(name)) and name not in kept:
      os.remove(os.path.join(folder, name))
