"""Assertions to tests.

Benchmarks of functions test by assertions. Most compare a call with a literal,
and such a one says which input gives which output: it becomes a call test.
What says more becomes a checker, which sees the program's values and nothing
else of the program.
"""

import ast
import builtins
import warnings

from coderl import types
from coderl.sandbox.tracing import values


def tests_of(
  source: str, entry_point: str, *, context: str = '', setup: str = ''
) -> tuple[types.Test, ...]:
  """Tests of a source of assertions.

  `assert entry_point(...) == LITERAL` becomes a call and the literal's
  canonical text. All other statements become one checker, if they call the
  entry point at all, after the definitions of `context` that they use.

  Args:
    source: assertions, and perhaps other statements.
    entry_point: the function under test.
    context: source whose definitions the assertions may use, and which a
      right program has as well.
    setup: statements to be run before each call, in the program's namespace.
  """
  tree = parse(source)
  assigned = {name for node in tree.body for name in _stored(node)}
  outer = {*definitions(context), *definitions(setup)}
  known = ({*dir(builtins), *outer} - assigned) | {entry_point}
  tests, rest = [], []
  for node in tree.body:
    test = _call_test(node, entry_point, known, setup)
    if test is None:
      rest.append(node)
    else:
      tests.append(test)
  loose = ast.Module(rest, [])
  if entry_point in loaded(loose):
    parts = [*_needed(loose, context, entry_point), setup, ast.unparse(loose)]
    tests.append(types.Test(checker='\n'.join(filter(None, parts))))
  return tuple(tests)


def _call_test(
  node: ast.stmt, entry_point: str, known: set[str], setup: str
) -> types.Test | None:
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
  expected, complete = values.canonical(value, **values.WHOLE)
  if not complete:
    return None
  text = ast.unparse(call)
  # A call is an expression, so statements before it hide in one.
  text = f'(exec({setup!r}), {text})[1]' if setup else text
  return types.Test(call=text, expected=expected)


def parse(source: str) -> ast.Module:
  """Parses without warnings, as of escapes in data that nobody will mend."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    return ast.parse(source)


def loaded(tree: ast.AST) -> set[str]:
  return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def _stored(tree: ast.AST) -> set[str]:
  """Names that are bound somewhere within, parameters included."""
  names = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
  return names | {
    n.id
    for n in ast.walk(tree)
    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
  }


def definitions(source: str) -> dict[str, ast.stmt]:
  """The statements of a module that bind its names."""
  found = {}
  for node in parse(source).body:
    match node:
      case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
        found[name] = node
      case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
        names = [a.asname or a.name.partition('.')[0] for a in aliases]
        found.update(dict.fromkeys(names, node))
      case ast.Assign():
        found.update(dict.fromkeys(sorted(_stored(node)), node))
  return found


def _needed(tree: ast.AST, context: str, entry_point: str) -> list[str]:
  """Sources of the context's definitions that `tree` uses, in their order.

  The entry point's own is left out: it is the program's to define.
  """
  found = definitions(context)
  found.pop(entry_point, None)
  todo, needed = [tree], []
  while todo:
    for name in sorted(loaded(todo.pop())):
      node = found.get(name)
      if node is not None and node not in needed:
        needed.append(node)
        todo.append(node)
  return [ast.unparse(n) for n in sorted(needed, key=lambda n: n.lineno)]
