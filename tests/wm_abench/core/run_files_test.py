"""A workdir keeps its settings, and its JSON files are complete."""

import pytest

from commons import errors
from wm_abench.core import run_files


def test_a_json_file_is_read_as_it_was_written(tmp_path):
  path = tmp_path / 'new' / 'file.json'
  run_files.write_json(path, {'a': [1, 'ä']})
  assert run_files.read_json(path) == {'a': [1, 'ä']}
  assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize('text', ['', '{', '3'])
def test_a_file_without_an_object_is_refused(tmp_path, text):
  path = tmp_path / 'file.json'
  path.write_text(text)
  with pytest.raises(errors.UserError, match=r'file\.json'):
    run_files.read_json(path)


def test_a_manifest_is_written_once_and_then_checked(tmp_path):
  first = run_files.keep_manifest(tmp_path, {'seed': 0, 'data': 'x'}, 'items')
  assert first == {'seed': 0, 'data': 'x'}
  same = run_files.keep_manifest(
    tmp_path, {'seed': 0, 'data': 'y'}, 'items', may_differ={'data'}
  )
  assert same == first
  with pytest.raises(errors.UserError, match=r'items with seed=0, not 1'):
    run_files.keep_manifest(tmp_path, {'seed': 1}, 'items')
