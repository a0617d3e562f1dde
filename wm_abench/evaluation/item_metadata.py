"""Items as JSON in the metadata of Inspect's samples, pictures by reference.

A log thus contains what scoring and analyses need, but no picture.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from wm_abench.core import records
from wm_abench.data import stored_pictures

_FIELDS = ('name', 'cell', 'group', 'prompt', 'answer', 'varies', 'factors')


def encode(item: records.Item) -> dict[str, Any]:
  """Returns an item whose pictures are stored as JSON types, without states."""
  return {
    **{name: getattr(item, name) for name in _FIELDS},
    'images': [_encode_picture(picture) for picture in item.images],
    'options': [
      _encode_picture(o) if isinstance(o, records.Picture) else o
      for o in item.options
    ],
  }


def decode(metadata: Mapping[str, Any]) -> records.Item:
  """Returns the item that `encode` was called with, without its states."""
  return records.Item(
    **{name: metadata[name] for name in _FIELDS},
    images=tuple(_decode_picture(value) for value in metadata['images']),
    options=tuple(
      o if isinstance(o, str) else _decode_picture(o)
      for o in metadata['options']
    ),
  )


def _encode_picture(picture: records.Picture) -> dict[str, Any]:
  assert isinstance(picture.source, stored_pictures.StoredPicture)
  source = dataclasses.asdict(picture.source)
  return {'digest': picture.digest, 'source': source}


def _decode_picture(value: Mapping[str, Any]) -> records.Picture:
  source = stored_pictures.StoredPicture(**value['source'])
  return records.Picture(value['digest'], source)
