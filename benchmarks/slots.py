"""Measures what refilling slots saves if responses differ in length.

  python benchmarks/slots.py --json slots.json

The embedded policy answers 64 of its problems, 8 responses each, once with all
sequences at the same time and once with few slots that take sequences from a
queue. Processor and wall times are medians over repeats. Asserts that every
number of slots gives the same responses.
"""

import argparse
from collections.abc import Sequence
import json
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

from coderl.models import load
from coderl.models.checkpoints import huggingface
from coderl.problems.sources.embedded import problem_set
from coderl.rl import packing
from coderl.sampling import sampler, sharded_sampler
from coderl.text import prompts, tokenization

_PROBLEMS, _GROUP, _MAX_LEN_TOKENS = 64, 8, 120
_ALL = 0


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--json', type=pathlib.Path, help='also write the results here'
  )
  parser.add_argument('--slots', type=int, nargs='+', default=[32, 64, 128])
  parser.add_argument('--repeats', type=int, default=3)
  args = parser.parse_args(argv)
  if min(args.repeats, *args.slots) < 1:
    parser.error('--repeats and --slots: must be 1 or more')
  return args


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  model, params = huggingface.load(str(load.EMBEDDED))
  params = jax.device_put(params)
  tokenizer = tokenization.Tokenizer.from_dir(load.EMBEDDED)
  problems = [*problem_set.problems('train', 0)][:_PROBLEMS]
  texts = [prompts.generation(problem, 'compact') for problem in problems]
  token_ids = [tokenizer.encode_chat(text)[0] for text in texts]
  arrays = packing.pad_left(token_ids, max(map(len, token_ids)))
  index = np.arange(len(token_ids), dtype=np.int32)

  def run(slots: int, seed: int) -> sampler.Samples:
    samples, _ = sharded_sampler.generate(
      params,
      *arrays,
      index,
      jax.random.key(seed),
      model=model,
      config=sampler.SamplingConfig(_GROUP, _MAX_LEN_TOKENS, slots=slots),
      stop_ids=tokenizer.stop_ids,
    )
    return jax.device_get(samples)

  every = [_ALL, *args.slots]
  for slots in every:
    run(slots, 0)  # Compiles.
  seconds = {slots: [] for slots in every}
  for seed in range(args.repeats):
    samples = {}
    for slots in every:
      began = time.perf_counter(), time.process_time()
      samples[slots] = run(slots, seed)
      ended = time.perf_counter(), time.process_time()
      seconds[slots].append([b - a for a, b in zip(began, ended, strict=True)])
    for slots in args.slots:
      same = samples[slots].tokens_NR == samples[_ALL].tokens_NR
      assert same.all(), f'{slots=}'
  lens = samples[_ALL].len_N
  results = {'responses': len(lens), 'mean_len_tokens': float(lens.mean())}
  print(f'{len(lens)} responses, {lens.mean():.0f} tokens on average')
  for slots, times in seconds.items():
    wall, cpu = map(statistics.median, zip(*times, strict=True))
    results[str(slots or 'all')] = {'seconds': wall, 'cpu_s': cpu}
    print(
      f'{slots or "all":>5} slots: {wall:.2f} s, {cpu:.2f} CPU-s,'
      f' {lens.sum() / wall:.0f} tokens/s'
    )
  if args.json:
    args.json.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
