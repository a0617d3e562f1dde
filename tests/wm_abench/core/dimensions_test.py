"""The table of cells agrees with the paper."""

import collections

import pytest

from commons import errors
from wm_abench.core import dimensions

CELLS = dimensions.CELLS.values()


def test_the_table_has_the_papers_numbers():
  """The numbers of Table 5 of arXiv 2506.21876, and their sums."""
  stages = collections.Counter(c.of.stage for c in CELLS)
  cases = collections.Counter()
  for cell in CELLS:
    cases[cell.of.stage] += cell.cases
  assert stages == {'perception': 29, 'prediction': 15}
  assert cases == {'perception': 76_463, 'prediction': 28_423}
  assert len(dimensions.DIMENSIONS) == 23
  by_stage = collections.Counter(
    d.stage for d in dimensions.DIMENSIONS.values()
  )
  assert by_stage == {'perception': 16, 'prediction': 7}


def test_names_are_unique_and_every_dimension_has_a_cell():
  assert len(dimensions.CELLS) == 44
  assert {c.dimension for c in CELLS} == set(dimensions.DIMENSIONS)
  assert {c.environment for c in CELLS} == set(dimensions.STANDS_FOR)
  assert dimensions.CELLS['m_man_manipulation_lift'].action == 'lift'


def test_chance_is_the_accuracy_of_the_papers_random_row():
  """Macro means of the paper's Random row: 32.5% perception, 25% prediction."""

  def mean(stage):
    chances = [c.of.chance for c in CELLS if c.of.stage == stage]
    return sum(chances) / len(chances)

  assert mean('perception') == pytest.approx(0.325, abs=5e-4)
  assert mean('prediction') == 0.25


@pytest.mark.parametrize(
  ('names', 'count'),
  [
    ('all', 44),
    ('', 44),
    ('perception', 29),
    ('street', 2),
    ('M-Man', 3),
    ('m-man, street', 5),
    ('sr_tabletop,sr_tabletop', 1),
    ('motion', 8),
  ],
)
def test_a_list_selects_cells(names, count):
  assert len(dimensions.select(names)) == count


def test_an_unknown_name_is_answered_with_the_choices():
  with pytest.raises(
    errors.UserError, match=r"did you mean 'sr_tabletop'.*street"
  ):
    dimensions.select('sr_table_top')
