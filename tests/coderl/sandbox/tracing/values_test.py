"""Canonical text is stable, bounded, and can be read back."""

import collections
import decimal
import fractions
import math
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.sandbox.tracing import values

_SCALARS = st.one_of(
  st.none(),
  st.booleans(),
  st.integers(),
  st.integers(-(10**5000), 10**5000),
  st.floats(allow_nan=False),
  st.complex_numbers(allow_nan=False),
  st.text(st.characters(), max_size=20),
  st.binary(max_size=20),
  st.fractions(),
  st.decimals(allow_nan=False),
  st.builds(range, st.integers(), st.integers(), st.integers(1)),
)
_VALUES = st.recursive(
  _SCALARS,
  lambda items: st.one_of(
    st.lists(items, max_size=4),
    st.lists(items, max_size=4).map(tuple),
    st.lists(items, max_size=4).map(collections.deque),
    st.sets(_SCALARS, max_size=4),
    st.frozensets(_SCALARS, max_size=4),
    st.dictionaries(_SCALARS, items, max_size=4),
    st.dictionaries(_SCALARS, items, max_size=4).map(collections.OrderedDict),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=4).map(
      collections.Counter
    ),
  ),
  max_leaves=12,
)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(_VALUES)
def test_parse_inverts_canonical(value):
  text, complete = values.canonical(value, **values.CALL_LIMITS)
  assert complete
  assert text.encode() == text.encode('utf-8')
  parsed = values.parse(text)
  assert type(parsed) is type(value)
  assert parsed == value
  assert values.canonical(parsed, **values.CALL_LIMITS) == (text, True)


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(_VALUES, st.integers(1, 60), st.integers(1, 5))
def test_text_has_a_limited_length(value, max_len, max_items):
  text, complete = values.canonical(value, max_len, max_items)
  assert len(text) <= 2 * max_len + 3
  if complete:
    assert values.parse(text) == value


class _Hostile(list):
  def __repr__(self, *args):
    raise AssertionError('ran')

  __str__ = __len__ = __iter__ = __eq__ = __hash__ = __repr__


_CYCLE: list = [1]
_CYCLE.append(_CYCLE)


_TEXTS = [
  ([math.nan, math.inf, -math.inf, -0.0], '[nan, inf, -inf, -0.0]', True),
  (1 + 2j, 'complex(1.0, 2.0)', True),
  ((1,), '(1,)', True),
  ((), '()', True),
  (set(), 'set()', True),
  ({10, 9, 1}, '{1, 9, 10}', True),
  ({'b', 'a', 1}, "{'a', 'b', 1}", True),
  (frozenset(), 'frozenset()', True),
  (frozenset({2, 1}), 'frozenset({1, 2})', True),
  (bytearray(b'x'), "bytearray(b'x')", True),
  ({2: 'b', 1: 'a'}, "{2: 'b', 1: 'a'}", True),
  (range(3), 'range(0, 3)', True),
  (collections.deque([1]), 'deque([1])', True),
  (collections.Counter('aab'), "Counter({'a': 2, 'b': 1})", True),
  (collections.defaultdict(int, a=1), "defaultdict({'a': 1})", True),
  (collections.OrderedDict(a=1), "OrderedDict({'a': 1})", True),
  (fractions.Fraction(1, 2), 'Fraction(1, 2)', True),
  (decimal.Decimal('1.50'), "Decimal('1.50')", True),
  ('\ud800é', "'\\ud800é'", True),
  (2**4096, hex(2**4096), True),
  (object(), '<object>', False),
  (_Hostile(), '<_Hostile>', False),
  ([object(), 1], '[<object>, 1]', False),
  (_CYCLE, '[1, <cycle>]', False),
  ([[[]] * 2] * 2, '[[[], []], [[], []]]', True),
  (list(range(100)), str([*range(64)])[:-1] + ', ...]', False),
  ('x' * 3000, repr('x' * 2000) + '...', False),
  (2**10**6, '<int of 1000001 bits>', False),
  ([[[[[[[[[1]]]]]]]]], '[' * 8 + '...' + ']' * 8, False),
  (set(range(5000)), '<set of 5000 items>', False),
]


