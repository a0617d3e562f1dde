"""Programs that use much of Python, honestly: name -> source, input, output."""

# Programs that print the square of their input.
SQUARES = {
  'input': 'print(int(input()) ** 2)',
  'sys.stdin.readline': 'import sys\nprint(int(sys.stdin.readline()) ** 2)',
  'exit at the end': 'print(int(input()) ** 2)\nexit()',
  'sys.stdin.buffer': (
    'import sys\nprint(int(sys.stdin.buffer.readline()) ** 2)'
  ),
  'lines of sys.stdin': (
    'import sys\nfor line in sys.stdin: print(int(line) ** 2)'
  ),
  'open(0)': 'print(int(open(0).read()) ** 2)',
  'os.read': 'import os\nprint(int(os.read(0, 99)) ** 2)',
  'sys.stdout.buffer': (
    'import sys\nsys.stdout.buffer.write(b"%d" % (int(input()) ** 2))'
  ),
}

# It uses more than one of its two seconds, and has much memory to release.
SLOW = """
import time
kept = []
def slow(x):
  kept.extend([i] for i in range(100000))
  while time.process_time() < 1.2: pass
  return x + 1
"""

PROGRAMS = {
  'closes descriptors': ("""
import os
os.closerange(3, 256)
os.close(2)
print(input())
""", 'a', 'a\n'),
  'children by fork': ("""
import os
total = 0
for index in range(40):
  reader, writer = os.pipe()
  if not os.fork():
    os.write(writer, b'%d' % index)
    os._exit(0)
  total += int(os.read(reader, 9))
  os.close(reader)
  os.close(writer)
  os.wait()
print(total)
""", '', '780\n'),
  'multiprocessing.Process': ("""
import multiprocessing
def work(sender, n): sender.send(n * n)
if __name__ == '__main__':
  for n in range(3):
    receiver, sender = multiprocessing.Pipe(False)
    child = multiprocessing.Process(target=work, args=(sender, n))
    child.start()
    print(receiver.recv())
    child.join()
""", '', '0\n1\n4\n'),
  'multiprocessing.Pool': ("""
import multiprocessing
if __name__ == '__main__':
  with multiprocessing.Pool(2) as pool: print(pool.map(abs, range(-3, 3)))
""", '', '[3, 2, 1, 0, 1, 2]\n'),
  'threads': ("""
import threading
found = []
def work(n): found.append(n * n)
for _ in range(20):
  threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
  for thread in threads: thread.start()
  for thread in threads: thread.join()
print(sum(found))
""", '', '1100\n'),
  'thread pool': ("""
from concurrent import futures
with futures.ThreadPoolExecutor(4) as pool: print(*pool.map(abs, range(-3, 0)))
""", '', '3 2 1\n'),
  'large integers': ("""
import math
print(len(str(math.factorial(3000))), 7 ** 2000 % (10 ** 9 + 7))
print(int('9' * 6000) % 7)
""", '', f'9131 {pow(7, 2000, 10**9 + 7)}\n0\n'),
  'bytes that are no text': ("""
import sys
sys.stdout.buffer.write(b'a\\xffb\\xed\\xa0\\x80\\n')
print('\\udcff')
""", '', 'a�b���\n�\n'),
  'asyncio': ("""
import asyncio
async def work(n):
  await asyncio.sleep(0.01)
  return n * n
async def main(): print(await asyncio.gather(*map(work, range(4))))
asyncio.run(main())
""", '', '[0, 1, 4, 9]\n'),
  'limit of the stack': ("""
import resource, sys, threading
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))
sys.setrecursionlimit(10 ** 6)
threading.stack_size(1 << 26)
def depth(n): return n and 1 + depth(n - 1)
def main(): print(depth(30000))
thread = threading.Thread(target=main)
thread.start()
thread.join()
""", '', '30000\n'),
  'stack without a limit': ("""
import resource
resource.setrlimit(
  resource.RLIMIT_STACK, (1 << 28, resource.RLIM_INFINITY)
)
print(1)
""", '', '1\n'),
  'deep recursion': ("""
import functools, sys
sys.setrecursionlimit(10 ** 6)
@functools.lru_cache(None)
def f(n): return n and n + f(n - 1)
print(f(5000))
""", '', '12502500\n'),
  'a megabyte of output': ("""
for index in range(1 << 14): print('x' * 63)
""", '', ('x' * 63 + '\n') * (1 << 14)),
  'temporary files': ("""
import os, tempfile
with tempfile.TemporaryDirectory() as folder:
  with open(os.path.join(folder, 'f'), 'w+') as file:
    file.write(input())
    file.seek(0)
    print(file.read())
with tempfile.NamedTemporaryFile() as file: print(os.path.exists(file.name))
with tempfile.TemporaryFile() as file: print(file.write(b'ab'))
""", 'a', 'a\nTrue\n2\n'),
  'signals': ("""
import os, signal, time
signal.signal(signal.SIGALRM, lambda *args: print('alarm'))
signal.signal(signal.SIGUSR1, lambda *args: print('user'))
os.kill(os.getpid(), signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 0.02)
time.sleep(0.1)
signal.alarm(5)
""", '', 'user\nalarm\n'),
  'two processes and a pipe': ("""
import os, select, socket
one, other = socket.socketpair()
if not os.fork():
  one.close()
  other.sendall(input().encode())
  os._exit(0)
other.close()
poll = select.poll()
poll.register(one, select.POLLIN)
poll.poll(1000)
print(one.recv(99).decode(), os.wait()[1])
""", 'told', 'told 0\n'),
  'many modules': ("""
import array, bisect, collections, csv, datetime, decimal, fractions, hashlib
import heapq, io, itertools, json, logging, math, operator, pickle, random, re
import shutil, statistics, string, sys, textwrap, time, typing, uuid
print(hashlib.sha256(b'a').hexdigest()[:8], uuid.UUID(int=1).int)
print(decimal.Decimal(1) / 3, fractions.Fraction(2, 6), math.comb(50, 25))
print(datetime.date(2024, 2, 29) + datetime.timedelta(1))
""", '', 'ca978112 1\n0.3333333333333333333333333333 1/3 126410606437752\n'
    '2024-03-01\n'),
  'what is packed in the source': ("""
import base64, zlib
print(zlib.decompress(zlib.compress(base64.b64decode(input()))).decode())
""", 'cGFja2Vk', 'packed\n'),
  'copies of files': ("""
import os, pathlib, shutil
pathlib.Path('a').write_text(input())
shutil.copy('a', 'b')
shutil.copy2('b', 'c')
shutil.move('c', 'd')
os.makedirs('e/f')
shutil.copytree('e', 'g')
print(pathlib.Path('d').read_text(), sorted(os.listdir()))
""", 'a', "a ['a', 'b', 'd', 'e', 'g']\n"),
}  # fmt: skip
