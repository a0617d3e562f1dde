"""Measures training and decoding of a 1.5B policy against the device's peak.

  python benchmarks/gpu.py --json gpu.json

Training: model FLOPs utilisation of the train step of Qwen2.5-Coder 1.5B in
bfloat16 with full rematerialisation, on sequences of 4,096 tokens. It counts 6
operations per parameter and token, and those of causal attention, but no
recomputation.

Decoding: bytes per second with 64 and 256 sequences, relative to the rate at
which the device copies memory. It counts the weights and the cache positions
that a step reads.

Without an accelerator the model is a small one, and the figures show only that
the benchmark runs. Finite losses and the number of tokens are asserted. Needs
neither TensorFlow nor ml-collections.
"""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
from functools import partial
import json
import math
import pathlib
import re
import statistics
import sys
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from coderl import types
from coderl.distributed import sharding
from coderl.models import presets, transformer
from coderl.rl import algorithms, train_step
from coderl.sampling import sampler, sharded_sampler

# Dense bfloat16 TFLOP/s, by a word of the device's kind.
_PEAKS = {'H100': 989.0, 'H200': 989.0, 'A100': 312.0, 'L4': 121.0}
_SMALL = dict(vocab_size=2048, num_layers=2, d_model=128, mlp_dim=512)


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of the runs: `*_rows` are sequences, `*_len` are tokens."""

  model: transformer.ModelConfig
  train_rows: int
  prompt_len: int
  response_len: int
  decode_rows: tuple[int, ...]
  decode_len: int
  copy_mb: int


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--json', type=pathlib.Path, help='file for the results')
  parser.add_argument(
    '--peak_tflops', type=float, help='dense bfloat16 peak of the device'
  )
  parser.add_argument('--train_rows', type=int, default=4)
  parser.add_argument(
    '--steps', type=int, default=5, help='number of timed steps'
  )
  args = parser.parse_args(argv)
  for name in ('train_rows', 'steps'):
    if getattr(args, name) < 1:
      parser.error(f'--{name}={getattr(args, name)}: must be 1 or more')
  return args


def sizes(args: argparse.Namespace) -> Sizes:
  """Returns the sizes for the accelerator, small ones without one."""
  model = presets.PRESETS['qwen2.5-coder-1.5b']
  model = dataclasses.replace(model, param_dtype='bfloat16')
  if jax.default_backend() != 'cpu':
    return Sizes(model, args.train_rows, 1024, 3072, (64, 256), 256, 4096)
  model = dataclasses.replace(model, **_SMALL)
  return Sizes(model, args.train_rows, 32, 96, (4, 16), 32, 64)


def peak_tflops(args: argparse.Namespace) -> float | None:
  """Returns the device's peak, None if it is not known."""
  kind = jax.devices()[0].device_kind
  known = (
    peak for name, peak in _PEAKS.items() if re.search(rf'\b{name}\b', kind)
  )
  return args.peak_tflops or next(known, None)


def median_s(run: Callable[[], object], repeats: int) -> float:
  """Returns the median seconds of `run`, after one call to warm up."""
  jax.block_until_ready(run())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(run())
    times.append(time.perf_counter() - start)
  return statistics.median(times)


def num_params(model: transformer.ModelConfig) -> int:
  """Counts the parameters of a model."""
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, model)), jax.random.key(0)
  )
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def train_flops(s: Sizes) -> float:
  """Counts the FLOPs of a batch; only responses need logits."""
  m, length = s.model, s.prompt_len + s.response_len
  table = m.vocab_size * m.d_model
  blocks = num_params(m) - table
  pairs = length * (length + 1) / 2
  attention = 4 * m.num_layers * m.num_heads * m.head_dim * pairs
  forward = 2 * (blocks * length + table * s.response_len) + attention
  return 3 * s.train_rows * forward


def random_batch(s: Sizes) -> types.PackedBatch:
  """Draws microbatches of one sequence: long contexts are measured."""
  rng = np.random.default_rng(0)
  n, p, r = s.train_rows, s.prompt_len, s.response_len
  tokens = rng.integers(0, s.model.vocab_size, (n, 1, p + r)).astype(np.int32)
  normal = lambda: rng.normal(size=(n, 1, r)).astype(np.float32)
  weights = np.full((n, 1, r), 1 / (n * r), np.float32)
  before = np.broadcast_to(
    np.arange(p - 1, p + r - 1, dtype=np.int32), (n, 1, r)
  )
  return types.PackedBatch(
    tokens_BT=tokens,
    segments_BT=np.ones_like(tokens),
    before_BR=before,
    targets_BR=tokens[..., p:],
    logprobs_BR=-abs(normal()),
    advantages_BR=normal(),
    returns_BR=normal(),
    values_BR=normal(),
    ref_logprobs_BR=-abs(normal()),
    policy_weights_BR=weights,
    token_weights_BR=weights,
    queries_BM=np.zeros((n, 1, 0), np.int32),
    values_BMC=np.zeros((n, 1, 0, 1), np.int32),
    value_weights_BMC=np.zeros((n, 1, 0, 1), np.float32),
  )


