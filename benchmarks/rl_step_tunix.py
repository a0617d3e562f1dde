"""google-tunix's side of rl_step.py; run with its own environment.

GRPOLearner with the engine 'vanilla', as its documentation has it for one
process, on the same shape and work.
"""

import sys
import time

from flax import nnx
import jax
from jax.sharding import Mesh
import numpy as np
import optax
import rl_step_work as work_lib
from tunix.models.qwen2 import model as qwen2
from tunix.rl import rl_cluster
from tunix.rl.grpo import grpo_learner
from tunix.rl.rollout import base_rollout

# Token ids of the letters that prompts are made of; any will do.
_FIRST_ID = 3


class Tokenizer:
  """A character a token. Ids beyond the letters have no text of their own."""

  def __init__(self, vocab: int):
    self.vocab = vocab

  def encode(self, text, **_):
    return [_FIRST_ID + b for b in text.encode()]

  def decode(self, ids, **_):
    in_reward = lambda i: int(i) < work_lib.REWARDED_IDS
    return ''.join('a' if in_reward(i) else '?' for i in ids)

  def pad_id(self):
    return 0

  def bos_id(self):
    return 1

  def eos_id(self):
    return self.vocab  # Never drawn: no response is to end early.


def make_model(vocab: int) -> qwen2.Qwen2:
  config = qwen2.ModelConfig(
    num_layers=work_lib.LAYERS,
    vocab_size=vocab,
    embed_dim=work_lib.D_MODEL,
    hidden_dim=work_lib.MLP_DIM,
    num_heads=work_lib.HEADS,
    head_dim=work_lib.HEAD_DIM,
    num_kv_heads=work_lib.KV_HEADS,
    rope_theta=10000,
    norm_eps=1e-6,
    use_tied_embedding=True,
  )
  model = qwen2.Qwen2(config, rngs=nnx.Rngs(0))
  # It draws the table from N(0, 1); others from N(0, 0.02).
  table = model.embedder.input_embedding
  table.value = table.value * 0.02
  return model


def make_cluster(work: work_lib.Work, mesh: Mesh) -> rl_cluster.RLCluster:
  roles = [rl_cluster.Role.ACTOR, rl_cluster.Role.ROLLOUT]
  if work.kl_weight:
    roles.append(rl_cluster.Role.REFERENCE)
  config = rl_cluster.ClusterConfig(
    role_to_mesh=dict.fromkeys(roles, mesh),
    rollout_engine='vanilla',
    training_config=rl_cluster.RLTrainingConfig(
      actor_optimizer=optax.adamw(work_lib.LEARNING_RATE),
      eval_every_n_steps=10**6,
      max_steps=work.steps,
    ),
    rollout_config=base_rollout.RolloutConfig(
      max_tokens_to_generate=work_lib.RESPONSE_LEN,
      max_prompt_length=work_lib.PROMPT_LEN,
      kv_cache_size=work_lib.PROMPT_LEN + work_lib.RESPONSE_LEN,
      temperature=1.0,
      top_p=1.0,
    ),
  )
  return rl_cluster.RLCluster(
    actor=make_model(work.vocab),
    reference=make_model(work.vocab) if work.kl_weight else None,
    tokenizer=Tokenizer(work.vocab),
    cluster_config=config,
  )


def prompts(work: work_lib.Work):
  rng = np.random.default_rng(0)
  while True:
    # One character fewer: it puts a token in front.
    shape = (work.prompts, work_lib.PROMPT_LEN - 1)
    rows = rng.integers(ord('a'), ord('z') + 1, shape)
    yield {'prompts': np.array([''.join(map(chr, row)) for row in rows])}


def main(argv):
  work = work_lib.parse_work(argv, __doc__)
  mesh = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ('fsdp', 'tp'))
  with mesh:
    cluster = make_cluster(work, mesh)
  clock, generate = work_lib.Clock(), cluster.generate

  def timed_generate(*args, **settings):
    began = time.perf_counter()
    out = generate(*args, **settings)
    clock.rolled_out(time.perf_counter() - began)
    timed_generate.tokens = sum(len(row) for row in out.tokens)
    return out

  def reward(prompts, completions, **_):
    del prompts
    # From reward to reward is one step, the update that follows it included;
    # the first of these has no step before it.
    if reward.calls:
      clock.step(timed_generate.tokens)
    reward.calls += 1
    return [float(np.mean([c == 'a' for c in s])) for s in completions]

  reward.calls = 0
  cluster.generate = timed_generate
  learner = grpo_learner.GRPOLearner(
    rl_cluster=cluster,
    reward_fns=reward,
    algo_config=grpo_learner.GRPOConfig(
      num_generations=work_lib.GROUP,
      num_iterations=1,
      beta=work.kl_weight,
      epsilon=work_lib.CLIP,
    ),
  )
  with mesh:
    learner.train(prompts(work))
  clock.report()


if __name__ == '__main__':
  main(sys.argv[1:])
