"""Props on the floor, an island or a low table of a furnished room.

A stand-in for ThreeDWorld; see surface for what it does.
"""

from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import environment


class Tabletop(environment.SurfaceWorld):
  """Rooms 'living_room', 'study', 'kitchen' and 'loft'."""

  def __init__(self, renderer: protocol.Renderer | None):
    super().__init__('tabletop', renderer)
