"""Stored pictures are read on demand, within a bounded memory."""

from tests.wm_abench import synthetic
from wm_abench.data import layout, parquet, stored_pictures

CELL = 'm_nav_street'


def _bytes(item):
  return [picture.read() for picture in item.pictures]


def test_a_file_that_was_replaced_is_read_again(tmp_path):
  first, second = (synthetic.items(CELL, 1, seed=seed) for seed in (0, 1))
  path = layout.shard_path(tmp_path, CELL, 'mini', 0, 1)
  parquet.write_shard(path, first)
  item = next(parquet.read(tmp_path))
  assert _bytes(item) == _bytes(first[0])
  parquet.write_shard(path, second)
  assert _bytes(item) == _bytes(second[0]) != _bytes(first[0])


def test_the_cache_keeps_to_its_size(tmp_path, monkeypatch):
  items = synthetic.write(tmp_path, [CELL], groups=20)
  monkeypatch.setattr(stored_pictures, 'CACHE_BYTES', 30_000)
  cache = stored_pictures._Cache()
  monkeypatch.setattr(stored_pictures, '_CACHE', cache)
  sizes = []
  for item, written in zip(parquet.read(tmp_path), items, strict=True):
    assert _bytes(item) == _bytes(written)
    sizes.append(sum(column.nbytes for column in cache._columns.values()))
    assert sizes[-1] == cache._bytes <= 30_000
  assert max(sizes) > 15_000
