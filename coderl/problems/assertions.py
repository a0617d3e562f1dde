"""Converts assertions to tests.

Benchmarks of functions use assertions as tests. Most assertions compare a call
with a literal, so that the input and the output are known: these become call
tests. All others become a checker, which sees the values that the program
returns, but not the program.
"""

import ast
import builtins
import warnings

from coderl import types
from coderl.sandbox.tracing import values


def tests_of(
  source: str, entry_point: str, *, context: str = '', setup: str = ''
) -> tuple[types.Test, ...]:
  """Returns the tests that a source of assertions contains.

  `assert entry_point(...) == LITERAL` becomes a call and the literal's
  canonical text. All other statements become one checker, provided that they
  call the entry point. The checker begins with the definitions of `context`
  that it uses.

  Args:
    source: assertions and possibly other statements.
    entry_point: the function under test.
    context: source with definitions that the assertions may use, and that a
      correct program has as well.
    setup: statements that run before each call, in the program's namespace.
  """
  tree = parse(source)
  assigned = {name for node in tree.body for name in _stored(node)}
  outer = {*definitions(context), *definitions(setup)}
  known = ({*dir(builtins), *outer} - assigned) | {entry_point}
  tests, others = [], []
  for node in tree.body:
    test = _call_test(node, entry_point, known, setup)
    if test is None:
      others.append(node)
    else:
      tests.append(test)
  checks = ast.Module(others, [])
  if entry_point in loaded(checks):
    parts = [*_needed(checks, context, entry_point), setup, ast.unparse(checks)]
    tests.append(types.Test(checker='\n'.join(filter(None, parts))))
  return tuple(tests)


def _call_test(
  node: ast.stmt, entry_point: str, known: set[str], setup: str
) -> types.Test | None:
  """Returns the call test of a statement, or None if it is not one.

  Its arguments may use only `known` names and names that they bind.
  """
  match node:
    case ast.Assert(
      test=ast.Compare(
        left=ast.Call(func=ast.Name(id=name)) as call,
        ops=[ast.Eq()],
        comparators=[literal],
      )
    ) if name == entry_point and loaded(call) - _stored(call) <= known:
      pass
    case _:
      return None
  try:
    value = ast.literal_eval(literal)
  except (ValueError, TypeError):
    return None
  expected, complete = values.canonical(value, **values.CALL_LIMITS)
  if not complete:
    return None
  text = ast.unparse(call)
  # A call has to be one expression, so exec runs the setup within it.
  text = f'(exec({setup!r}), {text})[1]' if setup else text
  return types.Test(call=text, expected=expected)


def parse(source: str) -> ast.Module:
  """Parses a module; drops warnings, such as those on escapes in the data."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    return ast.parse(source)


def loaded(tree: ast.AST) -> set[str]:
  """Returns all names that occur within, other than those of attributes."""
  return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def _stored(tree: ast.AST) -> set[str]:
  """Returns the names that are bound within, including parameters."""
  names = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
  return names | {
    n.id
    for n in ast.walk(tree)
    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
  }


def definitions(source: str) -> dict[str, ast.stmt]:
  """Returns the names that a module binds, each with its last statement."""
  statements = {}
  for node in parse(source).body:
    match node:
      case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
        statements[name] = node
      case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
        names = [a.asname or a.name.partition('.')[0] for a in aliases]
        statements.update(dict.fromkeys(names, node))
      case ast.Assign():
        statements.update(dict.fromkeys(sorted(_stored(node)), node))
  return statements


def _needed(tree: ast.AST, context: str, entry_point: str) -> list[str]:
  """Returns the definitions of the context that `tree` uses, as source.

  They keep the order of the context. The entry point is left out, because the
  program defines it.
  """
  statements = definitions(context)
  statements.pop(entry_point, None)
  unread, needed = [tree], []
  while unread:
    for name in sorted(loaded(unread.pop())):
      node = statements.get(name)
      if node is not None and node not in needed:
        needed.append(node)
        unread.append(node)
  return [ast.unparse(n) for n in sorted(needed, key=lambda n: n.lineno)]
