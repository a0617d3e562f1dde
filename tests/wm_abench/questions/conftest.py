"""Fixtures with groups of cells whose makers do not simulate."""

import functools

import numpy as np
import pytest

from wm_abench.core import dimensions
from wm_abench.questions import group_law, registry
from wm_abench.worlds import paths


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


def _track(prop, shots):
  if not prop.path:
    return np.array([prop.position_m] * len(shots))
  assert len({z for _, (_, _, z) in prop.path}) == 1
  times_s = [sum(a.values[0] for a in s.actions) for s in shots]
  return np.array([paths.position_at(prop.path, t) for t in times_s])


@pytest.fixture(scope='session')
def track():
  """Returns the positions [T, 3] of a prop in shots, at a constant height."""
  return _track


@pytest.fixture(scope='session')
def step_lengths():
  """Returns the distances [T - 1] that a prop moves between shots."""
  return lambda prop, shots: np.linalg.norm(
    np.diff(_track(prop, shots), axis=0), axis=1
  )
