"""The gallery page: a few items of each cell, with numbers and audits.

gallery.html hides the keys until they are asked for. See reports/pages.py for
what all pages share.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from wm_abench.core import dimensions, records
from wm_abench.reports import pages

_TEMPLATE = pathlib.Path(__file__).with_name('gallery_template.html')
# Sizes of a picture of an item, and of a picture of another group member.
_SIZE_PX, _SMALL_PX = 288, 112
_MAX_CHARS = 160  # A factor's value is cut to this length.


@dataclasses.dataclass(frozen=True)
class Entry:
  """An item on the page.

  Attributes:
    item: the item.
    members: the items of its group, the item included, for comparison.
  """

  item: records.Item
  members: tuple[records.Item, ...]


def choose(sample: Sequence[records.Item], k: int) -> list[Entry]:
  """Chooses items of a cell, from different groups and with different keys.

  Args:
    sample: items of one cell.
    k: number of items; fewer are chosen if the sample is smaller.
  """
  groups: dict[str, list[records.Item]] = {}
  for item in sample:
    groups.setdefault(item.group, []).append(item)
  # Groups from all over the sample first, then the others, then repetitions.
  names = list(groups)
  spread = np.linspace(0, len(names) - 1, min(k, len(names))).round()
  first = [names[int(i)] for i in spread]
  order = first + [n for n in names if n not in first]
  chosen: list[Entry] = []
  remaining = {name: list(members) for name, members in groups.items()}
  while len(chosen) < min(k, len(sample)):
    for name in order:
      if remaining[name] and len(chosen) < k:
        item = min(remaining[name], key=lambda i: _key_count(chosen, i))
        remaining[name].remove(item)
        chosen.append(Entry(item, tuple(groups[name])))
  return chosen


def _key_count(chosen: Sequence[Entry], item: records.Item) -> tuple[int, int]:
  """Returns how many chosen items have the item's key, and a tie breaker."""
  same = sum(entry.item.answer == item.answer for entry in chosen)
  return same, (item.answer - len(chosen)) % len(item.options)


def write(
  folder: pathlib.Path,
  entries: Mapping[str, Sequence[Entry]],
  results: Mapping[str, Any],
) -> pathlib.Path:
  """Writes gallery.html into a folder.

  Args:
    folder: an existing folder.
    entries: the result of `choose` for each cell.
    results: the contents of results.json.

  Returns:
    The path of the page.
  """
  cells = [_cell(name, items, results) for name, items in entries.items()]
  values = {
    'results': results,
    'cells': cells,
    'stages': _stages(cells),
    'environments': _environments(cells),
    'items': sum(c['numbers']['items'] for c in cells),
  }
  path = pathlib.Path(folder) / 'gallery.html'
  pages.write(path, _TEMPLATE, values)
  return path


def _stages(cells: Sequence[Mapping]) -> dict[str, dict[str, list[Mapping]]]:
  """Returns cells by stage and category, in the order of the table."""
  stages: dict[str, dict[str, list[Mapping]]] = {}
  for dimension in dimensions.DIMENSIONS.values():
    of_dimension = [c for c in cells if c['cell'].of == dimension]
    if of_dimension:
      categories = stages.setdefault(dimension.stage, {})
      categories.setdefault(dimension.category, []).extend(of_dimension)
  return stages


def _environments(cells: Sequence[Mapping]) -> dict[str, list[Mapping]]:
  by_name = {
    name: [c for c in cells if c['cell'].environment == name]
    for name in dimensions.STANDS_FOR
  }
  return {name: listed for name, listed in by_name.items() if listed}


def _cell(
  name: str, entries: Sequence[Entry], results: Mapping
) -> dict[str, Any]:
  """Returns the template's values for a cell."""
  cell, numbers = dimensions.CELLS[name], results['cells'][name]
  verdict = numbers['audits']['verdict']
  work, tests = numbers['work'], numbers['audits']['independence']
  seconds = sum(v for k, v in work.items() if k.endswith('_s'))
  return {
    'cell': cell,
    'numbers': numbers,
    'tone': 'good' if verdict == 'ok' else verdict.partition(':')[0].split()[0],
    'seconds_per_item': seconds / numbers['items'] if work else None,
    'items': [_item(entry) for entry in entries],
    'shortcuts': numbers['audits']['shortcuts'],
    'independence': tests,
    'least': min(tests.items(), key=lambda test: test[1]['p']),
  }


def _item(entry: Entry) -> dict[str, Any]:
  """Returns the template's values for an item."""
  item = entry.item
  return {
    'name': item.name,
    'prompt': item.prompt,
    'images': [pages.thumbnail(p, _SIZE_PX) for p in item.images],
    'pictured': item.pictured,
    'options': [
      pages.thumbnail(o, _SIZE_PX) if item.pictured else o for o in item.options
    ],
    'letters': records.LABELS[: len(item.options)],
    'answer': item.answer,
    'varies': item.varies,
    'members': [_member(m, item) for m in entry.members],
    'same_images': len({m.images for m in entry.members}) == 1,
    'factors': {
      k: _shorten(v) for k, v in item.factors.items() if k != item.varies
    },
  }


def _member(member: records.Item, item: records.Item) -> dict[str, Any]:
  """Returns the template's values for a group member, beside the item."""
  key = item.options.index(member.options[member.answer])
  return {
    'is_item': member.name == item.name,
    'level': _shorten(member.factors.get(member.varies, '')),
    'prompt': '' if member.prompt == item.prompt else member.prompt,
    'image': pages.thumbnail(_distinct_image(member, item), _SMALL_PX),
    'letter': records.LABELS[key],
  }


def _distinct_image(
  member: records.Item, item: records.Item
) -> records.Picture:
  """Returns the member's last image that the item lacks, or else the last."""
  different = [p for p in member.images if p not in item.images]
  return (different or member.images)[-1]


def _shorten(value: Any) -> str:
  text = value if isinstance(value, str) else json.dumps(value)
  return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + '…'
