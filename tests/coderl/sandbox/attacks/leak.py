"""Programs that look for secrets.

Each prints what it finds, and nothing else. Their input is JSON with facts of
the host: paths and numbers, but no secret. A secret is `needle-` and 16 digits,
so that a program can look for it without containing it.
"""

_FACTS = 'import json, os, re, sys\nfacts = json.loads(input())\n'
_READ = (
  _FACTS
  + """
def show(path):
  try:
    if os.path.isdir(path): print(os.listdir(path))
    else: print(open(path, 'rb').read())
    print('found', path)
  except OSError: pass
"""
)
_SCAN = (
  _FACTS
  + """
import ctypes
libc = ctypes.CDLL(None)
reader, writer = os.pipe()
def scan(start, stop):
  # A write from where nothing is mapped fails, and no signal comes.
  tail = b''
  for page in range(start & -4096, stop, 4096):
    if libc.write(writer, ctypes.c_void_p(page), 4096) != 4096:
      tail = b''
      continue
    text = tail + os.read(reader, 4096)
    for needle in re.findall(b'needle-[0-9a-f]{16}', text): print(needle)
    tail = text[-64:]
"""
)

PROGRAMS = {
  'password file': _READ + """
for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/etc'): show(path)
""",
  'file of the host': _READ + """
for path in facts['secrets']:
  for prefix in ('', '/proc/1/root', '/proc/self/root', '../' * 30, '/tmp/..'):
    show(prefix + path)
""",
  'sources of the host': _READ + """
for path in facts['sources']: show(path)
""",
  'environment': _FACTS + """
import ctypes
for text in (*os.environ, *os.environb): print(text)
kind = ctypes.POINTER(ctypes.c_char_p)
environ, index = kind.in_dll(ctypes.CDLL(None), 'environ'), 0
while environ and environ[index]:
  print(environ[index])
  index += 1
""",
  'environment of processes': _READ + """
for pid in ('self', 1, 2, facts['pid'], facts['parent']):
  for name in ('environ', 'cmdline', 'maps', 'mem', 'fd', 'cwd', 'root'):
    show(f'/proc/{pid}/{name}')
""",
  'stack': _SCAN + """
end = ctypes.c_void_p.in_dll(libc, '__libc_stack_end').value
scan(end - (1 << 20), end + (1 << 16))
""",
  'heap': _SCAN + """
kinds = ([], '', b'', {}, sys, len, type('T', (), {}), lambda: 0, 10**50)
places = {id(kind) >> 25 for kind in kinds}
places |= {id(sys.modules[name]) >> 25 for name in sys.modules}
places |= {ctypes.addressof(ctypes.create_string_buffer(99)) >> 25}
for place in sorted(places): scan(place << 25, (place + 1) << 25)
""",
  'objects': _FACTS + """
import gc
seen, todo = set(), gc.get_objects()
while todo:
  found = todo.pop()
  if id(found) in seen: continue
  seen.add(id(found))
  if type(found) in (str, bytes):
    text = found if type(found) is str else found.decode('latin1')
    if re.search('needle-[0-9a-f]{16}', text): print(text)
  else:
    todo += gc.get_referents(found)
""",
  'frames': _FACTS + """
frame = sys._getframe()
while frame:
  text = repr([*frame.f_locals.items()]) + repr([*frame.f_globals.items()])
  print(*re.findall('needle-[0-9a-f]{16}', text), end='')
  frame = frame.f_back
""",
  'descriptors': _FACTS + """
import socket
for descriptor in (*range(3, 1000), *range(1001, 1100)):
  for read in (os.read, lambda d, n: os.pread(d, n, 0)):
    try: print(read(descriptor, 1 << 16))
    except OSError: continue
  for path in ('etc', '../etc', 'proc', '.'):
    try: print(os.open(path, os.O_RDONLY, dir_fd=descriptor))
    except OSError: pass
""",
  'every file': _FACTS + """
for root, folders, files in os.walk('/'):
  if root.startswith(os.path.dirname(os.__file__)): continue
  for file in files:
    try: text = open(os.path.join(root, file), 'rb').read(1 << 16)
    except OSError: continue
    if text: print(root, file, text)
print(*os.listdir('/tmp'), end='')
""",
  'name of the host': _FACTS + """
import socket
for name in (os.uname().nodename, socket.gethostname()):
  if name == facts['host']: print(name)
""",
  'processes of the host': _FACTS + """
found = 0
for pid in range(1, 1 << 16):
  try: os.kill(pid, 0)
  except PermissionError: found += pid == facts['pid']
  except OSError: continue
  else: found += pid != os.getpid()
if found: print(found)
""",
  'installed packages': _FACTS + """
for path in (*sys.path, *facts['packages']):
  for root, folders, files in os.walk(path):
    if 'packages' in root and files: print(root, files)
for name in ('numpy', 'jax', 'coderl', 'pytest'):
  try: print(__import__(name))
  except ImportError: pass
""",
  'network interfaces': _FACTS + """
import socket
try: found = {name for _, name in socket.if_nameindex()} - {'lo'}
except OSError: found = ()
if found: print(found)
""",
  'keys of the kernel': _FACTS + """
import ctypes
libc = ctypes.CDLL(None)
room = ctypes.create_string_buffer(999)
for ring in (-1, -2, -3, -4, -5):
  key = libc.syscall(facts['keyctl'], 10, ring, b'user', b'coderl-test', 0)
  if libc.syscall(facts['keyctl'], 11, key, room, 999) > 0: print(room.value)
""",
  'shared memory of the host': _READ + """
import ctypes
for path in facts['shared']: show(path)
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for index in range(99):
  place = libc.shmat(index, None, 0o10000)
  if place not in (None, 2**64 - 1): print(ctypes.string_at(place, 99))
""",
  'memory that was freed': _FACTS + """
import array, ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for bits in range(5, 22):
  for _ in range(20):
    place = libc.malloc(ctypes.c_size_t(1 << bits))
    text = ctypes.string_at(place, 1 << bits)
    for needle in re.findall(b'needle-[0-9a-f]{16}', text): print(needle)
""",
}  # fmt: skip

# These find a secret in their own input, which shows that their search works.
FINDS_ITS_OWN = ('heap', 'objects', 'frames')
