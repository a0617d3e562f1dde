"""The maker of every dimension's groups, and the draft of any group."""

from wm_abench.core import records
from wm_abench.questions import (
  group_law,
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
MAKERS: dict[str, group_law.Maker] = {
  **space.MAKERS,
  **timing.MAKERS,
  **vision.MAKERS,
  **motion.MAKERS,
  **quantity.MAKERS,
  **physics.MAKERS,
  **navigation.MAKERS,
  **manipulation.MAKERS,
}


def draft(request: group_law.Request) -> records.Group:
  """A group of the request's cell, lawful as far as data can tell.

  Raises:
    group_law.Rejected: this attempt's draw will not do.
  """
  group = MAKERS[request.cell.dimension](request)
  group_law.check(group)
  return group
