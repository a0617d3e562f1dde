"""Replies survive a file; what is not a reply is named with its line."""

import json

import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.core import reply_files

REPLIES = synthetic.replies('sr_tabletop', 0, 'abcd', [0, 1, None, 2])


def test_replies_are_read_as_they_were_written(tmp_path):
  path = tmp_path / 'replies.jsonl'
  reply_files.write(path, REPLIES)
  assert reply_files.read(path) == REPLIES


def test_an_incomplete_last_line_is_ignored(tmp_path):
  path = tmp_path / 'replies.jsonl'
  reply_files.write(path, REPLIES)
  path.write_bytes(path.read_bytes() + b'{"item": "half a li')
  assert reply_files.read(path) == REPLIES


@pytest.mark.parametrize(
  'change',
  [
    {'cell': 'sr_nowhere'},
    {'order': [0, 1, 1, 3]},
    {'answer': 4},
    {'chosen': 4},
    {'chosen': None},
    {'status': 'failed'},
    {'status': 'lost'},
    {'unknown': 1},
    {'item': 1},
  ],
)
def test_a_line_that_contradicts_itself_is_refused(change):
  fields = json.loads(reply_files.to_line(REPLIES[0]))
  with pytest.raises(ValueError):
    reply_files.from_line(json.dumps(fields | change))


@pytest.mark.parametrize(
  ('lines', 'problem'),
  [
    ([REPLIES[0], REPLIES[1], REPLIES[0]], 'line 3.*has another reply'),
    ([], 'contains no reply'),
  ],
)
def test_a_file_with_too_many_or_no_replies_is_refused(
  tmp_path, lines, problem
):
  path = tmp_path / 'replies.jsonl'
  reply_files.write(path, lines)
  with pytest.raises(errors.UserError, match=problem):
    reply_files.read(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(errors.UserError, match=r"'.*none.jsonl' cannot be read"):
    reply_files.read(tmp_path / 'none.jsonl')
