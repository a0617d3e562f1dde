"""Programs that try to act on the host or to gain rights.

Each prints 'refused' if the kernel refuses all that it tries. Their input is
JSON with facts of the host: process numbers, paths, and addresses of services.
"""

import os

_X86, _ARM = range(2)
_COLUMN = {'x86_64': _X86, 'aarch64': _ARM}.get(os.uname().machine)
# System call -> its numbers on x86_64 and on aarch64, and its arguments.
_CALLS = {
  'acct': (163, 89, 'b"/tmp/f"'),
  'add_key': (248, 217, 'b"user", b"k", b"v", 1, -4'),
  'bpf': (321, 280, '5, bytes(64), 64'),
  'capset': (126, 91, 'pack("Ii", 0x20080522, 0), pack("6I", *[2**32 - 1]*6)'),
  'chroot': (161, 51, 'b"/tmp"'),
  'clock_settime': (227, 112, '0, bytes(16)'),
  'clone of a user': (56, 220, '0x10000011, None, None, None, None'),
  'delete_module': (176, 106, 'b"none", 0'),
  'execve': (59, 221, 'b"/tmp/f", None, None'),
  'execveat': (322, 281, '1, b"", None, None, 0x1000'),
  'fanotify_init': (300, 262, '0, 0'),
  'finit_module': (313, 273, '0, b"", 0'),
  'fsopen': (430, 430, 'b"tmpfs", 0'),
  'init_module': (175, 105, 'bytes(64), 64, b""'),
  'inotify_init1': (294, 26, '0'),
  'io_setup': (206, 0, '8, bytes(8)'),
  'io_uring_setup': (425, 425, '8, bytes(120)'),
  'ioperm': (173, None, '0x70, 1, 1'),
  'iopl': (172, None, '3'),
  'kcmp': (312, 272, '1, 1, 0, 0, 0'),
  'kexec_load': (246, 104, '0, 0, None, 0'),
  'keyctl': (250, 219, '0, -4, 1'),
  'memfd_create': (319, 279, 'b"m", 0'),
  'mknodat': (259, 33, '-100, b"/tmp/n", 0o60666, 0x801'),
  'modify_ldt': (154, None, '1, bytes(16), 16'),
  'mount': (165, 40, 'b"none", b"/tmp", b"tmpfs", 0, None'),
  'mount_setattr': (442, 442, '-100, b"/", 0, bytes(32), 32'),
  'move_mount': (429, 429, '-100, b"/tmp", -100, b"/", 0'),
  'mq_open': (240, 180, 'b"q", 0o102, 0o600, None'),
  'msgget': (68, 186, '0, 0o1600'),
  'name_to_handle_at': (303, 264, '-100, b"/", bytes(200), bytes(4), 0'),
  'open_by_handle_at': (304, 265, '-100, bytes(200), 0'),
  'open_tree': (428, 428, '-100, b"/", 1'),
  'perf_event_open': (298, 241, 'pack("II104x", 1, 112), 0, -1, -1, 0'),
  'personality': (135, 92, '0x0040000'),
  'pidfd_getfd': (438, 438, '0, 0, 0'),
  'pidfd_send_signal': (424, 424, '0, 0, None, 0'),
  'pivot_root': (155, 41, 'b"/tmp", b"/tmp"'),
  'prctl: no filter': (157, 167, '22, 0, 0, 0, 0'),
  'prctl: traced by all': (157, 167, '0x59616d61, -1, 0, 0, 0'),
  'process_madvise': (440, 440, '0, None, 0, 4, 0'),
  'process_vm_readv': (310, 270, '1, None, 0, None, 0, 0'),
  'process_vm_writev': (311, 271, '1, None, 0, None, 0, 0'),
  'ptrace': (101, 117, '16, 1, None, None'),
  'quotactl': (179, 60, '0, None, 0, None'),
  'reboot': (169, 142, '0xfee1dead, 672274793, 0, None'),
  'request_key': (249, 218, 'b"user", b"k", None, -4'),
  'seccomp': (317, 277, '1, 0, None'),
  'semget': (64, 190, '0, 9, 0o1600'),
  'sethostname': (170, 161, 'b"x", 1'),
  'setgroups': (116, 159, '0, None'),
  'setns': (308, 268, 'libc.syscall(434, libc.getpid(), 0), 0x20000'),
  'setuid': (105, 146, '0'),
  'shmget': (29, 194, '0, 4096, 0o1600'),
  'socket': (41, 198, '2, 1, 0'),
  'socket of the kernel': (41, 198, '16, 3, 0'),
  'socket of this host': (41, 198, '1, 1, 0'),
  'socket of the machine': (41, 198, '40, 1, 0'),
  'socket that is raw': (41, 198, '17, 3, 0x300'),
  'socketpair of networks': (53, 199, '2, 1, 0, bytes(8)'),
  'swapon': (167, 224, 'b"/tmp/f", 0'),
  'syslog': (103, 116, '3, bytes(64), 64'),
  'umount2': (166, 39, 'b"/tmp", 2'),
  'unshare of a user': (272, 97, '0x10000000'),
  'unshare of mounts': (272, 97, '0x20000'),
  'userfaultfd': (323, 282, '0'),
  'vhangup': (153, 58, ''),
}  # fmt: skip
_CALL = """
import ctypes, errno
from struct import pack
refusals = errno.EPERM, errno.EACCES, errno.ENOSYS
libc = ctypes.CDLL(None, use_errno=True)
open('/tmp/f', 'w').close()
def call(*args):
  if libc.syscall(*args) >= 0: return 'done'
  error = ctypes.get_errno()
  return 'refused' if error in refusals else errno.errorcode[error]
"""


