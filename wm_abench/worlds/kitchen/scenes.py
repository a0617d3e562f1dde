"""Scenes of the kitchen environment, as data."""

import dataclasses

from commons import errors
from wm_abench.worlds import protocol
from wm_abench.worlds.kitchen import kitchen, objects
from wm_abench.worlds.tabletop import props

LEFT, RIGHT = 'left', 'right'


@dataclasses.dataclass(frozen=True)
class Thing:
  """An object on the counter.

  Attributes:
    kind: one of objects.KINDS, at most once in a scene; also its name.
    color: one of props.COLORS.
    position_m: x and y of the centre of its base.
    yaw_deg: rotation about the vertical axis.
  """

  kind: str
  color: str
  position_m: tuple[float, float]
  yaw_deg: float = 0.0


@dataclasses.dataclass(frozen=True)
class ManipulationScene(protocol.Scene):
  """Things on the counter of a kitchen, and the arms that stand on it.

  Attributes:
    things: small and fixed ones in a scene of one arm, long ones in a scene of
      two.
    arms: ('left',) or ('left', 'right').
    held: kind of the thing that the left hand holds at the start, or ''.
    held_m: height of its base at the start.
  """

  things: tuple[Thing, ...] = ()
  arms: tuple[str, ...] = (LEFT,)
  held: str = ''
  held_m: float = 0.2


def check(scene: ManipulationScene) -> None:
  """Raises UserError for a scene that cannot be simulated.

  Raises:
    UserError: a kitchen, thing, colour or arm is unknown, or a kind of thing
      appears twice.
  """
  choices = {
    'kitchen': ({scene.background}, kitchen.STYLES),
    'colour': ({t.color for t in scene.things}, props.COLORS),
    'thing': ({t.kind for t in scene.things}, kinds(scene.arms)),
    'arm': (set(scene.arms), kitchen.ARMS),
    'held thing': (
      {scene.held} - {''},
      [t.kind for t in scene.things if t.kind in objects.SMALL],
    ),
  }
  for field, (names, known) in choices.items():
    for name in names - set(known):
      raise errors.unknown(field, name, known)
  used = [t.kind for t in scene.things]
  if len(set(used)) < len(used):
    raise errors.UserError(f'two things of a scene are of one kind: {used}')


def kinds(arm_names: tuple[str, ...]) -> list[str]:
  """Returns the kinds of things in scenes with these arms."""
  if len(arm_names) > 1:
    return [*objects.LONG]
  return [*objects.SMALL, *objects.FIXED]
