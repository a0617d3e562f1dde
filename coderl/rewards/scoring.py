"""Scores rollouts of every kind of prompt: a verdict, then a reward in [0, 1].

GENERATE             programs.score_program
ALIGN                answers.score_inference
REASON, TEST_OUTPUT  answers.score_output
"""

from collections.abc import Mapping, Sequence

from coderl import types
from coderl.rewards import answers, programs, verdicts
from coderl.sandbox import api
from commons import errors


def score(
  rollouts: Sequence[types.Rollout],
  runner: api.Runner,
  *,
  alignment_reward: str = 'paper',
) -> list[types.Rollout]:
  """Returns the rollouts with verdict, reward, scores and executions.

  Args:
    rollouts: sampled responses.
    runner: runs their programs on the tests.
    alignment_reward: the reward of ALIGN answers, a name in answers.REWARDS.

  Raises:
    UserError: there is no such reward.
  """
  if alignment_reward not in answers.REWARDS:
    raise errors.unknown('alignment reward', alignment_reward, answers.REWARDS)
  submissions = [s for s in map(verdicts.submission, rollouts) if s is not None]
  executions = verdicts.verify(submissions, runner)
  verified = dict(zip(submissions, executions, strict=True))
  return score_verified(rollouts, verified, alignment_reward)


def score_verified(
  rollouts: Sequence[types.Rollout],
  verified: Mapping[verdicts.Submission, tuple[api.Execution, ...]],
  alignment_reward: str,
) -> list[types.Rollout]:
  """Scores rollouts whose programs `verdicts.verify` has run already.

  Args:
    rollouts: sampled responses.
    verified: the executions of each of their submissions.
    alignment_reward: the reward of ALIGN answers, a name in answers.REWARDS.
  """
  scored = []
  for rollout in rollouts:
    if rollout.prompt.kind == types.GENERATE:
      submission = verdicts.submission(rollout)
      executions = None if submission is None else verified[submission]
      scored.append(programs.score_program(rollout, executions))
    elif rollout.prompt.kind == types.ALIGN:
      reward = answers.REWARDS[alignment_reward]
      scored.append(answers.score_inference(rollout, reward))
    else:
      scored.append(answers.score_output(rollout))
  return scored
