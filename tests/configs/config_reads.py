"""Finds the fields of a config that a program reads, from its source.

The analysis is static. The config enters at `run(config, workdir)`, and its
sections are followed through assignments, arguments, attributes of objects and
results of functions, over all project modules that the program imports.

A field counts as read where it is an attribute or a constant subscript of its
section, or where `**section` meets a parameter or dataclass field of its name.
Where `**section` meets `**settings`, or where a subscript is a variable, the
fields that are strings in the constants of that module count as read.
"""

import ast
import collections
from collections.abc import Iterator
import functools
import pathlib

_ROOT = pathlib.Path(__file__).parent.parent.parent
_PACKAGES = ('coderl', 'wm_abench', 'commons')
# Methods of a config that return the config, or all of it.
_SAME = ('copy_and_resolve_references', 'to_dict', 'unlocked')
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Path = tuple[str, ...]  # Names from the root of the config to a field.


@functools.cache
def reads(program: str) -> set[Path]:
  """Returns the paths of all fields and sections that the program reads.

  Args:
    program: the dotted name of a module with `run(config, workdir)`.
  """
  analysis = _Analysis(program)
  while analysis.advance():
    pass
  return analysis.reads


def unread(tree: dict, read: set[Path], path: Path = ()) -> list[str]:
  """Returns the dotted names of the fields of a config that are not read."""
  names = []
  for key, value in tree.items():
    field = (*path, key)
    if isinstance(value, dict) and value:
      names += unread(value, read, field)
    elif field not in read:
      names.append('.'.join(field))
  return names


@functools.cache
def _parse(name: str) -> ast.Module:
  path = _ROOT / f'{name.replace(".", "/")}.py'
  return ast.parse(path.read_text(encoding='utf-8'))


def _exists(name: str) -> bool:
  return (
    name.partition('.')[0] in _PACKAGES
    and (_ROOT / f'{name.replace(".", "/")}.py').is_file()
  )


class _Module:
  """The definitions of a module, by name, and the modules it imports."""

  def __init__(self, name: str):
    tree = _parse(name)
    self.name, self.body = name, tree.body
    self.definitions = {
      node.name: node
      for node in tree.body
      if isinstance(node, (*_FUNCTIONS, ast.ClassDef))
    }
    self.imports: dict[str, str] = {}
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          full = f'{node.module}.{alias.name}'
          if _exists(full):
            self.imports[alias.asname or alias.name] = full
    self.constants = {
      leaf.value
      for node in tree.body
      if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
      for leaf in ast.walk(node.value)
      if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    }


def _closure(program: str) -> dict[str, _Module]:
  """Returns the program's module and all that it imports, directly or not."""
  modules, names = {}, [program]
  while names:
    name = names.pop()
    if name not in modules:
      modules[name] = _Module(name)
      names += modules[name].imports.values()
  return modules


def _parameters(definition: ast.AST) -> list[str]:
  """Returns the parameters of a function, or the fields of a class."""
  if isinstance(definition, ast.ClassDef):
    for node in definition.body:
      if isinstance(node, ast.FunctionDef) and node.name == '__init__':
        return _parameters(node)[1:]
    return [
      node.target.id
      for node in definition.body
      if isinstance(node, ast.AnnAssign)
    ]
  a = definition.args
  return [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]


