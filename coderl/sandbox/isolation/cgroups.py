"""Control groups: memory and tasks of all that a program starts, together.

A worker lives in a group of its own with the programs that it runs, so that a
program joins at no cost. Hierarchies of version 1 and 2 will do, where memory
and pids can be limited in them.
"""

import contextlib
import errno
import os

_CONTROLLERS = ('memory', 'pids')
_PREFIX = 'coderl-'
# What a worker and its keeper hold, beside a program.
_OWN_BYTES = 48 << 20
_OWN_TASKS = 4


class Group:
  """A group of this process, made anew.

  memory_bytes, tasks: what a program may have in all.

  Raises: OSError where no hierarchy lets this user limit both.
  """

  def __init__(self, memory_bytes: int, tasks: int):
    folders = _version_2() or _version_1()
    self._folders = set(folders.values())
    memory, pids = folders['memory'], folders['pids']
    limit = str(memory_bytes + _OWN_BYTES)
    if os.path.exists(f'{memory}/memory.max'):
      names = ('memory.max', 'memory.swap.max', 'memory.events')
      swap = '0'
    else:
      names = ('memory.limit_in_bytes', 'memory.memsw.limit_in_bytes')
      names += ('memory.oom_control',)
      swap = limit  # Counts memory as well.
    _write(f'{memory}/{names[0]}', limit)
    if os.path.exists(f'{memory}/{names[1]}'):
      _write(f'{memory}/{names[1]}', swap)
    _write(f'{pids}/pids.max', str(tasks + _OWN_TASKS))
    # Open, for the worker will not see the files themselves.
    self._counters = {
      'memory': (os.open(f'{memory}/{names[2]}', os.O_RDONLY), b'oom_kill'),
      'process': (os.open(f'{pids}/pids.events', os.O_RDONLY), b'max'),
    }
    self._counts = dict.fromkeys(self._counters, 0)

  def enter(self) -> None:
    """Moves this process into the group; what it forks will be there."""
    for folder in self._folders:
      _write(f'{folder}/cgroup.procs', '0')

  def refused(self) -> str:
    """'memory' or 'process' where that was refused since last asked, or ''."""
    found = ''
    for kind, (file, name) in self._counters.items():
      words = os.pread(file, 4096, 0).split()
      count = int(words[words.index(name) + 1])
      if count > self._counts[kind]:
        found = found or kind
      self._counts[kind] = count
    return found

  def remove(self) -> None:
    for folder in self._folders:
      _remove(folder)


def _write(path: str, text: str) -> None:
  with open(path, 'w') as file:
    file.write(text)


def _remove(folder: str) -> None:
  with contextlib.suppress(OSError):  # Somebody is in it.
    os.rmdir(folder)


def _mounted() -> list[tuple[str, set[str], list[str]]]:
  """(type, options, this process's folder and those above) by hierarchy."""
  with open('/proc/self/cgroup') as file:
    own = [line.rstrip('\n').split(':', 2)[1:] for line in file]
  with open('/proc/self/mountinfo') as file:
    mounts = [line.split(' - ', 1) for line in file]
  found = []
  for fields, rest in mounts:
    root, point = fields.split()[3:5]
    kind, _, options = rest.split()[:3]
    names = set(options.split(','))
    for controllers, path in own:
      joined = set(filter(None, controllers.split(',')))
      if kind == ('cgroup' if joined else 'cgroup2') and joined <= names:
        inside = os.path.normpath(f'/{os.path.relpath(path, root)}')
        parts = [part for part in inside.split('/') if part]
        folders = ['/'.join([point, *parts[:n]]) for n in range(len(parts) + 1)]
        found.append((kind, names, folders[::-1]))
  return found


def _make(parent: str) -> str:
  """A folder for a group below a parent, and those of dead workers gone."""
  for name in os.listdir(parent):
    pid = name.removeprefix(_PREFIX)
    if name != pid and not os.path.exists(f'/proc/{pid}'):
      _remove(f'{parent}/{name}')
  folder = f'{parent}/{_PREFIX}{os.getpid()}'
  os.mkdir(folder)
  return folder


def _version_2() -> dict[str, str]:
  """The group in the one hierarchy; empty where memory or pids are missing.

  A process's own group cannot be divided, but for the root; beside it there
  is room where the user owns the group above, as in a login session.
  """
  for kind, _, folders in _mounted():
    for parent in folders[:2] if kind == 'cgroup2' else ():
      with contextlib.suppress(OSError):
        if parent == folders[0]:
          asked = ' '.join(f'+{name}' for name in _CONTROLLERS)
          _write(f'{parent}/cgroup.subtree_control', asked)
      with contextlib.suppress(OSError):
        folder = _make(parent)
        with open(f'{folder}/cgroup.controllers') as file:
          if {*_CONTROLLERS} <= {*file.read().split()}:
            return dict.fromkeys(_CONTROLLERS, folder)
        _remove(folder)
  return {}


def _version_1() -> dict[str, str]:
  found = {}
  for kind, names, folders in _mounted():
    joined = [c for c in _CONTROLLERS if kind == 'cgroup' and c in names]
    if joined:
      found |= dict.fromkeys(joined, _make(folders[0]))
  if len(found) < len(_CONTROLLERS):
    raise OSError(errno.ENODEV, 'no hierarchy with memory and pids')
  return found