@pytest.mark.parametrize(
  ('value', 'text', 'complete'),
  _TEXTS,
  ids=[text[:30] for _, text, _ in _TEXTS],
)
def test_canonical_text(value, text, complete):
  assert values.canonical(value) == (text, complete)


@pytest.mark.parametrize(
  'text',
  [
    '__import__("os")', 'x', 'open(1)', '[x for x in ()]', '1 + 1', '<object>',
    '...', '(1).real', 'f"{1}"', '{**{}}', 'set(*[1])', 'range(a=1)', '-"x"',
    'bytearray(10)', '{[]}', '', '\0', '(' * 10**4, '-' * 10**5 + '1',
    '[' * 500 + ']' * 500, "Decimal('x')", 'Fraction(1, 0)', 'lambda: 1',
    '[' * 140 + ']' * 140, '-' * 140 + '1', 'x' + '.x' * 10**5, '1' * 10**6,
    '[' + '1, ' * 10**6 + ']', '"' + 'x' * 2**21 + '"', '{' * 10**5,
  ],
  ids=lambda text: text[:30],
)  # fmt: skip
def test_parse_refuses_what_is_not_canonical(text):
  with pytest.raises(ValueError, match='not a plain value'):
    values.parse(text)


@pytest.mark.parametrize(
  'text',
  [
    "Fraction('1e99999999')", 'Fraction(1.5, 1)', 'Fraction(1)',
    'deque(range(0, 1000000000))', 'deque([1], 1)', 'deque()',
    'set(range(0, 1000000000))', 'set([1])', 'frozenset(range(0, 10))',
    'frozenset([1])', 'Counter(range(0, 1000000000))', 'Counter([1])',
    'Counter()', 'OrderedDict([(1, 2)])', 'defaultdict([(1, 2)])',
    'bytearray(1000000000)', "bytearray('x', 'utf8')", 'bytearray([1])',
    "complex('1')", 'complex(1, 2)', 'range(10)', 'range(True, 2)',
    "range('a', 'b')", 'Decimal((0, (1,), 9))', 'Decimal(1.5)',
  ],
)  # fmt: skip
def test_parse_refuses_calls_that_canonical_does_not_write(text):
  with pytest.raises(ValueError, match='not a plain value'):
    values.parse(text)


def test_values_that_look_large_are_parsed_as_small_ones():
  assert values.parse('range(0, 1000000000, 2)') == range(0, 10**9, 2)
  decimals = values.parse("{Decimal('1e999999999'), Decimal('2')}")
  assert len(decimals) == 2


def test_parse_accepts_the_deepest_canonical_text():
  value = complex(-1, -1)
  for _ in range(values.CALL_LIMITS['max_depth']):
    value = collections.deque([value])
  text, complete = values.canonical(value, **values.CALL_LIMITS)
  assert complete
  assert values.parse(text) == value
  with pytest.raises(ValueError, match='not a plain value'):
    values.parse(f'deque([{text}])')


def test_equal_text_compares_as_python_does():
  assert values.equal_text('[1.0, {2, 3}]', '[1, {3, 2}]')
  assert values.equal_text('nan', 'nan')
  assert not values.equal_text('[1]', '(1,)')
  assert not values.equal_text('<Any>', '1')


@pytest.mark.parametrize(
  'other', ['1', '1.5', "Decimal('1')", 'Fraction(1, 2)']
)
def test_a_signalling_nan_equals_only_itself(other):
  assert not values.equal_text("Decimal('sNaN')", other)
  assert not values.equal_text(other, "[Decimal('sNaN')]")
  assert values.equal_text("Decimal('sNaN')", "Decimal('sNaN')")


def test_text_does_not_depend_on_the_hash_seed():
  source = (
    'from coderl.sandbox.tracing import values\n'
    'print(values.canonical([set("abcdefgh"), frozenset({b"x", "y", 1.5}),'
    ' {("a", i) for i in range(9)}, object()]))'
  )
  texts = {
    subprocess.run(
      [sys.executable, '-c', source],
      env={'PYTHONHASHSEED': str(seed), 'PYTHONPATH': ':'.join(sys.path)},
      capture_output=True,
      check=True,
    ).stdout
    for seed in range(3)
  }
  assert len(texts) == 1
