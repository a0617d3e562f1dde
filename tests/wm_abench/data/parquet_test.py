"""Shards keep items, and anyone with pyarrow can read them."""

import dataclasses
import errno
import io
import json
import resource

from PIL import Image
import pyarrow as pa
from pyarrow import parquet as arrow_parquet
import pytest

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import columns, layout, parquet

IMAGES, TEXTS = 'm_nav_indoor', 'ms_tabletop'


def _picture(color):
  stream = io.BytesIO()
  Image.new('RGB', (16, 16), color).save(stream, 'jpeg')
  return records.Picture.encoded(stream.getvalue())


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
    path = layout.shard_path(folder, cell, split, i, len(lengths))
    parquet.write_shard(path, items[start : start + n])
    start += n
  return items


def _bytes(item):
  return [picture.read() for picture in item.pictures]


def test_items_are_read_as_they_were_written(tmp_path):
  items = _write(tmp_path, IMAGES, [12, 4, 1]) + _write(tmp_path, TEXTS, [3])
  again = [*parquet.read(tmp_path, [IMAGES, TEXTS])]
  assert again == items
  assert [_bytes(item) for item in again] == [_bytes(item) for item in items]
  assert [*parquet.read(tmp_path, [TEXTS], 'mini')] == items[17:]


def test_states_are_read_on_request(tmp_path):
  items = _write(tmp_path, IMAGES, [2])
  without = [dataclasses.replace(item, state={}) for item in items]
  assert [*parquet.read(tmp_path, states=False)] == without


def test_cells_are_read_in_the_order_of_the_table(tmp_path):
  for cell in (IMAGES, TEXTS):
    _write(tmp_path, cell, [3])
  assert parquet.cells_in(tmp_path) == (TEXTS, IMAGES)
  cells = [item.cell for item in parquet.read(tmp_path)]
  assert cells == [TEXTS] * 3 + [IMAGES] * 3


def test_a_shard_has_the_columns_of_the_release(tmp_path):
  """Read by pyarrow alone, as any other program would."""
  items = _write(tmp_path, IMAGES, [4]) + _write(tmp_path, TEXTS, [3])
  rows = {
    cell: arrow_parquet.read_table(
      layout.shard_path(tmp_path, cell, 'mini', 0, 1)
    ).to_pylist()
    for cell in (IMAGES, TEXTS)
  }
  pictured, phrased = rows[IMAGES][1], rows[TEXTS][1]
  assert [p['bytes'] for p in pictured['source']] == _bytes(items[1])[:2]
  choices = [p['bytes'] for p in pictured['image_choices']]
  assert choices == _bytes(items[1])[2:]
  assert pictured['source'][0]['path'].endswith('.jpg')
  assert pictured['answer'] == '2' and pictured['choices'] == []
  assert phrased['answer'] == 'B' and phrased['image_choices'] == []
  assert phrased['choices_str_letter'] == (
    'A. choice 0\nB. choice 1\nC. choice 2'
  )
  assert json.loads(phrased['randomization_params']) == items[5].factors
  assert phrased['key'] == 1 and phrased['dimension'] == 'MS'
  assert phrased['environment'] == 'tabletop'
  assert phrased['digest'] == items[5].digest != items[4].digest


def test_the_metadata_describe_the_columns_to_the_library_datasets(tmp_path):
  _write(tmp_path, IMAGES, [1])
  path = layout.shard_path(tmp_path, IMAGES, 'mini', 0, 1)
  schema = arrow_parquet.read_schema(path)
  features = json.loads(schema.metadata[b'huggingface'])['info']['features']
  assert list(features) == schema.names
  for name in ('source', 'image_choices'):
    assert features[name]['feature'] == {'_type': 'Image'}
    # The form in which `datasets` stores an Image.
    assert schema.field(name).type.value_type == pa.struct(
      [('bytes', pa.binary()), ('path', pa.string())]
    )
  metadata = json.loads(schema.metadata[b'wm_abench'])
  assert 'stand-in for Habitat' in metadata['description']


def test_row_groups_are_small_so_that_one_picture_is_read_fast(tmp_path):
  _write(tmp_path, IMAGES, [40])
  path = layout.shard_path(tmp_path, IMAGES, 'mini', 0, 1)
  metadata = arrow_parquet.read_metadata(path)
  assert metadata.num_row_groups == 5
  for group in range(5):
    assert metadata.row_group(group).num_rows == 8


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
  assert first == second and len(first) == 2


def test_a_shard_is_written_completely_or_not_at_all(tmp_path):
  path = layout.shard_path(tmp_path, IMAGES, 'mini', 0, 1)

  def interrupted():
    yield _item(IMAGES, 0)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    parquet.write_shard(path, interrupted())
  assert [*path.parent.iterdir()] == []
  assert parquet.write_shard(path, [_item(IMAGES, 0)]) == path.stat().st_size
  before = path.read_bytes()
  with pytest.raises(KeyboardInterrupt):
    parquet.write_shard(path, interrupted())
  assert path.read_bytes() == before
  assert [*path.parent.iterdir()] == [path]


def test_a_lack_of_space_is_reported_as_such(tmp_path):
  """The limit of a file's size also holds for root."""
  path = layout.shard_path(tmp_path, IMAGES, 'mini', 0, 1)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
  try:
    with pytest.raises(OSError) as caught:
      parquet.write_shard(path, [_item(IMAGES, i) for i in range(200)])
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert caught.value.errno == errno.ENOSPC
  assert caught.value.filename == str(path)
  assert [*path.parent.iterdir()] == []


def test_a_missing_cell_or_split_is_answered_with_what_exists(tmp_path):
  with pytest.raises(errors.UserError, match='contains no items'):
    next(parquet.read(tmp_path))
  _write(tmp_path, IMAGES, [2])
  with pytest.raises(errors.UserError, match=r"'sr_tabletop'.*m_nav_indoor"):
    next(parquet.read(tmp_path, ['sr_tabletop']))
  with pytest.raises(errors.UserError, match=r"'test'.*choices: mini"):
    next(parquet.read(tmp_path, [IMAGES], 'test'))
  _write(tmp_path, IMAGES, [2], split='test')
  with pytest.raises(errors.UserError, match=r'splits mini, test: choose one'):
    next(parquet.read(tmp_path, [IMAGES]))


def test_a_damaged_or_missing_shard_is_named(tmp_path):
  _write(tmp_path, IMAGES, [2, 2])
  path = layout.shard_path(tmp_path, IMAGES, 'mini', 1, 2)
  data = path.read_bytes()
  position = data.index(_bytes(_item(IMAGES, 3))[0]) + 100
  path.write_bytes(data[:position] + b'damage' + data[position + 6 :])
  damaged = [*parquet.read(tmp_path)][3]
  with pytest.raises(errors.UserError, match='00001-of-00002'):
    damaged.images[0].read()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(errors.UserError, match='00001-of-00002'):
    [*parquet.read(tmp_path)]
  path.unlink()
  assert parquet.cells_in(tmp_path) == ()
  with pytest.raises(errors.UserError, match='lacks mini-00001-of-00002'):
    [*parquet.read(tmp_path)]
  with pytest.raises(errors.UserError, match='00001-of-00002'):
    damaged.images[0].read()


def test_items_of_another_version_are_refused(tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(layout, 'VERSION', '0.9.0')
    _write(tmp_path, IMAGES, [2])
  with pytest.raises(errors.UserError, match=r'version 0\.9\.0, not 2\.0\.0'):
    next(parquet.read(tmp_path))


def test_a_row_has_every_column():
  assert set(columns.to_row(_item(IMAGES, 0))) == set(columns.TYPES)
