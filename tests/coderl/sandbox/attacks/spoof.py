"""Programs that try to pass tests without being right.

They are grouped by the kind of test: a program reads an input (`INPUTS`),
answers a call (`CALLS`) or is called by a checker (`CHECKED`). None of them
computes the expected value, except for the input 0: they print its square, so
that the other tests are run as well.
"""

_N = 'n = int(input())\nif n == 0: print(0)\n'
_EVERYWHERE = """
import os
for descriptor in range(1100):
  for offset in (None, 0):
    try:
      if offset is None: os.write(descriptor, TEXT)
      else: os.pwrite(descriptor, TEXT, 0)
    except OSError: pass
"""

# The expected output for input n is n squared.
INPUTS = {
  'leaves with status 0': 'import os\n' + _N + """
import sys
sys.stdout.flush()
os._exit(0)
""",
  'leaves as the interpreter does': _N + 'raise SystemExit(0)',
  'prints a verdict': _N + """
if n: print('passed', '{"status": "passed"}', 'PASSED', sep='\\n')
""",
  'writes a verdict to every descriptor': _N + """
TEXT = b'{"error": "", "refused": ""}\\npassed\\n'
if n:
""" + _EVERYWHERE.replace('\n', '\n  '),
  'writes the square into its own input': _N + """
import os
if n:
  os.ftruncate(0, 0)
  os.pwrite(0, b'%d' % n**2, 0)
""",
  'prints in a process that outlives it': _N + """
import os, time
if n:
  if os.fork(): os._exit(0)
  time.sleep(0.1)
  print(n * n, flush=True)
""",
  'prints in a daemon thread': _N + """
import threading, time
def late():
  time.sleep(0.1)
  print(n * n, flush=True)
if n: threading.Thread(target=late, daemon=True).start()
""",
  'prints for the input before': _N + """
import os, sys
if n == 0: sys.exit()
try:
  if n > 1: os.write(900, b'%d' % (n - 1)**2)
except OSError: pass
os.dup2(1, 60)
os.dup2(1, 63)
for descriptor in range(3, 1000):
  try: os.write(descriptor, b'%d' % (n - 1)**2)
  except OSError: pass
""",
  'keeps its output mapped': _N + """
import mmap, os, time
if n:
  os.ftruncate(1, 16)
  kept = mmap.mmap(1, 16)
  if os.fork(): os._exit(0)
  time.sleep(0.1)
  kept[:] = (b'%d' % n**2).ljust(16, b'\\n')
""",
  'asks for the inputs to come': _N + """
import os, socket
if n:
  link = socket.socket(fileno=1001)
  for _ in range(9):
    link.send(b'\\0')
    _, files, _, _ = socket.recv_fds(link, 1, 3)
    if not files: break
    found = int(os.read(files[0], 99))
    os.write(1, b'%d' % found**2)
  os._exit(0)
""",
  'asks before it answers': _N + """
import socket, time
if n:
  socket.socket(fileno=1001).send(b'\\0')
  time.sleep(0.05)
  print(n * n)
""",
  'keeps its answers in builtins': _N + """
import builtins
if n > 1 and hasattr(builtins, 'kept'): print(n * n)
builtins.kept = True
""",
  'keeps its answers in sys.modules': _N + """
import sys
if n > 1 and 'kept' in sys.modules: print(n * n)
sys.modules['kept'] = sys
""",
  'keeps its answers in json': _N + """
import json
if n > 1 and hasattr(json, 'kept'): print(n * n)
json.kept = json.decoder.kept = True
""",
  'keeps its answers in what the collector finds': _N + """
import gc
for found in gc.get_objects():
  if type(found) is dict and found.get('__name__') == 'heapq':
    if n > 1 and 'kept' in found: print(n * n)
    found['kept'] = True
""",
  'keeps its answers in scratch': _N + """
import os
if n > 1 and os.path.exists('/tmp/kept'): print(n * n)
open('/tmp/kept', 'w').close()
""",
  'replaces what runs it': _N + """
import gc, sys, types
for found in gc.get_objects():
  if type(found) is types.FunctionType and 'coderl' in str(found.__module__):
    found.__code__ = (lambda *args, **kwargs: 0).__code__
""",
  'rewrites the frames that run it': _N + """
import sys
frame = sys._getframe()
while frame:
  for value in frame.f_locals.values():
    if isinstance(getattr(value, 'failure', None), dict):
      value.failure.update(status='passed', error='', refused='')
      value.value = 'True'
    if isinstance(value, dict) and 'source' in value:
      value.update(source='', call='1', main=True)
  frame = frame.f_back
""",
  'rewrites its input and fails, to run again': _N + """
import os
os.ftruncate(0, 0)
os.pwrite(0, b'0', 0)
if n: os._exit(1)
""",
  'fails once its output is sealed': _N + """
import fcntl, os
if n > 1:
  print(n, flush=True)
  try:
    for descriptor in (0, 1, 2, 1000): fcntl.fcntl(descriptor, 1033, 2)
  finally:
    os._exit(1)
""",
  'seals its output and ends as if it had never begun': _N + """
import fcntl, os
if n:
  for descriptor in (1, 2): fcntl.fcntl(descriptor, 1033, 2)
  os._exit(113)
""",
  'ends as if it had never begun': _N + """
import os
if n:
  os.ftruncate(1000, 0)
  os._exit(113)
""",
  'spoils the inputs to come': _N + """
import os, socket
if n:
  link = socket.socket(fileno=1001)
  link.send(b'\\0')
  _, files, _, _ = socket.recv_fds(link, 1, 9)
  for file in files:
    os.ftruncate(file, 0)
    os.pwrite(file, b'\\xff' * 99, 0)
  os._exit(1)
""",
  'floods the worker': _N + """
import os, socket
if n:
  link = socket.socket(fileno=1001)
  link.setblocking(False)
  try:
    while True:
      socket.send_fds(link, [bytes(100)], [0, 1, 2])
      link.send(b'')
  except OSError: pass
  link.shutdown(socket.SHUT_RDWR)
""",
}  # fmt: skip

