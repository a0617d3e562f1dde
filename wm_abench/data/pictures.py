"""Checks that pictures can be decoded before they are shown."""

from collections.abc import Iterable
import io

from PIL import Image

from wm_abench.core import records


def decode_error(picture: records.Picture) -> str:
  """Returns why a picture cannot be decoded; '' if it can.

  Raises:
    UserError: its file cannot be read.
  """
  encoded = picture.read()
  try:
    if not records.media_type(encoded):
      raise ValueError('it is no JPEG, PNG or WebP')
    with Image.open(io.BytesIO(encoded)) as image:
      image.load()
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
    return f'a picture of {len(encoded)} bytes does not decode: {e}'
  return ''


def decode_errors(pictures: Iterable[records.Picture]) -> str:
  """Returns the different errors of several pictures, joined by '; '."""
  problems = (decode_error(picture) for picture in dict.fromkeys(pictures))
  return '; '.join(dict.fromkeys(filter(None, problems)))
