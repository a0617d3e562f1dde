"""A person's test, and the file with their answers.

  WORKDIR/manifest.json  which test it is
  WORKDIR/NAME.jsonl     one records.Reply per line, in the order of the test

A line is on the disk before `keep` returns, and no line is rewritten. A killed
process may leave an incomplete last line; it is no answer and is removed.
"""

from collections.abc import Mapping, Sequence
import errno
import fcntl
import os
import pathlib
import threading
from typing import Any

from commons import errors
from wm_abench.core import records, reply_files, run_files
from wm_abench.evaluation import prompts
from wm_abench.people import test_plan


class NotCurrentError(Exception):
  """An answer to an item that is not the current one."""


class Session:
  """A person's test, and the file with their answers; safe for threads.

  Args:
    folder: the workdir.
    name: the person's name.
    items: the test, from test_plan.plan.
    seed: the seed of the test.
    settings: the arguments that made the test, for the manifest.

  Attributes:
    path: the file with the answers.
    pictures: the pictures of the test by digest.

  Raises:
    UserError: the workdir cannot be written, contains another test, or is in
      use by another process.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    name: str,
    items: Sequence[records.Item],
    seed: int,
    settings: Mapping[str, Any],
  ):
    digest = test_plan.digest(items, seed)
    self.path = folder / f'{name}.jsonl'
    self.pictures = {p.digest: p for item in items for p in item.pictures}
    self._name, self._items, self._seed = name, items, seed
    self._id = digest[:16]
    self._lock = threading.Lock()
    try:
      folder.mkdir(parents=True, exist_ok=True)
      manifest = {**settings, 'seed': seed, 'name': name, 'data': digest}
      run_files.keep_manifest(folder, manifest, 'a test')
      self._file = self.path.open('ab+', buffering=0)
    except OSError as e:
      raise errors.UserError(
        f'workdir {str(folder)!r} cannot be written: {e.strerror}'
      ) from e
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      self._answered = self._restore()
    except BlockingIOError as e:
      self._file.close()
      raise errors.UserError(
        f'{str(self.path)!r} is in use: another process serves this test'
      ) from e
    except BaseException:
      self._file.close()
      raise

  def _restore(self) -> int:
    """Returns the number of answers, after checking that they are to the test.

    Removes an incomplete last line.
    """
    self._file.seek(0)
    data = self._file.read()
    try:
      replies = reply_files.from_lines(data)
    except ValueError as e:
      raise errors.UserError(f'{str(self.path)!r}, {e}') from e
    test = [
      (item.name, prompts.order_of(item, self._seed)) for item in self._items
    ]
    answered = [(reply.item, reply.order) for reply in replies]
    if answered != test[: len(answered)]:
      raise errors.UserError(
        f'{str(self.path)!r} contains answers to other items'
      )
    self._file.truncate(data.rfind(b'\n') + 1)
    return len(replies)

  def describe(self) -> str:
    """Returns how many items are answered, in one line."""
    done, total = self._answered, len(self._items)
    return f'{done} of {total} items are answered, in {self.path}'

  def state(self) -> dict[str, Any]:
    """Returns what the page needs to show, as JSON types."""
    with self._lock:
      done = self._answered
    current, coming = self._items[done : done + 1], self._items[done + 1 :][:1]
    return {
      'test': self._id,
      'name': self._name,
      'answered': done,
      'total': len(self._items),
      'item': test_plan.shown(current[0], self._seed) if current else None,
      'coming': [p.digest for item in coming for p in item.pictures],
      'file': str(self.path.resolve()),
    }

  def keep(self, test: str, position: int, chosen: int, seconds: float) -> None:
    """Writes an answer to the disk.

    Args:
      test: the id of the test in the state that the page had.
      position: position of the item in the test, from 0.
      chosen: index of the chosen option, in the order in which they were shown.
      seconds: how long the item was in view.

    Raises:
      NotCurrentError: this is not the current item of this test.
      ValueError: the option does not exist.
      OSError: the answer cannot be written; no part of it is kept.
    """
    with self._lock:
      if test != self._id or position != self._answered:
        raise NotCurrentError('this is not the current item')
      item = self._items[position]
      if chosen not in range(len(item.options)):
        raise ValueError(
          f'chosen={chosen} is not from 0 to {len(item.options) - 1}'
        )
      reply = test_plan.reply(item, self._seed, chosen, seconds)
      self._append(reply_files.to_line(reply).encode())
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
    """Closes the file, after the answer that is being written."""
    with self._lock:
      self._file.close()
