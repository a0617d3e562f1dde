import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from commons import errors
from wm_abench.core import dimensions
from wm_abench.generation import generator, workers

SETTINGS = generator.Settings(seed=4, size_px=96, renderer='mujoco')
CELL = dimensions.CELLS['m_nav_street']
TASKS = [workers.Task(CELL.name, i, i + 6) for i in range(0, 18, 6)]


def _is_running(pid):
  """Returns whether a process exists and is not a zombie."""
  try:
    with open(f'/proc/{pid}/stat') as f:
      return f.read().rpartition(')')[2].split()[0] != 'Z'
  except FileNotFoundError:
    return False


def _wait_until(true, seconds=20):
  end = time.monotonic() + seconds
  while not true():
    assert time.monotonic() < end
    time.sleep(0.05)


def test_a_worker_does_tasks_with_items_and_work():
  worker = workers.Worker(SETTINGS)
  for task in TASKS:
    result = worker.make(task)
    assert result.task == task
    numbers = [i // 4 for i in range(task.start, task.stop)]
    groups = [[*run] for _, run in itertools.groupby(numbers)]
    runs = itertools.groupby(result.items, key=lambda item: item.group)
    assert [len([*run]) for _, run in runs] == [len(group) for group in groups]
    pictures = {(i.group, p) for i in result.items for p in i.pictures}
    # Two whole groups are made, of which the task has six items.
    assert result.work['asked'] == 40
    assert len(pictures) <= result.work['rendered'] <= 2 * (4 + 4)
  worker.close()


def test_a_pool_ends_its_processes():
  with workers.Pool(SETTINGS, 2) as pool:
    pids = [w._process.pid for w in pool._workers]
    assert all(map(_is_running, pids))
  assert not any(map(_is_running, pids))


def test_an_error_ends_a_pool_at_once():
  start = time.monotonic()
  with pytest.raises(KeyboardInterrupt), workers.Pool(SETTINGS, 2) as pool:
    pids = [w._process.pid for w in pool._workers]
    pool._submit(workers.Task(CELL.name, 0, 4000))
    time.sleep(1)
    raise KeyboardInterrupt
  assert time.monotonic() - start < 10
  assert not any(map(_is_running, pids))


def test_tasks_are_taken_when_they_are_needed():
  numbers = []

  def tasks():
    for i in range(100):
      numbers.append(i)
      yield workers.Task(CELL.name, 4 * i, 4 * i + 1)

  with workers.Pool(SETTINGS, 1) as pool:
    next(pool.make(tasks()))
    assert len(numbers) <= 4


def test_a_killed_worker_is_reported():
  worker = workers.Worker(SETTINGS)
  os.kill(worker._process.pid, signal.SIGKILL)
  with pytest.raises(errors.ServiceError, match=r'ended with -9'):
    worker.make(TASKS[0])


def test_a_mistake_of_the_user_is_raised_as_one():
  worker = workers.Worker(generator.Settings(0, 96, 'none'))
  for _ in range(2):  # The worker continues.
    with pytest.raises(errors.UserError, match=r'renderer.*mitsuba, mujoco'):
      worker.make(TASKS[0])
  worker.close()


_STARTS_ONE = f"""
import time
from wm_abench.generation import generator, workers
worker = workers.Worker(generator.Settings(0, 96, 'mujoco'))
print(worker._process.pid, flush=True)
worker.make(workers.Task({CELL.name!r}, 0, 4000))
"""


def test_a_busy_worker_ends_with_the_one_that_started_it():
  parent = subprocess.Popen(
    [sys.executable, '-c', _STARTS_ONE], stdout=subprocess.PIPE, text=True
  )
  pid = int(parent.stdout.readline())
  time.sleep(3)  # In the middle of the task.
  assert _is_running(pid)
  parent.kill()
  parent.communicate()
  _wait_until(lambda: not _is_running(pid))
