"""The cache keeps a few sandboxes open, one for each set of limits."""

import contextlib
import os
import pathlib
import threading

import pytest

from coderl.sandbox import api, sandbox, sandbox_cache
from commons import errors

_SLEEP = sandbox.Program('import time; time.sleep(1); print(1)')


def _limits(wall_s):
  return api.Limits(wall_s=float(wall_s))


@pytest.fixture
def cache():
  with contextlib.closing(sandbox_cache.SandboxCache(1, ())) as cache:
    yield cache


def test_each_set_of_limits_has_its_sandbox_which_is_reused(cache):
  with cache.lease(_limits(0.2)) as tight, cache.lease(_limits(9)) as loose:
    statuses = [runner.run([_SLEEP])[0].status for runner in (tight, loose)]
  assert statuses == [sandbox.Status.WALL_LIMIT, sandbox.Status.FINISHED]
  with cache.lease(_limits(9)) as again:
    assert again is loose


def _children():
  """Returns the number of children of this process, which are the workers."""
  parents = []
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      parents.append(int(path.read_text().rpartition(')')[2].split()[1]))
  return parents.count(os.getpid())


def test_the_sandbox_that_was_idle_longest_is_closed(cache):
  opened, children = [], []
  for wall_s in (1, 2, 3, 4, 1, 5):
    with cache.lease(_limits(wall_s)) as runner:
      opened.append(runner)
      children.append(_children())
  assert children[0] < children[1] < children[3] == children[4] == children[5]
  with cache.lease(_limits(1)) as runner:
    assert runner is opened[0]
    assert runner.run([sandbox.Program('print(1)')])[0].stdout == '1\n'
  with cache.lease(_limits(2)) as runner:
    assert runner is not opened[1]
  cache.close()
  assert _children() == children[0] - 1


def test_a_full_cache_waits_for_a_sandbox_in_use(cache):
  entered = threading.Event()

  def enter():
    with cache.lease(_limits(5)):
      entered.set()

  with contextlib.ExitStack() as stack:
    leased = [stack.enter_context(cache.lease(_limits(n))) for n in (1, 2, 3)]
    with cache.lease(_limits(4)):
      threading.Thread(target=enter).start()
      assert not entered.wait(0.5)
    assert entered.wait(10)
    assert leased[0].run([sandbox.Program('print(1)')])[0].stdout == '1\n'


def test_every_sandbox_requires_the_required_layers():
  with contextlib.closing(sandbox_cache.SandboxCache(1, ('moat',))) as cache:
    for _ in range(2):
      with (
        pytest.raises(errors.UserError, match='moat'),
        cache.lease(_limits(1)),
      ):
        pass
