"""Prompts hold the statement, the program and the target variables."""

import ast
import inspect
import json
import re

from hypothesis import given
from hypothesis import strategies as st
import pytest

from coderl import types
from coderl.alignment import answers
from coderl.sandbox import api, sandbox
from coderl.text import prompts, tokenization

STDIN_PROBLEM = types.Problem('p', 'Print a + b.', (types.Test('1 2', '3'),))
CALL_PROBLEM = types.Problem(
  'f',
  'def add(a: int, b: int) -> int:\n  """Adds: {a} and {b}."""',
  (types.Test(expected='3', call='add(1, 2)'),),
  entry_point='add',
)


@pytest.mark.parametrize('style', sorted(prompts.STYLES))
def test_generation_holds_the_statement_and_the_signature(style):
  assert prompts.generation(STDIN_PROBLEM, style).endswith('Print a + b.')
  text = prompts.generation(CALL_PROBLEM, style)
  assert text.endswith(CALL_PROBLEM.statement)
  assert '`add(a: int, b: int) -> int`' in text


def test_signature_falls_back_to_the_name():
  problem = types.Problem('f', 'Add.', CALL_PROBLEM.tests, entry_point='add')
  assert '`add`' in prompts.generation(problem, 'compact')


@pytest.mark.parametrize('style', sorted(prompts.STYLES))
def test_alignment_ends_point_just_past_each_name(style):
  names = ('a', 'total', 'a', 'solve.a')
  text, ends = prompts.alignment('a = 1\nprint(a)', '5\n', names, style)
  assert [text[e - len(n) : e] for n, e in zip(names, ends, strict=True)] == (
    list(names)
  )
  # The program holds 'a' too, but the ends lie in the list, after the input.
  assert min(ends) > text.index('Variables: ') > text.index('Input:\n5')
  assert ends[-1] == len(text)


def test_compact_texts_are_exact():
  text, _ = prompts.alignment('print(1)\n', '5\n', ('a', 'f.b'), 'compact')
  assert text == (
    'Trace the program.\n```python\nprint(1)\n```\nInput:\n5\nVariables: a, f.b'
  )
  assert prompts.reasoning('print(1)', '', 'compact') == (
    'Run the program.\n```python\nprint(1)\n```'
  )
  assert prompts.test_output(STDIN_PROBLEM, '1 2\n', 'compact') == (
    'Predict the output.\nPrint a + b.\nInput:\n1 2'
  )


def test_the_example_is_one_line_of_the_json_asked_for():
  text, _ = prompts.alignment('x = 1', '', ('x',), 'paper')
  line = next(x for x in text.splitlines() if x.startswith('{'))
  assert set(json.loads(line)) == {'final_output', 'variables'}
  assert json.loads(line)['final_output'] == '3\n6'


def test_an_unknown_style_is_named_with_the_choices():
  with pytest.raises(ValueError, match=r"'terse'.*compact.*paper"):
    prompts.generation(STDIN_PROBLEM, 'terse')


# Completions, for policies that follow no instructions.

TOKENIZER = tokenization.train_bpe(['def f(x):\n    return x\n'] * 3, 300)
MBPP = types.Problem(
  'm', 'Add.\n\ndef add(a, b=0):', CALL_PROBLEM.tests, entry_point='add'
)
SOURCE = types.Problem(
  's',
  'import math\n\n\ndef add(a, b):\n    """ Adds\n    """\n',
  CALL_PROBLEM.tests,
  entry_point='add',
  prefix='import math\n\n\n',
)
METHOD = types.Problem(
  'c',
  'Add.\nAll.\n\nclass Solution:\n    def add(self, a: int) -> int:',
  (types.Test(expected='3', call='Solution().add(3)'),),
  entry_point='Solution.add',
  prefix='import re',
)
HEADLESS = types.Problem('h', 'Add.', CALL_PROBLEM.tests, entry_point='add')
ODD_TEXTS = st.text('a"\\\'\n\r\0 {#:', max_size=12)


