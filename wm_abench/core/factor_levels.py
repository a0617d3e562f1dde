"""Levels of the randomised factors of items, for audits and analyses."""

from collections.abc import Iterator, Mapping, Sequence, Set
import json
from typing import Any

import numpy as np

# Colours that questions and options name; worlds/tabletop/props.py has their
# RGB values.
COLOR_NAMES = (
  'red',
  'orange',
  'yellow',
  'green',
  'blue',
  'purple',
  'pink',
  'brown',
  'white',
  'black',
)
_MAX_LEVELS = 8  # A number with more values is binned at its quartiles.


def levels(
  rows: Sequence[Mapping[str, Any]], without: Set[str]
) -> Iterator[tuple[str, list[str]]]:
  """Yields each factor with its level in every row.

  A list is split into its elements, each a factor such as 'name[0]'. Numbers
  with many values are binned at their quartiles.

  Args:
    rows: one mapping from factor to value per item.
    without: factors to leave out, such as the varied one.

  Yields:
    The factor's name and one level per row; '' if a row lacks the factor.
  """
  flat = [
    {k: v for name, value in row.items() for k, v in _elements(name, value)}
    for row in rows
  ]
  for name in dict.fromkeys(name for row in flat for name in row):
    if name.partition('[')[0] in without:
      continue
    values = [row.get(name, '') for row in flat]
    numbers = all(map(_is_number, values))
    if numbers and len(set(values)) > _MAX_LEVELS:
      edges = np.quantile(values, (0.25, 0.5, 0.75))
      yield name, [str(np.searchsorted(edges, v)) for v in values]
    else:
      yield name, [text(v) for v in values]


def text(value: Any) -> str:
  """Returns a level as text, the same for equal values."""
  return json.dumps(value, sort_keys=True)


def _elements(name: str, value: Any) -> Iterator[tuple[str, Any]]:
  if isinstance(value, list | tuple):
    for i, element in enumerate(value):
      yield from _elements(f'{name}[{i}]', element)
  else:
    yield name, value


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)
