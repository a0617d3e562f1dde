"""A replay buffer of alignment tasks: bounded, seeded, saved in checkpoints.

The buffer of the official code (jiangxxxue/CODERLPLUS) holds 20,000 records,
but draws only from those of the last step, with replacement and without a seed.
After a step with few failures it repeats the same prompts, and it is lost on
resume. Here draws are without replacement, no task is drawn again while another
one within the age limit was drawn less often, the caller passes the generator,
and the state is plain data.
"""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

import numpy as np

from coderl import types
from coderl.alignment import tasks as alignment_tasks
from commons import errors


class Replay:
  """At most `capacity` alignment tasks; the oldest are dropped first.

  A task stays after it is drawn. A draw prefers the tasks drawn least often,
  and among these the tasks of the latest step; ties are broken at random.

  Attributes:
    capacity: the greatest number of tasks.
    max_age_steps: a task collected at step s is drawn up to s + max_age_steps.
  """

  def __init__(self, capacity: int, max_age_steps: int):
    for name, value in (
      ('capacity', capacity),
      ('max_age_steps', max_age_steps),
    ):
      if value < 1:
        raise errors.UserError(
          f'replay {name} is {value}, and must be 1 or more'
        )
    self.capacity = capacity
    self.max_age_steps = max_age_steps
    # By the task's key; the oldest comes first.
    self._tasks: dict[str, alignment_tasks.AlignmentTask] = {}
    self._draws: dict[str, int] = {}

  def __len__(self) -> int:
    return len(self._tasks)

  def add(
    self, tasks: Iterable[alignment_tasks.AlignmentTask], step: int
  ) -> None:
    """Adds tasks and drops those that are too old at `step`.

    A task with a known key replaces the old one and keeps its count of draws.
    """
    for task in tasks:
      self._tasks.pop(task.key, None)
      self._tasks[task.key] = task
      self._draws.setdefault(task.key, 0)
    kept = self._fresh_keys(step)[-self.capacity :]
    self._tasks = {key: self._tasks[key] for key in kept}
    self._draws = {key: self._draws[key] for key in kept}

  def sample(
    self, n: int, rng: np.random.Generator, step: int
  ) -> list[alignment_tasks.AlignmentTask]:
    """Draws n different tasks, or none if fewer than n are fresh at `step`.

    A batch with fewer alignment prompts would have a shape of its own, which
    would have to be compiled; so a caller has no use for fewer than n. A draw
    of none leaves the counts of draws as they are.
    """
    keys = self._fresh_keys(step)
    if len(keys) < n:
      return []
    ties = rng.permutation(len(keys))
    order = sorted(
      range(len(keys)),
      key=lambda i: (
        self._draws[keys[i]],
        -self._tasks[keys[i]].step,
        ties[i],
      ),
    )
    drawn = [keys[i] for i in order[:n]]
    for key in drawn:
      self._draws[key] += 1
    return [self._tasks[key] for key in drawn]

  def copy(self) -> 'Replay':
    """Returns a buffer with the same content, independent of this one."""
    copied = Replay(self.capacity, self.max_age_steps)
    copied._tasks, copied._draws = dict(self._tasks), dict(self._draws)
    return copied

  def state(self) -> dict[str, Any]:
    """Returns the whole buffer as plain data that JSON can hold."""
    tasks = [dataclasses.asdict(task) for task in self._tasks.values()]
    for task in tasks:
      task['targets'] = [list(t.values()) for t in task['targets']]
    return {
      'capacity': self.capacity,
      'max_age_steps': self.max_age_steps,
      'tasks': tasks,
      'draws': [self._draws[key] for key in self._tasks],
    }

  @classmethod
  def from_state(cls, state: Mapping[str, Any]) -> 'Replay':
    """Restores the buffer whose `state()` this is."""
    replay = cls(state['capacity'], state['max_age_steps'])
    for fields, draws in zip(state['tasks'], state['draws'], strict=True):
      targets = tuple(types.Target(*pair) for pair in fields['targets'])
      task = alignment_tasks.AlignmentTask(**{**fields, 'targets': targets})
      replay._tasks[task.key] = task
      replay._draws[task.key] = draws
    return replay

  def _fresh_keys(self, step: int) -> list[str]:
    """Returns the keys of the tasks within the age limit, the oldest first."""
    return [
      key
      for key, task in self._tasks.items()
      if step - task.step <= self.max_age_steps
    ]
