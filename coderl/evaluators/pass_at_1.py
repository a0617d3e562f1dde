"""pass@1: the policy writes a program, and all hidden tests must pass."""

from collections.abc import Sequence
from typing import Any

from coderl import types
from coderl.evaluators import inputs
from coderl.rl import batching

NAME = 'pass@1'


def prompts(source: inputs.Inputs) -> list[types.Prompt]:
  """Returns one prompt per problem that asks for its program."""
  return batching.generation_prompts(
    source.problems,
    source.tokenizer,
    source.style,
    source.max_prompt_len_tokens,
  )


def scores(rollouts: Sequence[types.Rollout]) -> dict[str, list[float]]:
  """Returns 1 for each program that passes all tests of its problem, else 0."""
  return {NAME: [float(r.passed) for r in rollouts]}


def counts(rollouts: Sequence[types.Rollout]) -> dict[str, Any]:
  """Counts the programs that pass, and lists the problems that they solve."""
  solved = [r.prompt.problem.id for r in rollouts if r.passed]
  return {'passed': len(solved), 'n': len(rollouts), 'solved': solved}
