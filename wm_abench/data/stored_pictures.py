"""Pictures in parquet files, read one at a time.

Parquet is read by row groups. The picture columns that were read last stay in
memory, so that the pictures of neighbouring items cost one read.
"""

import collections
import dataclasses
import os
import threading

import pyarrow as pa
from pyarrow import parquet

from commons import errors
from wm_abench.data import release

# Bytes of picture columns that stay in memory.
CACHE_BYTES = 2**29


@dataclasses.dataclass(frozen=True)
class StoredPicture:
  """A records.PictureSource: where a picture is in a parquet file.

  Attributes:
    path: the file.
    row_group: index of the row group in the file.
    row: index of the row in its row group.
    column: the name of the column.
    index: index of the picture in the row's value.
  """

  path: str
  row_group: int
  row: int
  column: str
  index: int

  def read(self) -> bytes:
    """Returns the encoded picture.

    Raises:
      UserError: the file is missing, damaged or has been replaced.
    """
    try:
      column = _CACHE.read(self.path, self.row_group, self.column)
      pictures = release.encoded_pictures(column[self.row].as_py())
      return pictures[self.index]
    except (pa.ArrowException, OSError, IndexError) as e:
      raise errors.UserError(f'{self.path!r} cannot be read: {e}') from e


class _Cache:
  """The columns of row groups that were read last; safe for many threads."""

  def __init__(self):
    self._columns: collections.OrderedDict[tuple, pa.ChunkedArray] = (
      collections.OrderedDict()
    )
    self._bytes = 0
    self._lock = threading.Lock()

  def read(self, path: str, row_group: int, column: str) -> pa.ChunkedArray:
    status = os.stat(path)
    # A file that was replaced is read again.
    key = path, status.st_mtime_ns, status.st_size, row_group, column
    with self._lock:
      if key in self._columns:
        self._columns.move_to_end(key)
        return self._columns[key]
      with open_parquet(path) as file:
        value = file.read_row_group(row_group, columns=[column])[column]
      self._columns[key] = value
      self._bytes += value.nbytes
      while self._bytes > CACHE_BYTES and len(self._columns) > 1:
        _, dropped = self._columns.popitem(last=False)
        self._bytes -= dropped.nbytes
      return value


def open_parquet(path: str | os.PathLike[str]) -> parquet.ParquetFile:
  """Opens a file without reading ahead, so that memory stays bounded."""
  return parquet.ParquetFile(
    path, memory_map=True, pre_buffer=False, page_checksum_verification=True
  )


_CACHE = _Cache()
