"""Variable inference: the policy infers the last variables of a traced run.

The run is the problem's reference solution on its first test. Two more figures
tell a gain in notation from a gain in understanding: the share of answers that
can be parsed at all, and the share of right variables where answers in Python's
notation are accepted beside those in JSON.
"""

from collections.abc import Sequence

from coderl import types
from coderl.alignment import answers, tasks
from coderl.evaluators import inputs
from coderl.rewards import answers as rewards
from coderl.text import replies

NAME = 'variable inference'
ANSWER_FORM = 'answer form'
ANY_NOTATION = 'in any notation'


def prompts(source: inputs.Inputs) -> list[types.Prompt]:
  """Returns one prompt per reference run that asks for its variables."""
  candidates = [
    tasks.to_prompt(
      task,
      problem,
      source.tokenizer,
      style=source.style,
      max_prompt_len_tokens=source.max_prompt_len_tokens,
    )
    for problem, task in source.reference_runs
  ]
  return [prompt for prompt in candidates if prompt is not None]


def scores(rollouts: Sequence[types.Rollout]) -> dict[str, list[float]]:
  """Returns three scores per rollout, by figure; {} where there are none.

  Each score is in [0, 1]: the share of variables inferred right, 1 where the
  answer can be parsed, and the share right in any notation.
  """
  if not rollouts:
    return {}
  return {
    NAME: [r.scores['variables'] for r in rollouts],
    ANSWER_FORM: [r.scores['form'] for r in rollouts],
    ANY_NOTATION: [score_in_any_notation(r) for r in rollouts],
  }


def score_in_any_notation(r: types.Rollout) -> float:
  """Returns the share of variables right, read as JSON or as Python."""
  reply = answers.as_json(replies.read(r.prompt, r.text))
  return rewards.paper(
    answers.score_answer(reply, r.prompt.expected, r.prompt.targets)
  )
