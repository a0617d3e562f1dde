"""Canonical text, and what a traced run records."""

import collections
import decimal
import fractions
import math
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.sandbox.tracing import tracer as tracer_lib
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
def test_parse_gives_the_value_back(value):
  text, complete = values.canonical(value, **values.WHOLE)
  assert complete
  assert text.encode() == text.encode('utf-8')
  parsed = values.parse(text)
  assert type(parsed) is type(value)
  assert parsed == value
  assert values.canonical(parsed, **values.WHOLE) == (text, True)


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(_VALUES, st.integers(1, 60), st.integers(1, 5))
def test_text_is_bounded(value, max_len, max_items):
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
  ('value', 'text', 'complete'), _TEXTS, ids=[row[1][:30] for row in _TEXTS]
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
def test_parse_evaluates_nothing_else(text):
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
def test_parse_calls_only_what_canonical_writes(text):
  with pytest.raises(ValueError, match='not a plain value'):
    values.parse(text)


def test_parsed_values_are_no_larger_than_their_text():
  assert values.parse('range(0, 1000000000, 2)') == range(0, 10**9, 2)
  decimals = values.parse("{Decimal('1e999999999'), Decimal('2')}")
  assert len(decimals) == 2


def test_parse_takes_the_deepest_that_canonical_writes():
  value = complex(-1, -1)
  for _ in range(values.WHOLE['max_depth']):
    value = collections.deque([value])
  text, complete = values.canonical(value, **values.WHOLE)
  assert complete
  assert values.parse(text) == value
  with pytest.raises(ValueError, match='not a plain value'):
    values.parse(f'deque([{text}])')


def test_equal_text_is_pythons_equality_of_plain_data():
  assert values.equal_text('[1.0, {2, 3}]', '[1, {3, 2}]')
  assert values.equal_text('nan', 'nan')
  assert not values.equal_text('[1]', '(1,)')
  assert not values.equal_text('<Any>', '1')


@pytest.mark.parametrize(
  'other', ['1', '1.5', "Decimal('1')", 'Fraction(1, 2)']
)
def test_equal_text_holds_signalling_nan_equal_to_itself_alone(other):
  assert not values.equal_text("Decimal('sNaN')", other)
  assert not values.equal_text(other, "[Decimal('sNaN')]")
  assert values.equal_text("Decimal('sNaN')", "Decimal('sNaN')")


def _trace(source, events=256):
  tracer = tracer_lib.Tracer(events)
  code = compile(source, tracer_lib.PROGRAM, 'exec')
  try:
    with tracer:
      exec(code, {'__name__': '__main__'})
  except BaseException as error:
    assert 'expected' in str(error), error
  return tracer


def _values(tracer):
  return [
    (f'{scope}.{name}' if scope else name, value, line)
    for scope, name, value, line, _ in tracer.variables
  ]


