"""The paper's results were copied without mistakes."""

import pytest

from wm_abench.core import dimensions, published

# Averages over perception, prediction and all cells, computed by hand.
AVERAGES = {
  'o3*': (78.9, 60.7, 72.7),
  'Gemini-2.5-pro*': (72.0, 62.0, 68.6),
  'GPT-4.5*': (69.0, 49.7, 62.4),
  'Qwen2-VL-72B': (66.0, 50.8, 60.9),
  'Qwen2.5-VL-72B': (64.3, 49.3, 59.2),
  'InternVL2.5-78B': (64.9, 44.0, 57.8),
  'Gemini-1.5-pro': (61.7, 48.7, 57.3),
  'GPT-4o': (56.7, 47.2, 53.5),
  'Claude 3.7 Sonnet*': (55.0, 48.6, 52.8),
  'Gemini-1.5-flash': (55.9, 40.9, 50.8),
  'Claude 3.5 Sonnet': (54.8, 39.3, 49.5),
  'GPT-4o-mini': (50.3, 40.8, 47.1),
  'LLaVA-OneVision-72B': (56.1, 26.5, 46.0),
  'NVILA-15B': (54.0, 30.1, 45.8),
  'Llama-3.2-Vision-90B': (48.4, 25.6, 40.7),
  'random': (32.5, 25.0, 29.9),
  'human': (93.2, 92.1, 92.9),
}


@pytest.mark.parametrize('model', AVERAGES)
def test_averages_over_cells_equal_those_computed_by_hand(model):
  averages = published.averages(model).values()
  rounded = tuple(round(100 * value, 1) for value in averages)
  assert rounded == AVERAGES[model]


def test_fifteen_models_people_and_a_guess_have_every_cell():
  assert set(published.ACCURACY) == set(AVERAGES)
  for accuracy in published.ACCURACY.values():
    assert set(accuracy) == set(dimensions.CELLS)


def test_columns_are_in_the_order_of_the_paper():
  # First and last columns, and cells that only one simulator has.
  gpt = published.ACCURACY['GPT-4o']
  assert gpt['sr_apartment_table'] == 0.551 and gpt['rq_tabletop'] == 0.578
  assert gpt['v_m_tabletop'] == 0.556 and gpt['cq_tabletop'] == 0.873
  assert (
    gpt['m_nav_street'] == 0.616 and gpt['c_man_manipulation_lift'] == 0.356
  )
  assert published.by_dimension('GPT-4o')['M-Nav'] == pytest.approx(0.656)
