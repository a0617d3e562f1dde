"""Small props on a table of an apartment.

A stand-in for ManiSkill2; see surface for what it does.
"""

from wm_abench.environments import base, surface


class ApartmentTable(surface.SurfaceWorld):
  """Rooms 'dining', 'lounge', 'office' and 'sunroom'."""

  def __init__(self, renderer: base.Renderer | None):
    super().__init__('apartment_table', renderer)
