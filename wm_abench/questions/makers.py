"""The maker of every dimension's groups, and the draft of any group."""

from wm_abench import types
from wm_abench.questions import (
  groups,
  manipulation,
  motion,
  navigation,
  physics,
  quantity,
  space,
  timing,
  vision,
)

# Dimension code -> maker.
MAKERS: dict[str, groups.Maker] = {
  **space.MAKERS,
  **timing.MAKERS,
  **vision.MAKERS,
  **motion.MAKERS,
  **quantity.MAKERS,
  **physics.MAKERS,
  **navigation.MAKERS,
  **manipulation.MAKERS,
}


def draft(request: groups.Request) -> types.Group:
  """A group of the request's cell, lawful as far as data can tell.

  Raises:
    groups.Rejected: this attempt's draw will not do.
  """
  group = MAKERS[request.cell.dimension](request)
  groups.check(group)
  return group
