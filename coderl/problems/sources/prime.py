"""The parquet layout of PRIME's data, on which CodeRL+ trains.

Columns: prompt (chat messages), reward_model (with ground_truth, the tests as
JSON) and data_source. A file is one split.
"""

from collections.abc import Iterator, Mapping
import functools
import json
from typing import Any

from coderl import types
from coderl.problems import readers
from coderl.problems.sources import record
from coderl.sandbox.tracing import values

_COLUMNS = ['prompt', 'reward_model', 'data_source']


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the problems of a file in its order."""
  del split, seed  # There is one split, and nothing is generated.
  for number, row in enumerate(readers.parquet_rows(path, _COLUMNS)):
    yield readers.checked(f'{path}: row {number}', to_problem, row, number)


def to_problem(row: Mapping[str, Any], number: int) -> types.Problem:
  """Returns the problem of a row; `number` makes its id."""
  name, cases = _read_tests(row['reward_model'])
  make_test = functools.partial(_call_test, name) if name else _stdin_test
  messages = [
    message.get('content')
    for message in row['prompt'] or ()
    if isinstance(message, dict) and message.get('role') == 'user'
  ]
  if not messages or not isinstance(messages[-1], str):
    raise ValueError("expected a prompt with a message of the role 'user'")
  return types.Problem(
    id=f'prime/{number}',
    statement=messages[-1],
    tests=tuple(make_test(*case) for case in cases),
    entry_point=name,
    source=row['data_source'],
  )


def _read_tests(
  reward_model: Any,
) -> tuple[str | None, Iterator[tuple[Any, Any]]]:
  """Returns the tested function, None for none, and the (input, output)s."""
  if not isinstance(reward_model, dict) or 'ground_truth' not in reward_model:
    raise ValueError(
      f'expected reward_model to hold ground_truth, not {reward_model!r:.40}'
    )
  truth = json.loads(reward_model['ground_truth'])
  if not isinstance(truth, dict) or not {'inputs', 'outputs'} <= truth.keys():
    raise ValueError('expected ground_truth to hold inputs and outputs')
  cases = zip(truth['inputs'], truth['outputs'], strict=True)
  return truth.get('fn_name'), cases


def _stdin_test(stdin: str | list[str], stdout: str | list[str]) -> types.Test:
  """Makes a test of texts; some rows have lists of lines in their place."""
  texts = [t if isinstance(t, str) else '\n'.join(t) for t in (stdin, stdout)]
  return types.Test(stdin=texts[0], expected=texts[1])


def _call_test(name: str, arguments: Any, output: Any) -> types.Test:
  """Makes a test of a call.

  Arguments and output are lines of JSON, or a list of arguments and a list that
  contains only the output.
  """
  if isinstance(arguments, str):
    arguments = [json.loads(line) for line in arguments.splitlines()]
    value = json.loads(output)
  else:
    is_wrapped = isinstance(output, list) and len(output) == 1
    value = output[0] if is_wrapped else output
  return types.Test(
    call=f'{name}({", ".join(map(repr, arguments))})',
    expected=values.canonical(value, **values.CALL_LIMITS)[0],
  )


SOURCE = record.Source('prime', ('train',), read, record.Data())
