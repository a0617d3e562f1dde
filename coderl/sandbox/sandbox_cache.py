"""A cache of sandboxes, one for each set of limits.

The workers of a sandbox are started for its limits. The cache keeps the last
few sandboxes open, so that a caller who uses the same limits again does not
wait for new workers.
"""

import collections
from collections.abc import Collection, Iterator
import contextlib
import threading

from coderl.sandbox import api, sandbox

_MAX_SANDBOXES = 4


class SandboxCache:
  """Opens sandboxes that differ only in their limits. It is thread-safe.

  Args:
    workers: programs that each sandbox runs at a time. Several sandboxes may be
      in use at once, and each runs that many.
    require: see `sandbox.Sandbox`.
  """

  def __init__(self, workers: int, require: Collection[str]):
    self._workers, self._require = workers, require
    # The most recently used sandbox is the last.
    self._sandboxes: dict[api.Limits, sandbox.Sandbox] = {}
    self._users: collections.Counter[api.Limits] = collections.Counter()
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def lease(self, limits: api.Limits) -> Iterator[sandbox.Sandbox]:
    """Yields the sandbox of these limits, and keeps it open meanwhile.

    Waits while the cache is full of sandboxes that are in use.

    Raises:
      UserError: see `sandbox.Sandbox`.
    """
    with self._changed:
      self._changed.wait_for(
        lambda: limits in self._sandboxes or self._has_room()
      )
      leased = self._sandboxes.pop(limits, None) or self._open(limits)
      self._sandboxes[limits] = leased
      self._users[limits] += 1
    try:
      yield leased
    finally:
      with self._changed:
        self._users[limits] -= 1
        self._changed.notify_all()

  def close(self) -> None:
    """Closes all sandboxes after the programs that still run."""
    with self._changed:
      while self._sandboxes:
        self._sandboxes.popitem()[1].close()

  def _has_room(self) -> bool:
    if len(self._sandboxes) < _MAX_SANDBOXES:
      return True
    return self._least_recently_used() is not None

  def _least_recently_used(self) -> api.Limits | None:
    """Returns the limits of the unused sandbox that has been idle longest."""
    return next((key for key in self._sandboxes if not self._users[key]), None)

  def _open(self, limits: api.Limits) -> sandbox.Sandbox:
    if len(self._sandboxes) == _MAX_SANDBOXES:
      self._sandboxes.pop(self._least_recently_used()).close()
    return sandbox.Sandbox(limits, self._workers, require=self._require)
