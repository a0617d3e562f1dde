"""Items whose pictures are files, for models to be asked.

Evaluation holds no picture in memory: each is written once, as it was encoded,
to a file that its digest names,

    FOLDER/pictures/ab/ab12...jpg

beside the data, generated or released. A picture that is there has been decoded
once; one that does not decode is not written, and its items are marked.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import hashlib
import io
import os
import pathlib
from typing import Any

from PIL import Image

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import dataset, parquet

PICTURES = 'pictures'
# How many items of a cell: as many as the split `mini` has, a hundred as the
# paper asked its dearest models, or all that are there.
SUBSETS: dict[str, int | None] = {
  'mini': dataset.MINI_ITEMS,
  '100': 100,
  'full': None,
}
_ENDINGS = {b'\xff\xd8\xff': 'jpg', b'\x89PNG': 'png', b'RIFF': 'webp'}


@dataclasses.dataclass(frozen=True)
class Question:
  """An item, its pictures named.

  Attributes:
    name, cell, group, prompt, answer, varies, factors: the item's.
    images: paths.
    options: words, or paths where the cell's options are images.
    broken: what is wrong with a picture that does not decode; else ''.
  """

  name: str
  cell: str
  group: str
  prompt: str
  images: tuple[str, ...]
  options: tuple[str, ...]
  answer: int
  varies: str
  factors: Mapping[str, Any]
  broken: str = ''

  @property
  def pictured(self) -> bool:
    return dimensions.CELLS[self.cell].of.form == dimensions.IMAGE

  @property
  def content(self) -> list[Any]:
    """All that is asked, wherever its pictures are, as JSON's types."""
    images = [pathlib.Path(path).name for path in self.images]
    options = list(self.options)
    if self.pictured:
      options = [pathlib.Path(path).name for path in options]
    return [self.name, self.prompt, images, options, self.answer]


def cells_in(folder: str | os.PathLike[str]) -> tuple[str, ...]:
  """The cells that are there, generated or released.

  Raises:
    UserError: none is, or they are of another version.
  """
  there = dataset.cells_in(folder) or tuple(parquet.cells_in(folder))
  if there:
    return there
  versions = {
    path.parent.name
    for path in (pathlib.Path(folder) / dataset.NAME).glob(
      '*/*/dataset_info.json'
    )
  }
  if versions:
    raise errors.UserError(
      f'{os.fspath(folder)!r} holds {dataset.NAME} of the version'
      f' {", ".join(sorted(versions))}, not {dataset.VERSION}: make it anew by'
      ' configs/wm_abench_generate.py'
    )
  raise errors.UserError(
    f'{os.fspath(folder)!r} holds no items: neither a generated cell'
    f' ({dataset.NAME}/CELL/{dataset.VERSION}) nor files of the release'
    ' (CONFIG/test-*.parquet)'
  )


def select(folder: str | os.PathLike[str], names: str) -> list[str]:
  """The cells that a list names and that are there, in the table's order.

  Args:
    folder: of a generation, or of the release.
    names: as in dimensions.select.

  Raises:
    UserError: a name that is none, a cell that is not there, or none of all.
  """
  there = cells_in(folder)
  for name in map(str.strip, names.split(',')):
    if name in dimensions.CELLS and name not in there:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', name, there)
  cells = [c.name for c in dimensions.select(names) if c.name in there]
  if not cells:
    raise errors.unknown(f'cell in {os.fspath(folder)!r}', names, there)
  return cells


def read(
  folder: str | os.PathLike[str], cells: Sequence[str], subset: str
) -> Iterator[Question]:
  """The first items of each cell, in the data's order.

  Whole groups, so a subset may have one or two more than its number; where the
  data has fewer, those are all.

  Args:
    folder: of a generation, or of the release.
    cells: names.
    subset: one of SUBSETS.

  Raises:
    UserError: no such cell or subset, or the pictures cannot be written.
  """
  if subset not in SUBSETS:
    raise errors.unknown('subset', subset, SUBSETS)
  there = cells_in(folder)
  generated = bool(dataset.cells_in(folder))
  for name in cells:
    if name not in there:
      raise errors.unknown(f'cell in {os.fspath(folder)!r}', name, there)
    reader = dataset.read if generated else parquet.read
    yield from _first(reader(folder, [name]), SUBSETS[subset], folder)


def _first(
  items: Iterator[records.Item], most: int | None, folder
) -> Iterator[Question]:
  last = ''
  for i, item in enumerate(items):
    if most is not None and i >= most and item.group != last:
      return
    last = item.group
    yield question(item, pathlib.Path(folder) / PICTURES)


def question(item: records.Item, folder: pathlib.Path) -> Question:
  """The item, with its pictures in the folder."""
  broken: list[str] = []

  def named(pictures: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(_write(p, folder, broken) for p in pictures)

  options = item.options
  if item.pictured:
    options = named(options)
  return Question(
    **{
      name: getattr(item, name)
      for name in ('name', 'cell', 'group', 'prompt', 'answer')
    },
    images=named(item.images),
    options=options,
    varies=item.varies,
    factors=item.factors,
    broken='; '.join(dict.fromkeys(broken)),
  )


def _write(encoded: bytes, folder: pathlib.Path, broken: list[str]) -> str:
  """The picture's path; says in `broken` where it does not decode."""
  digest = hashlib.sha256(encoded).hexdigest()
  ending = next((e for k, e in _ENDINGS.items() if encoded.startswith(k)), '')
  path = folder / digest[:2] / f'{digest}.{ending}'
  if path.is_file():
    return os.fspath(path)
  try:
    if not ending:
      raise ValueError('it is no JPEG, PNG or WebP')
    with Image.open(io.BytesIO(encoded)) as image:
      image.load()
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
    broken.append(f'a picture of {len(encoded)} bytes does not decode: {e}')
    return ''
  unfinished = path.with_name(f'{os.getpid()}.{path.name}')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_bytes(encoded)
    os.replace(unfinished, path)
  except OSError as e:
    raise errors.UserError(
      f'{os.fspath(folder)!r} cannot be written: {e.strerror}'
    ) from e
  return os.fspath(path)
