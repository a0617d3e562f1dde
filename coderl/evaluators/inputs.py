"""The data from which evaluators make their prompts."""

from collections.abc import Sequence
import dataclasses
import functools

import ml_collections

from coderl import types
from coderl.alignment import tasks
from coderl.sandbox import api
from coderl.text import tokenization
from coderl.training import progress as progress_lib


@dataclasses.dataclass(frozen=True)
class Inputs:
  """Held-out problems, and what is needed to ask the policy about them.

  Attributes:
    problems: the problems, in the order of the prompts.
    tokenizer: the policy's tokenizer.
    sandbox: runs the reference solutions.
    config: its sections `data`, `alignment.bounds` and `eval` are read.
  """

  problems: Sequence[types.Problem]
  tokenizer: tokenization.Tokenizer
  sandbox: api.Runner
  config: ml_collections.ConfigDict

  @property
  def style(self) -> str:
    """The style of the prompts; see text.prompts."""
    return self.config.data.prompt_style

  @property
  def max_prompt_len_tokens(self) -> int:
    """The longest prompt that the policy is asked."""
    return self.config.data.max_prompt_len_tokens

  @functools.cached_property
  def reference_runs(
    self,
  ) -> list[tuple[types.Problem, tasks.AlignmentTask]]:
    """The problems whose reference ran, each with the trace of that run.

    The reference runs on the problem's first test. A problem is left out
    where it has no reference, where its test cannot be run alone, or where
    the run is no alignment task within `alignment.bounds`. All references run
    in one batch, when an evaluator first asks for them.
    """
    candidates = []
    for problem in self.problems:
      program = problem.reference and tasks.runnable(
        problem, problem.reference, problem.tests[0]
      )
      if program:
        candidates.append(tasks.Candidate(problem, *program, None, 0))
    progress_lib.announce(f'Tracing {len(candidates)} reference solutions ...')
    executions = self.sandbox.run(
      [api.Program(c.program, c.stdin, trace=True) for c in candidates]
    )
    bounds = tasks.Bounds(**self.config.alignment.bounds)
    runs = []
    for candidate, execution in zip(candidates, executions, strict=True):
      task = tasks.make_task(candidate, execution, step=0, bounds=bounds)
      if task is not None:
        runs.append((candidate.problem, task))
    return runs
