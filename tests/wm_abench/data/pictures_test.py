"""Pictures that cannot be decoded have an error."""

from tests.wm_abench import synthetic
from wm_abench.core import records
from wm_abench.data import pictures


def test_a_picture_that_cannot_be_decoded_has_an_error():
  encoded = synthetic.items('sr_tabletop', 1)[0].images[1].read()
  whole, cut, other = (
    records.Picture.encoded(data)
    for data in (encoded, encoded[: len(encoded) // 2], b'no picture')
  )
  assert pictures.decode_error(whole) == ''
  assert 'does not decode' in pictures.decode_error(cut)
  assert 'no JPEG, PNG or WebP' in pictures.decode_error(other)


def test_equal_errors_are_listed_once():
  encoded = synthetic.items('sr_tabletop', 1)[0].images[1].read()
  whole = records.Picture.encoded(encoded)
  cut = records.Picture.encoded(encoded[: len(encoded) // 2])
  assert pictures.decode_errors([whole, cut, cut]).count('does not') == 1
  assert pictures.decode_errors([whole]) == ''
