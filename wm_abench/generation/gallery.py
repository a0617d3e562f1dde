"""A page to look through: a few items of each cell, with numbers and audits.

gallery.html holds its pictures itself, runs no script and asks for nothing from
any network. Answers are behind a click. The same items give the same page.
"""

import base64
from collections.abc import Mapping, Sequence
import dataclasses
import functools
import io
import json
import pathlib
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from wm_abench.core import dimensions, records

_TEMPLATE = pathlib.Path(__file__).with_name('gallery_template.html')
# Of a picture on the page, and of one beside an answer.
_SIZE_PX, _SMALL_PX, _QUALITY = 288, 112, 80
_MOST_CHARS = 160  # Of one factor's value.


@dataclasses.dataclass(frozen=True)
class Shown:
  """An item for the page.

  Attributes:
    item: that is asked.
    members: of its group, itself among them, that its answer is compared with.
  """

  item: records.Item
  members: tuple[records.Item, ...]


def choose(sample: Sequence[records.Item], k: int) -> list[Shown]:
  """So many items of a cell, of different groups and answers where there are.

  Args:
    sample: items of one cell.
    k: how many; fewer where the sample is smaller.
  """
  groups: dict[str, list[records.Item]] = {}
  for item in sample:
    groups.setdefault(item.group, []).append(item)
  # Groups from all over the sample, then others, then the same ones again.
  names = list(groups)
  spread = np.linspace(0, len(names) - 1, min(k, len(names))).round()
  first = [names[int(i)] for i in spread]
  order = first + [n for n in names if n not in first]
  chosen: list[Shown] = []
  left = {name: list(members) for name, members in groups.items()}
  while len(chosen) < min(k, len(sample)):
    for name in order:
      if left[name] and len(chosen) < k:
        item = min(left[name], key=lambda i: _asked(chosen, i))
        left[name].remove(item)
        chosen.append(Shown(item, tuple(groups[name])))
  return chosen


def _asked(chosen: Sequence[Shown], item: records.Item) -> tuple[int, int]:
  """How often the chosen ones have the item's answer; its place, for ties."""
  own = sum(s.item.answer == item.answer for s in chosen)
  return own, (item.answer - len(chosen)) % len(item.options)


def write(
  folder: pathlib.Path,
  shown: Mapping[str, Sequence[Shown]],
  results: Mapping[str, Any],
) -> pathlib.Path:
  """Writes gallery.html into a folder.

  Args:
    folder: that is there.
    shown: by cell what `choose` gave.
    results: of results.json.

  Returns:
    The page's path.
  """
  environment = jinja2.Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  cells = [_cell(name, items, results) for name, items in shown.items()]
  page = environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
    results=results,
    cells=cells,
    stages=_stages(cells),
    environments=_environments(cells),
    items=sum(c['found']['items'] for c in cells),
  )
  path = pathlib.Path(folder) / 'gallery.html'
  path.write_text(page, encoding='utf-8')
  return path


def _stages(cells: Sequence[Mapping]) -> dict[str, dict[str, list[Mapping]]]:
  """Cells by stage, and there by category, in the table's order."""
  stages: dict[str, dict[str, list[Mapping]]] = {}
  for dimension in dimensions.DIMENSIONS.values():
    own = [c for c in cells if c['cell'].of == dimension]
    if own:
      categories = stages.setdefault(dimension.stage, {})
      categories.setdefault(dimension.category, []).extend(own)
  return stages


def _environments(cells: Sequence[Mapping]) -> dict[str, list[Mapping]]:
  return {
    name: own
    for name in dimensions.STANDS_FOR
    if (own := [c for c in cells if c['cell'].environment == name])
  }


def _cell(
  name: str, shown: Sequence[Shown], results: Mapping
) -> dict[str, Any]:
  """What the page says of a cell."""
  cell, found = dimensions.CELLS[name], results['cells'][name]
  verdict = found['audits']['verdict']
  work, tests = found['work'], found['audits']['independence']
  seconds = sum(v for k, v in work.items() if k.endswith('_s'))
  return {
    'cell': cell,
    'found': found,
    'tone': 'good' if verdict == 'ok' else verdict.partition(':')[0].split()[0],
    'seconds_per_item': seconds / found['items'] if work else None,
    'items': [_item(s) for s in shown],
    'shortcuts': found['audits']['shortcuts'],
    'independence': tests,
    'least': min(tests.items(), key=lambda test: test[1]['p']),
  }


def _item(shown: Shown) -> dict[str, Any]:
  item = shown.item
  return {
    'name': item.name,
    'prompt': item.prompt,
    'images': [_uri(p, _SIZE_PX) for p in item.images],
    'pictured': item.pictured,
    'options': [
      _uri(o, _SIZE_PX) if item.pictured else o for o in item.options
    ],
    'letters': 'ABCD'[: len(item.options)],
    'answer': item.answer,
    'varies': item.varies,
    'members': [_member(m, item) for m in shown.members],
    'same_images': len({m.images for m in shown.members}) == 1,
    'factors': {
      k: _short(v) for k, v in item.factors.items() if k != item.varies
    },
  }


def _member(member: records.Item, item: records.Item) -> dict[str, Any]:
  """A member of the group of an item beside it."""
  return {
    'own': member.name == item.name,
    'level': _short(member.factors.get(member.varies, '')),
    'prompt': '' if member.prompt == item.prompt else member.prompt,
    'image': _uri(_telling(member, item), _SMALL_PX),
    'letter': 'ABCD'[item.options.index(member.options[member.answer])],
  }


def _telling(member: records.Item, item: records.Item) -> bytes:
  """The last picture that is not also the item's; else the last."""
  other = [p for p in member.images if p not in item.images]
  return (other or member.images)[-1]


def _short(value: Any) -> str:
  text = value if isinstance(value, str) else json.dumps(value)
  return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + '…'


@functools.lru_cache(maxsize=512)
def _uri(encoded: bytes, size_px: int) -> str:
  """A picture as a data URI, no larger than so many pixels."""
  stream = io.BytesIO()
  with Image.open(io.BytesIO(encoded)) as image:
    image = image.convert('RGB')
    image.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    image.save(stream, 'jpeg', quality=_QUALITY, optimize=True)
  text = base64.b64encode(stream.getvalue()).decode()
  return f'data:image/jpeg;base64,{text}'
