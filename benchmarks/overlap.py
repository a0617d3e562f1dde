"""Measures how rollouts and rewards of a step overlap.

  python benchmarks/overlap.py --json overlap.json

The embedded policy answers its problems; each answer is replaced by a program
that takes 0.01 to 2 s (log-uniform; it sleeps and does not compute).
Reports seconds of decoding alone, of execution alone, of one after the other,
and of both overlapped (coderl/training/async_rewards.py), which should take no
longer than the longer of the first two. Asserts that the rewards are the same.

One core stands for the device that decodes, the others for the host that runs
programs, because an accelerator is not slowed down by its host.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import json
import os
import statistics
import sys
import time

import jax
import numpy as np

from coderl import types
from coderl.distributed import sharding
from coderl.models import load
from coderl.models.checkpoints import huggingface
from coderl.problems.sources.embedded import problem_set
from coderl.rewards import scoring
from coderl.rl import batching
from coderl.sampling import base, local
from coderl.sampling import sampler as sampler_lib
from coderl.sandbox import api
from coderl.sandbox import sandbox as sandbox_lib
from coderl.text import tokenization
from coderl.training import async_rewards

_GROUP = 8
_CONFIG = sampler_lib.SamplingConfig(_GROUP, 120, slots=16)
_PROBLEM = types.Problem('waits', '', (types.Test('', 'done\n'),))
_SHORTEST_S, _LONGEST_S = 0.01, 2.0


class ReplacingSampler:
  """Samples from another sampler and replaces the text of each rollout."""

  def __init__(self, sampler: base.Sampler, texts: Sequence[str]):
    self._sampler, self._texts = sampler, texts

  def sample(self, policy, prompts, key, config):
    for chunk in self._sampler.sample(policy, prompts, key, config):
      yield [(n, dataclasses.replace(r, text=self._texts[n])) for n, r in chunk]


class IdleSandbox:
  """A sandbox that runs nothing and takes no time."""

  def run(self, programs):
    return [api.Execution(api.Status.FINISHED) for _ in programs]


def sleeping_programs(count: int, rng: np.random.Generator) -> list[str]:
  """Returns replies with programs that sleep for a random time."""
  spans = np.exp(rng.uniform(np.log(_SHORTEST_S), np.log(_LONGEST_S), count))
  return [
    f'```python\nimport time\ntime.sleep({span:.4f})\nprint("done")  # {i}\n```'
    for i, span in enumerate(spans)
  ]


def measure(prompts, policy, mesh, sandbox, seed: int) -> dict[str, float]:
  """Returns the times of one step, in seconds."""
  count = len(prompts) * _GROUP
  texts = sleeping_programs(count, np.random.default_rng(seed))
  sampler = ReplacingSampler(local.LocalSampler(40, mesh), texts)

  def begin(sandbox):
    return async_rewards.begin(
      sampler,
      policy,
      prompts,
      jax.random.key(seed),
      _CONFIG,
      async_rewards.RewardFunction(sandbox),
    )

  clock = [time.monotonic()]
  decoded = begin(IdleSandbox()).rollouts
  clock.append(time.monotonic())
  rollouts = [r for _, r in sorted(decoded, key=lambda pair: pair[0])]
  serial = scoring.score(rollouts, sandbox)
  clock.append(time.monotonic())
  pending = begin(sandbox)
  sampled = time.monotonic()
  overlapped = pending.scored()
  clock.append(time.monotonic())
  assert [r.reward for r in overlapped] == [r.reward for r in serial]
  assert sum(r.reward for r in serial) == len(serial)
  decode, execute, together = np.diff(clock).tolist()
  return {
    'decode_s': decode,
    'execute_s': execute,
    'serial_s': decode + execute,
    'overlapped_s': together,
    'over_the_larger': together / max(decode, execute),
    'waited_share': (clock[-1] - sampled) / together,
  }


def main(argv: Sequence[str]) -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--prompts', type=int, default=128)
  parser.add_argument('--workers', type=int, default=32)
  parser.add_argument('--repeats', type=int, default=3)
  parser.add_argument('--json')
  args = parser.parse_args(argv)
  cores = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, cores[1:] or cores)
  limits = api.Limits(wall_s=10.0)
  sandbox = sandbox_lib.Sandbox(limits, args.workers)
  os.sched_setaffinity(0, cores[:1])  # Before XLA counts them.
  model, params = huggingface.load(str(load.EMBEDDED))
  tokenizer = tokenization.Tokenizer.from_dir(load.EMBEDDED)
  policy = load.Policy(model, jax.device_put(params), tokenizer)
  problems = problem_set.problems('train', 0)
  prompts = batching.generation_prompts(problems, tokenizer, 'compact', 320)
  prompts = [
    dataclasses.replace(prompt, problem=_PROBLEM)
    for prompt in prompts[: args.prompts]
  ]
  mesh = sharding.make_mesh((1, -1, 1))
  with sandbox, jax.set_mesh(mesh):
    measure(prompts[:8], policy, mesh, sandbox, seed=0)  # Compiles a part.
    runs = [
      measure(prompts, policy, mesh, sandbox, seed)
      for seed in range(1, args.repeats + 1)
    ]
  medians = {
    name: statistics.median(run[name] for run in runs) for name in runs[0]
  }
  for name, value in medians.items():
    print(f'{name:<16} {value:8.3f}')
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as f:
      json.dump({'runs': runs, 'median': medians}, f, indent=2)


if __name__ == '__main__':
  main(sys.argv[1:])