def test_a_chat_prompt_is_encoded_through_the_template():
  text = prompts.generation(STDIN_PROBLEM, 'compact')
  args = types.GENERATE, text, STDIN_PROBLEM, TOKENIZER, 'compact'
  prompt, offsets = prompts.make(*args, stdin='1')
  tokens, chat_offsets = TOKENIZER.encode_chat(text)
  assert prompt == types.Prompt(
    types.GENERATE, text, tuple(tokens), STDIN_PROBLEM, stdin='1'
  )
  assert offsets == chat_offsets


@pytest.mark.parametrize('style', sorted(prompts.STYLES))
def test_a_method_is_asked_for_with_its_class(style):
  text = prompts.generation(METHOD, style)
  assert '`Solution`' in text and '`add(self, a: int) -> int`' in text
  assert text.endswith(METHOD.statement)


@pytest.mark.parametrize(
  ('problem', 'text', 'opening', 'closing'),
  [
    (SOURCE, SOURCE.statement, 'def add(a, b):\n    """ Adds\n    """\n', ''),
    (
      MBPP,
      'def add(a, b=0):\n    """Add."""\n',
      'def add(a, b=0):\n',
      '',
    ),
    (
      METHOD,
      'import re\nclass Solution:\n    def add(self, a: int) -> int:\n'
      '        """Add.\n        All.\n        """\n',
      'class Solution:\n    def add(self, a: int) -> int:\n',
      '',
    ),
    (HEADLESS, '"""Add."""\n\n\ndef add(', 'def add(', ''),
    (
      STDIN_PROBLEM,
      '"""Print a + b."""\n\n\ndef main():\n',
      'def main():\n',
      '\n\nmain()\n',
    ),
  ],
)
def test_a_completion_ends_inside_the_function(problem, text, opening, closing):
  written = prompts.generation(problem, 'completion')
  prompt, _ = prompts.make(
    types.GENERATE, written, problem, TOKENIZER, 'completion'
  )
  assert (prompt.text, prompt.opening, prompt.closing) == (
    text, opening, closing
  )  # fmt: skip
  assert prompt.completion
  assert list(prompt.tokens) == TOKENIZER.encode_completion(text)[0]


@given(ODD_TEXTS, st.sampled_from(['', '\n\ndef f(a):']))
def test_no_statement_ends_its_docstring(statement, head):
  problem = types.Problem(
    'p', statement + head, (), entry_point='f' if head else None
  )
  source = prompts.completion(problem).text + '    pass\n'
  body = ast.parse(source).body
  holder = body[0] if head else ast.Module(body, [])
  assert isinstance(body[-1], ast.FunctionDef)
  assert len(body) == (1 if head else 2)
  docstring = ast.get_docstring(holder) or ''
  expected = inspect.cleandoc(re.sub('\r\n?', '\n', statement).strip())
  lines = [[x.rstrip() for x in t.split('\n')] for t in (docstring, expected)]
  assert lines[0] == lines[1]


def test_a_completion_opens_the_answer():
  text, _ = prompts.alignment('print(1)', '', ('x',), 'completion')
  assert text.endswith('\nVariables: x\nAnswer: {"variables": {"x":')
  text = prompts.reasoning('print(1)', '1\n', 'completion')
  assert text.endswith('\nInput:\n1\nOutput: \\boxed{')
  text = prompts.test_output(CALL_PROBLEM, 'add(1, 2)', 'completion')
  assert text.endswith('\nInput:\nadd(1, 2)\nOutput: \\boxed{')


def test_the_worked_examples_are_right():
  text, _ = prompts.alignment('', '', ('x',), 'completion')
  program, names, answer = re.search(
    r'```python\n(.*?)```\nVariables: (.*?)\nAnswer: (.*?)\n', text, re.DOTALL
  ).groups()
  text = prompts.reasoning('', '', 'completion')
  other_program, stdin, output = re.search(
    r'```python\n(.*?)```\nInput:\n(.*?)\nOutput: \\boxed\{(.*?)\}\n',
    text,
    re.DOTALL,
  ).groups()
  with sandbox.Sandbox(workers=1) as runner:
    traced, printed = runner.run(
      [
        api.Program(program, trace=True),
        api.Program(other_program, stdin),
      ]
    )
  values = {v.qualified_name: v.value for v in traced.variables}
  targets = [types.Target(n, values[n]) for n in names.split(', ')]
  assert answer == answers.answer_json(traced.stdout, targets)
  assert printed.stdout == output + '\n'
