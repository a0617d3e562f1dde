"""Alignment tasks: failed programs, whose execution the policy has to infer.

A program that failed its tests, but ran to its end and printed something, runs
again under the tracer. The policy is then asked for what it prints and for the
values of its last variables (CodeRL+, arXiv 2510.18471). In order: `candidates`
selects failed programs and an input for each, `collect` traces them in one
batch and makes tasks, `to_prompt` makes the prompt of a task. `answers` parses
and scores the reply.

Differences from the official code (jiangxxxue/CODERLPLUS):
  variables: it traces module-level variables only, so code inside functions
    gives none, and takes the last in order of first assignment; here variables
    of every scope have qualified names, and the last assigned are taken.
  values: it makes lossy JSON, with sets in hash order and other types dropped,
    and reads the labels from the program's own stderr; here the labels are the
    tracer's canonical texts.
  inputs: it takes the first test, and none for function problems; here the
    test is drawn, and a line added to the program prints the value of a call.
  duplicates: it keeps one task per (input, output), which drops different
    programs; here one per (program, input), in the order of the rollouts.
"""

import ast
from collections.abc import Sequence
import dataclasses
import hashlib
import re
from typing import NamedTuple
import warnings

import numpy as np

from coderl import types
from coderl.alignment import answers
from coderl.sandbox import api
from coderl.text import prompts, replies, tokenization
from commons import errors

UNPARSABLE = 999  # The complexity of a text that Python cannot parse.

# Statuses of a program that ran to its end.
_RAN_TO_END = (
  api.Status.FINISHED,
  api.Status.PASSED,
  api.Status.WRONG_ANSWER,
)
# The default text of an object, which differs from run to run.
_ADDRESS = re.compile(r'\bat 0x[0-9a-f]{4,}')


@dataclasses.dataclass(frozen=True)
class AlignmentTask:
  """A failed program, an input, and the results of running it.

  Attributes:
    problem_id: the problem that the program was written for.
    program: the source, with the problem's prefix and the line that prints.
    stdin: the input.
    expected: the text that the program prints.
    targets: the variables to infer, in the order of their last assignment.
    complexity: the program's cyclomatic complexity.
    step: the training step that collected the task.
  """

  problem_id: str
  program: str
  stdin: str
  expected: str
  targets: tuple[types.Target, ...]
  complexity: int
  step: int

  @property
  def key(self) -> str:
    """A digest of the program and the input, the same in every process."""
    text = f'{len(self.program)}:{self.program}{self.stdin}'
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()


@dataclasses.dataclass(frozen=True)
class Bounds:
  """Limits on the programs that become tasks, and on the size of a task.

  The defaults of the complexities and of max_variables are the official ones.

  Attributes:
    min_complexity, max_complexity: cyclomatic complexity of the program.
    max_variables: targets per task.
    max_output_chars: length of the printed text, which the policy has to write.
    max_value_chars: length of a value's text, which it has to write as well.

  Raises:
    UserError: a maximum is below its minimum, or a number too small.
  """

  min_complexity: int = 0
  max_complexity: int = 100
  max_variables: int = 3
  max_output_chars: int = 1000
  max_value_chars: int = 200

  def __post_init__(self):
    least = {
      'min_complexity': 0,
      'max_complexity': self.min_complexity,
      'max_variables': 1,
      'max_output_chars': 1,
      'max_value_chars': 1,
    }
    for name, bound in least.items():
      value = getattr(self, name)
      if value < bound:
        raise errors.UserError(
          f'alignment.bounds.{name}={value}: must be {bound} or more'
        )


BOUNDS = Bounds()


class Candidate(NamedTuple):
  """A failed program and an input to trace it on.

  Attributes:
    problem: the problem that the program was written for.
    program: the source, with the problem's prefix and the line that prints.
    stdin: the input.
    stdout: the text it printed for this input when it was verified; None if
      that is unknown.
    complexity: the program's cyclomatic complexity.
  """

  problem: types.Problem
  program: str
  stdin: str
  stdout: str | None
  complexity: int


