"""Generated items as a data set of tensorflow_datasets: one config per cell.

    builder = WmAbench(config='sr_tabletop', source='runs/mini', data_dir=DIR)
    builder.download_and_prepare()
    builder.as_dataset('mini')

The parquet shards that wm_abench/generate.py wrote are copied into tfds's own
files. This is the only module of wm_abench that loads TensorFlow.
"""

from collections.abc import Iterator
import json
import os
import sys
from typing import Any, ClassVar

# TensorFlow exports its symbols, its own LLVM among them, to every library that
# is loaded after it, and Mesa's OpenGL and Mitsuba then crash. TensorFlow keeps
# the symbols private if this module is missing.
if 'tensorflow' not in sys.modules:
  sys.modules.setdefault('tensorflow.python.pywrap_dlopen_global_flags', None)

import numpy as np
import tensorflow_datasets as tfds

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import layout, parquet


class WmAbench(tfds.core.GeneratorBasedBuilder):
  """Items of WM-ABench; see the module.

  Args:
    source: the workdir of a generation; needed only to prepare the data set.
    **kwargs: arguments of tfds; `config` is the name of a cell.
  """

  VERSION = tfds.core.Version(layout.VERSION)
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name=name, description=layout.describe(name))
    for name in dimensions.CELLS
  ]

  def __init__(self, *, source: str | os.PathLike[str] = '', **kwargs):
    self._source = source
    super().__init__(**kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    text = tfds.features.Text()
    pictures = tfds.features.Sequence(
      tfds.features.Image(shape=(None, None, 3))
    )
    features = dict.fromkeys(
      ('name', 'cell', 'group', 'prompt', 'varies', 'factors', 'state'), text
    )
    features |= {'images': pictures, 'option_images': pictures}
    features |= {'options': tfds.features.Sequence(text)}
    features |= {'answer': tfds.features.Scalar(np.int64)}
    return tfds.core.DatasetInfo(
      builder=self,
      description=self.builder_config.description,
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    cell = self.builder_config.name
    splits = (
      layout.splits_in(self._source).get(cell, []) if self._source else []
    )
    if not splits:
      raise errors.UserError(
        f'source={os.fspath(self._source)!r} has no shards of cell {cell!r}:'
        ' give the workdir of a generation'
      )
    return {split.name: self._examples(split.name) for split in splits}

  def _generate_examples(self, **kwargs):
    raise NotImplementedError('_split_generators yields the examples itself.')

  def _examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    items = parquet.read(self._source, [self.builder_config.name], split)
    yield from enumerate(map(_to_example, items))


def _to_example(item: records.Item) -> dict[str, Any]:
  """Returns the item under the names of the features."""
  pictures = [picture.read() for picture in item.pictures]
  names = ('name', 'cell', 'group', 'prompt', 'varies', 'answer')
  return {
    **{name: getattr(item, name) for name in names},
    'factors': json.dumps(item.factors, sort_keys=True),
    'state': json.dumps(item.state, sort_keys=True),
    'images': pictures[: len(item.images)],
    'option_images': pictures[len(item.images) :],
    'options': [] if item.pictured else list(item.options),
  }
