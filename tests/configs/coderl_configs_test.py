"""The settings that models get."""

import dataclasses
import json
import pathlib

import pytest

from coderl.evaluators import suite
from coderl.models import presets
from coderl.sampling import sampler
from coderl.training import checks
from configs import coderl_eval, coderl_train

_ROOT = pathlib.Path(__file__).parent.parent.parent
_EMBEDDED = _ROOT / 'coderl/models/embedded'


def test_the_sampler_takes_the_whole_section():
  section = coderl_train.get_config().sampling.to_dict()
  sampling = sampler.SamplingConfig(**section)
  assert dataclasses.asdict(sampling) == section


def test_training_evaluates_all_that_can_be_evaluated():
  assert coderl_train.get_config().eval.questions == tuple(suite.EVALUATORS)


@pytest.mark.parametrize('get_config', [coderl_train, coderl_eval])
@pytest.mark.parametrize('model', presets.PRESETS)
def test_every_preset_has_a_prompt_style_that_suits_it(get_config, model):
  config = get_config.get_config(f'model={model}')
  style = {'tiny': 'compact', 'small': 'compact'}.get(model, 'paper')
  base = model.startswith('gemma3')
  assert config.model.preset == model
  assert config.data.prompt_style == ('completion' if base else style)
  config = get_config.get_config(f'model={model},style=paper')
  assert config.data.prompt_style == 'paper'


def test_settings_belong_to_presets_that_exist():
  assert coderl_train._SETTINGS.keys() <= presets.PRESETS.keys()


def test_a_path_without_a_preset_may_hold_any_model(tmp_path):
  def preset_and_style(arg):
    config = coderl_train.get_config(arg)
    return config.model.preset, config.data.prompt_style

  assert preset_and_style('') == ('tiny', 'compact')
  assert preset_and_style(f'path={_EMBEDDED}') == ('', 'compact')
  assert preset_and_style(f'path={tmp_path}') == ('', 'paper')
  for content in ({'vocab_size': 32000}, {'vocab_size': None}, {}, []):
    (tmp_path / 'config.json').write_text(json.dumps(content))
    assert preset_and_style(f'path={tmp_path}') == ('', 'paper')
  (tmp_path / 'config.json').write_text('{')
  assert preset_and_style(f'path={tmp_path}') == ('', 'paper')
  assert preset_and_style(f'path={tmp_path},model=tiny') == ('tiny', 'compact')


def test_gemma_is_evaluated_with_the_settings_of_the_docs():
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
  checks.check_training(config)
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
