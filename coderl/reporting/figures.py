"""Figures of a finished run, as SVG elements that a page can hold.

`curves` draws the learning curves and `intervals` the evaluations before and
after training; `svg` turns a figure into an element whose colours follow the
style sheet of the page.
"""

from collections.abc import Sequence
import io
import re
from typing import Any

import matplotlib
from matplotlib import figure, ticker
import numpy as np

# Title of each learning curve and its key in metrics.jsonl.
CURVES = (
  ('Reward of programs', 'generate/reward'),
  ('Training programs that pass', 'generate/passed'),
  ('Reward of alignment answers', 'align/reward'),
  ('Variables inferred correctly', 'align/variables'),
  ('Trajectory loss, nats per token', 'trajectory_loss'),
  ('Entropy, nats per token', 'entropy'),
  ('KL to the sampling policy, nats', 'kl_old'),
  ('KL to the reference, nats', 'kl_reference'),
  ('Response length, tokens', 'response_len_tokens'),
  ('Tokens per second', 'tokens_per_s'),
)

# Colours of the figures; the page's style sheet redefines them in dark mode.
_INK, _MUTED, _RULE, _ACCENT = '#1c1e21', '#666c73', '#d9d9d3', '#1b5e9e'
_CSS_VARIABLES = {
  _INK: '--ink',
  _MUTED: '--muted',
  _RULE: '--rule',
  _ACCENT: '--accent',
}
_STYLE = {
  'axes.edgecolor': _MUTED,
  'axes.labelcolor': _MUTED,
  'axes.labelsize': 8.0,
  'axes.linewidth': 0.6,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.titlecolor': _INK,
  'axes.titlelocation': 'left',
  'axes.titlesize': 9.5,
  'grid.color': _RULE,
  'grid.linewidth': 0.5,
  'svg.fonttype': 'none',  # Text stays text: small, and searchable.
  'text.color': _INK,
  'xtick.color': _MUTED,
  'xtick.labelsize': 8.0,
  'ytick.color': _MUTED,
  'ytick.labelsize': 8.0,
}


def curves(metrics: Sequence[dict[str, Any]]) -> dict[str, figure.Figure]:
  """Draws the learning curves; returns them by metric.

  A metric that no step reported has no curve.

  Args:
    metrics: the metrics of each step, with 'step'.
  """
  drawings = {}
  for title, key in CURVES:
    points = [(m['step'], m[key]) for m in metrics if m.get(key) is not None]
    if points:
      drawings[key] = _curve(title, *zip(*points, strict=True))
  return drawings


def intervals(
  evaluations: Sequence[tuple[str, dict[str, float], dict[str, float]]],
) -> figure.Figure:
  """Draws means and intervals before (hollow) and after training (filled).

  Args:
    evaluations: the name of each figure, and its 'accuracy', 'low' and 'high'
      before and after training.
  """
  with matplotlib.rc_context(_STYLE):
    drawing = figure.Figure(
      figsize=(4.8, 0.5 + 0.4 * len(evaluations)), layout='constrained'
    )
    axes = drawing.subplots()
    for i, (_, before, after) in enumerate(evaluations):
      for offset, entry, color, face in (
        (-0.14, before, _MUTED, 'none'),
        (0.14, after, _ACCENT, _ACCENT),
      ):
        y = i + offset
        axes.plot([entry['low'], entry['high']], [y, y], color=color, lw=1.6)
        axes.plot(entry['accuracy'], y, 'o', ms=5, mec=color, mfc=face)
    axes.set_yticks(range(len(evaluations)), [name for name, *_ in evaluations])
    axes.tick_params(axis='y', length=0, labelcolor=_INK, labelsize=9)
    axes.spines['left'].set_visible(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis='x')
    axes.set_axisbelow(True)
  return drawing


def svg(drawing: figure.Figure) -> str:
  """Returns a figure as an <svg> element; equal figures give equal text."""
  text = io.StringIO()
  # Ids must differ between the figures of a page.
  salt = drawing.axes[0].get_title('left')
  with matplotlib.rc_context(_STYLE | {'svg.hashsalt': salt}):
    drawing.savefig(
      text, format='svg', transparent=True, metadata={'Date': None}
    )
  element = text.getvalue()
  element = element[element.index('<svg') :]
  element = re.sub(r'<metadata>.*?</metadata>', '', element, flags=re.DOTALL)
  element = re.sub(r'<g id="[^"]*"', '<g', element)
  for color, name in _CSS_VARIABLES.items():
    element = element.replace(color, f'var({name}, {color})')
  return element


def _curve(
  title: str, steps: Sequence[int], values: Sequence[float]
) -> figure.Figure:
  """Draws one learning curve: faint dots, and their running median."""
  with matplotlib.rc_context(_STYLE):
    drawing = figure.Figure(figsize=(2.9, 1.9))
    # Equal margins align the curves on the page.
    axes = drawing.add_axes((0.18, 0.21, 0.8, 0.63))
    axes.plot(steps, values, 'o', ms=2.4, mew=0, color=_MUTED, alpha=0.5)
    axes.plot(steps, _running_median(values), color=_ACCENT, lw=1.5)
    axes.set_title(title, x=-0.225, pad=7)
    axes.set_xlabel('step', labelpad=2)
    axes.grid(axis='y')
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.08)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
  return drawing


def _running_median(values: Sequence[float]) -> np.ndarray:
  """Returns medians of windows that reach a tenth of the values either side."""
  reach = max(2, len(values) // 10)
  return np.array(
    [
      np.median(values[max(0, i - reach) : i + reach + 1])
      for i in range(len(values))
    ]
  )
