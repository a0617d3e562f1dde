"""A sandbox for each set of limits that is asked for.

A worker is made for its limits. Those last used are kept warm, a few, so that
whoever asks under the same limits does not wait for workers to start.
"""

import collections
from collections.abc import Collection, Iterator
import contextlib
import threading

from coderl.sandbox import api, sandbox

_WARM = 4


class Sandboxes:
  """Opens sandboxes alike but for their limits; from any thread.

  workers, require: of each (sandbox.Sandbox). With several in use at a time,
  each runs so many programs.
  """

  def __init__(self, workers: int, require: Collection[str]):
    self._workers, self._require = workers, require
    self._boxes: dict[api.Limits, sandbox.Sandbox] = {}  # Latest last.
    self._users: collections.Counter[api.Limits] = collections.Counter()
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def under(self, limits: api.Limits) -> Iterator[sandbox.Sandbox]:
    """The sandbox of these limits; waits while there are too many others.

    Raises: UserError, as `sandbox.Sandbox` does.
    """
    with self._changed:
      self._changed.wait_for(lambda: limits in self._boxes or self._has_room())
      box = self._boxes.pop(limits, None) or self._open(limits)
      self._boxes[limits] = box
      self._users[limits] += 1
    try:
      yield box
    finally:
      with self._changed:
        self._users[limits] -= 1
        self._changed.notify_all()

  def close(self) -> None:
    """Closes all, after the programs that still run."""
    with self._changed:
      while self._boxes:
        self._boxes.popitem()[1].close()

  def _has_room(self) -> bool:
    return len(self._boxes) < _WARM or self._unused() is not None

  def _unused(self) -> api.Limits | None:
    """Those of the sandbox that has been idle for longest."""
    return next((key for key in self._boxes if not self._users[key]), None)

  def _open(self, limits: api.Limits) -> sandbox.Sandbox:
    if len(self._boxes) == _WARM:
      self._boxes.pop(self._unused()).close()
    return sandbox.Sandbox(limits, self._workers, require=self._require)
