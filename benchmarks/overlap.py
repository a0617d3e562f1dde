"""A step's rollouts and rewards, one after the other and overlapped.

  python benchmarks/overlap.py --json overlap.json

The embedded policy answers its problems; in the place of each answer's program
runs one that takes 0.01 to 2 s (log-uniform; it waits and does not compute).
Decoding alone, execution alone, both in turn, and both overlapped
(coderl/training/async_rewards.py), in seconds; overlapped is to be no more than the larger of
the first two. That the rewards are the same is asserted.

One core is the device that decodes, the others are the host that runs programs:
an accelerator does not slow down by what its host does.
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
from coderl.sampling import base, local, sampler
from coderl.sandbox import api, sandbox
from coderl.text import tokenization
from coderl.training import async_rewards

_GROUP = 8
_CONFIG = sampler.SamplingConfig(_GROUP, 120, slots=16)
_PROBLEM = types.Problem('waits', '', (types.Test('', 'done\n'),))
_SHORTEST_S, _LONGEST_S = 0.01, 2.0


class Instead:
  """An engine whose programs are others, by their number."""

  def __init__(self, source: base.Sampler, programs: Sequence[str]):
    self._source, self._programs = source, programs

  def sample(self, policy, prompts, key, config):
    for part in self._source.sample(policy, prompts, key, config):
      yield [
        (n, dataclasses.replace(r, text=self._programs[n])) for n, r in part
      ]


class Nothing:
  """A sandbox that takes no time, and runs nothing."""

  def run(self, programs):
    return [api.Execution(api.Status.FINISHED) for _ in programs]


def programs_of(rows: int, rng: np.random.Generator) -> list[str]:
  spans = np.exp(rng.uniform(np.log(_SHORTEST_S), np.log(_LONGEST_S), rows))
  return [
    f'```python\nimport time\ntime.sleep({span:.4f})\nprint("done")  # {i}\n```'
    for i, span in enumerate(spans)
  ]


def measure(prompts, policy, mesh, box, seed: int) -> dict[str, float]:
  """Of one step, in seconds."""
  programs = programs_of(len(prompts) * _GROUP, np.random.default_rng(seed))
  source = Instead(local.LocalSampler(40, mesh), programs)

  def begin(box):
    key = jax.random.key(seed)
    judge = async_rewards.RewardFunction(box)
    return async_rewards.begin(source, policy, prompts, key, _CONFIG, judge)

  clock = [time.monotonic()]
  decoded = begin(Nothing())
  clock.append(time.monotonic())
  own = [r for _, r in sorted(decoded.own, key=lambda pair: pair[0])]
  serial = scoring.score(own, box)
  clock.append(time.monotonic())
  pending = begin(box)
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
    'waited_share': pending.waited_s / together,
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
  box = sandbox.Sandbox(limits, args.workers)
  os.sched_setaffinity(0, cores[:1])  # Before XLA counts them.
  model, params = huggingface.load(str(load.EMBEDDED))
  tokenizer = tokenization.Tokenizer.from_dir(load.EMBEDDED)
  policy = load.Policy(model, jax.device_put(params), tokenizer)
  problems = problem_set.problems('train', 0)
  asked = batching.generation_prompts(problems, tokenizer, 'compact', 320)
  asked = [
    dataclasses.replace(prompt, problem=_PROBLEM)
    for prompt in asked[: args.prompts]
  ]
  mesh = sharding.make_mesh((1, -1, 1))
  with box, jax.set_mesh(mesh):
    measure(asked[:8], policy, mesh, box, seed=0)  # Compiles some of it.
    runs = [
      measure(asked, policy, mesh, box, seed)
      for seed in range(1, args.repeats + 1)
    ]
  found = {
    name: statistics.median(run[name] for run in runs) for name in runs[0]
  }
  for name, value in found.items():
    print(f'{name:<16} {value:8.3f}')
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as f:
      json.dump({'runs': runs, 'median': found}, f, indent=2)


if __name__ == '__main__':
  main(sys.argv[1:])
