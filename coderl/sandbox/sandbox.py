"""Runs programs on this host, each confined in its own process.

The steps of `Sandbox.run`:

1. Programs of equal source are put into batches.
2. The source, the inputs and empty output files of a batch are sent as open
   files to a warm worker (zygote.py), which forks a confined child (child.py,
   confine.py). The worker itself never reads them.
3. The child runs the program. Expected outputs never leave this process.
4. The worker answers how the child ended, and this process reads its output.

  python -m coderl.sandbox.sandbox --selftest

prints the layers of confinement that this host supports, and runs attacks.
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
from coderl.sandbox.worker import ipc, process
from commons import errors

Status = api.Status
Limits = api.Limits
Program = api.Program
Variable = api.Variable
Event = api.Event
Execution = api.Execution

# A loaded host may need this much longer than the wall limit to kill a child
# and to answer.
_GRACE_S = 15.0
_ATTEMPTS = 2
_MAX_INPUTS = 16  # In one request. A message can carry about 250 files.
_SETUP_FAILED = 113  # zygote.SETUP_FAILED
_STARVED_FACTOR = 2  # zygote.STARVED_FACTOR


class Sandbox:
  """Runs programs, each confined in its own process.

  `run` may be called from any thread, and from asyncio through
  `asyncio.to_thread`. A worker that dies or does not answer is replaced, and
  its program is run once more. If that fails, too, its status is
  SANDBOX_FAILURE.

  Args:
    limits: what each program may use.
    workers: programs that run at a time; one per processor by default.
    layers: the layers of confinement (keys of confine.LAYERS) to use if the
      host's kernel permits them. One line is logged about those it refuses.
    require: layers without which no program may run.

  Raises:
    UserError: `workers` is below 1, a layer is unknown, or the host refuses a
      layer of `require`.
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
    self._worker_args = (dataclasses.asdict(self.limits), tuple(layers))
    self._workers = count
    self._pool = futures.ThreadPoolExecutor(count, 'sandbox')
    # None stands for a worker that must be started again.
    self._idle: queue.SimpleQueue[process.Worker | None] = queue.SimpleQueue()
    for worker in self._pool.map(lambda _: self._start_worker(), range(count)):
      self._idle.put(worker)
      self._refusals = worker.refusals
    self._check_layers(require)

  def _start_worker(self) -> process.Worker:
    return process.Worker(*self._worker_args)

  def _check_layers(self, require: Collection[str]) -> None:
    """Logs which layers the host refuses; raises if one of them is required."""
    refused = {name: error for name, error in self._refusals.items() if error}
    missing = [name for name in require if self._refusals.get(name, '-')]
    if missing:
      self.close()
      reasons = [f'{name} ({refused.get(name, "off")})' for name in missing]
      raise errors.UserError(
        f'sandbox layers required but refused: {", ".join(reasons)}'
      )
    warnings = [
      f'{name} ({error}): {confine.LAYERS[name]}'
      for name, error in refused.items()
    ]
    if os.geteuid() == 0 and self._refusals.get('mount', '-'):
      folder = host_files.closed_folder()
      if folder:
        warnings.append(f'access to {folder}: programs can import little')
    if warnings:
      logging.warning('Sandbox without %s', '; '.join(warnings))

  def layers(self) -> dict[str, str]:
    """Returns layer -> '' if it is active, else the kernel's error."""
    return dict(self._refusals)

  def run(self, programs: Sequence[Program]) -> list[Execution]:
    """Runs programs and returns their executions in the same order.

    Programs that differ only in their inputs share processes. Each ends as if
    it ran alone.
    """
    if not self._workers:
      raise RuntimeError('the sandbox is closed')
    share = -(-len(programs) // self._workers)
    batches = _batches(programs, min(_MAX_INPUTS, share))
    results = self._pool.map(
      lambda batch: self._run_batch([programs[index] for index in batch]),
      batches,
    )
    executions = dict(
      zip(itertools.chain(*batches), itertools.chain(*results), strict=True)
    )
    return [executions[index] for index in range(len(programs))]

  def close(self) -> None:
    """Ends the workers after the programs that still run."""
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

  def _run_batch(self, programs: list[Program]) -> list[Execution]:
    error = ''
    for _ in range(_ATTEMPTS):
      worker = self._idle.get()
      try:
        worker = worker or self._start_worker()
        return _execute(worker, programs, self.limits)
      except process.WorkerError as failure:
        error = str(failure)
        if worker:
          worker.close()
        worker = None
      finally:
        self._idle.put(worker)
    failure = Execution(Status.SANDBOX_FAILURE, error=error)
    return [failure] * len(programs)


def _batches(programs: Sequence[Program], max_size: int) -> list[list[int]]:
  """Returns batches of indices of programs to send in one request each."""
  groups: dict[object, list[int]] = {}
  for index, program in enumerate(programs):
    runs_alone = program.trace or program.checker is not None
    key = (program.source, program.call is not None)
    groups.setdefault(index if runs_alone else key, []).append(index)
  return [
    group[start : start + max_size]
    for group in groups.values()
    for start in range(0, len(group), max_size)
  ]


def _execute(
  worker: process.Worker, programs: list[Program], limits: Limits
) -> list[Execution]:
  """Runs a batch of programs, or one program together with its checker."""
  first = programs[0]
  with contextlib.ExitStack() as stack:
    inputs = [
      ipc.InputFiles(program.stdin, program.call, stack) for program in programs
    ]
    job = _job_file(_program_job(first, limits), stack)
    files = [[job, *inputs[0].descriptors]]
    files += [input_files.descriptors for input_files in inputs[1:]]
    if first.checker is not None:
      checker, token = ipc.InputFiles('', None, stack), secrets.token_hex()
      job = _job_file(_checker_job(first, token), stack)
      files.append([job, *checker.descriptors])
    _send(worker, files, len(inputs))
    # Every input but the first may be run twice, see zygote.py.
    max_runs = 2 * len(inputs) - 1
    wall_s = max_runs * _STARVED_FACTOR * limits.wall_s
    replies = worker.receive(wall_s + _GRACE_S)['runs']
    if first.checker is None:
      return [
        _read_execution(input_files, program, reply, limits)
        for input_files, program, reply in zip(
          inputs, programs, replies, strict=True
        )
      ]
    execution = _read_execution(inputs[0], first, replies[0], limits)
    return [_with_verdict(execution, checker, token, replies[0], limits)]


def _job_file(job: dict, stack: contextlib.ExitStack) -> int:
  return ipc.sealed_file(marshal.dumps(job), stack)


def _send(worker: process.Worker, files: list[list[int]], inputs: int) -> None:
  """Sends the files of a request; adds a relay between program and checker."""
  with contextlib.ExitStack() as stack:
    # The relay's ends are closed here after they are sent: each child has to
    # notice when the other ends.
    if len(files) > inputs:
      for job_files, end in zip(files, socket.socketpair(), strict=True):
        job_files.append(stack.enter_context(end).fileno())
    request = {'inputs': inputs, 'files': [len(group) for group in files]}
    worker.send(request, [*itertools.chain(*files)])


def _program_job(program: Program, limits: Limits) -> dict:
  """Returns the job of a program, which contains no expected output."""
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
  """Returns the job of a checker, which reports `token` if it succeeds."""
  return {
    'role': 'checker',
    'called': False,
    'token': token,
    'source': program.checker,
    'entry_point': program.entry_point,
  }


def _read_execution(
  files: ipc.InputFiles, program: Program, reply: dict, limits: Limits
) -> Execution:
  """Returns what a run gave, from its files and the worker's reply."""
  exit_ = _exit(files, reply, 0)
  stdout, stderr, is_over = files.output(limits.output_kb * 1024)
  called = program.call is not None
  max_report_bytes = (
    ipc.MAX_FAILURE_BYTES
    + called * ipc.MAX_VALUE_BYTES
    + program.trace * ipc.MAX_TRACE_BYTES
  )
  report = files.report(max_report_bytes)
  status, error = _status(exit_, reply, is_over, report.failure, limits)
  return Execution(
    status=status,
    stdout=stdout,
    stderr=stderr,
    error=error,
    value=(report.value or None) if called else None,
    wall_s=reply['wall_s'],
    cpu_s=exit_['cpu_s'],
    variables=report.variables() if program.trace else (),
    trajectory=report.events()[: limits.trace_events] if program.trace else (),
  )


def _exit(files: ipc.InputFiles, reply: dict, index: int) -> dict:
  """Returns how a child ended; raises WorkerError if it was never confined."""
  exit_ = reply['exits'][index]
  if exit_['code'] == _SETUP_FAILED and not files.was_confined():
    raise process.WorkerError('a child could not be confined')
  return exit_


# The limit that a child reports, or that the kernel refused its control group.
_REFUSED = {
  'memory': Status.MEMORY_LIMIT,
  'file': Status.FILE_LIMIT,
  'process': Status.PROCESS_LIMIT,
  'thread': Status.THREAD_LIMIT,
}


def _status(
  exit_: dict, reply: dict, is_over: bool, failure: dict, limits: Limits
) -> tuple[Status, str]:
  """Returns the status of a run and its error.

  Args:
    exit_: how the child ended.
    reply: the worker's reply.
    is_over: whether the output is over its limit.
    failure: what the child reports; it may be forged.
    limits: the sandbox's.
  """
  code, error = exit_['code'], failure.get('error', '')
  killed, by_worker = code == -signal.SIGKILL, exit_['killed']
  # The kernel kills by its own count of ticks, which is too high on a busy
  # host.
  share = 0.5 if killed and not by_worker else 1.0
  is_cpu_spent = exit_['cpu_s'] >= limits.cpu_s * share
  if is_over:
    return Status.OUTPUT_LIMIT, error
  if is_cpu_spent or (reply['timed_out'] and by_worker):
    limit = Status.CPU_LIMIT if is_cpu_spent else Status.WALL_LIMIT
    return _REFUSED.get(reply['refused'], limit), error
  if by_worker and killed:
    return Status.FINISHED, ''  # Its checker ended, so that it is not needed.
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
    return f'signal {number}'  # Most real-time signals have no name.


def _with_verdict(
  execution: Execution,
  checker: ipc.InputFiles,
  token: str,
  reply: dict,
  limits: Limits,
) -> Execution:
  """Returns the program's execution with the checker's verdict as its value."""
  exit_ = _exit(checker, reply, 1)
  report = checker.report(ipc.MAX_FAILURE_BYTES)
  passed = exit_['code'] == 0 and report.value == token
  status, error = execution.status, execution.error
  if status is Status.FINISHED and not passed:
    status, error = _status(exit_, reply, False, report.failure, limits)
    if report.failure.get('refused') == 'assertion':
      status = Status.FINISHED
  return dataclasses.replace(
    execution, status=status, error=error, value=str(passed)
  )


def _selftest() -> int:
  """Prints the layers and what they stop; returns 1 if an attack succeeds."""
  limits = Limits(cpu_s=2.0, wall_s=5.0, memory_mb=256)
  with Sandbox(limits, workers=1) as runner:
    layers = runner.layers()
    for name, consequence in confine.LAYERS.items():
      error = layers[name]
      text = f'refused ({error}): {consequence}' if error else 'active'
      print(f'{name:10}{text}')
    print()
    failed = 0
    for attack, outcome, is_expected in selftest.run(runner, layers):
      failed += not is_expected
      print(f'{"ok" if is_expected else "FAILED":8}{attack.name:36}{outcome}')
  print(f'\n{failed} of {len(selftest.ATTACKS)} attacks got through a layer')
  return int(failed > 0)


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument(
    '--selftest',
    action='store_true',
    required=True,
    help='print the layers of confinement that this host supports, and run a'
    ' short list of attacks',
  )
  parser.parse_args()
  sys.exit(_selftest())
