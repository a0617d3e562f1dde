"""The files of a Hugging Face folder, read and written a piece at a time.

Tensors lie in `model.safetensors`, or in several files and an index that says
which is where. The safetensors package maps a whole file into memory to read
it, and to write one wants all of its tensors there; a model about as large as
the machine leaves room for neither. So bytes are moved here, and the package
judges the files.

A file is the length of its header (8 bytes), the header (JSON: the dtype, shape
and bytes of each tensor), and the tensors end to end.
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

from commons import errors

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'

# The dtypes that are read and written, by their names in a header.
DTYPES = {
  'F64': 'float64',
  'F32': 'float32',
  'F16': 'float16',
  'BF16': 'bfloat16',
}
_CODES = {name: code for code, name in DTYPES.items()}
_METADATA = '__metadata__'
_OURS = re.compile(r'model(-\d{5}-of-\d{5})?\.safetensors')
# Of the pieces in which tensors are moved.
_PIECE_BYTES = 2**20


class Tensor(NamedTuple):
  """Where a tensor lies: from byte `start` of a file on.

  dtype: by its name in the header, perhaps none of DTYPES.
  """

  file: str
  dtype: str
  shape: tuple[int, ...]
  start: int


class Header(NamedTuple):
  """How a file begins, and its tensors in the order of their bytes."""

  text: bytes
  tensors: dict[str, Tensor]


class Weights(NamedTuple):
  """The headers of a folder's files by name, and its index if it has one."""

  headers: dict[str, Header]
  index: bytes | None

  def tensors(self) -> dict[str, Tensor]:
    headers = self.headers.values()
    return {
      name: at for header in headers for name, at in header.tensors.items()
    }


def read_json(path: str) -> dict[str, Any]:
  """The JSON object in a file.

  Raises:
    UserError: the file cannot be read, or holds something else.
  """
  try:
    with open(path, encoding='utf-8') as f:
      said = json.load(f)
  except (OSError, ValueError) as e:
    raise errors.UserError(f'{path!r} cannot be read: {e}') from e
  if not isinstance(said, dict):
    raise errors.UserError(f'{path!r} is not a JSON object')
  return said


def open_weights(folder: str) -> Weights:
  """What tensors a folder has and where, none of them read.

  As in `transformers`, an index beside a `model.safetensors` is not read.

  Raises:
    UserError: a file that is absent or broken, or an index at odds with the
      files.
  """
  index = os.path.join(folder, INDEX)
  whole = os.path.join(folder, WEIGHTS)
  if os.path.exists(whole) or not os.path.exists(index):
    return Weights({WEIGHTS: _read_header(whole)}, None)
  said = _weight_map(index)
  headers = {
    file: _read_header(os.path.join(folder, file))
    for file in sorted(set(said.values()))
  }
  held = {(n, file) for file, header in headers.items() for n in header.tensors}
  complaints = [
    f'{name} is not in {file!r}, where the index says'
    for name, file in sorted(said.items() - held)
  ] + [
    f'{name} is in {file!r}, where the index does not say'
    for name, file in sorted(held - said.items())
  ]
  if complaints:
    raise errors.UserError(
      f'{index!r} does not fit its files: {listed(complaints)}'
    )
  with open(index, 'rb') as f:
    return Weights(headers, f.read())


def _weight_map(index: str) -> dict[str, str]:
  said = read_json(index).get('weight_map')
  if not isinstance(said, dict) or not said:
    raise errors.UserError(f'{index!r} has no weight_map')
  for name, file in said.items():
    if not isinstance(file, str) or file != os.path.basename(file) or not file:
      raise errors.UserError(
        f'{index!r}: {name} is in {file!r}, which is not the name of a file'
      )
  return said


def listed(texts: Iterable[str], most: int = 8) -> str:
  """The first of the texts in order, and how many more there are."""
  texts = sorted(texts)
  more = f' and {len(texts) - most} more' if len(texts) > most else ''
  return ', '.join(texts[:most]) + more


