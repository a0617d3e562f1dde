"""Measures positions computed on per token, before and after packing.

  python benchmarks/padding.py --json padding.json

The rollouts have the paper's size (8 x 128, up to 1,024 + 8,192 tokens) and
log-normal lengths with a tenth of the responses at the cap. They are split into
updates and microbatches as in configs/coderl_train.py. Before packing, every
row is as long as the longest prompt plus the longest response.
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
  """Draws lengths of prompts, equal in a group, and of responses, in tokens."""
  prompt_cap, cap = longest
  median = cap / np.exp(_SPREAD * _NINTH_DECILE)
  draw = lambda median, n, cap: np.clip(
    rng.lognormal(np.log(median), _SPREAD, n).astype(int), 1, cap
  )
  prompts = draw(_MEDIAN_PROMPT, rows // group, prompt_cap)
  return np.repeat(prompts, group), draw(median, rows, cap)


def batch_of(prompts: np.ndarray, responses: np.ndarray, c: int):
  """Returns a padded batch of these lengths, without other content."""
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
  """Returns the figures of the rollouts of one step."""
  config = coderl_train.get_config('model=qwen2.5-coder-7b')
  group, t = config.sampling.group_size, config.train
  longest = (config.data.max_prompt_len_tokens, config.sampling.max_len_tokens)
  layout = batching.Layout(config.data.bucket_len_tokens, 1, 1)
  rng = np.random.default_rng(seed)
  prompts, responses = lengths(t.prompts_per_step * group, group, longest, rng)
  batch = batch_of(prompts, responses, layout.max_value_len)
  round_up = lambda n: packing.bucket(n, layout.bucket_len)
  before, after, seconds = [], [], []
  for minibatch in batching.minibatches(batch, t.minibatches, group, rng):
    used = int(minibatch.valid_BT.sum())
    before.append(
      len(minibatch.mask_BR)
      * (round_up(prompts.max()) + round_up(responses.max()))
      / used
    )
    began = time.perf_counter()
    packed, placement = batching.pack(
      minibatch, layout, algorithms.make('grpo'), t.microbatches
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
  medians = {
    name: statistics.median(run[name] for run in runs) for name in runs[0]
  }
  medians['most_after'] = max(run['after'] for run in runs)
  for name, value in medians.items():
    print(f'{name:<14} {value:10.3f}')
  assert medians['most_after'] < medians['before']
  if args.json:
    with open(args.json, 'w', encoding='utf-8') as f:
      json.dump(medians, f, indent=2)


if __name__ == '__main__':
  main()