class _Analysis:
  """A fixed point over the assignments of paths to names.

  Attributes:
    reads: paths that are read.
    variables: (function, name) -> paths.
    attributes: attribute of any object -> paths.
    results: function -> paths.
  """

  def __init__(self, program: str):
    self.modules = _closure(program)
    self.reads: set[Path] = set()
    self.variables = collections.defaultdict(set)
    self.attributes = collections.defaultdict(set)
    self.results = collections.defaultdict(set)
    self.methods = collections.defaultdict(list)
    for module in self.modules.values():
      for node in module.definitions.values():
        if isinstance(node, ast.ClassDef):
          for method in node.body:
            if isinstance(method, _FUNCTIONS):
              self.methods[method.name].append((module, method))
    run = self.modules[program].definitions['run']
    self.variables[run, run.args.args[0].arg].add(())

  def advance(self) -> bool:
    """Visits all functions once; returns whether anything new was found."""
    before = self._size()
    for module in self.modules.values():
      for node in module.body:
        self._visit(node, module, (node,))
    return self._size() > before

  def _size(self) -> int:
    tables = (self.variables, self.attributes, self.results)
    return len(self.reads) + sum(
      len(paths) for table in tables for paths in table.values()
    )

  def _visit(self, node: ast.AST, module: _Module, scopes: tuple) -> None:
    """Evaluates everything below a node.

    Args:
      node: a statement or an expression.
      module: the module that holds it.
      scopes: the functions around it, the innermost last.
    """
    if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
      scopes = (*scopes, node)
    if isinstance(node, ast.Assign):
      for target in node.targets:
        self._assign(target, node.value, module, scopes)
    elif isinstance(node, ast.Return) and node.value:
      self.results[scopes[-1]] |= self._paths(node.value, module, scopes)
    elif isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
      self._paths(node, module, scopes)
    for child in ast.iter_child_nodes(node):
      self._visit(child, module, scopes)

  def _assign(self, target, value, module, scopes) -> None:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
      for pair in zip(target.elts, value.elts, strict=True):
        self._assign(*pair, module, scopes)
      return
    paths = self._paths(value, module, scopes)
    if isinstance(target, ast.Name):
      self.variables[scopes[-1], target.id] |= paths
    elif isinstance(target, ast.Attribute) and paths:
      self.attributes[target.attr] |= paths

  def _paths(self, node: ast.AST, module: _Module, scopes) -> set[Path]:
    """Returns the fields and sections that an expression may be."""
    of = lambda child: self._paths(child, module, scopes)
    if isinstance(node, ast.Name):
      return set().union(*(self.variables[s, node.id] for s in scopes))
    if isinstance(node, ast.Attribute):
      parents = of(node.value)
      if parents:
        return self._read(parents, [node.attr])
      # A property counts as an attribute of its name.
      return self.attributes[node.attr].union(
        *(self.results[method] for _, method in self.methods[node.attr])
      )
    if isinstance(node, ast.Subscript):
      if isinstance(node.slice, ast.Constant):
        return self._read(of(node.value), [node.slice.value])
      return self._read(of(node.value), module.constants)
    if isinstance(node, ast.BoolOp):
      return set().union(*map(of, node.values))
    if isinstance(node, ast.IfExp):
      return of(node.body) | of(node.orelse)
    if isinstance(node, ast.Call):
      return self._call(node, module, scopes)
    return set()

  def _read(self, parents: set[Path], names) -> set[Path]:
    fields = {(*parent, name) for parent in parents for name in names}
    self.reads |= fields
    return fields

  def _call(self, node: ast.Call, module: _Module, scopes) -> set[Path]:
    """Binds the arguments of a call; returns the results of what it calls."""
    of = lambda child: self._paths(child, module, scopes)
    function, args = node.func, list(node.args)
    if isinstance(function, ast.Attribute):
      parents = of(function.value)
      if parents and function.attr in _SAME:
        return parents
      if parents and function.attr in ('get', 'pop') and args:
        return self._read(parents, [getattr(args[0], 'value', '')])
    if getattr(function, 'attr', getattr(function, 'id', '')) == 'partial':
      function, *args = args
    result = set()
    for owner, definition in self._definitions(function, module):
      names = _parameters(definition)
      names = names[1:] if names[:1] in (['self'], ['cls']) else names
      bound = dict(zip(names, args, strict=False))
      bound |= {k.arg: k.value for k in node.keywords if k.arg}
      for name, value in bound.items():
        self._bind(definition, name, of(value))
      for keyword in node.keywords:
        if keyword.arg is None:
          sections = of(keyword.value)
          for name in set(names) - bound.keys():
            self._bind(definition, name, self._read(sections, [name]))
          if getattr(definition, 'args', None) and definition.args.kwarg:
            self._read(sections, owner.constants)
      result |= self.results[definition]
    return result

  def _bind(self, definition, name: str, paths: set[Path]) -> None:
    """Assigns the paths of an argument to a parameter or a field."""
    if isinstance(definition, ast.ClassDef):
      self.attributes[name] |= paths
      for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == '__init__':
          self.variables[node, name] |= paths
    else:
      self.variables[definition, name] |= paths

  def _definitions(
    self, function: ast.AST, module: _Module
  ) -> Iterator[tuple[_Module, ast.AST]]:
    """Yields what a call may call, each with the module that defines it."""
    if isinstance(function, ast.Name):
      if function.id in module.definitions:
        yield module, module.definitions[function.id]
    elif isinstance(function, ast.Attribute):
      name = getattr(function.value, 'id', '')
      if name in module.imports:
        owner = self.modules[module.imports[name]]
        if function.attr in owner.definitions:
          yield owner, owner.definitions[function.attr]
      else:
        yield from self.methods[function.attr]
