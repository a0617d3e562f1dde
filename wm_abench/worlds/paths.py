"""Positions and velocities along scripted paths.

A path is a sequence of pairs (time_s, position_m) in ascending order of time.
The motion between two of them is straight and uniform; before the first and
after the last the body rests.
"""

from collections.abc import Sequence

import numpy as np

from wm_abench.worlds import protocol

Path = Sequence[tuple[float, protocol.Vector]]


def position_at(path: Path, time_s: float) -> protocol.Vector:
  """Returns the position in metres on a path of at least one point."""
  times_K = [t for t, _ in path]
  points_K3 = np.array([position for _, position in path])
  return tuple(float(np.interp(time_s, times_K, x)) for x in points_K3.T)


def velocity_at(path: Path, time_s: float) -> protocol.Vector:
  """Returns the velocity in m/s on a path of at least one point.

  At the time of a point, it is the velocity of the segment that begins there.
  """
  times_K = [t for t, _ in path]
  end = int(np.searchsorted(times_K, time_s, side='right'))
  if not 0 < end < len(path):
    return (0.0, 0.0, 0.0)
  (start_s, start_m), (end_s, end_m) = path[end - 1], path[end]
  return tuple(
    (np.subtract(end_m, start_m, dtype=float) / (end_s - start_s)).tolist()
  )
