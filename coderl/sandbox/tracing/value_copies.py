"""Copies of plain values, to tell later whether a value is still the same.

A copy takes much less time than the canonical text of its value, has the same
text (values.canonical), and holds no object of the program's own classes,
whose end the program could notice.
"""

import collections
from collections.abc import Iterable
import itertools
import operator

from coderl.sandbox.tracing import values as values_lib

# Texts that are not cut have no more items, all told, and no more characters
# of strings: an item takes three.
_MAX_ITEMS = values_lib.MAX_LEN // 3
# One more than is written, as the text tells that there are more.
_KEPT = values_lib.MAX_ITEMS + 1
NO_COPY = object()  # In place of one; None is a value.

# Types by their identities, as in tracing.
_STRINGS = frozenset(map(id, (str, bytes)))
_FIXED = frozenset(map(id, (tuple, frozenset)))
_MAPPINGS = frozenset(
  map(
    id,
    (
      dict,
      collections.Counter,
      collections.defaultdict,
      collections.OrderedDict,
    ),
  )
)
_CONTAINERS = _MAPPINGS | set(map(id, (list, tuple, collections.deque, set)))


class _Unsuitable(Exception):
  """The value is too large, too deep, or not plain."""


class _Copier:
  """Copies one value within its bounds."""

  def __init__(self):
    self.left = _MAX_ITEMS

  def copy(self, value, depth: int = 0):
    """The value itself where it cannot change."""
    kind = type(value)
    if self._is_fixed(value, depth):
      return value
    if id(kind) not in _CONTAINERS or depth == values_lib.MAX_DEPTH:
      raise _Unsuitable
    if kind is set:
      self._fix(value, _MAX_ITEMS, depth)
      return value.copy()
    if id(kind) in _MAPPINGS:
      self._fix(value, values_lib.MAX_ITEMS, depth)
      return _mapping(kind, value, self._items(value.values(), depth))
    return kind(self._items(_first(value), depth))

  def _items(self, items: Iterable, depth: int) -> list:
    items = list(items)
    if self._are_immutable(items):
      return items
    return [self.copy(item, depth + 1) for item in items]

  def _fix(self, items, most: int, depth: int) -> None:
    """Raises: _Unsuitable where there are too many, or some may change."""
    if len(items) > most:
      raise _Unsuitable
    if self._are_immutable(items):
      return
    if not all(self._is_fixed(item, depth + 1) for item in items):
      raise _Unsuitable

  def _is_fixed(self, value, depth: int) -> bool:
    kind = id(type(value))
    if kind in values_lib.IMMUTABLE:
      return True
    if kind not in _FIXED or depth == values_lib.MAX_DEPTH:
      return False
    if len(value) > _KEPT:
      return False
    return self._are_immutable(value) or all(
      self._is_fixed(item, depth + 1) for item in value
    )

  def _are_immutable(self, items) -> bool:
    """Charges for the items, and tells whether none of them may change."""
    kinds = set(map(id, map(type, items)))
    size = len(items) + 1
    if not _STRINGS.isdisjoint(kinds):
      size += sum(map(len, filter(_is_string, items))) // 3
    self.left -= size
    if self.left < 0:
      raise _Unsuitable
    return kinds <= values_lib.IMMUTABLE


def _is_string(value) -> bool:
  return id(type(value)) in _STRINGS


def _mapping(kind: type, keys, values: list):
  items = zip(keys, values, strict=True)
  if kind is collections.defaultdict:
    return collections.defaultdict(None, items)
  if kind is not collections.Counter:
    return kind(items)
  copy = collections.Counter()
  dict.update(copy, items)
  return copy


def _first(value):
  """The items of a sequence that its text depends on."""
  if type(value) is collections.deque:
    return list(itertools.islice(value, _KEPT))
  return value[:_KEPT]


def take(value) -> tuple[object, int]:
  """A copy of a plain value, and how many items were looked at for it.

  NO_COPY where the text would be cut, or an object's; of a sequence no more
  is copied than is written, and it may be of any length.
  """
  copier = _Copier()
  try:
    return copier.copy(value), _MAX_ITEMS - copier.left
  except _Unsuitable:
    return NO_COPY, _MAX_ITEMS - copier.left


def same(copy, value) -> bool:
  """Whether a value is as when it was copied; at times False though it is."""
  kind = type(copy)
  if copy is value:
    return True
  if kind is not type(value) or id(kind) not in _CONTAINERS:
    return False
  if kind is set:
    # Sets of equal items may differ in text, as {1} and {True}.
    return len(copy) == len(value) and (
      set(map(id, copy)) == set(map(id, value))
    )
  if id(kind) in _MAPPINGS:
    return (
      len(copy) == len(value)
      and all(map(operator.is_, copy, value))
      and _same_items(copy.values(), value.values())
    )
  value = _first(value)
  return len(copy) == len(value) and _same_items(copy, value)


def _same_items(copies: Iterable, items: Iterable) -> bool:
  if all(map(operator.is_, copies, items)):
    return True
  return all(map(same, copies, items))
