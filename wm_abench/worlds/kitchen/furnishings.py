"""Furnishings of kitchens: visible parts on the counter and the wall."""

from collections.abc import Callable
import itertools

import mujoco
import numpy as np

from wm_abench.worlds.kitchen import objects

BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_ELLIPSOID = mujoco.mjtGeom.mjGEOM_ELLIPSOID


class Parts:
  """Adds visible geoms without collisions, named "name:count".

  Args:
    model: the specification.
    name: of the group of parts.
  """

  def __init__(self, model: mujoco.MjSpec, name: str):
    self._world, self._name = model.worldbody, name

  def add(self, shape, pos, size, rgba=None, material='paint', **geom) -> None:
    """Adds one geom; `geom` are further arguments of add_geom."""
    count = len(self._world.geoms)
    self._world.add_geom(
      name=f'{self._name}:{count}',
      type=shape,
      pos=pos,
      size=size,
      group=1,
      rgba=rgba or (1, 1, 1, 1),
      material=material,
      contype=0,
      conaffinity=0,
      **geom,
    )

  def box(self, low, high, rgba=None, material='paint') -> None:
    """Adds a box between two corners."""
    low, high = np.array(low), np.array(high)
    self.add(BOX, (low + high) / 2, (high - low) / 2, rgba, material)

  def tube(self, a, b, radius_m, rgba, shape=CYLINDER) -> None:
    """Adds a cylinder, or another shape, from one point to another."""
    self.add(shape, (0, 0, 0), (radius_m, 0, 0), rgba, fromto=(*a, *b))