def training(
  s: Sizes, repeats: int, peak: float | None
) -> dict[str, float | None]:
  """Measures the train step."""
  mesh = sharding.make_mesh((1, -1, 1))
  objective = train_step.Objective(s.model, algorithms.ALGORITHMS['grpo'])
  optimizer = optax.adamw(1e-6)
  with jax.set_mesh(mesh):
    state, layout = train_step.init_state(
      jax.random.key(0), objective, optimizer, mesh
    )
    update = train_step.compile_step(objective, optimizer, layout, mesh)
    batch = sharding.put(random_batch(s), mesh, sharding.MICROBATCHES)
    losses = []

    def run():
      nonlocal state
      state, metrics = update(state, batch)
      losses.append(metrics['loss'])
      return metrics

    seconds = median_s(run, repeats)
  assert np.isfinite(jax.device_get(losses)).all()
  tokens = s.train_rows * (s.prompt_len + s.response_len)
  rate = train_flops(s) / seconds
  return {
    'seconds': seconds,
    'tokens_per_s': tokens / seconds,
    'tflops': rate / 1e12,
    'mfu': rate / 1e12 / peak if peak else None,
  }


def copy_rate(megabytes: int, repeats: int) -> float:
  """Measures the bytes per second that a copy reads and writes."""
  x = jnp.zeros(megabytes * 2**18, jnp.float32)
  # XLA would optimise a copy of unchanged values away.
  seconds = median_s(lambda: copy(x), repeats)
  return 2 * x.nbytes / seconds


copy = jax.jit(lambda x: x + 1)


def decoding(
  s: Sizes, rows: int, repeats: int, copies: float
) -> dict[str, float]:
  """Measures decoding of sequences of equal length, without the prefill."""
  m, prompt_len = s.model, s.prompt_len
  params = jax.jit(lambda key: nn.unbox(transformer.init(key, m)))(
    jax.random.key(0)
  )
  prompts = np.zeros((rows, prompt_len), np.int32)
  generate = partial(
    sharded_sampler.generate,
    params,
    prompts,
    np.ones_like(prompts, bool),
    np.arange(rows, dtype=np.int32),
    jax.random.key(1),
    model=m,
    stop_ids=(m.vocab_size,),
  )
  seconds = {}
  for length in (1, s.decode_len + 1):
    config = sampler.SamplingConfig(max_len_tokens=length)
    samples, _ = generate(config=config)
    assert int(samples.len_N.sum()) == rows * length
    seconds[length] = median_s(lambda c=config: generate(config=c), repeats)
  per_token_s = (seconds[s.decode_len + 1] - seconds[1]) / s.decode_len
  size = jnp.dtype(m.dtype).itemsize
  # A step reads all earlier positions, on average half of the response.
  positions = prompt_len + s.decode_len / 2
  cache = 2 * m.num_layers * m.num_kv_heads * m.head_dim * rows * positions
  read = (num_params(m) + cache) * size
  return {
    'tokens_per_s': rows / per_token_s,
    'gb_per_s': read / per_token_s / 1e9,
    'of_copy_rate': read / per_token_s / copies,
  }


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  s, peak = sizes(args), peak_tflops(args)
  copies = copy_rate(s.copy_mb, args.steps)
  results = {
    'device': jax.devices()[0].device_kind,
    'parameters': num_params(s.model),
    'copy_gb_per_s': copies / 1e9,
    'training': training(s, args.steps, peak),
    'decoding': {
      str(rows): decoding(s, rows, args.steps, copies) for rows in s.decode_rows
    },
  }
  t = results['training']
  mfu = 'unknown, set --peak_tflops'
  if t['mfu'] is not None:
    mfu = f'{t["mfu"]:.1%}'
  print(
    f'{results["device"]}, {results["parameters"] / 1e6:.0f}M parameters,'
    f' copies {results["copy_gb_per_s"]:.0f} GB/s\n'
    f'training: {t["tokens_per_s"]:.0f} tokens/s, {t["tflops"]:.2f} TFLOP/s,'
    f' MFU {mfu}'
  )
  for rows, d in results['decoding'].items():
    print(
      f'decoding {rows:>4} sequences: {d["tokens_per_s"]:.0f} tokens/s,'
      f' {d["gb_per_s"]:.1f} GB/s, {d["of_copy_rate"]:.1%} of a copy'
    )
  if args.json:
    args.json.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