def _read_header(file: str) -> Header:
  try:
    # Raises unless the header is sound and the tensors fill the file.
    with safetensors.safe_open(file, framework='np'), open(file, 'rb') as f:
      length = f.read(8)
      return _header(length + f.read(int.from_bytes(length, 'little')), file)
  except (OSError, safetensors.SafetensorError) as e:
    said = ' '.join(str(e).split())
    raise errors.UserError(f'{file!r} cannot be read: {said}') from e


def _header(text: bytes, file: str) -> Header:
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
  # An empty tensor starts where the next one does.
  in_order = sorted(tensors.items(), key=lambda t: (t[1].start, t[0]))
  return Header(text, dict(in_order))


def new_header(
  file: str,
  tensors: Mapping[str, tuple[str, tuple[int, ...]]],
  metadata: Mapping[str, str],
) -> Header:
  """The header of a file to be written, as the safetensors package has it.

  Args:
    file: the path to be.
    tensors: dtype (as numpy names it) and shape by name.
    metadata: of the file; {} is none.
  """
  said = {_METADATA: dict(metadata)} if metadata else {}
  end = 0
  # The widest first, so that every tensor is aligned.
  width = lambda name: jnp.dtype(tensors[name][0]).itemsize
  for name in sorted(tensors, key=lambda n: (-width(n), n)):
    dtype, shape = tensors[name]
    start, end = end, end + width(name) * math.prod(shape)
    said[name] = {
      'dtype': _CODES[dtype],
      'shape': list(shape),
      'data_offsets': [start, end],
    }
  text = json.dumps(said, separators=(',', ':'), ensure_ascii=False).encode()
  text += b' ' * (-len(text) % 8)
  return _header(len(text).to_bytes(8, 'little') + text, file)


def metadata(header: Header) -> dict[str, str]:
  return json.loads(header.text[8:]).get(_METADATA, {})


def pieces(shape: Sequence[int], rows: range) -> Iterator[slice]:
  """Cuts rows of an array of the shape into runs of a megabyte or so."""
  row_bytes = 4 * math.prod(shape[1:])
  step = max(1, _PIECE_BYTES // max(1, row_bytes))
  for start in range(rows.start, rows.stop, step):
    yield slice(start, min(start + step, rows.stop))


def read_rows(
  tensor: Tensor, shape: Sequence[int], rows: range
) -> Iterator[tuple[slice, np.ndarray]]:
  """Reads rows of a tensor, seen as one of another shape, a piece at a time.

  Yields:
    Which rows, counted from the first that was asked for, and the rows.
  """
  dtype = jnp.dtype(DTYPES[tensor.dtype])
  row = math.prod(shape[1:])
  with open(tensor.file, 'rb') as f:
    f.seek(tensor.start + rows.start * row * dtype.itemsize)
    for piece in pieces(shape, rows):
      count = piece.stop - piece.start
      read = np.fromfile(f, dtype, count * row).reshape(count, *shape[1:])
      yield slice(piece.start - rows.start, piece.stop - rows.start), read


def equal(a: Tensor, b: Tensor) -> bool:
  """Whether two tensors have the same dtype, shape and bytes."""
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
  """Writes a file; whoever reads it meanwhile sees the old one, if any.

  Args:
    file: its path.
    header: what the file will hold.
    read: gives a tensor's values by its name, in pieces, of the header's dtype.
  """
  partial = f'{file}.partial'
  with open(partial, 'wb') as f:
    f.write(header.text)
    for name in header.tensors:
      for piece in read(name):
        np.ascontiguousarray(piece).tofile(f)
  os.replace(partial, file)


def remove_others(folder: str, kept: Iterable[str]) -> None:
  """Removes the weights of an earlier model, which could be taken for ours."""
  kept = set(kept)
  for name in os.listdir(folder):
    if (name == INDEX or _OURS.fullmatch(name)) and name not in kept:
      os.remove(os.path.join(folder, name))
