r"""Reads the policy's replies: the program or the answer that they hold.

`read` joins a reply with the prompt that it continues, `extract_program` finds
the fenced block of a chat reply, `extract_answer` the last \boxed{...}.

The official readers (jiangxxxue/CODERLPLUS) are stricter. Here a fence may be
tagged `py` or not at all and may lack its closing fence, and a boxed answer may
hold braces and line breaks.
"""

import re

from coderl import types

BOX = '\\boxed{'  # Opens a boxed answer; prompts.py asks for one.

# A line break before a line that is not indented.
_MARGIN = re.compile(r'\n(?=\S)')

# A fenced block. It ends at a line that ends in a fence, else before the next
# tagged fence, else at the end of the text. Groups: tag, body.
_FENCED = re.compile(
  r'^[ \t]*```[ \t]*([\w+-]*)[ \t]*\n'
  r'(.*?)'
  r'(?:```[ \t]*$|(?=^[ \t]*```[ \t]*\w)|\Z)',
  re.MULTILINE | re.DOTALL,
)
_PYTHON_TAGS = ('python', 'python3', 'py')


def read(prompt: types.Prompt, reply: str) -> str | None:
  """Returns the program of a reply, or the text that holds its answer.

  Args:
    prompt: the prompt that was sampled from.
    reply: the sampled text, up to its stop string or longer.

  Returns:
    For a GENERATE prompt the program, or None if the reply holds none. For any
    other kind the text that the answer's parser reads.
  """
  if prompt.kind == types.GENERATE:
    if not prompt.completion:
      return extract_program(reply)
    body = _MARGIN.split(reply, maxsplit=1)[0]
    return prompt.opening + body + prompt.closing if body.strip() else None
  if not prompt.completion:
    return reply
  # A policy that continues a text goes on with a question that it made up.
  end = '\n' if prompt.kind == types.ALIGN else BOX
  return prompt.opening + reply.partition(end)[0]


def whole_program(problem: types.Problem, source: str) -> str:
  """Returns the program to run: the problem's prefix, then a reply's source."""
  return f'{problem.prefix}\n{source}' if problem.prefix else source


def extract_program(reply: str) -> str | None:
  """Returns the last Python block of a reply, else its last untagged block.

  Blocks of blanks do not count. Returns None if there is no such block.
  """
  blocks = [
    (match[1].lower(), match[2].strip('\n'))
    for match in _FENCED.finditer(reply)
  ]
  for tags in (_PYTHON_TAGS, ('',)):
    bodies = [body for tag, body in blocks if tag in tags and body.strip()]
    if bodies:
      return bodies[-1]
  return None


def extract_answer(reply: str) -> str | None:
  r"""Returns the content of the last \boxed{...}, or None if there is none.

  Braces are matched. If the braces of the answer do not match, the answer
  extends to the last closing brace. Surrounding line breaks are removed.
  """
  start = reply.rfind(BOX)
  if start < 0:
    return None
  start += len(BOX)
  depth = 1
  for i in range(start, len(reply)):
    depth += {'{': 1, '}': -1}.get(reply[i], 0)
    if depth == 0:
      return reply[start:i].strip('\n')
  end = reply.rfind('}', start)
  return reply[start:end].strip('\n') if end >= 0 else None
