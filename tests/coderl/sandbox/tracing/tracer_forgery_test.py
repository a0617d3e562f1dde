"""A program that attacks its tracer loses its trace, and changes nothing else.

Its output never becomes part of the trace.
"""

import re

import pytest

from coderl.sandbox import sandbox

_FINISHED = sandbox.Status.FINISHED
_LIMITS = sandbox.Limits(cpu_s=5.0, wall_s=10.0)
# These print what looks like a trace of x = 42.
_PRINTED = {
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
def runner():
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    yield runner


def _both(runner, source):
  return runner.run([sandbox.Program(source, trace=t) for t in (False, True)])


@pytest.mark.parametrize('source', _PRINTED.values(), ids=_PRINTED)
def test_output_never_becomes_a_variable(runner, source):
  plain, traced = _both(runner, source + '\nz = 5')
  assert (traced.status, traced.stdout) == (_FINISHED, plain.stdout)
  assert ('z', '5') in [(v.name, v.value) for v in traced.variables]
  definitions = [*traced.variables, *traced.trajectory]
  assert '42' not in [definition.value for definition in definitions]
  assert 'x' not in [definition.name for definition in definitions]


@pytest.mark.parametrize('source', _ATTACKS.values(), ids=_ATTACKS)
def test_an_attack_on_the_tracer_does_not_change_the_run(runner, source):
  plain, traced = _both(runner, f'x = 1\n{source}\nx = 2\nprint("end")')
  assert plain.stdout.endswith('end\n') == (plain.status is _FINISHED)
  assert _result(traced) == _result(plain)
  # A trace may be lost, but it is never wrong.
  values = {v.value for v in traced.variables if v.qualified_name == 'x'}
  assert values <= {'2'}


def _result(execution):
  """Returns the result of a run without the addresses in its messages."""
  errors = re.sub('0x[0-9a-f]+', '', execution.stderr)
  return execution.status, execution.stdout, errors, execution.error


def test_objects_are_collected_when_they_are_without_a_trace(runner):
  source = (
    'class D:\n  def __init__(self, n): self.n = n\n'
    '  def __del__(self): print("gone", self.n)\n'
    'a = D(1)\nb = [D(2)]\na = None\nprint("a")\nb.clear()\nprint("b")\n'
    'def f():\n  c, d = D(3), {0: D(4)}\n  del c\n  print("c")\n'
    '  d = 0\n  print("d")\nf()\nprint("end")'
  )
  plain, traced = _both(runner, source)
  assert plain.stdout.startswith('gone 1\na\ngone 2\nb\ngone 3\nc\n')
  assert traced.stdout == plain.stdout
