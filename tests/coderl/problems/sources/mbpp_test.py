"""MBPP: rows become problems, in the official splits."""

import json
import pathlib

import pytest

from coderl import types
from coderl.problems.sources import mbpp
from commons import errors

FILE = pathlib.Path('../shared/data/mbpp.jsonl')
ROW = {
  'task_id': 11,
  'text': 'Add.',
  'code': 'import sys\r\ndef add(a, b=0):\r\n  return a + b',
  'test_setup_code': '',
  'test_list': ['assert add(1, 2) == 3', "assert add('a', 'b') == 'ab'"],
}


def test_a_row_is_a_problem():
  assert mbpp.to_problem(ROW) == types.Problem(
    id='mbpp/11',
    statement='Add.\n\ndef add(a, b=0):',
    tests=(
      types.Test(call='add(1, 2)', expected='3'),
      types.Test(call="add('a', 'b')", expected="'ab'"),
    ),
    entry_point='add',
    reference='import sys\ndef add(a, b=0):\n  return a + b',
    source='mbpp',
  )


def test_a_checker_has_the_imports_of_the_reference():
  row = {**ROW, 'test_list': ['assert add(1) == sys.maxsize']}
  (test,) = mbpp.to_problem(row).tests
  assert test.checker == 'import sys\nassert add(1) == sys.maxsize'


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'code': 3}, "expected 'code' to be str, not 3"),
    ({'test_list': []}, 'a row without tests'),
    ({'test_list': ['assert (']}, "'\\(' was never"),
  ],
)
def test_a_bad_row_is_reported_with_its_line(tmp_path, fields, message):
  path = tmp_path / 'rows.jsonl'
  path.write_text(json.dumps({**ROW, **fields}))
  with pytest.raises(errors.UserError, match=f'^{path}:1: {message}'):
    list(mbpp.read('test', str(path), 0))


def test_the_splits_are_the_official_ones():
  if not FILE.exists():
    pytest.skip('needs mbpp.jsonl')
  ids = [
    [problem.id for problem in mbpp.read(split, str(FILE), 0)]
    for split in ('prompt', 'test', 'validation', 'train')
  ]
  assert [len(split) for split in ids] == [10, 500, 90, 374]
  assert [i for split in ids for i in split] == [
    f'mbpp/{i}' for i in range(1, 975)
  ]
