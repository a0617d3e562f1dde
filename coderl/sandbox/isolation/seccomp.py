"""seccomp: lists the system calls that a program may make; others are refused.

`assemble` writes the filter as classic BPF, and `enter` installs it. Installing
a filter takes longer than all other layers together. The worker therefore
installs it once, and its programs inherit it, so that the filter also allows
the few calls that the worker makes between programs. The filter finds the
allowed numbers by bisection, because the kernel runs it on all numbers when it
is installed; later the kernel mostly uses its cache.
"""

import ctypes
import errno
import struct

from coderl.sandbox.isolation import syscalls

_MODE_FILTER = 2
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _RETURN = 0x20, 0x06  # BPF_LD|W|ABS, BPF_RET|K
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP|K of JEQ, JGE, JSET
# Offsets in struct seccomp_data.
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16

# Machine -> AUDIT_ARCH of its calling convention, and its column in CALLS.
_MACHINES = {'x86_64': (0xC000003E, 0), 'aarch64': (0xC00000B7, 1)}
_X32 = 0x40000000  # From here on, numbers of the x32 calling convention.

# Call -> its numbers on x86_64 and on aarch64; None if there is none.
CALLS = {
  'access': (21, None), 'alarm': (37, None), 'brk': (12, 214),
  'chdir': (80, 49), 'chmod': (90, None), 'clock_getres': (229, 114),
  'clock_gettime': (228, 113), 'clock_nanosleep': (230, 115),
  'clone': (56, 220), 'close': (3, 57),
  'close_range': (436, 436), 'copy_file_range': (326, 285),
  'creat': (85, None), 'dup': (32, 23), 'dup2': (33, None), 'dup3': (292, 24),
  'epoll_create': (213, None), 'epoll_create1': (291, 20),
  'epoll_ctl': (233, 21), 'epoll_pwait': (281, 22),
  'epoll_pwait2': (441, 441), 'epoll_wait': (232, None),
  'eventfd': (284, None), 'eventfd2': (290, 19), 'exit': (60, 93),
  'exit_group': (231, 94), 'faccessat': (269, 48), 'faccessat2': (439, 439),
  'fadvise64': (221, 223), 'fallocate': (285, 47), 'fchdir': (81, 50),
  'fchmod': (91, 52), 'fchmodat': (268, 53), 'fchmodat2': (452, 452),
  'fcntl': (72, 25), 'fdatasync': (75, 83), 'flock': (73, 32),
  'fork': (57, None), 'fstat': (5, 80), 'fstatfs': (138, 44),
  'fsync': (74, 82), 'ftruncate': (77, 46), 'futex': (202, 98),
  'futex_waitv': (449, 449), 'get_robust_list': (274, 100),
  'getcpu': (309, 168), 'getcwd': (79, 17), 'getdents': (78, None),
  'getdents64': (217, 61), 'getegid': (108, 177), 'geteuid': (107, 175),
  'getgid': (104, 176), 'getgroups': (115, 158), 'getitimer': (36, 102),
  'getpeername': (52, 205), 'getpgid': (121, 155), 'getpgrp': (111, None),
  'getpid': (39, 172), 'getppid': (110, 173), 'getpriority': (140, 141),
  'getrandom': (318, 278), 'getresgid': (120, 150), 'getresuid': (118, 148),
  'getrlimit': (97, 163), 'getrusage': (98, 165), 'getsid': (124, 156),
  'getsockname': (51, 204), 'getsockopt': (55, 209), 'gettid': (186, 178),
  'gettimeofday': (96, 169), 'getuid': (102, 174), 'ioctl': (16, 29),
  'kill': (62, 129), 'link': (86, None), 'linkat': (265, 37),
  'lseek': (8, 62), 'lstat': (6, None), 'madvise': (28, 233),
  'mincore': (27, 232), 'mkdir': (83, None), 'mkdirat': (258, 34),
  'mmap': (9, 222), 'mprotect': (10, 226), 'mremap': (25, 216),
  'msync': (26, 227), 'munmap': (11, 215), 'nanosleep': (35, 101),
  'newfstatat': (262, 79), 'open': (2, None), 'openat': (257, 56),
  'pause': (34, None), 'pipe': (22, None), 'pipe2': (293, 59),
  'poll': (7, None), 'ppoll': (271, 73), 'prctl': (157, 167),
  'pread64': (17, 67), 'preadv': (295, 69), 'prlimit64': (302, 261),
  'pselect6': (270, 72), 'pwrite64': (18, 68), 'pwritev': (296, 70),
  'read': (0, 63), 'readlink': (89, None), 'readlinkat': (267, 78),
  'readv': (19, 65), 'recvfrom': (45, 207), 'recvmsg': (47, 212),
  'rename': (82, None), 'renameat': (264, 38), 'renameat2': (316, 276),
  'restart_syscall': (219, 128), 'rmdir': (84, None), 'rseq': (334, 293),
  'rt_sigaction': (13, 134), 'rt_sigpending': (127, 136),
  'rt_sigprocmask': (14, 135), 'rt_sigreturn': (15, 139),
  'rt_sigsuspend': (130, 133), 'rt_sigtimedwait': (128, 137),
  'sched_get_priority_max': (146, 125), 'sched_get_priority_min': (147, 126),
  'sched_getaffinity': (204, 123), 'sched_getparam': (143, 121),
  'sched_getscheduler': (145, 120), 'sched_yield': (24, 124),
  'select': (23, None), 'sendfile': (40, 71), 'sendmsg': (46, 211),
  'sendto': (44, 206), 'set_robust_list': (273, 99),
  'set_tid_address': (218, 96), 'setitimer': (38, 103), 'setpgid': (109, 154),
  'setsid': (112, 157), 'shutdown': (48, 210),
  'sigaltstack': (131, 132), 'socketpair': (53, 199), 'stat': (4, None),
  'statfs': (137, 43), 'statx': (332, 291), 'symlink': (88, None),
  'symlinkat': (266, 36), 'sysinfo': (99, 179), 'tgkill': (234, 131),
  'time': (201, None), 'times': (100, 153), 'truncate': (76, 45),
  'umask': (95, 166), 'uname': (63, 160), 'unlink': (87, None),
  'unlinkat': (263, 35), 'utime': (132, None), 'utimensat': (280, 88),
  'utimes': (235, None), 'wait4': (61, 260), 'waitid': (247, 95),
  'write': (1, 64), 'writev': (20, 66),
}  # fmt: skip
# The calls that a worker makes between programs. A program has no capabilities,
# so that the kernel refuses it all of them but the last four, which give a
# program no further rights.
WORKER_CALLS = {
  'capset': (126, 91), 'mount': (165, 40), 'setgroups': (116, 159),
  'setns': (308, 268), 'setresgid': (119, 149), 'setresuid': (117, 147),
  'umount2': (166, 39), 'unshare': (272, 97), 'pidfd_open': (434, 434),
  'landlock_create_ruleset': (444, 444), 'landlock_add_rule': (445, 445),
  'landlock_restrict_self': (446, 446),
}  # fmt: skip
# Calls that are refused with another error than EPERM, which callers would take
# for a failure instead of a missing feature.
REFUSED_AS = {
  # The filter cannot read its flags, which are in memory. The C library uses
  # clone instead.
  'clone3': ((435, 435), errno.ENOSYS),
  'setxattr': ((188, 5), errno.ENOTSUP),
  'lsetxattr': ((189, 6), errno.ENOTSUP),
  'fsetxattr': ((190, 7), errno.ENOTSUP),
  'getxattr': ((191, 8), errno.ENOTSUP),
  'lgetxattr': ((192, 9), errno.ENOTSUP),
  'fgetxattr': ((193, 10), errno.ENOTSUP),
  'listxattr': ((194, 11), errno.ENOTSUP),
  'llistxattr': ((195, 12), errno.ENOTSUP),
  'flistxattr': ((196, 13), errno.ENOTSUP),
}
# Flags of clone for new namespaces, and for being traced.
_CLONE_DENIED = 0x7E020000 | 0x02000000 | 0x80 | 0x00802000
_CLONE_THREAD = 0x10000
_STREAM, _SEQPACKET, _SOCKET_FLAGS = 1, 5, (0, 0x800, 0x80000, 0x80800)
# Call -> index of an argument -> its allowed values, all 32 bits wide.
_ARGUMENTS = {
  # TCGETS, TIOCGWINSZ; FIONCLEX, FIOCLEX, FIONBIO, FIONREAD.
  'ioctl': {1: (0x5401, 0x5413, 0x5450, 0x5451, 0x5421, 0x541B)},
  # All commands but those on owners, signals, leases and notifications.
  'fcntl': {1: (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1033, 1034)},
  # Names of threads and of mappings; PR_SET_PDEATHSIG, PR_SET_DUMPABLE and
  # PR_SET_NO_NEW_PRIVS.
  'prctl': {0: (15, 16, 0x53564D41, 1, 4, 38)},
  # Only limits of the process itself. It cannot raise hard limits.
  'prlimit64': {0: (0,)},
  'socketpair': {
    0: (1,),  # AF_UNIX
    # A datagram socket could send to any socket of the host that has a path.
    1: tuple(
      kind | flags for kind in (_STREAM, _SEQPACKET) for flags in _SOCKET_FLAGS
    ),
  },
  'unshare': {0: (syscalls.NEWPID,)},
}
_SIGNALS = ('kill', 'tgkill')


