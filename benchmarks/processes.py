"""What processes use and leave behind, as the kernel tells it in /proc."""

import os
import pathlib
import resource

_PROC = pathlib.Path('/proc')
_TICKS_PER_S = os.sysconf('SC_CLK_TCK')


def _stats() -> dict[int, list[str]]:
  """Process -> the fields of its `stat` file from the state on."""
  stats = {}
  for path in _PROC.glob('[0-9]*/stat'):
    try:
      text = path.read_text()
    except (FileNotFoundError, ProcessLookupError):
      continue  # It has ended since.
    stats[int(path.parent.name)] = text.rpartition(')')[2].split()
  return stats


def _below(stats: dict[int, list[str]]) -> set[int]:
  """The descendants of this process; zombies are among them."""
  found, size = {os.getpid()}, 0
  while size != len(found):
    size = len(found)
    found |= {pid for pid, fields in stats.items() if int(fields[1]) in found}
  return found - {os.getpid()}


def descendants() -> set[int]:
  return _below(_stats())


def cpu_s() -> float:
  """Processor time of this process and of all descendants, ended or not."""
  ended = resource.getrusage(resource.RUSAGE_CHILDREN)
  own = resource.getrusage(resource.RUSAGE_SELF)
  stats = _stats()
  # User and system time of a process, and of the children it waited for.
  ticks = [sum(map(int, stats[pid][11:15])) for pid in _below(stats)]
  return sum(ticks) / _TICKS_PER_S + sum(
    usage.ru_utime + usage.ru_stime for usage in (own, ended)
  )


def rss_mb() -> float:
  """Resident memory of this process."""
  pages = int((_PROC / 'self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def descriptors() -> dict[int, int | None]:
  """Process -> its open files, of this one and its descendants.

  None where the kernel keeps them from an ordinary user.
  """
  return {pid: _open_files(pid) for pid in {os.getpid(), *descendants()}}


def _open_files(pid: int) -> int | None:
  try:
    return len(os.listdir(_PROC / str(pid) / 'fd'))
  except PermissionError:
    return None