def _microwave(parts: Parts) -> None:
  parts.box((0.20, 0.36, 0.012), (0.66, 0.60, 0.25), (0.80, 0.81, 0.82, 1))
  parts.box((0.22, 0.352, 0.03), (0.53, 0.36, 0.235), objects.DARK)
  parts.box((0.245, 0.350, 0.06), (0.505, 0.36, 0.205), (0.22, 0.24, 0.27, 1))
  parts.box((0.55, 0.352, 0.03), (0.645, 0.36, 0.235), (0.25, 0.26, 0.27, 1))
  parts.box((0.565, 0.350, 0.19), (0.63, 0.36, 0.22), (0.15, 0.55, 0.45, 1))
  for i in range(6):
    x, z = 0.575 + 0.03 * (i % 2), 0.06 + 0.04 * (i // 2)
    parts.box((x, 0.350, z), (x + 0.02, 0.36, z + 0.025), (0.7, 0.7, 0.7, 1))
  parts.tube((0.538, 0.335, 0.05), (0.538, 0.335, 0.215), 6e-3, objects.STEEL)


def _jars(parts: Parts) -> None:
  for i, rgba in enumerate(
    ((0.82, 0.62, 0.38, 1), (0.45, 0.26, 0.14, 1), (0.9, 0.85, 0.72, 1))
  ):
    x, h = -0.30 + 0.13 * i, 0.16 - 0.025 * i
    parts.tube((x, 0.52, 0), (x, 0.52, h), 0.045, rgba)
    parts.tube((x, 0.52, h), (x, 0.52, h + 0.018), 0.047, (0.60, 0.44, 0.28, 1))


def _hood(parts: Parts) -> None:
  parts.tube((-0.42, 0.595, 0.47), (0.42, 0.595, 0.47), 6e-3, objects.STEEL)
  for i, length in enumerate((0.13, 0.16, 0.11, 0.15)):
    x = -0.30 + 0.17 * i
    parts.tube((x, 0.59, 0.47), (x, 0.59, 0.47 - length), 4e-3, objects.STEEL)
    parts.add(
      _ELLIPSOID, (x, 0.59, 0.46 - length), (0.028, 0.008, 0.035), objects.STEEL
    )


def _stove(parts: Parts) -> None:
  parts.box((-0.32, 0.33, 0), (0.22, 0.60, 0.008), (0.13, 0.13, 0.14, 1))
  for x in (-0.18, 0.08):
    parts.tube((x, 0.47, 0.008), (x, 0.47, 0.014), 0.085, (0.05, 0.05, 0.05, 1))
    parts.tube((x, 0.47, 0.014), (x, 0.47, 0.016), 0.055, (0.35, 0.12, 0.1, 1))
  pot = (0.62, 0.63, 0.65, 1)
  parts.tube((0.08, 0.47, 0.016), (0.08, 0.47, 0.13), 0.085, pot)
  parts.tube((0.08, 0.47, 0.13), (0.08, 0.47, 0.138), 0.089, objects.STEEL)
  parts.add(_ELLIPSOID, (0.08, 0.47, 0.138), (0.08, 0.08, 0.022), pot)
  parts.add(_ELLIPSOID, (0.08, 0.47, 0.17), (0.016, 0.016, 0.014), objects.DARK)
  for side in (-1, 1):
    x = 0.08 + side * 0.1
    parts.box((x - 0.018, 0.455, 0.10), (x + 0.018, 0.485, 0.112), objects.DARK)


def _utensils(parts: Parts) -> None:
  parts.tube((0.42, 0.50, 0), (0.42, 0.50, 0.15), 0.06, (0.85, 0.82, 0.76, 1))
  wood = (0.66, 0.46, 0.27, 1)
  for dx, dy, rgba in (
    (-0.04, 0.01, wood),
    (0.03, 0.02, wood),
    (0.0, -0.02, objects.STEEL),
  ):
    top = (0.42 + 1.6 * dx, 0.50 + dy, 0.30)
    parts.tube((0.42 + dx * 0.5, 0.50 + dy, 0.1), top, 5e-3, rgba)
    parts.add(_ELLIPSOID, top, (0.024, 0.008, 0.035), rgba)


def _shelf(parts: Parts) -> None:
  parts.box((-0.45, 0.48, 0.37), (0.45, 0.62, 0.392), (0.58, 0.41, 0.25, 1))
  for i in range(7):
    x = -0.38 + 0.125 * i
    h = (0.10, 0.07, 0.12)[i % 3]
    rgba = ((0.9, 0.88, 0.84, 1), (0.55, 0.66, 0.72, 1), (0.8, 0.7, 0.5, 1))
    parts.tube((x, 0.55, 0.392), (x, 0.55, 0.392 + h), 0.038, rgba[i % 3])


def _window(parts: Parts) -> None:
  parts.box((-0.45, 0.60, 0.19), (0.25, 0.62, 0.62), (0.95, 0.95, 0.95, 1))
  for x0, x1 in ((-0.42, -0.115), (-0.085, 0.22)):
    parts.box((x0, 0.595, 0.22), (x1, 0.61, 0.60), (0.66, 0.83, 0.96, 1))
    parts.box((x0, 0.594, 0.22), (x1, 0.61, 0.31), (0.45, 0.62, 0.38, 1))
  parts.box((-0.47, 0.56, 0.175), (0.27, 0.62, 0.195), (0.95, 0.95, 0.95, 1))


def _faucet(parts: Parts) -> None:
  parts.box((-0.34, 0.35, 0), (0.14, 0.58, 0.004), objects.STEEL)
  parts.box((-0.31, 0.37, 0), (0.11, 0.54, 0.006), (0.30, 0.31, 0.33, 1))
  capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
  path = [(0, 0), (0, 0.20), (-0.03, 0.245), (-0.09, 0.25), (-0.12, 0.21)]
  for (y0, z0), (y1, z1) in itertools.pairwise(path):
    parts.tube(
      (-0.1, 0.565 + y0, z0),
      (-0.1, 0.565 + y1, z1),
      0.013,
      (0.85, 0.86, 0.88, 1),
      capsule,
    )
  parts.tube((-0.03, 0.565, 0), (-0.03, 0.565, 0.07), 0.014, objects.STEEL)


def _boards(parts: Parts) -> None:
  for i, (w, h, rgba) in enumerate(
    ((0.22, 0.30, (0.72, 0.52, 0.32, 1)), (0.17, 0.22, (0.50, 0.33, 0.2, 1)))
  ):
    x, y = -0.42 - 0.06 * i, 0.59 - 0.03 * i
    parts.box((x - w / 2, y, 0), (x + w / 2, y + 0.02, h), rgba)


# Group of parts -> a function that adds them.
FURNISHINGS: dict[str, Callable[[Parts], None]] = {
  'microwave': _microwave,
  'jars': _jars,
  'hood': _hood,
  'stove': _stove,
  'utensils': _utensils,
  'shelf': _shelf,
  'window': _window,
  'faucet': _faucet,
  'boards': _boards,
}
