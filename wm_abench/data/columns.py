"""The columns of a shard: those of the published release and those added here.

Columns of the release are in data/release.py. Here,

    answer                a number from 1 if the options are pictures, a letter
                          if they are phrases
    randomization_params  the factors, as JSON

These columns are added:

    name, cell, dimension, environment, group, varies   text
    key             index of the right option, from 0
    choices         the options if they are phrases
    state           the simulator's states, as JSON
    source_digests  SHA-256 of each picture of source
    choice_digests  SHA-256 of each picture of image_choices
    digest          SHA-256 of the whole item
"""

from collections.abc import Mapping
import json
from typing import Any

import pyarrow as pa

from wm_abench.core import dimensions, records
from wm_abench.data import layout

PICTURES = ('source', 'image_choices')
_IMAGE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
TYPES = {
  'name': pa.string(),
  'cell': pa.string(),
  'dimension': pa.string(),
  'environment': pa.string(),
  'group': pa.string(),
  'source': pa.list_(_IMAGE),
  'prompt': pa.string(),
  'answer': pa.string(),
  'image_choices': pa.list_(_IMAGE),
  'choices_str_letter': pa.string(),
  'randomization_params': pa.string(),
  'varies': pa.string(),
  'key': pa.int64(),
  'choices': pa.list_(pa.string()),
  'state': pa.string(),
  'source_digests': pa.list_(pa.string()),
  'choice_digests': pa.list_(pa.string()),
  'digest': pa.string(),
}
# The columns from which an item is read; its state is read on request.
ITEM_COLUMNS = (
  *('name', 'cell', 'group', 'source', 'prompt', 'image_choices'),
  *('randomization_params', 'varies', 'key', 'choices'),
  *('source_digests', 'choice_digests'),
)
_ENDINGS = {'image/jpeg': 'jpg', 'image/png': 'png', 'image/webp': 'webp'}


def schema(cell: str, simulator: str) -> pa.Schema:
  """Returns the columns, with the metadata of this project and of datasets."""
  project = {
    'version': layout.VERSION,
    'cell': cell,
    'description': layout.describe(cell, simulator),
  }
  metadata = {
    layout.NAME: json.dumps(project),
    'huggingface': json.dumps({'info': {'features': _features()}}),
  }
  return pa.schema(list(TYPES.items()), metadata=metadata)


def _features() -> dict[str, Any]:
  """Returns the columns as the library `datasets` describes them."""
  features = {}
  for name, kind in TYPES.items():
    is_list = pa.types.is_list(kind)
    value = kind.value_type if is_list else kind
    if value == _IMAGE:
      feature: dict[str, Any] = {'_type': 'Image'}
    else:
      feature = {'dtype': str(value), '_type': 'Value'}
    features[name] = (
      {'feature': feature, '_type': 'Sequence'} if is_list else feature
    )
  return features


def to_row(item: records.Item) -> dict[str, Any]:
  """Returns the values of an item's row by column."""
  cell = dimensions.CELLS[item.cell]
  pictured = list(item.options) if item.pictured else []
  phrases = [] if item.pictured else list(item.options)
  label = records.LABELS[item.answer]
  listed = zip(records.LABELS, phrases, strict=False)
  return {
    'name': item.name,
    'cell': item.cell,
    'dimension': cell.dimension,
    'environment': cell.environment,
    'group': item.group,
    'source': [_image(picture) for picture in item.images],
    'prompt': item.prompt,
    'answer': str(item.answer + 1) if item.pictured else label,
    'image_choices': [_image(picture) for picture in pictured],
    'choices_str_letter': '\n'.join(f'{a}. {phrase}' for a, phrase in listed),
    'randomization_params': _json(item.factors),
    'varies': item.varies,
    'key': item.answer,
    'choices': phrases,
    'state': _json(item.state),
    'source_digests': [picture.digest for picture in item.images],
    'choice_digests': [picture.digest for picture in pictured],
    'digest': item.digest,
  }


def _image(picture: records.Picture) -> dict[str, Any]:
  encoded = picture.read()
  ending = _ENDINGS.get(records.media_type(encoded), 'bin')
  return {'bytes': encoded, 'path': f'{picture.digest}.{ending}'}


def _json(value: Mapping[str, Any]) -> str:
  return json.dumps(value, sort_keys=True, separators=(',', ':'))
