"""Draws the README's picture from two finished runs.

    python -m docs.overview

One item picture of each of the six worlds comes from `make mini`, the learning
curve from `make run`.
"""

import argparse
import io
import json
import pathlib

from matplotlib import figure
import numpy as np
from PIL import Image

from wm_abench.core import dimensions
from wm_abench.data import parquet

FOLDER = pathlib.Path(__file__).parent
# Environment -> the cell and the item whose first picture stands for it.
ITEMS = {
  'tabletop': ('v_s_tabletop', 3),
  'apartment_table': ('sr_apartment_table', 1),
  'manipulation': ('t_man_manipulation_push_pick', 0),
  'intuitive_physics': ('m_ip_intuitive_physics_collide', 0),
  'indoor': ('m_nav_indoor', 4),
  'street': ('m_nav_street', 4),
}
# Metric -> its name in the legend.
CURVES = {
  'generate/passed': 'programs that pass',
  'align/variables': 'variables inferred',
  'align/form': 'answers that can be read',
}
_SMOOTHING_STEPS = 5
_DPI = 100


def pictures(folder: str) -> dict[str, np.ndarray]:
  """Returns one RGB picture for each environment, from a generated set."""
  frames = {}
  for environment, (cell, index) in ITEMS.items():
    assert dimensions.CELLS[cell].environment == environment
    item = [*parquet.read(folder, cells=[cell], states=False)][index]
    with Image.open(io.BytesIO(item.images[0].read())) as image:
      frames[environment] = np.asarray(image.convert('RGB'))
  return frames


def smoothed(values: list[float]) -> np.ndarray:
  """Returns the trailing mean over the last _SMOOTHING_STEPS steps."""
  return np.array(
    [
      np.mean(values[max(0, i + 1 - _SMOOTHING_STEPS) : i + 1])
      for i in range(len(values))
    ]
  )


def draw(mini: str, run: str) -> figure.Figure:
  """Returns the figure: six worlds, and the learning curves beside them."""
  plot = figure.Figure((13, 4.6), layout='constrained')
  grid = plot.add_gridspec(2, 5)
  for i, (name, frame) in enumerate(pictures(mini).items()):
    axes = plot.add_subplot(grid[i // 3, i % 3])
    axes.imshow(frame)
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()
  lines = (pathlib.Path(run) / 'metrics.jsonl').read_text().splitlines()
  records = [json.loads(line) for line in lines]
  axes = plot.add_subplot(grid[:, 3:])
  for metric, label in CURVES.items():
    points = [(r['step'], r[metric]) for r in records if metric in r]
    steps, values = zip(*points, strict=True)
    axes.plot(steps, smoothed(values), label=label, lw=2)
  axes.set_xlabel('training step')
  axes.set_ylim(0, 1)
  axes.set_title('make run: the embedded policy, two CPU cores', fontsize=10)
  axes.grid(alpha=0.3)
  axes.legend(loc='center right')
  return plot


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--mini', default='runs/mini', help='from make mini')
  parser.add_argument('--run', default='runs/coderl', help='from make run')
  arguments = parser.parse_args()
  path = FOLDER / 'overview.png'
  draw(arguments.mini, arguments.run).savefig(path, dpi=_DPI)
  print(f'{path}: {path.stat().st_size >> 10} KiB')


if __name__ == '__main__':
  main()
