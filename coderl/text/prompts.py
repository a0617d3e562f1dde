"""What the policy is asked, and how its replies are read.

Four kinds of prompt (see types), each a header and then the matter: the
statement, or the program, its input and the variables asked for. A style is a
choice of headers: 'paper' holds full instructions in the spirit of CodeRL+
(arXiv 2510.18471, official code jiangxxxue/CODERLPLUS); 'compact' holds a few
words, for a policy of some million parameters and a small vocabulary;
'completion' is for a policy that follows no instructions, but goes on with a
text: with source that ends inside the function asked for, or after one worked
example. In order: the texts, `make`, which has a text read by a tokenizer, and
`read`, which finds the program or the answer in a reply.

Against the official prompts: the example of an alignment answer is valid JSON
on one line; fences open on a line of their own; variables are named with
their function, so that locals can be asked for; and their value is defined as
the one of the last assignment, which is what is measured, not as the one 'at
the moment the code outputs'. The instructions come first and the names last,
so that a name's hidden state has seen everything.

Against its readers of replies: a fence may be tagged `py` or not at all and
may lack its end, and a boxed answer may hold braces and line ends.
"""

import ast
from collections.abc import Sequence
import re
import string
from typing import Any, NamedTuple
import warnings

from coderl import types
from coderl.text import tokenization
from commons import errors

COMPLETION = 'completion'

# An answer in the form asked for; the last line of a reply.
EXAMPLE = (
  '{"final_output": "3\\n6", "variables": '
  '{"total": 6, "solve.names": ["a", "b"], "solve.pair": "(1, 2)"}}'
)

_PAPER = {
  'program': (
    'Solve the following programming problem with a Python program that '
    'reads from standard input and prints to standard output. You may think '
    'step by step first. End your reply with the whole program in one block:'
    '\n```python\n# your program\n```\n\nProblem:\n'
  ),
  'function': (
    'Solve the following programming problem by writing the Python function '
    '`{signature}`. You may think step by step first. End your reply with '
    'the whole function, and the imports it needs, in one block:'
    '\n```python\n# your function\n```\n\nProblem:\n'
  ),
  'method': (
    'Solve the following programming problem by writing the Python class '
    '`{owner}` with the method `{signature}`. You may think step by step '
    'first. End your reply with the whole class, and the imports it needs, in '
    'one block:\n```python\n# your class\n```\n\nProblem:\n'
  ),
  types.ALIGN: (
    'You are given a Python program, its input and a list of its variables. '
    'Predict:\n'
    '1. final_output: everything the program prints, as one string.\n'
    '2. variables: the value of each listed variable after its last '
    'assignment in the run. `f.x` is the local variable x of the function f; '
    'a name without a dot is a variable of the module.\n\n'
    'The program may not do what its author meant; predict what it really '
    'does. First write a reasoning section in which you follow the run step '
    'by step. Then, on the LAST line only, output one strict JSON object '
    'with exactly the keys final_output and variables. Write numbers, '
    'strings, true, false, null, lists and dictionaries with string keys as '
    'JSON, and any other value as a string holding its Python literal. '
    f'Example of a last line:\n{EXAMPLE}\n\nProgram:\n'
  ),
  types.REASON: (
    'Analyze the following Python program and predict what it prints for '
    'the given input. Reason step by step, then give the exact output as '
    '\\boxed{output}.\n\nProgram:\n'
  ),
  types.TEST_OUTPUT: (
    'Read the following programming problem and predict what a right '
    'solution gives for the input at the end. Reason step by step, then '
    'give the exact output as \\boxed{output}.\n\nProblem:\n'
  ),
}
_COMPACT = {
  'program': 'Write a program.\n',
  'function': 'Write the function `{signature}`.\n',
  'method': 'Write the class `{owner}` with the method `{signature}`.\n',
  types.ALIGN: 'Trace the program.\n',
  types.REASON: 'Run the program.\n',
  types.TEST_OUTPUT: 'Predict the output.\n',
}
# One worked example each, since more would leave no room in a short prompt.
_COMPLETION = {
  types.ALIGN: (
    'After each program was run, the values of the variables listed, as last '
    'assigned, and everything it printed, as one line of JSON.\n\n'
    'Program:\n```python\n'
    'def sums(numbers):\n'
    '    total, found = 0, []\n'
    '    for number in numbers:\n'
    '        total += number\n'
    '        found = [*found, total]\n'
    '    return found\n\n'
    'print(sums([1, 2]))\n'
    '```\nVariables: sums.total, sums.found\n'
    'Answer: {"variables": {"sums.total": 3, "sums.found": [1, 3]}, '
    '"final_output": "[1, 3]\\n"}\n\nProgram:\n'
  ),
  types.REASON: (
    'What each program prints.\n\n'
    'Program:\n```python\n'
    'a, b = map(int, input().split())\n'
    'print(a + b)\n'
    'print([a, b])\n'
    '```\nInput:\n3 4\nOutput: \\boxed{7\n[3, 4]}\n\nProgram:\n'
  ),
  types.TEST_OUTPUT: (
    'What a right solution of each problem gives.\n\n'
    'Problem:\nRead two numbers and print their sum.\n'
    'Input:\n3 4\nOutput: \\boxed{7}\n\n'
    'Problem:\nWrite add(a, b), which returns [a, b, a + b].\n'
    'Input:\nadd(3, 4)\nOutput: \\boxed{[3, 4, 7]}\n\nProblem:\n'
  ),
}
STYLES = {'paper': _PAPER, 'compact': _COMPACT}  # Of chats.
_BOX = '\\boxed{'
_JSON = '{"variables": {"'
# How an answer begins that a completion's text leaves to be gone on with.
_OPENINGS = {
  types.ALIGN: _JSON,
  types.REASON: _BOX,
  types.TEST_OUTPUT: _BOX,
}
_VISIBLE = string.digits + string.ascii_letters + string.punctuation
_STOPS = {
  # A line at the margin is past the function.
  types.GENERATE: tuple(f'\n{character}' for character in _VISIBLE),
  types.ALIGN: ('\n',),
  # An answer may hold braces, but few hold one that ends a line.
  types.REASON: ('}\n',),
  types.TEST_OUTPUT: ('}\n',),
}
_MARGIN = re.compile(r'\n(?=\S)')
_INDENT = 4 * ' '

