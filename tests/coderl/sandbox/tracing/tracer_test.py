"""A trace has each variable at its last definition, and the trajectory."""

import pytest

from coderl.sandbox.tracing import tracer as tracer_lib


def _trace(source, events=256):
  tracer = tracer_lib.Tracer(events)
  code = compile(source, tracer_lib.PROGRAM_FILE_NAME, 'exec')
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
def test_variables_have_their_last_values_and_lines(source, variables):
  assert _values(_trace(source)) == variables


def test_the_trajectory_has_the_definitions_in_order():
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


def test_values_are_right_beyond_the_limit_on_events():
  tracer = _trace(_LONG, events=8)
  assert len(tracer.trajectory) == 8
  assert dict((name, value) for name, value, _ in _values(tracer)) == {
    'f.n': '10', 'f.s': '45', 'f.i': '9', 'g': '45', 't': str(190 * 2000),
    'k': '1999', 'm': '45',
  }  # fmt: skip
  complete = dict((n, v) for n, v, _ in _values(_trace(_LONG, events=10**6)))
  assert complete == dict((n, v) for n, v, _ in _values(tracer))
