"""CodeI/O: programs with plain, repeatable outputs become problems."""

import gzip
import json

from coderl.problems.sources import codeio
from coderl.sandbox.tracing import values

ROW = {
  'task_description': 'Halve.',
  'input_output_spec': 'n -> n / 2',
  'code_sample': 'def main_solution(n):\n  return {"half": n / 2}',
  'input_generator': 'def generate_inputs(rng: Random) -> dict:\n'
  '  return {"n": rng.randint(0, 10**9)}',
  'difficulty': 4,
}
UNSUITABLE = [
  'return object()',
  'import os; return os.urandom(8)',
  'raise ValueError',
  'return [0] * (1 << 30)',
]


def test_programs_with_plain_repeatable_outputs_are_kept(tmp_path):
  path = str(tmp_path / 'rows.jsonl.gz')
  unsuitable = [
    {**ROW, 'code_sample': f'def main_solution(n):\n  {body}'}
    for body in UNSUITABLE
  ]
  with gzip.open(path, 'wt') as file:
    rows = [*unsuitable, *[ROW] * 6]
    file.writelines(json.dumps(row) + '\n' for row in rows)
  problems = list(codeio.read('train', path, 0))
  assert [p.id for p in problems] == [f'codeio/{i}' for i in (5, 6, 7, 8, 9)]
  assert problems == list(codeio.read('train', path, 0))
  assert problems != list(codeio.read('train', path, 1))
  (heldout,) = codeio.read('heldout', path, 0)
  assert heldout.id == 'codeio/10'
  problem = problems[0]
  assert (problem.statement, problem.level) == ('Halve.\n\nn -> n / 2', 4)
  assert len({test.call for test in problem.tests}) == 3
  namespace = {}
  exec(problem.reference, namespace)
  for test in problem.tests:
    assert eval(test.call, namespace) == values.parse(test.expected)
