"""Processes that make items, each with its own worlds and renderer.

They are started afresh, not forked, for OpenGL does not survive a fork. They
end with the process that started them, however that ends.
"""

import collections
from collections.abc import Iterable, Iterator
from concurrent import futures
import functools
import itertools
import multiprocessing
from multiprocessing import synchronize, util
import os
import signal
import threading
from typing import NamedTuple

from wm_abench import dimensions, generation, types


class Task(NamedTuple):
  """Items of a cell, from number start on, up to stop."""

  cell: str
  start: int
  stop: int


class Made(NamedTuple):
  """What became of a task; work is as in generation.Generator."""

  task: Task
  items: list[types.Item]
  work: collections.Counter[str]


class Stopped(Exception):
  """The pool was closed while the task was being done."""


class Pool:
  """Makes the items of many tasks at a time.

  Args:
    settings: of the generation.
    count: of processes; 0: as many as there are cores.
  """

  def __init__(self, settings: generation.Settings, count: int = 0):
    self.count = count or len(os.sched_getaffinity(0))
    context = multiprocessing.get_context('spawn')
    self._stop = context.Event()
    self._executor = futures.ProcessPoolExecutor(
      self.count, context, _start, (settings, self._stop)
    )

  def __enter__(self) -> 'Pool':
    return self

  def __exit__(self, *_) -> None:
    """Waits for the group that each process is at, and for nothing more."""
    self._stop.set()
    self._executor.shutdown(cancel_futures=True)

  def make(self, tasks: Iterable[Task]) -> Iterator[Made]:
    """The tasks as they get done, few of them ahead of what was taken.

    Raises:
      UserError: what the environment, renderer or simulator needs is missing.
      concurrent.futures.process.BrokenProcessPool: a process was killed.
    """
    tasks = iter(tasks)
    submit = functools.partial(self._executor.submit, _make)
    pending = set(map(submit, itertools.islice(tasks, 2 * self.count)))
    while pending:
      done, pending = futures.wait(pending, return_when=futures.FIRST_COMPLETED)
      pending |= set(map(submit, itertools.islice(tasks, len(done))))
      yield from (future.result() for future in done)


class Thread:
  """One thread that makes items, for others that may not stay the same.

  An OpenGL context belongs to the thread that it was made current in.

  Args:
    settings: of the generation.
  """

  def __init__(self, settings: generation.Settings):
    self._generator = generation.Generator(settings)
    self._executor = futures.ThreadPoolExecutor(1)

  def make(self, task: Task) -> Made:
    """Raises UserError as Pool.make does."""
    return self._executor.submit(make, self._generator, task).result()

  def close(self) -> None:
    self._executor.submit(self._generator.close).result()
    self._executor.shutdown()


def make(
  generator: generation.Generator,
  task: Task,
  stop: synchronize.Event | threading.Event | None = None,
) -> Made:
  """Does a task.

  Args:
    generator: makes the groups.
    task: what to make.
    stop: may be set while it is being done.

  Raises:
    Stopped: it was.
  """
  cell, items = dimensions.CELLS[task.cell], []
  for item in generation.members(generator, cell, task.start, task.stop):
    if stop and stop.is_set():
      raise Stopped
    items.append(item)
  return Made(task, items, generator.take())


# Of a worker process; unused in the one that has the pool.
_generator: generation.Generator | None = None
_stop: synchronize.Event | None = None


def _start(settings: generation.Settings, stop: synchronize.Event) -> None:
  global _generator, _stop
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The pool says when to stop.
  threading.Thread(target=_end_with_parent, daemon=True).start()
  # One core a process; llvmpipe would start threads for every core.
  os.environ.setdefault('LP_NUM_THREADS', '1')
  _generator, _stop = generation.Generator(settings), stop
  util.Finalize(None, _generator.close, exitpriority=0)


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)


def _make(task: Task) -> Made:
  return make(_generator, task, _stop)
