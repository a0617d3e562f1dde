"""transformers loads saved folders: same model, same logits, nothing unused.

The opposite direction is in parity_live_test.py.
"""

import dataclasses

import jax
import numpy as np
import pytest

from coderl.models import transformer
from coderl.models.checkpoints import huggingface
from tests.coderl.models.checkpoints import huggingface_test

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)

LLAMA3 = transformer.RopeScaling('llama3', 4.0, 1.0, 3.0, 8)
CONFIGS = {
  **huggingface_test.CONFIGS,
  'llama, scaled': dataclasses.replace(
    huggingface_test.CONFIGS['llama'], rope_scaling=LLAMA3, tied_embeddings=True
  ),
  'qwen2, windows': dataclasses.replace(
    huggingface_test.CONFIGS['qwen2'],
    layer_pattern=('global', 'local', 'local'),
    sliding_window=3,
    local_rope_theta=huggingface_test.CONFIGS['qwen2'].rope_theta,
  ),
  'gemma3_text, scaled': dataclasses.replace(
    huggingface_test.CONFIGS['gemma3_text'],
    rope_scaling=transformer.RopeScaling('linear', 8.0),
    query_scale=168**-0.5,
    layer_pattern=('local', 'global'),
  ),
}


def logits(params, config, tokens_BT):
  hidden = transformer.hidden_states(
    params, config, tokens_BT, np.ones_like(tokens_BT, bool)
  )
  return hidden @ transformer.unembedding(params, config)


def opened(folder):
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, output_loading_info=True
  )
  assert not any(info.values()), info
  return model


@pytest.fixture(params=CONFIGS)
def config(request):
  return CONFIGS[request.param]


def test_same_logits(config, tmp_path):
  params = huggingface_test.random_params(config)
  huggingface.save(tmp_path, config, params, 'float32')
  tokens_BT = np.arange(1, 21).reshape(2, 10) % config.vocab_size
  with torch.no_grad():
    theirs = opened(tmp_path)(torch.tensor(tokens_BT)).logits.numpy()
  ours = logits(params, config, tokens_BT)
  scale = np.abs(theirs).max()
  np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-5)


def test_a_folder_saved_again_by_transformers_is_the_same_model(
  config, tmp_path
):
  params = huggingface_test.random_params(config)
  huggingface.save(tmp_path / 'ours', config, params, 'float32')
  opened(tmp_path / 'ours').save_pretrained(tmp_path / 'theirs')
  loaded_config, loaded = huggingface.load(tmp_path / 'theirs')
  assert loaded_config == config
  jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_files_of_transformers_are_kept_to_the_byte(config, tmp_path):
  huggingface.save(
    tmp_path / 'ours', config, huggingface_test.random_params(config)
  )
  model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'ours')
  theirs = tmp_path / 'theirs'
  model.save_pretrained(theirs, max_shard_size='2KB')
  (theirs / 'generation_config.json').unlink()  # Holds no weights.
  assert len(list(theirs.glob('*.safetensors'))) > 2
  again = tmp_path / 'again'
  huggingface.save(again, *huggingface.load(theirs), like=theirs)
  assert huggingface_test.contents(again) == huggingface_test.contents(theirs)
