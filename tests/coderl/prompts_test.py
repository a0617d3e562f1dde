"""Prompts and the reading of replies."""

import json

import pytest

from coderl import prompts, types

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
  # The program holds 'a' too: the ends lie in the list, past the input.
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


@pytest.mark.parametrize(
  ('reply', 'program'),
  [
    ('```python\nx = 1\n```', 'x = 1'),
    ('a\n```python\nx\n```\nb\n```python\n  y\n```\nbye', '  y'),
    ('```py\nx\n```', 'x'),
    ('```Python3 \nx\n```', 'x'),
    ('```\nx\n```', 'x'),
    ('```python\nx\n```\nIt prints:\n```\n1\n```', 'x'),
    ('```python\nx\n```\n```json\n{}\n```', 'x'),
    ('```python\nx\ny', 'x\ny'),
    ('```python\nx```', 'x'),
    ('```python\nx\n```python\ny\n```', 'y'),
    ('```python\nx\n```\n```python\n```', 'x'),
    ('no code', None),
    ('```json\n{}\n```', None),
    ('```python', None),
    ('', None),
  ],
)
def test_extract_program(reply, program):
  assert prompts.extract_program(reply) == program


@pytest.mark.parametrize(
  ('reply', 'answer'),
  [
    ('\\boxed{3}', '3'),
    ('\\boxed{1} no, \\boxed{2}.', '2'),
    ('\\boxed{{"a": {1: 2}}}', '{"a": {1: 2}}'),
    ('\\boxed{\n 1\n2\n}', ' 1\n2'),
    ('\\boxed{}', ''),
    ('\\boxed{{}', '{'),
    ('\\boxed{3', None),
    ('3', None),
  ],
)
def test_extract_answer(reply, answer):
  assert prompts.extract_answer(reply) == answer


@pytest.mark.parametrize('program', ['x = 1', 'def f():\n\n  return "`"', ' y'])
def test_a_fenced_program_is_read_back(program):
  assert prompts.extract_program(f'```python\n{program}\n```') == program
