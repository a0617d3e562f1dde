"""Items that need no renderer: valid groups with pictures of plain colours."""

import io
import pathlib

import numpy as np
from PIL import Image

from wm_abench.core import dimensions, records
from wm_abench.data import layout, parquet


def picture(rng: np.random.Generator, size_px: int = 32) -> records.Picture:
  """Returns a JPEG of four patches of random colours."""
  patches = rng.integers(0, 256, (2, 2, 3), np.uint8)
  stream = io.BytesIO()
  image = Image.fromarray(patches).resize((size_px, size_px), 0)
  image.save(stream, 'jpeg')
  return records.Picture.encoded(stream.getvalue())


def items(cell: str, groups: int, seed: int = 0, size_px: int = 32):
  """Returns items of a cell; those of a group differ in their last picture."""
  of = dimensions.CELLS[cell]
  rng = np.random.default_rng([seed, list(dimensions.CELLS).index(cell)])
  cell_items = []
  for group in range(groups):
    options = tuple(f'choice {"abcd"[k]}' for k in range(of.of.options))
    if of.of.form == dimensions.IMAGE:
      options = tuple(picture(rng, size_px) for _ in options)
    elif of.of.options == 2:
      options = ('yes', 'no')
    shared = tuple(picture(rng, size_px) for _ in range(of.images - 1))
    for member in range(len(options)):
      cell_items.append(
        records.Item(
          name=f'{cell}/{group}/{member}',
          cell=cell,
          group=f'{cell}/{group}',
          prompt=f'What is shown by {of.of.asks}, number {group}?',
          images=(*shared, picture(rng, size_px)),
          options=options,
          answer=member,
          varies='level',
          factors={
            'level': member,
            'color': f'{group % 3}',
            'difficulty': 1 + group % 3,
          },
          state={},
        )
      )
  return cell_items


def write(
  folder: pathlib.Path,
  cells,
  groups: int = 2,
  seed: int = 0,
  size_px: int = 32,
) -> list[records.Item]:
  """Writes generated items of some cells, and returns them."""
  written = []
  for cell in cells:
    written += write_cell(folder, items(cell, groups, seed, size_px))
  return written


def write_cell(folder: pathlib.Path, cell_items) -> list[records.Item]:
  """Writes items of one cell as its split `mini`, and returns them."""
  cell_items = list(cell_items)
  path = layout.shard_path(folder, cell_items[0].cell, 'mini', 0, 1)
  parquet.write_shard(path, cell_items)
  return cell_items


def replies(cell, group, levels, chosen, varies='level', **factors):
  """Returns replies to a group whose i-th option is the key at levels[i]."""
  options = len(levels)
  return [
    records.Reply(
      item=f'{cell}/{group}/{i}',
      cell=cell,
      group=f'{cell}/{group}',
      order=tuple(range(options)),
      turn=0,
      answer=i,
      chosen=chosen[i],
      status=records.ANSWERED if chosen[i] is not None else records.UNPARSED,
      varies=varies,
      factors={varies: levels[i], **factors},
    )
    for i in range(options)
  ]


COLORS = {
  'red': (200, 30, 30),
  'green': (30, 170, 40),
  'blue': (40, 60, 200),
  'yellow': (210, 200, 40),
}


def square(rng, color):
  """Returns a picture of a coloured square on a background of random grey."""
  pixels = np.full((64, 64, 3), rng.integers(80, 180), np.uint8)
  y, x = rng.integers(0, 40, 2)
  pixels[y : y + 24, x : x + 24] = color
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, 'png')
  return records.Picture.encoded(stream.getvalue())


def colored(groups):
  """Yields items of V-C whose keys can be seen."""
  rng = np.random.default_rng(0)
  for group in range(groups):
    names = tuple(rng.permutation([*COLORS]).tolist())
    for answer, name in enumerate(names):
      yield records.Item(
        name=f'v_c_tabletop/{group}/{answer}',
        cell='v_c_tabletop',
        group=f'v_c_tabletop/{group}',
        prompt='What colour is it?',
        images=tuple(square(rng, COLORS[name]) for _ in range(3)),
        options=names,
        answer=answer,
        varies='color',
      )


def grouped(items):
  """Returns a list of the items of each group."""
  groups = {}
  for item in items:
    groups.setdefault(item.group, []).append(item)
  return [*groups.values()]
