"""From intensities of a path tracer to pixels."""

import numpy as np

# A pixel is a firefly if it is brighter than its second brightest neighbour by
# this factor.
_FIREFLY = 1.5
_KNEE = 0.7  # Intensities above are compressed.


def remove_fireflies(light_HWC: np.ndarray) -> np.ndarray:
  """Replaces single pixels that one rare path made far too bright.

  Such a pixel becomes the median of its eight neighbours.
  """
  height, width, _ = light_HWC.shape
  padded = np.pad(light_HWC, ((1, 1), (1, 1), (0, 0)), mode='edge')
  neighbours_8HWC = np.stack(
    [
      padded[y : y + height, x : x + width]
      for y in range(3)
      for x in range(3)
      if (y, x) != (1, 1)
    ]
  )
  level_8HW = np.sort(neighbours_8HWC.sum(-1), axis=0)
  second_HW1 = level_8HW[-2][..., None]
  level_HW1 = light_HWC.sum(-1, keepdims=True)
  median_HWC = np.median(neighbours_8HWC, axis=0)
  return np.where(level_HW1 > _FIREFLY * second_HW1, median_HWC, light_HWC)


def tone_map(light_HWC: np.ndarray) -> np.ndarray:
  """Returns a uint8 sRGB image, in which highlights are compressed.

  Intensities up to the knee are kept; those above approach 1 like tanh.
  """
  above = np.tanh((light_HWC - _KNEE) / (1 - _KNEE))
  compressed = np.where(
    light_HWC > _KNEE, _KNEE + (1 - _KNEE) * above, light_HWC
  )
  srgb = np.where(
    compressed <= 0.0031308,
    12.92 * compressed,
    1.055 * compressed.clip(0) ** (1 / 2.4) - 0.055,
  )
  return np.round(255 * srgb.clip(0, 1)).astype(np.uint8)
