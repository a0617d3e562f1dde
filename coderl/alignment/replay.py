"""A bounded, seeded buffer of alignment tasks, saved with the checkpoint.

The official code's buffer (jiangxxxue/CODERLPLUS) holds 20000 records but
draws from the last step's alone, with replacement, from a generator without a
seed, so that a step with few failures is asked the same prompts over and over;
and it is lost on resume. Here a draw is without replacement, a task comes back
only once no task within the age limit was drawn less often, draws come from
the caller's generator, and the state is plain data.
"""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import Any

import numpy as np

from coderl import types
from coderl.alignment import tasks as tasks_lib
from commons import errors


class Replay:
  """Alignment tasks, at most `capacity`, the oldest dropped first.

  Tasks stay until they age out or are dropped. A draw prefers the tasks drawn
  least often, and among these the most recent step's; ties fall at random.

  Attributes:
    capacity: most tasks held.
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
    self._tasks: dict[str, tasks_lib.AlignmentTask] = {}  # Oldest first.
    self._draws: dict[str, int] = {}

  def __len__(self) -> int:
    return len(self._tasks)

  def add(self, tasks: Iterable[tasks_lib.AlignmentTask], step: int) -> None:
    """Adds tasks and drops those too old at `step`; a known one is renewed."""
    for task in tasks:
      self._tasks.pop(task.key, None)
      self._tasks[task.key] = task
      self._draws.setdefault(task.key, 0)
    kept = [k for k, t in self._tasks.items() if self._is_fresh(t, step)]
    self._tasks = {key: self._tasks[key] for key in kept[-self.capacity :]}
    self._draws = {key: self._draws[key] for key in self._tasks}

  def sample(
    self, n: int, rng: np.random.Generator, step: int
  ) -> list[tasks_lib.AlignmentTask]:
    """Draws up to n different tasks; fewer where fewer are fresh.

    The caller fills the places left with code prompts.
    """
    keys = [k for k, t in self._tasks.items() if self._is_fresh(t, step)]
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
    """A buffer of the same tasks that goes its own way."""
    copied = Replay(self.capacity, self.max_age_steps)
    copied._tasks, copied._draws = dict(self._tasks), dict(self._draws)
    return copied

  def state(self) -> dict[str, Any]:
    """All of the buffer as JSON-able plain data."""
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
    """The buffer that `state` was taken of."""
    replay = cls(state['capacity'], state['max_age_steps'])
    for fields, draws in zip(state['tasks'], state['draws'], strict=True):
      targets = tuple(types.Target(*pair) for pair in fields['targets'])
      task = tasks_lib.AlignmentTask(**{**fields, 'targets': targets})
      replay._tasks[task.key] = task
      replay._draws[task.key] = draws
    return replay

  def _is_fresh(self, task: tasks_lib.AlignmentTask, step: int) -> bool:
    return step - task.step <= self.max_age_steps
