"""The reward of a program: 1 if it passes all tests of its problem, else 0."""

from collections.abc import Sequence
import dataclasses

from coderl import types
from coderl.rewards import verdicts
from coderl.sandbox import api


def score_program(
  rollout: types.Rollout, executions: Sequence[api.Execution] | None
) -> types.Rollout:
  """Fills in the verdict and the reward of a rollout that wrote a program.

  A failure of the sandbox masks the rollout: it says nothing about the
  program. The official code (jiangxxxue/CODERLPLUS) counts it as a failed one.

  Args:
    rollout: a reply to a GENERATE prompt.
    executions: those of `verdicts.verify`; None if the reply has no program.
  """
  executions, has_program = tuple(executions or ()), executions is not None
  passed = verdicts.passed(rollout.prompt.problem, executions)
  failures = [e.status is api.Status.SANDBOX_FAILURE for e in executions]
  return dataclasses.replace(
    rollout,
    passed=passed,
    reward=float(passed),
    scores={'passed': float(passed), 'has_program': float(has_program)},
    masked=any(failures),
    executions=executions,
  )
