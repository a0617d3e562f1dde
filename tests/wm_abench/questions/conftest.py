"""Fixtures with groups of cells whose makers do not simulate."""

import functools

import pytest

from wm_abench.core import dimensions
from wm_abench.questions import group_law, registry


@functools.cache
def _draw(name, count):
  cell = dimensions.CELLS[name]
  groups = []
  for index in range(count):
    for attempt in range(20):
      try:
        request = group_law.Request(cell, index, 0, attempt, simulate=None)
        groups.append(registry.draft(request))
        break
      except group_law.Rejected:
        continue
  assert len(groups) == count
  return groups


@pytest.fixture(scope='session')
def groups():
  """Returns the first groups of a cell, by its name."""
  return lambda name, count=40: _draw(name, count)


@pytest.fixture(scope='session')
def drafts():
  """Returns the members of the first groups of a cell, by its name."""
  return lambda name: [d for group in _draw(name, 40) for d in group.drafts]
