"""A file is replaced as a whole, or stays as it was."""

import pathlib
import subprocess
import sys
import threading

import pytest

from commons import files


def test_a_finished_file_replaces_the_old_one(tmp_path):
  path = tmp_path / 'results.json'
  path.write_text('old')
  files.write_text(path, 'new')
  assert path.read_text() == 'new'
  assert [p.name for p in tmp_path.iterdir()] == ['results.json']


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
  path = tmp_path / 'results.json'
  path.write_text('old')
  with pytest.raises(KeyboardInterrupt), files.replacing(path) as unfinished:
    unfinished.write_text('half of')
    raise KeyboardInterrupt
  assert path.read_text() == 'old'
  assert [p.name for p in tmp_path.iterdir()] == ['results.json']


def test_a_written_file_has_the_mode_of_any_other(tmp_path):
  plain, written = tmp_path / 'plain', tmp_path / 'written'
  plain.write_text('')
  files.write_text(written, '')
  assert written.stat().st_mode == plain.stat().st_mode


def test_the_unfinished_file_lies_beside_the_path(tmp_path):
  with files.replacing(tmp_path / 'a') as unfinished:
    assert unfinished.parent == pathlib.Path(tmp_path)


_HOLD = """
import sys
from commons import files
with files.locked(sys.argv[1]):
  print('locked', flush=True)
  sys.stdin.readline()
"""


def test_a_lock_excludes_others_until_its_process_dies(tmp_path):
  path = tmp_path / 'lock'
  acquired = threading.Event()

  def acquire():
    with files.locked(path):
      acquired.set()

  holder = subprocess.Popen(
    [sys.executable, '-c', _HOLD, str(path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert holder.stdout.readline() == 'locked\n'
  waiting = threading.Thread(target=acquire)
  waiting.start()
  assert not acquired.wait(0.3)
  holder.kill()
  assert acquired.wait(30)
  holder.wait()
  waiting.join()


def test_a_lock_is_released_by_an_exception(tmp_path):
  with pytest.raises(KeyError), files.locked(tmp_path / 'lock'):
    raise KeyError
  with files.locked(tmp_path / 'lock'):
    pass