def assemble(machine: str, *, signals: bool, forks: bool) -> bytes:
  """Returns the filter program for a machine.

  Args:
    machine: as in os.uname().machine.
    signals: whether programs may send signals. This is safe if they see only
      their own processes.
    forks: whether programs may start processes. This is safe if the kernel
      limits their number.

  Raises:
    OSError: there is no table of system calls for the machine.
  """
  if machine not in _MACHINES:
    raise OSError(errno.ENOSYS, f'no table of system calls for {machine}')
  arch, column = _MACHINES[machine]
  denied = () if signals else _SIGNALS
  denied += () if forks else ('fork',)
  actions = {
    numbers[column]: _action(name, forks)
    for name, numbers in (CALLS | WORKER_CALLS).items()
    if numbers[column] is not None and name not in denied
  }
  for numbers, error in REFUSED_AS.values():
    actions[numbers[column]] = (_refuse(error),)
  return b''.join(
    [
      _step(_LOAD, _ARCH),
      _step(_EQUAL, arch, skip_if=1),
      _step(_RETURN, _KILL),
      _step(_LOAD, _NUMBER),
      _step(_AT_LEAST, _X32, skip_else=1),
      _step(_RETURN, _KILL),
      *_bisect(_ranges(actions)),
    ]
  )


def enter(program: bytes) -> None:
  """Installs a filter permanently; no_new_privs must be set."""
  steps = ctypes.create_string_buffer(program, len(program))
  length = len(program) // 8
  header = struct.pack('HxxxxxxP', length, ctypes.addressof(steps))
  header = ctypes.create_string_buffer(header, len(header))
  address = ctypes.addressof(header)
  syscalls.prctl(syscalls.PR_SET_SECCOMP, _MODE_FILTER, address)


