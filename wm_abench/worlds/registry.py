"""The environments, renderers and simulators, by name.

Each table maps a name to the class that implements it, and a class is imported
only when it is opened. An entry makes a new class available:

    ENVIRONMENTS['my_world'] = Entry('my_package.my_module:MyWorld')

An environment is a world of this package, built in MuJoCo and drawn by one of
the renderers. A simulator is a client of an external program that draws its
frames itself; its module lists the requirements besides the Python package.
Both implement `protocol.Environment`.
"""

import dataclasses
import importlib
from typing import Any

from commons import errors
from wm_abench.worlds import protocol


@dataclasses.dataclass(frozen=True)
class Entry:
  """One implementation.

  Attributes:
    target: 'module:Class'.
    extras: the extras of this distribution that install what the module
      imports, separated by commas; '' if the module reports missing packages
      itself.
  """

  target: str
  extras: str = ''


# Classes that take a renderer, or None to be stepped without frames.
ENVIRONMENTS: dict[str, Entry] = {
  'tabletop': Entry('wm_abench.worlds.tabletop.environment:Tabletop', 'worlds'),
  'apartment_table': Entry(
    'wm_abench.worlds.tabletop.environment:ApartmentTable', 'worlds'
  ),
  'manipulation': Entry(
    'wm_abench.worlds.kitchen.environment:Manipulation', 'worlds'
  ),
  'intuitive_physics': Entry(
    'wm_abench.worlds.physics_hall.environment:IntuitivePhysics', 'worlds'
  ),
  'indoor': Entry('wm_abench.worlds.homes.environment:Indoor', 'worlds'),
  'street': Entry('wm_abench.worlds.street.environment:Street', 'worlds'),
}

# Classes that take the size of the square frames in pixels: 'mujoco' is fast,
# 'mitsuba' is photorealistic and slow.
RENDERERS: dict[str, Entry] = {
  'mujoco': Entry('wm_abench.rendering.mujoco:MujocoRenderer', 'worlds'),
  'mitsuba': Entry(
    'wm_abench.rendering.mitsuba:MitsubaRenderer', 'worlds,mitsuba'
  ),
}

# Classes that take the size of the square frames in pixels, and options. Each
# reports a missing package itself, when it is constructed.
SIMULATORS: dict[str, Entry] = {
  'maniskill': Entry('wm_abench.simulators.maniskill:ManiSkill', 'maniskill'),
  'tdw': Entry('wm_abench.simulators.tdw:ThreeDWorld'),
  'physion': Entry('wm_abench.simulators.physion:Physion'),
  'habitat': Entry('wm_abench.simulators.habitat:Habitat'),
  'carla': Entry('wm_abench.simulators.carla:Carla'),
}


def open_environment(
  name: str, renderer: protocol.Renderer | None
) -> protocol.Environment:
  """Returns a new environment, which draws its frames with `renderer`.

  Args:
    name: a key of ENVIRONMENTS.
    renderer: None for an environment that is only stepped.

  Raises:
    UserError: the name is unknown, or a package is not installed.
  """
  return _load('environment', name, ENVIRONMENTS)(renderer)


def open_renderer(name: str, size_px: int) -> protocol.Renderer:
  """Returns a new renderer of square frames.

  Args:
    name: a key of RENDERERS.
    size_px: width and height of a frame.

  Raises:
    UserError: the name is unknown, a package is not installed, or the host has
      no working OpenGL.
  """
  return _load('renderer', name, RENDERERS)(size_px)


def describe_renderer(name: str) -> str:
  """Returns one line on how a renderer makes frames on this host.

  Raises:
    UserError: see open_renderer.
  """
  return _load('renderer', name, RENDERERS).describe()


def open_simulator(name: str, size_px: int, **options) -> protocol.Environment:
  """Returns a new client of a simulator.

  Args:
    name: a key of SIMULATORS.
    size_px: width and height of a frame.
    **options: keyword arguments of the class, such as a server's host and port.

  Raises:
    UserError: the name is unknown, or a package, a server or a data set is
      missing.
  """
  return _load('simulator', name, SIMULATORS)(size_px, **options)


def _load(kind: str, name: str, entries: dict[str, Entry]) -> Any:
  """Imports and returns the class of an entry."""
  if name not in entries:
    raise errors.unknown(kind, name, entries)
  module, _, attribute = entries[name].target.partition(':')
  try:
    return getattr(importlib.import_module(module), attribute)
  except ModuleNotFoundError as e:
    extras = entries[name].extras
    command = (
      f": pip install -c constraints.txt -e '.[{extras}]'" if extras else ''
    )
    raise errors.UserError(
      f'{kind} {name!r} needs the package {e.name!r}{command}'
    ) from e
