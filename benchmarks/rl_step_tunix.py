"""google-tunix's part of benchmarks/rl_step.py: its GRPO learner.

Runs in an environment with google-tunix, with the settings as JSON in the only
argument; prints a JSON line for every step.
"""

import os

os.environ['JAX_PLATFORMS'] = 'cpu'

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import rl_step_work
from tunix.models.qwen2 import model as qwen2
from tunix.rl import rl_cluster
from tunix.rl.grpo import grpo_learner
from tunix.rl.rollout import base_rollout

_PAD, _BOS, _FIRST = 0, 1, 2


class Tokenizer:
  """A tokenizer of characters without an end token; token i is chr(97 + i)."""

  def __init__(self, vocab: int):
    self._vocab = vocab

  def encode(self, text, **kwargs):
    del kwargs
    return [_FIRST + ord(c) - ord('a') for c in text]

  def decode(self, ids, **kwargs):
    del kwargs
    return ''.join(chr(ord('a') + int(i)) for i in ids)

  def bos_id(self):
    return _BOS

  def eos_id(self):
    return self._vocab  # Outside the vocabulary.

  def pad_id(self):
    return _PAD


def policy(work: rl_step_work.Work) -> qwen2.Qwen2:
  config = qwen2.ModelConfig(
    num_layers=work.layers,
    vocab_size=work.vocab,
    embed_dim=work.d_model,
    hidden_dim=work.mlp_dim,
    num_heads=work.heads,
    head_dim=work.head_dim,
    num_kv_heads=work.kv_heads,
    rope_theta=10000,
    norm_eps=1e-6,
    use_tied_embedding=True,
  )
  model = qwen2.Qwen2(config, rngs=nnx.Rngs(0))
  # The table is drawn from N(0, 1), where tied embeddings give a one-hot
  # softmax.
  table = model.embedder.input_embedding
  table[...] = table[...] * 0.02
  return model


def cluster(
  work: rl_step_work.Work, actor: qwen2.Qwen2, mesh: jax.sharding.Mesh
) -> rl_cluster.RLCluster:
  roles = [rl_cluster.Role.ACTOR, rl_cluster.Role.ROLLOUT]
  if work.kl_weight:
    roles.append(rl_cluster.Role.REFERENCE)
  config = rl_cluster.ClusterConfig(
    role_to_mesh={role: mesh for role in roles},
    rollout_engine='vanilla',
    training_config=rl_cluster.RLTrainingConfig(
      actor_optimizer=optax.adamw(work.learning_rate),
      eval_every_n_steps=10**6,
      max_steps=work.steps,
    ),
    rollout_config=base_rollout.RolloutConfig(
      max_tokens_to_generate=work.response_len,
      max_prompt_length=work.prompt_len,
      kv_cache_size=work.prompt_len + work.response_len,
      temperature=1.0,
      top_p=1.0,
    ),
  )
  return rl_cluster.RLCluster(
    actor=actor,
    reference=policy(work) if work.kl_weight else None,
    tokenizer=Tokenizer(work.vocab),
    cluster_config=config,
  )


def prompts(work: rl_step_work.Work):
  """Yields batches of prompts forever; the sampler adds the first token."""
  rng = np.random.default_rng(0)
  while True:
    ids = rng.integers(0, 26, (work.prompts, work.prompt_len - 1))
    rows = [''.join(chr(ord('a') + i) for i in row) for row in ids]
    yield {'prompts': np.array(rows)}


def main() -> None:
  work = rl_step_work.work_from_argv()
  meter = rl_step_work.Meter()
  actor = policy(work)
  mesh = jax.sharding.Mesh(
    np.array(jax.devices()[:1]).reshape(1, 1), ('fsdp', 'tp')
  )

  def reward(prompts, completions, **kwargs):
    del prompts, kwargs
    responses = [[ord(c) - ord('a') for c in text] for text in completions]
    rewards = [rl_step_work.reward(response) for response in responses]
    meter.rewarded(responses, rewards)
    return rewards

  with mesh:
    rl = cluster(work, actor, mesh)
    generate = rl.generate

    def timed(*args, **kwargs):
      with meter.rollout():
        return jax.block_until_ready(generate(*args, **kwargs))

    rl.generate = timed
    learner = grpo_learner.GRPOLearner(
      rl_cluster=rl,
      reward_fns=reward,
      algo_config=grpo_learner.GRPOConfig(
        num_generations=work.group,
        num_iterations=1,
        beta=work.kl_weight,
        epsilon=0.2,
      ),
    )
    learner.train(prompts(work))
  leaves = jax.tree.leaves(nnx.state(actor, nnx.Param))
  rl_step_work.finish(all(jnp.isfinite(leaf).all() for leaf in leaves))


if __name__ == '__main__':
  main()
