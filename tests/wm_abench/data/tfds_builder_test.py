"""The tfds data set has the items of the parquet shards."""

import io
import json

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.core import dimensions
from wm_abench.data import layout, parquet, tfds_builder

IMAGES, TEXTS = 'm_nav_street', 'sr_tabletop'


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  folder = tmp_path_factory.mktemp('source')
  synthetic.write(folder, [IMAGES, TEXTS], groups=3)
  path = layout.shard_path(folder, IMAGES, 'test', 0, 1)
  parquet.write_shard(path, synthetic.items(IMAGES, 2, seed=1))
  return folder


def _build(source, folder, cell):
  return tfds_builder.WmAbench(config=cell, source=source, data_dir=folder)


@pytest.mark.parametrize(
  ('cell', 'split'), [(IMAGES, 'mini'), (IMAGES, 'test'), (TEXTS, 'mini')]
)
def test_it_has_the_items_of_the_shards(source, tmp_path, cell, split):
  builder = _build(source, tmp_path, cell)
  builder.download_and_prepare()
  rows = [*tfds.as_numpy(builder.as_dataset(split))]
  items = [*parquet.read(source, [cell], split)]
  assert [r['name'].decode() for r in rows] == [i.name for i in items]
  for row, item in zip(rows, items, strict=True):
    assert row['answer'] == item.answer
    assert row['prompt'].decode() == item.prompt
    assert json.loads(row['factors']) == item.factors
    phrases = tuple(option.decode() for option in row['options'])
    assert phrases == (() if item.pictured else item.options)
    decoded = [*row['images'], *row['option_images']]
    for pixels, picture in zip(decoded, item.pictures, strict=True):
      wanted = np.asarray(Image.open(io.BytesIO(picture.read())))
      # Two decoders of JPEG differ slightly.
      assert np.abs(pixels.astype(int) - wanted).max() <= 2


def test_it_opens_a_prepared_data_set_without_the_shards(source, tmp_path):
  _build(source, tmp_path, TEXTS).download_and_prepare()
  again = tfds_builder.WmAbench(config=TEXTS, data_dir=tmp_path)
  assert again.info.splits['mini'].num_examples == 12
  assert 'stand-in' in again.info.description


def test_there_is_a_config_for_every_cell():
  configs = tfds_builder.WmAbench.builder_configs
  assert list(configs) == list(dimensions.CELLS)


def test_a_cell_that_does_not_exist_is_refused(source, tmp_path):
  with pytest.raises(ValueError, match='sr_nowhere'):
    _build(source, tmp_path, 'sr_nowhere')
  with pytest.raises(errors.UserError, match=r'no shards.*v_m_tabletop'):
    _build(source, tmp_path, 'v_m_tabletop').download_and_prepare()
