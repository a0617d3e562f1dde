"""A source finds its data, or says what is missing."""

import pytest

from coderl.problems.sources import record, registry
from commons import errors


def source(data):
  return record.Source('name', ('train',), lambda *_: iter(()), data)


def test_generated_problems_take_no_path():
  assert source(None).locate(None) == ('', [])
  assert not source(None).needs_path
  with pytest.raises(errors.UserError, match=r"'name' reads no file.*'x'"):
    source(None).locate('x')


def test_a_file_is_found_at_its_path(tmp_path):
  file = tmp_path / 'rows.jsonl'
  alone = source(record.Data())
  assert alone.needs_path
  with pytest.raises(errors.UserError, match="'name' needs the path"):
    alone.locate(None)
  with pytest.raises(errors.UserError, match=r'rows.jsonl: no such file'):
    alone.locate(str(file))
  file.write_text('')
  assert alone.locate(str(file)) == (str(file), [file])


def test_a_folder_is_its_files_in_order(tmp_path):
  folder = source(record.Data(pattern='*.json'))
  with pytest.raises(errors.UserError, match=r'no such folder with \*\.json'):
    folder.locate(str(tmp_path))
  files = [tmp_path / name for name in ('a.json', 'b.json')]
  for file in reversed(files):
    file.write_text('')
  (tmp_path / 'c.txt').write_text('')
  assert folder.locate(str(tmp_path)) == (str(tmp_path), files)


def test_a_package_has_the_file_unless_a_path_is_given(tmp_path):
  packaged = source(record.Data('commons', 'errors.py'))
  assert not packaged.needs_path
  path, (file,) = packaged.locate(None)
  assert path == str(file) and 'UserError' in file.read_text()
  other = tmp_path / 'other'
  other.write_text('')
  assert packaged.locate(str(other)) == (str(other), [other])
  absent = source(record.Data('no_such_package', 'rows'))
  with pytest.raises(errors.UserError, match="package 'no_such_package'"):
    absent.locate(None)


def test_every_source_of_the_table_needs_a_path_or_finds_its_data():
  for name, entry in registry.SOURCES.items():
    assert entry.name == name
    if entry.needs_path:
      with pytest.raises(errors.UserError, match=f'{name!r} needs the path'):
        entry.locate(None)
