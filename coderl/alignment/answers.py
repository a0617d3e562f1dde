"""Writes, parses and scores answers on the execution of a program (CodeRL+).

`answer_json` writes the right answer to an alignment prompt, `parse_answer`
parses a reply, and `score_answer` compares it with the results of the run
(arXiv 2510.18471). The reward made of these scores is in rewards.answers.

Differences from the official code (jiangxxxue/CODERLPLUS): there True == 1 ==
'1', a closing fence invalidates the answer, and an empty object earns 0.1; here
values are compared with their types, a closing fence is allowed, and the form
is valid only if every target variable is present.
"""

import collections
from collections.abc import Sequence
import decimal
import json
import math
import re
from typing import Any, NamedTuple

from coderl import types
from coderl.sandbox.tracing import values as tracing_values

_CALL = re.compile(r'\w\s*\(')


class Scores(NamedTuple):
  """The comparison of an answer with the run.

  Attributes:
    form: whether the answer parses and has every target variable.
    output_right: whether the output is right.
    variables_right: the number of target variables with the right value.
    variables_total: the number of target variables.
  """

  form: bool
  output_right: bool
  variables_right: int
  variables_total: int


def answer_json(expected: str, targets: Sequence[types.Target]) -> str:
  """Returns the right answer as one line of JSON.

  The variables come before the output and in the order of their assignment, so
  that each value can be derived from those already written.

  Args:
    expected: the text that the run prints.
    targets: the variables asked for.
  """
  variables = {}
  for target in targets:
    value = tracing_values.parse(target.value)
    variables[target.name] = value if _is_json(value) else target.value
  return json.dumps({'variables': variables, 'final_output': expected})


def parse_answer(reply: str) -> dict[str, Any] | None:
  """Returns the JSON object on the last line of a reply, or None if invalid.

  Valid: exactly the keys final_output (a string) and variables (an object), no
  duplicate key, no NaN, Infinity or number beyond float64, all on one line. A
  closing fence may follow.
  """
  lines = [line.strip() for line in reply.splitlines()]
  lines = [line for line in lines if line and line != '```']
  try:
    answer = json.loads(
      lines[-1] if lines else '',
      object_pairs_hook=_without_duplicates,
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
  valid = isinstance(output, str) and isinstance(variables, dict)
  return answer if valid else None


def as_json(reply: str) -> str:
  """Returns the last line of a reply, converted from Python's notation to JSON.

  This tells a right answer in the wrong notation from a wrong answer. A reply
  whose last line is not plain data that JSON can hold is returned unchanged.
  """
  last_line = reply.strip().rpartition('\n')[2]
  try:
    answer = tracing_values.parse(last_line)
  except ValueError:
    return reply
  return json.dumps(answer) if _is_json(answer) else reply


def score_answer(
  reply: str, expected: str, targets: Sequence[types.Target]
) -> Scores:
  """Compares a reply with the results of the run.

  Without a valid form nothing counts as right. Values are compared with their
  types at every depth, outputs without trailing white space (`normalise`).

  Args:
    reply: the text that ends in the answer.
    expected: the text that the run prints.
    targets: the variables asked for and their values.
  """
  answer = parse_answer(reply)
  names = {target.name for target in targets}
  if answer is None or not names <= set(answer['variables']):
    return Scores(False, False, 0, len(targets))
  variables = answer['variables']
  right = sum(_equals(variables[t.name], t.value) for t in targets)
  output = normalise(answer['final_output']) == normalise(expected)
  return Scores(True, output, right, len(targets))


def normalise(output: str) -> str:
  """Removes trailing white space from lines, and trailing empty lines."""
  return '\n'.join(line.rstrip() for line in output.split('\n')).rstrip('\n')


def is_plain(text: str) -> bool:
  """Returns whether the text is the canonical text of plain data."""
  try:
    tracing_values.parse(text)
  except ValueError:
    return False
  return True


def _is_json(value: Any) -> bool:
  """Returns whether the value is the same after a round trip through JSON."""
  if type(value) is float:
    return math.isfinite(value)
  if type(value) is list:
    return all(map(_is_json, value))
  if type(value) is dict:
    return all(type(key) is str for key in value) and all(
      map(_is_json, value.values())
    )
  return value is None or type(value) in (bool, int, str)


def _equals(answer: Any, text: str) -> bool:
  """Returns whether an answered value equals the value with canonical `text`.

  A value that JSON cannot hold is answered by a string with its literal. A
  literal with a call, such as 'deque([1])', has to be the canonical text
  itself, because evaluating a call may take any amount of work.
  """
  value = tracing_values.parse(text)
  if not _is_json(value):
    if type(answer) is not str:
      return False
    if answer.strip() == text:
      return True
    if _CALL.search(answer) or not is_plain(answer):
      return False
    answer = tracing_values.parse(answer)
  return _with_types(answer) == _with_types(value)


def _with_types(value: Any) -> Any:
  """Returns a hashable that equals another only if values and types do."""
  kind = type(value).__name__
  if isinstance(value, dict):
    return kind, frozenset(
      (_with_types(k), _with_types(v)) for k, v in value.items()
    )
  if isinstance(value, set | frozenset):
    return kind, frozenset(map(_with_types, value))
  if isinstance(value, list | tuple | collections.deque | bytearray):
    return kind, tuple(map(_with_types, value))
  # The text of a NaN equals itself, the NaN does not.
  is_real = isinstance(value, float | decimal.Decimal)
  return kind, repr(value) if is_real else value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  if len(dict(pairs)) < len(pairs):
    raise ValueError('duplicate key')
  return dict(pairs)


def _finite(text: str) -> float:
  number = float(text)
  if not math.isfinite(number):
    raise ValueError(f'{text} is not a JSON number')
  return number
