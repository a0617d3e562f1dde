"""PRIME's parquet rows become problems tested by text or by calls."""

import json

import pyarrow as pa
from pyarrow import parquet
import pytest

from coderl import types
from coderl.problems.sources import prime
from commons import errors


def make_row(truth):
  messages = [('system', 'Be good.'), ('user', 'Do it.')]
  return {
    'prompt': [{'role': role, 'content': text} for role, text in messages],
    'reward_model': {'ground_truth': json.dumps(truth), 'style': 'rule'},
    'data_source': 'codecontests',
  }


def write(path, rows):
  parquet.write_table(pa.Table.from_pylist(rows), path)
  return path


def read(path):
  return list(prime.read('train', str(path), 0))


def test_rows_are_tested_by_text_or_by_call(tmp_path):
  truths = [
    {'inputs': ['1\n', ['2', '3']], 'outputs': ['a\n', ['b']]},
    {'fn_name': 'f', 'inputs': ['1\n[2, null]'], 'outputs': ['true']},
    {'fn_name': 'f', 'inputs': [[1, 'x']], 'outputs': [[[2]]]},
  ]
  path = write(tmp_path / 'a.parquet', [make_row(t) for t in truths])
  printed, lines, listed = read(path)
  assert printed == types.Problem(
    id='prime/0',
    statement='Do it.',
    tests=(
      types.Test(stdin='1\n', expected='a\n'),
      types.Test(stdin='2\n3', expected='b'),
    ),
    source='codecontests',
  )
  assert lines.tests == (types.Test(call='f(1, [2, None])', expected='True'),)
  assert listed.tests == (types.Test(call="f(1, 'x')", expected='[2]'),)
  assert listed.entry_point == 'f'


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'prompt': [{'role': 'user'}]}, "a message of the role 'user'"),
    ({'prompt': [{'content': 'Do it.'}]}, "a message of the role 'user'"),
    ({'prompt': 'Do it.'}, "a message of the role 'user'"),
    ({'prompt': None}, "a message of the role 'user'"),
    ({'reward_model': '{}'}, "reward_model to hold ground_truth, not '{}'"),
    ({'reward_model': {'style': 'rule'}}, 'reward_model to hold ground_truth'),
    ({'reward_model': {'ground_truth': None}}, 'must be str'),
  ],
)
def test_a_row_of_another_layout_is_reported(tmp_path, fields, message):
  row = make_row({'inputs': ['1'], 'outputs': ['1']}) | fields
  path = write(tmp_path / 'a.parquet', [row])
  with pytest.raises(errors.UserError, match=f'^{path}: row 0: .*{message}'):
    read(path)


@pytest.mark.parametrize(
  ('truth', 'message'),
  [
    ({'inputs': [], 'outputs': []}, 'row 1: prime/1 is a row without tests'),
    ({'inputs': ['1']}, 'row 1: expected ground_truth to hold inputs and'),
    ({'inputs': ['1'], 'outputs': []}, 'row 1: zip'),
  ],
)
def test_a_row_with_bad_tests_is_reported(tmp_path, truth, message):
  good = {'inputs': ['1'], 'outputs': ['1']}
  path = write(tmp_path / 'a.parquet', [make_row(good), make_row(truth)])
  with pytest.raises(errors.UserError, match=message):
    read(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
  path = tmp_path / 'a.parquet'
  path.write_text('no')
  with pytest.raises(
    errors.UserError, match=r'a.parquet: cannot be read from row 0'
  ):
    read(path)
  write(path, [{'prompt': 'x', 'data_source': 'y'}])
  with pytest.raises(errors.UserError, match=r"no \['reward_model'\]"):
    read(path)


def test_a_damaged_page_is_reported_with_its_row(tmp_path):
  row = make_row({'inputs': ['1'], 'outputs': ['1']})
  path = write(tmp_path / 'a.parquet', [row] * 50)
  data = bytearray(path.read_bytes())
  data[4:60] = bytes(56)
  path.write_bytes(data)
  with pytest.raises(errors.UserError, match=f'^{path}: cannot .* row 0') as e:
    read(path)
  assert '\n' not in str(e.value)
