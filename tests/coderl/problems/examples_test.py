"""A problem comes back from its example."""

import dataclasses

from coderl import types
from coderl.problems import examples

FULL = types.Problem(
  id='é',
  statement='s',
  tests=(
    types.Test(stdin='1\n', expected='2\n'),
    types.Test(call='f()', expected='3'),
    types.Test(checker='assert f()'),
  ),
  entry_point='f',
  prefix='import re',
  reference='def f(): ...',
  source='here',
  level=3,
)


def decoded(example):
  """Returns an example as tfds reads it: texts as bytes, tests as columns."""
  columns = {
    field: [test[field].encode() for test in example['tests']]
    for field in examples.TEST_FIELDS
  }
  texts = {field: example[field].encode() for field in examples.TEXT_FIELDS}
  return {**texts, 'tests': columns, 'level': example['level']}


def test_a_problem_comes_back():
  bare = types.Problem(id='p', statement='', tests=(types.Test(),))
  for problem in (FULL, bare):
    example = examples.to_example(problem)
    assert examples.to_problem(decoded(example)) == problem


def test_every_field_is_in_the_example():
  fields = [field.name for field in dataclasses.fields(types.Problem)]
  assert sorted(fields) == sorted(examples.FIELDS)
  fields = [field.name for field in dataclasses.fields(types.Test)]
  assert sorted(fields) == sorted(examples.TEST_FIELDS)
