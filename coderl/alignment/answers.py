"""Answers on a program's execution: written, read and scored (CodeRL+).

`answer_json` writes the right answer of an alignment prompt, `parse_answer`
reads a reply, and `score_answer` compares it with what the run gave
(arXiv 2510.18471).

Against the official code (jiangxxxue/CODERLPLUS): there True == 1 == '1', a
closing fence costs everything, and an empty object earns a tenth; here values
compare with their types, a fence after the answer is tolerated, and form needs
every variable asked for.
"""

import collections
from collections.abc import Sequence
import decimal
import json
import math
import re
from typing import Any, NamedTuple

from coderl import types
from coderl.sandbox.tracing import values as values_lib

_CALL = re.compile(r'\w\s*\(')


class Scores(NamedTuple):
  """Of one answer: whether its form holds, and how much of it is right."""

  form: bool
  output_right: bool
  variables_right: int
  variables_total: int


def answer_json(expected: str, targets: Sequence[types.Target]) -> str:
  """The right answer's one line, for a task or a prompt's fields.

  The variables come before the output, in the order they were defined: so each
  value can be worked out from the ones already written.
  """
  values = {}
  for target in targets:
    value = values_lib.parse(target.value)
    values[target.name] = value if _is_json(value) else target.value
  return json.dumps({'variables': values, 'final_output': expected})


def parse_answer(reply: str) -> dict[str, Any] | None:
  """The JSON object on a reply's last line, or None where it is not strict.

  Strict: exactly the keys final_output (a string) and variables (an object),
  no duplicate key, no NaN, Infinity or number beyond float64. A fence that
  closes after it is tolerated; an object spread over lines is not.
  """
  lines = [line.strip() for line in reply.splitlines()]
  lines = [line for line in lines if line and line != '```']
  try:
    answer = json.loads(
      lines[-1] if lines else '',
      object_pairs_hook=_unique,
      parse_constant=_finite,
      parse_float=_finite,
    )
  except (ValueError, RecursionError):
    return None
  if not isinstance(answer, dict) or set(answer) != {
    'final_output',
    'variables',
  }:
    return None
  output, variables = answer['final_output'], answer['variables']
  well = isinstance(output, str) and isinstance(variables, dict)
  return answer if well else None


def as_json(reply: str) -> str:
  """The last line of a reply, turned from Python's notation into JSON.

  So a right answer in the wrong notation can be told from a wrong one. Where
  the last line is no plain data that JSON can hold, the reply is left alone.
  """
  last = reply.strip().rpartition('\n')[2]
  try:
    answer = values_lib.parse(last)
  except ValueError:
    return reply
  return json.dumps(answer) if _is_json(answer) else reply


def score_answer(
  reply: str, expected: str, targets: Sequence[types.Target]
) -> Scores:
  """Compares a reply with what the run gave.

  Form holds where the answer parses and has every variable asked for; without
  it nothing is right. Values compare with their types, all the way
  down; outputs compare as tests do (`normalise`).
  """
  answer = parse_answer(reply)
  names = {target.name for target in targets}
  if answer is None or not names <= set(answer['variables']):
    return Scores(False, False, 0, len(targets))
  right = sum(_holds(answer['variables'][t.name], t.value) for t in targets)
  output = normalise(answer['final_output']) == normalise(expected)
  return Scores(True, output, right, len(targets))


def normalise(output: str) -> str:
  """Output without the white space that ends its lines or itself."""
  return '\n'.join(line.rstrip() for line in output.split('\n')).rstrip('\n')


def is_plain(text: str) -> bool:
  """Whether the text is the canonical text of plain data."""
  try:
    values_lib.parse(text)
  except ValueError:
    return False
  return True


def _is_json(value: Any) -> bool:
  """Whether JSON can hold the value and give it back the same."""
  if type(value) is float:
    return math.isfinite(value)
  if type(value) is list:
    return all(map(_is_json, value))
  if type(value) is dict:
    return all(type(key) is str for key in value) and all(
      map(_is_json, value.values())
    )
  return value is None or type(value) in (bool, int, str)


def _holds(answer: Any, text: str) -> bool:
  """Whether an answered value is the one whose canonical text is `text`.

  What JSON cannot hold is answered by a string with a literal of it; one with
  a call, such as 'deque([1])', has to be the canonical text itself, since a
  call may ask for any amount of work.
  """
  value = values_lib.parse(text)
  if not _is_json(value):
    if type(answer) is not str:
      return False
    if answer.strip() == text:
      return True
    if _CALL.search(answer) or not is_plain(answer):
      return False
    answer = values_lib.parse(answer)
  return _typed(answer) == _typed(value)


def _typed(value: Any) -> Any:
  """A hashable that is equal for equal values of equal types alone."""
  kind = type(value).__name__
  if isinstance(value, dict):
    return kind, frozenset((_typed(k), _typed(v)) for k, v in value.items())
  if isinstance(value, set | frozenset):
    return kind, frozenset(map(_typed, value))
  if isinstance(value, list | tuple | collections.deque | bytearray):
    return kind, tuple(map(_typed, value))
  # By its text a NaN is equal to itself.
  is_real = isinstance(value, float | decimal.Decimal)
  return kind, repr(value) if is_real else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  if len(dict(pairs)) < len(pairs):
    raise ValueError('duplicate key')
  return dict(pairs)


def _finite(text: str) -> float:
  number = float(text)
  if not math.isfinite(number):
    raise ValueError(f'{text} is not a JSON number')
  return number
