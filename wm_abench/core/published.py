"""The paper's results per cell, as reference rows of the report.

Accuracies in percent, from Tables 1 and 2 of arXiv 2506.21876, on the published
data. Models whose names end in * were run on 100 items of each task; people
answered 50. They are not comparable with scores on items that this project
generates.
"""

from collections.abc import Mapping

from wm_abench.core import dimensions

NOTE = 'published (arXiv 2506.21876), on the original data'
ON_100 = '*'  # Last character of models that were run on 100 items per task.

# The columns of Table 1, perception, in its order.
_PERCEPTION = (
  'sr_apartment_table',
  'sr_tabletop',
  'se_v_apartment_table',
  'se_v_tabletop',
  'se_o_apartment_table',
  'se_o_tabletop',
  'sp_apartment_table',
  'sp_tabletop',
  'tp_apartment_table',
  'tp_tabletop',
  'te_apartment_table',
  'te_tabletop',
  'v_c_apartment_table',
  'v_c_tabletop',
  'v_s_tabletop',
  'v_m_tabletop',
  'ms_apartment_table',
  'ms_tabletop',
  'md_apartment_table',
  'md_tabletop',
  'mi_apartment_table',
  'mi_tabletop',
  'mt_apartment_table',
  'mt_tabletop',
  'dq_apartment_table',
  'dq_tabletop',
  'cq_tabletop',
  'rq_apartment_table',
  'rq_tabletop',
)
# The columns of Table 2, prediction, in its order.
_PREDICTION = (
  'm_nav_street',
  'm_nav_indoor',
  'm_ip_intuitive_physics_collide',
  'm_ip_intuitive_physics_slide',
  'm_ip_intuitive_physics_drop',
  'm_man_manipulation_drop',
  'm_man_manipulation_lift',
  'm_man_manipulation_push',
  't_nav_street',
  't_nav_indoor',
  't_man_manipulation_push_pick',
  't_man_manipulation_pick_rotate',
  'c_ip_tabletop',
  'c_man_manipulation_push',
  'c_man_manipulation_lift',
)

