"""A config opens the policy that it names, or is refused."""

import dataclasses

import flax.linen as nn
import jax
import ml_collections
import numpy as np
import pytest

from coderl.distributed import sharding
from coderl.models import load, presets, transformer
from coderl.models.checkpoints import huggingface
from coderl.text import tokenization
from commons import errors
from tests.fixtures import tiny_gguf

TOKENIZER = tokenization.train_bpe(['total = 12\n'], 300)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Returns a Hugging Face folder of the tiny preset with zero weights."""
  path = tmp_path_factory.mktemp('policy')
  tiny = presets.PRESETS['tiny']
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, tiny)), jax.random.key(0)
  )
  params = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
  huggingface.save(path, tiny, params)
  TOKENIZER.save(path)
  return str(path)


def model_config(path='', preset=''):
  return ml_collections.ConfigDict(
    dict(
      path=path,
      preset=preset,
      dtype='bfloat16',
      remat='full',
      attention='',
    )
  )


@pytest.mark.parametrize('preset', ['tiny', ''])
def test_an_opened_policy_lies_on_the_mesh(folder, preset):
  mesh = sharding.make_mesh((-1, 1, 1))
  policy = load.open_policy(model_config(folder, preset), mesh)
  assert policy.model == dataclasses.replace(
    presets.PRESETS['tiny'], dtype='bfloat16', remat='full'
  )
  for leaf in jax.tree.leaves(policy.params):
    assert isinstance(leaf, jax.Array)
    assert leaf.sharding.mesh == mesh
    assert leaf.dtype == np.float32


@pytest.mark.parametrize(
  ('preset', 'message'),
  [
    ('small', r"does not hold .*'small'.*layers: 9"),
    ('tinny', r"unknown model 'tinny' \(did you mean 'tiny'\?\)"),
  ],
)
def test_a_policy_of_another_shape_is_refused(folder, preset, message):
  mesh = sharding.make_mesh((-1, 1, 1))
  with pytest.raises(errors.UserError, match=message):
    load.open_policy(model_config(folder, preset), mesh)


@pytest.mark.parametrize('preset', ['', 'small', 'qwen3-0.6b'])
def test_a_preset_without_weights_needs_a_path(preset):
  with pytest.raises(
    errors.UserError,
    match=f"model.path='' with model.preset='{preset}': .*tiny, gemma3-270m",
  ):
    load.policy_folder(model_config(preset=preset))


def test_a_policy_may_be_a_gguf_file(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  path = tmp_path / 'some.gguf'
  written = tiny_gguf.write(path)
  mesh = sharding.make_mesh((-1, 1, 1))
  policy = load.open_policy(model_config(str(path)), mesh)
  np.testing.assert_array_equal(
    policy.params['embedding'], written['token_embd.weight']
  )
  with pytest.raises(
    errors.UserError, match=r'some.gguf.*does not hold .*tiny'
  ):
    load.open_policy(model_config(str(path), 'tiny'), mesh)


def test_prompt_and_response_fit_the_model():
  model = dataclasses.replace(presets.PRESETS['tiny'], max_len_tokens=100)
  config = ml_collections.ConfigDict(
    dict(data=dict(max_prompt_len_tokens=60), sampling=dict(max_len_tokens=40))
  )
  load.check_lengths(model, config)
  config.sampling.max_len_tokens = 41
  with pytest.raises(
    errors.UserError, match=r'prompt_len_tokens=60 and .*=41 .* the 100 tokens'
  ):
    load.check_lengths(model, config)
