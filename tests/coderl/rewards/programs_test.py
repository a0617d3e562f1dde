"""The reward of a program is 1 if all tests pass, else 0."""

import pytest

from coderl import types
from coderl.rewards import programs
from coderl.sandbox import api

PASSED = api.Execution(api.Status.PASSED)
WRONG = api.Execution(api.Status.WRONG_ANSWER)
FAILURE = api.Execution(api.Status.SANDBOX_FAILURE)
PROBLEM = types.Problem('p', '', (types.Test(), types.Test(stdin='1')))


@pytest.mark.parametrize(
  ('executions', 'passed', 'has_program', 'masked'),
  [
    ((PASSED, PASSED), True, 1, False),
    ((PASSED, WRONG), False, 1, False),
    ((WRONG,), False, 1, False),
    (None, False, 0, False),
    ((FAILURE,), False, 1, True),
    ((PASSED, FAILURE), False, 1, True),
  ],
)
def test_verdict_reward_and_mask(executions, passed, has_program, masked):
  prompt = types.Prompt(types.GENERATE, '', (), PROBLEM)
  rollout = types.Rollout(prompt, (), (), (), '', True)
  scored = programs.score_program(rollout, executions)
  assert (scored.passed, scored.reward) == (passed, float(passed))
  assert scored.scores == {'passed': passed, 'has_program': has_program}
  assert scored.masked is masked
  assert scored.executions == (executions or ())