_ROWS = {
  'NVILA-15B': (
    '53.7 40.4 55.0 74.4 84.9 92.9 35.4 26.9 35.5 59.1 32.7 9.0 94.6 88.0 '
    '98.2 56.3 34.2 45.1 52.6 53.5 33.3 35.3 24.4 14.8 57.8 81.4 63.9 73.5 '
    '58.0',
    '31.3 16.7 28.4 44.6 44.7 48.9 33.8 26.4 32.4 4.2 29.1 26.4 26.6 25.5 31.8',
  ),
  'Qwen2-VL-72B': (
    '42.2 72.6 42.6 57.0 87.6 93.6 58.9 47.1 46.5 75.5 36.4 53.4 97.2 88.6 '
    '99.0 63.7 33.3 58.8 85.4 85.4 71.1 84.4 29.5 21.5 75.7 83.1 75.5 75.5 '
    '74.2',
    '62.0 65.3 30.4 40.3 59.2 95.3 91.9 20.0 50.1 43.8 55.7 31.2 24.3 51.3 '
    '41.8',
  ),
  'Qwen2.5-VL-72B': (
    '57.8 70.6 49.5 57.7 97.5 93.5 36.1 45.5 48.4 52.9 35.0 53.5 94.7 89.4 '
    '91.5 51.4 47.6 74.7 69.8 71.9 59.7 66.8 28.9 27.7 73.1 84.7 88.0 75.9 '
    '71.3',
    '76.6 70.9 36.5 51.9 55.0 88.9 85.5 31.9 61.1 34.7 24.4 30.9 21.6 34.8 '
    '35.2',
  ),
  'InternVL2.5-78B': (
    '44.2 65.8 51.3 73.5 98.4 93.0 31.3 30.9 43.5 63.6 43.9 59.7 95.4 89.3 '
    '95.7 53.9 23.5 55.3 88.5 92.1 72.2 85.6 31.3 25.6 76.4 81.4 76.7 72.1 '
    '69.2',
    '57.9 54.6 24.9 41.3 51.3 73.7 60.3 28.1 51.1 31.9 35.6 34.7 40.1 47.0 '
    '27.8',
  ),
  'Llama-3.2-Vision-90B': (
    '50.7 47.5 50.0 43.8 78.6 25.2 25.0 24.6 33.4 16.8 38.0 37.2 95.2 87.0 '
    '99.6 50.0 27.4 42.4 51.4 36.1 23.7 23.8 23.8 25.9 66.5 70.8 72.0 70.6 '
    '67.4',
    '24.7 33.3 24.0 25.4 24.7 23.7 26.3 23.1 23.9 33.6 25.6 20.8 25.9 24.1 '
    '25.3',
  ),
  'LLaVA-OneVision-72B': (
    '71.0 61.8 56.6 53.1 96.5 90.9 24.8 22.7 38.5 31.1 32.2 25.8 95.2 88.8 '
    '98.4 71.2 45.2 40.5 54.1 53.1 33.7 25.5 26.1 14.5 67.5 76.9 81.1 74.0 '
    '76.8',
    '19.0 57.9 25.8 20.5 19.4 26.1 30.8 25.1 22.6 26.7 25.4 22.4 22.4 25.0 '
    '28.2',
  ),
  'GPT-4o-mini': (
    '37.6 37.7 61.3 69.1 98.2 35.3 37.0 38.1 31.7 47.1 29.0 40.6 98.1 87.8 '
    '99.7 50.0 24.1 36.7 32.5 37.8 53.9 51.4 26.6 17.1 31.3 60.1 73.9 60.1 '
    '54.5',
    '45.8 34.0 25.8 32.9 49.9 77.7 68.2 30.9 41.6 24.4 32.9 39.4 37.2 40.8 '
    '30.8',
  ),
  'GPT-4o': (
    '55.1 58.7 66.1 70.4 96.6 78.9 47.4 47.5 37.5 45.7 35.0 25.0 98.6 88.0 '
    '98.7 55.6 24.2 45.3 39.6 69.4 34.7 38.8 29.9 28.9 57.0 61.3 87.3 64.6 '
    '57.8',
    '61.6 69.6 39.2 37.6 49.4 83.9 71.2 30.3 42.6 43.2 42.4 45.5 22.8 33.8 '
    '35.6',
  ),
  'Claude 3.5 Sonnet': (
    '54.6 59.9 64.2 58.0 73.2 72.6 41.7 31.9 42.0 49.1 32.2 43.7 42.1 62.4 '
    '96.2 50.0 35.8 69.2 55.7 83.8 43.9 52.6 24.8 41.7 76.3 73.9 43.3 65.0 '
    '49.6',
    '36.3 39.6 15.0 22.1 36.7 86.3 57.7 28.0 35.3 27.5 36.3 37.5 39.0 41.9 '
    '51.0',
  ),
  'Gemini-1.5-flash': (
    '54.5 59.1 50.0 50.0 80.6 79.6 34.0 21.8 37.5 50.9 33.4 56.1 98.3 88.0 '
    '98.7 50.0 36.2 43.3 49.4 76.2 25.2 34.4 24.3 14.5 76.1 81.8 80.6 69.2 '
    '66.2',
    '36.8 41.1 27.3 30.2 42.2 75.7 65.8 18.4 40.7 39.0 42.7 37.0 40.2 30.8 '
    '46.2',
  ),
  'Gemini-1.5-pro': (
    '49.1 65.0 64.0 68.5 83.6 92.9 44.7 43.4 42.8 60.1 77.0 42.2 99.1 86.8 '
    '89.2 50.0 36.1 58.8 56.0 66.1 30.0 35.2 24.2 33.8 84.9 83.1 79.8 73.0 '
    '69.1',
    '44.3 57.6 47.5 37.6 60.1 79.4 76.8 33.5 48.1 43.3 46.2 35.9 34.1 36.8 '
    '49.6',
  ),
  'GPT-4.5*': (
    '72 79 55 52 95 92 57 38 47 66 55 67 100 87 99 51 25 57 75 92 79 88 28 '
    '61 61 87 89 76 70',
    '71 34 55 72 56 86 59 40 47 34 44 35 32 41 39',
  ),
  'o3*': (
    '88 88 88 99 100 97 62 56 60 72 53 60 100 87 99 54 27 63 89 100 83 89 '
    '48 70 85 90 96 93 92',
    '85 87 60 78 79 80 83 50 61 51 42 48 33 37 37',
  ),
  'Claude 3.7 Sonnet*': (
    '56 72 60 76 82 63 70 60 35 38.4 22 49 27.3 76 98 53 32 61 43.8 85.7 34 '
    '46 22 25 72 69 49 69 49',
    '59 51 38.5 49 67.7 96 56.4 39.4 44 26 34.3 48.4 41.5 29 49.5',
  ),
  'Gemini-2.5-pro*': (
    '97 90 84 78 100 99 48 62 54 65 35 37 100 87 99 55 42 68 51 98 46 60 36 '
    '51 81 92 89 92 93',
    '81 77 53 68 73 87 76 44 66 67 42 54 38 47 57',
  ),
  'human': (
    '90 100 98 100 100 86 92 92 80 82 86 90 100 88 100 84 84 90 100 98 96 '
    '98 76 100 98 100 98 98 100',
    '98 98 100 98 86 100 100 100 78 90 80 82 84 88 100',
  ),
}

# Model -> cell -> accuracy in [0, 1]; 'random' has the accuracy of a guess.
ACCURACY: dict[str, Mapping[str, float]] = {
  name: dict(
    zip(
      (*_PERCEPTION, *_PREDICTION),
      [round(float(x) / 100, 4) for x in ' '.join(row).split()],
      strict=True,
    )
  )
  for name, row in _ROWS.items()
}
ACCURACY['random'] = {c.name: c.of.chance for c in dimensions.CELLS.values()}


def averages(model: str) -> dict[str, float]:
  """Returns unweighted means over the cells of each stage, and over 'all'.

  Args:
    model: a key of ACCURACY.
  """
  by_cell = ACCURACY[model]
  stages = {
    stage: [
      accuracy
      for cell, accuracy in by_cell.items()
      if dimensions.CELLS[cell].of.stage == stage
    ]
    for stage in (dimensions.PERCEPTION, dimensions.PREDICTION)
  } | {'all': [*by_cell.values()]}
  return {stage: sum(values) / len(values) for stage, values in stages.items()}


def by_dimension(model: str) -> dict[str, float]:
  """Returns the mean over each dimension's cells, by its code."""
  accuracies: dict[str, list[float]] = {}
  for cell, accuracy in ACCURACY[model].items():
    code = dimensions.CELLS[cell].dimension
    accuracies.setdefault(code, []).append(accuracy)
  return {code: sum(a) / len(a) for code, a in accuracies.items()}
