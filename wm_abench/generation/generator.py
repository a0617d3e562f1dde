"""Makes items: a cell and a group's index in, its members with pictures out.

    draft -> check -> shoot -> check the frames -> encode each picture once

A draw that is rejected anywhere on the way is drawn again. What comes out
depends on the cell, the index and the settings alone, so that groups can be
made anywhere and in any order.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import hashlib
import io
import time

import numpy as np
from PIL import Image

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.generation import render_cache
from wm_abench.questions import group_law, maniskill
from wm_abench.questions import registry as questions_registry
from wm_abench.worlds import protocol, registry

JPEG = 'jpeg'
_QUALITY = 92
# Of a group, before it is taken for impossible: the members of some, of two
# materials that are alike, hardly ever look different in small pictures.
_DRAWS = 200

# Of the paper's simulators, those that make cells themselves, under the same
# law: by cell the maker of its groups. The others can be stepped and rendered.
SIMULATED: dict[str, dict[str, group_law.Maker]] = {
  maniskill.ENVIRONMENT: {
    f'm_man_manipulation_{action}': maniskill.make
    for action in ('drop', 'lift', 'push')
  }
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that a cell's items depend on.

  Attributes:
    seed: of every draw.
    size_px: of the square pictures.
    renderer: a name of wm_abench/worlds/registry.py.
    simulator: a key of SIMULATED, which makes and renders the cells; '': our
      own environments do.
  """

  seed: int
  size_px: int
  renderer: str
  simulator: str = ''


class Generator:
  """Makes groups, one environment's at a time.

  Attributes:
    work: what was done so far: frames 'asked' and 'rendered', draws
      'rejected', and the seconds of 'drafting_s', 'physics_s', 'rendering_s'
      and 'encoding_s'.
  """

  def __init__(self, settings: Settings):
    self._settings = settings
    self._environment = ''
    self._studio: render_cache.Studio | None = None
    self.work: collections.Counter[str] = collections.Counter()

  def group(self, cell: dimensions.Cell, index: int) -> list[records.Item]:
    """The members of a cell's group, in order.

    Raises:
      UserError: what the environment, renderer or simulator needs is missing.
      RuntimeError: no draw will do; a bug of the group's maker.
    """
    start = time.perf_counter()
    place = self._open(self._settings.simulator or cell.environment)
    before, counted = place.seconds.copy(), (place.asked, place.rendered)
    encoded = self.work['encoding_s']
    items = self._draw(cell, index, place)
    spent = place.seconds - before
    for kind in ('physics', 'rendering'):
      self.work[f'{kind}_s'] += spent[kind]
    self.work['asked'] += place.asked - counted[0]
    self.work['rendered'] += place.rendered - counted[1]
    known = spent.total() + self.work['encoding_s'] - encoded
    self.work['drafting_s'] += time.perf_counter() - start - known
    return items

  def take(self) -> collections.Counter[str]:
    """The work since the last call."""
    work, self.work = self.work, collections.Counter()
    return work

  def close(self) -> None:
    if self._studio:
      self._studio.close()
    self._studio = None

  def _open(self, environment: str) -> render_cache.Studio:
    """The studio, anew for another environment: worlds take much memory."""
    if self._studio is None or environment != self._environment:
      self.close()
      settings, renderer = self._settings, None
      if not settings.simulator:
        renderer = registry.open_renderer(settings.renderer, settings.size_px)
      self._studio = render_cache.Studio(renderer, settings.size_px)
      self._environment = environment
    return self._studio

  def _draw(
    self, cell: dimensions.Cell, index: int, place: render_cache.Studio
  ) -> list[records.Item]:
    seed, reason = self._settings.seed, ''
    for attempt in range(_DRAWS):
      request = group_law.Request(cell, index, seed, attempt, place.simulate)
      try:
        group = self._draft(request)
        frames, states = place.shoot(_shots(group))
        group_law.check_frames(group, frames.__getitem__)
      except group_law.Rejected as e:
        self.work['rejected'] += 1
        reason = str(e)
        continue
      return self._items(group, frames, states)
    raise RuntimeError(
      f'{cell.name}/{index}: none of {_DRAWS} draws will do, the last: {reason}'
    )

  def _draft(self, request: group_law.Request) -> records.Group:
    if not self._settings.simulator:
      return questions_registry.draft(request)
    group = SIMULATED[self._settings.simulator][request.cell.name](request)
    group_law.check(group)
    return group

  def _items(
    self,
    group: records.Group,
    frames: Mapping[protocol.Shot, np.ndarray],
    states: Mapping[protocol.Shot, protocol.State],
  ) -> list[records.Item]:
    start = time.perf_counter()
    pictures = {shot: encode(frame) for shot, frame in frames.items()}
    known = {shot: protocol.to_json(state) for shot, state in states.items()}
    name = f'{group.cell.name}/{group.index}'
    items = []
    for i, draft in enumerate(group.drafts):
      shots = {'images': draft.images, 'options': _pictured(draft)}
      items.append(
        records.Item(
          name=f'{name}/{i}',
          cell=group.cell.name,
          group=name,
          prompt=draft.prompt,
          images=tuple(pictures[shot] for shot in draft.images),
          options=tuple(pictures.get(o, o) for o in draft.options),
          answer=draft.answer,
          varies=group.varies,
          factors=protocol.to_json(draft.factors),
          state={k: [known[s] for s in v] for k, v in shots.items()},
        )
      )
    self.work['encoding_s'] += time.perf_counter() - start
    return items


