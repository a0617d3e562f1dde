"""Groups of the cells whose scenes are drawn without being simulated."""

import functools

import pytest

from wm_abench.core import dimensions
from wm_abench.questions import group_law, registry


@functools.cache
def _draw(name, count):
  cell = dimensions.CELLS[name]
  found = []
  for index in range(count):
    for attempt in range(20):
      try:
        request = group_law.Request(cell, index, 0, attempt, simulate=None)
        found.append(registry.draft(request))
        break
      except group_law.Rejected:
        continue
  assert len(found) == count
  return found


@pytest.fixture(scope='session')
def drawn():
  """The first groups of a cell, by its name."""
  return lambda name, count=40: _draw(name, count)


@pytest.fixture(scope='session')
def drafts():
  """The members of the first groups of a cell, by its name."""
  return lambda name: [d for group in _draw(name, 40) for d in group.drafts]
