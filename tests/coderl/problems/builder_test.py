"""Prepared examples: the same problems, never stale, prepared once."""

import gzip
import json
import os
import subprocess
import sys

import pytest

from coderl.problems import builder, examples
from coderl.problems.sources import registry
from commons import errors

ROW = {
  'task_id': 11,
  'text': 'Add.',
  'code': 'def add(a, b=0):\n  return a + b',
  'test_setup_code': '',
  'test_list': ['assert add(1, 2) == 3', "assert add('a', 'b') == 'ab'"],
}


def write_rows(path, rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return str(path)


def read(config, split, data_dir):
  dataset = builder.prepare(config, data_dir).as_dataset(split)
  return [examples.to_problem(e) for e in dataset.as_numpy_iterator()]


def test_prepared_problems_are_those_of_the_source(tmp_path):
  ids = [12, 11, 1]
  checked = {'test_list': ['assert add(1) > 0', 'assert add(2) == 2']}
  rows = [{**ROW, 'task_id': i} for i in ids[:2]]
  path = write_rows(
    tmp_path / 'rows.jsonl', [*rows, {**ROW, **checked, 'task_id': 1}]
  )
  config = builder.config('mbpp', path=path)
  for split, expected in (
    ('test', ['mbpp/12', 'mbpp/11']),
    ('prompt', ['mbpp/1']),
  ):
    problems = read(config, split, tmp_path)
    assert problems == list(registry.SOURCES['mbpp'].read(split, path, 0))
    assert [problem.id for problem in problems] == expected


def test_a_stale_copy_is_not_read(tmp_path):
  path = write_rows(tmp_path / 'rows.jsonl', [ROW])
  old = builder.config('mbpp', path=path)
  assert len(read(old, 'test', tmp_path)) == 1
  write_rows(tmp_path / 'rows.jsonl', [ROW, {**ROW, 'task_id': 12}])
  new = builder.config('mbpp', path=path)
  assert len(read(new, 'test', tmp_path)) == 2
  seeds = [builder.config('embedded', seed=i).name for i in (0, 0, 1)]
  assert seeds[0] == seeds[1] != seeds[2]


def test_a_bad_row_is_reported_through_the_builder(tmp_path):
  path = write_rows(tmp_path / 'rows.jsonl', [ROW, {}])
  config = builder.config('mbpp', path=path)
  with pytest.raises(
    errors.UserError, match=r"rows.jsonl:2: expected 'task_id'"
  ):
    builder.prepare(config, tmp_path)


def test_a_file_without_problems_is_refused(tmp_path):
  path = tmp_path / 'rows.jsonl.gz'
  path.write_bytes(gzip.compress(b''))
  config = builder.config('mbpp', path=str(path))
  with pytest.raises(errors.UserError, match=r'rows.jsonl.gz: no problems'):
    builder.prepare(config, tmp_path)


def test_an_unknown_source_is_answered_with_the_nearest():
  with pytest.raises(
    errors.UserError, match=r"unknown data source 'mbp' \(did you mean 'mbpp'"
  ):
    builder.config('mbp')


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
  path = write_rows(tmp_path / 'rows.jsonl', [ROW])
  config = builder.config('mbpp', path=path)
  with pytest.raises(errors.UserError, match=f'^{path}: prepared data cannot'):
    builder.prepare(config, path)  # The path is a file.


# Prepares the rows once a line arrives, so that all processes start together.
_PREPARE = """
import sys
from coderl.problems import builder
config = builder.config('mbpp', path=sys.argv[1])
print('ready', flush=True)
sys.stdin.readline()
prepared = builder.prepare(config, sys.argv[2])
print(prepared.info.splits['test'].num_examples)
"""


def test_processes_that_start_together_share_one_preparation(tmp_path):
  rows = [{**ROW, 'task_id': i} for i in range(11, 311)]
  path = write_rows(tmp_path / 'rows.jsonl', rows)
  folder = tmp_path / 'cache'
  processes = [
    subprocess.Popen(
      [sys.executable, '-c', _PREPARE, path, str(folder)],
      env=os.environ,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for _ in range(2)
  ]
  for process in processes:
    assert process.stdout.readline() == 'ready\n'
  for process in processes:
    process.stdin.write('\n')
    process.stdin.flush()
  for process in processes:
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert output.splitlines()[-1] == '300'
  assert len(list(folder.glob('code_problems/*'))) == 1
