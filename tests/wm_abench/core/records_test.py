"""Pictures are compared by content; replies share fields with their items."""

import dataclasses
import pickle

import pytest

from tests.wm_abench import synthetic
from wm_abench.core import records


class _Stored:
  """A source that counts how often it is read."""

  def __init__(self, data):
    self._data, self.reads = data, 0

  def read(self):
    self.reads += 1
    return self._data


def test_pictures_are_equal_if_their_bytes_are():
  first = records.Picture.encoded(b'bytes')
  stored = records.Picture(first.digest, _Stored(b'bytes'))
  other = records.Picture.encoded(b'other')
  assert first == stored != other
  assert len({first, stored, other}) == 2


def test_a_stored_picture_is_read_on_demand():
  source = _Stored(b'bytes')
  picture = records.Picture('digest', source)
  assert picture == picture and hash(picture) and source.reads == 0
  assert picture.read() == b'bytes' and source.reads == 1


def test_items_can_be_sent_to_another_process():
  items = synthetic.items('m_nav_street', 1)
  again = pickle.loads(pickle.dumps(items))
  assert again == items
  assert again[0].images[0].read() == items[0].images[0].read()


@pytest.mark.parametrize(
  ('start', 'media_type'),
  [
    (b'\xff\xd8\xff\xe0', 'image/jpeg'),
    (b'\x89PNG\r\n', 'image/png'),
    (b'RIFF....WEBP', 'image/webp'),
    (b'GIF89a', ''),
    (b'', ''),
  ],
)
def test_the_media_type_is_that_of_the_first_bytes(start, media_type):
  assert records.media_type(start) == media_type


def test_the_pictures_of_an_item_are_its_images_and_pictured_options():
  pictured, *_ = synthetic.items('m_nav_street', 1)
  phrased, *_ = synthetic.items('sr_tabletop', 1)
  assert pictured.pictured and not phrased.pictured
  assert pictured.pictures == pictured.images + pictured.options
  assert phrased.pictures == phrased.images


@pytest.mark.parametrize(
  'change',
  [
    {'prompt': 'another'},
    {'answer': 3},
    {'factors': {'level': 9}},
    {'state': {'images': []}},
    {'images': (records.Picture.encoded(b'another'),)},
  ],
)
def test_the_digest_of_an_item_covers_every_field(change):
  item, *_ = synthetic.items('m_nav_street', 1)
  assert dataclasses.replace(item, **change).digest != item.digest


def test_a_reply_has_the_fields_of_its_item():
  item = synthetic.items('sr_tabletop', 1)[2]
  reply = records.reply_to(item, [3, 2, 1, 0], 2, turn=1, text='B')
  assert (reply.item, reply.cell, reply.group) == (
    item.name,
    item.cell,
    item.group,
  )
  assert reply.right and reply.order == (3, 2, 1, 0)
  assert reply.sample == f'{item.name}@1'
  assert reply.chance == 1 / 4
  failed = records.reply_to(item, range(4), None, records.FAILED)
  assert not failed.right and failed.sample == item.name
