import pytest
import tensorflow_datasets as tfds

from commons import errors
from wm_abench.core import dimensions
from wm_abench.data import dataset, tfds_builder
from wm_abench.generation import generator

CELL = dimensions.CELLS['m_nav_street']
SETTINGS = generator.Settings(seed=2, size_px=96, renderer='mujoco')
SPLITS = {'mini': 5, 'test': 9}


@pytest.fixture(autouse=True, scope='module')
def many_tasks():
  """One a group, so that a split takes several."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tfds_builder, '_GROUPS_A_TASK', 1)
    yield


def _build(folder, splits=SPLITS, **options):
  return tfds_builder.WmAbench(
    config=CELL.name,
    data_dir=folder,
    settings=SETTINGS,
    splits=splits,
    **options,
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp('builder')
  _build(made).download_and_prepare()
  return made


@pytest.fixture(scope='module')
def items(folder):
  return [*dataset.read(folder, [CELL.name], 'test')]


def test_there_is_a_config_for_every_cell():
  configs = tfds_builder.WmAbench.builder_configs
  assert list(configs) == list(dimensions.CELLS)


def test_splits_are_the_first_items_in_order(folder, items):
  numbers = [divmod(i, 4) for i in range(9)]
  assert [i.name for i in items] == [f'{CELL.name}/{g}/{m}' for g, m in numbers]
  mini = [*dataset.read(folder, [CELL.name], 'mini')]
  assert mini == items[: len(mini)] and len(mini) == 5


def test_it_opens_what_it_made_and_tfds_does_too(folder, items):
  place = dataset.cell_folder(folder, CELL.name)
  builders = (
    _build(folder),
    tfds_builder.WmAbench(config=CELL.name, data_dir=folder),
    tfds.builder_from_directory(place),
  )
  for builder in builders:
    rows = [*tfds.as_numpy(builder.as_dataset('test'))]
    assert [r['name'].decode() for r in rows] == [i.name for i in items]
    assert [r['answer'] for r in rows] == [i.answer for i in items]
    assert rows[0]['option_images'].shape == (4, 96, 96, 3)


def test_it_opens_what_was_made_shard_by_shard(tmp_path, items):
  for i, part in enumerate((items[:4], items[4:])):
    path = dataset.shard_path(tmp_path, CELL.name, 'test', i, 2)
    dataset.write_shard(path, part)
  dataset.finish(tmp_path, CELL.name, 'test', [4, 5])
  builder = _build(tmp_path)
  builder.download_and_prepare()
  assert list(builder.info.splits) == ['test']
  rows = [*tfds.as_numpy(builder.as_dataset('test'))]
  assert [r['name'].decode() for r in rows] == [i.name for i in items]


def test_beam_makes_the_same_items(tmp_path, items):
  pytest.importorskip('apache_beam')
  _build(tmp_path, {'test': 9}, beam=True).download_and_prepare()
  assert [*dataset.read(tmp_path, [CELL.name])] == items


def test_a_cell_that_is_not_there_or_not_the_simulators_is_refused(tmp_path):
  with pytest.raises(ValueError, match='sr_nowhere'):
    tfds_builder.WmAbench(config='sr_nowhere', data_dir=tmp_path)
  settings = generator.Settings(0, 96, 'mujoco', 'maniskill')
  with pytest.raises(errors.UserError, match=r'none.*m_nav_street'):
    tfds_builder.WmAbench(
      config=CELL.name, data_dir=tmp_path, settings=settings
    )
