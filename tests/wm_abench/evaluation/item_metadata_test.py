"""Items survive the metadata of a log, without states and pictures."""

import dataclasses
import json

import pytest

from tests.wm_abench import synthetic
from wm_abench.data import selection
from wm_abench.evaluation import item_metadata


@pytest.mark.parametrize('cell', ['sr_tabletop', 'm_nav_street'])
def test_an_item_is_decoded_as_it_was_encoded(tmp_path, cell):
  written = synthetic.write(tmp_path, [cell])
  for item, original in zip(
    selection.read(tmp_path, [cell], 'full'), written, strict=True
  ):
    text = json.dumps(item_metadata.encode(item))
    decoded = item_metadata.decode(json.loads(text))
    assert decoded == item == dataclasses.replace(original, state={})
    pictures = [picture.read() for picture in decoded.pictures]
    assert pictures == [picture.read() for picture in original.pictures]
    assert len(text) < 4000  # The pictures are not in it.
