"""A malformed row is reported with its file and its line."""

import gzip
import json

import pytest

from coderl import types
from coderl.problems import readers
from commons import errors

FIELDS = {'n': int}


def read(path):
  return [row for _, _, row in readers.json_rows(str(path), FIELDS)]


def test_rows_have_the_numbers_of_their_lines(tmp_path):
  path = tmp_path / 'rows.jsonl'
  path.write_text('{"n": 1}\n\n{"n": 2, "m": 3}\n')
  assert list(readers.json_rows(str(path), FIELDS)) == [
    (1, f'{path}:1', {'n': 1}),
    (3, f'{path}:3', {'n': 2, 'm': 3}),
  ]


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('\n{"n": \n', r':2: not JSON: b\'\{"n": '),
    ('{"n": "\xff"}', ':1: not JSON'),
    ('[1]\n', r':1: expected a JSON object, not \[1\]'),
    ('{"n": "1"}', ":1: expected 'n' to be int, not '1'"),
    ('{}', ":1: expected 'n' to be int, not None"),
  ],
)
def test_a_bad_row_is_reported_with_its_line(tmp_path, text, message):
  path = tmp_path / 'rows.jsonl'
  path.write_bytes(text.encode('latin-1'))
  with pytest.raises(errors.UserError, match=f'^{path}{message}'):
    read(path)


def test_a_truncated_file_is_reported_with_its_line(tmp_path):
  path = tmp_path / 'rows.jsonl.gz'
  line = json.dumps({'n': 1, 'text': 'x' * 99}).encode() + b'\n'
  content = gzip.compress(line, 0) + gzip.compress(line, 0)
  path.write_bytes(content[:-9])  # Within the second line and its checksum.
  with pytest.raises(errors.UserError, match=f'^{path}:2: cannot be read: '):
    read(path)
  # There is no such type of block.
  path.write_bytes(content[:10] + b'\xff' + content[11:])
  with pytest.raises(errors.UserError, match=f'^{path}:1: cannot be read: '):
    read(path)
  with pytest.raises(errors.UserError, match=f'^{tmp_path}:1: cannot be read'):
    read(tmp_path)


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (KeyError('name'), "expected 'name' in it"),
    (ValueError('no number'), 'no number'),
    (TypeError('no text'), 'no text'),
  ],
)
def test_a_failure_of_a_row_is_reported_with_its_place(error, message):
  def to_problem(row):
    raise error

  with pytest.raises(errors.UserError, match=f'^rows:3: {message}'):
    readers.checked('rows:3', to_problem, {})


def test_a_row_without_tests_is_refused():
  with pytest.raises(errors.UserError, match=r'^rows:3: p is a row without'):
    readers.checked('rows:3', lambda: types.Problem('p', '', ()))
