"""Control groups: limit memory and tasks of all processes of a program.

Each worker lives in a group together with the programs that it runs, so that a
program joins the group without any work. Hierarchies of version 1 and of
version 2 are supported, if memory and pids can be limited in them.
"""

import contextlib
import errno
import os

_CONTROLLERS = ('memory', 'pids')
_PREFIX = 'coderl-'
# What a worker and its supervisor use themselves.
_WORKER_BYTES = 48 << 20
_WORKER_TASKS = 4


class Group:
  """A new control group, for this process to enter.

  Args:
    memory_bytes, tasks: what a program may use in total.

  Raises:
    OSError: in no hierarchy may this user limit both.
  """

  def __init__(self, memory_bytes: int, tasks: int):
    folders = _make_version_2() or _make_version_1()
    self._folders = set(folders.values())
    memory, pids = folders['memory'], folders['pids']
    limit = str(memory_bytes + _WORKER_BYTES)
    if os.path.exists(f'{memory}/memory.max'):
      names = ('memory.max', 'memory.swap.max', 'memory.events')
      swap = '0'
    else:
      names = ('memory.limit_in_bytes', 'memory.memsw.limit_in_bytes')
      names += ('memory.oom_control',)
      swap = limit  # In version 1 this limit is the sum of memory and swap.
    _write(f'{memory}/{names[0]}', limit)
    if os.path.exists(f'{memory}/{names[1]}'):
      _write(f'{memory}/{names[1]}', swap)
    _write(f'{pids}/pids.max', str(tasks + _WORKER_TASKS))
    # The files are opened now, because the worker will not see them later.
    self._counters = {
      'memory': (os.open(f'{memory}/{names[2]}', os.O_RDONLY), b'oom_kill'),
      'process': (os.open(f'{pids}/pids.events', os.O_RDONLY), b'max'),
    }
    self._counts = dict.fromkeys(self._counters, 0)

  def enter(self) -> None:
    """Moves this process, and so all that it will fork, into the group."""
    for folder in self._folders:
      _write(f'{folder}/cgroup.procs', '0')

  def refused(self) -> str:
    """Returns 'memory' or 'process' if it was refused since the last call.

    Returns '' if neither was.
    """
    refused = ''
    for kind, (file, name) in self._counters.items():
      words = os.pread(file, 4096, 0).split()
      count = int(words[words.index(name) + 1])
      if count > self._counts[kind]:
        refused = refused or kind
      self._counts[kind] = count
    return refused

  def remove(self) -> None:
    for folder in self._folders:
      _remove(folder)


def _write(path: str, text: str) -> None:
  with open(path, 'w') as file:
    file.write(text)


def _remove(folder: str) -> None:
  with contextlib.suppress(OSError):  # The group still has processes.
    os.rmdir(folder)


def _hierarchies() -> list[tuple[str, set[str], list[str]]]:
  """Returns (type, options, folders) of each mounted hierarchy.

  The folders are that of this process and those above it, innermost first.
  """
  with open('/proc/self/cgroup') as file:
    groups = [line.rstrip('\n').split(':', 2)[1:] for line in file]
  with open('/proc/self/mountinfo') as file:
    mounts = [line.split(' - ', 1) for line in file]
  hierarchies = []
  for fields, rest in mounts:
    root, mount_point = fields.split()[3:5]
    kind, _, options = rest.split()[:3]
    names = set(options.split(','))
    for controllers, path in groups:
      joined = set(filter(None, controllers.split(',')))
      if kind == ('cgroup' if joined else 'cgroup2') and joined <= names:
        inside = os.path.normpath(f'/{os.path.relpath(path, root)}')
        parts = [part for part in inside.split('/') if part]
        folders = [
          '/'.join([mount_point, *parts[:n]]) for n in range(len(parts) + 1)
        ]
        hierarchies.append((kind, names, folders[::-1]))
  return hierarchies


def _make_folder(parent: str) -> str:
  """Makes a group below a parent, and removes the groups of dead workers."""
  for name in os.listdir(parent):
    pid = name.removeprefix(_PREFIX)
    if name != pid and not os.path.exists(f'/proc/{pid}'):
      _remove(f'{parent}/{name}')
  folder = f'{parent}/{_PREFIX}{os.getpid()}'
  os.mkdir(folder)
  return folder


def _make_version_2() -> dict[str, str]:
  """Makes a group of version 2; returns controller -> its folder.

  Returns an empty dictionary if memory or pids cannot be limited. Only the root
  group may have both processes and child groups. Any other process therefore
  needs a sibling of its group, which it can make where its user owns the parent
  group, as in a login session.
  """
  for kind, _, folders in _hierarchies():
    for parent in folders[:2] if kind == 'cgroup2' else ():
      with contextlib.suppress(OSError):
        if parent == folders[0]:
          enabled = ' '.join(f'+{name}' for name in _CONTROLLERS)
          _write(f'{parent}/cgroup.subtree_control', enabled)
      with contextlib.suppress(OSError):
        folder = _make_folder(parent)
        with open(f'{folder}/cgroup.controllers') as file:
          if {*_CONTROLLERS} <= {*file.read().split()}:
            return dict.fromkeys(_CONTROLLERS, folder)
        _remove(folder)
  return {}


def _make_version_1() -> dict[str, str]:
  """Makes groups of version 1; returns controller -> its folder."""
  made = {}
  for kind, names, folders in _hierarchies():
    joined = [c for c in _CONTROLLERS if kind == 'cgroup' and c in names]
    if joined:
      made |= dict.fromkeys(joined, _make_folder(folders[0]))
  if len(made) < len(_CONTROLLERS):
    raise OSError(errno.ENODEV, 'no hierarchy with memory and pids')
  return made