def _raw_calls() -> dict[str, str]:
  """Returns programs that make one call each, which no program needs."""
  if _COLUMN is None:
    return {}
  return {
    name: f'{_CALL}print(call({row[_COLUMN]}, {row[-1]}))'
    for name, row in _CALLS.items()
    if row[_COLUMN] is not None
  }


CALLS = _raw_calls()

_FACTS = """
import json, os, socket
facts = json.loads(input())
done = []
def attempt(function, *args):
  try: function(*args)
  except (OSError, ValueError) as error: return
  done.append((function.__name__, args))
"""
_TOLD = '\nprint(*done or ["refused"], flush=True)\n'

PROGRAMS = {
  'writes outside scratch': _FACTS + """
for path in (*facts['writable'], '/', '/dev', '/lib', '/usr', '/proc',
             os.path.dirname(os.__file__)):
  attempt(os.mkdir, path + '/escaped')
  attempt(open, path + '/escaped', 'w')
  attempt(os.symlink, '/', path + '/escaped')
""" + _TOLD,
  'writes into the library': _FACTS + """
for path in (os.__file__, json.__file__):
  for function in (os.unlink, os.truncate, os.chmod, os.utime):
    args = {os.truncate: (0,), os.chmod: (0o777,), os.utime: ((1, 1),)}
    attempt(function, path, *args.get(function, ()))
  attempt(os.rename, path, '/tmp/f')
  attempt(os.link, path, '/tmp/f')
""" + _TOLD,
  'links out of scratch': _FACTS + """
for index, path in enumerate((*facts['secrets'], '/etc/passwd', '/proc/1/mem')):
  os.symlink(path, f'/tmp/{index}')
  attempt(open, f'/tmp/{index}')
  attempt(os.link, path, f'/tmp/hard{index}')
os.symlink('/', '/tmp/root')
attempt(open, '/tmp/root/etc/passwd')
""" + _TOLD,
  'makes what is no file': _FACTS + """
import stat
attempt(os.mkfifo, '/tmp/fifo')
for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
  attempt(os.mknod, f'/tmp/{kind}', kind | 0o666, os.makedev(1, 1))
""" + _TOLD,
  'connects over TCP': _FACTS + """
for family, host in ((2, '127.0.0.1'), (2, '0.0.0.0'), (10, '::1')):
  def connect():
    with socket.socket(family) as client:
      client.settimeout(0.2)
      client.connect((host, facts['tcp']))
  attempt(connect)
""" + _TOLD,
  'sends over UDP': _FACTS + """
def send():
  with socket.socket(2, socket.SOCK_DGRAM) as client:
    client.sendto(b'escaped', ('127.0.0.1', facts['udp']))
attempt(send)
""" + _TOLD,
  'connects to sockets of the host': _FACTS + """
def connect(address, kind):
  with socket.socket(socket.AF_UNIX, kind) as client: client.connect(address)
for path in facts['unix']: attempt(connect, path, socket.SOCK_STREAM)
for path in facts['datagrams']: attempt(connect, path, socket.SOCK_DGRAM)
""" + _TOLD,
  'sends from a pair to sockets of the host': _FACTS + """
def send(address):
  one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
  one.sendto(b'escaped', address)
for path in facts['datagrams']: attempt(send, path)
""" + _TOLD,
  'kills the host': _FACTS + """
import signal
for pid in (facts['pid'], facts['parent'], *facts['workers'], os.getppid()):
  if pid not in (0, os.getpid()):
    attempt(os.kill, pid, signal.SIGUSR1)
    attempt(os.kill, pid, signal.SIGKILL)
    attempt(os.killpg, abs(pid), signal.SIGKILL)
""" + _TOLD,
  'kills all that it can see': _FACTS + """
import signal
for pid in (-1, 0, 1, 2, 3):
  try: os.kill(pid, signal.SIGKILL)
  except OSError: pass
print('refused', flush=True)
""",
  'slows others down': _FACTS + """
for pid in {*range(2, 99), facts['pid'], *facts['workers']} - {os.getpid()}:
  attempt(os.sched_setaffinity, pid, [0])
  attempt(os.setpriority, os.PRIO_PROCESS, pid, 19)
  attempt(os.sched_setscheduler, pid, 5, os.sched_param(0))
""" + _TOLD,
  'limits others': _FACTS + """
import resource
for pid in (facts['pid'], *facts['workers'], os.getppid() or facts['parent']):
  attempt(resource.prlimit, pid, resource.RLIMIT_NOFILE, (0, 0))
""" + _TOLD,
  'raises its limits': _FACTS + """
import resource
for name in dir(resource):
  kind = getattr(resource, name)
  if name.startswith('RLIMIT_'):
    soft, hard = resource.getrlimit(kind)
    if hard >= 0:
      for more in (hard + 1, 2 * hard + 1, resource.RLIM_INFINITY):
        attempt(resource.setrlimit, kind, (soft, more))
        attempt(resource.prlimit, 0, kind, (soft, more))
""" + _TOLD,
  'becomes another user': _FACTS + """
for user in (0, 1, 65534, os.getuid() + 1, os.getuid() - 1):
  if user != os.getuid():
    for function in (os.setuid, os.seteuid, os.setgid, os.setegid):
      attempt(function, user)
    attempt(os.setreuid, -1, user)
    attempt(os.setgroups, [user])
""" + _TOLD,
  'runs a script': _FACTS + """
import subprocess, sys
with open('/tmp/x', 'w') as file: file.write('#!/bin/sh\\necho escaped')
os.chmod('/tmp/x', 0o755)
for path in ('/tmp/x', '/bin/sh', sys.executable, facts['python']):
  attempt(subprocess.run, [path])
  attempt(os.execv, path, [path])
  attempt(os.posix_spawn, path, [path], {})
""" + _TOLD,
  'runs a binary': _FACTS + """
import struct, subprocess
# Writes 'escaped' and leaves, on x86_64.
code = bytes.fromhex('b801000000bf01000000488d3510000000ba08000000'
                     '0f05b83c00000031ff0f05') + b'escaped\\n'
head = struct.pack(
  '<16sHHIQQQIHHHHHH', b'\\x7fELF\\2\\1\\1', 2, 62, 1, 0x400078, 64, 0, 0, 64,
  56, 1, 64, 0, 0
)
size = 120 + len(code)
part = struct.pack('<IIQQQQQQ', 1, 5, 0, 0x400000, 0x400000, size, size, 4096)
with open('/tmp/x', 'wb') as file: file.write(head + part + code)
os.chmod('/tmp/x', 0o755)
attempt(subprocess.run, ['/tmp/x'])
attempt(os.execv, '/tmp/x', ['x'])
attempt(os.execve, os.open('/tmp/x', os.O_RDONLY), ['x'], {})
""" + _TOLD,
  'runs what is in memory': _FACTS + """
import ctypes, shutil
def run():
  descriptor = os.memfd_create('x', 0)
  os.write(descriptor, b'#!/bin/sh\\necho escaped')
  os.execve(descriptor, ['x'], {})
attempt(run)
try:
  if ctypes.CDLL(None).execl(b'/tmp/x', b'x', None) != -1: done.append('exec')
except AttributeError: pass
""" + _TOLD,
  'steals through its sockets': _FACTS + """
import ctypes, struct
libc = ctypes.CDLL(None)
def steal():
  link = socket.socket(fileno=os.dup(1001))
  told = struct.unpack('i', link.getsockopt(1, 77, 4))
  found = [libc.syscall(438, *told, number, 0) for number in range(99)]
  killed = libc.syscall(424, *told, 9, None, 0)
  if max(found) >= 0 or not killed: return
  raise OSError
attempt(steal)
""" + _TOLD,
  'passes its descriptors to the worker': _FACTS + """
try:
  link = socket.socket(fileno=os.dup(1001))
  link.setblocking(False)
  while True: socket.send_fds(link, [b''], [0, 1, 2, 1000, 1001])
except OSError: print('refused', flush=True)
try: link.setblocking(True)
except NameError: pass
""",
  'filters its sockets': _FACTS + """
import ctypes, struct
code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 99), 8)
program = struct.pack('HxxxxxxP', 1, ctypes.addressof(code))
one, other = socket.socketpair()
attempt(one.setsockopt, socket.SOL_SOCKET, 26, program)
""" + _TOLD,
  'listens on its sockets': _FACTS + """
def listen(family, address):
  with socket.socket(family) as server:
    server.bind(address)
    server.listen()
attempt(listen, socket.AF_UNIX, '/tmp/s')
""" + _TOLD,
}  # fmt: skip

