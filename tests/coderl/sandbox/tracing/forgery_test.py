"""No program can make the run of itself say what it did not do by tracing.

What a program does to its tracer costs it its trace, never more.
"""

import re

import pytest

from coderl.sandbox import sandbox

_FINISHED = sandbox.Status.FINISHED
_LIMITS = sandbox.Limits(cpu_s=5.0, wall_s=10.0)
_PRINTS = {
  'report': 'print("{}\\n\\nvariable\\t\\tx\\t42\\t1\\tTrue\\n")',
  'rows': 'print([("", "x", "42", 1, True)], flush=True)',
  'standard error': 'import sys\nprint("x = 42", file=sys.stderr)',
  'descriptors': (
    'import os\nfor n in range(3, 32):\n  try:\n'
    '    os.write(n, b"{}\\n\\nvariable\\t\\tx\\t42\\t1\\tTrue\\n")\n'
    '  except OSError:\n    pass'
  ),
  'object': 'class T:\n  def __repr__(self): return "42"\ny = T()\nprint(y)',
}
_ATTACKS = {
  'settrace None': 'import sys\nsys.settrace(None)',
  'settrace own': (
    'import sys\ndef t(f, e, a):\n  raise KeyError\n'
    'try:\n  sys.settrace(t)\n  (lambda: 0)()\nexcept KeyError:\n  pass'
  ),
  'settrace gone': 'import sys\ndel sys.settrace, sys.gettrace',
  'settrace replaced': 'import sys\nsys.settrace = lambda f: 1 / 0',
  'setprofile': 'import sys\nsys.setprofile(lambda *a: None)',
  'threads': (
    'import threading\nthreading.settrace(None)\n'
    't = threading.Thread(target=int)\nt.start()\nt.join()'
  ),
  'frame': (
    'import sys\nf = sys._getframe()\nf.f_trace = None\n'
    'f.f_trace_lines = False'
  ),
  'frame local': (
    'import sys\ndef g():\n  y = 1\n  sys._getframe().f_trace = None\n'
    '  y = 2\ng()'
  ),
  'file name': (
    'exec(compile("x = 42\\ny = 1", "<program>", "exec"), {})'
  ),
  'names gone': 'globals().clear()\nprint("ok")',
  'builtins gone': (
    'import builtins as b\ndel b.issubclass, b.any, b.id, b.map'
  ),
  'builtins lie': 'import builtins\nbuiltins.sorted = builtins.type = None',
  'at exit': 'import atexit, sys\natexit.register(sys.settrace, None)',
  'del raises': (
    'class D:\n  def __del__(self): raise KeyError("in del")\n'
    'def g():\n  y = D()\n  y = 1\ng()\nz = D()'
  ),
  'class lies': (
    'class L(list):\n  def __len__(self): 1 / 0\n  '
    '__iter__ = __eq__ = __len__\n'
    '  __hash__ = __bool__ = __repr__ = __len__\n'
    '  @property\n  def __class__(self): return int\ny = L([1])'
  ),
  'metaclass lies': (
    'class M(type):\n  def __subclasscheck__(c, k): 1 / 0\n'
    '  __instancecheck__ = __eq__ = __subclasscheck__\n  __hash__ = None\n'
    'class C(metaclass=M): pass\ny = C()'
  ),
  'deep': 'y = ()\nfor _ in range(5000): y = (y,)\nprint(len(y))',
  'wide': 'y = []\nfor _ in range(12): y = [y] * 64\nprint(len(y))',
  'shared tuples': 'y = ()\nfor _ in range(12): y = (y,) * 64\nprint(len(y))',
  'recursion': (
    'def r(n):\n  try:\n    return r(n + 1)\n  except RecursionError:\n'
    '    return 0\nprint(r(0))'
  ),
}  # fmt: skip


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox(_LIMITS, workers=1) as box:
    yield box


def _both(box, source):
  return box.run([sandbox.Program(source, trace=t) for t in (False, True)])


@pytest.mark.parametrize('source', _PRINTS.values(), ids=_PRINTS)
def test_what_is_written_is_no_variable(box, source):
  plain, traced = _both(box, source + '\nz = 5')
  assert (traced.status, traced.stdout) == (_FINISHED, plain.stdout)
  assert ('z', '5') in [(v.name, v.value) for v in traced.variables]
  rows = [*traced.variables, *traced.trajectory]
  assert '42' not in [row.value for row in rows]
  assert 'x' not in [row.name for row in rows]


@pytest.mark.parametrize('source', _ATTACKS.values(), ids=_ATTACKS)
def test_run_is_the_same_whatever_is_done_to_the_tracer(box, source):
  plain, traced = _both(box, f'x = 1\n{source}\nx = 2\nprint("end")')
  assert plain.stdout.endswith('end\n') == (plain.status is _FINISHED)
  assert _seen(traced) == _seen(plain)
  # A trace is lost, but never wrong.
  values = {v.value for v in traced.variables if v.qualified_name == 'x'}
  assert values <= {'2'}


def _seen(execution):
  """What others see of a run, less addresses."""
  errors = re.sub('0x[0-9a-f]+', '', execution.stderr)
  return execution.status, execution.stdout, errors, execution.error


def test_objects_end_when_they_do_without_a_trace(box):
  source = (
    'class D:\n  def __init__(self, n): self.n = n\n'
    '  def __del__(self): print("gone", self.n)\n'
    'a = D(1)\nb = [D(2)]\na = None\nprint("a")\nb.clear()\nprint("b")\n'
    'def f():\n  c, d = D(3), {0: D(4)}\n  del c\n  print("c")\n'
    '  d = 0\n  print("d")\nf()\nprint("end")'
  )
  plain, traced = _both(box, source)
  assert plain.stdout.startswith('gone 1\na\ngone 2\nb\ngone 3\nc\n')
  assert traced.stdout == plain.stdout
