"""Every field of every config is read by the program that the config names."""

import copy
import importlib
import pathlib

import pytest

from tests.configs import config_reads

_ROOT = pathlib.Path(__file__).parent.parent.parent
_CONFIGS = sorted(
  path.stem
  for path in (_ROOT / 'configs').glob('*.py')
  if path.stem not in ('__init__', 'common')
)


def _config(name: str) -> dict:
  return importlib.import_module(f'configs.{name}').get_config().to_dict()


def _reads(config: dict) -> set[config_reads.Path]:
  reads = config_reads.reads(config['program'])
  if config['program'] == 'coderl.plan':
    # A plan is made from the whole config of the training that it plans.
    reads = reads | config_reads.reads('coderl.train')
  return reads | {('program',)}  # main.py reads it.


@pytest.mark.parametrize('name', _CONFIGS)
def test_every_field_is_read(name):
  config = _config(name)
  assert config_reads.unread(config, _reads(config)) == []


def test_names_of_other_sections_and_of_python_are_no_reads():
  """`shape` is a field of mesh and of arrays, `path` one of model and data."""
  config = _config('coderl_train')
  config['optimizer'] |= {'shape': 'cosine', 'path': 7}
  config['sandbox']['limits']['seed'] = 0
  config['name'] = 'run'
  unread = config_reads.unread(config, _reads(config))
  assert unread == [
    'optimizer.shape',
    'optimizer.path',
    'sandbox.limits.seed',
    'name',
  ]


def _sections(config: dict, name: str = ''):
  yield name, config
  for key, value in config.items():
    if isinstance(value, dict):
      yield from _sections(value, f'{name}{key}.')


@pytest.mark.parametrize('name', _CONFIGS)
def test_a_field_that_nothing_reads_is_named_in_every_section(name):
  config = _config(name)
  reads = _reads(config)
  extended = copy.deepcopy(config)
  for _, section in _sections(extended):
    section['no_such_field'] = 1
  assert sorted(config_reads.unread(extended, reads)) == sorted(
    f'{name}no_such_field' for name, _ in _sections(config)
  )
