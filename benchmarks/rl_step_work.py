"""The work of benchmarks/rl_step.py, its arithmetic and its clock.

Imports the standard library only, because the scripts of the other systems
import it in their environments.
"""

import contextlib
import dataclasses
import json
import resource
import sys
import time


@dataclasses.dataclass(frozen=True)
class Work:
  """One reinforcement-learning step, the same for every system.

  The policy has a Qwen 2 shape with random weights and tied embeddings in
  float32. All prompts have prompt_len tokens and all responses response_len,
  because no token ends one. The reward is the share of token ids below LOW_IDS.
  """

  vocab: int
  prompts: int
  kl_weight: float
  steps: int
  group: int = 8
  prompt_len: int = 64
  response_len: int = 64
  layers: int = 4
  d_model: int = 256
  mlp_dim: int = 1024
  heads: int = 4
  kv_heads: int = 2
  head_dim: int = 64
  learning_rate: float = 1e-3

  @property
  def rows(self) -> int:
    return self.prompts * self.group

  @property
  def tokens(self) -> int:
    """Tokens generated in a step."""
    return self.rows * self.response_len


LOW_IDS = 256
# The first intervals between two rewards, which include compilation.
COMPILING = 1


def flops(work: Work) -> dict[str, float]:
  """Returns the least floating-point operations of a step, by phase.

  Rollout: each prompt runs through the blocks once, then every token but the
  last of each response; every response token has logits. Training: a forward
  pass and a backward pass of twice its cost over all positions, with logits of
  the response only; a reference policy adds one forward pass. Attention is
  causal.
  """
  w = work
  queries, keys = w.heads * w.head_dim, w.kv_heads * w.head_dim
  weights = w.d_model * (2 * queries + 2 * keys + 3 * w.mlp_dim)
  token = 2 * w.layers * weights
  # Attention scores and weighted sum, per earlier token.
  attend = 4 * w.layers * queries
  length = w.prompt_len + w.response_len
  triangle = lambda n: n * (n + 1) // 2
  logits = 2 * w.d_model * w.vocab * w.tokens
  prefill = w.prompts * (token * w.prompt_len + attend * triangle(w.prompt_len))
  decode = w.rows * (
    token * (w.response_len - 1)
    + attend * (triangle(length - 1) - triangle(w.prompt_len))
  )
  forward = w.rows * (token * length + attend * triangle(length)) + logits
  return {
    'rollout': prefill + decode + logits,
    'train': forward * (3 + bool(w.kl_weight)),
  }


def cpu_s() -> float:
  """Returns the processor time of this process and its finished children."""
  usages = map(
    resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb() -> float:
  """Returns the peak of resident memory in MiB."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work_from_argv() -> Work:
  """Reads the fields of Work from JSON in the first argument."""
  return Work(**json.loads(sys.argv[1]))


class Meter:
  """Prints a JSON line for every step, from one reward to the next."""

  def __init__(self):
    self._rollout = (0.0, 0.0)
    self._last = None

  @contextlib.contextmanager
  def rollout(self):
    """Measures the generation of a step, which runs in the block."""
    start = time.perf_counter(), cpu_s()
    yield
    self._rollout = time.perf_counter() - start[0], cpu_s() - start[1]

  def rewarded(self, responses: list[list[int]], rewards: list[float]) -> None:
    """Ends a step and begins the next; responses are token ids."""
    now = time.perf_counter(), cpu_s()
    if self._last:
      line = {
        'seconds': now[0] - self._last[0],
        'cpu_s': now[1] - self._last[1],
        'rollout_s': self._rollout[0],
        'rollout_cpu_s': self._rollout[1],
        'tokens': sum(map(len, responses)),
        'reward': sum(rewards) / len(rewards),
        'peak_mb': peak_mb(),
      }
      print(json.dumps(line), flush=True)
    self._last = now


def reward(response: list[int]) -> float:
  """Returns the share of token ids below LOW_IDS."""
  return sum(i < LOW_IDS for i in response) / max(len(response), 1)


def finish(finite: bool, **more) -> None:
  """Prints the last line: whether all weights are finite, and `more`."""
  print(json.dumps({'finite': bool(finite), **more}), flush=True)
