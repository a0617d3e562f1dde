"""Rewards: programs by their tests, inferences by what the run gave.

In order: `judge` runs programs on their tests in two batches, the first test
of all and then the remaining tests of those that passed it; `score` turns
rollouts into rewards in [0, 1].

Against the official code (jiangxxxue/CODERLPLUS): equal programs run once; a
failure of the sandbox masks a row where there it counts as a failed program;
values of calls are compared as plain data of exact built-in types, so that no
object of the program's own takes part in its judgement; and an empty answer
object earns nothing.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses

from coderl import types
from coderl.alignment import answers, tasks
from coderl.sandbox import api
from coderl.sandbox.tracing import values
from coderl.text import prompts

# A problem and the source of a program.
Item = tuple[types.Problem, str]

_WIDEST = 64  # Times as long as another text of an equal value, about.


def paper(scores: answers.Scores) -> float:
  """R_sem of arXiv 2510.18471: the share of variables inferred right."""
  return scores.variables_right / scores.variables_total


def official(scores: answers.Scores) -> float:
  """The official code's: 0.1 for the form, 0.9 x the share of right items.

  The items are the output and the variables.
  """
  right = scores.variables_right + scores.output_right
  return 0.1 * scores.form + 0.9 * right / (1 + scores.variables_total)


# Of alignment answers, by name.
REWARDS: dict[str, Callable[[answers.Scores], float]] = {
  'paper': paper,
  'official': official,
}


def score(
  rollouts: Sequence[types.Rollout],
  box: api.Runner,
  *,
  alignment_reward: str = 'paper',
) -> list[types.Rollout]:
  """The rollouts with reward, scores, executions and masked filled in.

  GENERATE: 1 where every test passed, else 0; scores 'passed', 'has_program'.
  ALIGN: by `alignment_reward`; scores 'form', 'output', 'variables', 'exact'.
  REASON, TEST_OUTPUT: 1 where the boxed answer is what is expected; scores
    'form', 'exact'.

  Args:
    rollouts: sampled responses.
    box: runs the programs.
    alignment_reward: one of REWARDS.
  """
  if alignment_reward not in REWARDS:
    raise ValueError(
      f'alignment reward {alignment_reward!r} is not one of {sorted(REWARDS)}'
    )
  items = [i for i in map(item, rollouts) if i is not None]
  judged = dict(zip(items, judge(items, box), strict=True))
  return score_judged(rollouts, judged, alignment_reward)


def score_judged(
  rollouts: Sequence[types.Rollout],
  judged: Mapping[Item, tuple[api.Execution, ...]],
  alignment_reward: str,
) -> list[types.Rollout]:
  """As `score`, where `judge` has been; see there.

  Args:
    rollouts: sampled responses.
    judged: executions of each `item` of theirs.
    alignment_reward: one of REWARDS.
  """
  scored = []
  for rollout in rollouts:
    if rollout.prompt.kind == types.GENERATE:
      program = item(rollout)
      executions = judged[program] if program is not None else ()
      scored.append(_score_program(rollout, executions, program is not None))
    elif rollout.prompt.kind == types.ALIGN:
      scored.append(_score_alignment(rollout, REWARDS[alignment_reward]))
    else:
      scored.append(_score_answer(rollout))
  return scored


def judge(
  items: Sequence[Item], box: api.Runner
) -> list[tuple[api.Execution, ...]]:
  """Runs programs on their problems' tests and gives the verdicts.

  Args:
    items: problems and sources of programs; equal items run once.
    box: runs the programs, in two batches.

  Returns:
    For each item, one execution a test in the tests' order: the first test's
    alone where that failed, else all. A finished run's status has become
    PASSED or WRONG_ANSWER.
  """
  first = {(problem, source): problem.tests[:1] for problem, source in items}
  executions = _run(first, box)
  rest = {
    (problem, source): problem.tests[1:]
    for (problem, source), ran in executions.items()
    if ran[0].status is api.Status.PASSED
  }
  for item, ran in _run(rest, box).items():
    executions[item] += ran
  return [executions[item] for item in items]


def verdict(test: types.Test, execution: api.Execution) -> api.Execution:
  """A finished run's status becomes PASSED or WRONG_ANSWER.

  Printed text compares without trailing white space of lines and of the
  whole; values compare as Python compares built-in ones, 1 == 1.0 == True.
  """
  if execution.status is not api.Status.FINISHED:
    return execution
  if test.checker is not None:
    right = execution.value == 'True'
  elif test.call is not None:
    right = _equal_values(execution.value, test.expected)
  else:
    right = _equal_outputs(execution.stdout, test.expected)
  status = api.Status.PASSED if right else api.Status.WRONG_ANSWER
  return dataclasses.replace(execution, status=status)


def _run(
  tests: dict[tuple[types.Problem, str], tuple[types.Test, ...]],
  box: api.Runner,
) -> dict[tuple[types.Problem, str], tuple[api.Execution, ...]]:
  """The given tests of each item, run in one batch and judged."""
  runs = [
    (item, test, _program(*item, test))
    for item, item_tests in tests.items()
    for test in item_tests
  ]
  executions = box.run([program for _, _, program in runs]) if runs else []
  judged = dict.fromkeys(tests, ())
  for (item, test, _), execution in zip(runs, executions, strict=True):
    judged[item] += (verdict(test, execution),)
  return judged


def _program(
  problem: types.Problem, source: str, test: types.Test
) -> api.Program:
  return api.Program(
    source=tasks.whole_program(problem, source),
    stdin=test.stdin,
    call=test.call,
    checker=test.checker,
    entry_point=problem.entry_point,
  )


def item(rollout: types.Rollout) -> Item | None:
  """The program that a rollout is, with its problem; None where it is none."""
  if rollout.prompt.kind != types.GENERATE:
    return None
  source = prompts.read(rollout.prompt, rollout.text)
  return None if source is None else (rollout.prompt.problem, source)


def _score_program(
  rollout: types.Rollout,
  executions: tuple[api.Execution, ...],
  has_program: bool,
) -> types.Rollout:
  statuses = [execution.status for execution in executions]
  tests = len(rollout.prompt.problem.tests)
  passed = float(statuses == [api.Status.PASSED] * tests)
  return dataclasses.replace(
    rollout,
    reward=passed,
    scores={'passed': passed, 'has_program': float(has_program)},
    masked=api.Status.SANDBOX_FAILURE in statuses,
    executions=executions,
  )


def _score_alignment(
  rollout: types.Rollout, reward: Callable[[answers.Scores], float]
) -> types.Rollout:
  prompt = rollout.prompt
  reply = prompts.read(prompt, rollout.text)
  scores = answers.score_answer(reply, prompt.expected, prompt.targets)
  variables = paper(scores)
  return dataclasses.replace(
    rollout,
    reward=reward(scores),
    scores={
      'form': float(scores.form),
      'output': float(scores.output_right),
      'variables': variables,
      'exact': float(scores.output_right and variables == 1),
    },
  )


def _score_answer(rollout: types.Rollout) -> types.Rollout:
  """A call's value is compared as a value, what is printed as text."""
  prompt = rollout.prompt
  answer = prompts.extract_answer(prompts.read(prompt, rollout.text))
  is_value = prompt.kind == types.TEST_OUTPUT and prompt.problem.entry_point
  equal = _equal_values if is_value else _equal_outputs
  exact = float(answer is not None and equal(answer, prompt.expected))
  return dataclasses.replace(
    rollout,
    reward=exact,
    scores={'form': float(answer is not None), 'exact': exact},
  )


def _equal_outputs(given: str, expected: str) -> bool:
  return answers.normalise(given) == answers.normalise(expected)


def _equal_values(given: str | None, expected: str) -> bool:
  # A longer text stands for no equal value, but takes its time to compare: a
  # number may be 1e+300 here and 301 digits there, and that is the widest.
  if given is None or len(given) > _WIDEST * (len(expected) + _WIDEST):
    return False
  return values.equal_text(given, expected)
