"""Pages escape their values and contain their pictures."""

import base64
import io

import jinja2
from PIL import Image
import pytest

from tests.wm_abench import synthetic
from wm_abench.core import records
from wm_abench.reports import pages


def test_values_are_escaped_and_filters_are_applied(tmp_path):
  template = tmp_path / 'template.html'
  template.write_text('<p>{{ text }}</p><p>{{ 2 | double }}</p>')
  page = tmp_path / 'page.html'
  values, filters = {'text': '<b>&'}, {'double': lambda n: str(2 * n)}
  pages.write(page, template, values, filters)
  assert page.read_text() == '<p>&lt;b&gt;&amp;</p><p>4</p>'


def test_an_unknown_variable_is_an_error_and_leaves_no_page(tmp_path):
  template = tmp_path / 'template.html'
  template.write_text('{{ missing }}')
  with pytest.raises(jinja2.UndefinedError):
    pages.write(tmp_path / 'page.html', template, {})
  assert [*tmp_path.iterdir()] == [template]


def test_a_thumbnail_is_a_small_picture_or_nothing():
  picture = synthetic.items('sr_tabletop', 1, size_px=64)[0].images[0]
  uri = pages.thumbnail(picture, 16)
  start, _, data = uri.partition(',')
  assert start == 'data:image/jpeg;base64'
  assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 16)
  assert pages.thumbnail(records.Picture.encoded(b'\xff\xd8\xff'), 16) == ''
