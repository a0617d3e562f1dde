"""The paper's own simulators by name; each is imported when it is asked for.

They are clients: what they need beside their package (a build, a server, a
dataset of scenes, a Vulkan driver) each module says. All keep the protocol of
wm_abench/worlds/protocol.py with scenes and actions of their own.
"""

import importlib

from commons import errors
from wm_abench.worlds import protocol

# Where each class is.
_PLACES = {
  'maniskill': 'wm_abench.simulators.maniskill:ManiSkill',
  'tdw': 'wm_abench.simulators.tdw:ThreeDWorld',
  'physion': 'wm_abench.simulators.physion:Physion',
  'habitat': 'wm_abench.simulators.habitat:Habitat',
  'carla': 'wm_abench.simulators.carla:Carla',
}
SIMULATORS: tuple[str, ...] = tuple(_PLACES)


def open_simulator(name: str, size_px: int, **options) -> protocol.Environment:
  """A simulator, with square frames.

  Args:
    name: one of SIMULATORS.
    size_px: of the frames.
    **options: of the class, such as a server's host and port.

  Raises:
    UserError: no such simulator, or what it needs is not there.
  """
  if name not in _PLACES:
    raise errors.unknown('simulator', name, SIMULATORS)
  module, _, attribute = _PLACES[name].partition(':')
  return getattr(importlib.import_module(module), attribute)(size_px, **options)
