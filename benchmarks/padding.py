"""Tokens computed on over tokens there are, before packing and after.

  python benchmarks/padding.py --json padding.json

Rollouts of the paper's size (8 x 128, up to 1,024 + 8,192 tokens), their
lengths log-normal with a tenth of the responses at the cap, split into updates
and microbatches as configs/coderl_train.py has them. Before is a rectangle that
the longest prompt and the longest response span.
"""

import argparse
import json
import statistics
import time

import numpy as np

from coderl import types
from coderl.rl import algorithms, batching, packing
from configs import coderl_train

_SPREAD = 1.0  # Standard deviation of a length's logarithm.
_MEDIAN_PROMPT = 300
_AT_CAP = 0.1
_NINTH_DECILE = 1.2816  # Of the standard normal distribution.


def lengths(
  rows: int, group: int, longest: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Of prompts, alike in a group, and of responses; a tenth at the cap."""
  prompt_cap, cap = longest
  median = cap / np.exp(_SPREAD * _NINTH_DECILE)
  draw = lambda median, n, cap: np.clip(
    rng.lognormal(np.log(median), _SPREAD, n).astype(int), 1, cap
  )
  prompts = draw(_MEDIAN_PROMPT, rows // group, prompt_cap)
  return np.repeat(prompts, group), draw(median, rows, cap)


def batch_of(prompts: np.ndarray, responses: np.ndarray, c: int):
  """A padded batch of such rows, with nothing in it but lengths."""
  p, r, rows = prompts.max(), responses.max(), len(prompts)
  mask_BR = np.arange(r) < responses[:, None]
  valid_BT = np.concatenate(
    [np.arange(p) >= p - prompts[:, None], mask_BR], axis=1
  )
  zeros_BR = np.zeros((rows, r), np.float32)
  return types.RolloutBatch(
    valid_BT.astype(np.int32),
    valid_BT,
    mask_BR,
    *[zeros_BR] * 6,
    queries_BM=np.zeros((rows, 1), np.int32),
    values_BMC=np.zeros((rows, 1, c), np.int32),
    values_mask_BMC=np.zeros((rows, 1, c), bool),
  )


def measure(seed: int) -> dict[str, float]:
  """The figures of one step's rollouts."""
  config = coderl_train.get_config('model=qwen2.5-coder-7b')
  group, t = config.sampling.group_size, config.train
  longest = (config.data.max_prompt_len_tokens, config.sampling.max_len_tokens)
  layout = batching.Layout(config.data.bucket_len_tokens, 1, 1)
  rng = np.random.default_rng(seed)
  prompts, responses = lengths(t.prompts_per_step * group, group, longest, rng)
  batch = batch_of(prompts, responses, layout.max_value_len)
  up = lambda n: packing.bucket(n, layout.bucket_len)
  before, after, seconds = [], [], []
  for part in batching.minibatches(batch, t.minibatches, group, rng):
    used = int(part.valid_BT.sum())
    before.append(
      len(part.mask_BR) * (up(prompts.max()) + up(responses.max())) / used
    )
    began = time.perf_counter()
    packed, placement = batching.pack(
      part, layout, algorithms.make('grpo'), t.microbatches
    )
    seconds.append(time.perf_counter() - began)
    assert int((packed.segments_BT > 0).sum()) == used
    after.append(packing.padding(placement))
  return {
    'at_cap': float((responses == longest[1]).mean()),
    'mean_response': float(responses.mean()),
    'before': max(before),
    'after': max(after),
    'packing_s': max(seconds),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--repeats', type=int, default=5)
  parser.add_argument('--json')
  args = parser.parse_args()
  runs = [measure(seed) for seed in range(args.repeats)]
  found = {
    name: statistics.median(run[name] for run in runs) for name in runs[0]
  }
  found['most_after'] = max(run['after'] for run in runs)
  for name, value in found.items():
    print(f'{name:<14} {value:10.3f}')
  assert found['most_after'] < found['before']
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as f:
      json.dump(found, f, indent=2)


if __name__ == '__main__':
  main()
