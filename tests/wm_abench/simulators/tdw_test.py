import pytest

from commons import errors
from wm_abench.simulators import tdw, tdw_commands
from wm_abench.worlds.tabletop import props


def test_primitives_and_materials_exist_in_tdw():
  librarian = pytest.importorskip('tdw.librarian')
  models = librarian.ModelLibrarian('models_flex.json')
  for shape, (width, height) in tdw_commands.UNITS_M.items():
    bounds = models.get_record(shape).bounds
    assert bounds['front']['z'] - bounds['back']['z'] == width
    assert bounds['top']['y'] - bounds['bottom']['y'] == height
    assert bounds['bottom']['y'] == 0
  materials = librarian.MaterialLibrarian('materials_med.json')
  for name in tdw.MATERIALS.values():
    assert materials.get_record(name) is not None
  assert set(tdw_commands.UNITS_M) == set(props.SHAPES)
  assert set(tdw.MATERIALS) == set(props.MATERIALS) - {'plastic'}


def test_the_wait_for_a_build_ends():
  pytest.importorskip('tdw')
  with pytest.raises(errors.UserError, match=r'port 17171 within 0.5 s'):
    tdw.ThreeDWorld(64, port=17171, wait_s=0.5)
