"""Items on disk: tfds features, TFRecord shards, and their reader.

A folder of data holds a tfds data set a cell,

    FOLDER/wm_abench/CELL/VERSION/wm_abench-SPLIT.tfrecord-00000-of-00001

which `read` opens, and so does `tfds.builder_from_directory` of the innermost
folder. Pictures are stored as the bytes they were encoded to once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import errno
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from commons import errors
from wm_abench.core import dimensions, records

NAME, VERSION = 'wm_abench', '1.0.0'
MINI, TEST = 'mini', 'test'
# A cell, the first of its test split, and as many more as fill its last group:
# nine where there are three options.
MINI_ITEMS = 8

_TEXTS = ('name', 'cell', 'group', 'prompt', 'varies')
_JSON = ('factors', 'state')
_PICTURES = ('images', 'option_images')


def features() -> tfds.features.FeaturesDict:
  """Of an item; its options are in `options` or in `option_images`."""
  text = tfds.features.Text()
  image = tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg')
  return tfds.features.FeaturesDict(
    {
      **dict.fromkeys((*_TEXTS, *_JSON), text),
      **dict.fromkeys(_PICTURES, tfds.features.Sequence(image)),
      'options': tfds.features.Sequence(text),
      'answer': tfds.features.Scalar(np.int64),
    }
  )


def to_example(item: records.Item) -> dict[str, Any]:
  """The item by the names of `features`."""
  return {
    **{name: getattr(item, name) for name in _TEXTS},
    **{name: _text(getattr(item, name)) for name in _JSON},
    'images': list(item.images),
    'options': [] if item.pictured else list(item.options),
    'option_images': list(item.options) if item.pictured else [],
    'answer': item.answer,
  }


def from_example(example: Mapping[str, Any]) -> records.Item:
  """The item of an example of bytes, its pictures undecoded."""
  words = tuple(word.decode() for word in example['options'])
  return records.Item(
    **{name: example[name].decode() for name in _TEXTS},
    **{name: json.loads(example[name]) for name in _JSON},
    images=tuple(example['images']),
    options=words or tuple(example['option_images']),
    answer=int(example['answer']),
  )


def size_of(cell: dimensions.Cell, split: str) -> int:
  """The items that a cell has in a split.

  Raises:
    UserError: no such split.
  """
  options = cell.of.options
  sizes = {MINI: -(-MINI_ITEMS // options) * options, TEST: cell.cases}
  if split not in sizes:
    raise errors.unknown('split', split, sizes)
  return sizes[split]


def cell_folder(folder: str | os.PathLike[str], cell: str) -> pathlib.Path:
  """Where a cell's shards are."""
  return pathlib.Path(folder) / NAME / cell / VERSION


def shard_path(
  folder: str | os.PathLike[str], cell: str, split: str, index: int, of: int
) -> pathlib.Path:
  """Where one of a cell's shards is."""
  name = f'{NAME}-{split}.tfrecord-{index:05d}-of-{of:05d}'
  return cell_folder(folder, cell) / name


