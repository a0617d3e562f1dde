"""A person's test and the file that their answers are kept in.

  WORKDIR/manifest.json  which test it is
  WORKDIR/NAME.jsonl     a records.Reply a line, in the order of the test

A line is on the disk before `keep` returns, and is written once: the answers
that are there are the test's first ones. Half a line, which a killed process
may leave, was never an answer and is taken away.
"""

from collections.abc import Mapping, Sequence
import errno
import fcntl
import os
import pathlib
import threading
from typing import Any

from commons import errors
from wm_abench.core import run_files
from wm_abench.people import test_plan


class NotAskedError(Exception):
  """An answer to what is not, or no longer, asked."""


class Sitting:
  """A person's test, with the file that their answers are kept in.

  Args:
    folder: the workdir.
    name: the person's.
    trials: the test.
    settings: what it was made by, for the manifest.

  Raises:
    UserError: the workdir cannot be written, is of another test, or another
      process serves it.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    name: str,
    trials: Sequence[test_plan.Trial],
    settings: Mapping[str, Any],
  ):
    digest = test_plan.digest(trials)
    self.path = folder / f'{name}.jsonl'
    self.pictures = {
      pathlib.Path(path).name: pathlib.Path(path)
      for t in trials
      for path in test_plan.pictures(t)
    }
    self._name, self._trials, self._id = name, trials, digest[:16]
    self._lock = threading.Lock()
    try:
      folder.mkdir(parents=True, exist_ok=True)
      wanted = {**settings, 'name': name, 'data': digest}
      run_files.keep(folder, wanted, 'a test')
      self._file = self.path.open('ab+', buffering=0)
    except OSError as e:
      raise errors.UserError(
        f'workdir {str(folder)!r} cannot be written: {e.strerror}'
      ) from e
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      self._answered = self._take_up()
    except BlockingIOError as e:
      self._file.close()
      raise errors.UserError(
        f'{str(self.path)!r} is in use: another process serves this test'
      ) from e
    except BaseException:
      self._file.close()
      raise

  def _take_up(self) -> int:
    """How many answers there are."""
    self._file.seek(0)
    data = self._file.read()
    try:
      replies = test_plan.from_lines(data)
    except ValueError as e:
      raise errors.UserError(f'{str(self.path)!r}, {e}') from e
    asked = [(t.question.name, t.order) for t in self._trials]
    found = [(r.item, r.order) for r in replies]
    if found != asked[: len(found)]:
      raise errors.UserError(f'{str(self.path)!r} holds answers to other items')
    self._file.truncate(data.rfind(b'\n') + 1)
    return len(replies)

  def described(self) -> str:
    """One line."""
    done, of = self._answered, len(self._trials)
    return f'{done} of {of} items are answered, in {self.path}'

  def state(self) -> dict[str, Any]:
    """What the page is to show."""
    with self._lock:
      done = self._answered
    now, coming = self._trials[done : done + 1], self._trials[done + 1 :][:1]
    return {
      'test': self._id,
      'name': self._name,
      'answered': done,
      'total': len(self._trials),
      'item': test_plan.shown(now[0]) if now else None,
      'coming': [
        pathlib.Path(p).name for t in coming for p in test_plan.pictures(t)
      ],
      'file': str(self.path.resolve()),
    }

  def keep(self, test: str, position: int, chosen: int, seconds: float) -> None:
    """Writes an answer to the disk.

    Args:
      test: the state's, that the page had.
      position: of the item in the test, from 0.
      chosen: index into the options as they were shown.
      seconds: that the item was in view.

    Raises:
      NotAskedError: this test or item is not the one that is asked now.
      ValueError: there is no such option.
      OSError: the answer cannot be written, and is not there in part either.
    """
    with self._lock:
      if test != self._id or position != self._answered:
        raise NotAskedError('this is not the item that is asked now')
      asked = self._trials[position]
      if chosen not in range(len(asked.order)):
        raise ValueError(f'{chosen=} is none of {len(asked.order)} options')
      reply = test_plan.answered(asked, chosen, seconds)
      self._append(test_plan.to_line(reply).encode())
      self._answered += 1

  def _append(self, line: bytes) -> None:
    size = self._file.seek(0, os.SEEK_END)
    try:
      if self._file.write(line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      os.fsync(self._file.fileno())
    except OSError:
      self._file.truncate(size)
      raise

  def close(self) -> None:
    """After the answer that is being written, if there is one."""
    with self._lock:
      self._file.close()
