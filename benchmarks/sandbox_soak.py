"""Runs tens of thousands of programs in one sandbox, one in ten hostile.

  python benchmarks/sandbox_soak.py --json soak.json

The programs are a random mix with a seed, so that every pass runs the same. The
script asserts that

  every program ends as its kind must, and none with SANDBOX_FAILURE;
  the memory of this process grows by at most 5 % from the first tenth of the
  first pass to the end;
  no process and no open file is left, here or in a worker, and no worker was
  replaced.

It prints how the programs ended, and the resources that were used.
"""

import argparse
import collections
from collections.abc import Iterator, Sequence
import dataclasses
import json
import os
import pathlib
import random
import sys
import time

import processes
import tqdm

from coderl.sandbox import sandbox
from coderl.sandbox.isolation import syscalls

Status = sandbox.Status

_LIMITS = sandbox.Limits(
  cpu_s=0.2,
  wall_s=1.0,
  memory_mb=128,
  output_kb=16,
  file_kb=256,
  processes=4,
  threads=4,
)
_BATCH = 200
_MAX_GROWTH = 1.05
_HOSTILE_SHARE = 0.1

# Kind -> source, expected status, expected output.
_HOSTILE = {
  'fork bomb': (
    'import os\nwhile True:\n  os.fork()\n',
    Status.PROCESS_LIMIT,
    '',
  ),
  'daemon': (
    'import os\n'
    'if not os.fork():\n'
    '  os.setsid()\n'
    '  if not os.fork():\n'
    '    while True:\n'
    '      pass\n'
    '  os._exit(0)\n'
    'os.wait()\n'
    'print("left")\n',
    Status.FINISHED,
    'left\n',
  ),
  'memory bomb': (
    'kept = []\nwhile True:\n  kept.append(bytearray(1 << 20))\n',
    Status.MEMORY_LIMIT,
    '',
  ),
  'endless output': (
    'while True:\n  print("x" * 1023)\n',
    Status.OUTPUT_LIMIT,
    ('x' * 1023 + '\n') * _LIMITS.output_kb,
  ),
  'spin': ('while True:\n  pass\n', Status.CPU_LIMIT, ''),
  'stubborn spin': (
    'import signal\n'
    'for number in {*signal.valid_signals()} - {9, 19, 32, 33}:\n'
    '  signal.signal(number, signal.SIG_IGN)\n'
    'while True:\n'
    '  try:\n'
    '    while True:\n'
    '      pass\n'
    '  except BaseException:\n'
    '    pass\n',
    Status.CPU_LIMIT,
    '',
  ),
  'sleep': ('import time\ntime.sleep(1000)\n', Status.WALL_LIMIT, ''),
  'early exit': (
    'import os\nprint("unflushed")\nos._exit(0)\n',
    Status.FINISHED,
    '',
  ),
  'exit status': ('raise SystemExit(3)\n', Status.RUNTIME_ERROR, ''),
  'exit at exit': (
    'import atexit, os\natexit.register(os._exit, 5)\n',
    Status.RUNTIME_ERROR,
    '',
  ),
  'closed files': (
    'import os\nos.closerange(0, 1 << 16)\n',
    Status.FINISHED,
    '',
  ),
  'killing': (
    'import contextlib, os\n'
    'for pid in (-1, 0, os.getppid(), *range(1, 200)):\n'
    '  if pid != os.getpid():\n'
    '    with contextlib.suppress(OSError):\n'
    '      os.kill(pid, 9)\n'
    'print("alone")\n',
    Status.FINISHED,
    'alone\n',
  ),
  'thread bomb': (
    'import threading, time\n'
    'while True:\n'
    '  threading.Thread(target=time.sleep, args=[99], daemon=True).start()\n',
    Status.THREAD_LIMIT,
    '',
  ),
  'full scratch': (
    'import itertools\n'
    'for number in itertools.count():\n'
    '  with open(f"{number}", "wb") as file:\n'
    '    file.write(bytes(200_000))\n',
    Status.FILE_LIMIT,
    '',
  ),
  'large file': (
    'with open("file", "wb") as file:\n'
    '  while True:\n'
    '    file.write(bytes(100_000))\n',
    Status.FILE_LIMIT,
    '',
  ),
  'crash': (
    'import ctypes\nctypes.string_at(0)\n',
    Status.RUNTIME_ERROR,
    '',
  ),
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A program, and its expected status, output and value."""

  kind: str
  program: sandbox.Program
  status: Status
  stdout: str = ''
  value: str | None = None


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--json', type=pathlib.Path, help='file to write the results to'
  )
  parser.add_argument(
    '--programs', type=int, default=20_000, help='programs in each pass'
  )
  parser.add_argument('--passes', type=int, default=2)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
  args = parser.parse_args(argv)
  if args.programs % (10 * _BATCH):
    parser.error(f'--programs must be a multiple of {10 * _BATCH}')
  return args


def make_case(rng: random.Random) -> Case:
  comment = f'# {rng.getrandbits(64)}\n'  # Makes the source unique.
  if rng.random() < _HOSTILE_SHARE:
    kind = rng.choice([*_HOSTILE])
    source, status, stdout = _HOSTILE[kind]
    return Case(kind, sandbox.Program(source + comment), status, stdout)
  numbers = [rng.randrange(1000) for _ in range(rng.randrange(1, 50))]
  text = ' '.join(map(str, numbers))
  return rng.choice([_printed, _printed, _called, _traced, _checked, _raised])(
    comment, numbers, text
  )


def _printed(comment: str, numbers: list[int], text: str) -> Case:
  source = f'print(*sorted(map(int, input().split())))\n{comment}'
  stdout = ' '.join(map(str, sorted(numbers))) + '\n'
  program = sandbox.Program(source, text)
  return Case('printed', program, Status.FINISHED, stdout)


_FUNCTION = 'def total(numbers):\n  return sum(numbers)\n'


def _called(comment: str, numbers: list[int], text: str) -> Case:
  program = sandbox.Program(_FUNCTION + comment, call=f'total({numbers})')
  return Case('called', program, Status.FINISHED, value=str(sum(numbers)))


def _traced(comment: str, numbers: list[int], text: str) -> Case:
  source = f'last = 0\nfor number in {numbers}:\n  last = number\n{comment}'
  program = sandbox.Program(f'{source}print(last)\n', trace=True)
  return Case('traced', program, Status.FINISHED, f'{numbers[-1]}\n')


def _checked(comment: str, numbers: list[int], text: str) -> Case:
  program = sandbox.Program(
    _FUNCTION + comment,
    checker=f'assert total({numbers}) == {sum(numbers)}',
    entry_point='total',
  )
  return Case('checked', program, Status.FINISHED, value='True')


def _raised(comment: str, numbers: list[int], text: str) -> Case:
  source = f'print({text!r})\n{numbers}[{len(numbers)}]\n{comment}'
  program = sandbox.Program(source)
  return Case('raised', program, Status.RUNTIME_ERROR, f'{text}\n')


def run_cases(
  runner: sandbox.Sandbox, cases: Sequence[Case]
) -> Iterator[tuple[str, str]]:
  """Yields the kind and status of each case, and the error if it is wrong."""
  executions = runner.run([case.program for case in cases])
  for case, execution in zip(cases, executions, strict=True):
    actual = execution.status, execution.stdout, execution.value
    expected = case.status, case.stdout, case.value
    error = '' if actual == expected else f'{case}: {execution}'
    yield f'{case.kind}: {execution.status.value}', error


def soak(args: argparse.Namespace) -> dict:
  """Runs all passes and returns their counts and resources."""
  counts, differing, early = collections.Counter(), [], None
  start_s, start_cpu_s = time.monotonic(), processes.cpu_s()
  programs = args.passes * args.programs
  with (
    sandbox.Sandbox(_LIMITS, args.workers) as runner,
    tqdm.tqdm(total=programs, unit='program') as bar,
  ):
    for done in range(0, programs, _BATCH):
      if done % args.programs == 0:
        rng = random.Random(args.seed)
      if early is None and done >= args.programs // 10:
        early = resources()
      cases = [make_case(rng) for _ in range(_BATCH)]
      for outcome, error in run_cases(runner, cases):
        counts[outcome] += 1
        differing += [error] * bool(error)
      bar.update(_BATCH)
    late = resources()
  return {
    'programs': programs,
    'programs_per_s': programs / (time.monotonic() - start_s),
    'cpu_ms': 1000 * (processes.cpu_s() - start_cpu_s) / programs,
    'early': early,
    'late': late,
    'ended': dict(sorted(counts.items())),
    'differing': differing,
  }


def resources() -> dict:
  return {
    'rss_mb': processes.rss_mb(),
    'open_files': processes.descriptors(),
  }


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  # A process that outlives its worker becomes a child of this process.
  syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
  before = processes.descriptors()
  report = soak(args)
  after = processes.descriptors()
  for outcome, count in report['ended'].items():
    print(f'{outcome:32}{count:8}')
  early, late = report['early'], report['late']
  print(f'{report["programs_per_s"]:.1f} programs/s, {report["cpu_ms"]:.1f} ms')
  print(f'MiB: {early["rss_mb"]:.1f}, then {late["rss_mb"]:.1f}')
  for error in report['differing']:
    print(error)
  if args.json:
    args.json.write_text(json.dumps(report, indent=2) + '\n')
  assert not report['differing']
  assert late['open_files'] == early['open_files'], (early, late)
  assert late['rss_mb'] <= _MAX_GROWTH * early['rss_mb'], (early, late)
  assert after == before, f'open files of processes: {before}, then {after}'


if __name__ == '__main__':
  main(sys.argv[1:])
