"""The one door to running programs.

`Sandbox.run` gives each program to a warm worker (zygote.py), which forks a
confined child (confine.py) for it. Sources, inputs and outputs pass as open
files between this process and the child, so that a worker never holds them;
expected outputs never leave this process.
"""

import argparse
from collections.abc import Collection, Sequence
from concurrent import futures
import contextlib
import dataclasses
import itertools
import logging
import marshal
import os
import queue
import secrets
import signal
import socket
import sys

from coderl.sandbox import api
from coderl.sandbox.isolation import confine, host_files, selftest
from coderl.sandbox.worker import ipc
from coderl.sandbox.worker import process as worker_lib
from commons import errors

Status = api.Status
Limits = api.Limits
Program = api.Program
Variable = api.Variable
Event = api.Event
Execution = api.Execution

# Beyond the wall limit: what a loaded machine may need to kill and to tell.
_GRACE_S = 15.0
_ATTEMPTS = 2
_INPUTS = 16  # Of one message; a message has room for some 250 files.
_SETUP_FAILED = 113  # zygote.SETUP_FAILED
_STARVED_TURNS = 2  # zygote.STARVED_TURNS


class Sandbox:
  """Runs programs, each confined in a process of its own.

  limits: of every program. workers: programs at a time; by default one a core.
  layers: of confine.LAYERS, to be used where the host's kernel lets them; what
  it refuses is logged in one line. require: those of them without which no
  program is to run.

  `run` may be called from any thread; from asyncio, through
  `asyncio.to_thread`. A worker that dies or no longer answers is replaced and
  its program tried once more, then reported as SANDBOX_FAILURE.

  Raises: UserError, a ValueError, for a layer or a count of workers that there
    is not, and for a layer of `require` that the host refuses.
  """

  def __init__(
    self,
    limits: Limits | None = None,
    workers: int | None = None,
    *,
    layers: Collection[str] = tuple(confine.LAYERS),
    require: Collection[str] = (),
  ):
    self.limits = limits or Limits()
    count = os.cpu_count() or 1 if workers is None else workers
    if count < 1:
      raise errors.UserError(f'sandbox workers={count}: must be at least 1')
    for name in (*layers, *require):
      if name not in confine.LAYERS:
        raise errors.unknown('sandbox layer', name, confine.LAYERS)
    self._settings = (dataclasses.asdict(self.limits), tuple(layers))
    self._workers = count
    self._pool = futures.ThreadPoolExecutor(count, 'sandbox')
    self._idle: queue.SimpleQueue[worker_lib.Worker | None] = (
      queue.SimpleQueue()
    )
    for worker in self._pool.map(lambda _: self._worker(), range(count)):
      self._idle.put(worker)
      self._refusals = worker.refusals
    self._tell(require)

  def _worker(self) -> worker_lib.Worker:
    return worker_lib.Worker(*self._settings)

  def _tell(self, require: Collection[str]) -> None:
    """Says what the host refuses, or fails where that is required."""
    refused = {name: why for name, why in self._refusals.items() if why}
    missing = [name for name in require if self._refusals.get(name, '-')]
    if missing:
      self.close()
      reasons = [f'{name} ({refused.get(name, "off")})' for name in missing]
      raise errors.UserError(
        f'sandbox layers required but refused: {", ".join(reasons)}'
      )
    parts = [f'{n} ({w}): {confine.LAYERS[n]}' for n, w in refused.items()]
    if os.geteuid() == 0 and self._refusals.get('mount', '-'):
      closed = host_files.closed_folder()
      if closed:
        parts.append(f'a way into {closed}: programs import little')
    if parts:
      logging.warning('Sandbox without %s', '; '.join(parts))

  def layers(self) -> dict[str, str]:
    """Layer -> '' where it holds, else why the host refused it."""
    return dict(self._refusals)

  def run(self, programs: Sequence[Program]) -> list[Execution]:
    """Runs programs; what each gave, in their order.

    Those of equal source that only read their inputs share processes, each as
    if it ran alone.
    """
    if not self._workers:
      raise RuntimeError('the sandbox is closed')
    batches = _batches(
      programs, min(_INPUTS, -(-len(programs) // self._workers))
    )
    ran = self._pool.map(
      lambda batch: self._run([programs[index] for index in batch]), batches
    )
    executions = dict(
      zip(itertools.chain(*batches), itertools.chain(*ran), strict=True)
    )
    return [executions[index] for index in range(len(programs))]

  def close(self) -> None:
    """Ends the workers, after the programs that still run."""
    self._pool.shutdown()
    for _ in range(self._workers):
      worker = self._idle.get()
      if worker:
        worker.close(timeout_s=5.0)
    self._workers = 0

  def __enter__(self) -> 'Sandbox':
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def _run(self, programs: list[Program]) -> list[Execution]:
    error = ''
    for _ in range(_ATTEMPTS):
      worker = self._idle.get()
      try:
        worker = worker or self._worker()
        return _execute(worker, programs, self.limits)
      except worker_lib.WorkerError as failure:
        error = str(failure)
        if worker:
          worker.close()
        worker = None  # The next program starts another.
      finally:
        self._idle.put(worker)
    failure = Execution(Status.SANDBOX_FAILURE, error=error)
    return [failure] * len(programs)


def _batches(programs: Sequence[Program], most: int) -> list[list[int]]:
  """Indices of what is run by one message to a worker, at most `most`."""
  groups: dict[object, list[int]] = {}
  for index, program in enumerate(programs):
    alone = program.trace or program.checker is not None
    key = (program.source, program.call is not None)
    groups.setdefault(index if alone else key, []).append(index)
  return [
    group[start : start + most]
    for group in groups.values()
    for start in range(0, len(group), most)
  ]


def _execute(
  worker: worker_lib.Worker, programs: list[Program], limits: Limits
) -> list[Execution]:
  """Runs one program on inputs; with a checker, on one and beside it."""
  first = programs[0]
  with contextlib.ExitStack() as stack:
    runs = [
      ipc.Files(program.stdin, program.call, stack) for program in programs
    ]
    own = [_dumped(_program_job(first, limits), stack), *runs[0].descriptors]
    files = [own, *(run.descriptors for run in runs[1:])]
    if first.checker is not None:
      checker, token = ipc.Files('', None, stack), secrets.token_hex()
      job = _checker_job(first, token)
      files.append([_dumped(job, stack), *checker.descriptors])
    _send(worker, files, len(runs))
    turns = 2 * len(runs) - 1  # What fails in another's process runs again.
    wall_s = turns * _STARVED_TURNS * limits.wall_s
    replies = worker.receive(wall_s + _GRACE_S)['runs']
    if first.checker is None:
      return [
        _result(run, program, reply, limits)
        for run, program, reply in zip(runs, programs, replies, strict=True)
      ]
    execution = _result(runs[0], first, replies[0], limits)
    return [_checked(execution, checker, token, replies[0], limits)]


def _dumped(job: dict, stack: contextlib.ExitStack) -> int:
  return ipc.sealed(marshal.dumps(job), stack)


def _send(
  worker: worker_lib.Worker, files: list[list[int]], inputs: int
) -> None:
  """Sends the files of one program; of a checker with the ends of a relay."""
  with contextlib.ExitStack() as stack:
    # Closed here once sent, so that either child sees the other's end.
    if len(files) > inputs:
      for own, end in zip(files, socket.socketpair(), strict=True):
        own.append(stack.enter_context(end).fileno())
    request = {'inputs': inputs, 'files': [len(own) for own in files]}
    worker.send(request, [*itertools.chain(*files)])


def _program_job(program: Program, limits: Limits) -> dict:
  return {
    'role': 'program',
    'source': program.source,
    'main': program.call is None and program.checker is None,
    'called': program.call is not None,
    'entry_point': program.entry_point,
    'trace': program.trace,
    'trace_events': limits.trace_events,
  }


def _checker_job(program: Program, token: str) -> dict:
  return {
    'role': 'checker',
    'called': False,
    'token': token,  # Given back once every assertion held.
    'source': program.checker,
    'entry_point': program.entry_point,
  }


def _result(
  run: ipc.Files, program: Program, reply: dict, limits: Limits
) -> Execution:
  end = _ended(run, reply, 0)
  stdout, stderr, over = run.output(limits.output_kb * 1024)
  called = program.call is not None
  most = (
    ipc.FAILURE_BYTES
    + called * ipc.VALUE_BYTES
    + program.trace * ipc.TRACE_BYTES
  )
  report = run.report(most)
  status, error = _status(end, reply, over, report.failure, limits)
  return Execution(
    status=status,
    stdout=stdout,
    stderr=stderr,
    error=error,
    value=(report.value or None) if called else None,
    wall_s=reply['wall_s'],
    cpu_s=end['cpu_s'],
    variables=report.variables() if program.trace else (),
    trajectory=report.events()[: limits.trace_events] if program.trace else (),
  )


def _ended(run: ipc.Files, reply: dict, index: int) -> dict:
  end = reply['ends'][index]
  if end['code'] == _SETUP_FAILED and not run.started():
    raise worker_lib.WorkerError('a child could not be confined')
  return end


# What a child says it died of, or the kernel says of its group.
_REFUSED = {
  'memory': Status.MEMORY_LIMIT,
  'file': Status.FILE_LIMIT,
  'process': Status.PROCESS_LIMIT,
  'thread': Status.THREAD_LIMIT,
}


def _status(
  end: dict, reply: dict, over: bool, failure: dict, limits: Limits
) -> tuple[Status, str]:
  """The status, and the error's text."""
  code, error = end['code'], failure.get('error', '')
  killed, ours = code == -signal.SIGKILL, end['stopped']
  # When it kills, the kernel goes by ticks, which overstate on a busy host.
  share = 0.5 if killed and not ours else 1.0
  spent = end['cpu_s'] >= limits.cpu_s * share
  if over:
    return Status.OUTPUT_LIMIT, error
  if spent or (reply['late'] and ours):
    late = Status.CPU_LIMIT if spent else Status.WALL_LIMIT
    return _REFUSED.get(reply['refused'], late), error
  if ours and killed:
    return Status.FINISHED, ''  # Its checker ended; it has nothing more to do.
  if killed:
    return Status.MEMORY_LIMIT, error
  if code == -signal.SIGXFSZ:
    return Status.FILE_LIMIT, error
  if code < 0:
    return Status.RUNTIME_ERROR, f'killed by {_signal_name(-code)}'
  if code:
    status = _REFUSED.get(failure.get('refused'), Status.RUNTIME_ERROR)
    return status, error or f'exit status {code}'
  return Status.FINISHED, ''


def _signal_name(number: int) -> str:
  try:
    return signal.Signals(number).name
  except ValueError:
    return f'signal {number}'  # A real-time one.


def _checked(
  execution: Execution,
  checker: ipc.Files,
  token: str,
  reply: dict,
  limits: Limits,
) -> Execution:
  """The program's result with the checker's verdict as its value."""
  end, report = (
    _ended(checker, reply, 1),
    checker.report(ipc.FAILURE_BYTES),
  )
  held = end['code'] == 0 and report.value == token
  status, error = execution.status, execution.error
  if status is Status.FINISHED and not held:
    status, error = _status(end, reply, False, report.failure, limits)
    if report.failure.get('refused') == 'assertion':
      status = Status.FINISHED
  return dataclasses.replace(
    execution, status=status, error=error, value=str(held)
  )


def _selftest() -> int:
  """Prints the layers and what they stop; 1 where one does not hold."""
  limits = Limits(cpu_s=2.0, wall_s=5.0, memory_mb=256)
  with Sandbox(limits, workers=1) as box:
    for name in confine.LAYERS:
      why = box.layers()[name]
      text = f'refused ({why}): {confine.LAYERS[name]}' if why else 'holds'
      print(f'{name:10}{text}')
    print()
    failed = 0
    for attack, words, right in selftest.run(box, box.layers()):
      failed += not right
      print(f'{"ok" if right else "FAILED":8}{attack.name:32}{words}')
  print(f'\n{failed} of {len(selftest.ATTACKS)} attacks got through a layer')
  return int(failed > 0)


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument(
    '--selftest',
    action='store_true',
    required=True,
    help='print the layers that this host lets the sandbox have, and run a'
    ' short list of attacks',
  )
  parser.parse_args()
  sys.exit(_selftest())