def complexity(source: str) -> int:
  """Returns the cyclomatic complexity (McCabe) as the official code counts it.

  That is 1 + the number of if, while, for and except + the number of `and` and
  `or` operators. A source that does not parse has UNPARSABLE.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      tree = ast.parse(source)
  except (SyntaxError, ValueError, RecursionError, MemoryError):
    return UNPARSABLE
  branches = (ast.If, ast.While, ast.For, ast.ExceptHandler)
  return 1 + sum(
    len(node.values) - 1
    if isinstance(node, ast.BoolOp)
    else isinstance(node, branches)
    for node in ast.walk(tree)
  )


def candidates(
  rollouts: Sequence[types.Rollout],
  rng: np.random.Generator,
  bounds: Bounds = BOUNDS,
) -> list[Candidate]:
  """Selects failed programs to trace, each with one input.

  The input is drawn from the tests that are not known to crash the program or
  to leave it silent. Tests that it was not run on are included.

  Returns:
    The candidates in the order of the rollouts, without duplicates.
  """
  selected = {}
  for rollout in rollouts:
    problem = rollout.prompt.problem
    failed = not rollout.passed and not rollout.masked
    if rollout.prompt.kind != types.GENERATE or not failed:
      continue
    source = replies.read(rollout.prompt, rollout.text)
    if source is None:
      continue
    cost = complexity(source)
    within = bounds.min_complexity <= cost <= bounds.max_complexity
    if cost == UNPARSABLE or not within:
      continue
    inputs = _inputs(problem, source, rollout.executions)
    if inputs:
      program, stdin, stdout = inputs[rng.integers(len(inputs))]
      candidate = Candidate(problem, program, stdin, stdout, cost)
      selected.setdefault((program, stdin), candidate)
  return list(selected.values())


def collect(
  rollouts: Sequence[types.Rollout],
  runner: api.Runner,
  rng: np.random.Generator,
  *,
  step: int,
  bounds: Bounds = BOUNDS,
) -> list[AlignmentTask]:
  """Traces the failed programs of a step and makes tasks of their runs.

  Args:
    rollouts: scored rollouts (rewards.scoring.score).
    runner: runs the programs, in one batch.
    rng: draws the inputs.
    step: the training step, which the tasks record.
    bounds: limits on the programs and on the tasks.
  """
  selected = candidates(rollouts, rng, bounds)
  executions = runner.run(
    [api.Program(c.program, c.stdin, trace=True) for c in selected]
  )
  tasks = [
    make_task(candidate, execution, step=step, bounds=bounds)
    for candidate, execution in zip(selected, executions, strict=True)
  ]
  return [task for task in tasks if task is not None]


def make_task(
  candidate: Candidate,
  execution: api.Execution,
  *,
  step: int,
  bounds: Bounds = BOUNDS,
) -> AlignmentTask | None:
  """Returns the task of a traced run, or None if its results are unsuitable.

  A run is unsuitable if it did not finish, printed nothing, too much, the
  address of an object, or another text than when the program was verified, or
  left no variable that `_targets` takes.
  """
  stdout = execution.stdout
  if (
    execution.status is not api.Status.FINISHED
    or not stdout.strip()
    or len(stdout) > bounds.max_output_chars
    or _ADDRESS.search(stdout)
    or candidate.stdout not in (None, stdout)
  ):
    return None
  targets = _targets(execution.variables, bounds)
  if not targets:
    return None
  return AlignmentTask(
    problem_id=candidate.problem.id,
    program=candidate.program,
    stdin=candidate.stdin,
    expected=stdout,
    targets=targets,
    complexity=candidate.complexity,
    step=step,
  )


def to_prompt(
  task: AlignmentTask,
  problem: types.Problem,
  tokenizer: tokenization.Tokenizer,
  *,
  style: str,
  max_prompt_len_tokens: int,
) -> types.Prompt | None:
  """Returns the prompt of a task, or None if it has too many tokens.

  The prompt's `queries` are the positions that the trajectory head reads: of
  each variable, the last token of its name in the list of variables.
  """
  names = [target.name for target in task.targets]
  text, ends = prompts.alignment(task.program, task.stdin, names, style)
  prompt, offsets = prompts.make(
    types.ALIGN,
    text,
    problem,
    tokenizer,
    style,
    program=task.program,
    stdin=task.stdin,
    expected=task.expected,
    targets=task.targets,
  )
  if len(prompt.tokens) > max_prompt_len_tokens:
    return None
  queries = tuple(tokenization.token_at(offsets, end) for end in ends)
  return dataclasses.replace(prompt, queries=queries)


def runnable(
  problem: types.Problem, source: str, test: types.Test
) -> tuple[str, str] | None:
  """Returns (program, stdin) that prints what a test is about.

  A line added to the program prints the value of a call. A checker prints
  nothing, so a test with a checker gives None.
  """
  if test.checker is not None:
    return None
  program = replies.whole_program(problem, source)
  if test.call:
    program = f'{program}\nprint({test.call})'
  return program, test.stdin


def _inputs(
  problem: types.Problem,
  source: str,
  executions: Sequence[api.Execution],
) -> list[tuple[str, str, str | None]]:
  """Returns (program, stdin, stdout) for each test that is usable.

  stdout is the text printed at verification; None if the test was not run, or
  is a call, whose value verification does not print.
  """
  inputs = []
  for i, test in enumerate(problem.tests):
    run = runnable(problem, source, test)
    execution = executions[i] if i < len(executions) else None
    ended = execution is None or execution.status in _RAN_TO_END
    if run is None or not ended:
      continue
    if execution is None or test.call:
      inputs.append((*run, None))
    elif execution.stdout.strip():
      inputs.append((*run, execution.stdout))
  return inputs


def _targets(
  variables: Sequence[api.Variable], bounds: Bounds
) -> tuple[types.Target, ...]:
  """Returns the last variables assigned, if their last values are plain data.

  Values that are too long or incompletely recorded are left out.
  """
  targets = {}
  for variable in variables:
    name = variable.qualified_name
    targets.pop(name, None)  # A new assignment moves the name to the end.
    if (
      variable.complete
      and len(variable.value) <= bounds.max_value_chars
      and _is_name(name)
      and answers.is_plain(variable.value)
    ):
      targets[name] = types.Target(name, variable.value)
  return tuple(targets.values())[-bounds.max_variables :]


def _is_name(name: str) -> bool:
  """Excludes names that start with an underscore and names inside a lambda."""
  parts = name.split('.')
  return not parts[-1].startswith('_') and all(map(str.isidentifier, parts))
