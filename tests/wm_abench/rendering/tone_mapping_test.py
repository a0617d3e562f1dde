import numpy as np
import pytest

from wm_abench.rendering import tone_mapping


def test_a_firefly_becomes_the_median_of_its_neighbours():
  light_HWC = np.full((5, 6, 3), 0.2)
  light_HWC[2, 3] = 40.0
  np.testing.assert_allclose(tone_mapping.remove_fireflies(light_HWC), 0.2)


def test_an_edge_and_a_line_are_not_fireflies():
  light_HWC = np.full((6, 6, 3), 0.1)
  light_HWC[:, 3:] = 0.9
  light_HWC[1] = 2.0
  np.testing.assert_array_equal(
    tone_mapping.remove_fireflies(light_HWC), light_HWC
  )


def test_intensities_below_the_knee_become_srgb():
  # IEC 61966-2-1: 0.001 is in the linear segment, 0.5 is 0.7354 in sRGB.
  image_HWC = tone_mapping.tone_map(np.array([[[0.0, 0.001, 0.5]]]))
  assert image_HWC.dtype == np.uint8
  assert image_HWC.ravel().tolist() == [0, round(255 * 0.01292), 188]


def test_highlights_are_compressed_in_order_and_never_overflow():
  levels = tone_mapping.tone_map(
    np.array([[[0.7, 0.9, 1.1], [1.5, 3.0, 50.0]]])
  )
  assert (np.diff(levels.ravel().astype(int)) >= 0).all()
  assert levels.ravel()[0] < levels.ravel()[2] < 255
  assert levels.max() == pytest.approx(255, abs=1)
