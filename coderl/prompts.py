"""What the policy is asked, and how its replies are read.

Four kinds of prompt (see types), each a header and then the matter: the
statement, or the program, its input and the variables asked for. A style is a
choice of headers: 'paper' holds full instructions in the spirit of CodeRL+
(arXiv 2510.18471, official code jiangxxxue/CODERLPLUS); 'compact' holds a few
words, for a policy of some million parameters and a small vocabulary.

Against the official prompts: the example of an alignment answer is valid JSON
on one line; fences open on a line of their own; variables are named with
their function, so that locals can be asked for; and their value is defined as
the one of the last assignment, which is what is measured, not as the one 'at
the moment the code outputs'. The instructions come first and the names last,
so that a name's hidden state has seen everything.

Against its readers of replies: a fence may be tagged `py` or not at all and
may lack its end, and a boxed answer may hold braces and line ends.
"""

from collections.abc import Sequence
import re

from coderl import errors, types

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
  types.ALIGN: 'Trace the program.\n',
  types.REASON: 'Run the program.\n',
  types.TEST_OUTPUT: 'Predict the output.\n',
}
STYLES = {'paper': _PAPER, 'compact': _COMPACT}

# A block from a line that opens a fence to a line that ends in one, else to
# the next tagged fence, else to the end. Groups: tag, body.
_FENCED = re.compile(
  r'^[ \t]*```[ \t]*([\w+-]*)[ \t]*\n'
  r'(.*?)'
  r'(?:```[ \t]*$|(?=^[ \t]*```[ \t]*\w)|\Z)',
  re.MULTILINE | re.DOTALL,
)
_PYTHON_TAGS = ('python', 'python3', 'py')


def generation(problem: types.Problem, style: str) -> str:
  """Asks for a program, or for the function `problem.entry_point`."""
  headers = _headers(style)
  if problem.entry_point is None:
    return headers['program'] + problem.statement
  signature = _signature(problem.statement, problem.entry_point)
  return headers['function'].replace('{signature}', signature) + (
    problem.statement
  )


def alignment(
  program: str, stdin: str, names: Sequence[str], style: str
) -> tuple[str, tuple[int, ...]]:
  """Asks for the output and the final variables of a run.

  Returns the text and, for each name, the index of the character just past it
  in the list of target variables. The text ends with that list.
  """
  text = _headers(style)[types.ALIGN] + _run(program, stdin) + 'Variables: '
  ends = []
  for i, name in enumerate(names):
    text += (', ' if i else '') + name
    ends.append(len(text))
  return text, tuple(ends)


def reasoning(program: str, stdin: str, style: str) -> str:
  """Asks what a program prints."""
  return (_headers(style)[types.REASON] + _run(program, stdin)).rstrip('\n')


def test_output(problem: types.Problem, stdin: str, style: str) -> str:
  """Asks what a right solution gives for `stdin`, which may be a call."""
  header = _headers(style)[types.TEST_OUTPUT]
  text = f'{header}{problem.statement.rstrip()}\n{_input(stdin)}'
  return text.rstrip('\n')


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
  opening = '\\boxed{'
  start = reply.rfind(opening)
  if start < 0:
    return None
  start += len(opening)
  depth = 1
  for i in range(start, len(reply)):
    depth += {'{': 1, '}': -1}.get(reply[i], 0)
    if depth == 0:
      return reply[start:i].strip('\n')
  end = reply.rfind('}', start)
  return reply[start:end].strip('\n') if end >= 0 else None


def _headers(style: str) -> dict[str, str]:
  if style not in STYLES:
    raise errors.unknown('prompt style', style, STYLES)
  return STYLES[style]


def _run(program: str, stdin: str) -> str:
  code = program.strip('\n')
  return f'```python\n{code}\n```\n{_input(stdin)}'


def _input(stdin: str) -> str:
  text = stdin.rstrip('\n')
  return f'Input:\n{text}\n' if text else ''


def _signature(statement: str, entry_point: str) -> str:
  """The function's head as the statement has it, else its bare name."""
  head = rf'^def ({re.escape(entry_point)}\(.*\)[^:\n]*):'
  found = re.search(head, statement, re.MULTILINE)
  return found[1].strip() if found else entry_point
