"""Finds the files of the host that a program's interpreter needs.

They are the standard library and the shared libraries that its extension
modules load. Everything else of the host's file system stays hidden.
"""

import os
import stat
import sys

# Extension modules of the standard library that load shared libraries.
_LINKED_MODULES = ('bz2', '_hashlib', '_lzma', '_sqlite3', '_uuid', 'zlib')


def library_folders() -> list[str]:
  """Returns the folders of the standard library and its extension modules."""
  library = os.path.dirname(os.__file__)
  outside = [
    path
    for path in sys.path
    if path.endswith('lib-dynload') and not path.startswith(library + '/')
  ]
  return [library, *filter(os.path.isdir, dict.fromkeys(outside))]


def shared_libraries() -> dict[str, str]:
  """Returns path under which the loader looks for a library -> its file.

  Only libraries that this process has not loaded are listed. A child process
  imports the modules that load them, so that this process stays small.
  """
  reader, writer = os.pipe()
  pid = os.fork()
  if not pid:
    for name in _LINKED_MODULES:
      try:
        __import__(name)
      except ImportError:
        continue  # This build of Python lacks the module.
    os.write(writer, '\n'.join(_mapped_libraries()).encode())
    os._exit(0)
  os.close(writer)
  with open(reader) as pipe:
    files = pipe.read().split('\n')
  os.waitpid(pid, 0)
  loaded_here = _mapped_libraries()
  inside = tuple(f'{path}/' for path in library_folders())
  names = {}
  for file in files:
    if file and file not in loaded_here and not file.startswith(inside):
      names |= dict.fromkeys(_names(file), file)
  return names


def _mapped_libraries() -> list[str]:
  with open('/proc/self/maps') as maps:
    lines = [line.split(maxsplit=5) for line in maps]
  return sorted(
    {
      fields[5].rstrip('\n')
      for fields in lines
      if len(fields) > 5 and '.so' in fields[5]
    }
  )


def _names(file: str) -> list[str]:
  """Returns a library and the links to it, as libz.so.1 to libz.so.1.3."""
  folder = os.path.dirname(file)
  with os.scandir(folder) as entries:
    links = [entry.path for entry in entries if entry.is_symlink()]
  return [file, *(link for link in links if os.path.realpath(link) == file)]


def closed_folder() -> str:
  """Returns the first folder above the library that others may not enter.

  Returns '' if there is none. Programs of root run as other users. Without a
  root file system of their own, they cannot import modules from such a folder.
  """
  parts = os.path.dirname(os.__file__).split('/')
  for end in range(2, len(parts) + 1):
    folder = '/'.join(parts[:end])
    if not os.stat(folder).st_mode & stat.S_IXOTH:
      return folder
  return ''
