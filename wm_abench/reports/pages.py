"""What the pages of this project share: their templates and their pictures.

A page contains its pictures, runs no script and makes no request. The same
values give the same bytes.
"""

import base64
from collections.abc import Callable, Mapping
import functools
import io
import pathlib
from typing import Any

import jinja2
from PIL import Image

from commons import files
from wm_abench.core import records

_QUALITY = 80


def write(
  path: pathlib.Path,
  template: pathlib.Path,
  values: Mapping[str, Any],
  filters: Mapping[str, Callable[..., str]] | None = None,
) -> None:
  """Writes a page; text from `values` is escaped.

  Args:
    path: of the page; its folder must exist.
    template: a file in Jinja's language.
    values: the template's variables.
    filters: functions that the template may apply to values.

  Raises:
    OSError: the page cannot be written.
  """
  environment = jinja2.Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters |= dict(filters or {})
  source = environment.from_string(template.read_text(encoding='utf-8'))
  files.write_text(path, source.render(values))


@functools.lru_cache(maxsize=512)
def thumbnail(picture: records.Picture, size_px: int) -> str:
  """Returns a picture as a data URI, at most size_px wide and high.

  Returns '' if the picture cannot be decoded.
  """
  stream = io.BytesIO()
  try:
    with Image.open(io.BytesIO(picture.read())) as image:
      small = image.convert('RGB')
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
    return ''
  small.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
  small.save(stream, 'jpeg', quality=_QUALITY, optimize=True)
  return data_uri(stream.getvalue(), 'image/jpeg')


def data_uri(encoded: bytes, media_type: str) -> str:
  """Returns encoded data as a URI that contains it."""
  return f'data:{media_type};base64,{base64.b64encode(encoded).decode()}'
