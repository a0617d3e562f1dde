"""Levels of the randomised factors of items, for audits and analyses."""

from collections.abc import Iterator, Mapping, Sequence, Set
import json
from typing import Any

import numpy as np

_MOST_NUMBERS = 8  # Different ones; more are cut at their quartiles.


def levels(
  rows: Sequence[Mapping[str, Any]], without: Set[str]
) -> Iterator[tuple[str, list[str]]]:
  """Of each factor, or part of one that is a list, its level in every row.

  Numbers that take many values are cut at their quartiles.

  Args:
    rows: factors by name.
    without: names that are left out, such as those that are varied.

  Yields:
    (name, or 'name[0]' of a list's part; a level a row, '' where it has none).
  """
  flat = [
    {k: v for name, value in row.items() for k, v in _parts(name, value)}
    for row in rows
  ]
  for name in dict.fromkeys(name for row in flat for name in row):
    if name.partition('[')[0] in without:
      continue
    values = [row.get(name, '') for row in flat]
    numbers = all(map(_is_number, values))
    if numbers and len(set(values)) > _MOST_NUMBERS:
      edges = np.quantile(values, (0.25, 0.5, 0.75))
      yield name, [str(np.searchsorted(edges, v)) for v in values]
    else:
      yield name, [text(v) for v in values]


def text(value: Any) -> str:
  """A level as it is written."""
  return json.dumps(value, sort_keys=True)


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
  if isinstance(value, list | tuple):
    for i, part in enumerate(value):
      yield from _parts(f'{name}[{i}]', part)
  else:
    yield name, value


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)
