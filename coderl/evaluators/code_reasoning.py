"""Code reasoning: the policy predicts what a given program prints.

The program is the problem's reference solution, the input its first test.
"""

from collections.abc import Sequence

from coderl import types
from coderl.alignment import tasks
from coderl.evaluators import inputs
from coderl.text import prompts as prompts_lib

NAME = 'code reasoning'


def prompts(source: inputs.Inputs) -> list[types.Prompt]:
  """Returns one prompt per reference run that asks for its output."""
  return [
    _prompt(problem, task, source) for problem, task in source.reference_runs
  ]


def _prompt(
  problem: types.Problem, task: tasks.AlignmentTask, source: inputs.Inputs
) -> types.Prompt:
  prompt, _ = prompts_lib.make(
    types.REASON,
    prompts_lib.reasoning(task.program, task.stdin, source.style),
    problem,
    source.tokenizer,
    source.style,
    program=task.program,
    stdin=task.stdin,
    expected=task.expected,
  )
  return prompt


def scores(rollouts: Sequence[types.Rollout]) -> dict[str, list[float]]:
  """Returns 1 for each predicted output that is the real one, else 0."""
  return {NAME: [float(r.passed) for r in rollouts]}
