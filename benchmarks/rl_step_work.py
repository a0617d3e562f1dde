"""The work of rl_step.py: one GRPO step, the same for every system.

Standard library only: the peers' environments import it too.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import json
import resource
import time

LAYERS, D_MODEL, HEADS, KV_HEADS, HEAD_DIM, MLP_DIM = 4, 256, 4, 2, 64, 1024
GROUP, PROMPT_LEN, RESPONSE_LEN = 8, 64, 64
LEARNING_RATE, CLIP = 1e-3, 0.2
# The reward is the share of tokens below it.
REWARDED_IDS = 256


@dataclasses.dataclass(frozen=True)
class Work:
  """What varies. kl_weight: 0 does without the reference model."""

  vocab: int
  prompts: int
  kl_weight: float
  steps: int

  @property
  def rows(self) -> int:
    return self.prompts * GROUP

  @property
  def tokens(self) -> int:
    return self.rows * RESPONSE_LEN


def parse_work(argv: Sequence[str], description: str | None) -> Work:
  """The work that the command line of a system's script asks for."""
  parser = argparse.ArgumentParser(description=description)
  parser.add_argument('--vocab', type=int, required=True)
  parser.add_argument('--prompts', type=int, required=True)
  parser.add_argument('--kl_weight', type=float, required=True)
  parser.add_argument('--steps', type=int, required=True)
  return Work(**vars(parser.parse_args(argv)))


def flops(work: Work) -> dict[str, float]:
  """Least arithmetic of a step by part, two operations a multiply-add.

  rollout: each prompt once, then each response token, all with attention to
  what precedes; logits for the last prompt token and each response token.
  train: forward and backward, three times a forward pass over prompt and
  response, logits for the response. reference: one forward pass.
  """
  weights = LAYERS * (
    2 * D_MODEL * HEADS * HEAD_DIM
    + 2 * D_MODEL * KV_HEADS * HEAD_DIM
    + 3 * D_MODEL * MLP_DIM
  )
  table = D_MODEL * work.vocab
  # Of scores and of the weighted sum, for one query and one key.
  pair = LAYERS * HEADS * HEAD_DIM * 4
  triangle = lambda n: n * (n + 1) // 2
  whole = PROMPT_LEN + RESPONSE_LEN
  prefill = work.prompts * (
    2 * weights * PROMPT_LEN + pair * triangle(PROMPT_LEN) + 2 * table
  )
  decode = work.rows * (
    2 * (weights + table) * RESPONSE_LEN
    + pair * (triangle(whole) - triangle(PROMPT_LEN))
  )
  forward = work.rows * (
    2 * weights * whole + pair * triangle(whole) + 2 * table * RESPONSE_LEN
  )
  return {
    'rollout': float(prefill + decode),
    'train': 3.0 * forward,
    'reference': float(forward) if work.kl_weight else 0.0,
  }


class Clock:
  """Wall and processor time of the steps and of their rollouts."""

  def __init__(self):
    self.steps: list[dict[str, float]] = []
    self._began = self._times()
    self._rollout_s = 0.0

  @staticmethod
  def _times() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()

  def rolled_out(self, seconds: float) -> None:
    """Within a step: how long its rollout took."""
    self._rollout_s += seconds

  def step(self, tokens: int) -> None:
    """Ends a step that generated so many tokens."""
    now = self._times()
    self.steps.append(
      {
        'seconds': now[0] - self._began[0],
        'cpu_s': now[1] - self._began[1],
        'rollout_s': self._rollout_s,
        'tokens': tokens,
      }
    )
    self._began, self._rollout_s = now, 0.0

  def report(self, **more) -> None:
    """Prints all of it as one line of JSON, the script's last."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({'steps': self.steps, 'peak_mb': peak, **more}))
