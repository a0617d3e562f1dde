"""Digests of what decides the examples of a source: its data and its code.

A prepared copy is named by such a digest, so that a copy made from other data
or by other code is never read. The code is that of the modules which the source
uses; comments, docstrings and layout do not count.
"""

import ast
from collections.abc import Iterable
import hashlib
import pathlib
import sys
import types as python_types

from coderl.problems import examples
from coderl.problems.sources import record
from coderl.sandbox.tracing import values

# What readers import of other rooms does not decide how a problem is encoded,
# but for the canonical texts of values.
_DECIDING = ('coderl.problems', values.__name__)


def of_source(
  source: record.Source, files: Iterable[pathlib.Path], seed: int
) -> str:
  """Returns a digest of a source's data, its code and the seed, in hex.

  Args:
    source: the source.
    files: the files that it reads.
    seed: the seed of what it generates.
  """
  digest = hashlib.sha256(f'{source.name} {seed}'.encode())
  for module in modules_of(source):
    code = pathlib.Path(module.__file__).read_text(encoding='utf-8')
    digest.update(f'{module.__name__} {of_code(code)}'.encode())
  for file in files:
    with file.open('rb') as stream:
      digest.update(hashlib.file_digest(stream, 'sha256').digest())
  return digest.hexdigest()


def modules_of(source: record.Source) -> list[python_types.ModuleType]:
  """Returns the modules that decide a source's examples, by name.

  These are the module of its reader, the encoding of examples, and all modules
  of this room that they import, directly or through others.
  """
  unread = [sys.modules[source.read.__module__], examples]
  modules = {}
  while unread:
    module = unread.pop()
    if module.__name__ not in modules:
      modules[module.__name__] = module
      unread += [m for m in vars(module).values() if _decides(m)]
  return [modules[name] for name in sorted(modules)]


def of_code(code: str) -> str:
  """Returns a digest of code that ignores comments, docstrings and layout."""
  tree = ast.parse(code)
  documented = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
  )  # fmt: skip
  for node in ast.walk(tree):
    if isinstance(node, documented) and ast.get_docstring(node) is not None:
      del node.body[0]
  return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _decides(value: object) -> bool:
  """Returns whether the value is a module that decides examples."""
  if not isinstance(value, python_types.ModuleType) or value is record:
    return False
  name = f'{value.__name__}.'
  return any(name.startswith(f'{prefix}.') for prefix in _DECIDING)