# A block from a line that opens a fence to a line that ends in one, else to
# the next tagged fence, else to the end. Groups: tag, body.
_FENCED = re.compile(
  r'^[ \t]*```[ \t]*([\w+-]*)[ \t]*\n'
  r'(.*?)'
  r'(?:```[ \t]*$|(?=^[ \t]*```[ \t]*\w)|\Z)',
  re.MULTILINE | re.DOTALL,
)
_PYTHON_TAGS = ('python', 'python3', 'py')


class Completion(NamedTuple):
  """Source to go on with, and what the reply stands between (types.Prompt)."""

  text: str
  opening: str
  closing: str = ''


def generation(problem: types.Problem, style: str) -> str:
  """Asks for a program, or for the function `problem.entry_point`."""
  headers = _headers(style)
  if style == COMPLETION:
    return completion(problem).text
  if problem.entry_point is None:
    return headers['program'] + problem.statement
  owner, _, name = problem.entry_point.rpartition('.')
  signature = _signature(problem.statement, name, bool(owner))
  header = headers['method' if owner else 'function']
  header = header.replace('{owner}', owner).replace('{signature}', signature)
  return header + problem.statement


def completion(problem: types.Problem) -> Completion:
  """Source that ends where the reply is to go on.

  A statement that is source already, as HumanEval's, is all of it. One that
  ends in the head of the function, as MBPP's, becomes the docstring below the
  head; any other one stands above the head, whose parameters are then left to
  the reply. The opening has neither docstring, nor the problem's prefix, which
  is put before every program.
  """
  prefix = f'{problem.prefix}\n' if problem.prefix else ''
  if problem.entry_point is None:
    opening = 'def main():\n'
    text = f'{prefix}{_docstring(problem.statement)}\n\n{opening}'
    return Completion(text, opening, '\n\nmain()\n')
  name = problem.entry_point.rpartition('.')[2]
  if _is_source(problem.statement, name):
    text = problem.statement
    return Completion(text, text.removeprefix(problem.prefix))
  # The class around a method comes along.
  head = rf'(?:^class \w+:\n)?^( *)def {re.escape(name)}\(.*\)[^:\n]*:\s*\Z'
  found = re.search(head, problem.statement, re.MULTILINE)
  if found is None:
    opening = f'def {name}('
    text = f'{prefix}{_docstring(problem.statement)}\n\n{opening}'
    return Completion(text, opening)
  opening = found[0].rstrip() + '\n'
  statement = problem.statement[: found.start()]
  docstring = _docstring(statement, found[1] + _INDENT)
  return Completion(f'{prefix}{opening}{docstring}', opening)


def alignment(
  program: str, stdin: str, names: Sequence[str], style: str
) -> tuple[str, tuple[int, ...]]:
  """Asks for the output and the final variables of a run.

  Returns the text and, for each name, the index of the character just past it
  in the list of target variables. The text of a chat ends with that list.

  Args:
    program, stdin: the run.
    names: of the variables; at least one.
    style: see the module.
  """
  text = _headers(style)[types.ALIGN] + _run(program, stdin) + 'Variables: '
  ends = []
  for i, name in enumerate(names):
    text += (', ' if i else '') + name
    ends.append(len(text))
  if style == COMPLETION:
    text += f'\nAnswer: {_JSON}{names[0]}":'
  return text, tuple(ends)


def reasoning(program: str, stdin: str, style: str) -> str:
  """Asks what a program prints."""
  text = _headers(style)[types.REASON] + _run(program, stdin)
  return text.rstrip('\n') + _tail(style)