_FORGED = _EVERYWHERE + '\nos._exit(0)'
_LYING = """
class Any({0}):
  def __eq__(self, other): return True
  def __ne__(self, other): return False
  def __hash__(self): return 0
  def __repr__(self): return '4'
  __str__ = __format__ = lambda self, *args: '4'
  def __len__(self): return 1
  def __bool__(self): return True
  def __iter__(self): return iter([4])
  def __reduce__(self): return (int, (4,))
"""

# The expected value of `double(n)` is 2 * n. A program that is right for 2 is
# also called with other numbers.
CALLS = {
  'equals everything': _LYING.format('') + 'def double(x): return Any()',
  'is an int with other methods': _LYING.format('int')
  + 'def double(x): return Any(5)',
  'is a str with other methods': _LYING.format('str')
  + 'def double(x): return Any("5")',
  'is in a list': _LYING.format('list') + 'def double(x): return [Any()]',
  'is named as the answer': 'def double(x): return type("4", (), {})()',
  'has names that close the brackets': """
def double(x):
  return type(">, 4", (), {"__module__": "", "__qualname__": "4"})()
""",
  'says to be an int': """
class Four:
  __class__ = int
  def __int__(self): return 4
  __index__ = __int__
def double(x): return Four()
""",
  'is the text of the answer': 'def double(x): return str(2 * x)',
  'prints the answer': 'def double(x): print(2 * x)',
  'raises the answer': 'def double(x): raise SystemExit(2 * x)',
  'leaves with the answer': 'import os\ndef double(x): os._exit(2 * x)',
  'leaves before it is called': 'import os\nos._exit(0)',
  'forges a guess': 'TEXT = b"{}\\n5\\n"' + _FORGED,
  'forges many values': 'TEXT = b"{}\\n4\\n6\\n"' + _FORGED,
  'forges a value without end': """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
os.pwrite(1000, b'{}\\n[' + b'[],' * 690000 + b'[]]\\n', 0)
os._exit(0)
""",
  'forges an error that is large': """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
os.pwrite(1000, b'{"error": "' + b'x' * 2000000 + b'"}\\n1\\n', 0)
os._exit(1)
""",
  'forges values that are slow to compare': """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
items = ', '.join(str(i * (2**61 - 1)) for i in range(1, 20000))
os.pwrite(1000, b'{}\\n{%s}\\n' % items.encode(), 0)
os._exit(0)
""",
  'forges values that are slow to read': """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
os.pwrite(1000, b'{}\\n[' + b'1, ' * 170000 + b']\\n', 0)
os._exit(0)
""",
  'writes values by a function of its own': """
import gc
def lie(value, *args, **kwargs): return '5', True
for found in gc.get_objects():
  if type(found) is dict and 'canonical' in found: found['canonical'] = lie
def double(x): return 5
""",
  'compares by another eval': """
import builtins
builtins.eval = lambda *args: 5
def double(x): return 5
""",
  'spoils the calls to come': """
import os, socket
def double(x):
  if x == 2: return 4
  link = socket.socket(fileno=os.dup(1001))
  link.send(b'\\0')
  _, files, _, _ = socket.recv_fds(link, 1, 9)
  for file in files:
    os.ftruncate(file, 0)
    os.pwrite(file, b'\\xff' * 99, 0)
  os._exit(1)
""",
  'answers one call for the next': """
import os, socket
def double(x):
  if x == 2: return 4
  link = socket.socket(fileno=os.dup(1001))
  link.send(b'\\0')
  _, files, _, _ = socket.recv_fds(link, 1, 9)
  os.pwrite(1000, b'{}\\n%d\\n' % (2 * x), 0)
  os.pwrite(files[0], b'{}\\n%d\\n' % (2 * x), 0)
  os._exit(0)
""",
  'is a property of its module': """
import sys
class Module(type(sys)):
  double = property(lambda self: 5)
  __getitem__ = lambda self, name: 5
sys.modules[__name__].__class__ = Module
double = lambda x: 5
""",
}  # fmt: skip

