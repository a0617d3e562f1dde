"""What an interpreter needs of the host's files, to be shown to programs."""

import os
import stat
import sys

# Extension modules of the standard library that load libraries of the host.
_LINKED = ('bz2', '_hashlib', '_lzma', '_sqlite3', '_uuid', 'zlib')


def standard() -> list[str]:
  """Directories of the standard library and of its extension modules."""
  library = os.path.dirname(os.__file__)
  outside = [
    path
    for path in sys.path
    if path.endswith('lib-dynload') and not path.startswith(library + '/')
  ]
  return [library, *filter(os.path.isdir, dict.fromkeys(outside))]


def shared() -> dict[str, str]:
  """Names under which the loader looks for libraries -> the files they are.

  They are those that modules of the standard library load and this process has
  not loaded: a child of it does, so that this process stays small.
  """
  reader, writer = os.pipe()
  pid = os.fork()
  if not pid:
    for name in _LINKED:
      try:
        __import__(name)
      except ImportError:
        continue  # This build lacks it.
    os.write(writer, '\n'.join(_mapped()).encode())
    os._exit(0)
  os.close(writer)
  with open(reader) as pipe:
    files = pipe.read().split('\n')
  os.waitpid(pid, 0)
  own = _mapped()
  inside = tuple(f'{path}/' for path in standard())
  names = {}
  for file in files:
    if file and file not in own and not file.startswith(inside):
      names |= dict.fromkeys(_names(file), file)
  return names


def _mapped() -> list[str]:
  with open('/proc/self/maps') as maps:
    words = [line.split(maxsplit=5) for line in maps]
  return sorted(
    {w[5].rstrip('\n') for w in words if len(w) > 5 and '.so' in w[5]}
  )


def _names(file: str) -> list[str]:
  """The file and the links to it beside it: 'libz.so.1' of 'libz.so.1.3'."""
  folder = os.path.dirname(file)
  with os.scandir(folder) as entries:
    links = [entry.path for entry in entries if entry.is_symlink()]
  return [file, *(link for link in links if os.path.realpath(link) == file)]


def closed_folder() -> str:
  """The first folder above the library that other users cannot enter, or ''.

  Root's programs, which are other users, then import nothing that is not
  loaded, unless they have a root of their own.
  """
  parts = os.path.dirname(os.__file__).split('/')
  for end in range(2, len(parts) + 1):
    folder = '/'.join(parts[:end])
    if not os.stat(folder).st_mode & stat.S_IXOTH:
      return folder
  return ''
