"""Failed programs become questions on the results of running them."""

import dataclasses

import numpy as np
import pytest

from coderl import types
from coderl.alignment import tasks
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values
from coderl.text import tokenization
from commons import errors

FINISHED = sandbox.Status.FINISHED
PROBLEM = types.Problem(
  'p', 'Add.', (types.Test('1 2\n', '3\n'), types.Test('2 2\n', '4\n'))
)
CALLS = types.Problem(
  'f',
  'Add.',
  (types.Test(expected='3', call='add(1, 2)'),),
  entry_point='add',
  prefix='import math',
)
SOURCE = """def solve(a, b):
  total = a * b
  return total
a, b = map(int, input().split())
print(solve(a, b))"""


def rollout(source, problem=PROBLEM, **fields):
  prompt = types.Prompt(types.GENERATE, '', (), problem)
  text = f'```python\n{source}\n```'
  return types.Rollout(prompt, (), (), (), text, True, **fields)


def execution(status, stdout=''):
  return sandbox.Execution(status, stdout=stdout)


def candidate(stdout=None):
  return tasks.Candidate(PROBLEM, SOURCE, '1 2\n', stdout, 1)


def traced(*variables, stdout='2\n', status=FINISHED):
  """Returns an execution with variables from (scope, name, value)."""
  return sandbox.Execution(
    status,
    stdout=stdout,
    variables=tuple(
      sandbox.Variable(scope, name, values.canonical(value)[0], line=1)
      for scope, name, value in variables
    ),
  )


@pytest.mark.parametrize(
  ('source', 'expected'),
  [
    ('x = 1', 1),
    ('if a and b or c:\n  pass\nelif d:\n  pass', 1 + 2 + 2),
    ('for i in x:\n  while a and b and c:\n    pass', 1 + 2 + 2),
    ('try:\n  pass\nexcept A:\n  pass\nexcept B:\n  pass', 3),
    ('[x for x in y if x]', 1),
    ('def f(:', tasks.UNPARSABLE),
    ('\0', tasks.UNPARSABLE),
    ('(' * 5000 + ')' * 5000, tasks.UNPARSABLE),
  ],
)
def test_complexity(source, expected):
  assert tasks.complexity(source) == expected


def test_candidates_are_failed_parsable_programs_once_each():
  rollouts = [
    rollout('print(1)'),
    rollout('print(2)', passed=True),
    rollout('print(3)', masked=True),
    rollout('print(4'),
    rollout('print(1)'),
    rollout('print(5)'),
    dataclasses.replace(rollout('x'), text='no program'),
    dataclasses.replace(
      rollout('x'), prompt=types.Prompt(types.REASON, '', (), PROBLEM)
    ),
  ]
  one_test = dataclasses.replace(PROBLEM, tests=PROBLEM.tests[:1])
  rollouts = [
    dataclasses.replace(
      r, prompt=dataclasses.replace(r.prompt, problem=one_test)
    )
    for r in rollouts
  ]
  selected = tasks.candidates(rollouts, np.random.default_rng(0))
  assert [c.program for c in selected] == ['print(1)', 'print(5)']


def test_partial_credit_does_not_make_a_failed_program_pass():
  rollouts = [rollout('print(1)', reward=1.0)]
  assert len(tasks.candidates(rollouts, np.random.default_rng(0))) == 1


def test_candidates_are_within_the_complexity_bounds():
  rollouts = [rollout('x = 1'), rollout('if x:\n  y = 1')]
  bounds = tasks.Bounds(min_complexity=2, max_complexity=2)
  selected = tasks.candidates(rollouts, np.random.default_rng(0), bounds)
  assert [c.complexity for c in selected] == [2]


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'min_complexity': -1}, 'min_complexity=-1: must be 0 or more'),
    (
      {'min_complexity': 5, 'max_complexity': 4},
      'max_complexity=4: must be 5 or more',
    ),
    ({'max_variables': 0}, 'max_variables=0: must be 1 or more'),
    ({'max_output_chars': 0}, 'max_output_chars=0: must be 1 or more'),
    ({'max_value_chars': -9}, 'max_value_chars=-9: must be 1 or more'),
  ],
)
def test_bounds_that_exclude_everything_are_refused(fields, message):
  with pytest.raises(errors.UserError, match=rf'alignment\.bounds\.{message}'):
    tasks.Bounds(**fields)


def test_inputs_exclude_known_crashes_and_silence_and_vary():
  wrong, crash = sandbox.Status.WRONG_ANSWER, sandbox.Status.RUNTIME_ERROR

  def inputs(*executions):
    rollouts = [rollout('print(1)', executions=executions)]
    return {
      (c.stdin, c.stdout)
      for seed in range(20)
      for c in tasks.candidates(rollouts, np.random.default_rng(seed))
    }

  assert inputs() == {('1 2\n', None), ('2 2\n', None)}
  assert inputs(execution(wrong, '5\n')) == {('1 2\n', '5\n'), ('2 2\n', None)}
  assert inputs(execution(crash, '5\n')) == {('2 2\n', None)}
  assert inputs(execution(wrong, ' \n')) == {('2 2\n', None)}
  assert inputs(execution(crash), execution(crash)) == set()


def test_a_call_is_printed_by_the_program():
  (candidate,) = tasks.candidates(
    [rollout('def add(a, b):\n  return a', CALLS)], np.random.default_rng(0)
  )
  assert candidate.program == (
    'import math\ndef add(a, b):\n  return a\nprint(add(1, 2))'
  )


def test_a_checker_gives_no_input():
  checked = types.Problem('c', 'Add.', (types.Test(checker='assert f()'),))
  rollouts = [rollout('print(1)', checked)]
  assert tasks.candidates(rollouts, np.random.default_rng(0)) == []