def made_by(
  simulator: str, cells: Sequence[dimensions.Cell]
) -> tuple[dimensions.Cell, ...]:
  """Those of the cells that a simulator makes; '' makes every one.

  Raises:
    UserError: it makes none at all, or none of these.
  """
  if not simulator:
    return tuple(cells)
  if simulator not in SIMULATED:
    raise errors.unknown('simulator that makes cells', simulator, SIMULATED)
  made = tuple(c for c in cells if c.name in SIMULATED[simulator])
  if not made:
    raise errors.UserError(
      f'simulator {simulator!r} makes none of the cells'
      f' {", ".join(c.name for c in cells)}; choices:'
      f' {", ".join(SIMULATED[simulator])}'
    )
  return made


def group_count(cell: dimensions.Cell, items: int) -> int:
  """The groups that hold the first so many items of a cell."""
  return -(-items // cell.of.options)


def members(
  generator: Generator, cell: dimensions.Cell, start: int, stop: int
) -> Iterator[records.Item]:
  """A cell's items from number start on, up to stop.

  Item i of a cell is member i % options of group i // options.
  """
  options = cell.of.options
  for index in range(start // options, group_count(cell, stop)):
    for i, item in enumerate(generator.group(cell, index), index * options):
      if start <= i < stop:
        yield item


def encode(frame_HWC: np.ndarray) -> bytes:
  """A uint8 frame as a JPEG picture whose colours are not subsampled."""
  stream = io.BytesIO()
  Image.fromarray(frame_HWC).save(
    stream, JPEG, quality=_QUALITY, subsampling='4:4:4'
  )
  return stream.getvalue()


def digests(item: records.Item) -> tuple[str, str]:
  """SHA-256 of what an item says, and of its pictures as they are encoded."""
  pictured = isinstance(item.options[0], bytes)
  said = dataclasses.replace(
    item, images=(), options=() if pictured else item.options
  )
  pictures = (*item.images, *(item.options if pictured else ()))
  seen = hashlib.sha256()
  for picture in pictures:
    seen.update(hashlib.sha256(picture).digest())
  return protocol.digest(said), seen.hexdigest()


def _pictured(draft: records.Draft) -> tuple[protocol.Shot, ...]:
  return tuple(o for o in draft.options if isinstance(o, protocol.Shot))


def _shots(group: records.Group) -> Iterator[protocol.Shot]:
  """Every picture that some member shows, as often as one does."""
  for draft in group.drafts:
    yield from (*draft.images, *_pictured(draft))