# The programs that need no scratch directory.
WITHOUT_NAMESPACES = (
  'writes outside scratch',
  'writes into the library',
  'connects over TCP',
  'sends over UDP',
  'connects to sockets of the host',
  'sends from a pair to sockets of the host',
  'kills the host',
  'limits others',
)

# Tries to make the scratch directory useless for other programs.
SCRATCH = """
import os
for function, *args in (
  (os.chmod, 0), (os.utime, (1, 1)), (os.setxattr, 'user.a', b'a'),
  (os.chown, os.getuid(), os.getgid()), (os.rmdir,), (os.rename, '/x'),
):
  try: function('/tmp', *args)
  except OSError: pass
"""

# Machine code that makes calls in other calling conventions. The call is
# getpid, which is harmless.
FOREIGN = {
  # mov eax, 20; int 0x80; ret
  'as i386 does': 'b814000000cd80c3',
  # mov eax, 39 | 0x40000000; syscall; ret
  'as x32 does': 'b8270000400f05c3',
}
FOREIGN_PROGRAM = """
import ctypes, mmap
room = mmap.mmap(-1, 4096, prot=7)
room.write(bytes.fromhex({code!r}))
place = ctypes.addressof(ctypes.c_char.from_buffer(room))
print('begun', flush=True)
print('done' if ctypes.CFUNCTYPE(ctypes.c_int)(place)() > 0 else 'refused')
"""
