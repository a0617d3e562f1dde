"""Copies of plain values, to detect later whether a value has changed.

`copy_value` makes a copy, and `is_unchanged` compares it with the value at a
later time. Copying takes much less time than writing the canonical text, and
the copy has the same text as its value (values.canonical). A copy never holds
an object of the program's classes, because it would keep the object alive and
delay its `__del__`.
"""

import collections
from collections.abc import Iterable
import itertools
import operator

from coderl.sandbox.tracing import values as values_lib

# The most items that a text which is not truncated has, at three characters an
# item; a string counts as one item for every three of its characters.
_MAX_ITEMS = values_lib.MAX_LEN // 3
# The text shows whether a container has more items than it writes, so that the
# copy needs one more.
_COPIED_ITEMS = values_lib.MAX_ITEMS + 1
NO_COPY = object()  # Stands for a missing copy, since None is a value.

# Types are compared by identity, as in `values`.
_STRINGS = frozenset(map(id, (str, bytes)))
_IMMUTABLE_CONTAINERS = frozenset(map(id, (tuple, frozenset)))
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


class _NotCopyable(Exception):
  """The value is too large, nested too deep, or not plain data."""


class _Copier:
  """Copies one value. `items_left`: how many items it may still visit."""

  def __init__(self):
    self.items_left = _MAX_ITEMS

  def copy(self, value, depth: int = 0):
    """Returns a copy, or the value itself if it cannot change."""
    kind = type(value)
    if self._is_deeply_immutable(value, depth):
      return value
    if id(kind) not in _CONTAINERS or depth == values_lib.MAX_DEPTH:
      raise _NotCopyable
    if kind is set:
      self._check_keys(value, _MAX_ITEMS, depth)
      return value.copy()
    if id(kind) in _MAPPINGS:
      self._check_keys(value, values_lib.MAX_ITEMS, depth)
      return _copy_mapping(kind, value, self._items(value.values(), depth))
    return kind(self._items(_written_items(value), depth))

  def _items(self, items: Iterable, depth: int) -> list:
    items = list(items)
    if self._are_immutable(items):
      return items
    return [self.copy(item, depth + 1) for item in items]

  def _check_keys(self, keys, max_len: int, depth: int) -> None:
    """Raises _NotCopyable if there are too many keys, or one may change."""
    if len(keys) > max_len:
      raise _NotCopyable
    if self._are_immutable(keys):
      return
    if not all(self._is_deeply_immutable(key, depth + 1) for key in keys):
      raise _NotCopyable

  def _is_deeply_immutable(self, value, depth: int) -> bool:
    kind = id(type(value))
    if kind in values_lib.IMMUTABLE:
      return True
    if kind not in _IMMUTABLE_CONTAINERS or depth == values_lib.MAX_DEPTH:
      return False
    if len(value) > _COPIED_ITEMS:
      return False
    return self._are_immutable(value) or all(
      self._is_deeply_immutable(item, depth + 1) for item in value
    )

  def _are_immutable(self, items) -> bool:
    """Counts the items as visited; returns whether none of them may change."""
    kinds = set(map(id, map(type, items)))
    size = len(items) + 1
    if not _STRINGS.isdisjoint(kinds):
      size += sum(map(len, filter(_is_string, items))) // 3
    self.items_left -= size
    if self.items_left < 0:
      raise _NotCopyable
    return kinds <= values_lib.IMMUTABLE


def _is_string(value) -> bool:
  return id(type(value)) in _STRINGS


def _copy_mapping(kind: type, keys, values: list):
  items = zip(keys, values, strict=True)
  if kind is collections.defaultdict:
    return collections.defaultdict(None, items)
  if kind is not collections.Counter:
    return kind(items)
  copy = collections.Counter()
  dict.update(copy, items)
  return copy


def _written_items(value):
  """Returns the first items of a sequence, on which its text depends."""
  if type(value) is collections.deque:
    return list(itertools.islice(value, _COPIED_ITEMS))
  return value[:_COPIED_ITEMS]


def copy_value(value) -> tuple[object, int]:
  """Copies a plain value, and returns the number of items visited as well.

  A sequence may have any length: only the items that its text shows are
  copied. The copy is NO_COPY if the text would be truncated otherwise, or if
  the value holds an object that is not plain data.
  """
  copier = _Copier()
  try:
    return copier.copy(value), _MAX_ITEMS - copier.items_left
  except _NotCopyable:
    return NO_COPY, _MAX_ITEMS - copier.items_left


def is_unchanged(copy, value) -> bool:
  """Returns whether a value is still equal to its copy.

  True is certain. False may be wrong, for the comparison is by identity.
  """
  kind = type(copy)
  if copy is value:
    return True
  if kind is not type(value) or id(kind) not in _CONTAINERS:
    return False
  if kind is set:
    # Equal sets may differ in text, as {1} and {True} do.
    return len(copy) == len(value) and (
      set(map(id, copy)) == set(map(id, value))
    )
  if id(kind) in _MAPPINGS:
    return (
      len(copy) == len(value)
      and all(map(operator.is_, copy, value))
      and _are_unchanged(copy.values(), value.values())
    )
  value = _written_items(value)
  return len(copy) == len(value) and _are_unchanged(copy, value)


def _are_unchanged(copies: Iterable, items: Iterable) -> bool:
  if all(map(operator.is_, copies, items)):
    return True
  return all(map(is_unchanged, copies, items))
