"""Programs that use more than their limits, or leave something behind.

PROGRAMS has name -> the statuses with which the run may end, and the source.
"""

from coderl.sandbox import sandbox

Status = sandbox.Status
_CPU, _WALL = {Status.CPU_LIMIT}, {Status.WALL_LIMIT}
_TIME = _CPU | _WALL
_MEMORY, _OUTPUT = {Status.MEMORY_LIMIT}, {Status.OUTPUT_LIMIT}
_FILE, _ERROR = {Status.FILE_LIMIT}, {Status.RUNTIME_ERROR}
_PROCESS, _THREAD = {Status.PROCESS_LIMIT}, {Status.THREAD_LIMIT}
_FINISHED = {Status.FINISHED}
_CROWD = _PROCESS | _TIME | _MEMORY | _ERROR

PROGRAMS = {
  'fork bomb': (_CROWD, 'import os\nwhile True: os.fork()'),
  'fork bomb that goes on': (_TIME, """
import os
while True:
  try: os.fork()
  except OSError: pass
"""),
  'daemons': (_PROCESS | _FINISHED, """
import os, time
for _ in range(3):
  if not os.fork():
    os.setsid()
    if not os.fork(): time.sleep(99)
    os._exit(0)
  os.wait()
print('left')
"""),
  'daemon that holds the output': (_FINISHED, """
import os, time
if not os.fork():
  os.setsid()
  while True:
    time.sleep(0.01)
    print('late', flush=True)
"""),
  'zombies': (_CROWD, """
import os
while True:
  if not os.fork(): os._exit(0)
"""),
  'children that stop': (_CROWD | _FINISHED, """
import os, signal
for _ in range(3):
  if not os.fork():
    while True: os.kill(os.getpid(), signal.SIGSTOP)
"""),
  'children with memory': (_MEMORY | _FINISHED, """
import os
for _ in range(4):
  if not os.fork():
    kept = bytearray(100 << 20)
    os._exit(0)
for _ in range(4): os.wait()
"""),
  'threads': (_THREAD, """
import threading, time
while True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
"""),
  'thread that never ends': (_TIME, """
import threading, time
threading.Thread(target=time.sleep, args=(99,)).start()
"""),
  'memory at once': (_MEMORY, 'kept = bytearray(8 << 30)'),
  'memory in small objects': (_MEMORY | _CPU, """
kept = []
while True: kept.append([kept])
"""),
  'memory again and again': (_MEMORY | _TIME, """
while True:
  kept = []
  try:
    while True: kept.append(bytes(1 << 22))
  except MemoryError: pass
"""),
  'memory that is shared': (_MEMORY, """
import mmap
kept = []
while True:
  try: kept.append(mmap.mmap(-1, 1 << 24))
  except OSError as error: raise MemoryError from error
  kept[-1].write(bytes(1 << 24))
"""),
  'memory while it dies': (_MEMORY, """
class Big:
  def __del__(self): self.kept = bytearray(8 << 30)
big = Big()
kept = bytearray(8 << 30)
"""),
  'files': (_FILE, """
index = 0
while True:
  open(f'/tmp/{index}', 'w').write('x' * 60000)
  index += 1
"""),
  'file that is large': (_FILE, "open('f', 'w').write('x' * (2 << 20))"),
  'file that is sparse': (_FILE, """
with open('f', 'w') as file: file.truncate(1 << 40)
"""),
  'file that is reserved': (_FILE, """
import os
os.posix_fallocate(os.open('f', os.O_CREAT | os.O_WRONLY), 0, 1 << 30)
"""),
  'files that are empty': (_FILE, """
index = 0
while True:
  open(f'{index}', 'w').close()
  index += 1
"""),
  'files without names': (_FILE | _ERROR, """
import os
kept = []
while True:
  kept.append(open('f', 'w'))
  kept[-1].write('x' * 60000)
  kept[-1].flush()
  os.unlink('f')
"""),
  'folders without bottom': (_FILE | _ERROR, """
import os
while True:
  os.mkdir('d' * 200)
  os.chdir('d' * 200)
"""),
  'files of odd names': (_FINISHED, """
import os
for name in (b'\\n', b'\\xff' * 255, b'-rf *', b'\\x1b[2J'): open(name, 'w')
os.mkdir('closed')
os.chmod('closed', 0)
open('kept', 'w').close()
os.chmod('kept', 0)
os.symlink('loop', 'loop')
"""),
  'output': (_OUTPUT, "while True: print('x' * 99)"),
  'output of errors': (_OUTPUT, """
import sys
while True: sys.stderr.write('x' * 99)
"""),
  'output that goes on': (_OUTPUT | _TIME, """
import os
while True:
  try: os.write(1, bytes(1 << 16))
  except OSError: pass
"""),
  'output in one line': (_OUTPUT | _MEMORY, "print('x' * (100 << 20))"),
  'output that is sparse': (_OUTPUT, """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))
os.ftruncate(1, 1 << 22)
"""),
  'output by drops': (_TIME, """
import os, time
while True:
  os.write(1, b'x')
  time.sleep(0.02)
"""),
  'nowhere to write': (_ERROR | _FINISHED, """
import os
os.closerange(0, 1100)
print('x' * (1 << 20))
"""),
  'loop that hears nothing': (_CPU, """
import signal
for number in range(1, 65):
  try: signal.signal(number, signal.SIG_IGN)
  except (OSError, ValueError): pass
while True: pass
"""),
  'loop that catches all': (_CPU, """
while True:
  try:
    while True: pass
  except BaseException: pass
"""),
  'loop in C': (_TIME | _MEMORY, 'sum(iter(int, 1))'),
  'loop at its end': (_CPU, """
import atexit
def forever():
  while True: pass
atexit.register(forever)
"""),
  'loop as it is collected': (_CPU, """
class A:
  def __del__(self):
    while True: pass
a = A()
"""),
  'loop in its error': (_CPU, """
class Endless(Exception):
  def __str__(self):
    while True: pass
raise Endless
"""),
  'loop in its output': (_CPU, """
import sys
class Out:
  def write(self, text): return len(text)
  def flush(self):
    while True: pass
sys.stdout = Out()
"""),
  'sleep': (_WALL, 'import time\ntime.sleep(99)'),
  'wait without an end': (_WALL, 'import os\nos.read(os.pipe()[0], 1)'),
  'stop': (_WALL | _FINISHED, """
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
os.killpg(0, signal.SIGSTOP)
"""),
  'lock on itself': (_WALL, """
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""),
  'deep source': (_ERROR, '(' * 10000 + ')' * 10000),
  'deep source that compiles slowly': (_ERROR | _CPU | _MEMORY, """
eval('+'.join(['1'] * 200000))
"""),
  'source of minus signs': (_ERROR, '-' * 10**6 + '1'),
  'source that folds to much': (
    _MEMORY | _ERROR,
    'x = ' + '(' * 6 + '"a"' + ' * 4096)' * 6,
  ),
  'source with a null': (_ERROR, 'x = "\0"'),
  'source with half a character': (_ERROR, 'x = "\ud800"'),
  'source of ten megabytes': (
    _FINISHED | _MEMORY | _CPU,
    '#' + 'x' * (10 << 20) + '\nprint(1)',
  ),
  'source of many names': (
    _FINISHED | _MEMORY | _CPU,
    '\n'.join(f'x{i} = {i}' for i in range(50000)),
  ),
  'search that backtracks': (_CPU, """
import re
re.match('(a*)*b', 'a' * 99)
"""),
  'number that is long to print': (_CPU | _OUTPUT, 'print(9 ** (10 ** 7))'),
  'number that is long to reckon': (_CPU | _MEMORY, 'x = 9 ** (10 ** 9)'),
  'hashes that collide': (_CPU, """
kept = {i * (2**61 - 1) for i in range(10**6)}
"""),
  'recursion without an end': (_ERROR, """
def f(): return f()
f()
"""),
  'recursion in C': (_ERROR | _MEMORY | _CPU, """
import sys
sys.setrecursionlimit(1 << 30)
kept = []
for _ in range(10**6): kept = [kept]
repr(kept)
"""),
  'nothing is read': (_ERROR, 'import ctypes\nctypes.string_at(0)'),
  'abort': (_ERROR, 'import os\nos.abort()'),
  'death by its own limit': (_CPU | _MEMORY | _ERROR, """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (0, 0))
while True: pass
"""),
  'death of its group': (_ERROR | _MEMORY | _FINISHED, """
import os, signal
os.killpg(0, signal.SIGKILL)
os.kill(-1, signal.SIGKILL)
"""),
  'dumps its memory': (_ERROR, """
import os, resource, signal
try: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))
except ValueError: pass
os.chdir('/tmp')
os.kill(os.getpid(), signal.SIGQUIT)
os.abort()
"""),
  'hoards descriptors': (_ERROR, """
