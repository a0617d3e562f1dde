"""Failed programs as questions on their own execution (CodeRL+).

A program that failed its tests, yet finished and printed something, is run
again under the tracer; the policy is asked what it prints and what its last
variables hold (arXiv 2510.18471). In order: `candidates` picks failed rollouts
and an input of each, `collect` runs them in one batch and makes tasks,
`to_prompt` asks; `answers` reads and scores the reply.

Where the official code (jiangxxxue/CODERLPLUS) is weak, and what this does:
  variables: module level alone, so code inside functions asks for nothing,
    and the last by first insertion; here those of every scope, under
    qualified names, the last by last definition.
  values: JSON made lossily, sets in hash order, other types dropped, labels
    read from the program's own stderr; here canonical text of the tracer.
  inputs: the first test only, and function problems give none; here a drawn
    test, a call being printed by a line added to the program.
  duplicates: by (input, output), so different programs fall out; here by
    (program, input), in the order of the rollouts.
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

UNPARSABLE = 999  # The complexity of what is no Python.

_RAN = (
  api.Status.FINISHED,
  api.Status.PASSED,
  api.Status.WRONG_ANSWER,
)
# The text of an object that has none of its own: it differs from run to run.
_ADDRESS = re.compile(r'\bat 0x[0-9a-f]{4,}')


@dataclasses.dataclass(frozen=True)
class AlignmentTask:
  """A failed program, an input, and what running it gives.

  expected: what the program prints.
  targets: the variables to infer, in order of last definition.
  complexity: cyclomatic, of the program. step: when it was collected.
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
    """The same for the same program and input, whatever the process."""
    text = f'{len(self.program)}:{self.program}{self.stdin}'
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()


@dataclasses.dataclass(frozen=True)
class Bounds:
  """Which failed programs are asked about, and for how much.

  The complexities and `max_variables` are the official code's.

  min_complexity, max_complexity: cyclomatic, of the program.
  max_variables: most targets of a task.
  max_output_chars, max_value_chars: longest output, and longest text of a
  value, that is asked for, since the policy has to write them.

  Raises:
    UserError: none could pass: a number below its least, or a maximum below
      its minimum.
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
  """A failed program and the input chosen for it.

  stdout: what it printed when it was judged, None where it was not run so.
  """

  problem: types.Problem
  program: str
  stdin: str
  stdout: str | None
  complexity: int


def complexity(source: str) -> int:
  """McCabe's, as the official code counts it: 1 + branches + `and`s and `or`s.

  Branches are if, while, for and except. UNPARSABLE for what is no Python.
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


def whole_program(problem: types.Problem, source: str) -> str:
  """What runs for a response: the problem's prefix, then its program."""
  return f'{problem.prefix}\n{source}' if problem.prefix else source


def candidates(
  rollouts: Sequence[types.Rollout],
  rng: np.random.Generator,
  bounds: Bounds = BOUNDS,
) -> list[Candidate]:
  """Failed programs worth tracing, one input each, in the rollouts' order.

  The input is drawn among the tests that are not known to crash the program
  or to leave it silent: those that it has yet to run are included.
  """
  found = {}
  for rollout in rollouts:
    problem = rollout.prompt.problem
    failed = rollout.reward < 1 and not rollout.masked
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
      found.setdefault((program, stdin), candidate)
  return list(found.values())


def collect(
  rollouts: Sequence[types.Rollout],
  box: api.Runner,
  rng: np.random.Generator,
  *,
  step: int,
  bounds: Bounds = BOUNDS,
) -> list[AlignmentTask]:
  """Traces the failed programs of a step and makes tasks of their runs.

  Args:
    rollouts: scored rollouts (scoring.score).
    box: runs the programs, in one batch.
    rng: draws the inputs.
    step: the training step, kept in the tasks.
    bounds: which programs to ask about, and for how much.
  """
  found = candidates(rollouts, rng, bounds)
  executions = box.run(
    [api.Program(c.program, c.stdin, trace=True) for c in found]
  )
  tasks = [
    make_task(candidate, execution, step=step, bounds=bounds)
    for candidate, execution in zip(found, executions, strict=True)
  ]
  return [task for task in tasks if task is not None]


def make_task(
  candidate: Candidate,
  execution: api.Execution,
  *,
  step: int,
  bounds: Bounds = BOUNDS,
) -> AlignmentTask | None:
  """The task of a traced run, or None where the run teaches nothing sure.

  That is a run that did not finish, printed nothing, too much, an object's
  address or other than when it was judged, or left no variable that `_targets`
  takes.
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
  """The prompt of a task, or None where it is too long."""
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
  """A test as (program, stdin) that prints; None where only a checker can.

  A call is printed by a line added to the program.
  """
  if test.checker is not None:
    return None
  whole = whole_program(problem, source)
  return (f'{whole}\nprint({test.call})' if test.call else whole), test.stdin


def _inputs(
  problem: types.Problem,
  source: str,
  executions: Sequence[api.Execution],
) -> list[tuple[str, str, str | None]]:
  """Each usable test as (program, stdin, what is known to be printed)."""
  inputs = []
  for i, test in enumerate(problem.tests):
    run = runnable(problem, source, test)
    ran = executions[i] if i < len(executions) else None
    if run is None or (ran is not None and ran.status not in _RAN):
      continue
    if ran is None or test.call:
      inputs.append((*run, None))
    elif ran.stdout.strip():
      inputs.append((*run, ran.stdout))
  return inputs


def _targets(
  variables: Sequence[api.Variable], bounds: Bounds
) -> tuple[types.Target, ...]:
  """The last variables by last definition whose values are sure plain data."""
  targets = {}
  for variable in variables:
    name = variable.qualified_name
    targets.pop(name, None)  # A later definition comes later in the order.
    if (
      variable.complete
      and len(variable.value) <= bounds.max_value_chars
      and _is_name(name)
      and answers.is_plain(variable.value)
    ):
      targets[name] = types.Target(name, variable.value)
  return tuple(targets.values())[-bounds.max_variables :]


def _is_name(name: str) -> bool:
  """Neither a throw-away name nor one inside a lambda."""
  parts = name.split('.')
  return not parts[-1].startswith('_') and all(map(str.isidentifier, parts))
