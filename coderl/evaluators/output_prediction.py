"""Test output: the policy predicts a test's output from the statement alone."""

from collections.abc import Sequence

from coderl import types
from coderl.evaluators import inputs
from coderl.text import prompts as prompts_lib

NAME = 'test output'


def prompts(source: inputs.Inputs) -> list[types.Prompt]:
  """Returns one prompt per problem that asks for the output of its first test.

  A problem whose first test is a checker has no single expected output and is
  left out.
  """
  return [
    _prompt(problem, problem.tests[0], source)
    for problem in source.problems
    if problem.tests[0].checker is None
  ]


def _prompt(
  problem: types.Problem, test: types.Test, source: inputs.Inputs
) -> types.Prompt:
  test_input = test.call or test.stdin
  prompt, _ = prompts_lib.make(
    types.TEST_OUTPUT,
    prompts_lib.test_output(problem, test_input, source.style),
    problem,
    source.tokenizer,
    source.style,
    stdin=test_input,
    expected=test.expected,
  )
  return prompt


def scores(rollouts: Sequence[types.Rollout]) -> dict[str, list[float]]:
  """Returns 1 for each predicted output that is the expected one, else 0."""
  return {NAME: [float(r.passed) for r in rollouts]}
