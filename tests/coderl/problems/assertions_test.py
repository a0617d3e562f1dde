"""Assertions become call tests where possible, else one checker."""

import pytest

from coderl import types
from coderl.problems import assertions
from coderl.sandbox import sandbox


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
def test_any_other_assertion_is_a_checker(source):
  assert assertions.tests_of(source, 'f') == (types.Test(checker=source),)


def test_a_checker_has_the_definitions_it_uses_but_not_the_entry_point():
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


def test_statements_that_do_not_call_the_entry_point_are_no_test():
  assert not assertions.tests_of('assert True\nprint("ok")', 'f')


def test_a_name_assigned_by_the_test_is_not_the_builtin():
  source = 'str = 1\nassert f(str) == 1'
  assert assertions.tests_of(source, 'f') == (types.Test(checker=source),)


def test_setup_runs_in_the_namespace_of_the_program():
  source = 'assert f(root) == 7'
  (test,) = assertions.tests_of(source, 'f', setup="root = Node('7')")
  program = (
    'class Node:\n  def __init__(self, x):\n    self.x = x\n'
    'def f(node):\n  return int(node.x)'
  )
  with sandbox.Sandbox(workers=1) as runner:
    right, wrong = runner.run(
      [
        sandbox.Program(p, call=test.call, entry_point='f')
        for p in (program, program.replace('int', 'str'))
      ]
    )
  assert (right.value, wrong.value) == (test.expected, "'7'")
