"""The policy in this repository sees: on scenes that it was not trained on."""

import pathlib

import pytest

from wm_abench import dimensions, generation, learn, local, scoring
from wm_abench.models import policy

# Training has seed 2, `make mini` 0.
SETTINGS = generation.Settings(seed=11, size_px=192, renderer='mujoco')
CELLS = {'v_c_tabletop': 8, 'mi_tabletop': 8, 'se_o_apartment_table': 24}


@pytest.fixture(scope='module')
def scores():
  generator = generation.Generator(SETTINGS)
  items = [
    item
    for name, groups in sorted(CELLS.items(), key=lambda c: c[0][-5:])
    for i in range(groups)
    for item in generator.group(dimensions.CELLS[name], i)
  ]
  generator.close()
  learned = policy.load(local.FOLDER)
  replies = learn.answer(learned, items, seed=0)
  return scoring.summarise({'small': replies}, 0)['small']['dimensions']


@pytest.mark.slow
@pytest.mark.parametrize('code', ['V-C', 'MI', 'SE-O'])
def test_it_is_above_chance_on_new_scenes(scores, code):
  assert scores[code]['accuracy'] > scores[code]['chance'] + 0.15
  assert scores[code]['p'] < 0.01


def test_it_is_small_enough_to_ship():
  files = [*pathlib.Path(local.FOLDER).iterdir()]
  assert {path.name for path in files} == {'config.json', 'model.safetensors'}
  assert sum(path.stat().st_size for path in files) < 2e6
