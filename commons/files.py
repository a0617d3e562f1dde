"""Files that are complete or absent, and locks between processes.

A file is written aside, then renamed.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import tempfile


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a path to write; a clean exit renames it to `path`.

  A process that dies while it writes leaves `path` as it was. An exception in
  the body removes the unfinished file. The unfinished file lies in the folder
  of `path`, so that the rename stays on one file system and is atomic.

  Args:
    path: the file to create or to replace; its folder must exist.

  Raises:
    OSError: the folder cannot be written, or the disk is full.
  """
  path = pathlib.Path(path)
  descriptor, name = tempfile.mkstemp(
    prefix=f'.{path.name}.', suffix='.unfinished', dir=path.parent
  )
  os.close(descriptor)
  unfinished = pathlib.Path(name)
  try:
    yield unfinished
    # mkstemp makes files private; a result has the mode of any other file.
    unfinished.chmod(0o666 & ~_umask())
    unfinished.replace(path)
  except BaseException:
    unfinished.unlink(missing_ok=True)
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes UTF-8 text to `path`, whole or not at all; see `replacing`."""
  with replacing(path) as unfinished:
    unfinished.write_text(text, encoding='utf-8')


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
  """Holds an exclusive lock on the file `path` while the body runs.

  Waits until no other process or thread holds it. The kernel releases the lock
  of a process that dies. The file is created and stays; its folder must exist.

  Raises:
    OSError: the file cannot be created, or its file system has no locks.
  """
  with open(path, 'w', encoding='utf-8') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _umask() -> int:
  """Returns the process's umask, which can only be read by setting it."""
  mask = os.umask(0)
  os.umask(mask)
  return mask
