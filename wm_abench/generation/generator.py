"""Makes items: from a cell and the index of a group to its items with pictures.

    draft -> check -> render -> check the frames -> encode each picture once

A draw that fails a check is drawn again. The result depends only on the cell,
the index and the settings, so groups can be made in any order and anywhere.
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
from wm_abench.questions import registry as makers
from wm_abench.worlds import protocol, registry

JPEG = 'jpeg'
_QUALITY = 92
# Draws of one group before it counts as impossible. Some groups need many: two
# similar materials, for example, rarely look different in small pictures.
_MAX_DRAWS = 200
_NAME_CHARS = 16

# The simulators of the paper that make cells themselves, and the maker of each
# of these cells. The other simulators can be stepped and rendered.
SIMULATED: dict[str, dict[str, group_law.Maker]] = {
  maniskill.ENVIRONMENT: {
    f'm_man_manipulation_{action}': maniskill.make
    for action in ('drop', 'lift', 'push')
  }
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """Everything that a cell's items depend on.

  Attributes:
    seed: the seed of all draws.
    size_px: width and height of the pictures.
    renderer: a name of worlds.registry.RENDERERS.
    simulator: a key of SIMULATED, which then makes and renders the cells; ''
      for the environments of this package.
  """

  seed: int
  size_px: int
  renderer: str
  simulator: str = ''


class Generator:
  """Makes groups; it holds the worlds of one environment at a time.

  Attributes:
    work: counts of frames 'asked' for and 'rendered' and of draws 'rejected',
      and the seconds 'drafting_s', 'physics_s', 'rendering_s' and 'encoding_s'.
  """

  def __init__(self, settings: Settings):
    self._settings = settings
    self._environment = ''
    self._cache: render_cache.RenderCache | None = None
    self.work: collections.Counter[str] = collections.Counter()

  def group(self, cell: dimensions.Cell, index: int) -> list[records.Item]:
    """Returns the items of a cell's group, ordered by their names.

    Names are digests of what an item shows, so that neither the name nor the
    order contains information on the key.

    Raises:
      UserError: the environment, renderer or simulator lacks a package or file.
      RuntimeError: no draw passed the checks; the group's maker has a bug.
    """
    start = time.perf_counter()
    cache = self._open(self._settings.simulator or cell.environment)
    seconds_before = cache.seconds.copy()
    frames_before = cache.requested, cache.rendered
    encoding_before = self.work['encoding_s']
    items = self._draw(cell, index, cache)
    seconds = cache.seconds - seconds_before
    for kind in ('physics', 'rendering'):
      self.work[f'{kind}_s'] += seconds[kind]
    self.work['asked'] += cache.requested - frames_before[0]
    self.work['rendered'] += cache.rendered - frames_before[1]
    measured = seconds.total() + self.work['encoding_s'] - encoding_before
    self.work['drafting_s'] += time.perf_counter() - start - measured
    return sorted(items, key=lambda item: item.name)

  def take_work(self) -> collections.Counter[str]:
    """Returns the work since the last call."""
    work, self.work = self.work, collections.Counter()
    return work

  def close(self) -> None:
    """Closes the worlds and the renderer."""
    if self._cache:
      self._cache.close()
    self._cache = None

  def _open(self, environment: str) -> render_cache.RenderCache:
    """Returns the render cache; another environment gets a new one.

    The worlds of one environment take much memory.
    """
    if self._cache is None or environment != self._environment:
      self.close()
      settings, renderer = self._settings, None
      if not settings.simulator:
        renderer = registry.open_renderer(settings.renderer, settings.size_px)
      self._cache = render_cache.RenderCache(renderer, settings.size_px)
      self._environment = environment
    return self._cache

  def _draw(
    self, cell: dimensions.Cell, index: int, cache: render_cache.RenderCache
  ) -> list[records.Item]:
    seed, reason = self._settings.seed, ''
    for attempt in range(_MAX_DRAWS):
      request = group_law.Request(cell, index, seed, attempt, cache.simulate)
      try:
        group = self._draft(request)
        frames, states = cache.render(_shots(group))
        group_law.check_frames(group, frames.__getitem__)
      except group_law.Rejected as e:
        self.work['rejected'] += 1
        reason = str(e)
        continue
      return self._items(group, frames, states)
    raise RuntimeError(
      f'{cell.name}/{index}: none of {_MAX_DRAWS} draws passed; the last was'
      f' rejected because: {reason}'
    )

  def _draft(self, request: group_law.Request) -> group_law.Group:
    if not self._settings.simulator:
      return makers.draft(request)
    group = SIMULATED[self._settings.simulator][request.cell.name](request)
    group_law.check(group)
    return group

  def _items(
    self,
    group: group_law.Group,
    frames: Mapping[protocol.Shot, np.ndarray],
    states: Mapping[protocol.Shot, protocol.State],
  ) -> list[records.Item]:
    start = time.perf_counter()
    pictures = {
      shot: records.Picture.encoded(encode(frame))
      for shot, frame in frames.items()
    }
    plain = {shot: protocol.to_json(state) for shot, state in states.items()}
    names = item_names(group)
    group_name = _digest([group.cell.name, group.index, sorted(names)])
    items = []
    for name, draft in zip(names, group.drafts, strict=True):
      shots = {'images': draft.images, 'options': _pictured(draft)}
      items.append(
        records.Item(
          name=name,
          cell=group.cell.name,
          group=group_name,
          prompt=draft.prompt,
          images=tuple(pictures[shot] for shot in draft.images),
          options=tuple(pictures.get(o, o) for o in draft.options),
          answer=draft.answer,
          varies=group.varies,
          factors=protocol.to_json(draft.factors),
          state={k: [plain[s] for s in v] for k, v in shots.items()},
        )
      )
    self.work['encoding_s'] += time.perf_counter() - start
    return items


def item_names(group: group_law.Group) -> list[str]:
  """Returns the names of a group's items: digests of what each one shows.

  Key and factors do not enter. Scenes do, not pixels, so that an item has the
  same name at every size and with every renderer. The seed does not enter
  either: a secret one could be found by trying seeds.
  """
  keys = {shot: shot.key() for shot in _shots(group)}
  place = [group.cell.name, group.index]
  return [
    _digest(
      [
        *place,
        draft.prompt,
        [keys[shot] for shot in draft.images],
        [keys.get(option, option) for option in draft.options],
      ]
    )
    for draft in group.drafts
  ]


def _digest(value: Sequence) -> str:
  return protocol.digest(value)[:_NAME_CHARS]


def made_by(
  simulator: str, cells: Sequence[dimensions.Cell]
) -> tuple[dimensions.Cell, ...]:
  """Returns the cells that a simulator makes; '' makes all of them.

  Raises:
    UserError: the simulator makes no cell at all, or none of these.
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
  """Returns how many groups contain the first `items` items of a cell."""
  return -(-items // cell.of.options)


def members(
  generator: Generator, cell: dimensions.Cell, start: int, stop: int
) -> Iterator[records.Item]:
  """Yields a cell's items from index `start` to `stop`, exclusive.

  Item i of a cell is item i % options of group i // options.
  """
  options = cell.of.options
  for index in range(start // options, group_count(cell, stop)):
    for i, item in enumerate(generator.group(cell, index), index * options):
      if start <= i < stop:
        yield item


def encode(frame_HWC: np.ndarray) -> bytes:
  """Returns a uint8 frame as JPEG, without chroma subsampling."""
  stream = io.BytesIO()
  Image.fromarray(frame_HWC).save(
    stream, JPEG, quality=_QUALITY, subsampling='4:4:4'
  )
  return stream.getvalue()


def digests(item: records.Item) -> tuple[str, str]:
  """Returns SHA-256 of an item without its pictures, and of its pictures."""
  fields = {
    field.name: getattr(item, field.name)
    for field in dataclasses.fields(item)
    if field.name != 'images'
  }
  fields['options'] = () if item.pictured else item.options
  pictures = hashlib.sha256()
  for picture in item.pictures:
    pictures.update(bytes.fromhex(picture.digest))
  return protocol.digest(fields), pictures.hexdigest()


def _pictured(draft: group_law.Draft) -> tuple[protocol.Shot, ...]:
  return tuple(o for o in draft.options if isinstance(o, protocol.Shot))


def _shots(group: group_law.Group) -> Iterator[protocol.Shot]:
  """Yields the shot of every picture, as often as the drafts show it."""
  for draft in group.drafts:
    yield from (*draft.images, *_pictured(draft))