import os, select
kept = []
while True: kept += [os.pipe(), select.epoll(), os.eventfd(0), os.dup(0)]
"""),
  'hoards shared memory': (_ERROR | _MEMORY, """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(99):
  if libc.shmget(0, 1 << 24, 0o1600) < 0: raise OSError(errno.EPERM, '')
"""),
  'hoards semaphores': (_ERROR | _MEMORY, """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for _ in range(9):
  if libc.semget(0, 32000, 0o1600) < 0: raise OSError(errno.EPERM, '')
"""),
  'hoards queues': (_ERROR, """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for index in range(9):
  if libc.msgget(0, 0o1600) < 0 and libc.mq_open(b'/q', 0o102, 0o600, None) < 0:
    raise OSError(errno.EPERM, '')
"""),
  'takes the interpreter apart': (_ERROR | _FINISHED, """
import builtins, gc, sys
sys.modules.clear()
for name in [*vars(builtins)]:
  if not name.startswith('_') and name != 'BaseException':
    vars(builtins).pop(name)
"""),
  'leaves as the worker does': (_ERROR, """
import os
os.ftruncate(1000, 0)
os._exit(113)
"""),
  'has a long repr': (_MEMORY | _CPU, 'print([10**50] * 10**8)'),
}  # fmt: skip
