"""The names that a scope binds are found with their last lines."""

import pytest

from coderl.sandbox.tracing import bytecode


def _function(body):
  """Returns the code of a function `f` with this body, from line 2 on."""
  source = 'def f(a):\n' + ''.join(f'  {line}\n' for line in body)
  module = compile(source, '<program>', 'exec')
  return bytecode.ScopeCode(module.co_consts[0])


@pytest.mark.parametrize(
  ('body', 'last_lines'),
  [
    (['b = 1', 'b = 2'], {'a': 1, 'b': 3}),
    (['a = 1'], {'a': 2}),
    (['for b in a: pass', 'c = b'], {'a': 1, 'b': 2, 'c': 3}),
    (['b, *c = a'], {'a': 1, 'b': 2, 'c': 2}),
    (['b = [c for c in a]'], {'a': 1, 'b': 2}),
    (['b = [(c := d) for d in a]'], {'a': 1, 'b': 2, 'c': 2}),
    (['import math', 'def g(): pass'], {'a': 1}),
    (['global b', 'b = 1'], {'a': 1}),
    (['__b = 1'], {'a': 1}),
  ],
)
def test_last_lines(body, last_lines):
  assert _function(body).last_lines == last_lines


def test_global_names_are_listed_apart():
  code = _function(['global b', 'b = 1', 'b = 2'])
  assert code.global_lines == {'b': 4}


@pytest.mark.parametrize(
  ('line', 'names'),
  [
    ('b = 1', {'b'}),
    ('b = c = a', {'b', 'c'}),
    ('a and (b := 1)', set()),
    ('b = 1 if a else 2', {'b'}),
    ('b = (c := a) or 1', {'b', 'c'}),
    ('b = 1; del b', set()),
  ],
)
def test_names_that_every_path_through_a_line_binds(line, names):
  source = f'def f(a):\n  {line}\n  return a\n'
  function = compile(source, '<program>', 'exec').co_consts[0]
  starts = {
    line: start // 2 for start, _, line in reversed([*function.co_lines()])
  }
  code = bytecode.ScopeCode(function)
  assert code.always_bound(starts[2], starts[3]) == names
