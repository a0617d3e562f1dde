"""Reference programs with input generators, after CodeI/O (arXiv 2502.07316).

Reads the rows that the package reasoning-gym contains. A row has a program and
a function that generates its inputs; the tests are calls with generated inputs
and the outputs of the program. Every tenth row is held out.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coderl import types
from coderl.problems import readers
from coderl.problems.sources import record
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values

_INPUTS = 3  # Inputs generated for each program.
_BATCH = 64  # Programs that run at a time.
_IMPORTS = 'from random import Random\n'  # Input generators rely on it.
_FIELDS = dict.fromkeys(
  ('task_description', 'input_output_spec', 'code_sample', 'input_generator'),
  str,
)

# The number of a row's line, from 1 up, and the row.
Row = tuple[int, Mapping[str, Any]]


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the problems of a split; `seed` seeds the inputs of the tests."""
  rows = [
    (number, row)
    for number, _, row in readers.json_rows(path, _FIELDS)
    if (number % 10 == 0) == (split == 'heldout')
  ]
  with sandbox.Sandbox() as runner:
    for start in range(0, len(rows), _BATCH):
      yield from _problems(runner, rows[start : start + _BATCH], seed)


def _problems(
  runner: sandbox.Sandbox, rows: Sequence[Row], seed: int
) -> Iterator[types.Problem]:
  """Yields problems for the programs with plain, repeatable outputs.

  Each call runs twice. Programs that need more than the standard library fail
  and are left out.
  """
  tests = _tests(runner, rows, seed)
  for number, row in rows:
    if tests[number]:
      yield types.Problem(
        id=f'codeio/{number}',
        statement=f'{row["task_description"]}\n\n{row["input_output_spec"]}',
        tests=tuple(tests[number]),
        entry_point='main_solution',
        reference=row['code_sample'],
        source='codeio',
        level=int(row.get('difficulty', 0)),
      )


def _tests(
  runner: sandbox.Sandbox, rows: Sequence[Row], seed: int
) -> Mapping[int, list[types.Test]]:
  """Returns the tests of each row, by its number."""
  generators = [
    (number, row, f'generate_inputs(Random("{seed}/{number}/{i}"))')
    for number, row in rows
    for i in range(_INPUTS)
  ]
  arguments = _values(
    runner,
    [
      (f'{_IMPORTS}{row["code_sample"]}\n\n{row["input_generator"]}', call)
      for _, row, call in generators
    ],
  )
  cases = {
    (number, f'main_solution(**{text})'): row['code_sample']
    for (number, row, _), text in zip(generators, arguments, strict=True)
    if text is not None
  }
  runs = [(program, call) for (_, call), program in cases.items()]
  tests = collections.defaultdict(list)
  for (number, call), output, repeated in zip(
    cases, _values(runner, runs), _values(runner, runs), strict=True
  ):
    if output is not None and output == repeated:
      tests[number].append(types.Test(call=call, expected=output))
  return tests


def _values(
  runner: sandbox.Sandbox, runs: Sequence[tuple[str, str]]
) -> list[str | None]:
  """Evaluates calls after their programs, given as (program, call).

  Returns the canonical texts of the values; None for a run that failed or a
  value that is not plain data.
  """
  executions = runner.run([sandbox.Program(s, call=call) for s, call in runs])
  return [_plain_value(execution) for execution in executions]


def _plain_value(execution: sandbox.Execution) -> str | None:
  if execution.status != sandbox.Status.FINISHED or execution.value is None:
    return None
  try:
    values.parse(execution.value)
  except ValueError:
    return None
  return execution.value


SOURCE = record.Source(
  'codeio',
  ('train', 'heldout'),
  read,
  record.Data('reasoning_gym', 'data/codeio.jsonl.gz'),
)
