"""Learning curves and intervals as figures."""

import re

import numpy as np

from coderl.reporting import figures, report


def test_curves_of_absent_metrics_are_left_out(workdir):
  metrics = report.read(workdir).metrics
  for step in metrics:
    step.pop('align/reward', None)
  curves = figures.curves(metrics)
  assert list(curves) == [
    'generate/reward',
    'generate/passed',
    'align/variables',
    'entropy',
    'kl_old',
    'response_len_tokens',
    'tokens_per_s',
  ]
  dots, _ = curves['entropy'].axes[0].lines
  np.testing.assert_array_equal(
    dots.get_ydata(), [step['entropy'] for step in metrics]
  )


def test_the_line_is_a_running_median():
  steps = [{'step': i, 'entropy': v} for i, v in enumerate([0, 0, 9, 1, 1, 1])]
  _, line = figures.curves(steps)['entropy'].axes[0].lines
  # Two values on either side, fewer at the ends.
  np.testing.assert_array_equal(line.get_ydata(), [0, 0.5, 1, 1, 1, 1])


def test_intervals_are_drawn_from_low_to_high():
  before = {'accuracy': 0.3, 'low': 0.2, 'high': 0.45}
  after = {'accuracy': 0.6, 'low': 0.5, 'high': 0.7}
  axes = figures.intervals([('pass@1', before, after)]).axes[0]
  assert [label.get_text() for label in axes.get_yticklabels()] == ['pass@1']
  drawn = [list(map(float, line.get_xdata())) for line in axes.lines]
  assert drawn == [[0.2, 0.45], [0.3], [0.5, 0.7], [0.6]]


def test_colours_follow_the_page_and_equal_figures_give_equal_text():
  steps = [{'step': i, 'entropy': i * 0.1} for i in range(5)]
  first, second = (
    figures.svg(figures.curves(steps)['entropy']) for _ in range(2)
  )
  assert first == second
  colours = re.findall(r'(?<!, )#[0-9a-f]{6}', first)
  assert not {'#1c1e21', '#666c73', '#d9d9d3', '#1b5e9e'} & set(colours)
  assert 'var(--accent, #1b5e9e)' in first
