"""The sampler as an engine: in turns, and each process with its own rows."""

import copy
import itertools

import jax
import numpy as np
import pytest

from coderl import types
from coderl.distributed import sharding
from coderl.models import load
from coderl.rl import packing
from coderl.sampling import base, sampler, sharded_sampler
from coderl.text import tokenization
from tests.coderl.sampling import sampler_test

TOKENIZER = copy.copy(tokenization.Tokenizer.from_dir(load.EMBEDDED))
TOKENIZER.stop_ids = (6,)  # Of the seven that the policy draws.
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


def test_rows_come_once_as_they_end_and_are_what_one_program_samples(
  mesh, monkeypatch
):
  monkeypatch.setattr(base, '_LEAST_STEPS', 4)
  monkeypatch.setattr(base, '_TURNS', 10)
  source = base.BuiltIn(bucket_len=1, mesh=mesh)
  with jax.set_mesh(mesh):
    parts = list(source.sample(POLICY, PROMPTS, jax.random.key(0), CONFIG))
    whole, _ = sharded_sampler.generate(
      POLICY.params,
      *sharding.put(
        (
          *packing.pad_left([p.tokens for p in PROMPTS], sampler_test.P),
          np.arange(len(PROMPTS), dtype=np.int32),
        ),
        mesh,
      ),
      jax.random.key(0),
      model=POLICY.model,
      config=CONFIG,
      stop_ids=(6,),
    )
  numbered = list(itertools.chain(*parts))
  assert sorted(n for n, _ in numbered) == list(range(3 * len(PROMPTS)))
  for n, rollout in numbered:
    assert rollout.prompt is PROMPTS[n // 3]
    length = int(whole.len_N[n])
    assert list(rollout.tokens) == whole.tokens_NR[n, :length].tolist()
    np.testing.assert_allclose(
      rollout.logprobs, whole.logprobs_NR[n, :length], atol=1e-5
    )
    assert rollout.finished == bool(whole.finished_N[n])
  # Short rows are there while long ones are still being written.
  longest = [max(len(r.tokens) for _, r in part) for part in parts if part]
  assert len(longest) > 3 and longest[0] < 12 < longest[-1]


def test_prompts_of_one_call_want_the_same_stops():
  other = types.Prompt(types.GENERATE, '', (1,), PROBLEM, stops=('x',))
  with pytest.raises(ValueError, match='same stops'):
    base.stops_of([PROMPTS[0], other])