def _step(code: int, value: int, skip_if: int = 0, skip_else: int = 0) -> bytes:
  return struct.pack('HBBI', code, skip_if, skip_else, value)


def _refuse(error: int = errno.EPERM) -> bytes:
  return _step(_RETURN, _ERRNO | error)


def _action(name: str, forks: bool) -> tuple[bytes, ...]:
  """Returns the steps that check the arguments of a call, and allow it."""
  allow = _step(_RETURN, _ALLOW)
  if name == 'clone':
    denied = _step(_ANY_BIT, _CLONE_DENIED, skip_else=1)
    thread = _step(_ANY_BIT, _CLONE_THREAD, skip_if=1)
    threads = () if forks else (thread, _refuse())
    return _load(0), denied, _refuse(), *threads, allow
  refusal = _refuse(errno.ENOTTY if name == 'ioctl' else errno.EPERM)
  steps = []
  for index, values in _ARGUMENTS.get(name, {}).items():
    steps.append(_load(index))
    for position, value in enumerate(values):
      steps.append(_step(_EQUAL, value, skip_if=len(values) - position))
    steps.append(refusal)
  return *steps, allow


def _load(argument: int) -> bytes:
  """Loads the low half of an argument; both machines are little-endian."""
  return _step(_LOAD, _FIRST_ARGUMENT + 8 * argument)


def _ranges(actions: dict[int, tuple]) -> list[tuple[int, tuple[bytes, ...]]]:
  """Returns (first number, action) of consecutive ranges of call numbers.

  Numbers without an action are refused. Neighbours of equal action are one
  range.
  """
  ranges = []
  for number in range(max(actions) + 2):
    action = actions.get(number, (_refuse(),))
    if not ranges or ranges[-1][1] != action:
      ranges.append((number, action))
  return ranges


def _bisect(ranges: list) -> list[bytes]:
  """Returns the steps that find the range of the loaded number and act."""
  if len(ranges) == 1:
    return list(ranges[0][1])
  middle = len(ranges) // 2
  low, high = _bisect(ranges[:middle]), _bisect(ranges[middle:])
  if len(low) < 256:
    return [_step(_AT_LEAST, ranges[middle][0], skip_if=len(low)), *low, *high]
  # A conditional jump goes at most 255 steps, BPF_JMP|JA any distance.
  jump = _step(0x05, len(low))
  first = _step(_AT_LEAST, ranges[middle][0], skip_else=1)
  return [first, jump, *low, *high]