def test_targets_are_the_last_assignments_of_plain_values():
  run = traced(
    ('', 'a', 1),
    ('', 'first', 0),
    ('solve', 'total', {1: (2, 3)}),
    ('', 'f', len),
    ('', 'a', [1]),
    ('solve.<lambda>', 'x', 3),
    ('solve', '_', 4),
    ('', 'long', 'x' * 50),
  )
  bounds = tasks.Bounds(max_variables=2, max_value_chars=20)
  task = tasks.make_task(candidate(), run, step=7, bounds=bounds)
  assert task.targets == (
    types.Target('solve.total', '{1: (2, 3)}'),
    types.Target('a', '[1]'),
  )
  assert (task.expected, task.step, task.stdin) == ('2\n', 7, '1 2\n')


def test_an_incomplete_value_is_no_target():
  complete = traced(('', 'a', 1), ('', 'b', 2))
  first, second = complete.variables
  truncated = dataclasses.replace(second, complete=False)
  run = dataclasses.replace(complete, variables=(first, truncated))
  task = tasks.make_task(candidate(), run, step=0)
  assert [t.name for t in task.targets] == ['a']


@pytest.mark.parametrize(
  ('verified_stdout', 'run'),
  [
    (None, traced(('', 'a', 1), stdout=' \n')),
    (None, traced(('', 'a', 1), status=sandbox.Status.WALL_LIMIT)),
    (None, traced(('', 'a', 1), status=sandbox.Status.RUNTIME_ERROR)),
    (None, traced(('', 'a', 1), stdout='x' * 2000)),
    (None, traced(('', 'a', 1), stdout='<f object at 0x7f12ab>')),
    (None, traced()),
    ('3\n', traced(('', 'a', 1), stdout='2\n')),
  ],
)
def test_a_run_with_unsuitable_results_gives_no_task(verified_stdout, run):
  assert tasks.make_task(candidate(verified_stdout), run, step=0) is None


def test_the_key_identifies_the_program_and_the_input():
  task = tasks.make_task(candidate(), traced(('', 'a', 1)), step=0)
  later = dataclasses.replace(task, step=9, targets=())
  moved = dataclasses.replace(
    task, program=task.program + '1', stdin=task.stdin[1:]
  )
  assert task.key == later.key != moved.key


@pytest.mark.parametrize('style', ['compact', 'paper'])
def test_queries_are_the_last_tokens_of_the_names(style):
  run = traced(('', 'a', 1), ('solve', 'total', 2), ('', 'xyz', 2))
  task = tasks.make_task(candidate(), run, step=0)
  tokenizer = tokenization.train_bpe([SOURCE] * 3, 300)
  prompt = tasks.to_prompt(
    task, PROBLEM, tokenizer, style=style, max_prompt_len_tokens=4096
  )
  assert list(prompt.tokens) == tokenizer.encode_chat(prompt.text)[0]
  # The text up to a query token ends with the name of its variable.
  heads = [tokenizer.decode(prompt.tokens[: q + 1]) for q in prompt.queries]
  assert [head.rsplit('Variables: ')[-1] for head in heads] == [
    'a',
    'a, solve.total',
    'a, solve.total, xyz',
  ]
  short = len(prompt.tokens) - 1
  assert None is tasks.to_prompt(
    task, PROBLEM, tokenizer, style=style, max_prompt_len_tokens=short
  )


def test_in_a_completion_the_answer_begins_after_the_queries():
  run = traced(('', 'a', 1), ('solve', 'total', 2))
  task = tasks.make_task(candidate(), run, step=0)
  tokenizer = tokenization.train_bpe([SOURCE] * 3, 300)
  prompt = tasks.to_prompt(
    task, PROBLEM, tokenizer, style='completion', max_prompt_len_tokens=4096
  )
  assert tokenizer.decode(prompt.tokens) == prompt.text
  heads = [tokenizer.decode(prompt.tokens[: q + 1]) for q in prompt.queries]
  # The worked example has a list of variables as well.
  assert [head.rsplit('Variables: ')[-1] for head in heads] == [
    'a',
    'a, solve.total',
  ]
  assert prompt.text == heads[-1] + '\nAnswer: {"variables": {"a":'


def test_a_completed_program_is_a_candidate():
  rollouts = [
    dataclasses.replace(
      rollout('', CALLS, **fields),
      text='    return a - b\nprint(1)',
      prompt=types.Prompt(
        types.GENERATE,
        '',
        (),
        CALLS,
        opening='def add(a, b):\n',
        completion=True,
      ),
    )
    for fields in ({}, {'passed': True})
  ]
  (candidate,) = tasks.candidates(rollouts, np.random.default_rng(0))
  assert candidate.program == (
    'import math\ndef add(a, b):\n    return a - b\nprint(add(1, 2))'
  )


def test_collect_traces_failed_programs_of_both_forms():
  rollouts = [
    rollout(SOURCE),
    rollout('def add(a, b):\n  c = a - b\n  return c', CALLS),
    rollout('raise ValueError(1)'),
    rollout('x = 1'),
  ]
  with sandbox.Sandbox(workers=1) as runner:
    first, second = tasks.collect(
      rollouts, runner, np.random.default_rng(1), step=4
    )
  a, b = map(int, first.stdin.split())
  assert first.expected == f'{a * b}\n'
  assert types.Target('solve.total', str(a * b)) in first.targets
  assert second.expected == '-1\n'
  assert types.Target('add.c', '-1') in second.targets
  assert (second.problem_id, second.step) == ('f', 4)
