"""The table of the sources of problems; see record.py on how to add one."""

from coderl.problems.sources import (
  codeio,
  human_eval,
  leetcode,
  mbpp,
  prime,
  record,
)
from coderl.problems.sources.embedded import problem_set

SOURCES: dict[str, record.Source] = {
  source.name: source
  for source in (
    problem_set.SOURCE,
    mbpp.SOURCE,
    human_eval.SOURCE,
    human_eval.SHORTEST,
    leetcode.SOURCE,
    codeio.SOURCE,
    prime.SOURCE,
  )
}
