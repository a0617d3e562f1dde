import dataclasses
import errno
import io
import os

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import dataset

IMAGES, TEXTS = 'm_nav_indoor', 'ms_tabletop'


def _picture(color):
  stream = io.BytesIO()
  Image.new('RGB', (16, 16), color).save(stream, 'jpeg')
  return stream.getvalue()


def _item(cell, i):
  of = dimensions.CELLS[cell].of
  group, member = divmod(i, of.options)
  options = tuple(f'choice {k}' for k in range(of.options))
  if of.form == dimensions.IMAGE:
    options = tuple(_picture((60 * k, i, 0)) for k in range(of.options))
  return records.Item(
    name=f'{cell}/{group}/{member}',
    cell=cell,
    group=f'{cell}/{group}',
    prompt=f'Wohin, "Übermut" {i}?',
    images=(_picture((i, 9, 9)), _picture((9, i, 9))),
    options=options,
    answer=member,
    varies='way',
    factors={'way': member, 'places': [[0.1, 2.0], [1e-7, -3.0]], 'none': None},
    state={'images': [{'time_s': 0.1, 'bodies': {}}], 'options': []},
  )


def _write(folder, cell, lengths, split='mini'):
  items = [_item(cell, i) for i in range(sum(lengths))]
  start = 0
  for i, n in enumerate(lengths):
    path = dataset.shard_path(folder, cell, split, i, len(lengths))
    dataset.write_shard(path, items[start : start + n])
    start += n
  dataset.finish(folder, cell, split, lengths)
  return items


def test_items_come_back_as_they_were_written(tmp_path):
  wanted = _write(tmp_path, IMAGES, [4, 4, 1]) + _write(tmp_path, TEXTS, [3])
  assert [*dataset.read(tmp_path, [IMAGES, TEXTS])] == wanted
  assert [*dataset.read(tmp_path, [TEXTS], 'mini')] == wanted[9:]


def test_cells_are_read_in_the_order_of_the_table(tmp_path):
  for cell in (IMAGES, TEXTS):
    _write(tmp_path, cell, [3])
  assert dataset.cells_in(tmp_path) == (TEXTS, IMAGES)
  found = [item.cell for item in dataset.read(tmp_path)]
  assert found == [TEXTS] * 3 + [IMAGES] * 3


def test_tfds_opens_a_cell_and_decodes_its_pictures(tmp_path):
  (wanted,) = _write(tmp_path, IMAGES, [1])
  builder = tfds.builder_from_directory(dataset.cell_folder(tmp_path, IMAGES))
  assert builder.info.splits['mini'].num_examples == 1
  assert 'stand-in for Habitat' in builder.info.description
  (row,) = tfds.as_numpy(builder.as_dataset('mini'))
  assert row['answer'] == wanted.answer
  assert row['prompt'].decode() == wanted.prompt
  assert row['images'].shape == (2, 16, 16, 3)
  decoded = np.asarray(Image.open(io.BytesIO(wanted.options[3])))
  gap = np.abs(row['option_images'][3].astype(int) - decoded)
  assert gap.max() <= 2  # Two decoders of JPEG.


def test_the_same_items_make_the_same_bytes(tmp_path):
  for name in 'ab':
    _write(tmp_path / name, IMAGES, [4, 4])
  first, second = (
    {
      p.relative_to(tmp_path / name): p.read_bytes()
      for p in (tmp_path / name).rglob('*')
      if p.is_file()
    }
    for name in 'ab'
  )
  assert first == second and len(first) == 4


def test_columns_are_in_one_order_in_every_process(tmp_path):
  _write(tmp_path, IMAGES, [1])
  data = dataset.shard_path(tmp_path, IMAGES, 'mini', 0, 1).read_bytes()
  keys = [b'\n%c%s' % (len(k), k.encode()) for k in sorted(dataset.features())]
  places = [data.index(key) for key in keys]
  assert places == sorted(places)


def test_a_shard_is_there_wholly_or_not_at_all(tmp_path):
  path = dataset.shard_path(tmp_path, IMAGES, 'mini', 0, 1)

  def some():
    yield _item(IMAGES, 0)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    dataset.write_shard(path, some())
  assert [*path.parent.iterdir()] == []
  assert dataset.write_shard(path, [_item(IMAGES, 0)]) == path.stat().st_size
  before = path.read_bytes()
  with pytest.raises(KeyboardInterrupt):
    dataset.write_shard(path, some())
  assert path.read_bytes() == before


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
def test_a_full_disk_is_told_as_such(tmp_path):
  path = dataset.shard_path(tmp_path, IMAGES, 'mini', 0, 1)
  path.parent.mkdir(parents=True)
  path.with_name(f'unfinished.{path.name}').symlink_to('/dev/full')
  with pytest.raises(OSError) as told:
    dataset.write_shard(path, [_item(IMAGES, i) for i in range(200)])
  assert told.value.errno == errno.ENOSPC
  assert [*path.parent.iterdir()] == []


def test_what_is_not_there_is_answered_with_what_is(tmp_path):
  with pytest.raises(errors.UserError, match='no finished cell'):
    next(dataset.read(tmp_path))
  _write(tmp_path, IMAGES, [2])
  with pytest.raises(errors.UserError, match=r"'sr_tabletop'.*m_nav_indoor"):
    next(dataset.read(tmp_path, ['sr_tabletop']))
  with pytest.raises(errors.UserError, match=r"'test'.*choices: mini"):
    next(dataset.read(tmp_path, [IMAGES], 'test'))


def test_a_damaged_or_missing_shard_is_named(tmp_path):
  _write(tmp_path, IMAGES, [2, 2])
  path = dataset.shard_path(tmp_path, IMAGES, 'mini', 1, 2)
  data = path.read_bytes()
  path.write_bytes(data[:100] + b'x' + data[101:])
  items = dataset.read(tmp_path)
  assert [next(items), next(items)] == [_item(IMAGES, 0), _item(IMAGES, 1)]
  with pytest.raises(errors.UserError, match='00001-of-00002'):
    next(items)
  path.unlink()
  with pytest.raises(errors.UserError, match='00001-of-00002'):
    [*dataset.read(tmp_path)]


def test_splits_have_whole_groups_and_the_papers_numbers():
  for cell in dimensions.CELLS.values():
    mini = dataset.size_of(cell, 'mini')
    assert mini == (9 if cell.of.options == 3 else 8)
    assert mini % cell.of.options == 0
    assert dataset.size_of(cell, 'test') == cell.cases
  with pytest.raises(errors.UserError, match=r"'train'.*mini, test"):
    dataset.size_of(cell, 'train')


def test_a_simulators_cell_is_not_called_a_stand_in():
  ours = dataset.describe('m_man_manipulation_lift')
  theirs = dataset.describe('m_man_manipulation_lift', 'maniskill')
  assert 'stand-in for ManiSkill3' in ours
  assert 'stand-in' not in theirs and "'maniskill' itself" in theirs


def test_every_field_of_an_item_is_kept():
  names = {f.name for f in dataclasses.fields(records.Item)}
  assert names == set(dataset.features()) - {'option_images'}
