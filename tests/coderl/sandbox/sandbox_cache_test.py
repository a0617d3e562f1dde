"""As many sandboxes as limits are in use, and not many more."""

import contextlib
import os
import pathlib
import threading

import pytest

from coderl.sandbox import api, sandbox, sandbox_cache
from commons import errors

_ONE = sandbox.Program('import time; time.sleep(1); print(1)')


def _limits(wall_s):
  return api.Limits(wall_s=float(wall_s))


@pytest.fixture
def boxes():
  with contextlib.closing(sandbox_cache.Sandboxes(1, ())) as boxes:
    yield boxes


def test_each_set_of_limits_has_a_sandbox_that_is_kept(boxes):
  with boxes.under(_limits(0.2)) as tight, boxes.under(_limits(9)) as loose:
    found = [box.run([_ONE])[0].status for box in (tight, loose)]
  assert found == [sandbox.Status.WALL_LIMIT, sandbox.Status.FINISHED]
  with boxes.under(_limits(9)) as again:
    assert again is loose


def _children():
  """How many processes are this one's, which is how many workers there are."""
  parents = []
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      parents.append(int(path.read_text().rpartition(')')[2].split()[1]))
  return parents.count(os.getpid())


def test_the_one_that_was_idle_for_longest_makes_room(boxes):
  opened, children = [], []
  for wall_s in (1, 2, 3, 4, 1, 5):
    with boxes.under(_limits(wall_s)) as box:
      opened.append(box)
      children.append(_children())
  assert children[0] < children[1] < children[3] == children[4] == children[5]
  with boxes.under(_limits(1)) as box:
    assert box is opened[0]
    assert box.run([sandbox.Program('print(1)')])[0].stdout == '1\n'
  with boxes.under(_limits(2)) as box:
    assert box is not opened[1]
  boxes.close()
  assert _children() == children[0] - 1


def test_one_in_use_is_waited_for(boxes):
  entered = threading.Event()

  def enter():
    with boxes.under(_limits(5)):
      entered.set()

  with contextlib.ExitStack() as stack:
    held = [stack.enter_context(boxes.under(_limits(n))) for n in (1, 2, 3)]
    with boxes.under(_limits(4)):
      threading.Thread(target=enter).start()
      assert not entered.wait(0.5)
    assert entered.wait(10)
    assert held[0].run([sandbox.Program('print(1)')])[0].stdout == '1\n'


def test_a_layer_that_is_required_is_required_of_each():
  with contextlib.closing(sandbox_cache.Sandboxes(1, ('moat',))) as boxes:
    for _ in range(2):
      with (
        pytest.raises(errors.UserError, match='moat'),
        boxes.under(_limits(1)),
      ):
        pass
