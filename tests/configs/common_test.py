"""Arguments of config files, and the laws that every config file obeys."""

import ast
import importlib
import pathlib

import ml_collections
import pytest

from commons import errors
from configs import common

_ROOT = pathlib.Path(__file__).parent.parent.parent
_FILES = sorted(
  path.stem
  for path in (_ROOT / 'configs').glob('*.py')
  if path.stem not in ('__init__', 'common')
)
_DEFAULTS = {'runlocal': False, 'algo': 'grpo', 'seed': 0, 'rho': 0.4}


def test_an_empty_argument_gives_the_defaults():
  assert common.parse_arg('', **_DEFAULTS).to_dict() == _DEFAULTS


def test_values_take_the_type_of_their_default():
  arg = common.parse_arg('runlocal,algo=ppo,seed=3,rho=1', **_DEFAULTS)
  assert (arg.runlocal, arg.algo, arg.seed, arg.rho) == (True, 'ppo', 3, 1.0)
  assert isinstance(arg.rho, float)


@pytest.mark.parametrize(
  ('text', 'value'),
  [('true', True), ('1', True), ('False', False), ('0', False)],
)
def test_a_boolean_may_be_spelled_out(text, value):
  assert common.parse_arg(f'a={text}', a=not value).a is value


def test_an_unknown_argument_is_answered_with_the_choices():
  with pytest.raises(errors.UserError) as e:
    common.parse_arg('algos=ppo', **_DEFAULTS)
  assert str(e.value) == (
    "unknown config argument 'algos' (did you mean 'algo'?); "
    'choices: algo, rho, runlocal, seed'
  )


@pytest.mark.parametrize(
  'arg', ['seed=x', 'seed=1.5', 'rho=', 'algo', 'seed', 'runlocal=maybe']
)
def test_a_value_of_another_type_is_refused(arg):
  with pytest.raises(errors.UserError, match='is not of type'):
    common.parse_arg(arg, **_DEFAULTS)


def test_a_repeated_argument_is_refused():
  with pytest.raises(errors.UserError, match="'seed' is given twice"):
    common.parse_arg('seed=1,seed=2', **_DEFAULTS)


def _leaves(tree):
  if isinstance(tree, dict):
    return sum(_leaves(value) for value in tree.values())
  return 1


@pytest.mark.parametrize('name', _FILES)
@pytest.mark.parametrize('arg', ['', 'runlocal'])
def test_config_loads_locked_and_small(name, arg):
  config = importlib.import_module(f'configs.{name}').get_config(arg)
  assert isinstance(config, ml_collections.ConfigDict)
  assert _leaves(config.to_dict()) < 105
  config.lock()
  with pytest.raises(AttributeError):
    config.no_such_field = 1


@pytest.mark.parametrize('name', _FILES)
def test_config_names_a_program_that_runs(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  source = _ROOT / (config.program.replace('.', '/') + '.py')
  functions = {
    node.name: [arg.arg for arg in node.args.args]
    for node in ast.parse(source.read_text(encoding='utf-8')).body
    if isinstance(node, ast.FunctionDef)
  }
  assert functions['run'] == ['config', 'workdir']


@pytest.mark.parametrize('name', _FILES)
def test_config_answers_an_unknown_argument(name):
  module = importlib.import_module(f'configs.{name}')
  with pytest.raises(errors.UserError, match=r"'nope'.*choices:.*runlocal"):
    module.get_config('nope=1')
