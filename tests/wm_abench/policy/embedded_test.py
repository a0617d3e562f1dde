"""The embedded policy is above chance on scenes outside its training set."""

import pathlib

import pytest

from wm_abench import train_policy
from wm_abench.core import dimensions
from wm_abench.evaluation import jax_provider
from wm_abench.generation import generator as generator_lib
from wm_abench.policy import policy
from wm_abench.statistics import scores as scores_lib

# Training has seed 2, `make mini` 0.
SETTINGS = generator_lib.Settings(seed=11, size_px=192, renderer='mujoco')
CELLS = {'v_c_tabletop': 8, 'mi_tabletop': 8, 'se_o_apartment_table': 24}


@pytest.fixture(scope='module')
def scores():
  generator = generator_lib.Generator(SETTINGS)
  items = [
    item
    for name, groups in sorted(CELLS.items(), key=lambda c: c[0][-5:])
    for i in range(groups)
    for item in generator.group(dimensions.CELLS[name], i)
  ]
  generator.close()
  learned = policy.load(jax_provider.FOLDER)
  replies = train_policy.answer(learned, items, seed=0)
  return scores_lib.summarise({'small': replies}, 0)['small']['dimensions']


@pytest.mark.slow
@pytest.mark.parametrize('code', ['V-C', 'MI', 'SE-O'])
def test_it_is_above_chance_on_new_scenes(scores, code):
  assert scores[code]['accuracy'] > scores[code]['chance'] + 0.15
  assert scores[code]['p'] < 0.01


def test_it_is_small_enough_to_ship():
  files = [*pathlib.Path(jax_provider.FOLDER).iterdir()]
  assert {path.name for path in files} == {'config.json', 'model.safetensors'}
  assert sum(path.stat().st_size for path in files) < 2e6
