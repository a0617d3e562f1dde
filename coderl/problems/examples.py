"""Problems as examples of a tfds data set, and back.

An example is a mapping with the FIELDS of a problem. None is stored as ''.
"""

from collections.abc import Mapping
from typing import Any

from coderl import types

TEST_FIELDS = ('stdin', 'expected', 'call', 'checker')
TEXT_FIELDS = (
  'id', 'statement', 'entry_point', 'prefix', 'reference', 'source'
)  # fmt: skip
FIELDS = (*TEXT_FIELDS, 'tests', 'level')


def to_example(problem: types.Problem) -> dict[str, Any]:
  """Returns the example of a problem, to be encoded by tfds."""
  tests = [
    {field: getattr(test, field) or '' for field in TEST_FIELDS}
    for test in problem.tests
  ]
  texts = {field: getattr(problem, field) or '' for field in TEXT_FIELDS}
  return {**texts, 'tests': tests, 'level': problem.level}


def to_problem(example: Mapping[str, Any]) -> types.Problem:
  """Returns the problem of an example as tfds reads it, with texts as bytes."""
  texts = {field: example[field].decode() for field in TEXT_FIELDS}
  columns = [[t.decode() for t in example['tests'][f]] for f in TEST_FIELDS]
  tests = tuple(
    types.Test(stdin, expected, call or None, checker or None)
    for stdin, expected, call, checker in zip(*columns, strict=True)
  )
  for field in ('entry_point', 'reference'):
    texts[field] = texts[field] or None
  return types.Problem(tests=tests, level=int(example['level']), **texts)
