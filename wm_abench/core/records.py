"""Items of the benchmark: drafts, which are data, and items, which have images.

Items are drafted in groups. A group holds all but one factor fixed, the options
and their order too, and varies that factor so that each option is the answer
exactly once. So no guess that leaves the varied factor unread beats chance, any
two members are a minimal pair, and answers are balanced over positions.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from wm_abench.core import dimensions
from wm_abench.worlds import protocol


@dataclasses.dataclass(frozen=True)
class Draft:
  """One item before its frames are rendered.

  Attributes:
    prompt: the question alone; how to answer is the evaluation's to say.
    images: shots of the state that is asked about, in order.
    options: words, or one shot each.
    answer: index into options, from 0.
    factors: every randomised parameter by name, nuisance or not, as JSON's
      types, so that the effect of any can be measured.
  """

  prompt: str
  images: tuple[protocol.Shot, ...]
  options: tuple[str, ...] | tuple[protocol.Shot, ...]
  answer: int
  factors: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Group:
  """Minimal pairs: drafts that differ in one factor, and so in the answer.

  Attributes:
    cell: whose they are.
    index: which of the cell's groups.
    varies: the factor, a key of every draft's factors.
    drafts: one an option, as many as the cell has options.
  """

  cell: dimensions.Cell
  index: int
  varies: str
  drafts: tuple[Draft, ...]


@dataclasses.dataclass(frozen=True)
class Item:
  """One question of the benchmark, generated or read from the release.

  Attributes:
    name: unique, such as 'sr_tabletop/12/3': cell, group, member.
    cell: the cell's name.
    group: items of one group are minimal pairs of each other.
    prompt: the question.
    images: encoded pictures of the state that is asked about.
    options: words, or encoded pictures.
    answer: index into options, from 0.
    varies: the factor that differs within the group; '' where unknown.
    factors: the randomised parameters.
    state: the simulator's states behind the images, as JSON's types.
  """

  name: str
  cell: str
  group: str
  prompt: str
  images: tuple[bytes, ...]
  options: tuple[str, ...] | tuple[bytes, ...]
  answer: int
  varies: str = ''
  factors: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  state: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def pictured(self) -> bool:
    """Whether its options are pictures."""
    return isinstance(self.options[0], bytes)


# How a reply ended: with an option; with words that name none; with the
# model's refusal; stopped by a filter of its service's; stopped by the limit of
# its length before it named an option; or not at all, for all the tries.
ANSWERED, UNPARSED, REFUSED, BLOCKED, CUT, FAILED = STATUSES = (
  'answered',
  'unparsed',
  'refused',
  'blocked',
  'cut',
  'failed',
)


def sample_id(item: str, turn: int) -> str:
  """What logs call an item in one of the orders of its options."""
  return f'{item}@{turn}' if turn else item


@dataclasses.dataclass(frozen=True)
class Reply:
  """What a model made of one item.

  Attributes:
    item: the item's name.
    cell: the item's.
    group: the item's.
    order: the item's options in the order that they were shown in: order[0] is
      the one that was labelled A.
    turn: which of the orders it was shown in, from 0; only circular evaluation
      has several.
    answer: index into the item's options, from 0.
    chosen: likewise; None unless status is ANSWERED.
    status: one of STATUSES.
    text: what the model wrote.
    input_tokens: as its service counts them.
    output_tokens: likewise.
    seconds: from the question to the reply.
    varies: the item's.
    factors: the item's.
  """

  item: str
  cell: str
  group: str
  order: tuple[int, ...]
  turn: int
  answer: int
  chosen: int | None
  status: str
  text: str = ''
  input_tokens: int = 0
  output_tokens: int = 0
  seconds: float = 0.0
  varies: str = ''
  factors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def right(self) -> bool:
    return self.chosen == self.answer

  @property
  def sample(self) -> str:
    """What it is called in a log."""
    return sample_id(self.item, self.turn)

  @property
  def chance(self) -> float:
    """Accuracy of a guess."""
    return 1 / len(self.order)