def write_shard(path: pathlib.Path, items: Iterable[records.Item]) -> int:
  """Writes a shard, which is there wholly or not at all; gives its bytes.

  Raises:
    OSError: it cannot be written; ENOSPC where there is no room for it.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_name(f'unfinished.{path.name}')
  try:
    _write(unfinished, items)
    os.replace(unfinished, path)
  finally:
    unfinished.unlink(missing_ok=True)
  return path.stat().st_size


def _write(path: pathlib.Path, items: Iterable[records.Item]) -> None:
  kind = features()
  try:
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
      for item in items:
        row = kind.serialize_example(to_example(item))
        example = tf.train.Example.FromString(row)
        # Else the order of columns is another one in another process.
        writer.write(example.SerializeToString(deterministic=True))
  # A full disk or quota, and a file above the limit of a file's size.
  except (tf.errors.ResourceExhaustedError, tf.errors.OutOfRangeError) as e:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from e


def finish(
  folder: str | os.PathLike[str],
  cell: str,
  split: str,
  lengths: Sequence[int],
  simulator: str = '',
) -> None:
  """Makes a data set of a cell whose shards are all there.

  Args:
    folder: of the data.
    cell: its name.
    split: its only split.
    lengths: items of each shard, in order.
    simulator: as in generator.Settings.
  """
  place = cell_folder(folder, cell)
  paths = [
    shard_path(folder, cell, split, i, len(lengths))
    for i in range(len(lengths))
  ]
  info = tfds.core.SplitInfo(
    name=split,
    shard_lengths=list(lengths),
    num_bytes=sum(path.stat().st_size for path in paths),
    filename_template=tfds.core.ShardedFileTemplate(
      data_dir=place,
      dataset_name=NAME,
      split=split,
      filetype_suffix='tfrecord',
    ),
  )
  tfds.folder_dataset.write_metadata(
    data_dir=place,
    features=features(),
    split_infos=[info],
    version=VERSION,
    description=describe(cell, simulator),
    disable_shuffling=True,
    check_data=False,
  )


def describe(cell: str, simulator: str = '') -> str:
  """What a cell asks and where, in one line."""
  of = dimensions.CELLS[cell]
  stands_for = dimensions.STANDS_FOR[of.environment]
  where = (
    f'environment {of.environment!r}, an embedded stand-in for {stands_for},'
    ' never the simulator itself'
  )
  if simulator:
    where = f'made in the simulator {simulator!r} itself'
  return f'WM-ABench {of.dimension}: {of.of.asks}; {where}.'


def cells_in(folder: str | os.PathLike[str]) -> tuple[str, ...]:
  """The cells that are wholly there, in the order of the table."""
  return tuple(
    name
    for name in dimensions.CELLS
    if (cell_folder(folder, name) / 'dataset_info.json').is_file()
  )


def read(
  folder: str | os.PathLike[str],
  cells: Sequence[str] = (),
  split: str = '',
) -> Iterator[records.Item]:
  """Items in the order of their numbers, cell after cell.

  Args:
    folder: of data, such as the workdir of a generation.
    cells: names; all that are there by default.
    split: of each; the only one it has by default.

  Raises:
    UserError: nothing is there, or not that cell or split.
  """
  there = cells_in(folder)
  if not there:
    raise errors.UserError(
      f'{os.fspath(folder)!r} holds no finished cell of {NAME}'
    )
  for name in cells:
    if name not in there:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', name, there)
  for name in cells or there:
    yield from _read_cell(cell_folder(folder, name), split)


def _read_cell(place: pathlib.Path, split: str) -> Iterator[records.Item]:
  builder = tfds.builder_from_directory(place)
  splits = list(builder.info.splits)
  if split and split not in splits:
    raise errors.unknown(f'split in {os.fspath(place)!r}', split, splits)
  if not split and len(splits) > 1:
    raise errors.UserError(
      f'{os.fspath(place)!r} has the splits {", ".join(splits)}: name one'
    )
  for path in builder.info.splits[split or splits[0]].filepaths:
    try:
      for row in tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator():
        yield _parse(row)
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as e:
      raise errors.UserError(f'{os.fspath(path)!r}: {e.message}') from e


def _parse(row: bytes) -> records.Item:
  """The item of a record, past tfds, which would decode its pictures."""
  columns = tf.train.Example.FromString(row).features.feature
  texts = {
    name: columns[name].bytes_list.value[0] for name in (*_TEXTS, *_JSON)
  }
  lists = {
    name: list(columns[name].bytes_list.value)
    for name in (*_PICTURES, 'options')
  }
  answer = columns['answer'].int64_list.value[0]
  return from_example(texts | lists | {'answer': answer})


def _text(value: Any) -> str:
  return json.dumps(value, sort_keys=True, separators=(',', ':'))
