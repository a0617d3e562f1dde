"""Processes that make items, each with its own worlds and renderer.

Each is a new interpreter, because OpenGL does not survive a fork. It ends when
the process that started it ends, however that happens.
"""

import collections
from collections.abc import Iterable, Iterator
from concurrent import futures
import itertools
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from typing import Any, NamedTuple

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.generation import generator as generator_lib

_PROGRAM = 'from wm_abench.generation import workers; workers.serve()'


class Task(NamedTuple):
  """The items of a cell from index `start` to `stop`, exclusive."""

  cell: str
  start: int
  stop: int


class Result(NamedTuple):
  """The items of a task, and the work as in generator.Generator."""

  task: Task
  items: list[records.Item]
  work: collections.Counter[str]


class Worker:
  """One process, which does one task after another.

  Args:
    settings: the settings of the generation.
  """

  def __init__(self, settings: generator_lib.Settings):
    self._process = subprocess.Popen(
      [sys.executable, '-c', _PROGRAM],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=_environment(),
      start_new_session=True,  # Only the parent process handles Ctrl-C.
    )
    self._send(settings)

  def make(self, task: Task) -> Result:
    """Returns the result of a task.

    Raises:
      UserError: the environment, renderer or simulator lacks a package or file.
      ServiceError: the process has ended.
    """
    try:
      self._send(task)
      result = pickle.load(self._process.stdout)
    except (BrokenPipeError, EOFError, pickle.UnpicklingError) as e:
      raise errors.ServiceError(
        f'a worker has ended with {self._process.wait()} (-9: it was'
        ' killed, for example by the system because memory was short)'
      ) from e
    if isinstance(result, Exception):
      raise result
    return result

  def close(self) -> None:
    """Ends the process after its current task; it closes its worlds."""
    self._process.communicate()

  def kill(self) -> None:
    """Ends the process at once."""
    self._process.kill()
    self._process.wait()

  def _send(self, value: Any) -> None:
    pickle.dump(value, self._process.stdin)
    self._process.stdin.flush()


class Pool:
  """Processes that do many tasks at a time.

  Args:
    settings: the settings of the generation.
    count: number of processes; 0 for one per core.
  """

  def __init__(self, settings: generator_lib.Settings, count: int = 0):
    self.count = count or len(os.sched_getaffinity(0))
    self._workers = [Worker(settings) for _ in range(self.count)]
    self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in self._workers:
      self._idle.put(worker)
    self._threads = futures.ThreadPoolExecutor(self.count)

  def __enter__(self) -> 'Pool':
    return self

  def __exit__(self, kind, *_) -> None:
    """Ends the processes, at once if there was an error."""
    for worker in self._workers:
      worker.kill() if kind else worker.close()
    self._threads.shutdown(cancel_futures=True)

  def make(self, tasks: Iterable[Task]) -> Iterator[Result]:
    """Yields results as they arrive, and takes few tasks in advance.

    Raises:
      UserError, ServiceError: see Worker.make.
    """
    tasks = iter(tasks)
    pending = set(map(self._submit, itertools.islice(tasks, 2 * self.count)))
    while pending:
      done, pending = futures.wait(pending, return_when=futures.FIRST_COMPLETED)
      pending |= set(map(self._submit, itertools.islice(tasks, len(done))))
      yield from (future.result() for future in done)

  def _submit(self, task: Task) -> futures.Future[Result]:
    return self._threads.submit(self._make, task)

  def _make(self, task: Task) -> Result:
    worker = self._idle.get()
    try:
      return worker.make(task)
    finally:
      self._idle.put(worker)


def serve() -> None:
  """Runs a worker: reads settings and tasks, and writes results."""
  out = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
  # Libraries may print; that must not mix with the results.
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  # One core per process; llvmpipe would start a thread for every core.
  os.environ.setdefault('LP_NUM_THREADS', '1')
  messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
  busy = threading.Event()
  threading.Thread(target=_receive, args=(messages, busy), daemon=True).start()
  generator = generator_lib.Generator(messages.get())
  while (task := messages.get()) is not None:
    try:
      result = make(generator, task)
    except Exception as e:  # Raised again in the parent process.
      e.add_note(traceback.format_exc())
      result = e
    busy.clear()
    pickle.dump(result, out)
    out.flush()
  generator.close()


def make(generator: generator_lib.Generator, task: Task) -> Result:
  """Does a task in this process."""
  cell = dimensions.CELLS[task.cell]
  items = list(generator_lib.members(generator, cell, task.start, task.stop))
  return Result(task, items, generator.take_work())


def _receive(messages: queue.SimpleQueue, busy: threading.Event) -> None:
  """Queues what the parent sends; exits if the parent ends during a task."""
  while True:
    try:
      value = pickle.load(sys.stdin.buffer)
    except EOFError:
      if busy.is_set():
        os._exit(1)
      return messages.put(None)
    if isinstance(value, Task):
      busy.set()
    messages.put(value)


def _environment() -> dict[str, str]:
  path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
  return {**os.environ, 'PYTHONPATH': path}
