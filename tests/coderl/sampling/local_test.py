"""Laws of the built-in sampler, which yields responses in chunks."""

import copy
import itertools

import jax
import numpy as np
import pytest

from coderl import types
from coderl.distributed import sharding
from coderl.models import load
from coderl.rl import packing
from coderl.sampling import local, sampler, sharded_sampler
from coderl.text import tokenization
from tests.coderl.sampling import sampler_test

TOKENIZER = copy.copy(tokenization.Tokenizer.from_dir(load.EMBEDDED))
TOKENIZER.stop_ids = (6,)  # One of the seven tokens of the test's policy.
PROBLEM = types.Problem(id='p', statement='', tests=())
PROMPTS = [
  types.Prompt(types.GENERATE, '', tuple(row[valid].tolist()), PROBLEM)
  for row, valid in zip(sampler_test.MANY, sampler_test.MANY_VALID, strict=True)
]
POLICY = load.Policy(sampler_test.CONFIG, sampler_test.PARAMS, TOKENIZER)
CONFIG = sampler.SamplingConfig(3, 40, temperature=0.8, slots=5)


@pytest.fixture(scope='module')
def mesh():
  return sharding.make_mesh((1, -1, 1))


def generate(mesh):
  """Samples all prompts in one program."""
  arrays = (
    *packing.pad_left([p.tokens for p in PROMPTS], sampler_test.P),
    np.arange(len(PROMPTS), dtype=np.int32),
  )
  samples, _ = sharded_sampler.generate(
    POLICY.params,
    *sharding.put(arrays, mesh),
    jax.random.key(0),
    model=POLICY.model,
    config=CONFIG,
    stop_ids=(6,),
  )
  return samples


def test_each_response_comes_once_and_equals_that_of_one_program(
  mesh, monkeypatch
):
  monkeypatch.setattr(local, '_LEAST_STEPS', 4)
  monkeypatch.setattr(local, '_CHUNKS', 10)
  source = local.LocalSampler(bucket_len=1, mesh=mesh)
  with jax.set_mesh(mesh):
    chunks = list(source.sample(POLICY, PROMPTS, jax.random.key(0), CONFIG))
    expected = generate(mesh)
  numbered = list(itertools.chain(*chunks))
  assert sorted(n for n, _ in numbered) == list(range(3 * len(PROMPTS)))
  for n, rollout in numbered:
    assert rollout.prompt is PROMPTS[n // 3]
    length = int(expected.len_N[n])
    np.testing.assert_array_equal(
      rollout.tokens, expected.tokens_NR[n, :length]
    )
    np.testing.assert_allclose(
      rollout.logprobs, expected.logprobs_NR[n, :length], atol=1e-5
    )
    assert rollout.finished == bool(expected.finished_N[n])
    assert rollout.tokens.dtype == np.int32
    assert rollout.logprobs.dtype == rollout.drawn_logprobs.dtype == np.float32
    assert rollout.tokens.base is None  # It keeps no larger array in memory.
  # Short responses are yielded while long ones are still being written.
  longest = [max(len(r.tokens) for _, r in chunk) for chunk in chunks if chunk]
  assert len(longest) > 3 and longest[0] < 12 < longest[-1]


@pytest.mark.parametrize(
  ('count', 'expected'), [(1, 1), (7, 7), (9, 10), (17, 20), (63, 64)]
)
def test_few_shapes_are_sampled_from(count, expected):
  mesh = jax.sharding.AbstractMesh(
    (1, 1, 1), sharding.AXES, axis_types=sharding.AXIS_TYPES
  )
  prompts = [types.Prompt(types.GENERATE, '', (0,) * 33, PROBLEM)] * count
  assert local.sample_shape(prompts, 40, mesh) == (expected, 40)
