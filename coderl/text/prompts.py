"""Writes the prompts of the policy.

There are four kinds of prompt (see types.py). Each is a header followed by the
problem statement, or by the program, its input and the target variables. A
style is a choice of headers:

  paper: full instructions after CodeRL+ (arXiv 2510.18471, official code
    jiangxxxue/CODERLPLUS).
  compact: a few words, for a policy of some million parameters and a small
    vocabulary.
  completion: text for a policy that continues text and follows no
    instructions. It ends inside the function to write, or after one worked
    example.

`generation`, `alignment`, `reasoning` and `test_output` write the text; `make`
encodes it as a types.Prompt. replies.py reads the replies.

The official prompts differ from ours. Our example of an alignment answer is
valid JSON on one line. Fences start on a separate line. Variables carry
their function's name, so that a prompt can ask for locals. The value asked for
is the one of the last assignment, which is the one measured, not the value 'at
the moment the code outputs'. The instructions come first and the names last, so
that the hidden state of a name has seen the whole prompt.
"""

import ast
from collections.abc import Sequence
import re
import string
from typing import Any, NamedTuple
import warnings

from coderl import types
from coderl.text import replies, tokenization
from commons import errors

COMPLETION = 'completion'

# The last line of a reply to an alignment prompt.
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
# One worked example each: more would leave no room in a short prompt.
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
STYLES = {'paper': _PAPER, 'compact': _COMPACT}  # The chat styles.
_JSON = '{"variables": {"'
# The start of the answer, which the text of a completion ends with.
_OPENINGS = {
  types.ALIGN: _JSON,
  types.REASON: replies.BOX,
  types.TEST_OUTPUT: replies.BOX,
}
_VISIBLE = string.digits + string.ascii_letters + string.punctuation
_STOPS = {
  # A line that is not indented lies behind the function.
  types.GENERATE: tuple(f'\n{character}' for character in _VISIBLE),
  types.ALIGN: ('\n',),
  # Answers may hold braces, but rarely one at the end of a line.
  types.REASON: ('}\n',),
  types.TEST_OUTPUT: ('}\n',),
}
_INDENT = 4 * ' '


class Completion(NamedTuple):
  """Source to continue.

  Attributes:
    text: the prompt.
    opening, closing: source before and after the reply in the program; see
      types.Prompt.
  """

  text: str
  opening: str
  closing: str = ''


def generation(problem: types.Problem, style: str) -> str:
  """Returns a prompt for a program, or for the function `entry_point`."""
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
  """Returns source that ends where the reply is to continue it.

  A statement that is source already (HumanEval) is the text. In a statement
  that ends in the head of the function (MBPP), the part before the head becomes
  the docstring below it. Any other statement becomes a docstring above the
  head, and the reply writes the parameters. The opening has no docstring and no
  `problem.prefix`, because the prefix is put before every program.
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
  # The head of a method includes the line of its class.
  head = rf'(?:^class \w+:\n)?^( *)def {re.escape(name)}\(.*\)[^:\n]*:\s*\Z'
  match = re.search(head, problem.statement, re.MULTILINE)
  if match is None:
    opening = f'def {name}('
    text = f'{prefix}{_docstring(problem.statement)}\n\n{opening}'
    return Completion(text, opening)
  opening = match[0].rstrip() + '\n'
  statement = problem.statement[: match.start()]
  docstring = _docstring(statement, match[1] + _INDENT)
  return Completion(f'{prefix}{opening}{docstring}', opening)


def alignment(
  program: str, stdin: str, names: Sequence[str], style: str
) -> tuple[str, tuple[int, ...]]:
  """Returns a prompt for the output and the final variables of a run.

  Args:
    program: the program's source.
    stdin: its input.
    names: the qualified names of the target variables, at least one.
    style: a name of the module's docstring.

  Returns:
    The text, and for each name the index just past its last character in the
    list of target variables. A chat style's text ends with that list.
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
  """Returns a prompt for what a program prints."""
  text = _headers(style)[types.REASON] + _run(program, stdin)
  return text.rstrip('\n') + _tail(style)


def test_output(problem: types.Problem, stdin: str, style: str) -> str:
  """Returns a prompt for the right output for `stdin`, which may be a call."""
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
  """Encodes the text of a prompt.

  Args:
    kind: a prompt kind of types.py.
    text: what one of the functions above returned for `kind` and `style`.
    problem: the problem that the text is about.
    tokenizer: encodes the text.
    style: the style of the text.
    **fields: further fields of the prompt.

  Returns:
    The prompt, and for each token the [start, end) characters of the text that
    it covers.
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


def _headers(style: str) -> dict[str, str]:
  styles = STYLES | {COMPLETION: _COMPLETION}
  if style not in styles:
    raise errors.unknown('prompt style', style, styles)
  return styles[style]


def _tail(style: str) -> str:
  return f'\nOutput: {replies.BOX}' if style == COMPLETION else ''


def _run(program: str, stdin: str) -> str:
  code = program.strip('\n')
  return f'```python\n{code}\n```\n{_input(stdin)}'


def _input(stdin: str) -> str:
  text = stdin.rstrip('\n')
  return f'Input:\n{text}\n' if text else ''


def _signature(statement: str, name: str, is_method: bool) -> str:
  """Returns the function's head in the statement, else its bare name."""
  indent = ' *' if is_method else ''
  head = rf'^{indent}def ({re.escape(name)}\(.*\)[^:\n]*):'
  match = re.search(head, statement, re.MULTILINE)
  return match[1].strip() if match else name


def _is_source(statement: str, name: str) -> bool:
  """Returns whether `statement` is source that ends in the function `name`."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      body = ast.parse(statement).body
  except (SyntaxError, ValueError):
    return False
  last = body[-1] if body else None
  return isinstance(last, ast.FunctionDef) and last.name == name


def _docstring(text: str, indent: str = '') -> str:
  """Returns `text` as a docstring literal and a line break."""
  text = re.sub('\r\n?', '\n', text).strip().replace('\\', r'\\')
  # Escaping leaves no three quotes in a row, even before the closing ones.
  text = re.sub(r'"(?="")|"\Z', r'\\"', text).replace('\0', r'\x00')
  first, *rest = text.split('\n')
  if not rest:
    return f'{indent}"""{first}"""\n'
  lines = [f'{indent}"""{first}']
  lines += [f'{indent}{line}' if line.strip() else '' for line in rest]
  return '\n'.join([*lines, f'{indent}"""\n'])
