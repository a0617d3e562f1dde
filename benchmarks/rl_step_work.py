"""The work of benchmarks/rl_step.py, its arithmetic and its clock.

Of the standard library alone: the peers' scripts import it in their own
environments.
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

  A Qwen 2 shape with random weights and tied embeddings in float32. Prompts
  are of prompt_len tokens, responses of response_len: no token ends one. The
  reward is the share of token ids below LOW_IDS.
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
    """Generated in a step."""
    return self.rows * self.response_len


LOW_IDS = 256
# The first intervals between two rewards, which hold compilation.
COMPILING = 1


def flops(work: Work) -> dict[str, float]:
  """What a step cannot do without, by part.

  Rollout: each prompt once through the blocks, then every token but the last
  of each response; logits for every response token. Training: a forward and
  twice as much backward over all positions, logits for the response alone;
  with a reference policy, one forward more. Attention is causal.
  """
  w = work
  queries, keys = w.heads * w.head_dim, w.kv_heads * w.head_dim
  weights = w.d_model * (2 * queries + 2 * keys + 3 * w.mlp_dim)
  token = 2 * w.layers * weights
  # Scores and weighted sum with each of the tokens seen.
  seen = 4 * w.layers * queries
  whole = w.prompt_len + w.response_len
  triangle = lambda length: length * (length + 1) // 2
  logits = 2 * w.d_model * w.vocab * w.tokens
  prefill = w.prompts * (token * w.prompt_len + seen * triangle(w.prompt_len))
  decode = w.rows * (
    token * (w.response_len - 1)
    + seen * (triangle(whole - 1) - triangle(w.prompt_len))
  )
  forward = w.rows * (token * whole + seen * triangle(whole)) + logits
  return {
    'rollout': prefill + decode + logits,
    'train': forward * (3 + bool(w.kl_weight)),
  }


def cpu_s() -> float:
  """Processor time of this process and the children it waited for."""
  usages = map(
    resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mb() -> float:
  """The most memory that was resident."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work_from_argv() -> Work:
  """The fields of Work, as JSON in the only argument."""
  return Work(**json.loads(sys.argv[1]))


class Meter:
  """Prints a JSON line for every step, from one reward to the next."""

  def __init__(self):
    self._rollout = (0.0, 0.0)
    self._last = None

  @contextlib.contextmanager
  def rollout(self):
    """Around the generation of a step."""
    start = time.perf_counter(), cpu_s()
    yield
    self._rollout = time.perf_counter() - start[0], cpu_s() - start[1]

  def rewarded(self, responses: list[list[int]], rewards: list[float]) -> None:
    """At each reward; responses as token ids."""
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
  """The share of token ids below LOW_IDS."""
  return sum(i < LOW_IDS for i in response) / max(len(response), 1)


def finish(finite: bool, **more) -> None:
  """Prints the last line: whether every weight is still a number, and more."""
  print(json.dumps({'finite': bool(finite), **more}), flush=True)
