"""MBPP (arXiv 2108.07732): short functions with three assertions each.

Reads the official mbpp.jsonl, with the official splits by task id.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from coderl import types
from coderl.problems import assertions, readers
from coderl.problems.sources import record

_IDS = {
  'prompt': range(1, 11),
  'test': range(11, 511),
  'validation': range(511, 601),
  'train': range(601, 975),
}
_FIELDS = {
  'task_id': int,
  'text': str,
  'code': str,
  'test_setup_code': str,
  'test_list': list,
}


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the problems of a split in the order of the file."""
  del seed  # Nothing is generated.
  for _, location, row in readers.json_rows(path, _FIELDS):
    if row['task_id'] in _IDS[split]:
      yield readers.checked(location, to_problem, row)


def to_problem(row: Mapping[str, Any]) -> types.Problem:
  """Returns the problem of a row.

  The entry point is the last function of the reference that the tests call. Its
  head is appended to the statement, because the tests are hidden and the text
  names no function.
  """
  code = row['code'].replace('\r\n', '\n')
  setup = row['test_setup_code'].replace('\r\n', '\n')
  tests = '\n'.join(row['test_list'])
  names = assertions.loaded(assertions.parse(tests))
  functions = [
    node
    for name, node in assertions.definitions(code).items()
    if name in names and isinstance(node, ast.FunctionDef)
  ]
  if not functions:
    raise ValueError('a row without tests that call a function of its code')
  function = functions[-1]
  head = f'def {function.name}({ast.unparse(function.args)}):'
  return types.Problem(
    id=f'mbpp/{row["task_id"]}',
    statement=f'{row["text"]}\n\n{head}',
    tests=assertions.tests_of(tests, function.name, context=code, setup=setup),
    entry_point=function.name,
    reference=code,
    source='mbpp',
  )


SOURCE = record.Source('mbpp', tuple(_IDS), read, record.Data())
