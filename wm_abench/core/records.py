"""Items of the benchmark, and the replies to them.

An item is one question with its pictures, options and key. Generation,
evaluation, people, the policy, audits and reports use the same record. Its
pictures are read when they are needed, so that any number of items can be held
in memory.

Items come in groups. A group holds all but one factor fixed, also the options
and their order, and varies that factor so that each option is the key of
exactly one item. Therefore no strategy that ignores the varied factor beats
chance, any two items of a group are a minimal pair, and keys are balanced over
positions.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
from typing import Any, Protocol

# Options are labelled in the order in which they are shown.
LABELS = 'ABCDEF'

# The first bytes of the encodings that are supported.
_MEDIA_TYPES = {
  b'\xff\xd8\xff': 'image/jpeg',
  b'\x89PNG': 'image/png',
  b'RIFF': 'image/webp',
}


class PictureSource(Protocol):
  """The stored bytes of one picture; data.parquet has the implementation."""

  def read(self) -> bytes:
    """Returns the encoded picture.

    Raises:
      UserError: the file is missing or damaged.
    """


@dataclasses.dataclass(frozen=True)
class Picture:
  """An encoded picture. Two pictures are equal if their bytes are.

  Attributes:
    digest: SHA-256 of the bytes, in hexadecimal.
    source: the bytes, or where to read them.
  """

  digest: str
  source: bytes | PictureSource = dataclasses.field(compare=False, repr=False)

  @classmethod
  def encoded(cls, data: bytes) -> 'Picture':
    """Returns the picture with these bytes."""
    return cls(hashlib.sha256(data).hexdigest(), data)

  def read(self) -> bytes:
    """Returns the encoded picture; see PictureSource.read for its errors."""
    source = self.source
    return source if isinstance(source, bytes) else source.read()


def media_type(encoded: bytes) -> str:
  """Returns the media type, such as 'image/jpeg'; '' for any other data."""
  types = (t for start, t in _MEDIA_TYPES.items() if encoded.startswith(start))
  return next(types, '')


@dataclasses.dataclass(frozen=True)
class Item:
  """One question of the benchmark, generated or read from the release.

  Attributes:
    name: a unique identifier that contains no information on the key.
    cell: the name of the cell.
    group: identifier of the group; items of one group are minimal pairs.
    prompt: the question.
    images: pictures of the state that the question is about, in order.
    options: phrases, or pictures.
    answer: index of the key in `options`, from 0.
    varies: the factor that differs within the group; '' if unknown.
    factors: the randomised parameters by name, as JSON types.
    state: the simulator's states behind `images` and pictured `options`, as
      JSON types; empty if unknown or not read.
  """

  name: str
  cell: str
  group: str
  prompt: str
  images: tuple[Picture, ...]
  options: tuple[str, ...] | tuple[Picture, ...]
  answer: int
  varies: str = ''
  factors: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  state: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def pictured(self) -> bool:
    """Whether the options are pictures."""
    return isinstance(self.options[0], Picture)

  @property
  def pictures(self) -> tuple[Picture, ...]:
    """All pictures: the images, then the options if they are pictures."""
    return (*self.images, *(self.options if self.pictured else ()))

  @property
  def content(self) -> list[Any]:
    """Everything that is shown, and the key, as JSON types.

    Pictures are represented by their digests, so that the content does not
    depend on where the data is stored.
    """
    options = [o.digest if isinstance(o, Picture) else o for o in self.options]
    images = [picture.digest for picture in self.images]
    return [self.name, self.prompt, images, options, self.answer]

  @property
  def digest(self) -> str:
    """SHA-256 of the whole item, in hexadecimal."""
    names = ('cell', 'group', 'varies', 'factors', 'state')
    fields = {name: getattr(self, name) for name in names}
    text = json.dumps([self.content, fields], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# How a reply ended: it chose an option; its text chose none; the model refused;
# a filter of the service blocked it; the length limit cut it before it chose an
# option; or no reply arrived after all retries.
ANSWERED, UNPARSED, REFUSED, BLOCKED, CUT, FAILED = STATUSES = (
  'answered',
  'unparsed',
  'refused',
  'blocked',
  'cut',
  'failed',
)


def sample_id(item: str, turn: int) -> str:
  """Returns the id in Inspect's logs of an item in one rotation of options."""
  return f'{item}@{turn}' if turn else item


@dataclasses.dataclass(frozen=True)
class Reply:
  """The reply of a model or of a person to one item.

  Attributes:
    item: the item's name.
    cell: the item's cell.
    group: the item's group.
    order: indices into the item's options, in the order in which the options
      were shown; order[0] was labelled A.
    turn: the rotation of the options, from 0; it is above 0 only in circular
      evaluation.
    answer: index of the key in the item's options, from 0.
    chosen: index of the chosen option in the item's options; None unless
      `status` is ANSWERED.
    status: one of STATUSES.
    text: the text of the reply.
    input_tokens: tokens of the prompt, counted by the service.
    output_tokens: tokens of the reply, counted by the service.
    seconds: time from the question to the reply.
    varies: the factor that differs within the item's group.
    factors: the item's factors.
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
    """Whether the key was chosen."""
    return self.chosen == self.answer

  @property
  def sample(self) -> str:
    """The sample's id in Inspect's logs."""
    return sample_id(self.item, self.turn)

  @property
  def chance(self) -> float:
    """The accuracy of a random guess."""
    return 1 / len(self.order)


def reply_to(
  item: Item,
  order: Sequence[int],
  chosen: int | None,
  status: str = ANSWERED,
  **fields: Any,
) -> Reply:
  """Returns a reply with the fields that it shares with its item filled in.

  Args:
    item: the item that was shown.
    order: the order of its options; see Reply.
    chosen: index of the chosen option in the item's options, or None.
    status: one of STATUSES.
    **fields: other fields of Reply.
  """
  shared = {'cell': item.cell, 'group': item.group, 'answer': item.answer}
  shared |= {'varies': item.varies, 'factors': item.factors, 'turn': 0}
  return Reply(
    item=item.name,
    order=tuple(order),
    chosen=chosen,
    status=status,
    **shared | fields,
  )