def test_output(problem: types.Problem, stdin: str, style: str) -> str:
  """Asks what a right solution gives for `stdin`, which may be a call."""
  header = _headers(style)[types.TEST_OUTPUT]
  text = f'{header}{problem.statement.rstrip()}\n{_input(stdin)}'
  return text.rstrip('\n') + _tail(style)


def make(
  kind: str,
  text: str,
  problem: types.Problem,
  tokenizer: tokenization.Tokenizer,
  style: str,
  **fields: Any,
) -> tuple[types.Prompt, tokenization.Offsets]:
  """A prompt of a text above, and the characters of the text by token.

  Args:
    kind: of types.
    text: what one of the functions above gave for `kind` and `style`.
    problem: which it asks about.
    tokenizer: reads the text.
    style: as the text's.
    **fields: further fields of the prompt.
  """
  if style != COMPLETION:
    tokens, offsets = tokenizer.encode_chat(text)
    return types.Prompt(kind, text, tuple(tokens), problem, **fields), offsets
  tokens, offsets = tokenizer.encode_completion(text)
  if kind == types.GENERATE:
    _, opening, closing = completion(problem)
  else:
    opening, closing = text[text.rindex(_OPENINGS[kind]) :], ''
  prompt = types.Prompt(
    kind,
    text,
    tuple(tokens),
    problem,
    opening=opening,
    closing=closing,
    completion=True,
    stops=_STOPS[kind],
    **fields,
  )
  return prompt, offsets


def read(prompt: types.Prompt, text: str) -> str | None:
  """What a reply says: its program, or its answer with what stands before.

  Args:
    prompt: what was asked.
    text: the reply, to its stop or beyond.

  Returns:
    GENERATE: the program, None where there is none. Else: text for the readers
    of answers.
  """
  if prompt.kind == types.GENERATE:
    if not prompt.completion:
      return extract_program(text)
    body = _MARGIN.split(text, maxsplit=1)[0]
    return prompt.opening + body + prompt.closing if body.strip() else None
  if not prompt.completion:
    return text
  # What goes on past the answer is the next question, of the policy's own.
  end = '\n' if prompt.kind == types.ALIGN else _BOX
  return prompt.opening + text.partition(end)[0]


def extract_program(reply: str) -> str | None:
  """The last Python block of a reply, else its last untagged one, else None."""
  blocks = [(m[1].lower(), m[2].strip('\n')) for m in _FENCED.finditer(reply)]
  for tags in (_PYTHON_TAGS, ('',)):
    bodies = [body for tag, body in blocks if tag in tags and body.strip()]
    if bodies:
      return bodies[-1]
  return None


def extract_answer(reply: str) -> str | None:
  r"""What the last \boxed{...} holds, braces matched, or None.

  Where the answer's own braces do not match, it reaches to the last brace.
  Line ends around the answer do not belong to it.
  """
  start = reply.rfind(_BOX)
  if start < 0:
    return None
  start += len(_BOX)
  depth = 1
  for i in range(start, len(reply)):
    depth += {'{': 1, '}': -1}.get(reply[i], 0)
    if depth == 0:
      return reply[start:i].strip('\n')
  end = reply.rfind('}', start)
  return reply[start:end].strip('\n') if end >= 0 else None


def _headers(style: str) -> dict[str, str]:
  styles = STYLES | {COMPLETION: _COMPLETION}
  if style not in styles:
    raise errors.unknown('prompt style', style, styles)
  return styles[style]


def _tail(style: str) -> str:
  return f'\nOutput: {_BOX}' if style == COMPLETION else ''


def _run(program: str, stdin: str) -> str:
  code = program.strip('\n')
  return f'```python\n{code}\n```\n{_input(stdin)}'


def _input(stdin: str) -> str:
  text = stdin.rstrip('\n')
  return f'Input:\n{text}\n' if text else ''


def _signature(statement: str, name: str, is_method: bool) -> str:
  """The function's head as the statement has it, else its bare name."""
  indent = ' *' if is_method else ''
  head = rf'^{indent}def ({re.escape(name)}\(.*\)[^:\n]*):'
  found = re.search(head, statement, re.MULTILINE)
  return found[1].strip() if found else name


def _is_source(statement: str, name: str) -> bool:
  """Whether it is source that ends in the function, as yet without a body."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      body = ast.parse(statement).body
  except (SyntaxError, ValueError):
    return False
  last = body[-1] if body else None
  return isinstance(last, ast.FunctionDef) and last.name == name


def _docstring(text: str, indent: str = '') -> str:
  """A literal of the text that stands by itself, and the end of its line."""
  text = re.sub('\r\n?', '\n', text).strip().replace('\\', r'\\')
  # So that no three quotes are left, the closing ones counted.
  text = re.sub(r'"(?="")|"\Z', r'\\"', text).replace('\0', r'\x00')
  first, *rest = text.split('\n')
  if not rest:
    return f'{indent}"""{first}"""\n'
  lines = [f'{indent}"""{first}']
  lines += [f'{indent}{line}' if line.strip() else '' for line in rest]
  return '\n'.join([*lines, f'{indent}"""\n'])
