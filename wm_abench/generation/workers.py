"""Processes that make items, each with its own worlds and renderer.

They are programs of their own: OpenGL does not survive a fork, and what the one
that starts them has imported, such as TensorFlow, is not needed. They end with
it, however that ends.
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

_PROGRAM = 'from wm_abench import workers; workers.serve()'


class Task(NamedTuple):
  """Items of a cell, from number start on, up to stop."""

  cell: str
  start: int
  stop: int


class Made(NamedTuple):
  """What became of a task; work is as in generator.Generator."""

  task: Task
  items: list[records.Item]
  work: collections.Counter[str]


class Worker:
  """One process, which does one task after another.

  Args:
    settings: of the generation.
  """

  def __init__(self, settings: generator_lib.Settings):
    self._process = subprocess.Popen(
      [sys.executable, '-c', _PROGRAM],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=_environment(),
      start_new_session=True,  # Ctrl-C is for who started it to answer.
    )
    self._send(settings)

  def make(self, task: Task) -> Made:
    """Does a task.

    Raises:
      UserError: what the environment, renderer or simulator needs is missing.
      ServiceError: the process has ended.
    """
    try:
      self._send(task)
      answer = pickle.load(self._process.stdout)
    except (BrokenPipeError, EOFError, pickle.UnpicklingError) as e:
      raise errors.ServiceError(
        f'a worker has ended with {self._process.wait()} (-9: it was killed, as'
        ' the system does where memory is short)'
      ) from e
    if isinstance(answer, Exception):
      raise answer
    return answer

  def close(self) -> None:
    """Lets it close its worlds; it has to have done its tasks."""
    self._process.communicate()

  def kill(self) -> None:
    """Ends it at once, whatever it is at."""
    self._process.kill()
    self._process.wait()

  def _send(self, value: Any) -> None:
    pickle.dump(value, self._process.stdin)
    self._process.stdin.flush()


class Pool:
  """Makes the items of many tasks at a time.

  Args:
    settings: of the generation.
    count: of processes; 0: as many as there are cores.
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
    """Ends the processes, at once where there was an error."""
    for worker in self._workers:
      worker.kill() if kind else worker.close()
    self._threads.shutdown(cancel_futures=True)

  def make(self, tasks: Iterable[Task]) -> Iterator[Made]:
    """The tasks as they get done, few of them ahead of what was taken.

    Raises:
      UserError, ServiceError: as Worker.make does.
    """
    tasks = iter(tasks)
    pending = set(map(self._submit, itertools.islice(tasks, 2 * self.count)))
    while pending:
      done, pending = futures.wait(pending, return_when=futures.FIRST_COMPLETED)
      pending |= set(map(self._submit, itertools.islice(tasks, len(done))))
      yield from (future.result() for future in done)

  def _submit(self, task: Task) -> futures.Future[Made]:
    return self._threads.submit(self._make, task)

  def _make(self, task: Task) -> Made:
    worker = self._idle.get()
    try:
      return worker.make(task)
    finally:
      self._idle.put(worker)


def serve() -> None:
  """A worker's program: settings and tasks come in, what was made goes out."""
  out = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Others may print.
  # One core a process; llvmpipe would start threads for every core.
  os.environ.setdefault('LP_NUM_THREADS', '1')
  asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
  busy = threading.Event()
  threading.Thread(target=_receive, args=(asked, busy), daemon=True).start()
  generator = generator_lib.Generator(asked.get())
  while (task := asked.get()) is not None:
    try:
      answer = make(generator, task)
    except Exception as e:  # For who asked to handle.
      e.add_note(traceback.format_exc())
      answer = e
    busy.clear()
    pickle.dump(answer, out)
    out.flush()
  generator.close()


def make(generator: generator_lib.Generator, task: Task) -> Made:
  """Does a task in this process."""
  cell = dimensions.CELLS[task.cell]
  items = list(generator_lib.members(generator, cell, task.start, task.stop))
  return Made(task, items, generator.take())


def _receive(asked: queue.SimpleQueue, busy: threading.Event) -> None:
  """Ends the process when the one that started it has gone amid a task."""
  while True:
    try:
      value = pickle.load(sys.stdin.buffer)
    except EOFError:
      if busy.is_set():
        os._exit(1)
      return asked.put(None)
    if isinstance(value, Task):
      busy.set()
    asked.put(value)


def _environment() -> dict[str, str]:
  path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
  return {**os.environ, 'PYTHONPATH': path}
