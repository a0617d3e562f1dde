import dataclasses
import hashlib
import os
import pathlib

import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.data import dataset, picture_files

WORDS, IMAGES = 'sr_tabletop', 'm_nav_street'


def test_questions_are_the_items_and_their_pictures_files(tmp_path):
  items = synthetic.write(tmp_path, [WORDS, IMAGES])
  found = [*picture_files.read(tmp_path, [WORDS, IMAGES], 'full')]
  assert len(found) == len(items)
  for question, item in zip(found, items, strict=True):
    for name in ('name', 'group', 'prompt', 'answer', 'varies', 'factors'):
      assert getattr(question, name) == getattr(item, name)
    read = tuple(pathlib.Path(p).read_bytes() for p in question.images)
    assert read == item.images
    options = question.options
    if question.pictured:
      options = tuple(pathlib.Path(p).read_bytes() for p in options)
    assert options == item.options


def test_a_picture_is_written_once_under_its_digest(tmp_path):
  items = synthetic.write(tmp_path, [IMAGES])
  [*picture_files.read(tmp_path, [IMAGES], 'full')]
  every = {p for i in items for p in (*i.images, *i.options)}
  files = [p for p in (tmp_path / 'pictures').rglob('*') if p.is_file()]
  assert {p.stem for p in files} == {
    hashlib.sha256(p).hexdigest() for p in every
  }
  before = {p: p.stat().st_mtime_ns for p in files}
  [*picture_files.read(tmp_path, [IMAGES], 'full')]
  assert {p: p.stat().st_mtime_ns for p in files} == before


def test_a_subset_has_whole_groups(tmp_path):
  synthetic.write(tmp_path, ['ms_tabletop'], groups=5)
  found = [*picture_files.read(tmp_path, ['ms_tabletop'], 'mini')]
  assert [q.group for q in found] == [
    f'ms_tabletop/{i}' for i in (0, 0, 0, 1, 1, 1, 2, 2, 2)
  ]


def test_an_item_whose_picture_does_not_decode_is_marked(tmp_path):
  first, *others = synthetic.items(WORDS, 1)
  cut = first.images[1][: len(first.images[1]) // 2]
  broken = [
    dataclasses.replace(first, images=(first.images[0], cut)),
    dataclasses.replace(others[0], images=(b'no picture', cut)),
  ]
  found = [picture_files.question(i, tmp_path) for i in (*broken, *others[1:])]
  assert 'does not decode' in found[0].broken
  assert 'no JPEG, PNG or WebP' in found[1].broken
  assert [q.broken for q in found[2:]] == ['', '']


def test_a_folder_of_another_version_is_told(tmp_path):
  synthetic.write(tmp_path, [WORDS])
  place = dataset.cell_folder(tmp_path, WORDS)
  os.rename(place, place.with_name('0.9.0'))
  with pytest.raises(errors.UserError, match=r'version 0\.9\.0, not 1\.0\.0'):
    picture_files.cells_in(tmp_path)


def test_names_that_are_not_there_are_told(tmp_path):
  with pytest.raises(errors.UserError, match='holds no items'):
    picture_files.cells_in(tmp_path)
  synthetic.write(tmp_path, [WORDS])
  with pytest.raises(errors.UserError, match='choices: sr_tabletop'):
    [*picture_files.read(tmp_path, [IMAGES], 'full')]
  with pytest.raises(errors.UserError, match='choices: 100, full, mini'):
    [*picture_files.read(tmp_path, [WORDS], 'some')]
