"""The settings that models get, and that every field is read."""

import dataclasses
import json
import pathlib
import re

import pytest

from coderl.evaluators import suite
from coderl.models import presets
from coderl.sampling import sampler
from coderl.training import setup
from configs import coderl_eval, coderl_pretrain, coderl_train

_ROOT = pathlib.Path(__file__).parent.parent.parent
_SOURCES = [
  path.read_text(encoding='utf-8') for path in (_ROOT / 'coderl').rglob('*.py')
]
_EMBEDDED = _ROOT / 'coderl/models/embedded'


def _names(tree):
  for name, value in tree.items():
    yield name
    if isinstance(value, dict):
      yield from _names(value)


@pytest.mark.parametrize('module', [coderl_train, coderl_eval, coderl_pretrain])
def test_every_field_is_read(module):
  # config.a.b, or a keyword or a field where a section is spread.
  for name in _names(module.get_config().to_dict()):
    read = re.compile(rf"\.{name}\b|\b{name}\b *[:=]|'{name}'")
    assert name == 'program' or any(map(read.search, _SOURCES)), name


def test_the_sampler_takes_the_whole_section():
  section = coderl_train.get_config().sampling.to_dict()
  made = sampler.SamplingConfig(**section)
  assert dataclasses.asdict(made) == section


def test_the_questions_are_those_there_are():
  assert coderl_train.get_config().eval.questions == tuple(suite.EVALUATORS)


@pytest.mark.parametrize('get_config', [coderl_train, coderl_eval])
@pytest.mark.parametrize('model', presets.PRESETS)
def test_every_preset_has_a_style_it_understands(get_config, model):
  config = get_config.get_config(f'model={model}')
  style = {'tiny': 'compact', 'small': 'compact'}.get(model, 'paper')
  base = model.startswith('gemma3')
  assert config.model.preset == model
  assert config.data.prompt_style == ('completion' if base else style)
  config = get_config.get_config(f'model={model},style=paper')
  assert config.data.prompt_style == 'paper'


def test_settings_are_of_presets_that_exist():
  assert coderl_train._SETTINGS.keys() <= presets.PRESETS.keys()


def test_a_path_alone_holds_any_model(tmp_path):
  def made(arg):
    config = coderl_train.get_config(arg)
    return config.model.preset, config.data.prompt_style

  assert made('') == ('tiny', 'compact')
  assert made(f'path={_EMBEDDED}') == ('', 'compact')
  assert made(f'path={tmp_path}') == ('', 'paper')
  for content in ({'vocab_size': 32000}, {'vocab_size': None}, {}, []):
    (tmp_path / 'config.json').write_text(json.dumps(content))
    assert made(f'path={tmp_path}') == ('', 'paper')
  (tmp_path / 'config.json').write_text('{')
  assert made(f'path={tmp_path}') == ('', 'paper')
  assert made(f'path={tmp_path},model=tiny') == ('tiny', 'compact')


def test_gemma_is_evaluated_as_it_was_measured():
  config = coderl_eval.get_config('model=gemma3-270m,data=humaneval_shortest48')
  assert config.data.eval_name == 'humaneval_shortest48'
  assert config.data.eval_split == 'test'
  assert config.data.prompt_style == 'completion'
  assert config.data.max_prompt_len_tokens == 512
  assert config.sampling.max_len_tokens == 96
  assert config.eval.questions == ('pass@1',)
  assert config.eval.problems >= 48
  assert config.model.dtype == 'float32' and config.model.remat == 'off'
  limits = config.sandbox.limits
  assert limits.cpu_s == limits.wall_s == 5


def test_gemma_trains_in_minutes_on_two_cores():
  config = coderl_train.get_config(
    'model=gemma3-270m,data=mbpp,file=mbpp.jsonl,runlocal'
  )
  setup.check_values(config)
  assert config.train.steps == 2
  assert config.train.prompts_per_step * config.sampling.group_size == 16
  assert config.sampling.max_len_tokens == 128
  assert config.alignment.start_step == 1
  # One alignment prompt in the second step.
  assert int(config.train.prompts_per_step * config.alignment.ratio) == 1
  assert config.trajectory.weight > 0
  assert config.eval.problems == config.eval.batch_size == 8
  assert config.eval.questions == ('pass@1',)
  assert config.data.eval_path == config.data.path == 'mbpp.jsonl'
  assert config.data.eval_split == 'test'
