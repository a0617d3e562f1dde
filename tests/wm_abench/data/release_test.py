"""Rows in the layout of the published release, as far as it is documented."""

import gc

import numpy as np
import pyarrow as pa
from pyarrow import parquet
import pytest

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import parquet as parquet_lib
from wm_abench.data import stored_pictures

IMAGES = dimensions.CELLS['t_man_manipulation_pick_rotate']
WORDS = dimensions.CELLS['sr_tabletop']
YES_NO = dimensions.CELLS['v_m_tabletop']


def _image_row(i, **changes):
  return {
    'source': [{'bytes': b'start %d' % i, 'path': None}],
    'prompt': f'What comes of act {i}?',
    'answer': i % 4 + 1,
    'image_choices': [
      {'bytes': b'choice %d' % k, 'path': f'{k}.png'} for k in range(4)
    ],
    'action': 'pick_rotate',
    'answer_types': ['failure1', 'failure3', 'success', 'failure2'],
    'randomization_params': {'background_id': i, 'camera_pose': 'front'},
  } | changes


def _word_row(answer, **changes):
  return {
    'source': [b'front', b'top'],
    'prompt': 'Where is it? A. left B. right C. behind D. in front of it',
    'answer': answer,
    'choices_str_letter': 'A. left\nB. right\nC. behind\nD. in front of it',
  } | changes


def _bytes(pictures):
  return [picture.read() for picture in pictures]


def _noise(seed, size):
  return np.random.default_rng(seed).bytes(size)


def _write(folder, cell, rows, part=0, parts=1, end='', **options):
  configuration = folder / 'Perception' / 'Some' / f'{cell.release}{end}'
  configuration.mkdir(parents=True, exist_ok=True)
  path = configuration / f'test-{part:05d}-of-{parts:05d}.parquet'
  parquet.write_table(pa.Table.from_pylist(rows), path, **options)
  return path


def test_pictured_options_are_read(tmp_path):
  _write(tmp_path, IMAGES, [_image_row(i) for i in range(5)])
  items = [*parquet_lib.read(tmp_path)]
  assert [item.answer for item in items] == [0, 1, 2, 3, 0]
  assert items[2] == records.Item(
    name='t_man_manipulation_pick_rotate/2',
    cell=IMAGES.name,
    group='t_man_manipulation_pick_rotate/2',
    prompt='What comes of act 2?',
    images=(records.Picture.encoded(b'start 2'),),
    options=tuple(records.Picture.encoded(b'choice %d' % k) for k in range(4)),
    answer=2,
    factors={
      'background_id': 2,
      'camera_pose': 'front',
      'action': 'pick_rotate',
      'answer_types': ['failure1', 'failure3', 'success', 'failure2'],
    },
  )


@pytest.mark.parametrize('answers', [[1, 2, 3, 4], ['1', '2', '3', '4']])
def test_numbers_of_answers_start_at_one(tmp_path, answers):
  _write(tmp_path, WORDS, [_word_row(a) for a in answers])
  items = [*parquet_lib.read(tmp_path)]
  assert [item.answer for item in items] == [0, 1, 2, 3]
  assert items[0].options == ('left', 'right', 'behind', 'in front of it')
  assert _bytes(items[0].images) == [b'front', b'top']


def test_letters_and_phrases_are_answers_as_well(tmp_path):
  _write(tmp_path, WORDS, [_word_row(a) for a in ('B', 'd', 'Behind')])
  assert [item.answer for item in parquet_lib.read(tmp_path)] == [1, 3, 2]


@pytest.mark.parametrize(
  'text', ['A. 3 cm\nB. 1. 5 cm', '(A) 3 cm (B) 1. 5 cm', 'A) 3 cm B) 1. 5 cm']
)
def test_several_notations_of_choices_are_read(tmp_path, text):
  _write(tmp_path, WORDS, [_word_row(2, choices_str_letter=text)])
  (item,) = parquet_lib.read(tmp_path)
  assert item.options == ('3 cm', '1. 5 cm') and item.answer == 1


def test_yes_and_no_may_be_omitted(tmp_path):
  rows = [_word_row(a, choices_str_letter=None) for a in ('yes', 'No')]
  _write(tmp_path, YES_NO, rows)
  items = [*parquet_lib.read(tmp_path)]
  assert {item.options for item in items} == {('yes', 'no')}
  assert [item.answer for item in items] == [0, 1]


def test_parameters_may_be_json(tmp_path):
  rows = [_image_row(0, randomization_params='{"size": [0.1, 2]}')]
  _write(tmp_path, IMAGES, rows)
  (item,) = parquet_lib.read(tmp_path)
  assert item.factors['size'] == [0.1, 2]


