"""A copy has the text of its value, and shows whether the value has changed."""

import collections

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.sandbox.tracing import value_copies, values

_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_VALUES = st.recursive(
  _SCALARS,
  lambda items: st.one_of(
    st.lists(items, max_size=4),
    st.lists(items, max_size=4).map(tuple),
    st.lists(items, max_size=4).map(collections.deque),
    st.sets(_SCALARS, max_size=4),
    st.dictionaries(_SCALARS, items, max_size=4),
    st.dictionaries(_SCALARS, st.integers(), max_size=4).map(
      collections.Counter
    ),
  ),
  max_leaves=12,
)


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(_VALUES)
def test_a_copy_has_the_same_text_and_is_unchanged(value):
  copy, _ = value_copies.copy_value(value)
  assert values.canonical(copy) == values.canonical(value)
  assert value_copies.is_unchanged(copy, value)


def _append_to(container):
  container.append(1)


_CHANGES = {
  'a longer list': ([1, 2], _append_to),
  'a nested list': ([[1], [2]], lambda value: _append_to(value[1])),
  'a list in a tuple': (([1],), lambda value: _append_to(value[0])),
  'a list in a dictionary': ({1: [2]}, lambda value: _append_to(value[1])),
  'an item of a deque': (collections.deque([1]), _append_to),
  'a removed key': ({1: 2, 3: 4}, lambda value: value.pop(1)),
  'a count': (
    collections.Counter('a'),
    lambda value: value.__setitem__('a', 1000),
  ),
  'an item of a set': ({1}, lambda value: (value.clear(), value.add(True))),
  'True for 1': ([1], lambda value: value.__setitem__(0, True)),
}


@pytest.mark.parametrize(('value', 'change'), _CHANGES.values(), ids=_CHANGES)
def test_a_change_that_changes_the_text_is_detected(value, change):
  copy, _ = value_copies.copy_value(value)
  text = values.canonical(value)
  change(value)
  assert not value_copies.is_unchanged(copy, value)
  assert values.canonical(copy) == text


def test_a_change_behind_the_written_items_is_no_change():
  value = [0] * 99
  copy, _ = value_copies.copy_value(value)
  value[70] = 1
  assert value_copies.is_unchanged(copy, value)


@pytest.mark.parametrize(
  'value', [object(), [object()], {1: object()}, [[0] * 60] * 60, bytearray(1)]
)
def test_objects_and_large_values_have_no_copy(value):
  assert value_copies.copy_value(value)[0] is value_copies.NO_COPY


def test_the_number_of_visited_items_is_limited():
  _, items = value_copies.copy_value([[0] * 60] * 10**4)
  assert items < values.MAX_LEN
