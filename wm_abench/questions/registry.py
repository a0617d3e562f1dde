"""The maker of each dimension's groups."""

from wm_abench.questions import (
  group_law,
  manipulation,
  motion,
  navigation,
  physics,
  quantity,
  space,
  timing,
  trajectory,
  vision,
)

# Dimension code -> maker.
MAKERS: dict[str, group_law.Maker] = {
  **space.MAKERS,
  **timing.MAKERS,
  **vision.MAKERS,
  **motion.MAKERS,
  **trajectory.MAKERS,
  **quantity.MAKERS,
  **physics.MAKERS,
  **navigation.MAKERS,
  **manipulation.MAKERS,
}


def draft(request: group_law.Request) -> group_law.Group:
  """Returns a group of the request's cell that passes group_law.check.

  Whether its frames differ enough is checked after rendering.

  Raises:
    group_law.Rejected: the draw of this attempt is unusable.
  """
  group = MAKERS[request.cell.dimension](request)
  group_law.check(group)
  return group
