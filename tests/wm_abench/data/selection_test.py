"""Subsets of cells, and names that do not exist."""

import dataclasses

import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.data import selection

WORDS, IMAGES = 'sr_tabletop', 'm_nav_street'


def test_items_are_read_without_states_and_without_new_files(tmp_path):
  items = synthetic.write(tmp_path, [WORDS, IMAGES])
  files = sorted(tmp_path.rglob('*'))
  read = [*selection.read(tmp_path, [WORDS, IMAGES], 'full')]
  assert read == [dataclasses.replace(item, state={}) for item in items]
  for item, written in zip(read, items, strict=True):
    assert [p.read() for p in item.pictures] == [
      p.read() for p in written.pictures
    ]
  assert sorted(tmp_path.rglob('*')) == files


def test_a_subset_has_whole_groups(tmp_path):
  synthetic.write(tmp_path, ['ms_tabletop'], groups=5)
  items = [*selection.read(tmp_path, ['ms_tabletop'], 'mini')]
  assert [item.group for item in items] == [
    f'ms_tabletop/{i}' for i in (0, 0, 0, 1, 1, 1, 2, 2, 2)
  ]


def test_unknown_names_are_answered_with_choices(tmp_path):
  with pytest.raises(errors.UserError, match='contains no items'):
    selection.select_cells(tmp_path, 'all')
  synthetic.write(tmp_path, [WORDS])
  assert selection.select_cells(tmp_path, 'tabletop') == [WORDS]
  with pytest.raises(errors.UserError, match='choices: sr_tabletop'):
    selection.select_cells(tmp_path, IMAGES)
  with pytest.raises(errors.UserError, match='choices: sr_tabletop'):
    selection.select_cells(tmp_path, 'street')
  with pytest.raises(errors.UserError, match='choices: sr_tabletop'):
    [*selection.read(tmp_path, [IMAGES], 'full')]
  with pytest.raises(errors.UserError, match='choices: 100, full, mini'):
    [*selection.read(tmp_path, [WORDS], 'some')]


def test_an_incomplete_cell_is_named(tmp_path):
  synthetic.write(tmp_path, [WORDS])
  (path,) = tmp_path.rglob('*.parquet')
  path.rename(path.with_name('mini-00000-of-00002.parquet'))
  with pytest.raises(errors.UserError, match='lacks mini-00001-of-00002'):
    selection.select_cells(tmp_path, 'all')
