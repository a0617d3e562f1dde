"""Splits have whole groups; shards are counted by their names."""

import pytest

from commons import errors
from wm_abench.core import dimensions
from wm_abench.data import layout


def test_splits_have_whole_groups_and_the_papers_numbers():
  for cell in dimensions.CELLS.values():
    mini = layout.size_of(cell, 'mini')
    assert mini == (9 if cell.of.options == 3 else 8)
    assert mini % cell.of.options == 0
    assert layout.size_of(cell, 'test') == cell.cases
  with pytest.raises(errors.UserError, match=r"'train'.*mini, test"):
    layout.size_of(cell, 'train')


def test_a_simulators_cell_is_not_called_a_stand_in():
  embedded = layout.describe('m_man_manipulation_lift')
  simulated = layout.describe('m_man_manipulation_lift', 'maniskill')
  assert 'stand-in for ManiSkill3' in embedded
  assert 'stand-in' not in simulated and "'maniskill' itself" in simulated


def test_missing_shards_are_named_by_split(tmp_path):
  folder = layout.cell_folder(tmp_path, 'sr_tabletop')
  folder.mkdir(parents=True)
  for index in (0, 2):
    layout.shard_path(tmp_path, 'sr_tabletop', 'test', index, 3).touch()
  layout.shard_path(tmp_path, 'sr_tabletop', 'mini', 0, 1).touch()
  (folder / '.mini-00000-of-00001.parquet.x.unfinished').touch()
  splits = {s.name: s for s in layout.splits_in(tmp_path)['sr_tabletop']}
  assert [*splits] == ['mini', 'test']
  assert splits['mini'].missing == () and len(splits['mini'].paths) == 1
  assert splits['test'].missing == ('test-00001-of-00003.parquet',)
  assert [p.name[5:10] for p in splits['test'].paths] == ['00000', '00002']


def test_generated_cells_take_precedence_over_the_release(tmp_path):
  cell = dimensions.CELLS['sr_tabletop']
  release = tmp_path / 'Perception' / cell.release
  release.mkdir(parents=True)
  (release / 'test-00000-of-00001.parquet').touch()
  (split,) = layout.splits_in(tmp_path)[cell.name]
  assert split.paths[0].parent == release
  path = layout.shard_path(tmp_path, cell.name, 'mini', 0, 1)
  path.parent.mkdir(parents=True)
  path.touch()
  (split,) = layout.splits_in(tmp_path)[cell.name]
  assert split.paths == (path,)


def test_one_cell_in_two_folders_is_ambiguous(tmp_path):
  for name in 'ab':
    path = layout.shard_path(tmp_path / name, 'sr_tabletop', 'mini', 0, 1)
    path.parent.mkdir(parents=True)
    path.touch()
  with pytest.raises(errors.UserError, match=r'twice, in .*/a/.* and .*/b/'):
    layout.splits_in(tmp_path)