def test_files_follow_one_another_and_cells_the_table(tmp_path):
  _write(tmp_path, IMAGES, [_image_row(i) for i in (2, 3, 4)], 1, 2)
  _write(tmp_path, IMAGES, [_image_row(i) for i in (0, 1)], 0, 2)
  _write(tmp_path, WORDS, [_word_row(1)])
  _write(tmp_path, WORDS, [_word_row(1), _word_row(2)], end='_subset')
  assert list(parquet_lib.cells_in(tmp_path)) == [WORDS.name, IMAGES.name]
  items = [*parquet_lib.read(tmp_path)]
  assert [i.cell for i in items] == [WORDS.name] + [IMAGES.name] * 5
  named = [*parquet_lib.read(tmp_path, [IMAGES.name])]
  assert named == items[1:]
  starts = [i.images[0].read() for i in named]
  assert starts == [b'start %d' % k for k in range(5)]
  assert len({i.name for i in items}) == len(items)
  assert len([*parquet_lib.read(tmp_path, subset=True)]) == 2


def test_no_two_cells_have_the_same_configuration():
  named = [c.release for c in dimensions.CELLS.values() if c.release]
  assert len(named) == len(set(named)) > 35


@pytest.mark.parametrize('compression', ['none', 'snappy'])
def test_memory_stays_flat_over_a_large_file(
  tmp_path, compression, monkeypatch
):
  size, count = 2**20, 128
  monkeypatch.setattr(stored_pictures, 'CACHE_BYTES', 4 * size)
  _write(
    tmp_path,
    IMAGES,
    [
      _image_row(i, source=[{'bytes': _noise(i, size), 'path': ''}])
      for i in range(count)
    ],
    row_group_size=8,
    compression=compression,
  )
  gc.collect()
  held = pa.total_allocated_bytes()
  most = 0
  for i, item in enumerate(parquet_lib.read(tmp_path)):
    assert _bytes(item.images) == [_noise(i, size)]
    most = max(most, pa.total_allocated_bytes() - held)
  assert i == count - 1
  assert 0 < most < count * size / 3


@pytest.mark.parametrize(
  ('column', 'value', 'problem'),
  [
    ('answer', 5, r'5 is none of 1 to 4'),
    ('answer', 0, r'0 is none of 1 to 4'),
    ('answer', -1, r'-1 is none of'),
    ('answer', None, r'None is none of'),
    ('prompt', None, 'no question'),
    ('source', [{'bytes': None, 'path': 'x.png'}], 'picture 0 has no bytes'),
    ('source', None, 'picture 0 has no bytes'),
    ('image_choices', None, 'picture 0 has no bytes'),
    (
      'image_choices',
      [{'bytes': b'x', 'path': ''}, {'bytes': b'', 'path': ''}],
      'picture 1 has no bytes',
    ),
  ],
)
def test_a_bad_value_is_named_with_file_row_and_column(
  tmp_path, column, value, problem
):
  rows = [*(_image_row(i) for i in range(10)), _image_row(0, **{column: value})]
  path = _write(tmp_path, IMAGES, rows)
  items = parquet_lib.read(tmp_path)
  for _ in range(10):
    next(items)
  where = f'{path.name}.*row 10, column {column!r}.*{problem}'
  with pytest.raises(errors.UserError, match=where):
    next(items)


@pytest.mark.parametrize(
  'text', ['', None, 'left or right', 'A. left', 'B. left A. right', 'A. B. x']
)
def test_choices_that_cannot_be_separated_are_refused(tmp_path, text):
  _write(tmp_path, WORDS, [_word_row(1), _word_row(1, choices_str_letter=text)])
  items = parquet_lib.read(tmp_path)
  next(items)
  with pytest.raises(errors.UserError, match=r"row 1, column 'choices_str"):
    next(items)


@pytest.mark.parametrize('value', ['{', '[1]'])
def test_parameters_that_are_not_a_table_are_refused(tmp_path, value):
  _write(tmp_path, IMAGES, [_image_row(0, randomization_params=value)])
  with pytest.raises(errors.UserError, match=r"row 0, column 'randomization"):
    next(parquet_lib.read(tmp_path))


def test_a_missing_column_and_a_broken_file_are_named(tmp_path):
  row = _word_row(1)
  del row['answer']
  path = _write(tmp_path, WORDS, [row])
  with pytest.raises(errors.UserError, match=r"test-.*no column 'answer'"):
    next(parquet_lib.read(tmp_path))
  path.write_bytes(b'PAR1 nothing')
  with pytest.raises(errors.UserError, match=r'test-00000.*cannot be read'):
    next(parquet_lib.read(tmp_path))
  _write(tmp_path, WORDS, [_word_row(1) for _ in range(500)])
  data = bytearray(path.read_bytes())
  data[4:400] = b'x' * 396
  path.write_bytes(data)
  with pytest.raises(errors.UserError, match='test-00000'):
    [*parquet_lib.read(tmp_path)]


def test_a_missing_cell_is_answered_with_what_exists(tmp_path):
  with pytest.raises(errors.UserError, match='contains no items'):
    next(parquet_lib.read(tmp_path))
  _write(tmp_path, WORDS, [_word_row(1)])
  with pytest.raises(errors.UserError, match=r"'v_m_tabletop'.*sr_tabletop"):
    next(parquet_lib.read(tmp_path, [YES_NO.name]))
  with pytest.raises(errors.UserError, match='CONFIG_subset'):
    next(parquet_lib.read(tmp_path, subset=True))
