"""The rewards of answers: on the variables of a run, or on an output.

`alignment.answers` parses and compares an answer; here the comparison becomes
a verdict and a reward.

Compared with the official code (jiangxxxue/CODERLPLUS), an empty answer object
earns nothing.
"""

from collections.abc import Callable
import dataclasses

from coderl import types
from coderl.alignment import answers
from coderl.rewards import verdicts
from coderl.text import replies


def paper(scores: answers.Scores) -> float:
  """R_sem of arXiv 2510.18471: the share of variables inferred right."""
  return scores.variables_right / scores.variables_total


def official(scores: answers.Scores) -> float:
  """The official code's reward: 0.1 for the form + 0.9 x the share of right
  items, which are the output and the variables.
  """
  right = scores.variables_right + scores.output_right
  return 0.1 * scores.form + 0.9 * right / (1 + scores.variables_total)


# Rewards of alignment answers, by name: scores -> a number in [0, 1].
REWARDS: dict[str, Callable[[answers.Scores], float]] = {
  'paper': paper,
  'official': official,
}


def score_inference(
  rollout: types.Rollout, reward: Callable[[answers.Scores], float]
) -> types.Rollout:
  """Fills in the verdict and the reward of an answer to an ALIGN prompt."""
  prompt = rollout.prompt
  reply = replies.read(prompt, rollout.text)
  scores = answers.score_answer(reply, prompt.expected, prompt.targets)
  variables = paper(scores)
  exact = scores.output_right and variables == 1
  return dataclasses.replace(
    rollout,
    passed=exact,
    reward=reward(scores),
    scores={
      'form': float(scores.form),
      'output': float(scores.output_right),
      'variables': variables,
      'exact': float(exact),
    },
  )


def score_output(rollout: types.Rollout) -> types.Rollout:
  """Fills in the verdict and the reward of an answer to REASON or TEST_OUTPUT.

  The value of a call is compared as a value, printed output as text.
  """
  prompt = rollout.prompt
  answer = replies.extract_answer(replies.read(prompt, rollout.text))
  is_value = prompt.kind == types.TEST_OUTPUT and prompt.problem.entry_point
  equal = verdicts.equal_values if is_value else verdicts.equal_outputs
  exact = answer is not None and equal(answer, prompt.expected)
  return dataclasses.replace(
    rollout,
    passed=exact,
    reward=float(exact),
    scores={'form': float(answer is not None), 'exact': float(exact)},
  )
