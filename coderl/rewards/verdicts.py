"""Verdicts: what a problem's tests say about a program.

`verify` runs programs on the tests of their problems, in two batches: first
the first test of every program, then the remaining tests of the programs that
passed it.

Compared with the official code (jiangxxxue/CODERLPLUS), equal programs run
once, and the values of calls are compared as plain data of exact built-in
types, so that no object of the program takes part in its own verification.
"""

from collections.abc import Mapping, Sequence
import dataclasses

from coderl import types
from coderl.alignment import answers
from coderl.sandbox import api
from coderl.sandbox.tracing import values
from coderl.text import replies

# A problem and the source of a program for it, without the problem's prefix.
Submission = tuple[types.Problem, str]

# Equal values differ in the length of their texts by at most about this factor:
# a number may be written as 1e+300 or with 301 digits.
_MAX_LENGTH_RATIO = 64


def submission(rollout: types.Rollout) -> Submission | None:
  """Returns the program that a rollout submits.

  None for a reply without a program and for a prompt that asks for none.
  """
  if rollout.prompt.kind != types.GENERATE:
    return None
  source = replies.read(rollout.prompt, rollout.text)
  return None if source is None else (rollout.prompt.problem, source)


def verify(
  submissions: Sequence[Submission], runner: api.Runner
) -> list[tuple[api.Execution, ...]]:
  """Runs programs on their problems' tests and gives the verdicts.

  Args:
    submissions: problems and programs; equal ones run once.
    runner: runs the programs, in two batches.

  Returns:
    For each submission, one execution per test in the tests' order; only that
    of the first test if the program failed it. A finished execution has the
    status PASSED or WRONG_ANSWER.
  """
  first_tests = {s: s[0].tests[:1] for s in submissions}
  executions = _run_tests(first_tests, runner)
  other_tests = {
    s: s[0].tests[1:]
    for s, (execution,) in executions.items()
    if execution.status is api.Status.PASSED
  }
  for s, remaining in _run_tests(other_tests, runner).items():
    executions[s] += remaining
  return [executions[s] for s in submissions]


def passed(problem: types.Problem, executions: Sequence[api.Execution]) -> bool:
  """Returns whether a program was run on all tests and passed them."""
  statuses = [execution.status for execution in executions]
  return statuses == [api.Status.PASSED] * len(problem.tests)


def verdict(test: types.Test, execution: api.Execution) -> api.Execution:
  """Replaces the status of a finished execution by PASSED or WRONG_ANSWER.

  Printed text is compared without the white space that ends lines or the
  text; values are compared as Python compares built-in ones: 1 == 1.0 == True.
  """
  if execution.status is not api.Status.FINISHED:
    return execution
  if test.checker is not None:
    right = execution.value == 'True'
  elif test.call is not None:
    right = equal_values(execution.value, test.expected)
  else:
    right = equal_outputs(execution.stdout, test.expected)
  status = api.Status.PASSED if right else api.Status.WRONG_ANSWER
  return dataclasses.replace(execution, status=status)


def equal_outputs(output: str, expected: str) -> bool:
  """Compares printed texts without their trailing white space."""
  return answers.normalise(output) == answers.normalise(expected)


def equal_values(text: str | None, expected: str) -> bool:
  """Compares two canonical texts of values; None equals nothing."""
  # A text of much greater length cannot be equal, but is slow to compare.
  if text is None:
    return False
  if len(text) > _MAX_LENGTH_RATIO * (len(expected) + _MAX_LENGTH_RATIO):
    return False
  return values.equal_text(text, expected)


def _run_tests(
  tests: Mapping[Submission, Sequence[types.Test]], runner: api.Runner
) -> dict[Submission, tuple[api.Execution, ...]]:
  """Runs each submission on its tests, all in one batch."""
  runs = [(s, test) for s in tests for test in tests[s]]
  programs = [_program(*s, test) for s, test in runs]
  executions = runner.run(programs) if programs else []
  verdicts = dict.fromkeys(tests, ())
  for (s, test), execution in zip(runs, executions, strict=True):
    verdicts[s] += (verdict(test, execution),)
  return verdicts


def _program(
  problem: types.Problem, source: str, test: types.Test
) -> api.Program:
  return api.Program(
    source=replies.whole_program(problem, source),
    stdin=test.stdin,
    call=test.call,
    checker=test.checker,
    entry_point=problem.entry_point,
  )