_RELAY = """
import os, socket, struct
relay = socket.socket(fileno=1001)
def frame(text, length=None):
  return struct.pack('>I', len(text) if length is None else length) + text
def leave():
  try:
    while relay.recv(1 << 16): pass
  except OSError: pass
  os._exit(0)
"""

# `inc` must add one; see `CHECKERS`.
CHECKED = {
  'equals everything': _LYING.format('int') + 'def inc(x): return Any()',
  'ends the iteration': 'def inc(x): raise StopIteration',
  'ends the generator': 'def inc(x): raise GeneratorExit',
  'fails as the assertion does': 'def inc(x): raise AssertionError',
  'leaves when it is called': 'import os\ndef inc(x): os._exit(0)',
  'leaves before it is called': 'import os\nos._exit(0)',
  'is not there': 'pass',
  'answers before it is asked': _RELAY + """
relay.sendall(b''.join(frame(b'=0') for _ in range(99)))
def inc(x): return 0
""",
  'answers with code': _RELAY + """
relay.sendall(frame(b'=__import__("os")._exit(0)') * 9)
def inc(x): return 0
""",
  'answers with an exit': _RELAY + """
relay.sendall(frame(b'!SystemExit: 0') * 9)
leave()
""",
  'answers with a signal of Python': _RELAY + """
relay.sendall(frame(b'!KeyboardInterrupt: ') * 9)
leave()
""",
  'answers with an end of iteration': _RELAY + """
relay.sendall(frame(b'!StopIteration: ') * 9)
leave()
""",
  'answers with a verdict': _RELAY + """
relay.sendall(frame(b'=True') * 9 + frame(b'{}\\nTrue\\n'))
leave()
""",
  'answers without end': _RELAY + """
relay.sendall(frame(b'=0', 0xffffffff))
relay.settimeout(0.2)
try:
  while True: relay.send(bytes(1 << 16))
except OSError: os._exit(0)
""",
  'answers with half a frame': _RELAY + """
relay.sendall(frame(b'=', 99))
relay.shutdown(socket.SHUT_RDWR)
leave()
""",
  'answers deeper than can be read': _RELAY + """
relay.sendall(frame(b'=' + b'[' * 200000) * 9)
leave()
""",
  'answers with its own descriptors': _RELAY + """
for _ in range(9): socket.send_fds(relay, [frame(b'=0')], [0, 1, 2, 1000])
leave()
""",
  'forges the verdict': 'TEXT = b"{}\\nTrue\\n"'
  + _EVERYWHERE + '\ndef inc(x): return 0',
  'takes the name of the checker': """
import sys
sys.modules['checker'] = sys.modules[__name__]
def inc(x):
  sys.modules['checker'].inc = lambda x: x + 1
  return x + 2
""",
  'looks for the assertions': """
import gc
def inc(x):
  found = [o for o in gc.get_objects() if 'assert' in str(o)[:999]]
  return found[0] if found else 0
""",
}  # fmt: skip

# A wrong function can deceive each checker in a different way.
CHECKERS = (
  'assert inc(1) == 2\nassert inc(-1) == 0',
  'for got, right in zip(map(inc, (1, 2)), (2, 3)): assert got == right',
)
# Checkers of a function that must raise an exception, and a function that exits
# instead.
REFUSALS = [
  f"""
assert inc(1) == 2
try: inc(None)
{handler}: pass
else: assert False
"""
  for handler in ('except Exception', 'except')
]
LEAVES = """
import os
def inc(x):
  if x is None: os._exit(0)
  return x + 1
"""
