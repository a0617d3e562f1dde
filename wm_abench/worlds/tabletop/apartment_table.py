"""Small props on a table of an apartment.

A stand-in for ManiSkill2; see surface for what it does.
"""

from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import environment


class ApartmentTable(environment.SurfaceWorld):
  """Rooms 'dining', 'lounge', 'office' and 'sunroom'."""

  def __init__(self, renderer: protocol.Renderer | None):
    super().__init__('apartment_table', renderer)