@pytest.mark.parametrize(
  ('source', 'variables'),
  [
    ('x = 1\ny = x\nx += 1', [('y', '1', 2), ('x', '2', 3)]),
    ('x = 1\ny = 2\nx = 1', [('y', '2', 2), ('x', '1', 3)]),
    (
      's = 0\nfor i in range(3):\n  s += i',
      [('i', '2', 2), ('s', '3', 3)],
    ),
    (
      'a = []\nb = a\nb.append(1)\nc = 0',
      [('a', '[1]', 3), ('b', '[1]', 3), ('c', '0', 4)],
    ),
    ('import math\nfrom math import pi\nx = pi > 3', [('x', 'True', 3)]),
    ('def f(): pass\nclass C:\n  x = 1\ng = lambda: 0\nh = len\n', []),
    ('__x__ = 1\n_x = [q for q in (1, 2)]', [('_x', '[1, 2]', 2)]),
    (
      'def f(a, *b, k=1, **c):\n  a += k\n  return a\nx = f(1, 2, d=3)',
      [
        ('f.k', '1', 1),
        ('f.b', '(2,)', 1),
        ('f.c', "{'d': 3}", 1),
        ('f.a', '2', 2),
        ('x', '2', 4),
      ],
    ),
    (
      'def main():\n  t = 0\n  def inner(v):\n    nonlocal t\n    t += v\n'
      '  inner(4)\nmain()',
      [('main.inner.v', '4', 3), ('main.t', '4', 6)],
    ),
    (
      'def f():\n  global g\n  g = 1\n  z = 2\nf()',
      [('g', '1', 3), ('f.z', '2', 4)],
    ),
    (
      'def f(n):\n  r = n\n  return r\nf(1)\nf(2)',
      [('f.n', '2', 1), ('f.r', '2', 2)],
    ),
    (
      'def g():\n  for t in (5, 6):\n    yield t\nx = sum(g())',
      [('g.t', '6', 2), ('x', '11', 4)],
    ),
    (
      'try:\n  x = 1\n  raise ValueError\nexcept ValueError as e:\n  y = 2',
      [('x', '1', 2), ('e', '<ValueError>', 4), ('y', '2', 5)],
    ),
    (
      'if (n := 3) > 2:\n  a, *b = 1, 2',
      [('n', '3', 1), ('a', '1', 2), ('b', '[2]', 2)],
    ),
    (
      'with open("/dev/null") as f:\n  x = 1',
      [('f', '<TextIOWrapper>', 1), ('x', '1', 2)],
    ),
    ('x = 1\nraise SystemExit("expected")\ny = 1', [('x', '1', 1)]),
    ('x = 1\nx = 2\nraise KeyError("expected")', [('x', '2', 2)]),
    ('x = 1\ndel x\ny = 2', [('x', '1', 1), ('y', '2', 3)]),
    (
      'class C:\n  def m(self, v):\n    w = v\nC().m(3)',
      [('C.m.self', '<C>', 2), ('C.m.v', '3', 2), ('C.m.w', '3', 3)],
    ),
    (
      'import threading\ndef f():\n  y = 1\n'
      't = threading.Thread(target=f)\nt.start()\nt.join()',
      [('t', '<Thread>', 4), ('f.y', '1', 3)],
    ),
  ],
)  # fmt: skip
def test_variables_at_their_last_definition(source, variables):
  assert _values(_trace(source)) == variables


def test_trajectory_is_the_definitions_in_order():
  tracer = _trace(
    'def f(v):\n  v.append(1)\nx = [0]\nfor i in range(2):\n  f(x)'
  )
  assert tracer.trajectory == [
    (3, 'x', '[0]'),
    (4, 'i', '0'),
    (1, 'f.v', '[0]'),
    (2, 'f.v', '[0, 1]'),
    (5, 'x', '[0, 1]'),
    (4, 'i', '1'),
    (1, 'f.v', '[0, 1]'),
    (2, 'f.v', '[0, 1, 1]'),
    (5, 'x', '[0, 1, 1]'),
  ]


_LONG = """
def f(n):
  global g
  s = 0
  for i in range(n):
    s += i
  g = s
  return s
t = 0
for k in range(2000):
  t += f(20)
m = f(10)
"""


def test_values_stay_right_beyond_the_bound():
  tracer = _trace(_LONG, events=8)
  assert len(tracer.trajectory) == 8
  assert dict((name, value) for name, value, _ in _values(tracer)) == {
    'f.n': '10', 'f.s': '45', 'f.i': '9', 'g': '45', 't': str(190 * 2000),
    'k': '1999', 'm': '45',
  }  # fmt: skip
  short = dict((n, v) for n, v, _ in _values(_trace(_LONG, events=10**6)))
  assert short == dict((n, v) for n, v, _ in _values(tracer))


def test_text_does_not_depend_on_the_hash_seed():
  source = (
    'from coderl.execution import tracing\n'
    'print(tracing.canonical([set("abcdefgh"), frozenset({b"x", "y", 1.5}),'
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
